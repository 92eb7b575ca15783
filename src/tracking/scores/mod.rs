//! Scores of identities over time: HOTA, CLEAR MOT and identity, as TrackEval computes them for the MOT Challenge.

mod clear;
mod hota;
mod identity;
mod sequence;

use std::collections::BTreeMap;

use serde::Serialize;

pub use clear::Clear;
pub use hota::Hota;
pub use identity::Identity;
pub use sequence::{ScoredFrame, ScoredSequence};

/// All scores of one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Higher-order tracking accuracy.
    pub hota: Hota,
    /// CLEAR MOT.
    pub clear: Clear,
    /// Identity.
    pub identity: Identity,
}

impl Scores {
    /// Scores one sequence.
    pub fn of(sequence: &ScoredSequence) -> Self {
        Self {
            hota: Hota::of(sequence),
            clear: Clear::of(sequence),
            identity: Identity::of(sequence),
        }
    }

    /// Over several sequences.
    pub fn combined<'a>(scores: impl IntoIterator<Item = &'a Self> + Clone) -> Self {
        Self {
            hota: Hota::combined(scores.clone().into_iter().map(|score| &score.hota)),
            clear: Clear::combined(scores.clone().into_iter().map(|score| &score.clear)),
            identity: Identity::combined(scores.into_iter().map(|score| &score.identity)),
        }
    }

    /// The figures people compare.
    pub fn summary(&self) -> Summary {
        Summary {
            hota: self.hota.hota(),
            deta: self.hota.detection_accuracy(),
            assa: self.hota.association_accuracy(),
            mota: self.clear.mota(),
            idf1: self.identity.f1(),
            idp: self.identity.precision(),
            idr: self.identity.recall(),
            idsw: self.clear.switches,
            us_per_frame: None,
        }
    }
}

/// The figures people compare, as fractions; named as everybody names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Higher-order tracking accuracy.
    #[serde(rename = "HOTA")]
    pub hota: f64,
    /// Multiple object tracking accuracy.
    #[serde(rename = "MOTA")]
    pub mota: f64,
    /// Identity F1.
    #[serde(rename = "IDF1")]
    pub idf1: f64,
    /// Identity precision.
    #[serde(rename = "IDP")]
    pub idp: f64,
    /// Identity recall.
    #[serde(rename = "IDR")]
    pub idr: f64,
    /// Identity switches.
    #[serde(rename = "IDSW")]
    pub idsw: u64,
    /// Detection accuracy, a part of HOTA.
    #[serde(rename = "DetA")]
    pub deta: f64,
    /// Association accuracy, the other part of HOTA.
    #[serde(rename = "AssA")]
    pub assa: f64,
    /// Microseconds the tracker took for a frame, where it was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub us_per_frame: Option<f64>,
}

/// A summary of each sequence and of all together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// All sequences together.
    pub combined: Summary,
    /// Each sequence by its name.
    pub sequences: BTreeMap<String, Summary>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two objects over four frames; the result swaps their identities half-way and has one box too many.
    fn swapped() -> ScoredSequence {
        let frame = |result: &[usize]| ScoredFrame {
            truth: vec![0, 1],
            result: result.to_vec(),
            similarity: if result.len() == 2 {
                vec![1.0, 0.0, 0.0, 1.0]
            } else {
                vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
            },
        };
        ScoredSequence {
            frames: vec![frame(&[0, 1]), frame(&[0, 1]), frame(&[1, 0]), frame(&[1, 0, 2])],
            truth_ids: 2,
            result_ids: 3,
        }
    }

    #[test]
    fn a_swap_by_hand() {
        let scores = Scores::of(&swapped());
        let summary = scores.summary();
        assert_eq!(summary.idsw, 2);
        assert!((summary.mota - (8.0 - 1.0 - 2.0) / 8.0).abs() < 1e-12);
        // Each identity is right in 4 of 8 boxes.
        assert!((summary.idp - 4.0 / 9.0).abs() < 1e-12);
        assert!((summary.idr - 0.5).abs() < 1e-12);
        // Each matched box shares 2 of the 4 + 4 − 2 frames of its pair of identities.
        assert!((summary.assa - 2.0 / 6.0).abs() < 1e-12);
        assert!((summary.deta - 8.0 / 9.0).abs() < 1e-12);
        assert!((summary.hota - (8.0 / 9.0 / 3.0f64).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn empty_sides_score_as_in_trackeval() {
        let truth_only = ScoredSequence {
            frames: vec![ScoredFrame {
                truth: vec![0],
                ..ScoredFrame::default()
            }],
            truth_ids: 1,
            result_ids: 0,
        };
        let result_only = ScoredSequence {
            frames: vec![ScoredFrame {
                result: vec![0],
                ..ScoredFrame::default()
            }],
            truth_ids: 0,
            result_ids: 1,
        };
        let scores = [Scores::of(&truth_only), Scores::of(&result_only)];
        for score in &scores {
            assert_eq!(score.summary(), Summary::default());
        }
        let combined = Scores::combined(&scores).summary();
        assert!(
            (combined.mota + 1.0).abs() < 1e-12,
            "one miss and one false positive: −1, combined"
        );
    }

    #[test]
    fn one_sequence_combines_to_itself() {
        let score = Scores::of(&swapped());
        let (one, combined) = (score.summary(), Scores::combined([&score]).summary());
        assert!((one.hota - combined.hota).abs() < 1e-12);
        assert_eq!((one.mota, one.idf1), (combined.mota, combined.idf1));
    }
}

//! One sequence made ready for scoring: per frame who is there in truth and result, and how well their boxes agree.

use std::collections::{BTreeMap, BTreeSet};

use super::super::mot_challenge::{Row, TruthFormat};

/// Smallest difference from 1 of a 64-bit float; TrackEval's tolerance.
pub(super) const EPSILON: f64 = f64::EPSILON;

/// Truth and result of one frame. Identities are numbered from 0 without gaps over the whole sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoredFrame {
    /// True identities present.
    pub truth: Vec<usize>,
    /// Reported identities present.
    pub result: Vec<usize>,
    /// Intersection over union of each truth (rows) with each result (columns), row by row.
    pub similarity: Vec<f64>,
}

impl ScoredFrame {
    /// Agreement of the truth at `row` and the result at `column`.
    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.similarity[row * self.result.len() + column]
    }
}

/// A sequence after MOT Challenge preprocessing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoredSequence {
    /// Frames in order, empty ones included.
    pub frames: Vec<ScoredFrame>,
    /// How many identities the truth has.
    pub truth_ids: usize,
    /// How many identities the result has.
    pub result_ids: usize,
}

impl ScoredSequence {
    /// Prepares truth and result as TrackEval does for the MOT Challenge: truth marked 0 is left out; where truth has
    /// MOT16/17/20 classes, results that match a distractor (a person on a vehicle, a static person, a distractor, a
    /// reflection; in MOT20 also other vehicles) are left out, and then all truth but pedestrians.
    pub fn new(truth: &[Row], format: TruthFormat, result: &[Row], frames: u32) -> Self {
        let truth_by_frame = by_frame(truth);
        let result_by_frame = by_frame(result);
        let last = [&truth_by_frame, &result_by_frame]
            .iter()
            .filter_map(|rows| rows.keys().next_back().copied())
            .max()
            .unwrap_or(0)
            .max(frames);

        let nothing = Vec::new();
        let mut kept: Vec<(Vec<&Row>, Vec<&Row>, Vec<f64>)> = Vec::with_capacity(last as usize);
        for frame in 1..=last {
            let truth = truth_by_frame.get(&frame).unwrap_or(&nothing);
            let result = result_by_frame.get(&frame).unwrap_or(&nothing);
            kept.push(preprocess(truth, format, result));
        }
        let ids = |rows: &mut dyn Iterator<Item = i64>| -> BTreeMap<i64, usize> {
            let sorted: BTreeSet<i64> = rows.collect();
            sorted.into_iter().zip(0..).collect()
        };
        let truth_ids = ids(&mut kept.iter().flat_map(|frame| frame.0.iter().map(|row| row.id)));
        let result_ids = ids(&mut kept.iter().flat_map(|frame| frame.1.iter().map(|row| row.id)));
        let frames = kept
            .into_iter()
            .map(|(truth, result, similarity)| ScoredFrame {
                truth: truth.iter().map(|row| truth_ids[&row.id]).collect(),
                result: result.iter().map(|row| result_ids[&row.id]).collect(),
                similarity,
            })
            .collect();
        Self {
            frames,
            truth_ids: truth_ids.len(),
            result_ids: result_ids.len(),
        }
    }

    /// Truth boxes in all frames.
    pub(super) fn truth_count(&self) -> usize {
        self.frames.iter().map(|frame| frame.truth.len()).sum()
    }

    /// Result boxes in all frames.
    pub(super) fn result_count(&self) -> usize {
        self.frames.iter().map(|frame| frame.result.len()).sum()
    }
}

fn by_frame(rows: &[Row]) -> BTreeMap<u32, Vec<&Row>> {
    let mut frames: BTreeMap<u32, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        frames.entry(row.frame).or_default().push(row);
    }
    frames
}

/// What is left of one frame, with similarities.
fn preprocess<'a>(
    truth: &[&'a Row],
    format: TruthFormat,
    result: &[&'a Row],
) -> (Vec<&'a Row>, Vec<&'a Row>, Vec<f64>) {
    let mut removed = vec![false; result.len()];
    if let TruthFormat::Classes { distractors } = format
        && !truth.is_empty()
        && !result.is_empty()
    {
        let similarity = similarities(truth, result);
        let matches = match_greatest(truth.len(), result.len(), |row, column| {
            let value = similarity[row * result.len() + column];
            if value < 0.5 - EPSILON { 0.0 } else { value }
        });
        for (row, column) in matches {
            let matched = similarity[row * result.len() + column] >= 0.5 - EPSILON;
            if matched && distractors.contains(&truth[row].class) {
                removed[column] = true;
            }
        }
    }
    let result: Vec<&Row> = result
        .iter()
        .zip(&removed)
        .filter(|(_, removed)| !**removed)
        .map(|(row, _)| *row)
        .collect();
    let truth: Vec<&Row> = truth
        .iter()
        .filter(|row| row.confidence.trunc() != 0.0 && (format == TruthFormat::NoClasses || row.class == 1))
        .copied()
        .collect();
    let similarity = similarities(&truth, &result);
    (truth, result, similarity)
}

/// Intersection over union, row by row.
fn similarities(truth: &[&Row], result: &[&Row]) -> Vec<f64> {
    let mut values = Vec::with_capacity(truth.len() * result.len());
    for a in truth {
        for b in result {
            let width = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
            let height = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
            let (area_a, area_b) = (a.width * a.height, b.width * b.height);
            let shared = if area_a <= EPSILON || area_b <= EPSILON {
                0.0
            } else {
                width.max(0.0) * height.max(0.0)
            };
            let union = area_a + area_b - shared;
            values.push(if union > EPSILON { shared / union } else { 0.0 });
        }
    }
    values
}

/// The one-to-one matching of greatest total score; every row or every column is matched, whatever its score.
pub(super) fn match_greatest(rows: usize, columns: usize, score: impl Fn(usize, usize) -> f64) -> Vec<(usize, usize)> {
    let mut cost = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        cost.extend((0..columns).map(|column| -score(row, column)));
    }
    // The solver refuses only costs that are not finite, and similarities of finite boxes are.
    let (rows, columns) = lsap::solve(rows, columns, &cost, false).unwrap_or_default();
    rows.into_iter().zip(columns).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::mot_challenge::MOT16_DISTRACTORS;
    use super::*;

    fn row(frame: u32, id: i64, x: f64, confidence: f64, class: i64) -> Row {
        Row {
            frame,
            id,
            x,
            y: 0.0,
            width: 10.0,
            height: 20.0,
            confidence,
            class,
        }
    }

    #[test]
    fn truth_marked_zero_is_left_out() {
        let truth = [row(1, 1, 0.0, 1.0, -1), row(1, 2, 100.0, 0.0, -1)];
        let sequence = ScoredSequence::new(&truth, TruthFormat::NoClasses, &[], 3);
        assert_eq!(sequence.frames.len(), 3);
        assert_eq!((sequence.truth_ids, sequence.truth_count()), (1, 1));
    }

    #[test]
    fn results_on_distractors_are_forgiven_and_on_cars_are_not() {
        let truth = [
            row(1, 1, 0.0, 1.0, 1),
            row(1, 2, 100.0, 0.0, 8),
            row(1, 3, 200.0, 0.0, 3),
        ];
        let result = [
            row(1, 10, 1.0, -1.0, -1),
            row(1, 20, 101.0, -1.0, -1),
            row(1, 30, 201.0, -1.0, -1),
        ];
        let format = TruthFormat::Classes {
            distractors: MOT16_DISTRACTORS,
        };
        let sequence = ScoredSequence::new(&truth, format, &result, 0);
        assert_eq!(sequence.frames[0].truth, [0]);
        assert_eq!(sequence.frames[0].result.len(), 2);
        assert_eq!(sequence.truth_ids, 1);
    }
}

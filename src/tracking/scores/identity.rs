//! Identity scores: how long each object keeps one identity (Ristani et al. 2016), as TrackEval computes them.

use super::sequence::{ScoredSequence, match_greatest};

/// Overlap from which a result can match a truth.
const THRESHOLD: f64 = 0.5;

/// Boxes under the best one-to-one matching of whole trajectories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Boxes whose trajectory is matched and which overlap.
    pub matched: u64,
    /// Truth boxes left over.
    pub missed: u64,
    /// Result boxes left over.
    pub spurious: u64,
}

impl Identity {
    /// Scores one sequence.
    pub fn of(sequence: &ScoredSequence) -> Self {
        let columns = sequence.result_ids;
        let mut common = vec![0u64; sequence.truth_ids * columns];
        for frame in &sequence.frames {
            for (row, &truth) in frame.truth.iter().enumerate() {
                for (column, &result) in frame.result.iter().enumerate() {
                    if frame.at(row, column) >= THRESHOLD {
                        common[truth * columns + result] += 1;
                    }
                }
            }
        }
        // Fewest boxes left over is the same as most boxes in common.
        let matches = match_greatest(sequence.truth_ids, columns, |truth, result| {
            common[truth * columns + result] as f64
        });
        let matched: u64 = matches
            .into_iter()
            .map(|(truth, result)| common[truth * columns + result])
            .sum();
        Self {
            matched,
            missed: sequence.truth_count() as u64 - matched,
            spurious: sequence.result_count() as u64 - matched,
        }
    }

    /// Over several sequences: counts add up.
    pub fn combined<'a>(scores: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for score in scores {
            total.matched += score.matched;
            total.missed += score.missed;
            total.spurious += score.spurious;
        }
        total
    }

    /// IDF1: harmonic mean of precision and recall, 0 to 1.
    pub fn f1(&self) -> f64 {
        let all = self.matched as f64 + 0.5 * (self.missed + self.spurious) as f64;
        self.matched as f64 / all.max(1.0)
    }

    /// IDP: share of result boxes with the right identity, 0 to 1.
    pub fn precision(&self) -> f64 {
        self.matched as f64 / (self.matched + self.spurious).max(1) as f64
    }

    /// IDR: share of truth boxes found under the right identity, 0 to 1.
    pub fn recall(&self) -> f64 {
        self.matched as f64 / (self.matched + self.missed).max(1) as f64
    }
}

//! CLEAR MOT: misses, false positives and identity switches (Bernardin and Stiefelhagen 2008), as TrackEval counts
//! them.

use super::sequence::{EPSILON, ScoredSequence, match_greatest};

/// Overlap from which a result can match a truth.
const THRESHOLD: f64 = 0.5;
/// Weight of going on with the match of the frame before: more than all overlaps together.
const CONTINUITY: f64 = 1000.0;

/// What CLEAR counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clear {
    /// Truth boxes with a match.
    pub matched: u64,
    /// Truth boxes without.
    pub missed: u64,
    /// Result boxes without a match.
    pub spurious: u64,
    /// Times a true object's match changed its identity.
    pub switches: u64,
    /// One side of a single sequence was empty.
    empty: bool,
}

impl Clear {
    /// Scores one sequence.
    pub fn of(sequence: &ScoredSequence) -> Self {
        let mut score = Self::default();
        let (truth_count, result_count) = (sequence.truth_count(), sequence.result_count());
        if truth_count == 0 || result_count == 0 {
            return Self {
                missed: truth_count as u64,
                spurious: result_count as u64,
                empty: true,
                ..score
            };
        }
        // Switches are counted against the last match ever; continuity looks at the frame before only.
        let mut last_ever: Vec<Option<usize>> = vec![None; sequence.truth_ids];
        let mut frame_before: Vec<Option<usize>> = vec![None; sequence.truth_ids];
        for frame in &sequence.frames {
            let mut matched = 0;
            if !frame.truth.is_empty() && !frame.result.is_empty() {
                let value = |row: usize, column: usize| {
                    let similarity = frame.at(row, column);
                    if similarity < THRESHOLD - EPSILON {
                        return 0.0;
                    }
                    let goes_on = frame_before[frame.truth[row]] == Some(frame.result[column]);
                    similarity + if goes_on { CONTINUITY } else { 0.0 }
                };
                let mut matches = match_greatest(frame.truth.len(), frame.result.len(), value);
                matches.retain(|&(row, column)| value(row, column) > EPSILON);
                frame_before.fill(None);
                for (row, column) in matches {
                    let (truth, result) = (frame.truth[row], frame.result[column]);
                    score.switches += u64::from(last_ever[truth].is_some_and(|before| before != result));
                    last_ever[truth] = Some(result);
                    frame_before[truth] = Some(result);
                    matched += 1;
                }
            }
            score.matched += matched;
            score.missed += frame.truth.len() as u64 - matched;
            score.spurious += frame.result.len() as u64 - matched;
        }
        score
    }

    /// Over several sequences: counts add up.
    pub fn combined<'a>(scores: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for score in scores {
            total.matched += score.matched;
            total.missed += score.missed;
            total.spurious += score.spurious;
            total.switches += score.switches;
        }
        total
    }

    /// MOTA: 1 less misses, false positives and switches per truth box; can be negative. A single sequence without
    /// truth or without result scores 0.
    pub fn mota(&self) -> f64 {
        if self.empty {
            return 0.0;
        }
        let truth = (self.matched + self.missed).max(1) as f64;
        (self.matched as f64 - self.spurious as f64 - self.switches as f64) / truth
    }
}

//! HOTA: higher-order tracking accuracy (Luiten et al., IJCV 2021), as TrackEval computes it.

use super::sequence::{EPSILON, ScoredSequence, match_greatest};

/// Localisation thresholds: 0.05, 0.10, … 0.95.
const THRESHOLDS: usize = 19;

/// Detection and association at each localisation threshold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hota {
    matched: [f64; THRESHOLDS],
    missed: [f64; THRESHOLDS],
    spurious: [f64; THRESHOLDS],
    association: [f64; THRESHOLDS],
}

impl Hota {
    /// Scores one sequence.
    pub fn of(sequence: &ScoredSequence) -> Self {
        let mut score = Self::default();
        let (truth_count, result_count) = (sequence.truth_count(), sequence.result_count());
        if truth_count == 0 || result_count == 0 {
            score.missed = [truth_count as f64; THRESHOLDS];
            score.spurious = [result_count as f64; THRESHOLDS];
            return score;
        }
        let columns = sequence.result_ids;
        let mut truth_lengths = vec![0.0; sequence.truth_ids];
        let mut result_lengths = vec![0.0; columns];
        let mut alignment = vec![0.0; sequence.truth_ids * columns];
        for frame in &sequence.frames {
            let row_sums: Vec<f64> = (0..frame.truth.len())
                .map(|row| (0..frame.result.len()).map(|column| frame.at(row, column)).sum())
                .collect();
            let column_sums: Vec<f64> = (0..frame.result.len())
                .map(|column| (0..frame.truth.len()).map(|row| frame.at(row, column)).sum())
                .collect();
            for (row, &truth) in frame.truth.iter().enumerate() {
                for (column, &result) in frame.result.iter().enumerate() {
                    let similarity = frame.at(row, column);
                    let union = row_sums[row] + column_sums[column] - similarity;
                    if union > EPSILON {
                        alignment[truth * columns + result] += similarity / union;
                    }
                }
            }
            frame.truth.iter().for_each(|&id| truth_lengths[id] += 1.0);
            frame.result.iter().for_each(|&id| result_lengths[id] += 1.0);
        }
        // From the expected number of common frames to a Jaccard index of each pair of identities.
        for (truth, truth_length) in truth_lengths.iter().enumerate() {
            for (result, result_length) in result_lengths.iter().enumerate() {
                let common = &mut alignment[truth * columns + result];
                *common /= truth_length + result_length - *common;
            }
        }

        let mut common = vec![vec![0.0; sequence.truth_ids * columns]; THRESHOLDS];
        for frame in &sequence.frames {
            let matches = match_greatest(frame.truth.len(), frame.result.len(), |row, column| {
                alignment[frame.truth[row] * columns + frame.result[column]] * frame.at(row, column)
            });
            for (index, threshold) in thresholds() {
                let mut matched = 0.0;
                for &(row, column) in &matches {
                    if frame.at(row, column) >= threshold - EPSILON {
                        matched += 1.0;
                        common[index][frame.truth[row] * columns + frame.result[column]] += 1.0;
                    }
                }
                score.matched[index] += matched;
                score.missed[index] += frame.truth.len() as f64 - matched;
                score.spurious[index] += frame.result.len() as f64 - matched;
            }
        }
        for (index, _) in thresholds() {
            let mut sum = 0.0;
            for (truth, truth_length) in truth_lengths.iter().enumerate() {
                for (result, result_length) in result_lengths.iter().enumerate() {
                    let frames = common[index][truth * columns + result];
                    sum += frames * frames / (truth_length + result_length - frames).max(1.0);
                }
            }
            score.association[index] = sum / score.matched[index].max(1.0);
        }
        score
    }

    /// Over several sequences: counts add up, association is weighted by matches.
    pub fn combined<'a>(scores: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for score in scores {
            for (index, _) in thresholds() {
                total.matched[index] += score.matched[index];
                total.missed[index] += score.missed[index];
                total.spurious[index] += score.spurious[index];
                total.association[index] += score.association[index] * score.matched[index];
            }
        }
        for (index, _) in thresholds() {
            total.association[index] /= total.matched[index].max(1.0);
        }
        total
    }

    /// HOTA: mean over the thresholds of √(detection · association), 0 to 1.
    pub fn hota(&self) -> f64 {
        mean(|index| (self.detection_at(index) * self.association[index]).sqrt())
    }

    /// DetA: detection accuracy, 0 to 1.
    pub fn detection_accuracy(&self) -> f64 {
        mean(|index| self.detection_at(index))
    }

    /// AssA: association accuracy, 0 to 1.
    pub fn association_accuracy(&self) -> f64 {
        mean(|index| self.association[index])
    }

    fn detection_at(&self, index: usize) -> f64 {
        self.matched[index] / (self.matched[index] + self.missed[index] + self.spurious[index]).max(1.0)
    }
}

fn thresholds() -> impl Iterator<Item = (usize, f64)> {
    // Computed as numpy's arange does, so that boxes on the threshold fall on the same side.
    (0..THRESHOLDS).map(|index| (index, 0.05 + index as f64 * 0.05))
}

fn mean(value: impl Fn(usize) -> f64) -> f64 {
    (0..THRESHOLDS).map(value).sum::<f64>() / THRESHOLDS as f64
}

//! Class-wise non-maximum suppression with a bounded cost.

use super::decode::Candidate;

/// Keeps the `limit` most confident candidates, in no order; returns how many were dropped. O(n).
pub(super) fn keep_best(candidates: &mut Vec<Candidate>, limit: usize) -> usize {
    let dropped = candidates.len().saturating_sub(limit);
    if dropped > 0 {
        candidates.select_nth_unstable_by(limit, |a, b| b.score.total_cmp(&a.score));
        candidates.truncate(limit);
    }
    candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    dropped
}

/// Working memory of the suppression.
#[derive(Default)]
pub(super) struct Suppressor {
    kept: Vec<Candidate>,
}

impl Suppressor {
    /// Of candidates sorted by confidence keeps those that overlap no kept one of their class by more than `iou`, at most
    /// `limit` of them; returns how many were not looked at because of the limit. With `same_tile` unset, only candidates
    /// of different tiles suppress each other.
    pub fn suppress(&mut self, candidates: &mut Vec<Candidate>, iou: f32, same_tile: bool, limit: usize) -> usize {
        self.kept.clear();
        let mut unseen = 0;
        for (index, candidate) in candidates.iter().enumerate() {
            if self.kept.len() >= limit {
                unseen = candidates.len() - index;
                break;
            }
            let suppressed = self.kept.iter().any(|kept| {
                kept.class == candidate.class
                    && (same_tile || kept.tile != candidate.tile)
                    && kept.bbox.iou(&candidate.bbox) > iou
            });
            if !suppressed {
                self.kept.push(*candidate);
            }
        }
        std::mem::swap(candidates, &mut self.kept);
        unseen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::BoundingBox;

    fn candidate(x: f32, score: f32, class: u32, tile: u32) -> Candidate {
        Candidate {
            bbox: BoundingBox::from_xywh(x, 0.0, 10.0, 10.0),
            score,
            class,
            tile,
        }
    }

    fn scores(candidates: &[Candidate]) -> Vec<f32> {
        candidates.iter().map(|candidate| candidate.score).collect()
    }

    #[test]
    fn overlaps_of_one_class_keep_the_most_confident() {
        let mut candidates = vec![
            candidate(0.0, 0.5, 0, 0),
            candidate(1.0, 0.9, 0, 0),
            candidate(1.0, 0.7, 1, 0),
            candidate(50.0, 0.6, 0, 0),
        ];
        assert_eq!(keep_best(&mut candidates, 10), 0);
        assert_eq!(Suppressor::default().suppress(&mut candidates, 0.45, true, 10), 0);
        assert_eq!(scores(&candidates), [0.9, 0.7, 0.6]);
    }

    #[test]
    fn final_boxes_of_one_tile_do_not_suppress_each_other() {
        let mut candidates = vec![
            candidate(0.0, 0.9, 0, 0),
            candidate(1.0, 0.8, 0, 0),
            candidate(1.0, 0.7, 0, 1),
        ];
        Suppressor::default().suppress(&mut candidates, 0.45, false, 10);
        assert_eq!(scores(&candidates), [0.9, 0.8]);
    }

    #[test]
    fn limits_keep_the_best_and_count_the_rest() {
        let mut candidates: Vec<_> = (0..10_000)
            .map(|i| candidate((i * 20) as f32, (i % 1000) as f32 / 1000.0, 0, 0))
            .collect();
        assert_eq!(keep_best(&mut candidates, 3000), 7000);
        assert!(candidates.iter().all(|candidate| candidate.score >= 0.7 - 1e-6));
        assert_eq!(Suppressor::default().suppress(&mut candidates, 0.45, true, 300), 2700);
        assert_eq!(candidates.len(), 300);
    }
}

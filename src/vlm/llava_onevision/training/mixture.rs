//! Which sample comes when: data sets in exact proportion, each shuffled anew every time it has been gone through.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Draws from several data sets. The same draws come again from the same seed, from any point on.
#[derive(Clone, Debug)]
pub struct Mixture {
    seed: u64,
    sets: Vec<Set>,
    drawn: u64,
}

#[derive(Clone, Debug)]
struct Set {
    size: usize,
    share: f64,
    drawn: u64,
    /// The order of the round that `round` tells.
    order: Vec<u32>,
    round: Option<u64>,
}

impl Mixture {
    /// Of sets by their size and their share relative to the others; those without samples are left out.
    pub fn new(sets: &[(usize, f64)], seed: u64) -> Self {
        let all: f64 = sets.iter().filter(|(size, _)| *size > 0).map(|(_, share)| share).sum();
        let sets = sets
            .iter()
            .map(|&(size, share)| Set {
                size,
                share: if size > 0 { share / all } else { 0.0 },
                drawn: 0,
                order: Vec::new(),
                round: None,
            })
            .collect();
        Self { seed, sets, drawn: 0 }
    }

    /// Passes over so many draws.
    pub fn skip(&mut self, draws: u64) {
        for _ in 0..draws {
            self.choose();
        }
    }

    /// Indices of a data set and of a sample within it; `None` when there are no samples at all.
    pub fn draw(&mut self) -> Option<(usize, usize)> {
        let chosen = self.choose()?;
        let seed = self.seed;
        let set = self.sets.get_mut(chosen)?;
        let (round, place) = ((set.drawn - 1) / set.size as u64, (set.drawn - 1) % set.size as u64);
        if set.round != Some(round) {
            set.order = (0..set.size as u32).collect();
            let mut random = StdRng::seed_from_u64(seed ^ (chosen as u64) << 48 ^ round << 1);
            set.order.shuffle(&mut random);
            set.round = Some(round);
        }
        Some((chosen, *set.order.get(place as usize)? as usize))
    }

    /// The set that is farthest behind its share.
    fn choose(&mut self) -> Option<usize> {
        self.drawn += 1;
        let drawn = self.drawn as f64;
        let behind = |set: &Set| set.share * drawn - set.drawn as f64;
        let (chosen, set) = self
            .sets
            .iter_mut()
            .enumerate()
            .filter(|(_, set)| set.size > 0)
            .max_by(|(_, a), (_, b)| behind(a).total_cmp(&behind(b)))?;
        set.drawn += 1;
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shares_are_kept_and_every_sample_comes_once_a_round() {
        let mut mixture = Mixture::new(&[(10, 3.0), (100, 1.0), (0, 5.0)], 7);
        let drawn: Vec<(usize, usize)> = (0..400).map(|_| mixture.draw().unwrap()).collect();
        let of = |set: usize| -> Vec<usize> {
            drawn
                .iter()
                .filter(|(chosen, _)| *chosen == set)
                .map(|(_, index)| *index)
                .collect()
        };
        assert_eq!((of(0).len(), of(1).len(), of(2).len()), (300, 100, 0));
        for round in of(0).chunks(10) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(of(0)[..10], of(0)[10..20], "shuffled anew");
        let mut later = Mixture::new(&[(10, 3.0), (100, 1.0), (0, 5.0)], 7);
        later.skip(123);
        assert_eq!(later.draw().unwrap(), drawn[123]);
        assert_eq!(Mixture::new(&[(0, 1.0)], 1).draw(), None);
    }
}

//! Choosing the next token: the likeliest, or drawn at random.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How an answer is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The longest answer, tokens.
    pub max_tokens: usize,
    /// 0 takes the likeliest token each time; more makes unlikely ones likelier.
    pub temperature: f32,
    /// Draw among the likeliest tokens that together have this probability.
    pub top_p: f32,
    /// What the draws begin with.
    pub seed: u64,
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            max_tokens: 128,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

/// Draws tokens.
#[derive(Debug)]
pub struct Sampler {
    temperature: f32,
    top_p: f32,
    random: StdRng,
}

impl Sampler {
    /// A sampler at its seed.
    pub fn new(settings: &Generation) -> Self {
        Self {
            temperature: settings.temperature,
            top_p: settings.top_p,
            random: StdRng::seed_from_u64(settings.seed),
        }
    }

    /// The next token. The first of equals is taken.
    pub fn next(&mut self, logits: &[f32]) -> u32 {
        let best = logits
            .iter()
            .enumerate()
            .fold((0, f32::NEG_INFINITY), |best, (index, &logit)| {
                if logit > best.1 { (index, logit) } else { best }
            });
        if self.temperature <= 0.0 || !best.1.is_finite() {
            return best.0 as u32;
        }
        let mut shares: Vec<(usize, f32)> = logits
            .iter()
            .map(|logit| ((logit - best.1) / self.temperature).exp())
            .enumerate()
            .filter(|(_, share)| *share > 0.0)
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let all: f32 = shares.iter().map(|(_, share)| share).sum();
        let mut kept = 0.0;
        let mut count = 0;
        for (_, share) in &shares {
            kept += share;
            count += 1;
            if kept >= self.top_p * all {
                break;
            }
        }
        let mut point = self.random.random::<f32>() * kept;
        for (index, share) in shares.iter().take(count) {
            point -= share;
            if point <= 0.0 {
                return *index as u32;
            }
        }
        best.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let mut sampler = Sampler::new(&Generation::default());
        assert_eq!(sampler.next(&[0.0, 2.0, 2.0, 1.0]), 1);
    }

    #[test]
    fn draws_follow_the_probabilities_and_the_seed() {
        let settings = Generation {
            temperature: 1.0,
            seed: 7,
            ..Default::default()
        };
        let logits = [0.5_f32.ln(), 0.25_f32.ln(), 0.25_f32.ln(), f32::NEG_INFINITY];
        let draw = |settings: &Generation| {
            let mut sampler = Sampler::new(settings);
            let mut counts = [0_usize; 4];
            for _ in 0..4000 {
                counts[sampler.next(&logits) as usize] += 1;
            }
            counts
        };
        let counts = draw(&settings);
        assert!(
            (1850..2150).contains(&counts[0]) && (850..1150).contains(&counts[1]),
            "{counts:?}"
        );
        assert_eq!(counts[3], 0);
        assert_eq!(counts, draw(&settings));
        assert_eq!(draw(&Generation { top_p: 0.4, ..settings })[0], 4000);
    }
}

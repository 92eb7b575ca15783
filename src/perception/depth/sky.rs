//! Which side of a sky output is sky.
//!
//! Sources disagree: the reference implementation of Depth Anything 3 calls values of 0.3 and above sky, some exports
//! carry the opposite. The pictures decide: sky lies above what is not sky, and a picture that is all on one side of the
//! threshold is not all sky. The decision falls once and stays.

use super::super::manifest::SkySign;

/// Evidence at which the decision falls.
const DECIDED: f32 = 2.0;
/// Evidence of a picture without any contrast: weak, for a night or a tunnel says little.
const UNIFORM_EVIDENCE: f32 = 0.25;
/// Above this share, or below its complement, a picture is uniform.
const UNIFORM_SHARE: f32 = 0.995;
/// Least difference of shares between the top and the bottom third that says something.
const LEAST_CONTRAST: f32 = 0.1;

/// Finds sky cells and makes them unknown.
pub(super) struct SkyRule {
    threshold: f32,
    decided: bool,
    /// Positive when high values are sky. Starts in favour of the reference implementation.
    evidence: f32,
}

impl SkyRule {
    pub fn new(sign: SkySign, threshold: f32) -> Self {
        let (decided, evidence) = match sign {
            SkySign::Auto => (false, UNIFORM_EVIDENCE),
            SkySign::High => (true, DECIDED),
            SkySign::Low => (true, -DECIDED),
        };
        Self {
            threshold,
            decided,
            evidence,
        }
    }

    /// Sets `depth_m` to NaN where the sky output, `width` cells a row, says sky at the given columns and rows.
    pub fn mark(&mut self, sky: &[f32], width: usize, columns: &[usize], rows: &[usize], depth_m: &mut [f32]) {
        if !self.decided {
            self.weigh(sky, width, columns, rows);
        }
        let high_is_sky = self.evidence >= 0.0;
        let cells = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| row * width + column));
        for (depth, cell) in depth_m.iter_mut().zip(cells) {
            let high = sky[cell] >= self.threshold;
            if high == high_is_sky {
                *depth = f32::NAN;
            }
        }
    }

    fn weigh(&mut self, sky: &[f32], width: usize, columns: &[usize], rows: &[usize]) {
        let share = |rows: &[usize]| {
            let cells = (rows.len() * columns.len()).max(1);
            let high = rows
                .iter()
                .flat_map(|row| columns.iter().map(move |column| row * width + column))
                .filter(|cell| sky[*cell] >= self.threshold)
                .count();
            high as f32 / cells as f32
        };
        let third = (rows.len() / 3).max(1);
        let contrast = share(&rows[..third]) - share(&rows[rows.len() - third..]);
        let all = share(rows);
        self.evidence += if all >= UNIFORM_SHARE {
            -UNIFORM_EVIDENCE
        } else if all <= 1.0 - UNIFORM_SHARE {
            UNIFORM_EVIDENCE
        } else if contrast.abs() >= LEAST_CONTRAST {
            contrast.signum()
        } else {
            0.0
        };
        if self.evidence.abs() >= DECIDED {
            self.decided = true;
            tracing::info!(high_is_sky = self.evidence > 0.0, "sign of the sky output decided");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 6×6 cells: the two upper rows are sky.
    fn picture(sky: f32, ground: f32) -> Vec<f32> {
        (0..36).map(|cell| if cell < 12 { sky } else { ground }).collect()
    }

    fn unknown(rule: &mut SkyRule, picture: &[f32]) -> usize {
        let axis: Vec<usize> = (0..6).collect();
        let mut depth = vec![1.0; 36];
        rule.mark(picture, 6, &axis, &axis, &mut depth);
        depth.iter().filter(|depth| depth.is_nan()).count()
    }

    #[test]
    fn sky_is_above_whatever_the_sign() {
        for (sky, ground) in [(0.9, 0.0), (0.0, 0.9)] {
            let mut rule = SkyRule::new(SkySign::Auto, 0.3);
            for _ in 0..4 {
                assert_eq!(unknown(&mut rule, &picture(sky, ground)), 12);
            }
            assert!(rule.decided);
            // Once decided, a picture full of sky stays sky.
            assert_eq!(unknown(&mut rule, &picture(sky, sky)), 36);
        }
    }

    #[test]
    fn a_picture_without_contrast_is_not_all_sky() {
        let mut rule = SkyRule::new(SkySign::Auto, 0.3);
        assert_eq!(unknown(&mut rule, &picture(0.0, 0.0)), 0);
        let mut rule = SkyRule::new(SkySign::Auto, 0.3);
        unknown(&mut rule, &picture(0.9, 0.9));
        assert_eq!(unknown(&mut rule, &picture(0.9, 0.9)), 0);
    }

    #[test]
    fn a_given_sign_is_obeyed() {
        assert_eq!(unknown(&mut SkyRule::new(SkySign::Low, 0.3), &picture(0.9, 0.0)), 24);
        assert_eq!(unknown(&mut SkyRule::new(SkySign::High, 0.3), &picture(0.9, 0.9)), 36);
    }
}

//! Keyframes: when one is due, which landmarks it adds, and what the network's depths say of the map's scale.

use std::sync::Arc;

use nalgebra::{Isometry3, Point2, Vector2, Vector3};

use super::corners::{self, Grid};
use super::gray::GrayPyramid;
use super::lens::{Excluded, Lens};
use super::locate::{MIN_INLIERS, pick};
use super::map::Observed;
use super::pose::Solved;
use super::search::Found;
use super::surface::surface;
use super::tracker::{ANCHOR_SIGMA_PX, FEATURES, Input, Odometry};
use crate::perception::DepthMap;

/// Landmarks, the oldest in view, that the network's scale is compared with.
const SCALE_LANDMARKS: usize = 80;
/// A network's error at a point stays nearly the same from keyframe to keyframe, so each depth counts for less: its standard
/// deviation is so many times larger in the adjustment.
const LASTING: f64 = 2.0;
/// Depths that are less certain than so many times what the network states do not tell its scale.
const MOST_DEPTH_SIGMA: f64 = 2.0;
/// Share of the picture's width that landmarks may move before a keyframe is made.
const KEYFRAME_FLOW: f32 = 0.07;
/// Depth that is assumed where nothing is known, map units.
const VAGUE_DEPTH: f64 = 15.0;

impl Odometry {
    pub(super) fn depth_log_ratio(
        &self,
        depth: &DepthMap,
        lens: &Lens,
        found: &[Found],
        solved: &Solved,
        pose: &Isometry3<f64>,
    ) -> Option<(f64, f64)> {
        // The oldest remember the map's scale best: those that came later took theirs from the network through them.
        let mut inliers = pick(found, &solved.inliers);
        inliers.sort_unstable_by_key(|found| found.landmark);
        let mut ratios: Vec<f64> = inliers
            .iter()
            .filter_map(|found| {
                let landmark = self.map.landmarks.get(found.landmark)?;
                if landmark.inverse_depth_sigma > 0.3 * landmark.inverse_depth {
                    return None;
                }
                let q = self.map.in_camera(landmark, pose)?;
                let (depth_m, sigma) = surface(depth, lens, &found.position)?;
                if sigma > MOST_DEPTH_SIGMA * f64::from(depth.relative_sigma) {
                    return None;
                }
                Some((depth_m * landmark.inverse_depth / q.z).ln())
            })
            .take(SCALE_LANDMARKS)
            .collect();
        if ratios.len() < MIN_INLIERS {
            return None;
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        let mut off: Vec<f64> = ratios.iter().map(|ratio| (ratio - median).abs()).collect();
        off.sort_unstable_by(f64::total_cmp);
        let spread = 1.4826 * off[off.len() / 2];
        Some((median, 1.25 * spread / (ratios.len() as f64).sqrt() + 1e-3))
    }

    pub(super) fn keyframe_due(&self, lens: &Lens, found: &[Found], solved: &Solved, still: bool) -> bool {
        let few = solved.inlier_count < 60 && solved.inlier_count * 10 < self.keyframe_inliers * 9;
        if still {
            return few;
        }
        if self.since_keyframe < 3 {
            return few;
        }
        if few || solved.inlier_count * 10 < self.keyframe_inliers * 7 {
            return true;
        }
        let Some(newest) = self.map.keyframes.last() else {
            return true;
        };
        let mut flow: Vec<f32> = newest
            .observations
            .iter()
            .filter_map(|seen| {
                let landmark = &self.map.landmarks[self.map.landmark_index(seen.landmark)?];
                let before = lens.project(&Vector3::new(seen.seen.x, seen.seen.y, 1.0))?;
                Some((landmark.position? - before).norm())
            })
            .collect();
        if flow.len() * 2 < found.len() {
            return true;
        }
        flow.sort_unstable_by(f32::total_cmp);
        flow.get(flow.len() / 2)
            .is_some_and(|median| *median > KEYFRAME_FLOW * lens.width)
    }

    /// Makes this picture a keyframe and looks for new landmarks where there are none.
    pub(super) fn add_keyframe(
        &mut self,
        input: &Input<'_>,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &Arc<GrayPyramid>,
        pose: &Isometry3<f64>,
        inliers: &[Found],
    ) -> u64 {
        let bias = if input.depth.is_some() {
            self.depth_log_bias
        } else {
            0.0
        };
        let id = self.map.add_keyframe(picture.clone(), *pose, bias);
        let mut grid = Grid::new(picture.width(), picture.height(), FEATURES);
        let mut observations = Vec::with_capacity(FEATURES + 32);
        let log_depth = |position: &Point2<f32>| {
            let (depth_m, sigma) = surface(input.depth?, lens, position)?;
            Some((depth_m.ln(), LASTING * sigma))
        };
        for found in inliers {
            grid.take(&found.position);
            if let Some(landmark) = self.map.landmarks.get(found.landmark) {
                observations.push(Observed {
                    landmark: landmark.id,
                    seen: found.seen,
                    sigma: found.sigma_px / lens.focal,
                    weak: found.weak_px / lens.focal,
                    log_depth: log_depth(&found.position),
                });
            }
        }
        let vague = self.vague_inverse_depth();
        let allowed = |at: &Point2<f32>| !excluded.contains(at);
        for corner in corners::find(picture, &grid, allowed) {
            let Some(ray) = lens.ray(&corner) else { continue };
            let measured = input.depth.and_then(|depth| surface(depth, lens, &corner));
            let inverse_depth = match measured {
                Some((depth_m, sigma)) => {
                    let inverse_depth = bias.exp() / depth_m;
                    (inverse_depth, inverse_depth * sigma)
                }
                None => input
                    .ground
                    .and_then(|ground| match input.depth {
                        None => ground.inverse_depth(&ray),
                        // Where a depth network sees nothing above the horizon there is sky, as a rule.
                        Some(_) => (ground.down_in_camera.dot(&ray) < 0.0).then_some((0.1 * vague, vague)),
                    })
                    .unwrap_or((vague, vague)),
            };
            let landmark = self.map.add_landmark(id, corner, ray, inverse_depth);
            observations.push(Observed {
                landmark,
                seen: ray.xy(),
                sigma: ANCHOR_SIGMA_PX / lens.focal,
                weak: Vector2::zeros(),
                log_depth: match measured {
                    Some((depth_m, sigma)) => Some((depth_m.ln(), LASTING * sigma)),
                    // What is expected of the depth is no better than a measurement of it.
                    None => Some((
                        -inverse_depth.0.ln() + bias,
                        (inverse_depth.1 / inverse_depth.0).max(0.2),
                    )),
                },
            });
        }
        self.keyframe_inliers = observations.len();
        self.since_keyframe = 0;
        if let Some(keyframe) = self.map.keyframes.last_mut() {
            keyframe.observations = observations;
        }
        id
    }

    /// Median inverse depth of the landmarks in view.
    fn vague_inverse_depth(&self) -> f64 {
        let mut known: Vec<f64> = self
            .map
            .landmarks
            .iter()
            .filter(|landmark| landmark.position.is_some() && landmark.agreed > 3)
            .map(|landmark| landmark.inverse_depth)
            .collect();
        known.sort_unstable_by(f64::total_cmp);
        known.get(known.len() / 2).copied().unwrap_or(1.0 / VAGUE_DEPTH)
    }
}

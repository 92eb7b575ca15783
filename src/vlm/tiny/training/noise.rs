//! What an engine would have known: true ways seen through errors like those of detection, depth and tracking.
//!
//! Errors of distance last: an object's depth is off by a share that hardly changes while it is watched, plus one that
//! wanders within seconds; across the line of sight they are small. So do those of a detector's boxes.

use nalgebra::{Point3, Vector3};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

use super::worlds::STEP_S;
use crate::detection::BoundingBox;
use crate::vlm::tiny::clip::State;

fn normal(random: &mut Pcg64) -> f64 {
    StandardNormal.sample(random)
}

/// Noise of unit variance that is forgotten within `tau_s` seconds (an Ornstein-Uhlenbeck process), one value a grid step.
struct Lasting {
    keep: f64,
    value: f64,
}

impl Lasting {
    fn new(tau_s: f64, random: &mut Pcg64) -> Self {
        Self {
            keep: (-STEP_S / tau_s).exp(),
            value: normal(random),
        }
    }

    fn next(&mut self, random: &mut Pcg64) -> f64 {
        let value = self.value;
        self.value = self.keep * value + (1.0 - self.keep * self.keep).sqrt() * normal(random);
        value
    }
}

/// Boxes as a detector gives them: edges off by shares of the size for a while, now and then none.
pub fn seen_boxes(boxes: &[Option<BoundingBox>], random: &mut Pcg64) -> Vec<Option<BoundingBox>> {
    let size_error = 0.01 + 0.03 * random.random::<f64>();
    let missing = if random.random::<f64>() < 0.3 { 0.15 } else { 0.01 };
    let mut edges: [Lasting; 4] = std::array::from_fn(|_| Lasting::new(0.6, random));
    boxes
        .iter()
        .map(|bbox| {
            let offsets: [f64; 4] = std::array::from_fn(|edge| edges[edge].next(random) * size_error);
            let gone = random.random::<f64>() < missing;
            bbox.filter(|_| !gone).map(|bbox| {
                let moved = |edge: f32, offset: f64, size: f32| (edge + offset as f32 * size).clamp(0.0, 1.0);
                let (width, height) = (bbox.width(), bbox.height());
                BoundingBox::new(
                    moved(bbox.x0, offsets[0], width),
                    moved(bbox.y0, offsets[1], height),
                    moved(bbox.x1, offsets[2], width),
                    moved(bbox.y1, offsets[3], height),
                )
            })
        })
        .collect()
}

/// Time over which an engine's way, the sum of its velocities, is drawn back to its positions, seconds.
const REVISION_S: f64 = 4.0;
/// An engine takes for standing what is slower, m/s.
const STANDING_MPS: f64 = 0.3;

/// States as the engine would have them: `points` are the true centres at a clip's grid points, `cameras` where the camera
/// is then, `seen` whether the object is visible.
///
/// Their sizes are those of our own engine's settled states in simulated worlds: scale off by up to a tenth, velocities by a
/// few percent of themselves, a little more far away; positions say how the object moved, so they are as smooth as velocities
/// are; and the sigmas told are wide or narrow, not quite the errors.
pub fn engine_states(
    points: &[Point3<f64>],
    cameras: &[Point3<f64>],
    seen: &[bool],
    random: &mut Pcg64,
) -> Vec<Option<State>> {
    // How good this engine is, from very good to poor, and what it thinks of itself.
    let quality = (-1.6 + 2.0 * random.random::<f64>()).exp();
    let kept = 1.0 + 0.08 * quality * normal(random);
    let told = (0.3 + 0.4 * normal(random)).exp();
    let mut error: [Lasting; 2] = std::array::from_fn(|_| Lasting::new(1.0, random));
    let late = random.random::<f64>() < 0.2;
    let first = if late {
        random.random_range(0..points.len().div_ceil(4).max(1))
    } else {
        0
    };
    let moved = |from: usize, to: usize| points[to] - points[from];
    let mut position = cameras[0] + (points[0] - cameras[0]) * kept;
    let mut unseen = 0usize;
    (0..points.len())
        .map(|at| {
            unseen = if seen.get(at).copied().unwrap_or(false) {
                0
            } else {
                unseen + 1
            };
            let lost = at < first || unseen > 4;
            let (from, to) = (at.saturating_sub(1), (at + 1).min(points.len() - 1));
            let truth = moved(from, to) / ((to - from).max(1) as f64 * STEP_S);
            let range_m = (points[at] - cameras[at]).norm();
            let sigma_mps = quality * (0.04 + 0.006 * range_m + 0.06 * truth.norm());
            let off = Vector3::new(error[0].next(random), error[1].next(random), 0.0) * sigma_mps;
            let standing = (truth * kept + off).norm() < STANDING_MPS;
            if at > 0 && !standing {
                let target = cameras[at] + (points[at] - cameras[at]) * kept;
                position += moved(at - 1, at) * kept + off * STEP_S;
                position += (target - position) * (STEP_S / REVISION_S);
            }
            (!lost).then(|| State {
                position_in_world: position,
                velocity_in_world_mps: if standing { Vector3::zeros() } else { truth * kept + off },
                position_sigma_m: told * (0.05 + 0.03 * quality.sqrt() * range_m),
                velocity_sigma_mps: told * (0.03 + sigma_mps),
                standing,
            })
        })
        .collect()
}

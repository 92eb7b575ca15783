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

/// States as the engine would have them: `points` are the true centres at a clip's grid points, `cameras` where the camera
/// is then, `seen` whether the object is visible.
pub fn engine_states(
    points: &[Point3<f64>],
    cameras: &[Point3<f64>],
    seen: &[bool],
    random: &mut Pcg64,
) -> Vec<Option<State>> {
    // How good this engine is, from very good to poor.
    let quality = (-1.6 + 1.6 * random.random::<f64>()).exp();
    let kept = 0.10 * quality * normal(random);
    let (wander, across_m) = (0.05 * quality, 0.25 * quality);
    let mut along = Lasting::new(3.0, random);
    let mut across: [Lasting; 2] = std::array::from_fn(|_| Lasting::new(1.5, random));
    let mut velocity_error: [Lasting; 2] = std::array::from_fn(|_| Lasting::new(0.8, random));
    let late = random.random::<f64>() < 0.2;
    let first = if late {
        random.random_range(0..points.len().div_ceil(4).max(1))
    } else {
        0
    };
    let mut unseen = 0usize;
    let noisy: Vec<Point3<f64>> = points
        .iter()
        .zip(cameras)
        .map(|(point, camera)| {
            let way = point - camera;
            let range_m = way.norm().max(1.0);
            let share = kept + wander * along.next(random);
            // What is farther is less certain across, too.
            let aside_m = across_m * (0.3 + range_m / 40.0);
            let aside = Vector3::new(across[0].next(random), across[1].next(random), 0.0) * aside_m * 0.5;
            point + way * share + aside
        })
        .collect();
    (0..points.len())
        .map(|at| {
            unseen = if seen.get(at).copied().unwrap_or(false) {
                0
            } else {
                unseen + 1
            };
            let lost = at < first || unseen > 4;
            let from = at.saturating_sub(1);
            let to = (at + 1).min(points.len() - 1);
            let span_s = (to - from).max(1) as f64 * STEP_S;
            let range_m = (points[at] - cameras[at]).norm();
            let velocity_sigma_mps = 0.3 * quality * (0.5 + range_m / 40.0);
            let error = Vector3::new(velocity_error[0].next(random), velocity_error[1].next(random), 0.0);
            let velocity = (points[to] - points[from]) / span_s * (1.0 + kept) + error * velocity_sigma_mps;
            let standing = (noisy[to] - noisy[from]).norm() / span_s < 0.25 && velocity.norm() < 0.5;
            (!lost).then(|| State {
                position_in_world: noisy[at],
                velocity_in_world_mps: if standing { Vector3::zeros() } else { velocity },
                position_sigma_m: (range_m * 0.10 * quality).hypot(across_m),
                velocity_sigma_mps,
                standing,
            })
        })
        .collect()
}

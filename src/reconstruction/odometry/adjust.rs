//! Adjustment of the keyframe window: poses, one logarithm of the depth network's scale for each keyframe, and inverse
//! depths of the landmarks, by Levenberg-Marquardt with the landmarks eliminated (Schur complement) and Huber's function.
//!
//! The two oldest poses of the window stay as they are: they hold the map's place, orientation and scale, so that a depth
//! network whose scale wanders does not take the map along.

use nalgebra::{DMatrix, DVector, Isometry3, Matrix2x3, SMatrix, SVector, Vector2, Vector3};

use super::map::{Map, Observed};
use super::pose::moved;

/// Parameters of a keyframe: shift, turn, log-scale.
const SIZE: usize = 7;
const HUBER: f64 = 1.5;
/// Standard deviation of a keyframe's log-scale against what the scale filter says.
const BIAS_SIGMA: f64 = 0.1;

type Block = SVector<f64, SIZE>;

/// Everything of one landmark's equations that its elimination needs.
struct Eliminated {
    landmark: usize,
    /// Sum of squares of the derivative by inverse depth, and its product with the residuals.
    own: f64,
    own_gradient: f64,
    /// Cross terms with the keyframes it touches.
    cross: Vec<(usize, Block)>,
}

struct System {
    matrix: DMatrix<f64>,
    gradient: DVector<f64>,
    eliminated: Vec<Eliminated>,
    cost: f64,
}

/// One linearised equation: residual, derivative by host, by target and by inverse depth.
struct Equation {
    residual: f64,
    by_host: Block,
    by_target: Block,
    by_depth: f64,
}

/// Adjusts the window of the map; the poses of keyframes beyond the window stay. The robust cost that is left (in
/// variances); `None` when there is nothing to adjust.
pub(crate) fn adjust(map: &mut Map, steps: usize) -> Option<f64> {
    let start = map.window_start();
    let count = map.keyframes.len() - start;
    if count < 2 {
        return None;
    }
    // With older keyframes in the map, their landmarks hold it too.
    let held = 2.min(count - 1);
    let filter_bias: Vec<f64> = map.keyframes[start..].iter().map(|k| k.depth_log_bias).collect();
    let mut damping = 1e-4;
    let mut system = linearise(map, start, &filter_bias);
    for _ in 0..steps {
        let before = (
            map.keyframes[start..]
                .iter()
                .map(|k| (k.map_from_camera, k.depth_log_bias))
                .collect::<Vec<_>>(),
            map.landmarks.iter().map(|l| l.inverse_depth).collect::<Vec<_>>(),
        );
        let Some(largest) = apply(map, &system, start, held, damping) else {
            damping *= 10.0;
            continue;
        };
        let tried = linearise(map, start, &filter_bias);
        if tried.cost.is_finite() && tried.cost <= system.cost {
            let gain = 1.0 - tried.cost / system.cost.max(1e-12);
            system = tried;
            damping = (damping * 0.2).max(1e-7);
            if largest < 1e-6 || gain < 1e-4 {
                break;
            }
        } else {
            for (keyframe, (pose, bias)) in map.keyframes[start..].iter_mut().zip(before.0) {
                keyframe.map_from_camera = pose;
                keyframe.depth_log_bias = bias;
            }
            for (landmark, inverse_depth) in map.landmarks.iter_mut().zip(before.1) {
                landmark.inverse_depth = inverse_depth;
            }
            damping *= 10.0;
        }
    }
    for eliminated in &system.eliminated {
        // With the poses as they are now; their own errors make the true one a little larger.
        if let Some(landmark) = map.landmarks.get_mut(eliminated.landmark)
            && eliminated.own > 0.0
        {
            landmark.inverse_depth_sigma = 1.5 / eliminated.own.sqrt();
        }
    }
    Some(system.cost)
}

fn linearise(map: &Map, start: usize, filter_bias: &[f64]) -> System {
    let count = map.keyframes.len() - start;
    let mut system = System {
        matrix: DMatrix::zeros(SIZE * count, SIZE * count),
        gradient: DVector::zeros(SIZE * count),
        eliminated: Vec::new(),
        cost: 0.0,
    };
    let mut slots: Vec<Option<usize>> = vec![None; map.landmarks.len()];
    for (target, keyframe) in map.keyframes.iter().enumerate().skip(start) {
        let at = target - start;
        // The log-scale is expected where the filter has it.
        let off = (keyframe.depth_log_bias - filter_bias[at]) / BIAS_SIGMA;
        system.cost += off * off;
        let row = SIZE * at + 6;
        system.matrix[(row, row)] += BIAS_SIGMA.powi(-2);
        system.gradient[row] += off / BIAS_SIGMA;
        if let Some((told, sigma)) = &keyframe.told {
            let pose = &keyframe.map_from_camera;
            let off = pose.rotation.inverse() * (pose.translation.vector - told) / *sigma;
            system.cost += off.norm_squared();
            for axis in 0..3 {
                let row = SIZE * at + axis;
                system.matrix[(row, row)] += sigma.powi(-2);
                system.gradient[row] += off[axis] / sigma;
            }
        }
        for seen in &keyframe.observations {
            let Some(index) = map.landmark_index(seen.landmark) else {
                continue;
            };
            let landmark = &map.landmarks[index];
            let Ok(host_index) = map.keyframes.binary_search_by_key(&landmark.host, |k| k.id) else {
                continue;
            };
            let host = &map.keyframes[host_index];
            let host_at = (host_index >= start).then(|| host_index - start);
            let slot = *slots[index].get_or_insert_with(|| {
                system.eliminated.push(Eliminated {
                    landmark: index,
                    own: 0.0,
                    own_gradient: 0.0,
                    cross: Vec::new(),
                });
                system.eliminated.len() - 1
            });
            let geometry = Geometry::new(
                &host.map_from_camera,
                &keyframe.map_from_camera,
                &landmark.ray,
                landmark.inverse_depth,
            );
            let Some(geometry) = geometry else { continue };
            let same = host_index == target;
            if !same {
                let equations = geometry.reprojection(seen);
                let distance = equations.iter().map(|e| e.residual * e.residual).sum::<f64>().sqrt();
                let weight = if distance > HUBER { HUBER / distance } else { 1.0 };
                system.cost += if distance > HUBER {
                    HUBER * (2.0 * distance - HUBER)
                } else {
                    distance * distance
                };
                for equation in &equations {
                    system.add(slot, host_at, at, equation, weight);
                }
            }
            if let Some((log_depth, sigma)) = seen.log_depth {
                let equation = geometry.depth(log_depth - keyframe.depth_log_bias, sigma, same);
                let distance = equation.residual.abs();
                let weight = if distance > HUBER { HUBER / distance } else { 1.0 };
                system.cost += if distance > HUBER {
                    HUBER * (2.0 * distance - HUBER)
                } else {
                    distance * distance
                };
                system.add(slot, if same { None } else { host_at }, at, &equation, weight);
            }
        }
    }
    system
}

impl System {
    fn add(&mut self, slot: usize, host: Option<usize>, target: usize, equation: &Equation, weight: f64) {
        let blocks = [
            host.map(|host| (host, equation.by_host)),
            Some((target, equation.by_target)),
        ];
        let eliminated = &mut self.eliminated[slot];
        eliminated.own += weight * equation.by_depth * equation.by_depth;
        eliminated.own_gradient += weight * equation.by_depth * equation.residual;
        for (at, block) in blocks.iter().flatten() {
            let term = block * (weight * equation.by_depth);
            match eliminated.cross.iter_mut().find(|(known, _)| known == at) {
                Some((_, sum)) => *sum += term,
                None => eliminated.cross.push((*at, term)),
            }
            let mut gradient = self.gradient.fixed_rows_mut::<SIZE>(SIZE * at);
            gradient += block * (weight * equation.residual);
            for (other, second) in blocks.iter().flatten() {
                let mut part = self.matrix.fixed_view_mut::<SIZE, SIZE>(SIZE * at, SIZE * other);
                part += block * second.transpose() * weight;
            }
        }
    }
}

/// Solves the system and moves the map; the largest step, or `None` when it cannot be solved.
fn apply(map: &mut Map, system: &System, start: usize, held: usize, damping: f64) -> Option<f64> {
    let size = system.gradient.len();
    let mut matrix = system.matrix.clone();
    let mut gradient = system.gradient.clone();
    for eliminated in &system.eliminated {
        let own = eliminated.own * (1.0 + damping) + 1e-12;
        for (at, left) in &eliminated.cross {
            let mut part = gradient.fixed_rows_mut::<SIZE>(SIZE * at);
            part -= left * (eliminated.own_gradient / own);
            for (other, right) in &eliminated.cross {
                let mut part = matrix.fixed_view_mut::<SIZE, SIZE>(SIZE * at, SIZE * other);
                part -= left * right.transpose() / own;
            }
        }
    }
    for at in 0..size / SIZE {
        for axis in 0..SIZE {
            let index = SIZE * at + axis;
            if at < held && axis < 6 {
                matrix.row_mut(index).fill(0.0);
                matrix.column_mut(index).fill(0.0);
                matrix[(index, index)] = 1.0;
                gradient[index] = 0.0;
            } else {
                matrix[(index, index)] += damping * matrix[(index, index)].abs() + 1e-6;
            }
        }
    }
    let step = matrix.cholesky()?.solve(&-&gradient);
    if !step.iter().all(|value| value.is_finite()) {
        return None;
    }
    let mut largest = step.amax();
    for (at, keyframe) in map.keyframes[start..].iter_mut().enumerate() {
        let part: SVector<f64, SIZE> = step.fixed_rows::<SIZE>(SIZE * at).into_owned();
        if at >= held {
            keyframe.map_from_camera = moved(&keyframe.map_from_camera, &part.fixed_rows::<6>(0).into_owned());
        }
        keyframe.depth_log_bias += part[6];
    }
    for eliminated in &system.eliminated {
        let own = eliminated.own * (1.0 + damping) + 1e-12;
        let mut right = -eliminated.own_gradient;
        for (at, cross) in &eliminated.cross {
            right -= cross.dot(&step.fixed_rows::<SIZE>(SIZE * at));
        }
        let landmark = map.landmarks.get_mut(eliminated.landmark)?;
        // Inverse depths stay positive and change by no more than a factor at a time.
        let wanted = landmark.inverse_depth + right / own;
        let next = wanted.clamp(0.4 * landmark.inverse_depth, 2.5 * landmark.inverse_depth);
        largest = largest.max(((next - landmark.inverse_depth) / landmark.inverse_depth).abs() * 0.1);
        landmark.inverse_depth = next;
    }
    Some(largest)
}

/// A landmark between its host and another keyframe: q is the point in the target's frame times the inverse depth.
struct Geometry {
    q: Vector3<f64>,
    by_host: SMatrix<f64, 3, 6>,
    by_target: SMatrix<f64, 3, 6>,
    by_depth: Vector3<f64>,
    inverse_depth: f64,
}

impl Geometry {
    fn new(host: &Isometry3<f64>, target: &Isometry3<f64>, ray: &Vector3<f64>, inverse_depth: f64) -> Option<Self> {
        let target_from_map = target.rotation.inverse().to_rotation_matrix();
        let target_from_host = target_from_map * host.rotation.to_rotation_matrix();
        let apart = target_from_map * (host.translation.vector - target.translation.vector);
        let q = target_from_host * ray + apart * inverse_depth;
        if q.z < 0.05 {
            return None;
        }
        let mut by_host = SMatrix::<f64, 3, 6>::zeros();
        by_host
            .fixed_columns_mut::<3>(0)
            .copy_from(&(target_from_host.matrix() * inverse_depth));
        by_host
            .fixed_columns_mut::<3>(3)
            .copy_from(&(-(target_from_host.matrix() * ray.cross_matrix())));
        let mut by_target = SMatrix::<f64, 3, 6>::zeros();
        for axis in 0..3 {
            by_target[(axis, axis)] = -inverse_depth;
        }
        by_target.fixed_columns_mut::<3>(3).copy_from(&q.cross_matrix());
        Some(Self {
            q,
            by_host,
            by_target,
            by_depth: apart,
            inverse_depth,
        })
    }

    fn equation(&self, residual: f64, by_q: &nalgebra::RowVector3<f64>, scale: f64) -> Equation {
        let mut by_host = Block::zeros();
        let mut by_target = Block::zeros();
        by_host
            .fixed_rows_mut::<6>(0)
            .copy_from(&(by_q * self.by_host * scale).transpose());
        by_target
            .fixed_rows_mut::<6>(0)
            .copy_from(&(by_q * self.by_target * scale).transpose());
        Equation {
            residual: residual * scale,
            by_host,
            by_target,
            by_depth: (by_q * self.by_depth)[0] * scale,
        }
    }

    fn reprojection(&self, seen: &Observed) -> [Equation; 2] {
        let (u, v) = (self.q.x / self.q.z, self.q.y / self.q.z);
        let inverse = 1.0 / self.q.z;
        let off = Vector2::new(u, v) - seen.seen;
        let by_q = Matrix2x3::new(inverse, 0.0, -u * inverse, 0.0, inverse, -v * inverse);
        // Across the direction that is held worst, and along.
        let length = seen.weak.norm();
        let along = seen.weak.try_normalize(1e-12).unwrap_or_else(Vector2::x);
        [
            (Vector2::new(-along.y, along.x), seen.sigma),
            (along, seen.sigma.hypot(length)),
        ]
        .map(|(way, sigma)| self.equation(way.dot(&off), &(way.transpose() * by_q), 1.0 / sigma))
    }

    /// ln z against what the network says less its bias. In the host itself z = 1 / ρ, whatever the pose.
    fn depth(&self, log_depth: f64, sigma: f64, same: bool) -> Equation {
        let log_z = (self.q.z / self.inverse_depth).ln();
        let by_q = nalgebra::RowVector3::new(0.0, 0.0, if same { 0.0 } else { 1.0 / self.q.z });
        let mut equation = self.equation(log_z - log_depth, &by_q, 1.0 / sigma);
        equation.by_depth -= 1.0 / (self.inverse_depth * sigma);
        equation.by_target[6] = 1.0 / sigma;
        equation
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::reconstruction::odometry::pose::difference;
    use nalgebra::{Point2, Point3, Vector6};
    use std::sync::Arc;

    /// Keyframes along a curve that see a cloud; the network sees 10 % too far in the last two.
    fn scene(noise: f64) -> (Map, Vec<Isometry3<f64>>, Vec<f64>) {
        let mut map = Map::default();
        let mut poses = Vec::new();
        for index in 0..5 {
            let t = index as f64;
            let pose = moved(
                &Isometry3::identity(),
                &Vector6::new(0.3 * t, 0.02 * t, 0.1 * t, 0.0, 0.02 * t, 0.01 * t),
            );
            map.add_keyframe(Arc::default(), pose, 0.0);
            poses.push(pose);
        }
        let mut depths = Vec::new();
        for index in 0..80 {
            let ray = Vector3::new((index % 10) as f64 * 0.1 - 0.45, (index / 10) as f64 * 0.08 - 0.3, 1.0);
            let depth = 3.0 + (index * 7 % 13) as f64;
            let id = map.add_landmark(
                0,
                Point2::origin(),
                ray,
                (1.0 / (depth * (1.0 + noise * ((index % 3) as f64 - 1.0))), 0.1),
            );
            depths.push(depth);
            for (keyframe, pose) in map.keyframes.iter_mut().zip(&poses) {
                let point = pose.inverse_transform_point(&Point3::from(ray * depth));
                let bias = if keyframe.id >= 3 { 1.1f64.ln() } else { 0.0 };
                keyframe.observations.push(Observed {
                    landmark: id,
                    seen: Vector2::new(point.x / point.z, point.y / point.z),
                    sigma: 1e-3,
                    weak: Vector2::zeros(),
                    log_depth: Some((point.z.ln() + bias, 0.05)),
                });
            }
        }
        (map, poses, depths)
    }

    #[test]
    fn poses_depths_and_the_networks_wander_are_recovered() {
        let (mut map, poses, depths) = scene(0.1);
        for (index, keyframe) in map.keyframes.iter_mut().enumerate().skip(2) {
            let t = index as f64;
            keyframe.map_from_camera = moved(
                &keyframe.map_from_camera,
                &Vector6::new(0.02 * t, -0.03, 0.04, 0.004 * t, -0.01, 0.003),
            );
        }
        adjust(&mut map, 15);
        for (keyframe, truth) in map.keyframes.iter().zip(&poses) {
            let off = difference(truth, &keyframe.map_from_camera);
            assert!(off.norm() < 2e-3, "keyframe {} is off by {off}", keyframe.id);
        }
        for (landmark, depth) in map.landmarks.iter().zip(&depths) {
            assert!((landmark.inverse_depth * depth - 1.0).abs() < 0.01);
        }
        assert!((map.keyframes[4].depth_log_bias - 1.1f64.ln()).abs() < 0.01);
        assert!(map.keyframes[1].depth_log_bias.abs() < 0.01);
    }

    #[test]
    fn what_is_right_stays() {
        let (mut map, poses, _) = scene(0.0);
        for keyframe in &mut map.keyframes {
            keyframe.observations.iter_mut().for_each(|seen| seen.log_depth = None);
        }
        adjust(&mut map, 5);
        for (keyframe, truth) in map.keyframes.iter().zip(&poses) {
            assert!(difference(truth, &keyframe.map_from_camera).norm() < 1e-6);
        }
    }
}

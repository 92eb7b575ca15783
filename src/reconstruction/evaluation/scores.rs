//! Errors of a trajectory, after Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems" (2012).

use nalgebra::{Isometry3, Matrix3, Rotation3, Translation3, UnitQuaternion, Vector3};
use serde::Serialize;

/// The span of relative errors, seconds.
const SPAN_S: f64 = 1.0;

/// An estimated trajectory beside the true one.
#[derive(Clone, Debug, Default)]
pub struct Trajectories {
    /// Time of each frame, seconds.
    pub times_s: Vec<f64>,
    /// Estimated camera poses, `world_from_camera`.
    pub estimated: Vec<Isometry3<f64>>,
    /// True camera poses, in a world of their own.
    pub truth: Vec<Isometry3<f64>>,
    /// Whether the pose was lost in a frame, or its map given up.
    pub lost: Vec<bool>,
    /// Time that each frame took, seconds.
    pub seconds: Vec<f64>,
}

/// Scores of one recording.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OdometryReport {
    /// Frames.
    pub frames: usize,
    /// Length of the true path, metres.
    pub path_m: f64,
    /// Root mean square distance of the estimated from the true positions after the best rigid alignment (no scale).
    pub ate_rmse_m: f64,
    /// Root mean square error of the motion over one second: translation, …
    pub rpe_trans_m: f64,
    /// … and rotation, degrees.
    pub rpe_rot_deg: f64,
    /// |s - 1| for the factor s on estimated positions in the best similarity alignment.
    pub scale_error: f64,
    /// Mean time of one frame, milliseconds.
    pub ms_per_frame: f64,
    /// 95th percentile of that.
    pub ms_per_frame_p95: f64,
    /// Frames in which the pose was lost, or its map given up.
    pub lost_frames: usize,
}

/// Scores an estimated trajectory; figures of an empty one are not numbers.
pub fn score(trajectories: &Trajectories) -> OdometryReport {
    let Trajectories {
        times_s,
        estimated,
        truth,
        lost,
        seconds,
    } = trajectories;
    let positions = |poses: &[Isometry3<f64>]| poses.iter().map(|pose| pose.translation.vector).collect::<Vec<_>>();
    let (from, to) = (positions(estimated), positions(truth));
    let (rigid, scale) = align(&from, &to);
    let rms = |values: &mut dyn Iterator<Item = f64>| {
        let (count, sum) = values.fold((0usize, 0.0), |(count, sum), value| (count + 1, sum + value * value));
        (sum / count as f64).sqrt()
    };
    let mut relative = Vec::new();
    let mut end = 0;
    for start in 0..times_s.len() {
        while end < times_s.len() && times_s[end] - times_s[start] < SPAN_S - 1e-6 {
            end += 1;
        }
        if end >= times_s.len() {
            break;
        }
        let moved = |poses: &[Isometry3<f64>]| poses[start].inv_mul(&poses[end]);
        let off = moved(truth).inv_mul(&moved(estimated));
        relative.push((off.translation.vector.norm(), off.rotation.angle().to_degrees()));
    }
    let mut sorted = seconds.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    OdometryReport {
        frames: times_s.len(),
        path_m: to.windows(2).map(|pair| (pair[1] - pair[0]).norm()).sum(),
        ate_rmse_m: rms(&mut from
            .iter()
            .zip(&to)
            .map(|(a, b)| (rigid.rotation * a + rigid.translation.vector - b).norm())),
        rpe_trans_m: rms(&mut relative.iter().map(|(shift, _)| *shift)),
        rpe_rot_deg: rms(&mut relative.iter().map(|(_, turn)| *turn)),
        scale_error: (scale - 1.0).abs(),
        ms_per_frame: 1e3 * seconds.iter().sum::<f64>() / seconds.len() as f64,
        ms_per_frame_p95: 1e3 * sorted.get(sorted.len() * 95 / 100).copied().unwrap_or(f64::NAN),
        lost_frames: lost.iter().filter(|lost| **lost).count(),
    }
}

/// The rigid motion that brings `from` nearest to `to`, and the factor that would with a scale (Umeyama 1991).
fn align(from: &[Vector3<f64>], to: &[Vector3<f64>]) -> (Isometry3<f64>, f64) {
    let count = from.len().max(1) as f64;
    let mean = |points: &[Vector3<f64>]| points.iter().sum::<Vector3<f64>>() / count;
    let (mean_from, mean_to) = (mean(from), mean(to));
    let (mut cross, mut spread) = (Matrix3::zeros(), 0.0);
    for (a, b) in from.iter().zip(to) {
        cross += (b - mean_to) * (a - mean_from).transpose();
        spread += (a - mean_from).norm_squared();
    }
    let svd = cross.svd(true, true);
    let (Some(u), Some(vt)) = (svd.u, svd.v_t) else {
        return (Isometry3::identity(), f64::NAN);
    };
    let mut mirror = Matrix3::identity();
    if (u * vt).determinant() < 0.0 {
        mirror[(2, 2)] = -1.0;
    }
    let rotation = UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(u * mirror * vt));
    let scale = (Matrix3::from_diagonal(&svd.singular_values) * mirror).trace() / spread;
    (
        Isometry3::from_parts(Translation3::from(mean_to - rotation * mean_from), rotation),
        scale,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn curve(scale: f64) -> Vec<Isometry3<f64>> {
        (0..90)
            .map(|index| {
                let t = f64::from(index) / 30.0;
                let position = Vector3::new(t, (2.0 * t).sin(), 0.3 * t * t) * scale;
                Isometry3::new(position, Vector3::new(0.1 * t, 0.2, -0.3 * t))
            })
            .collect()
    }

    fn trajectories(estimated: Vec<Isometry3<f64>>) -> Trajectories {
        let elsewhere = Isometry3::new(Vector3::new(3.0, -7.0, 1.0), Vector3::new(0.4, -1.0, 2.0));
        Trajectories {
            times_s: (0..90).map(|index| f64::from(index) / 30.0).collect(),
            estimated,
            truth: curve(1.0).iter().map(|pose| elsewhere * pose).collect(),
            lost: vec![false; 90],
            seconds: vec![0.002; 90],
        }
    }

    #[test]
    fn where_the_world_lies_does_not_matter() {
        let report = score(&trajectories(curve(1.0)));
        assert!(report.ate_rmse_m < 1e-9 && report.rpe_trans_m < 1e-9 && report.rpe_rot_deg < 1e-5);
        assert!(report.scale_error < 1e-9);
        assert!((report.ms_per_frame - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_wrong_scale_is_told_and_not_aligned_away() {
        let report = score(&trajectories(curve(1.1)));
        assert!((report.scale_error - (1.0 - 1.0 / 1.1)).abs() < 1e-9);
        assert!(report.ate_rmse_m > 0.02);
    }
}

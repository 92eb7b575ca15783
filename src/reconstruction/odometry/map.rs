//! The odometry's map: keyframes with their pictures and poses, and landmarks anchored in them.

use std::sync::Arc;

use nalgebra::{Isometry3, Point2, UnitQuaternion, Vector2, Vector3};

use super::gray::GrayPyramid;
use super::pose::Sighting;

/// Keyframes whose poses are still adjusted.
pub(crate) const WINDOW: usize = 7;
/// Older keyframes kept as they are, because landmarks are anchored in them.
const KEPT: usize = 8;
/// Standard deviation of how far the road says that the camera has come: relative, and in heights over it.
const TOLD_SIGMA: (f64, f64) = (0.01, 0.004);
/// Landmarks at most.
const MAX_LANDMARKS: usize = 1500;

/// A frame that landmarks are anchored in.
#[derive(Clone, Debug)]
pub(crate) struct Keyframe {
    pub id: u64,
    pub picture: Arc<GrayPyramid>,
    pub map_from_camera: Isometry3<f64>,
    /// Logarithm of how much too far the depth network saw in this frame, against the map.
    pub depth_log_bias: f64,
    pub observations: Vec<Observed>,
    /// Where the road says it is, and the standard deviation of that.
    pub told: Option<(Vector3<f64>, f64)>,
}

/// A landmark seen in a keyframe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    pub landmark: u64,
    /// x / z, y / z.
    pub seen: Vector2<f64>,
    /// Standard deviation of `seen`.
    pub sigma: f64,
    /// Direction in which it is held worst, as long as the standard deviation that this adds.
    pub weak: Vector2<f64>,
    /// Logarithm of the depth network's depth there and its standard deviation, where it has one.
    pub log_depth: Option<(f64, f64)>,
}

/// A point of the scene that is followed.
#[derive(Clone, Debug)]
pub(crate) struct Landmark {
    pub id: u64,
    /// Keyframe in which it is anchored.
    pub host: u64,
    /// Where it lies there, pixels of the pyramid's ground floor.
    pub anchor: Point2<f32>,
    /// Its ray there, (x / z, y / z, 1).
    pub ray: Vector3<f64>,
    /// Inverse depth in the host, in map units, with its standard deviation.
    pub inverse_depth: f64,
    pub inverse_depth_sigma: f64,
    /// Where it was in the last frame that it was followed in.
    pub position: Option<Point2<f32>>,
    /// Frames in a row in which it contradicted the pose.
    pub failures: u8,
    /// Frames in which it agreed.
    pub agreed: u32,
}

/// Keyframes and landmarks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    /// Oldest first; the last [`WINDOW`] are adjusted.
    pub keyframes: Vec<Keyframe>,
    /// By rising id.
    pub landmarks: Vec<Landmark>,
    next_keyframe: u64,
    next_landmark: u64,
}

impl Map {
    pub fn keyframe(&self, id: u64) -> Option<&Keyframe> {
        let index = self.keyframes.binary_search_by_key(&id, |keyframe| keyframe.id).ok()?;
        self.keyframes.get(index)
    }

    pub fn landmark_index(&self, id: u64) -> Option<usize> {
        self.landmarks.binary_search_by_key(&id, |landmark| landmark.id).ok()
    }

    /// Index of the first keyframe whose pose is adjusted.
    pub fn window_start(&self) -> usize {
        self.keyframes.len().saturating_sub(WINDOW)
    }

    pub fn clear(&mut self) {
        self.keyframes.clear();
        self.landmarks.clear();
    }

    pub fn add_keyframe(&mut self, picture: Arc<GrayPyramid>, pose: Isometry3<f64>, depth_log_bias: f64) -> u64 {
        let id = self.next_keyframe;
        self.next_keyframe += 1;
        self.keyframes.push(Keyframe {
            id,
            picture,
            map_from_camera: pose,
            depth_log_bias,
            observations: Vec::new(),
            told: None,
        });
        id
    }

    /// Holds the newest keyframe where it is: the road tells how far it has come since the one before, for a camera at
    /// this height over it.
    pub fn hold_newest(&mut self, height: f64) {
        if let [.., before, newest] = &mut self.keyframes[..] {
            let here = newest.map_from_camera.translation.vector;
            let come = (here - before.map_from_camera.translation.vector).norm();
            newest.told = Some((here, TOLD_SIGMA.0 * come + TOLD_SIGMA.1 * height));
        }
    }

    pub fn add_landmark(
        &mut self,
        host: u64,
        anchor: Point2<f32>,
        ray: Vector3<f64>,
        inverse_depth: (f64, f64),
    ) -> u64 {
        let id = self.next_landmark;
        self.next_landmark += 1;
        self.landmarks.push(Landmark {
            id,
            host,
            anchor,
            ray,
            inverse_depth: inverse_depth.0,
            inverse_depth_sigma: inverse_depth.1,
            position: Some(anchor),
            failures: 0,
            agreed: 0,
        });
        id
    }

    /// Where a landmark is seen now, for the pose.
    pub fn sighting(
        &self,
        landmark: &Landmark,
        seen: Vector2<f64>,
        sigma: f64,
        weak: Vector2<f64>,
    ) -> Option<Sighting> {
        let host = self.keyframe(landmark.host)?;
        Some(Sighting {
            origin: host.map_from_camera.translation.vector,
            direction: host.map_from_camera.rotation * landmark.ray,
            inverse_depth: landmark.inverse_depth,
            inverse_depth_sigma: landmark.inverse_depth_sigma,
            seen,
            sigma,
            weak,
        })
    }

    /// The landmark in a camera's frame, times its inverse depth; `None` behind the camera.
    pub fn in_camera(&self, landmark: &Landmark, map_from_camera: &Isometry3<f64>) -> Option<Vector3<f64>> {
        let q = self
            .sighting(landmark, Vector2::zeros(), 1.0, Vector2::zeros())?
            .in_camera(map_from_camera);
        (q.z > 0.05).then_some(q)
    }

    /// Reads the whole map with another focal length, `factor` times the one before: all rays and sightings. Right for
    /// lenses without distortion. The keyframes are put where they then are, to first order: as seen from the newest, a shift
    /// or turn that moves the picture as much as before. Else those that are no longer adjusted would hold on to the old one.
    pub fn refocus(&mut self, factor: f64) {
        let to_rays = 1.0 / factor;
        let aside = Vector3::new(to_rays, to_rays, 1.0);
        if let Some(newest) = self.keyframes.last().map(|keyframe| keyframe.map_from_camera) {
            for keyframe in &mut self.keyframes {
                let pose = newest.inv_mul(&keyframe.map_from_camera);
                let turn = pose.rotation.scaled_axis().component_mul(&aside);
                let shift = pose.translation.vector.component_mul(&aside);
                let moved = Isometry3::from_parts(shift.into(), UnitQuaternion::from_scaled_axis(turn));
                keyframe.map_from_camera = newest * moved;
            }
        }
        for landmark in &mut self.landmarks {
            landmark.ray.x *= to_rays;
            landmark.ray.y *= to_rays;
        }
        for seen in self
            .keyframes
            .iter_mut()
            .flat_map(|keyframe| &mut keyframe.observations)
        {
            seen.seen *= to_rays;
            seen.sigma *= to_rays;
            seen.weak *= to_rays;
        }
    }

    /// Forgets what is old: keyframes beyond those kept, with their landmarks, and the landmarks that no longer serve.
    pub fn prune(&mut self) {
        let excess = self.keyframes.len().saturating_sub(WINDOW + KEPT);
        self.keyframes.drain(..excess);
        let oldest = self.keyframes.first().map_or(0, |keyframe| keyframe.id);
        let newest = self.keyframes.last().map_or(0, |keyframe| keyframe.id);
        self.landmarks.retain(|landmark| {
            // One that was never confirmed is not worth looking for again.
            let confirmed = landmark.agreed >= 3 || landmark.host + 1 >= newest;
            landmark.host >= oldest && landmark.failures < 3 && (landmark.position.is_some() || confirmed)
        });
        let excess = self.landmarks.len().saturating_sub(MAX_LANDMARKS);
        self.landmarks.drain(..excess);
        let landmarks = &self.landmarks;
        let start = self.keyframes.len().saturating_sub(WINDOW);
        for (index, keyframe) in self.keyframes.iter_mut().enumerate() {
            if index < start {
                keyframe.observations = Vec::new();
            } else {
                keyframe
                    .observations
                    .retain(|seen| landmarks.binary_search_by_key(&seen.landmark, |l| l.id).is_ok());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const TRUE: f64 = 1.0;
    /// Read with a focal length this much too long, or too short.
    const WRONG: [f64; 2] = [1.15, 0.85];

    /// What a camera that drives a bend sees of the point `(x, y, z)`, read with a focal length `factor` times the true one.
    fn seen(pose: &Isometry3<f64>, point: &Vector3<f64>, factor: f64) -> Vector2<f64> {
        let q = pose.rotation.inverse() * (point - pose.translation.vector);
        q.xy() / q.z / factor
    }

    /// A map as it would be if all its poses and depths were right for a focal length, the newest pose at the origin.
    fn map_of(factor: f64) -> Map {
        let mut map = Map::default();
        for step in 0..4 {
            let back = f64::from(3 - step);
            let pose = Isometry3::from_parts(
                Vector3::new(0.02 * back * back / factor, 0.0, -0.8 * back).into(),
                UnitQuaternion::from_scaled_axis(Vector3::y() * (-0.02 * back / factor)),
            );
            let id = map.next_keyframe;
            map.next_keyframe += 1;
            map.keyframes.push(Keyframe {
                id,
                picture: Arc::default(),
                map_from_camera: pose,
                depth_log_bias: 0.0,
                observations: vec![Observed {
                    landmark: 0,
                    seen: seen(&pose, &Vector3::new(1.0, 0.5, 12.0), 1.0),
                    sigma: 0.001 / factor,
                    weak: Vector2::new(0.004, 0.0) / factor,
                    log_depth: None,
                }],
                told: None,
            });
        }
        map
    }

    #[test]
    fn a_map_that_is_read_with_another_focal_length_shows_what_it_would_have_been() {
        for factor in WRONG {
            let mut map = map_of(TRUE);
            map.refocus(factor);
            for (found, expected) in map.keyframes.iter().zip(map_of(factor).keyframes) {
                let off = found.map_from_camera.inv_mul(&expected.map_from_camera);
                assert!(
                    off.translation.vector.norm() < 1e-9 && off.rotation.angle() < 1e-9,
                    "{off}"
                );
                // What is not known of a position stays as many pixels as it was, across edges and along them.
                let (found, expected) = (&found.observations[0], &expected.observations[0]);
                assert!((found.sigma - expected.sigma).abs() < 1e-12);
                assert!((found.weak - expected.weak).norm() < 1e-12);
            }
        }
    }
}

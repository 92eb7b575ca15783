//! A camera on a tripod: whether it only turns.
//!
//! When turning alone explains where everything is seen, near and far, there is nothing that a shift could be told from but
//! the errors of depths, so the simpler explanation is taken: the camera is where it was when the turning began. This is the
//! static test for a camera that pans.

use std::collections::BTreeMap;

use nalgebra::{Isometry3, UnitQuaternion, Vector2, Vector3};

use super::pose::{self, Far};

/// Median distance from where turning alone would show the landmarks, up to which it explains them, working pixels.
const EXPLAINED_PX: f64 = 0.7;
/// Landmarks that are further off than this by turning alone and explained by free motion contradict; more than this share of
/// them, and it did not only turn.
const CONTRADICTED_PX: f64 = 1.5;
const MOST_CONTRADICTING: f64 = 0.1;
/// Landmarks that must be known from before, and one of how many in view.
const LEAST: usize = 20;
const LEAST_SHARE: usize = 2;
/// They must have been seen for this long, seconds, and for this share of the time since the turning began.
const OLD_S: f64 = 0.3;
const OLD_SHARE: f64 = 0.5;
/// Time for which turning alone must have explained everything, seconds: who drives away slowly has moved further by then.
const ESTABLISHED_S: f64 = 0.5;
/// Directions kept at most.
const MOST: usize = 4000;

/// A landmark as it is seen now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub landmark: u64,
    /// x / z, y / z, 1.
    pub ray: Vector3<f64>,
    /// See [`Far::weak`].
    pub weak: Vector2<f64>,
    /// How far from there it should be seen after the motion that was found without restraint, x / z and y / z.
    pub off: Vector2<f64>,
    /// Whether that counts as agreement.
    pub agrees: bool,
}

/// Directions in which landmarks are seen from one place.
#[derive(Default)]
pub(super) struct Pivot {
    position: Vector3<f64>,
    since_s: f64,
    /// By the landmark's id: unit, map; and when it was first seen so.
    directions: BTreeMap<u64, (Vector3<f64>, f64)>,
}

impl Pivot {
    /// Begins anew at a pose, from which landmarks are seen so.
    pub fn begin<'a>(&mut self, seen: impl Iterator<Item = &'a Seen>, map_from_camera: &Isometry3<f64>, time_s: f64) {
        self.position = map_from_camera.translation.vector;
        self.since_s = time_s;
        self.directions = seen
            .map(|seen| (seen.landmark, (map_from_camera.rotation * seen.ray.normalize(), time_s)))
            .collect();
    }

    /// The camera's orientation by which it has only turned, `None` where that does not explain what is seen. `last` is the
    /// orientation before, `guess` what it has turned since (last from now).
    pub fn turned(
        &self,
        seen: &[Seen],
        last: &UnitQuaternion<f64>,
        guess: &UnitQuaternion<f64>,
        focal: f64,
        time_s: f64,
    ) -> Option<UnitQuaternion<f64>> {
        // What came into view a moment ago has had no time to contradict.
        let old_s = OLD_S.min(OLD_SHARE * (time_s - self.since_s));
        let to_last = last.inverse();
        let (pairs, free): (Vec<Far>, Vec<Vector2<f64>>) = seen
            .iter()
            .filter_map(|seen| {
                let (direction, since_s) = self.directions.get(&seen.landmark)?;
                if time_s - since_s < old_s {
                    return None;
                }
                let before = to_last * direction;
                let far = Far {
                    before: before / before.z,
                    now: seen.ray,
                    weak: seen.weak,
                };
                (before.z > 0.1).then_some((far, seen.off))
            })
            .unzip();
        if pairs.len() < LEAST || pairs.len() * LEAST_SHARE < seen.len() {
            return None;
        }
        let turn = pose::turn(&pairs, guess, 1.0 / focal)?;
        let mut off: Vec<f64> = pairs
            .iter()
            .map(|far| {
                let q = turn * far.now;
                focal * (far.whitening() * (q.xy() / q.z - far.before.xy())).norm()
            })
            .collect();
        // What is near tells a shift, however much there is that is far.
        let contradict = off.iter().zip(&pairs).zip(&free).filter(|((off, far), free)| {
            **off > CONTRADICTED_PX && focal * (far.whitening() * **free).norm() < EXPLAINED_PX
        });
        let contradicting = contradict.count();
        if contradicting as f64 > MOST_CONTRADICTING * pairs.len() as f64 {
            return None;
        }
        let middle = off.len() / 2;
        let (_, median, _) = off.select_nth_unstable_by(middle, f64::total_cmp);
        (*median < EXPLAINED_PX).then(|| last * turn)
    }

    /// Takes new landmarks in; where the camera is, once it is clear that it only turns.
    pub fn hold(&mut self, seen: &[Seen], rotation: &UnitQuaternion<f64>, time_s: f64) -> Option<Vector3<f64>> {
        for seen in seen {
            self.directions
                .entry(seen.landmark)
                .or_insert_with(|| (rotation * seen.ray.normalize(), time_s));
        }
        while self.directions.len() > MOST {
            self.directions.pop_first();
        }
        (time_s - self.since_s >= ESTABLISHED_S).then_some(self.position)
    }

    /// The map's adjustment has moved the camera a little.
    pub fn shift_to(&mut self, map_from_camera: &Isometry3<f64>) {
        self.position = map_from_camera.translation.vector;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use nalgebra::{Point3, Translation3};

    use super::*;

    const FOCAL: f64 = 500.0;
    const FRAME_S: f64 = 1.0 / 30.0;

    /// A cloud of landmarks, half of them on edges along which they slide, as a camera sees it.
    fn look(pose: &Isometry3<f64>, frame: usize) -> Vec<Seen> {
        let places = (0..1800).map(|index| {
            let angle = f64::from(index) * 0.351;
            let far = 4.0 + f64::from(index * 7 % 31);
            (
                index,
                Point3::new(
                    far * angle.sin(),
                    (f64::from(index % 9) * 0.08 - 0.32) * far,
                    far * angle.cos(),
                ),
            )
        });
        places
            .filter_map(|(index, place)| {
                let q = pose.inverse_transform_point(&place);
                (q.z > 1.0 && q.x.abs() < 0.6 * q.z && q.y.abs() < 0.4 * q.z).then(|| {
                    let noise = |salt: usize| (((index as usize * 37 + frame * 101 + salt) % 17) as f64 - 8.0) * 0.03;
                    let edge = index % 2 == 0;
                    let slid = if edge { 0.5 * (frame % 5) as f64 } else { 0.0 };
                    Seen {
                        landmark: index as u64,
                        ray: Vector3::new(q.x / q.z + (noise(0) + slid) / FOCAL, q.y / q.z + noise(5) / FOCAL, 1.0),
                        weak: Vector2::new(if edge { 12.0 } else { 0.0 }, 0.0),
                        off: Vector2::new(noise(0) / FOCAL, noise(5) / FOCAL),
                        agrees: true,
                    }
                })
            })
            .collect()
    }

    /// How often a camera on this way is held, and how far it was off then at most.
    fn held(frames: usize, way: impl Fn(f64) -> Isometry3<f64>) -> (usize, f64) {
        let mut pivot = Pivot::default();
        let mut last = way(0.0);
        let (mut count, mut worst) = (0, 0.0f64);
        for frame in 0..frames {
            let time_s = frame as f64 * FRAME_S;
            let truth = way(time_s);
            let seen = look(&truth, frame);
            assert!(seen.len() > 40);
            let guess = last.rotation.inverse() * truth.rotation;
            match pivot.turned(&seen, &last.rotation, &guess, FOCAL, time_s) {
                Some(rotation) => {
                    assert!(rotation.angle_to(&truth.rotation) < 0.01);
                    if let Some(position) = pivot.hold(&seen, &rotation, time_s) {
                        count += 1;
                        worst = worst.max((position - truth.translation.vector).norm());
                    }
                }
                None => pivot.begin(seen.iter(), &truth, time_s),
            }
            last = truth;
        }
        (count, worst)
    }

    fn pose(x: f64, z: f64, yaw: f64) -> Isometry3<f64> {
        Isometry3::from_parts(
            Translation3::new(x, 0.0, z),
            UnitQuaternion::from_axis_angle(&Vector3::y_axis(), yaw),
        )
    }

    #[test]
    fn a_camera_that_only_turns_is_held_where_it_is() {
        let (count, worst) = held(120, |t| pose(0.0, 0.0, 0.8 * (0.9 * t).sin()));
        assert!(count >= 95, "held {count} times");
        assert_eq!(worst, 0.0);
    }

    #[test]
    fn a_camera_that_turns_and_walks_is_not_held() {
        let (count, worst) = held(120, |t| pose(0.5 * t, 0.3 * t, 0.8 * (0.9 * t).sin()));
        assert!(count <= 6 && worst < 0.5, "held {count} times, off by {worst} m");
    }

    #[test]
    fn a_car_in_a_bend_is_not_held() {
        let (radius, speed) = (12.0, 4.0);
        let (count, _) = held(90, |t| {
            let angle = speed * t / radius;
            pose(radius * (1.0 - angle.cos()), radius * angle.sin(), angle)
        });
        assert_eq!(count, 0);
    }
}

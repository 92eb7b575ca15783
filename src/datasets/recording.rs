//! A recording with known trajectories, whatever data set it is from.

use std::path::PathBuf;
use std::sync::Arc;

use nalgebra::{Isometry3, Point3, UnitQuaternion, Vector3};

use super::DataSource;
use super::classes::ObjectKind;
use crate::camera::Camera;
use crate::detection::{BoundingBox, ClassLabel};

/// Corners of a cuboid nearer to the picture plane than this, metres, are not projected.
const NEAR_M: f64 = 0.1;

/// Where the truth is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelSource {
    /// People's cuboids on lidar points.
    Lidar,
    /// Visual-inertial odometry of worn devices.
    Vio,
    /// Our own estimates.
    Pseudo,
    /// A renderer.
    Sim,
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// Traffic.
    Driving,
    /// Sports: no questions about directions, as the ST-VLM paper has it.
    Sports,
    /// Anything else.
    General,
}

/// A pose at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimedPose {
    /// Seconds from the recording's first label.
    pub time_s: f64,
    /// Maps points of the body (vehicle or camera) to the world.
    pub world_from_body: Isometry3<f64>,
}

/// A picture on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Seconds from the recording's first label.
    pub time_s: f64,
    /// The file.
    pub path: PathBuf,
}

/// One camera of a recording, with its way through the world.
#[derive(Clone, Debug)]
pub struct CameraTrack {
    /// Its name in the data set.
    pub name: String,
    /// Intrinsics and mounting.
    pub camera: Arc<Camera>,
    /// Poses (x right, y down, z forward) in order of time.
    pub poses: Vec<TimedPose>,
    /// Pictures in order of time; empty where there are none.
    pub pictures: Vec<Picture>,
}

/// A box in the picture that the data set itself gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelledBox {
    /// Where.
    pub bbox: BoundingBox,
    /// Share of the object beyond the picture's edge, 0 to 1.
    pub truncation: f32,
    /// 0 visible, 1 partly hidden, 2 largely hidden, 3 not known.
    pub occlusion: u8,
}

/// Where an object is at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectSample {
    /// Seconds from the recording's first label.
    pub time_s: f64,
    /// Centre, metres.
    pub center_in_world: Point3<f64>,
    /// Maps the object's axes (x forward, y left, z up) to the world's.
    pub world_from_object: UnitQuaternion<f64>,
    /// Length, width and height, metres.
    pub size_m: Option<Vector3<f64>>,
    /// Whether sensors saw enough of it to call it visible (lidar points, visibility), apart from any camera.
    pub seen: bool,
    /// Box in the picture of the recording's only camera, where the data set gives it.
    pub labelled_box: Option<LabelledBox>,
}

/// One object through a recording.
#[derive(Clone, Debug)]
pub struct ObjectTrack {
    /// Identity within the recording.
    pub id: u64,
    /// Identity in the data set.
    pub name: String,
    /// What it is, in our words.
    pub class: ClassLabel,
    /// What kind of thing it is.
    pub kind: ObjectKind,
    /// Positions in order of time.
    pub samples: Vec<ObjectSample>,
}

/// A recording with known trajectories.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its name in the data set.
    pub name: String,
    /// Which data set it is from.
    pub source: DataSource,
    /// Where its truth is from.
    pub label_source: LabelSource,
    /// What is going on.
    pub domain: Domain,
    /// Times at which objects are labelled, seconds from the first, in order.
    pub label_times_s: Vec<f64>,
    /// Poses of the vehicle (x forward, y left, z up) or the wearer; empty where they are not known.
    pub ego: Vec<TimedPose>,
    /// The cameras; empty where there is no calibration.
    pub cameras: Vec<CameraTrack>,
    /// All labelled objects.
    pub objects: Vec<ObjectTrack>,
}

/// The pose at `time_s`: straight interpolation of the place, and along the great circle of the attitude. `None` outside
/// of the poses by more than a microsecond.
pub fn pose_at(poses: &[TimedPose], time_s: f64) -> Option<Isometry3<f64>> {
    let (index, fraction) = bracket(poses, time_s, |pose| pose.time_s)?;
    let before = poses.get(index)?;
    match poses.get(index + 1) {
        Some(after) if fraction > 0.0 => {
            let (a, b) = (before.world_from_body, after.world_from_body);
            let place = a.translation.vector.lerp(&b.translation.vector, fraction);
            // Opposite attitudes within one interval have no way between them; the earlier one stands then.
            let turn = a.rotation.try_slerp(&b.rotation, fraction, 1e-9).unwrap_or(a.rotation);
            Some(Isometry3::from_parts(place.into(), turn))
        }
        _ => Some(before.world_from_body),
    }
}

/// The item at or before `time_s`, and how far it is to the next, 0 to 1.
fn bracket<T>(items: &[T], time_s: f64, time_of: impl Fn(&T) -> f64) -> Option<(usize, f64)> {
    const TOLERANCE_S: f64 = 1e-6;
    let (first_s, last_s) = (time_of(items.first()?), time_of(items.last()?));
    if !(first_s - TOLERANCE_S..=last_s + TOLERANCE_S).contains(&time_s) {
        return None;
    }
    let time_s = time_s.clamp(first_s, last_s);
    let index = items.partition_point(|item| time_of(item) <= time_s).saturating_sub(1);
    let before_s = time_of(items.get(index)?);
    let fraction = items.get(index + 1).map_or(0.0, |after| {
        let gap_s = time_of(after) - before_s;
        if gap_s > 0.0 { (time_s - before_s) / gap_s } else { 0.0 }
    });
    Some((index, fraction))
}

impl ObjectTrack {
    /// The object at `time_s`, interpolated between its neighbouring samples, which must be no more than `max_gap_s`
    /// apart; `None` outside of its samples.
    pub fn at(&self, time_s: f64, max_gap_s: f64) -> Option<ObjectSample> {
        let (index, fraction) = bracket(&self.samples, time_s, |sample| sample.time_s)?;
        let before = self.samples.get(index)?;
        let Some(after) = self.samples.get(index + 1).filter(|_| fraction > 0.0) else {
            return Some(*before);
        };
        if after.time_s - before.time_s > max_gap_s {
            return None;
        }
        let nearer = if fraction < 0.5 { before } else { after };
        Some(ObjectSample {
            time_s,
            center_in_world: before.center_in_world + (after.center_in_world - before.center_in_world) * fraction,
            world_from_object: before
                .world_from_object
                .try_slerp(&after.world_from_object, fraction, 1e-9)
                .unwrap_or(before.world_from_object),
            size_m: nearer.size_m,
            seen: before.seen && after.seen,
            labelled_box: before
                .labelled_box
                .zip(after.labelled_box)
                .map(|(a, b)| LabelledBox::between(&a, &b, fraction as f32)),
        })
    }
}

impl LabelledBox {
    fn between(a: &Self, b: &Self, fraction: f32) -> Self {
        let mix = |a: f32, b: f32| a + (b - a) * fraction;
        Self {
            bbox: BoundingBox::new(
                mix(a.bbox.x0, b.bbox.x0),
                mix(a.bbox.y0, b.bbox.y0),
                mix(a.bbox.x1, b.bbox.x1),
                mix(a.bbox.y1, b.bbox.y1),
            ),
            truncation: a.truncation.max(b.truncation),
            occlusion: a.occlusion.max(b.occlusion),
        }
    }
}

impl CameraTrack {
    /// The box in which an object appears, and the share of that box beyond the picture's edge; `None` when it is not in
    /// the picture, reaches behind the camera, or has no known size.
    pub fn appearance(&self, object: &ObjectSample) -> Option<LabelledBox> {
        let world_from_camera = pose_at(&self.poses, object.time_s)?;
        let (low, high) = self.project(&world_from_camera, object)?;
        let whole = BoundingBox::new(low.0 as f32, low.1 as f32, high.0 as f32, high.1 as f32);
        let intrinsics = &self.camera.intrinsics;
        let bbox = whole.clipped(intrinsics.width as f32, intrinsics.height as f32);
        if !bbox.is_valid() || !whole.is_valid() {
            return None;
        }
        Some(LabelledBox {
            bbox,
            truncation: 1.0 - bbox.area() / whole.area(),
            occlusion: if object.seen { 0 } else { 3 },
        })
    }

    /// Upper left and lower right corner of the box around the projected cuboid.
    fn project(&self, world_from_camera: &Isometry3<f64>, object: &ObjectSample) -> Option<((f64, f64), (f64, f64))> {
        let half = object.size_m? * 0.5;
        let camera_from_world = world_from_camera.inverse();
        let (mut low, mut high) = ((f64::INFINITY, f64::INFINITY), (f64::NEG_INFINITY, f64::NEG_INFINITY));
        for corner in 0..8u8 {
            let sign = |bit: u8| if corner & bit == 0 { -1.0 } else { 1.0 };
            let offset = Vector3::new(half.x * sign(1), half.y * sign(2), half.z * sign(4));
            let point = camera_from_world * (object.center_in_world + object.world_from_object * offset);
            if point.z < NEAR_M {
                return None;
            }
            let pixel = self.camera.intrinsics.project(&point)?;
            low = (low.0.min(pixel.x), low.1.min(pixel.y));
            high = (high.0.max(pixel.x), high.1.max(pixel.y));
        }
        Some((low, high))
    }

    /// Whether an object's centre is in the picture.
    pub fn shows(&self, object: &ObjectSample) -> bool {
        let intrinsics = &self.camera.intrinsics;
        let pixel = pose_at(&self.poses, object.time_s).and_then(|world_from_camera| {
            let point = world_from_camera.inverse() * object.center_in_world;
            intrinsics.project(&point)
        });
        pixel.is_some_and(|pixel| {
            (0.0..f64::from(intrinsics.width)).contains(&pixel.x)
                && (0.0..f64::from(intrinsics.height)).contains(&pixel.y)
        })
    }

    /// The box of an object in this camera's picture: that of the data set where it gives one, else the projected cuboid.
    pub fn box_of(&self, object: &ObjectSample) -> Option<LabelledBox> {
        object.labelled_box.or_else(|| self.appearance(object))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample(time_s: f64, x: f64) -> ObjectSample {
        ObjectSample {
            time_s,
            center_in_world: Point3::new(x, 0.0, 0.0),
            world_from_object: UnitQuaternion::identity(),
            size_m: Some(Vector3::new(4.0, 2.0, 2.0)),
            seen: true,
            labelled_box: None,
        }
    }

    #[test]
    fn positions_are_interpolated_by_time_and_not_over_gaps() {
        let track = ObjectTrack {
            id: 1,
            name: "1".into(),
            class: ClassLabel::new("car"),
            kind: ObjectKind::Vehicle,
            samples: vec![sample(0.0, 0.0), sample(0.1, 1.0), sample(5.0, 2.0)],
        };
        assert!((track.at(0.05, 1.0).unwrap().center_in_world.x - 0.5).abs() < 1e-12);
        assert_eq!(track.at(0.1, 1.0).unwrap().center_in_world.x, 1.0);
        assert!(track.at(2.0, 1.0).is_none());
        assert_eq!(track.at(5.0, 1.0).unwrap().center_in_world.x, 2.0);
        assert!(track.at(5.1, 1.0).is_none());
    }

    #[test]
    fn a_cuboid_ahead_is_a_box_about_the_middle() {
        let camera = Arc::new(Camera::assumed(1000, 500).unwrap());
        let level = crate::camera::Mounting::level(0.0).world_from_camera();
        let track = CameraTrack {
            name: "front".into(),
            camera,
            poses: vec![TimedPose {
                time_s: 0.0,
                world_from_body: level,
            }],
            pictures: Vec::new(),
        };
        let seen = track.appearance(&sample(0.0, 20.0)).unwrap();
        let (x, y) = seen.bbox.center();
        assert!((x - 500.0).abs() < 1e-3 && (y - 250.0).abs() < 1e-3, "{seen:?}");
        let expected = track.camera.intrinsics.fx * 2.0 / 18.0;
        assert!((f64::from(seen.bbox.height()) - expected).abs() < 1e-3);
        assert_eq!(seen.truncation, 0.0);
        assert!(track.appearance(&sample(0.0, 1.0)).is_none());
    }
}

//! A drive with known truth, whatever data set it is from.

use std::sync::Arc;

use nalgebra::{Isometry3, Point3};

use crate::camera::Camera;
use crate::datasets::{CameraTrack, ObjectKind, Recording};
use crate::detection::{BoundingBox, ClassLabel};

/// What is observed: boxes at least so tall, pixels, …
const MIN_HEIGHT_PX: f32 = 25.0;
/// … and at most partly hidden.
const MAX_OCCLUSION: u8 = 1;
/// Times that differ by less are those of one frame, seconds.
const SAME_TIME_S: f64 = 1e-4;

/// Which group an object is scored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Cars, vans, trucks, buses.
    Vehicle,
    /// People on foot.
    Pedestrian,
    /// Observed like all others, but not scored.
    Other,
}

/// One object in one frame.
#[derive(Clone, Debug)]
pub struct TrueObject {
    /// Identity within the scene.
    pub id: u64,
    /// Class, as our priors name it.
    pub class: ClassLabel,
    /// Where it is scored.
    pub group: Group,
    /// Centre, metres.
    pub position_in_world: Point3<f64>,
    /// Box in the picture; `None` when it is not in it.
    pub bbox: Option<BoundingBox>,
    /// Whether it is seen well enough to be observed.
    pub observable: bool,
}

/// One frame of a scene.
#[derive(Clone, Debug)]
pub struct SceneFrame {
    /// Stream time, seconds.
    pub time_s: f64,
    /// Camera pose.
    pub world_from_camera: Isometry3<f64>,
    /// All labelled objects.
    pub objects: Vec<TrueObject>,
}

/// A drive with known truth.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Its name in the data set.
    pub name: String,
    /// The camera.
    pub camera: Arc<Camera>,
    /// Its frames, in order of time.
    pub frames: Vec<SceneFrame>,
}

impl Scene {
    /// What each camera of a recording saw: one scene a camera. Objects that do not move by themselves are left out.
    pub fn from_recording(recording: &Recording) -> Vec<Self> {
        let several = recording.cameras.len() > 1;
        let name = |camera: &CameraTrack| match several {
            true => format!("{}/{}", recording.name, camera.name),
            false => recording.name.clone(),
        };
        let scenes = recording.cameras.iter().map(|camera| Self {
            name: name(camera),
            camera: camera.camera.clone(),
            frames: frames(recording, camera),
        });
        scenes.collect()
    }
}

fn frames(recording: &Recording, camera: &CameraTrack) -> Vec<SceneFrame> {
    let mut frames: Vec<SceneFrame> = camera
        .poses
        .iter()
        .map(|pose| SceneFrame {
            time_s: pose.time_s,
            world_from_camera: pose.world_from_body,
            objects: Vec::new(),
        })
        .collect();
    for track in &recording.objects {
        let group = match track.kind {
            ObjectKind::Vehicle => Group::Vehicle,
            ObjectKind::Pedestrian => Group::Pedestrian,
            ObjectKind::OtherMoving => Group::Other,
            ObjectKind::Still => continue,
        };
        for sample in &track.samples {
            let index = frames.partition_point(|frame| frame.time_s < sample.time_s - SAME_TIME_S);
            let Some(frame) = frames
                .get_mut(index)
                .filter(|frame| frame.time_s < sample.time_s + SAME_TIME_S)
            else {
                continue;
            };
            let labelled = camera.box_of(sample);
            let observable = labelled.is_some_and(|labelled| {
                labelled.truncation <= 0.0
                    && labelled.occlusion <= MAX_OCCLUSION
                    && labelled.bbox.height() >= MIN_HEIGHT_PX
            });
            frame.objects.push(TrueObject {
                id: track.id,
                class: track.class,
                group,
                position_in_world: sample.center_in_world,
                bbox: labelled.map(|labelled| labelled.bbox),
                observable: observable && sample.seen,
            });
        }
    }
    frames
}

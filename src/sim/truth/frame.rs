//! The truth of one frame: where the camera and every actor are, and what the picture shows of them.

use nalgebra::{Isometry3, Point3, Vector3};

use crate::camera::Intrinsics;
use crate::sim::actor::{Actor, ActorClass, Size};
use crate::sim::render::{Rendered, Sighting};
use crate::sim::world::Snapshot;

/// What is true of one actor at the time of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectTruth {
    /// Identity within the world, from 1; the value of its pixels in the instance mask.
    pub id: u16,
    /// What it is.
    pub class: ActorClass,
    /// The box that holds it.
    pub size: Size,
    /// The box's centre in the world, metres.
    pub center_in_world: Point3<f64>,
    /// Heading about the world's up axis, radians, counter-clockwise from x.
    pub yaw_rad: f64,
    /// Velocity in the world, m/s.
    pub velocity_in_world_mps: Vector3<f64>,
    /// The box's centre in the camera frame, metres.
    pub center_in_camera: Point3<f64>,
    /// Heading about the camera's y axis, radians: 0 points along the picture's right, π/2 towards the camera.
    pub yaw_in_camera_rad: f64,
    /// What the picture shows of it; `None` when no part of its silhouette lies in the picture.
    pub sighting: Option<Sighting>,
}

/// What is true of one frame, beside its depth and masks.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameTruth {
    /// Number of the frame, from 0.
    pub frame: u64,
    /// Seconds since the world began.
    pub time_s: f64,
    /// How points become pixels.
    pub intrinsics: Intrinsics,
    /// The camera's pose.
    pub world_from_camera: Isometry3<f64>,
    /// The camera's velocity in the world, m/s.
    pub camera_velocity_mps: Vector3<f64>,
    /// All actors of the world, by ascending id.
    pub objects: Vec<ObjectTruth>,
}

impl FrameTruth {
    /// Of the picture that was `rendered` of `snapshot`; `intrinsics` are the world's camera's.
    pub fn new(frame: u64, intrinsics: &Intrinsics, snapshot: &Snapshot, rendered: &Rendered) -> Self {
        Self {
            frame,
            time_s: snapshot.time_s,
            intrinsics: *intrinsics,
            world_from_camera: snapshot.world_from_camera,
            camera_velocity_mps: snapshot.camera_velocity_mps,
            objects: snapshot
                .actors
                .iter()
                .map(|actor| {
                    let sighting = rendered.sightings.iter().find(|sighting| sighting.id == actor.id);
                    object(actor, &snapshot.world_from_camera, sighting.copied())
                })
                .collect(),
        }
    }

    /// The objects of which some part lies in the picture, hidden or not, with what it shows of them.
    pub fn in_picture(&self) -> impl Iterator<Item = (&ObjectTruth, &Sighting)> {
        self.objects
            .iter()
            .filter_map(|object| Some((object, object.sighting.as_ref()?)))
    }
}

fn object(actor: &Actor, world_from_camera: &Isometry3<f64>, sighting: Option<Sighting>) -> ObjectTruth {
    let center_in_world = actor.center_in_world();
    let heading_in_world = Vector3::new(actor.yaw_rad.cos(), actor.yaw_rad.sin(), 0.0);
    let heading_in_camera = world_from_camera.inverse_transform_vector(&heading_in_world);
    ObjectTruth {
        id: actor.id,
        class: actor.class,
        size: actor.size,
        center_in_world,
        yaw_rad: actor.yaw_rad,
        velocity_in_world_mps: actor.velocity_in_world_mps,
        center_in_camera: world_from_camera.inverse_transform_point(&center_in_world),
        yaw_in_camera_rad: (-heading_in_camera.z).atan2(heading_in_camera.x),
        sighting,
    }
}

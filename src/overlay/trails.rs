//! The way each object took over the ground in the last seconds.

use nalgebra::Point3;

use super::canvas::PictureMut;
use super::{Look, color_of, shapes};
use crate::kinematics::ObjectState;
use crate::reconstruction::View;
use crate::results::FrameResults;

/// How far back a trail reaches.
const TRAIL_S: f64 = 4.0;
/// Time between two points of a trail.
const STEP_S: f64 = 0.125;

/// A point of a trail and how fresh it is, from 0 (about to go) to 1 (now).
pub(super) type TrailPoint = (Point3<f64>, f32);

/// The recent way of `object`, oldest first: settled positions, then where it is now. Empty where nothing is stored.
pub(super) fn trail_of(object: &ObjectState, results: &FrameResults) -> Vec<TrailPoint> {
    let Some(trajectories) = &results.trajectories else {
        return Vec::new();
    };
    let now_s = results.time.seconds();
    let steps = (TRAIL_S / STEP_S) as u32;
    let mut trail: Vec<TrailPoint> = trajectories.read(|store| {
        let stored = store.get(object.track_id);
        let settled = stored.into_iter().flat_map(|stored| {
            (0..steps).rev().filter_map(move |step| {
                let age_s = f64::from(step + 1) * STEP_S;
                let sample = stored.settled.at(now_s - age_s)?;
                Some((sample.position_in_world, (1.0 - age_s / TRAIL_S) as f32))
            })
        });
        settled.collect()
    });
    if !trail.is_empty() && object.live.position_in_world.iter().all(|c| c.is_finite()) {
        trail.push((object.live.position_in_world, 1.0));
    }
    trail
}

/// Draws the trails of all objects of the frame on the ground; objects whose ground is unknown keep their own height.
pub(super) fn draw(picture: &mut PictureMut, look: &Look, results: &FrameResults, view: &View) {
    let camera_from_world = view.world_from_camera.inverse();
    let intrinsics = &view.camera.intrinsics;
    let scale = (
        picture.width() as f32 / intrinsics.width.max(1) as f32,
        picture.height() as f32 / intrinsics.height.max(1) as f32,
    );
    for object in &results.objects {
        let ink = picture.ink(color_of(object.track_id));
        let mut before: Option<(f32, f32)> = None;
        for (mut position, freshness) in trail_of(object, results) {
            if let Some(ground_z) = view.ground_z_in_world_m {
                position.z = ground_z;
            }
            let Some(pixel) = intrinsics.project(&(camera_from_world * position)) else {
                before = None;
                continue;
            };
            let here = (pixel.x as f32 * scale.0, pixel.y as f32 * scale.1);
            match before {
                Some(from) if (here.0 - from.0).hypot(here.1 - from.1) < 1.0 => continue,
                Some(from) => shapes::line(picture, from, here, look.line * 1.3, &ink, 0.25 + 0.55 * freshness),
                None => {}
            }
            before = Some(here);
        }
    }
}

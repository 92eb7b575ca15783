//! Which way an object moves at each of a clip's times against its first move: what the network starts from when it tells
//! clock hours, and corrects.
//!
//! States tell it. Where there are only boxes, so do their edges, for each tilt that the camera may have: the network, which
//! sees the picture, weighs them. Seen with the ray (u, v, 1), u to the right and v down, by a camera that looks down by θ, a
//! point of a level plane is at X = u / d to the right and D = (cos θ − v sin θ) / d ahead, in heights over the plane, with
//! d = v cos θ + sin θ. So it moves by (u̇ d − u v̇ cos θ) / d² to the right and by −v̇ / d² ahead.

use nalgebra::Vector2;

use super::apparent::Edges;
use super::clip::Clip;
use super::tokens::States;

/// Tilts of the camera, radians.
const TILTS: [f64; 5] = [0.14, 0.35, 0.6, 0.9, 1.25];
/// Directions told for each time: by the states, and by each of the tilts.
pub const BEARINGS: usize = 1 + TILTS.len();
/// Labels tell directions of steps this long, seconds.
const STEP_S: f64 = 0.5;
/// A step shorter than this, metres, has no direction; and the first move is at least this far.
const LEAST_STEP_M: f64 = 0.02;
const FIRST_STEP_M: f64 = 0.2;
/// The same of boxes, in box heights.
const LEAST_STEP_HEIGHTS: f64 = 0.015;
const FIRST_STEP_HEIGHTS: f64 = 0.1;
const TOLERANCE_S: f64 = 0.02;

/// At each of the clip's times, for each of [`BEARINGS`], cosine and sine of the angle from the first move to the step before
/// that time, clockwise seen from above; zeros where it is not told.
pub fn bearings(clip: &Clip, object: usize, states: &States, span_s: (f64, f64)) -> Vec<[f32; 2 * BEARINGS]> {
    let mut out = vec![[0.0; 2 * BEARINGS]; clip.times_s.len()];
    let mut put = |which: usize, told: Vec<[f32; 2]>| {
        for (row, told) in out.iter_mut().zip(told) {
            row[2 * which..2 * which + 2].copy_from_slice(&told);
        }
    };
    let steps_m = (FIRST_STEP_M, LEAST_STEP_M);
    let by_states = |time_s: f64| {
        let velocity = velocity_at(clip, states, time_s)?;
        Some((velocity, velocity.norm() * STEP_S))
    };
    put(0, against_first(clip, span_s, steps_m, by_states));
    if let (States::Apparent(_), Some(object)) = (states, clip.objects.get(object)) {
        let edges = Edges::new(clip, object);
        let steps = (FIRST_STEP_HEIGHTS, LEAST_STEP_HEIGHTS);
        for (which, tilt) in TILTS.into_iter().enumerate() {
            let (sin, cos) = tilt.sin_cos();
            let by_boxes = |time_s: f64| {
                let seen = edges.at(time_s)?;
                let down = (seen.down * cos + sin).max(0.02);
                let right = seen.across_rate * down - seen.across * seen.down_rate * cos;
                let way = Vector2::new(-seen.down_rate, -right);
                Some((way, seen.across_rate.hypot(seen.down_rate) * STEP_S / seen.height))
            };
            put(1 + which, against_first(clip, span_s, steps, by_boxes));
        }
    }
    out
}

/// Angles against the first step of at least a length, by what `moving` says of the velocity at a time (any unit) and of how
/// far a step then is.
fn against_first(
    clip: &Clip,
    (start_s, end_s): (f64, f64),
    (first_step, least_step): (f64, f64),
    moving: impl Fn(f64) -> Option<(Vector2<f64>, f64)>,
) -> Vec<[f32; 2]> {
    let mut out = vec![[0.0; 2]; clip.times_s.len()];
    let mut first: Option<Vector2<f64>> = None;
    for (at, pair) in clip.times_s.windows(2).enumerate() {
        let (before_s, here_s) = (pair[0], pair[1]);
        if before_s < start_s - TOLERANCE_S || here_s > end_s + TOLERANCE_S {
            continue;
        }
        // Clips may be told at longer steps than labels.
        let half_s = 0.5 * STEP_S.min(here_s - before_s);
        if first.is_none() {
            first = moving(before_s + half_s)
                .filter(|(_, step)| *step >= first_step)
                .map(|(way, _)| way);
        }
        let (Some(first), Some((way, step))) = (first, moving(here_s - half_s)) else {
            continue;
        };
        let size = first.norm() * way.norm();
        if step >= least_step && size > 0.0 {
            out[at + 1] = [(first.dot(&way) / size) as f32, (-first.perp(&way) / size) as f32];
        }
    }
    out
}

/// The states' velocity over the ground at a time between two of them. The engine's positions tell how the object moved (see
/// [`states_at`](super::live::states_at)), so where they are no farther apart than a step their difference is that step.
fn velocity_at(clip: &Clip, known: &States, time_s: f64) -> Option<Vector2<f64>> {
    let states = known.states();
    let after = clip.times_s.partition_point(|known_s| *known_s <= time_s);
    let before = after.checked_sub(1)?;
    let (earlier, later) = (states.get(before).copied()??, states.get(after).copied()??);
    let apart_s = (clip.times_s[after] - clip.times_s[before]).max(1e-3);
    if matches!(known, States::Engine(_)) && apart_s <= STEP_S + TOLERANCE_S {
        return Some((later.position_in_world - earlier.position_in_world).xy() / apart_s);
    }
    let share = (time_s - clip.times_s[before]) / apart_s;
    let (earlier, later) = (earlier.velocity_in_world_mps.xy(), later.velocity_in_world_mps.xy());
    Some(earlier.lerp(&later, share))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use nalgebra::{Point3, Vector3};

    use super::*;
    use crate::detection::BoundingBox;
    use crate::vlm::tiny::clip::{ClipCamera, ClipObject, State};

    fn clip(boxes: Vec<Option<BoundingBox>>) -> Clip {
        let times_s: Vec<f64> = (0..boxes.len()).map(|at| at as f64 * 0.5).collect();
        Clip {
            objects: vec![ClipObject {
                states: vec![None; boxes.len()],
                boxes,
            }],
            times_s,
            camera: ClipCamera::from_pixels((500.0, 500.0), (320.0, 192.0), (640, 384)),
            camera_yaw_rad: None,
            views: Vec::new(),
        }
    }

    fn angle_deg(told: &[f32]) -> f64 {
        f64::from(told[1]).atan2(f64::from(told[0])).to_degrees()
    }

    #[test]
    fn a_right_turn_comes_to_three_o_clock() {
        let clip = clip(vec![None; 5]);
        let state = |x: f64, y: f64| State {
            position_in_world: Point3::new(x, y, 0.0),
            velocity_in_world_mps: Vector3::zeros(),
            position_sigma_m: 0.1,
            velocity_sigma_mps: 0.1,
            standing: false,
        };
        // Ahead, then to the right, which is along -y.
        let states = [state(0.0, 0.0), state(1.0, 0.0), state(1.5, -0.5), state(1.5, -1.5)];
        let states = States::Engine(states.into_iter().map(Some).chain([None]).collect());
        let told = bearings(&clip, 0, &states, (0.0, 2.0));
        let by_states = |at: usize| angle_deg(&told[at][..2]);
        assert_eq!((told[0], told[4]), ([0.0; 2 * BEARINGS], [0.0; 2 * BEARINGS]));
        assert!(by_states(1).abs() < 1e-3 && (by_states(2) - 45.0).abs() < 1e-3 && (by_states(3) - 90.0).abs() < 1e-3);
        // Asked about from where it has turned, that is twelve o'clock.
        let told = bearings(&clip, 0, &states, (1.0, 2.0));
        assert_eq!((told[1], told[3][0], told[3][1]), ([0.0; 2 * BEARINGS], 1.0, 0.0));
    }

    /// A camera 10 m up that looks down by one of the tilts; an object that goes ahead, then to the right.
    #[test]
    fn with_the_right_tilt_boxes_tell_a_right_turn() {
        for (which, tilt) in TILTS.into_iter().enumerate() {
            let (sin, cos) = tilt.sin_cos();
            let far_m = (10.0 / tilt.tan()).min(25.0) - 2.0;
            let boxes = (0..17).map(|at| {
                let step = 0.5 * f64::from(at);
                let (ahead, right) = if at < 8 {
                    (far_m + step, 0.0)
                } else {
                    (far_m + 4.0, step - 4.0)
                };
                let (z, y) = (ahead * cos + 10.0 * sin, 10.0 * cos - ahead * sin);
                let (x, y) = ((320.0 + 500.0 * right / z) / 640.0, (192.0 + 500.0 * y / z) / 384.0);
                let half = 400.0 / z;
                let (wide, tall) = (half / 640.0, half / 384.0);
                let corners = [x - wide, y - tall, x + wide, y + tall].map(|value| value as f32);
                Some(BoundingBox::new(corners[0], corners[1], corners[2], corners[3]))
            });
            let clip = clip(boxes.collect());
            let states = States::Apparent(vec![None; 17]);
            let told = bearings(&clip, 0, &states, (0.0, 8.0));
            let angle = angle_deg(&told[15][2 * (1 + which)..]);
            assert!((angle - 90.0).abs() < 6.0, "{tilt}: {angle}");
        }
    }
}

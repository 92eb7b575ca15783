//! From a clip and a time asked about to numbers: one token for each object and time, in units in which a small network
//! can work (angles, object heights, logarithms), and the places where pictures are looked at.

use nalgebra::Vector2;

use super::apparent::Apparent;
use super::clip::{Clip, ClipCamera, ClipObject, State, VIEW_HEIGHT, VIEW_WIDTH};
use crate::detection::BoundingBox;

/// Numbers that a token of an object at a time is made of.
pub const TOKEN_FEATURES: usize = 8 + 17 + 21;
/// Numbers that a view's token is made of, beside its pixels.
pub const VIEW_FEATURES: usize = 8;
/// Numbers that the question's token is made of.
pub const QUERY_FEATURES: usize = 8;
/// Columns and rows of the maps that boxes are looked up in, coarse and fine.
pub const COARSE: (usize, usize) = (VIEW_WIDTH / 8, VIEW_HEIGHT / 8);
/// The finer map.
pub const FINE: (usize, usize) = (VIEW_WIDTH / 4, VIEW_HEIGHT / 4);

/// What is known of an object's way at each of a clip's times.
#[derive(Clone, Debug)]
pub enum States {
    /// By the engine.
    Engine(Vec<Option<State>>),
    /// By boxes alone.
    Apparent(Vec<Option<State>>),
}

impl States {
    /// Of each of a clip's objects: the engine's, or what its boxes tell.
    pub fn of(clip: &Clip, with_states: bool) -> Vec<Self> {
        if with_states {
            let objects = clip.objects.iter();
            return objects.map(|object| Self::Engine(object.states.clone())).collect();
        }
        let apparent = Apparent::new(clip);
        let objects = 0..clip.objects.len();
        objects
            .map(|object| Self::Apparent(apparent.states(clip, object)))
            .collect()
    }

    /// As they are known.
    pub fn states(&self) -> &[Option<State>] {
        match self {
            Self::Engine(states) | Self::Apparent(states) => states,
        }
    }
}

/// A step shorter than this, metres, has no direction.
const GATE_M: f64 = 0.25;

/// What one object's tokens are: `[times, TOKEN_FEATURES]`, row by row. `states` are the engine's, or what boxes alone tell
/// ([`Apparent`]).
pub fn object_tokens(clip: &Clip, object: &ClipObject, states: &States, span_s: (f64, f64)) -> Vec<f32> {
    let count = clip.times_s.len();
    let mut out = vec![0.0; count * TOKEN_FEATURES];
    let path = Path::new(clip, states.states(), span_s);
    let mut last_box: Option<(f64, BoundingBox)> = None;
    for (at, row) in out.chunks_exact_mut(TOKEN_FEATURES).enumerate() {
        let mut row = Row(row, 0);
        time_features(clip, at, span_s, &mut row);
        box_features(
            clip,
            at,
            object.boxes.get(at).copied().flatten(),
            &mut last_box,
            &mut row,
        );
        path.features(clip, at, states, &mut row);
        debug_assert_eq!(row.1, TOKEN_FEATURES);
    }
    out
}

/// Direction of an object's own axes, in which its states are told and its way is answered: radians counter-clockwise from
/// the optical axis at the clip's start. 0, the optical axis itself, without states or a first move.
pub fn own_axis_rad(clip: &Clip, states: &States, span_s: (f64, f64)) -> f64 {
    let axis = Path::new(clip, states.states(), span_s).axis;
    axis.y.atan2(axis.x) - clip.camera_yaw_rad.unwrap_or(0.0)
}

/// A mean speed is told as no less than this, m/s.
const LEAST_PACE_MPS: f64 = 0.05;

/// Logarithm of the mean speed (m/s) over the time asked about that the engine's states tell, and 1; zeros where they do not.
pub fn pace(clip: &Clip, states: &States, span_s: (f64, f64)) -> [f32; 2] {
    let States::Engine(known) = states else {
        return [0.0; 2];
    };
    let path = Path::new(clip, known, span_s);
    match (path.known_s, path.length_m.last()) {
        (Some((first_s, last_s)), Some(length_m)) if last_s > first_s => {
            [(length_m / (last_s - first_s)).max(LEAST_PACE_MPS).ln() as f32, 1.0]
        }
        _ => [0.0; 2],
    }
}

/// Fills a token's numbers one after the other.
struct Row<'a>(&'a mut [f32], usize);

impl Row<'_> {
    fn push(&mut self, value: f64) {
        if let Some(place) = self.0.get_mut(self.1) {
            *place = if value.is_finite() {
                value.clamp(-8.0, 8.0) as f32
            } else {
                0.0
            };
        }
        self.1 += 1;
    }

    fn flag(&mut self, value: bool) {
        self.push(f64::from(u8::from(value)));
    }

    fn skip(&mut self, count: usize) {
        self.1 += count;
    }
}

/// A length or speed with its sign, finer near zero.
fn squashed(value: f64) -> f64 {
    value.signum() * (value.abs() / 0.3).ln_1p()
}

fn time_features(clip: &Clip, at: usize, (start_s, end_s): (f64, f64), row: &mut Row<'_>) {
    const TOLERANCE_S: f64 = 0.02;
    let time_s = clip.times_s[at];
    let before_s = at.checked_sub(1).map_or(time_s, |before| clip.times_s[before]);
    let inside = (start_s - TOLERANCE_S..=end_s + TOLERANCE_S).contains(&time_s);
    row.push(time_s / 10.0);
    row.push(time_s - before_s);
    row.push((time_s - start_s) / 5.0);
    row.push((end_s - time_s) / 5.0);
    row.flag(inside);
    row.flag((time_s - start_s).abs() < TOLERANCE_S);
    row.flag((time_s - end_s).abs() < TOLERANCE_S);
    row.push((end_s - start_s).max(0.1).ln());
}

fn box_features(
    clip: &Clip,
    at: usize,
    bbox: Option<BoundingBox>,
    last: &mut Option<(f64, BoundingBox)>,
    row: &mut Row<'_>,
) {
    let Some(bbox) = bbox.filter(BoundingBox::is_valid) else {
        row.skip(17);
        return;
    };
    let (left, right) = clip.camera.rays_across(&bbox);
    let (top, bottom) = clip.camera.rays_down(&bbox);
    let (width, height) = ((right - left).max(1e-4), (bottom - top).max(1e-4));
    row.push(1.0);
    row.flag(bbox.x0 <= 0.004);
    row.flag(bbox.y0 <= 0.004);
    row.flag(bbox.x1 >= 0.996);
    row.flag(bbox.y1 >= 0.996);
    row.push(0.5 * (left + right));
    row.push(top);
    row.push(bottom);
    row.push(height.ln() + 2.0);
    row.push(width.ln() + 2.0);
    row.push((width / height).ln());
    match last.filter(|(time_s, _)| clip.times_s[at] > *time_s) {
        Some((time_s, before)) => {
            let (before_left, before_right) = clip.camera.rays_across(&before);
            let (before_top, before_bottom) = clip.camera.rays_down(&before);
            let before_height = (before_bottom - before_top).max(1e-4);
            let across = 0.5 * (left + right - before_left - before_right);
            let mean_height = (height * before_height).sqrt();
            row.push(squashed(across / mean_height));
            row.push(squashed((bottom - before_bottom) / mean_height));
            row.push((height / before_height).ln() * 4.0);
            row.push(((right - left).max(1e-4) / (before_right - before_left).max(1e-4)).ln() * 4.0);
            row.push(across * 4.0);
            row.push(clip.times_s[at] - time_s);
        }
        None => row.skip(6),
    }
    *last = Some((clip.times_s[at], bbox));
}

/// The states of an object in axes of its own: from where it is when the time asked about begins, along its first move.
struct Path {
    origin: Vector2<f64>,
    axis: Vector2<f64>,
    has_axis: bool,
    /// Length of the way within the time asked about up to each time, metres.
    length_m: Vec<f64>,
    /// The first and the last time within it at which a state is known.
    known_s: Option<(f64, f64)>,
    start_s: f64,
    end_s: f64,
}

impl Path {
    fn new(clip: &Clip, states: &[Option<State>], (start_s, end_s): (f64, f64)) -> Self {
        const TOLERANCE_S: f64 = 0.02;
        let yaw = clip.camera_yaw_rad.unwrap_or(0.0);
        let mut path = Self {
            origin: Vector2::zeros(),
            axis: Vector2::new(yaw.cos(), yaw.sin()),
            has_axis: false,
            length_m: vec![0.0; states.len()],
            known_s: None,
            start_s,
            end_s,
        };
        let inside = |at: usize| (start_s - TOLERANCE_S..=end_s + TOLERANCE_S).contains(&clip.times_s[at]);
        let mut before: Option<(usize, Vector2<f64>)> = None;
        let mut total_m = 0.0;
        for (at, state) in states.iter().enumerate() {
            if let Some(state) = state.filter(|_| inside(at)) {
                let here = state.position_in_world.coords.xy();
                let now_s = clip.times_s[at];
                path.known_s = Some((path.known_s.map_or(now_s, |(first_s, _)| first_s), now_s));
                match before {
                    None => path.origin = here,
                    Some((_, there)) => {
                        let step: Vector2<f64> = here - there;
                        total_m += step.norm();
                        if !path.has_axis && step.norm() >= GATE_M {
                            path.axis = step / step.norm();
                            path.has_axis = true;
                        }
                    }
                }
                before = Some((at, here));
            }
            path.length_m[at] = total_m;
        }
        path
    }

    fn turned(&self, way: Vector2<f64>) -> (f64, f64) {
        (self.axis.dot(&way), self.axis.perp(&way))
    }

    fn features(&self, clip: &Clip, at: usize, known: &States, row: &mut Row<'_>) {
        let states = known.states();
        let Some(state) = states.get(at).copied().flatten() else {
            row.skip(21);
            return;
        };
        let yaw = clip.camera_yaw_rad.unwrap_or(0.0);
        let view = Vector2::new(yaw.cos(), yaw.sin());
        let here = state.position_in_world.coords.xy();
        let (ahead, aside) = self.turned(here - self.origin);
        let velocity = state.velocity_in_world_mps.xy();
        let (along, across) = self.turned(velocity);
        row.push(match known {
            States::Engine(_) => 1.0,
            States::Apparent(_) => 0.5,
        });
        row.flag(state.standing);
        row.push(squashed(ahead));
        row.push(squashed(aside));
        row.push(squashed(along));
        row.push(squashed(across));
        row.push((velocity.norm() + 0.05).ln());
        row.push(state.position_sigma_m.max(1e-3).ln());
        row.push(state.velocity_sigma_mps.max(1e-3).ln());
        // Where its own axes point, as the camera sees it.
        row.push(view.dot(&self.axis));
        row.push(view.perp(&self.axis));
        row.flag(self.has_axis);
        row.push((self.length_m[at] + 0.05).ln());
        row.push((self.length_m[at] / (self.end_s - self.start_s).max(0.1) + 0.05).ln());
        let before = (0..at).rev().find_map(|at| Some((at, states[at]?)));
        match before {
            Some((earlier, before)) => {
                let dt_s = (clip.times_s[at] - clip.times_s[earlier]).max(1e-3);
                let step = here - before.position_in_world.coords.xy();
                let (step_ahead, step_aside) = self.turned(step);
                let length = step.norm();
                row.push(1.0);
                row.push((length / dt_s + 0.05).ln());
                row.push(if length > 1e-6 { step_ahead / length } else { 0.0 });
                row.push(if length > 1e-6 { step_aside / length } else { 0.0 });
                row.flag(length >= GATE_M);
                row.push(squashed(step_ahead));
                row.push(squashed(step_aside));
            }
            None => row.skip(7),
        }
    }
}

impl ClipCamera {
    /// Tangents of the rays to a box's left and right edge.
    pub(super) fn rays_across(&self, bbox: &BoundingBox) -> (f64, f64) {
        let ray = |x: f32| (f64::from(x) - self.cx) / self.fx;
        (ray(bbox.x0), ray(bbox.x1))
    }

    /// Tangents of the rays to a box's upper and lower edge.
    pub(super) fn rays_down(&self, bbox: &BoundingBox) -> (f64, f64) {
        let ray = |y: f32| (f64::from(y) - self.cy) / self.fy;
        (ray(bbox.y0), ray(bbox.y1))
    }
}

/// The numbers of a view's token: when it is, and what the camera is like.
pub fn view_features(clip: &Clip, at: usize) -> [f32; VIEW_FEATURES] {
    let camera = &clip.camera;
    let last_s = clip.times_s.last().copied().unwrap_or(0.0);
    let time_s = clip.times_s.get(at).copied().unwrap_or(0.0);
    [
        time_s / 10.0,
        (last_s - time_s) / 10.0,
        (1.0 / camera.fx).ln(),
        (1.0 / camera.fy).ln(),
        camera.cx - 0.5,
        camera.cy - 0.5,
        camera.aspect.ln(),
        1.0,
    ]
    .map(|value| value.clamp(-8.0, 8.0) as f32)
}

/// The numbers of the question's token: how long the time asked about and the clip are, and what the camera is like.
pub fn query_features(clip: &Clip, (start_s, end_s): (f64, f64), with_states: bool) -> [f32; QUERY_FEATURES] {
    let camera = &clip.camera;
    let last_s = clip.times_s.last().copied().unwrap_or(0.0);
    [
        (end_s - start_s) / 10.0,
        (end_s - start_s).max(0.1).ln(),
        last_s / 10.0,
        (1.0 / camera.fx).ln(),
        (1.0 / camera.fy).ln(),
        camera.cy - 0.5,
        f64::from(u8::from(with_states)),
        f64::from(u8::from(!clip.views.is_empty())),
    ]
    .map(|value| value.clamp(-8.0, 8.0) as f32)
}

/// How much each cell of a map of so many columns and rows lies in a box, as weights that sum to one; nothing for a box that
/// is not there. `weights` has `columns · rows` places.
pub fn look_up(bbox: Option<BoundingBox>, (columns, rows): (usize, usize), weights: &mut [f32]) {
    weights.fill(0.0);
    let Some(bbox) = bbox.filter(BoundingBox::is_valid) else {
        return;
    };
    // A box smaller than a cell is looked up between the nearest ones.
    let shares = |low: f32, high: f32, count: usize| -> Vec<f32> {
        let (low, high) = (low * count as f32, high * count as f32);
        let middle = 0.5 * (low + high);
        let half = (0.5 * (high - low)).max(0.5);
        let (low, high) = (middle - half, middle + half);
        (0..count)
            .map(|cell| (high.min(cell as f32 + 1.0) - low.max(cell as f32)).max(0.0))
            .collect()
    };
    let across = shares(bbox.x0, bbox.x1, columns);
    let down = shares(bbox.y0, bbox.y1, rows);
    let total: f32 = across.iter().sum::<f32>() * down.iter().sum::<f32>();
    if total <= 0.0 {
        return;
    }
    for (row, down) in weights.chunks_exact_mut(columns).zip(&down) {
        for (weight, across) in row.iter_mut().zip(&across) {
            *weight = across * down / total;
        }
    }
}

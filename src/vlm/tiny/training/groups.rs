//! Clips with objects and times to ask about, drawn from what happened in a world, and what is true of them.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;

use super::noise::{engine_states, seen_boxes};
use super::worlds::{POINTS, STEP_S, Timeline, Track};
use crate::stkit::COLORS;
use crate::stkit::builder::LabelWindow;
use crate::vlm::tiny::clip::{Clip, ClipObject, View};
use crate::vlm::tiny::network::STANDING;
use crate::vlm::tiny::views::{draw_box, with_brightness};

/// Rows of a group: objects and times of one clip that are asked about.
pub const ROWS: usize = 8;
/// Steps of the shortest and the longest clip, and of the shortest time asked about.
const MIN_STEPS: usize = 4;
const MAX_STEPS: usize = 39;
const MIN_SPAN_STEPS: usize = 2;
const MIN_VISIBLE_SHARE: f64 = 0.8;
/// The slowest speed that is told apart, m/s.
const LEAST_SPEED_MPS: f64 = 0.05;
/// A displacement shorter than this has no direction to learn, metres.
const MIN_DISPLACEMENT_M: f64 = 1.0;
/// How much more the last step counts, and a step toward another hour than twelve.
const LAST_WEIGHT: f32 = 3.0;
const TURNED_WEIGHT: f32 = 3.0;
/// How much more the last step counts when it goes toward another hour than twelve: the task asks for the last step's hour,
/// and for each of the twelve as often.
const LAST_TURNED_WEIGHT: f32 = 3.0;

/// What the model may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Senses {
    /// Pictures.
    pub views: bool,
    /// The engine's states.
    pub states: bool,
}

/// An object and a time that is asked about, with what is true.
#[derive(Clone, Debug)]
pub struct Row {
    /// Index of the object in its clip.
    pub object: usize,
    /// Start and end, seconds of the clip.
    pub span_s: (f64, f64),
    /// Logarithm of the mean speed, m/s.
    pub log_speed: f32,
    /// Direction from start to end, radians counter-clockwise from the optical axis at the clip's start; `None` when it
    /// hardly moved.
    pub heading_rad: Option<f32>,
    /// At each of the clip's times: class (hour − 1, or standing), and its weight, 0 where it does not count.
    pub hours: Vec<(usize, f32)>,
    /// At each time: logarithm of the speed of the step before, with its weight.
    pub step_speeds: Vec<(f32, f32)>,
    /// At each time: logarithm of the distance from the camera, with its weight.
    pub ranges: Vec<(f32, f32)>,
}

/// A clip with its rows.
#[derive(Clone, Debug)]
pub struct Group {
    /// What the model sees.
    pub clip: Clip,
    /// What it is asked.
    pub rows: Vec<Row>,
    /// What it may use.
    pub senses: Senses,
}

/// Draws a group; `None` when nothing in the drawn clip can be asked about.
pub fn draw(timeline: &Timeline, senses: Senses, random: &mut Pcg64) -> Option<Group> {
    // Short clips as often as long ones, by ratio.
    let share: f64 = random.random();
    let steps = (MIN_STEPS as f64 * (MAX_STEPS as f64 / MIN_STEPS as f64).powf(share)).round() as usize;
    let start = random.random_range(0..POINTS - steps);
    let candidates: Vec<&Track> = timeline
        .tracks
        .iter()
        .filter(|track| {
            let seen = track.boxes[start..=start + steps].iter().flatten().count();
            let known = track.range_m[start..=start + steps]
                .iter()
                .all(|range| range.is_finite());
            known && seen as f64 >= MIN_VISIBLE_SHARE * (steps + 1) as f64
        })
        .collect();
    if candidates.is_empty() {
        return None;
    }
    let weighed: Vec<(&Track, f64)> = candidates
        .iter()
        .filter_map(|track| Some((*track, interest(track, start, steps)?)))
        .collect();
    let mut chosen: Vec<&Track> = Vec::new();
    let mut rows = Vec::with_capacity(ROWS);
    let stride = match random.random_range(0..10) {
        0..=6 => 1,
        7..=8 => 2,
        _ => 3,
    };
    let times: Vec<usize> = times(steps, stride);
    for _ in 0..ROWS {
        let (track, _) = weighed.choose_weighted(random, |(_, weight)| *weight).ok()?;
        let object = match chosen.iter().position(|known| known.way.id == track.way.id) {
            Some(object) => object,
            None => {
                chosen.push(track);
                chosen.len() - 1
            }
        };
        let span = if random.random::<f64>() < 0.6 || steps <= MIN_SPAN_STEPS {
            (0, steps)
        } else {
            let length = random.random_range(MIN_SPAN_STEPS..=steps);
            let from = random.random_range(0..=steps - length);
            (from, from + length)
        };
        rows.push(row(timeline, track, object, start, span, &times)?);
    }
    let clip = clip(timeline, &chosen, start, &times, senses, random);
    Some(Group { clip, rows, senses })
}

/// Indices of the grid points looked at, the last one among them.
fn times(steps: usize, stride: usize) -> Vec<usize> {
    let mut times: Vec<usize> = (0..=steps).step_by(stride).collect();
    if times.last() != Some(&steps) {
        times.push(steps);
    }
    times
}

/// How often an object should be asked about: what turns is rare and hard.
fn interest(track: &Track, start: usize, steps: usize) -> Option<f64> {
    let window = LabelWindow::new(&track.way, start as f64 * STEP_S, steps)?;
    let turns = window.runs().iter().any(|(hour, ..)| *hour != 12);
    Some(match (window.distance_m() > 1.0, turns) {
        (true, true) => 3.0,
        (true, false) => 1.0,
        _ => 0.15,
    })
}

fn row(
    timeline: &Timeline,
    track: &Track,
    object: usize,
    start: usize,
    (from, to): (usize, usize),
    times: &[usize],
) -> Option<Row> {
    let at_s = |point: usize| point as f64 * STEP_S;
    let window = LabelWindow::new(&track.way, at_s(start + from), to - from)?;
    let duration_s = at_s(to - from);
    let center = |point: usize| Some(track.way.at(at_s(start + point), STEP_S * 1.1)?.center_in_world);
    let way = (center(to)? - center(from)?).xy();
    let yaw = timeline.camera_yaw_rad[start];
    let heading_rad = (way.norm() >= MIN_DISPLACEMENT_M).then(|| (way.y.atan2(way.x) - yaw) as f32);
    let mut hour_of_step = vec![STANDING; to - from];
    for (hour, first, last) in window.runs() {
        for step in first..last {
            if let Some(place) = hour_of_step.get_mut(step) {
                *place = usize::from(hour) - 1;
            }
        }
    }
    let mut hours = Vec::with_capacity(times.len());
    let mut step_speeds = Vec::with_capacity(times.len());
    let mut ranges = Vec::with_capacity(times.len());
    for &time in times {
        let inside = time > from && time <= to;
        let class = match inside {
            true => hour_of_step[time - from - 1],
            false => STANDING,
        };
        let mut weight = if inside { 1.0 } else { 0.0 };
        if class != STANDING && class != 11 {
            weight *= TURNED_WEIGHT;
        }
        if time == to {
            weight *= LAST_WEIGHT;
            if class != STANDING && class != 11 {
                weight *= LAST_TURNED_WEIGHT;
            }
        }
        hours.push((class, weight));
        let speed = match time {
            0 => None,
            _ => center(time)
                .zip(center(time - 1))
                .map(|(here, there)| (here - there).norm() / STEP_S),
        };
        step_speeds.push(speed.map_or((0.0, 0.0), |speed| (speed.max(LEAST_SPEED_MPS).ln() as f32, 1.0)));
        let visible = track.boxes[start + time].is_some();
        ranges.push((
            track.range_m[start + time].max(0.5).ln() as f32,
            if visible { 1.0 } else { 0.0 },
        ));
    }
    Some(Row {
        object,
        span_s: (at_s(from), at_s(to)),
        log_speed: (window.distance_m() / duration_s).max(LEAST_SPEED_MPS).ln() as f32,
        heading_rad,
        hours,
        step_speeds,
        ranges,
    })
}

fn clip(
    timeline: &Timeline,
    chosen: &[&Track],
    start: usize,
    times: &[usize],
    senses: Senses,
    random: &mut Pcg64,
) -> Clip {
    let mut objects = Vec::with_capacity(chosen.len());
    let steps = times.last().copied().unwrap_or(0);
    for track in chosen {
        let boxes = seen_boxes(&track.boxes[start..=start + steps], random);
        let states = if senses.states {
            let points: Vec<_> = (0..=steps)
                .filter_map(|point| {
                    let sample = track.way.at((start + point) as f64 * STEP_S, STEP_S * 1.1)?;
                    Some(sample.center_in_world)
                })
                .collect();
            let seen: Vec<bool> = boxes.iter().map(Option::is_some).collect();
            match points.len() == steps + 1 {
                true => engine_states(&points, &timeline.camera_in_world[start..=start + steps], &seen, random),
                false => vec![None; steps + 1],
            }
        } else {
            vec![None; steps + 1]
        };
        objects.push(ClipObject {
            boxes: times.iter().map(|time| boxes[*time]).collect(),
            states: times.iter().map(|time| states[*time]).collect(),
        });
    }
    let views = match senses.views {
        true => Clip::view_times(times.len())
            .into_iter()
            .map(|at| {
                let picture = &timeline.pictures[start + times[at]];
                let mut pixels = with_brightness(&picture.rgb, picture.before.as_deref());
                for (object, (_, color)) in objects.iter().zip(COLORS.iter().cycle()) {
                    if let Some(bbox) = object.boxes[at] {
                        draw_box(&mut pixels, &bbox, *color);
                    }
                }
                View { at, pixels }
            })
            .collect(),
        false => Vec::new(),
    };
    Clip {
        times_s: times.iter().map(|time| *time as f64 * STEP_S).collect(),
        camera: timeline.camera,
        camera_yaw_rad: Some(timeline.camera_yaw_rad[start]),
        views,
        objects,
    }
}

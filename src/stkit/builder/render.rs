//! From a chosen candidate to a record: clip, frames, boxes, colours, words, splits.

use std::path::Path;

use nalgebra::Isometry3;

use super::candidates::{Candidate, MIN_CLIP_STEPS, MIN_VISIBLE_SHARE, same_margin_deg, speed_kmh};
use super::grid::{GridTrack, MAX_STEPS, STEP_S, angle_between_deg};
use super::judge::{Judge, Judged};
use super::scene::{GridScene, MAX_GAP_S, Mixer};
use super::wordings::{Asked, answer, question};
use crate::datasets::{Picture, pose_at};
use crate::stkit::{
    COLORS, Label, Provenance, Quality, Record, RecordCamera, RecordObject, Splits, Task, TrackId, conversation,
};

/// Shares of records with paraphrased questions, and with frames at other rates than two a second.
const PARAPHRASE_SHARE: f64 = 0.2;
const OTHER_RATE_SHARE: f64 = 0.2;
/// Share of the cameras that are kept unseen.
const UNSEEN_CAMERA_SHARE: f64 = 0.2;
/// A camera that moves less than this during a clip stands, metres.
const EGO_STANDS_M: f64 = 0.5;
/// A picture belongs to a frame when it is no farther from it than this, seconds.
const PICTURE_TOLERANCE_S: f64 = 0.06;

/// What a record needs beside its candidate.
pub(super) struct Order {
    pub candidate: Candidate,
    /// Number of the record among those of its task.
    pub number: usize,
    /// For comparisons: asks for the lesser, or whether directions differ.
    pub inverted: bool,
    /// Whether the second track is named first.
    pub swapped: bool,
}

/// Writes the record of `order`, all of whose choices come from the candidate's priority.
pub(super) fn render(scene: &GridScene<'_>, order: &Order, root: &Path, judge: Option<&dyn Judge>) -> Option<Record> {
    let candidate = &order.candidate;
    let mut mixer = Mixer::new(&[candidate.priority, 1]);
    let mut tracks: Vec<&GridTrack> = Vec::with_capacity(2);
    for index in &candidate.tracks[..candidate.task.subjects()] {
        tracks.push(scene.tracks.get(*index as usize)?);
    }
    let span = candidate.span.map(|point| point as usize);
    let clip = clip(candidate.task, &tracks, span, &mut mixer);
    let found = label(candidate, &tracks, span, clip);
    if order.swapped {
        tracks.reverse();
    }
    let colors = colors(tracks.len(), &mut mixer);
    let label = named(found.label, order, &colors);
    let smoothed = found.smoothed.map(|smoothed| named(smoothed, order, &colors));

    let timestamps = timestamps(clip, &mut mixer);
    let at_s = |time_s: f64| scene.time_s(clip[0]) + time_s;
    let to_s = |point: usize| (point - clip[0]) as f64 * STEP_S;
    let asked = Asked {
        task: candidate.task,
        inverted: order.inverted,
        colors: &colors,
        span_s: (span != clip).then(|| (to_s(span[0]), to_s(span[1]))),
        hour: (candidate.task == Task::DirectionTimestamp).then_some(candidate.hour),
        paraphrase: mixer.share() < PARAPHRASE_SHARE,
    };
    let question = question(&asked, mixer.next());
    let answer = answer(&asked, &label, mixer.next());
    let objects: Vec<RecordObject> = tracks
        .iter()
        .zip(&colors)
        .map(|(track, color)| object(scene, track, color, clip, &timestamps))
        .collect();
    let intrinsics = scene.camera.map(|camera| camera.camera.intrinsics);
    let ego = ego(scene, &timestamps, at_s);
    let visible = tracks
        .iter()
        .map(|track| track.visible_share(clip[0] - track.first, clip[1] - track.first));
    let quality = Quality {
        smoothed,
        margin_deg: found.margin_deg.map(|margin| rounded(margin, 1e6)),
        ratio: found.ratio.map(|ratio| rounded(ratio, 1e6)),
        visible_share: scene.camera.map(|_| rounded(visible.fold(1.0, f64::min), 1e4)),
        relative_half_width: judge
            .and_then(|judge| judge.judge(&Judged::new(scene, candidate)).ok().flatten())
            .map(|share| rounded(share, 1e6)),
        splits: splits(scene, &asked, &timestamps, ego.as_deref()),
        provenance: Provenance {
            recording: scene.recording.name.clone(),
            camera: scene.camera.map(|camera| camera.name.clone()),
            start_s: rounded(scene.time_s(clip[0]), 1e9),
        },
    };
    let source = scene.recording.source.as_str();
    Some(Record {
        id: format!("{source}-{}-{:06}", candidate.task.code(), order.number),
        video: None,
        frames: Some(frames(scene, &timestamps, at_s, root)),
        fps: frame_rate(&timestamps),
        data_source: source.to_owned(),
        camera: intrinsics.map(|intrinsics| RecordCamera {
            fx: intrinsics.fx,
            fy: intrinsics.fy,
            cx: intrinsics.cx,
            cy: intrinsics.cy,
            width: intrinsics.width,
            height: intrinsics.height,
        }),
        ego,
        task: candidate.task,
        span: [to_s(span[0]), to_s(span[1])],
        conversations: conversation(&timestamps, &colors, &question, &answer),
        answer: label,
        label_source: scene.recording.label_source,
        quality,
        timestamps,
        objects,
    })
}

fn rounded(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}

/// The clip around the time asked about. For directions it is that time: its first moving step is 12 o'clock.
fn clip(task: Task, tracks: &[&GridTrack], span: [usize; 2], mixer: &mut Mixer) -> [usize; 2] {
    let steps = span[1] - span[0];
    let whole = steps >= MIN_CLIP_STEPS;
    let extends =
        !matches!(task, Task::MovementDirection | Task::DirectionTimestamp) && (!whole || mixer.next() & 1 == 0);
    if !extends {
        return span;
    }
    let from = tracks.iter().map(|track| track.first).max().unwrap_or(span[0]);
    let to = tracks
        .iter()
        .map(|track| track.first + track.len() - 1)
        .min()
        .unwrap_or(span[1]);
    let target = (MIN_CLIP_STEPS.max(steps) + mixer.below(MAX_STEPS + 1 - steps.max(MIN_CLIP_STEPS))).min(to - from);
    let start = from
        .max((span[1] + mixer.below(target - steps + 1)).saturating_sub(target))
        .min(span[0]);
    let extended = [start.min(to - target), start.min(to - target) + target];
    let seen = tracks
        .iter()
        .all(|track| track.visible_share(extended[0] - track.first, extended[1] - track.first) >= MIN_VISIBLE_SHARE);
    if seen || !whole { extended } else { span }
}

/// A label with what is known about it; the object of a comparison is the greater one, by no colour yet.
struct Found {
    label: Label,
    smoothed: Option<Label>,
    margin_deg: Option<f64>,
    ratio: Option<f64>,
}

const GREATER: &str = "";

fn label(candidate: &Candidate, tracks: &[&GridTrack], span: [usize; 2], clip: [usize; 2]) -> Found {
    let local = |track: &GridTrack| (span[0] - track.first, span[1] - track.first);
    let mut found = Found {
        label: Label::YesNo(false),
        smoothed: None,
        margin_deg: None,
        ratio: None,
    };
    let values: Vec<(f64, f64)> = tracks
        .iter()
        .map(|track| {
            let (start, end) = local(track);
            track.distance_m(start, end)
        })
        .collect();
    let Some((track, value)) = tracks.first().zip(values.first()) else {
        return found;
    };
    let (start, end) = local(track);
    match candidate.task {
        Task::TraveledDistance => {
            found.label = Label::DistanceM(value.0);
            found.smoothed = Some(Label::DistanceM(value.1));
        }
        Task::TravelingSpeed => {
            found.label = Label::SpeedKmh(speed_kmh(value.0, start, end));
            found.smoothed = Some(Label::SpeedKmh(speed_kmh(value.1, start, end)));
        }
        Task::MovementDirection => {
            if let Some(direction) = track.direction(start, end) {
                found.label = Label::ClockHour(direction.hour);
                found.smoothed = direction.smoothed_hour.map(Label::ClockHour);
                found.margin_deg = Some(direction.margin_deg);
            }
        }
        Task::DirectionTimestamp => {
            let to_s = |point: usize| (point + track.first - clip[0]) as f64 * STEP_S;
            if let Some(run) = track
                .runs(start, end)
                .into_iter()
                .find(|run| run.hour == candidate.hour)
            {
                found.label = Label::TimeRangeS(to_s(run.start), to_s(run.end));
                found.margin_deg = Some(run.margin_deg);
            }
            found.smoothed = track
                .smoothed_run(start, end, candidate.hour)
                .map(|run| Label::TimeRangeS(to_s(run.start), to_s(run.end)));
        }
        Task::TraveledDistanceComparison | Task::TravelingSpeedComparison => {
            found.label = Label::Object(GREATER.to_owned());
            found.smoothed = Some(Label::Object(GREATER.to_owned()));
            found.ratio = values
                .get(1)
                .map(|lesser| value.0 / lesser.0.max(1e-9))
                .filter(|ratio| *ratio < 1e6);
        }
        Task::MovementDirectionComparison => {
            found.label = Label::YesNo(candidate.hour == 1);
            let headings: Vec<f64> = tracks
                .iter()
                .map(|track| {
                    let (start, end) = local(track);
                    track.displacement(start, end).1
                })
                .collect();
            found.margin_deg = headings
                .get(1)
                .map(|second| same_margin_deg(angle_between_deg(headings[0], *second)));
        }
    }
    found
}

/// The label as the answer to the question that is asked: with the colour of the greater or the lesser, or as yes or no.
fn named(label: Label, order: &Order, colors: &[&str]) -> Label {
    match label {
        Label::Object(_) => {
            let index = usize::from(order.inverted != order.swapped);
            Label::Object(colors.get(index).copied().unwrap_or_default().to_owned())
        }
        Label::YesNo(same) => Label::YesNo(same != order.inverted),
        other => other,
    }
}

fn colors(count: usize, mixer: &mut Mixer) -> Vec<&'static str> {
    let mut left: Vec<&'static str> = COLORS.iter().map(|(name, _)| *name).collect();
    (0..count.min(COLORS.len()))
        .map(|_| left.swap_remove(mixer.below(left.len())))
        .collect()
}

/// Times of the frames: mostly every 0.5 s, sometimes every second or every quarter.
fn timestamps(clip: [usize; 2], mixer: &mut Mixer) -> Vec<f64> {
    let steps = clip[1] - clip[0];
    let other = mixer.share() < OTHER_RATE_SHARE;
    let slower = mixer.next() & 1 == 0;
    let (count, step_s) = match (other, slower) {
        (true, true) if steps.is_multiple_of(2) && steps >= 6 => (steps / 2, 2.0 * STEP_S),
        (true, false) if steps * 2 <= MAX_STEPS => (steps * 2, 0.5 * STEP_S),
        _ => (steps, STEP_S),
    };
    (0..=count).map(|frame| frame as f64 * step_s).collect()
}

fn frame_rate(timestamps: &[f64]) -> f64 {
    match timestamps {
        [first, second, ..] => 1.0 / (second - first),
        _ => 1.0 / STEP_S,
    }
}

fn object(scene: &GridScene<'_>, track: &GridTrack, color: &str, clip: [usize; 2], timestamps: &[f64]) -> RecordObject {
    let source = &scene.recording.objects[track.object];
    let boxes = scene.camera.map(|camera| {
        let boxes = timestamps.iter().filter_map(|time_s| {
            let sample = source.at(scene.time_s(clip[0]) + time_s, MAX_GAP_S)?;
            let bbox = camera.box_of(&sample)?.bbox;
            let edge = |value: f32| rounded(f64::from(value), 100.0);
            Some([*time_s, edge(bbox.x0), edge(bbox.y0), edge(bbox.x1), edge(bbox.y1)])
        });
        boxes.collect()
    });
    let points = &track.points[clip[0] - track.first..=clip[1] - track.first];
    let centers = points.iter().enumerate().map(|(step, point)| {
        let nanometres = |value: f64| rounded(value, 1e9);
        [
            step as f64 * STEP_S,
            nanometres(point.x),
            nanometres(point.y),
            nanometres(point.z),
        ]
    });
    RecordObject {
        color: color.to_owned(),
        track_id: source
            .name
            .parse()
            .map_or_else(|_| TrackId::Token(source.name.clone()), TrackId::Number),
        class: source.class.as_str().to_owned(),
        boxes: boxes.unwrap_or_default(),
        centers_m: centers.collect(),
    }
}

/// Poses of the camera, or of the vehicle where there is no camera.
fn ego(scene: &GridScene<'_>, timestamps: &[f64], at_s: impl Fn(f64) -> f64) -> Option<Vec<[f64; 8]>> {
    let poses = scene.camera.map_or(&scene.recording.ego, |camera| &camera.poses);
    timestamps
        .iter()
        .map(|time_s| {
            let pose: Isometry3<f64> = pose_at(poses, at_s(*time_s))?;
            let (place, turn) = (pose.translation.vector, pose.rotation);
            let short = |value: f64| rounded(value, 1e6);
            Some([
                *time_s,
                short(place.x),
                short(place.y),
                short(place.z),
                short(turn.w),
                short(turn.i),
                short(turn.j),
                short(turn.k),
            ])
        })
        .collect()
}

/// The picture of each frame; none at all where one is missing.
fn frames(scene: &GridScene<'_>, timestamps: &[f64], at_s: impl Fn(f64) -> f64, root: &Path) -> Vec<String> {
    let Some(camera) = scene.camera.filter(|camera| !camera.pictures.is_empty()) else {
        return Vec::new();
    };
    let found: Option<Vec<String>> = timestamps
        .iter()
        .map(|time_s| {
            let picture = nearest(&camera.pictures, at_s(*time_s))?;
            let path = picture.path.strip_prefix(root).unwrap_or(&picture.path);
            Some(path.to_string_lossy().into_owned())
        })
        .collect();
    found.unwrap_or_default()
}

fn nearest(pictures: &[Picture], time_s: f64) -> Option<&Picture> {
    let after = pictures.partition_point(|picture| picture.time_s < time_s);
    let around = [after.checked_sub(1), Some(after)];
    around
        .into_iter()
        .flatten()
        .filter_map(|index| pictures.get(index))
        .min_by(|a, b| (a.time_s - time_s).abs().total_cmp(&(b.time_s - time_s).abs()))
        .filter(|picture| (picture.time_s - time_s).abs() <= PICTURE_TOLERANCE_S)
}

fn splits(scene: &GridScene<'_>, asked: &Asked<'_>, timestamps: &[f64], ego: Option<&[[f64; 8]]>) -> Splits {
    let source = scene.recording.source.as_str();
    let random = match Mixer::of_words(7, &[source, &scene.recording.name]).below(10) {
        0 => "test",
        1 => "val",
        _ => "train",
    };
    let camera = scene.camera.map_or("none", |camera| {
        // Recordings with the same calibration share a camera.
        let focal = format!("{:.1}", camera.camera.intrinsics.fx);
        match Mixer::of_words(11, &[source, &camera.name, &focal]).share() < UNSEEN_CAMERA_SHARE {
            true => "unseen",
            false => "seen",
        }
    });
    let usual = (frame_rate(timestamps) - 1.0 / STEP_S).abs() < 1e-6;
    let ego = ego.map_or("unknown", |poses| {
        let way_m: f64 = poses
            .windows(2)
            .map(|pair| {
                (1..4)
                    .map(|axis| (pair[1][axis] - pair[0][axis]).powi(2))
                    .sum::<f64>()
                    .sqrt()
            })
            .sum();
        if way_m < EGO_STANDS_M { "standing" } else { "moving" }
    });
    Splits {
        random: random.to_owned(),
        camera: camera.to_owned(),
        frame_rate: if usual { "seen" } else { "unseen" }.to_owned(),
        wording: if asked.paraphrase { "paraphrase" } else { "standard" }.to_owned(),
        ego: ego.to_owned(),
    }
}

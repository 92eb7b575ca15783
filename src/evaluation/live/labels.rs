//! Pseudo-labels against truth: the labelling chain over recordings of `kinestream sim render`.
//!
//! Trajectories are matched with actors as everywhere here. The error of a trajectory's distance is that of the distance of
//! record (0.5 s) over the time for which it gives labels, against that of the actor over the same time, relative to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nalgebra::{Matrix3, Vector3};
use serde::Serialize;
use thiserror::Error;

use super::clip::{Clip, SeenFrame, seen_frame};
use super::matching::{MatchedFrame, is_asked_for, matched_frames};
use super::recorded::{RecordedError, camera, true_frame};
use crate::gst::labels::{VideoLabelError, VideoToLabel, label_video};
use crate::gst::pipeline::EgoMode;
use crate::kinematics::{Sample, Trajectory, traveled_distance_m};
use crate::motion::evaluation::windows::median;
use crate::sim::ActorClass;
use crate::sim::scenes::{Scene, UnknownScene};
use crate::sim::truth::{TruthError, TruthReader};
use crate::stkit::pseudo::{ObserverSettings, Piece};
use crate::stkit::{Label, Record, Task, TrackId};

/// An object that moves covers at least this, metres, at no less than this mean speed, m/s: half a slow walk.
const MOVES_M: f64 = 2.0;
const MOVES_MPS: f64 = 0.5;
/// Distances shorter than this are not asked about by the builder either, metres.
const LEAST_DISTANCE_M: f64 = 1.0;
/// Objects are to be kept that are seen for at least this long, seconds.
const SEEN_S: f64 = 5.0;
/// Frames of the video belong to the true frame within this time, seconds.
const SAME_FRAME_S: f64 = 0.02;
/// Questions from one bin of labels of one piece.
const PER_BIN: usize = 12;

/// Why a recording was not scored.
#[derive(Debug, Error)]
pub enum LabelsError {
    /// The truth cannot be read.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// It is of no world of ours.
    #[error(transparent)]
    Scene(#[from] UnknownScene),
    /// See there.
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    /// The video cannot be labelled.
    #[error(transparent)]
    Video(#[from] VideoLabelError),
}

/// Errors of distances, relative to the true ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DistanceErrors {
    /// How many.
    pub n: usize,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their median.
    pub median: Option<f64>,
}

/// What labelling reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LabelsReport {
    /// Recordings.
    pub clips: usize,
    /// Length of the recordings, seconds.
    pub video_s: f64,
    /// Time that labelling took, seconds.
    pub took_s: f64,
    /// The longest of one recording, relative to its length.
    pub slowest_ratio: f64,
    /// Trajectories of the tracker that were seen whole for a while.
    pub trajectories: usize,
    /// Those that passed the first two filters.
    pub kept: usize,
    /// Kept ones that follow no actor.
    pub kept_without_actor: usize,
    /// By the filter that rejected them.
    pub rejected: BTreeMap<&'static str, usize>,
    /// Questions that the third filter refused, by task and reason.
    pub refused: BTreeMap<String, u64>,
    /// Of the trajectories whose actor truly moved: those kept, and those rejected.
    pub distance_error_kept: DistanceErrors,
    /// See above.
    pub distance_error_rejected: DistanceErrors,
    /// Of the labels of TD that were drawn from the kept ones.
    pub distance_error_labels: DistanceErrors,
    /// Actors that move and are seen for 5 s or longer.
    pub moving_actors: usize,
    /// The share of those that give labels.
    pub moving_actors_kept: Option<f64>,
}

/// What was found in one scene's recordings, or in all.
#[derive(Clone, Debug, Default)]
struct Gathered {
    report: LabelsReport,
    kept: Vec<f64>,
    rejected: Vec<f64>,
    labels: Vec<f64>,
    moving_kept: usize,
}

/// Gathers recordings.
#[derive(Debug, Default)]
pub struct LabelScorer {
    scenes: BTreeMap<&'static str, Gathered>,
}

/// How to label.
#[derive(Clone, Debug, Default)]
pub struct LabelsSettings {
    /// How the stream is cut, and what labels must keep.
    pub observer: ObserverSettings,
    /// Detector, in place of the built-in one.
    pub detector: Option<PathBuf>,
    /// Depth network, in place of the built-in one.
    pub depth: Option<PathBuf>,
}

impl LabelScorer {
    /// Labels the recording in `folder` (video.mp4, camera.toml, truth.jsonl), and compares.
    ///
    /// # Errors
    /// Files that cannot be read, a video that cannot be played.
    pub fn add(&mut self, folder: &Path, settings: &LabelsSettings) -> Result<(), LabelsError> {
        let reader = TruthReader::open(&folder.join("truth.jsonl"))?;
        let scene: Scene = reader.world().scene.parse()?;
        let seed = reader.world().seed;
        let camera = camera(&reader.world().intrinsics);
        let truth = reader
            .map(|frame| frame.map(|frame| true_frame(&frame)))
            .collect::<Result<Vec<_>, _>>()?;
        let video = VideoToLabel {
            path: folder.join("video.mp4"),
            name: folder.to_string_lossy().into_owned(),
            camera_file: Some(folder.join("camera.toml")),
            ego: if scene.camera_moves(seed) {
                EgoMode::Visual
            } else {
                EgoMode::Static
            },
            detector: settings.detector.clone(),
            depth: settings.depth.clone(),
            threads: 0,
        };
        let collected: Arc<Mutex<(Vec<SeenFrame>, Vec<Piece>)>> = Arc::default();
        let (frames, pieces) = (Arc::clone(&collected), Arc::clone(&collected));
        let started = Instant::now();
        label_video(
            &video,
            settings.observer.clone(),
            move |piece| pieces.lock().unwrap_or_else(PoisonError::into_inner).1.push(piece),
            move |results| {
                let mut collected = frames.lock().unwrap_or_else(PoisonError::into_inner);
                collected.0.push(seen_frame(results));
            },
        )?;
        let took_s = started.elapsed().as_secs_f64();
        let (mut seen, pieces) = std::mem::take(&mut *collected.lock().unwrap_or_else(PoisonError::into_inner));
        // A file's stream begins at 0, whenever the world did.
        let begins = seen.first().zip(truth.first());
        let offset_s = begins.map_or(0.0, |(seen, truth)| truth.time_s - seen.time_s);
        for frame in &mut seen {
            let time_s = frame.time_s + offset_s;
            let after = truth.partition_point(|truth| truth.time_s < time_s);
            let near = [after.checked_sub(1), Some(after)].into_iter().flatten();
            let nearest = near
                .filter_map(|index| truth.get(index))
                .min_by(|a, b| (a.time_s - time_s).abs().total_cmp(&(b.time_s - time_s).abs()));
            frame.time_s = match nearest {
                Some(truth) if (truth.time_s - time_s).abs() <= SAME_FRAME_S => truth.time_s,
                _ => time_s,
            };
        }
        let clip = Clip {
            scene,
            seed,
            report: None,
            camera: Arc::new(camera),
            camera_moves: scene.camera_moves(seed),
            truth,
            seen,
            trajectories: None,
        };
        let gathered = self.scenes.entry(scene.name()).or_default();
        gathered.report.clips += 1;
        let length_s = clip.seen.last().zip(clip.seen.first());
        let length_s = length_s.map_or(0.0, |(last, first)| last.time_s - first.time_s);
        gathered.report.video_s += length_s;
        gathered.report.took_s += took_s;
        if length_s > 0.0 {
            gathered.report.slowest_ratio = gathered.report.slowest_ratio.max(took_s / length_s);
        }
        gathered.compare(&clip, &pieces, offset_s);
        Ok(())
    }

    /// By scene, and of all together under `all`.
    pub fn report(&self) -> BTreeMap<&'static str, LabelsReport> {
        let mut all = Gathered::default();
        for gathered in self.scenes.values() {
            all.merge(gathered);
        }
        let mut reports: BTreeMap<_, _> = self.scenes.iter().map(|(name, one)| (*name, one.finished())).collect();
        reports.insert("all", all.finished());
        reports
    }
}

/// One actor over a clip.
struct Actor {
    trajectory: Trajectory,
    asked: usize,
    /// First and last time it is asked for, seconds.
    asked_s: (f64, f64),
}

fn actors(frames: &[MatchedFrame<'_>]) -> BTreeMap<u16, Actor> {
    let mut actors: BTreeMap<u16, Actor> = BTreeMap::new();
    for frame in frames {
        let time_s = frame.truth.time_s;
        for actor in frame
            .truth
            .actors
            .iter()
            .filter(|actor| actor.class != ActorClass::Ball)
        {
            let entry = actors.entry(actor.id).or_insert_with(|| Actor {
                trajectory: Trajectory::new(),
                asked: 0,
                asked_s: (time_s, time_s),
            });
            // Times advance from frame to frame.
            let _ = entry.trajectory.push(Sample {
                time_s,
                position_in_world: actor.center_in_world,
                velocity_in_world_mps: Vector3::zeros(),
                position_covariance: Matrix3::zeros(),
                velocity_covariance: Matrix3::zeros(),
                standing: false,
                reliable: true,
            });
            if is_asked_for(actor) {
                if entry.asked == 0 {
                    entry.asked_s.0 = time_s;
                }
                entry.asked += 1;
                entry.asked_s.1 = time_s;
            }
        }
    }
    actors
}

impl Actor {
    fn distance_m(&self, from_s: f64, to_s: f64) -> Option<f64> {
        let (from_s, to_s) = self.trajectory.overlap(from_s, to_s)?;
        Some(traveled_distance_m(&self.trajectory, from_s, to_s).ok()?.value)
    }

    fn moves(&self) -> bool {
        let (from_s, to_s) = self.asked_s;
        self.distance_m(from_s, to_s)
            .is_some_and(|way_m| way_m >= MOVES_M && way_m >= MOVES_MPS * (to_s - from_s))
    }
}

/// The actor that a track covered most over a span.
fn actor_over(frames: &[MatchedFrame<'_>], track_id: u64, span_s: (f64, f64)) -> Option<u16> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for frame in frames
        .iter()
        .filter(|frame| (span_s.0..=span_s.1).contains(&frame.truth.time_s))
    {
        for &(actor, track) in &frame.pairs {
            if frame.seen.tracks[track].0 == track_id {
                *counts.entry(frame.truth.actors[actor].id).or_default() += 1;
            }
        }
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(actor, _)| actor)
}

impl Gathered {
    fn compare(&mut self, clip: &Clip, pieces: &[Piece], offset_s: f64) {
        let (frames, _) = matched_frames(clip);
        let actors = actors(&frames);
        let period_s = match (frames.first(), frames.last()) {
            (Some(first), Some(last)) => (last.truth.time_s - first.truth.time_s) / (frames.len().max(2) - 1) as f64,
            _ => 0.0,
        };
        let mut giving = std::collections::BTreeSet::new();
        for piece in pieces {
            let in_world = |time_s: f64| time_s + piece.start_s + offset_s;
            for verdict in &piece.verdicts {
                self.report.trajectories += 1;
                self.report.kept += usize::from(verdict.rejection.is_none());
                if let Some(reason) = verdict.rejection {
                    *self.report.rejected.entry(reason.as_str()).or_default() += 1;
                }
                let span_s = (in_world(verdict.span_s.0), in_world(verdict.span_s.1));
                let Some(id) = actor_over(&frames, verdict.track_id, span_s) else {
                    self.report.kept_without_actor += usize::from(verdict.rejection.is_none());
                    continue;
                };
                let true_m = actors.get(&id).and_then(|actor| actor.distance_m(span_s.0, span_s.1));
                let Some(true_m) = true_m.filter(|true_m| *true_m >= LEAST_DISTANCE_M) else {
                    continue;
                };
                let error = (verdict.distance_m - true_m).abs() / true_m;
                if verdict.rejection.is_none() {
                    self.kept.push(error);
                } else {
                    self.rejected.push(error);
                }
            }
            let (records, refused) = piece.records(PER_BIN, 1);
            for ((task, reason), count) in refused {
                *self
                    .report
                    .refused
                    .entry(format!("{}: {reason}", task.code()))
                    .or_default() += count;
            }
            for found in &records {
                for (track_id, span_s) in asked_about(&found.record) {
                    let span_s = (in_world(span_s.0), in_world(span_s.1));
                    let actor = actor_over(&frames, track_id, span_s);
                    giving.extend(actor);
                    let true_m = actor.and_then(|id| actors.get(&id)?.distance_m(span_s.0, span_s.1));
                    if let (Task::TraveledDistance, Label::DistanceM(label_m), Some(true_m)) =
                        (found.record.task, &found.record.answer, true_m)
                    {
                        self.labels
                            .push((label_m - true_m).abs() / true_m.max(LEAST_DISTANCE_M));
                    }
                }
            }
        }
        for (id, actor) in &actors {
            if actor.asked as f64 * period_s >= SEEN_S && actor.moves() {
                self.report.moving_actors += 1;
                self.moving_kept += usize::from(giving.contains(id));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        let (to, from) = (&mut self.report, &other.report);
        to.clips += from.clips;
        to.video_s += from.video_s;
        to.took_s += from.took_s;
        to.slowest_ratio = to.slowest_ratio.max(from.slowest_ratio);
        to.trajectories += from.trajectories;
        to.kept += from.kept;
        to.kept_without_actor += from.kept_without_actor;
        to.moving_actors += from.moving_actors;
        for (reason, count) in &from.rejected {
            *to.rejected.entry(reason).or_default() += count;
        }
        for (reason, count) in &from.refused {
            *to.refused.entry(reason.clone()).or_default() += count;
        }
        self.kept.extend_from_slice(&other.kept);
        self.rejected.extend_from_slice(&other.rejected);
        self.labels.extend_from_slice(&other.labels);
        self.moving_kept += other.moving_kept;
    }

    fn finished(&self) -> LabelsReport {
        let moving = self.report.moving_actors;
        LabelsReport {
            distance_error_kept: errors(&self.kept),
            distance_error_rejected: errors(&self.rejected),
            distance_error_labels: errors(&self.labels),
            moving_actors_kept: (moving > 0).then(|| self.moving_kept as f64 / moving as f64),
            ..self.report.clone()
        }
    }
}

fn errors(errors: &[f64]) -> DistanceErrors {
    DistanceErrors {
        n: errors.len(),
        mean: (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64),
        median: median(&mut errors.to_vec()),
    }
}

/// The tracks that a record speaks of, with the time asked about in seconds of its piece.
fn asked_about(record: &Record) -> impl Iterator<Item = (u64, (f64, f64))> {
    let start_s = record.quality.provenance.start_s;
    let span_s = (start_s + record.span[0], start_s + record.span[1]);
    record.objects.iter().filter_map(move |object| match object.track_id {
        TrackId::Number(track_id) => Some((track_id, span_s)),
        TrackId::Token(_) => None,
    })
}

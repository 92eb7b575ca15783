//! Gathers clips into scores.

use std::collections::BTreeMap;

use nalgebra::{Isometry3, Matrix3, Point3, Vector3};

use super::answers::AnswerScorer;
use super::clip::Clip;
use super::matching::{Finding, MatchedFrame, is_asked_for, matched_frames};
use super::report::{ClassScores, EgoScores, LiveReport, PositionScores, RangeScore, SceneReport};
use crate::gst::pipeline::Latency;
use crate::kinematics::{Sample, Trajectory};
use crate::motion::evaluation::windows::{self, Bin, Truth, WINDOW_S, Window, estimated, hour, median};
use crate::motion::evaluation::{Group, StateScores};
use crate::sim::ActorClass;

/// Vehicles are also scored within this distance, metres.
const NEAR_M: f64 = 40.0;
/// Edges of the bands of distance in which positions are scored, metres.
const RANGE_EDGES_M: [f64; 7] = [0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 200.0];

const NOTE: &str = "simulated scenes, held-out seeds; speeds over windows of 2 s";

/// One window of one actor.
#[derive(Clone, Copy, Debug)]
struct ScoredWindow {
    class: ActorClass,
    near: bool,
    live: Window,
    settled: Window,
}

/// One position of one actor.
#[derive(Clone, Copy, Debug)]
struct ScoredPosition {
    class: ActorClass,
    range_m: f64,
    error_m: f64,
}

/// What was gathered of one scene's clips.
#[derive(Clone, Debug, Default)]
struct Gathered {
    clips: usize,
    frames: usize,
    seconds: f64,
    finding: Finding,
    by_class: BTreeMap<&'static str, Finding>,
    windows: Vec<ScoredWindow>,
    positions: Vec<ScoredPosition>,
    ego: Ego,
    stages: BTreeMap<&'static str, Latency>,
}

#[derive(Clone, Debug, Default)]
struct Ego {
    frames: usize,
    squared: f64,
    drifts: Vec<f64>,
    focal_errors: Vec<f64>,
}

/// Gathers clips, scene by scene.
#[derive(Debug, Default)]
pub struct Scorer {
    scenes: BTreeMap<&'static str, Gathered>,
    answers: AnswerScorer,
}

impl Scorer {
    /// With at most `per_task` questions of each of the seven tasks.
    pub fn new(per_task: usize) -> Self {
        Self {
            scenes: BTreeMap::new(),
            answers: AnswerScorer::new(per_task),
        }
    }

    /// Takes one clip in.
    pub fn add(&mut self, clip: &Clip) {
        let gathered = self.scenes.entry(clip.scene.name()).or_default();
        let (frames, finding) = matched_frames(clip);
        self.answers.add(clip, &frames);
        gathered.clips += 1;
        gathered.frames += frames.len();
        gathered.finding.add(&finding);
        if let Some(report) = &clip.report {
            gathered.seconds += report.duration_s;
            gathered.stages.clone_from(&report.stages);
        }
        gathered.add_finding(&frames);
        gathered.add_positions(&frames);
        gathered.add_windows(clip, &frames);
        if clip.camera_moves {
            gathered.add_ego(clip, &frames);
        }
    }

    /// The scores so far.
    pub fn report(&self) -> LiveReport {
        let mut all = Gathered::default();
        for gathered in self.scenes.values() {
            all.merge(gathered);
        }
        LiveReport {
            note: NOTE,
            scenes: self
                .scenes
                .iter()
                .map(|(name, gathered)| (*name, gathered.report()))
                .collect(),
            pooled: all.report(),
            answers: self.answers.report(),
        }
    }
}

impl Finding {
    fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.found += other.found;
        self.false_tracks += other.false_tracks;
        self.switches += other.switches;
    }

    fn recall(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.found as f64 / self.asked as f64)
    }
}

impl Gathered {
    fn merge(&mut self, other: &Self) {
        self.clips += other.clips;
        self.frames += other.frames;
        self.seconds += other.seconds;
        self.finding.add(&other.finding);
        for (class, finding) in &other.by_class {
            self.by_class.entry(class).or_default().add(finding);
        }
        self.windows.extend_from_slice(&other.windows);
        self.positions.extend_from_slice(&other.positions);
        self.ego.frames += other.ego.frames;
        self.ego.squared += other.ego.squared;
        self.ego.drifts.extend_from_slice(&other.ego.drifts);
        self.ego.focal_errors.extend_from_slice(&other.ego.focal_errors);
        self.stages.clone_from(&other.stages);
    }

    fn add_finding(&mut self, frames: &[MatchedFrame<'_>]) {
        for frame in frames {
            for (index, actor) in frame.truth.actors.iter().enumerate() {
                if is_asked_for(actor) {
                    let finding = self.by_class.entry(actor.class.name()).or_default();
                    finding.asked += 1;
                    finding.found += u64::from(frame.pairs.iter().any(|pair| pair.0 == index));
                }
            }
        }
    }

    fn add_positions(&mut self, frames: &[MatchedFrame<'_>]) {
        for frame in frames {
            let Some(seen_pose) = &frame.seen.world_from_camera else {
                continue;
            };
            for &(actor, track) in &frame.pairs {
                let actor = &frame.truth.actors[actor];
                let id = frame.seen.tracks[track].0;
                let state = frame.seen.objects.iter().find(|object| object.track_id == id);
                let (true, Some(state)) = (is_asked_for(actor) && !actor.truncated, state) else {
                    continue;
                };
                let in_camera = |pose: &Isometry3<f64>, point: &Point3<f64>| pose.inverse_transform_point(point);
                let truth = in_camera(&frame.truth.world_from_camera, &actor.center_in_world);
                let measured = in_camera(seen_pose, &state.live.position_in_world);
                self.positions.push(ScoredPosition {
                    class: actor.class,
                    range_m: truth.coords.norm(),
                    error_m: (measured - truth).norm(),
                });
            }
        }
    }

    fn add_windows(&mut self, clip: &Clip, frames: &[MatchedFrame<'_>]) {
        for actor in true_actors(frames).values() {
            for (start_s, bin, true_speed_kmh) in actor.truth.windows() {
                let end_s = start_s + WINDOW_S;
                let track = actor.track_over(start_s, end_s);
                let stored = track.and_then(|track| clip.trajectories.as_ref()?.get(track));
                let true_hour = hour(&actor.truth.trajectory, start_s, end_s);
                let window = |trajectory: Option<&Trajectory>| Window {
                    bin,
                    true_speed_kmh,
                    true_hour,
                    estimate: trajectory.and_then(|trajectory| estimated(trajectory, start_s, end_s)),
                };
                self.windows.push(ScoredWindow {
                    class: actor.class,
                    near: actor.farthest_m(start_s, end_s) <= NEAR_M,
                    live: window(stored.map(|stored| &stored.live)),
                    settled: window(stored.map(|stored| &stored.settled)),
                });
            }
        }
    }

    fn add_ego(&mut self, clip: &Clip, frames: &[MatchedFrame<'_>]) {
        let mut path_m = 0.0;
        let mut last: Option<Vector3<f64>> = None;
        for frame in frames {
            let here = frame.truth.world_from_camera.translation.vector;
            path_m += last.map_or(0.0, |last| (here - last).norm());
            last = Some(here);
            if let Some(velocity) = &frame.seen.camera_velocity_mps {
                let error = velocity.norm() - frame.truth.camera_velocity_mps.norm();
                self.ego.squared += error * error;
                self.ego.frames += 1;
            }
        }
        let (Some(first), Some(end)) = (frames.first(), frames.last()) else {
            return;
        };
        if let (Some(seen_first), Some(seen_end)) = (first.seen.world_from_camera, end.seen.world_from_camera)
            && path_m > 1.0
        {
            // Both ways of the last camera from the first one.
            let truth = first.truth.world_from_camera.inverse() * end.truth.world_from_camera;
            let seen = seen_first.inverse() * seen_end;
            let apart = truth.translation.vector - seen.translation.vector;
            self.ego.drifts.push(apart.norm() / path_m);
        }
        if let Some(focal_px) = end.seen.focal_px {
            self.ego
                .focal_errors
                .push((focal_px / clip.camera.intrinsics.fx - 1.0).abs());
        }
    }

    fn report(&self) -> SceneReport {
        let states = |wanted: &dyn Fn(&ScoredWindow) -> bool, moves: bool| {
            let chosen: Vec<&ScoredWindow> = self.windows.iter().filter(|window| wanted(window)).collect();
            StateScores {
                live: windows::score(chosen.iter().map(|window| &window.live), moves),
                settled: windows::score(chosen.iter().map(|window| &window.settled), moves),
            }
        };
        let moving = |window: &ScoredWindow| matches!(window.live.bin, Bin::VehicleMoving | Bin::PedestrianMoving);
        let class_scores = |among: &dyn Fn(ActorClass) -> bool| {
            let mut finding = Finding::default();
            for class in ActorClass::ALL.into_iter().filter(|class| among(*class)) {
                if let Some(other) = self.by_class.get(class.name()) {
                    finding.add(other);
                }
            }
            ClassScores {
                recall: finding.recall(),
                moving_within_40m: states(&|window| among(window.class) && moving(window) && window.near, true),
                moving: states(&|window| among(window.class) && moving(window), true),
                standing: states(&|window| among(window.class) && !moving(window), false),
                position: position_scores(self.positions.iter().filter(|position| among(position.class))),
            }
        };
        let per_frame = (self.frames > 0).then(|| 1.0 / self.frames as f64);
        SceneReport {
            clips: self.clips,
            frames: self.frames,
            recall: self.finding.recall(),
            false_tracks_per_frame: per_frame.map(|share| share * self.finding.false_tracks as f64),
            identity_switches: self.finding.switches,
            vehicles: class_scores(&is_vehicle),
            people: class_scores(&|class| class == ActorClass::Person),
            standing: states(&|window| !moving(window), false),
            classes: self
                .by_class
                .keys()
                .map(|name| (*name, class_scores(&|class| class.name() == *name)))
                .collect(),
            ego: self.ego.report(),
            fps: (self.seconds > 0.0).then(|| self.frames as f64 / self.seconds),
            stages: self.stages.clone(),
        }
    }
}

impl Ego {
    fn report(&self) -> EgoScores {
        EgoScores {
            frames: self.frames,
            speed_rmse_mps: (self.frames > 0).then(|| (self.squared / self.frames as f64).sqrt()),
            drift: median(&mut self.drifts.clone()),
            focal_error: median(&mut self.focal_errors.clone()),
            lost_frames: 0,
        }
    }
}

/// The classes that are scored together as vehicles.
fn is_vehicle(class: ActorClass) -> bool {
    matches!(
        class,
        ActorClass::Car | ActorClass::Truck | ActorClass::Bus | ActorClass::Motorcycle
    )
}

/// One actor over a clip.
struct ActorTruth {
    class: ActorClass,
    truth: Truth,
    /// Distance from the camera, (time, metres).
    ranges: Vec<(f64, f64)>,
    /// Which track covered it, (time, track).
    tracks: Vec<(f64, u64)>,
}

impl ActorTruth {
    /// The track that covered it most over a span.
    fn track_over(&self, start_s: f64, end_s: f64) -> Option<u64> {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, track) in self
            .tracks
            .iter()
            .filter(|(time_s, _)| (start_s..=end_s).contains(time_s))
        {
            *counts.entry(*track).or_default() += 1;
        }
        counts
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map(|(track, _)| track)
    }

    fn farthest_m(&self, start_s: f64, end_s: f64) -> f64 {
        let within = self
            .ranges
            .iter()
            .filter(|(time_s, _)| (start_s..=end_s).contains(time_s));
        within.map(|(_, range_m)| *range_m).fold(0.0, f64::max)
    }
}

fn true_actors(frames: &[MatchedFrame<'_>]) -> BTreeMap<u16, ActorTruth> {
    let mut actors: BTreeMap<u16, ActorTruth> = BTreeMap::new();
    for frame in frames {
        let time_s = frame.truth.time_s;
        for (index, actor) in frame.truth.actors.iter().enumerate() {
            let group = match actor.class {
                ActorClass::Person => Group::Pedestrian,
                ActorClass::Ball => continue,
                _ => Group::Vehicle,
            };
            let entry = actors.entry(actor.id).or_insert_with(|| ActorTruth {
                class: actor.class,
                truth: Truth {
                    group,
                    trajectory: Trajectory::new(),
                    observable_ms: Vec::new(),
                },
                ranges: Vec::new(),
                tracks: Vec::new(),
            });
            let pushed = entry.truth.trajectory.push(Sample {
                time_s,
                position_in_world: actor.center_in_world,
                velocity_in_world_mps: Vector3::zeros(),
                position_covariance: Matrix3::zeros(),
                velocity_covariance: Matrix3::zeros(),
                standing: false,
                reliable: true,
            });
            if pushed.is_ok() && is_asked_for(actor) && !actor.truncated {
                entry.truth.observable_ms.push((time_s * 1e3).round() as i64);
            }
            let from_camera = actor.center_in_world.coords - frame.truth.world_from_camera.translation.vector;
            entry.ranges.push((time_s, from_camera.norm()));
            if let Some((_, track)) = frame.pairs.iter().find(|pair| pair.0 == index) {
                entry.tracks.push((time_s, frame.seen.tracks[*track].0));
            }
        }
    }
    actors
}

fn position_scores<'a>(positions: impl Iterator<Item = &'a ScoredPosition> + Clone) -> PositionScores {
    let relative = |from_m: f64, to_m: f64| -> Vec<f64> {
        let within = positions
            .clone()
            .filter(|position| (from_m..to_m).contains(&position.range_m));
        within
            .map(|position| position.error_m / position.range_m.max(0.1))
            .collect()
    };
    let by_range = RANGE_EDGES_M.windows(2).filter_map(|edges| {
        let (from_m, to_m) = (edges[0], edges[1]);
        let within = positions
            .clone()
            .filter(|position| (from_m..to_m).contains(&position.range_m));
        let mut errors: Vec<f64> = within.map(|position| position.error_m).collect();
        (!errors.is_empty()).then(|| RangeScore {
            from_m,
            to_m,
            positions: errors.len(),
            median_m: median(&mut errors),
            median_relative: median(&mut relative(from_m, to_m)),
        })
    });
    let mut all = relative(0.0, f64::INFINITY);
    PositionScores {
        positions: all.len(),
        by_range: by_range.collect(),
        median_relative: median(&mut all),
    }
}

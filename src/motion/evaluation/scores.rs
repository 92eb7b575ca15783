//! Runs the motion stage over scenes and scores its trajectories, live and settled.

use std::collections::BTreeMap;

use nalgebra::{Matrix3, Unit, Vector3};
use serde::Serialize;

use super::perturbation::{NoiseSettings, ObjectNoise};
use super::scene::{Group, Scene, SceneFrame, TrueObject};
use crate::frame::{FrameTime, NANOS_PER_SECOND};
use crate::kinematics::{
    RECORD_STEP_S, STANDSTILL_GATE_M, Sample, Trajectory, movement_direction, traveled_distance_m,
};
use crate::motion::{MotionEngine, MotionSettings, ObjectObservation};
use crate::reconstruction::{CueKind, Lifter, PoseSource, RangeCue, ReconstructionHealth, View};

/// Length of a window, seconds.
const WINDOW_S: f64 = 2.0;
/// From the start of a window to that of the next, seconds.
const STRIDE_S: f64 = 0.1;
const KMH_PER_MPS: f64 = 3.6;
/// A vehicle that is faster than this moves, km/h.
const VEHICLE_MOVES_KMH: f64 = 7.2;
/// A person whose displacement over the window is faster than this moves, km/h: half a slow walk.
const PEDESTRIAN_MOVES_KMH: f64 = 1.8;
/// A vehicle whose displacement over the window is slower than this is parked, km/h. (Its path in the truth is longer:
/// labels jitter.)
const PARKED_KMH: f64 = 1.0;
/// A speed counts as right within this share of the true one.
const ACCURATE_SHARE: f64 = 0.25;

/// How one group of windows is met.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroupScore {
    /// Windows scored.
    pub windows: usize,
    /// Windows in which the object has no trajectory of ours.
    pub missed: usize,
    /// Mean absolute error of the speed, km/h.
    pub speed_mae_kmh: Option<f64>,
    /// Mean error of the speed (estimated less true), km/h.
    pub speed_bias_kmh: Option<f64>,
    /// Median of the estimated speed, km/h.
    pub speed_median_kmh: Option<f64>,
    /// Share of windows whose speed is within 25 % of the true one; none for what stands.
    pub acc25: Option<f64>,
    /// Mean absolute relative error of the distance; none for what stands.
    pub distance_mape: Option<f64>,
    /// Share of windows whose clock hour is within one hour of the true one, among those that truly have one.
    pub clock_acc1: Option<f64>,
    /// Share of windows whose true speed lies in the published 95 % interval.
    pub coverage95: Option<f64>,
    /// Mean width of that interval, km/h.
    pub interval_kmh: Option<f64>,
}

/// Scores of one group's states.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StateScores {
    /// Causal states.
    pub live: GroupScore,
    /// States a settle lag behind.
    pub settled: GroupScore,
}

/// Scores of all groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Vehicles faster than 7.2 km/h.
    pub vehicle_moving: StateScores,
    /// Vehicles that stand.
    pub vehicle_parked: StateScores,
    /// People faster than 1.8 km/h.
    pub pedestrian_moving: StateScores,
}

impl Report {
    /// The groups by name.
    pub fn groups(&self) -> [(&'static str, &StateScores); 3] {
        [
            ("vehicle_moving", &self.vehicle_moving),
            ("vehicle_parked", &self.vehicle_parked),
            ("pedestrian_moving", &self.pedestrian_moving),
        ]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bin {
    VehicleMoving,
    VehicleParked,
    PedestrianMoving,
}

/// One window of one object.
#[derive(Clone, Copy, Debug)]
struct Window {
    bin: Bin,
    true_speed_kmh: f64,
    true_hour: Option<u8>,
    estimate: Option<Estimated>,
}

#[derive(Clone, Copy, Debug)]
struct Estimated {
    speed_kmh: f64,
    interval_kmh: (f64, f64),
    hour: Option<u8>,
}

/// Runs the motion stage over `scenes`, once a seed, each with its own noise, and scores all windows together.
pub fn evaluate(
    scenes: &[Scene],
    noise: &NoiseSettings,
    settings: &MotionSettings,
    seeds: &[u64],
    mut progress: impl FnMut(&Scene, u64),
) -> Report {
    let (mut live, mut settled) = (Vec::new(), Vec::new());
    for &seed in seeds {
        for (index, scene) in scenes.iter().enumerate() {
            progress(scene, seed);
            run_scene(scene, index as u64, noise, settings, seed, &mut live, &mut settled);
        }
    }
    let group = |bin: Bin| StateScores {
        live: group_score(&live, bin),
        settled: group_score(&settled, bin),
    };
    Report {
        vehicle_moving: group(Bin::VehicleMoving),
        vehicle_parked: group(Bin::VehicleParked),
        pedestrian_moving: group(Bin::PedestrianMoving),
    }
}

fn run_scene(
    scene: &Scene,
    scene_index: u64,
    noise: &NoiseSettings,
    settings: &MotionSettings,
    seed: u64,
    live: &mut Vec<Window>,
    settled: &mut Vec<Window>,
) {
    // All of a drive is kept: its windows are read at the end.
    let mut engine = MotionEngine::new(MotionSettings {
        history_s: f64::INFINITY,
        max_objects: usize::MAX,
        ..settings.clone()
    });
    let lifter = Lifter::new(settings.priors.clone());
    let mut noises = BTreeMap::new();
    let mut observations = Vec::new();
    for frame in &scene.frames {
        let view = view(scene, frame);
        observations.clear();
        observations.extend(
            frame
                .objects
                .iter()
                .filter(|object| object.observable)
                .filter_map(|object| {
                    let source = noises
                        .entry(object.id)
                        .or_insert_with(|| ObjectNoise::new(seed, scene_index, object.id));
                    observe(object, frame.time_s, &view, noise, source, &lifter)
                }),
        );
        let time = FrameTime::from_pts_ns((frame.time_s * NANOS_PER_SECOND).round() as u64);
        engine.update_observations(time, &observations, &view.world_from_camera);
    }
    engine.finish();
    let truths = true_trajectories(scene);
    engine.trajectories().read(|store| {
        for (id, truth) in &truths {
            let stored = store.get(*id);
            for (start_s, bin, true_speed_kmh) in truth.windows() {
                let end_s = start_s + WINDOW_S;
                let window = |trajectory: Option<&Trajectory>| Window {
                    bin,
                    true_speed_kmh,
                    true_hour: hour(&truth.trajectory, start_s, end_s),
                    estimate: trajectory.and_then(|trajectory| estimated(trajectory, start_s, end_s)),
                };
                live.push(window(stored.map(|stored| &stored.live)));
                settled.push(window(stored.map(|stored| &stored.settled)));
            }
        }
    });
}

fn view(scene: &Scene, frame: &SceneFrame) -> View {
    View {
        camera: scene.camera.clone(),
        world_from_camera: frame.world_from_camera,
        ego_velocity_in_world_mps: Vector3::zeros(),
        pose_source: PoseSource::External,
        ground_z_in_world_m: None,
        depth: None,
        health: ReconstructionHealth {
            log_scale_sigma: 0.0,
            inlier_ratio: 1.0,
            lost: false,
        },
    }
}

/// The noisy box is lifted as any other; the noisy distance stands in for a depth network, and the direction gets its
/// noise across.
fn observe(
    object: &TrueObject,
    time_s: f64,
    view: &View,
    noise: &NoiseSettings,
    source: &mut ObjectNoise,
    lifter: &Lifter,
) -> Option<ObjectObservation> {
    let draw = source.draw(time_s, noise.memory_s);
    let line = object.position_in_world - view.world_from_camera.translation.vector;
    let range_m = line.coords.norm();
    let mut lifted = None;
    if let Some(bbox) = object.bbox {
        let bbox = draw.jittered(&bbox, noise.box_jitter);
        let (width, height) = (view.camera.intrinsics.width, view.camera.intrinsics.height);
        lifted = lifter
            .lift_box(&bbox, object.class, None, view, width, height)
            .observation;
    }
    let mut observation = lifted?;
    let (level, upright) = across(&observation.bearing_in_world);
    let shifted = observation.bearing_in_world.into_inner()
        + level * (noise.lateral * draw.across[0])
        + upright * (noise.lateral * draw.across[1]);
    observation.bearing_in_world = Unit::try_new(shifted, 1e-9)?;
    observation.bearing_sigma_rad = observation.bearing_sigma_rad.hypot(noise.lateral);
    observation.cues[CueKind::Depth.index()] = (noise.range > 0.0).then(|| RangeCue {
        range_m: range_m * (1.0 + noise.range * draw.range).max(0.2),
        noise: noise.range,
        bias: 0.0,
    });
    Some(ObjectObservation {
        track_id: object.id,
        class: object.class,
        observation: Some(observation),
        reliability: crate::kinematics::Reliability::Reliable,
    })
}

fn across(direction: &Unit<Vector3<f64>>) -> (Vector3<f64>, Vector3<f64>) {
    let level = Vector3::z()
        .cross(direction)
        .try_normalize(1e-6)
        .unwrap_or_else(Vector3::y);
    (level, direction.cross(&level))
}

struct Truth {
    group: Group,
    trajectory: Trajectory,
    /// Times at which it is observable, in milliseconds.
    observable_ms: Vec<i64>,
}

fn true_trajectories(scene: &Scene) -> BTreeMap<u64, Truth> {
    let mut truths: BTreeMap<u64, Truth> = BTreeMap::new();
    for frame in &scene.frames {
        for object in &frame.objects {
            let truth = truths.entry(object.id).or_insert_with(|| Truth {
                group: object.group,
                trajectory: Trajectory::new(),
                observable_ms: Vec::new(),
            });
            let pushed = truth.trajectory.push(Sample {
                time_s: frame.time_s,
                position_in_world: object.position_in_world,
                velocity_in_world_mps: Vector3::zeros(),
                position_covariance: Matrix3::zeros(),
                velocity_covariance: Matrix3::zeros(),
                standing: false,
                reliable: true,
            });
            if pushed.is_ok() && object.observable {
                truth.observable_ms.push((frame.time_s * 1e3).round() as i64);
            }
        }
    }
    truths
}

impl Truth {
    /// Starts of the windows at all five samples of which the object is observable, with their group and true speed.
    fn windows(&self) -> Vec<(f64, Bin, f64)> {
        let mut windows = Vec::new();
        let (Some(from_s), Some(to_s)) = (self.trajectory.start_s(), self.trajectory.end_s()) else {
            return windows;
        };
        let count = ((to_s - from_s - WINDOW_S) / STRIDE_S + 1e-6).floor();
        for k in 0..=(count.max(-1.0) as i64) {
            if count < 0.0 {
                break;
            }
            let start_s = from_s + k as f64 * STRIDE_S;
            let samples = (WINDOW_S / RECORD_STEP_S).round() as i64;
            let seen = (0..=samples).all(|sample| self.is_observable(start_s + sample as f64 * RECORD_STEP_S));
            if seen && let Some((bin, speed)) = self.bin(start_s) {
                windows.push((start_s, bin, speed));
            }
        }
        windows
    }

    fn is_observable(&self, time_s: f64) -> bool {
        let ms = (time_s * 1e3).round() as i64;
        let index = self.observable_ms.partition_point(|at| *at < ms - 51);
        self.observable_ms.get(index).is_some_and(|at| *at <= ms + 51)
    }

    fn bin(&self, start_s: f64) -> Option<(Bin, f64)> {
        let end_s = start_s + WINDOW_S;
        let path_kmh = traveled_distance_m(&self.trajectory, start_s, end_s).ok()?.value / WINDOW_S * KMH_PER_MPS;
        let (start, end) = (self.trajectory.at(start_s)?, self.trajectory.at(end_s)?);
        let net_kmh = (end.position_in_world - start.position_in_world).norm() / WINDOW_S * KMH_PER_MPS;
        match self.group {
            Group::Vehicle if path_kmh > VEHICLE_MOVES_KMH => Some((Bin::VehicleMoving, path_kmh)),
            Group::Vehicle if net_kmh < PARKED_KMH => Some((Bin::VehicleParked, path_kmh)),
            Group::Pedestrian if net_kmh > PEDESTRIAN_MOVES_KMH => Some((Bin::PedestrianMoving, path_kmh)),
            _ => None,
        }
    }
}

fn hour(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Option<u8> {
    movement_direction(trajectory, start_s, end_s, STANDSTILL_GATE_M)
        .ok()
        .map(|direction| direction.hour.get())
}

fn estimated(trajectory: &Trajectory, start_s: f64, end_s: f64) -> Option<Estimated> {
    let distance = traveled_distance_m(trajectory, start_s, end_s).ok()?;
    let kmh = |distance_m: f64| distance_m / WINDOW_S * KMH_PER_MPS;
    let (low, high) = distance.interval_95();
    Some(Estimated {
        speed_kmh: kmh(distance.value),
        interval_kmh: (kmh(low), kmh(high)),
        hour: hour(trajectory, start_s, end_s),
    })
}

fn group_score(windows: &[Window], bin: Bin) -> GroupScore {
    let moves = bin != Bin::VehicleParked;
    let mut missed = 0;
    let mut bias = 0.0;
    let mut errors = Vec::new();
    let mut speeds = Vec::new();
    let (mut accurate, mut relative, mut covered, mut width) = (0.0, 0.0, 0.0, 0.0);
    let (mut hours, mut hours_right) = (0.0, 0.0);
    for window in windows.iter().filter(|window| window.bin == bin) {
        let Some(estimate) = window.estimate else {
            missed += 1;
            continue;
        };
        let error = (estimate.speed_kmh - window.true_speed_kmh).abs();
        bias += estimate.speed_kmh - window.true_speed_kmh;
        errors.push(error);
        speeds.push(estimate.speed_kmh);
        accurate += f64::from(u8::from(error <= ACCURATE_SHARE * window.true_speed_kmh));
        relative += error / window.true_speed_kmh.max(1e-9);
        let (low, high) = estimate.interval_kmh;
        covered += f64::from(u8::from(low <= window.true_speed_kmh && window.true_speed_kmh <= high));
        width += high - low;
        if let Some(true_hour) = window.true_hour {
            hours += 1.0;
            let right = estimate.hour.is_some_and(|hour| {
                let apart = (i32::from(hour) - i32::from(true_hour)).rem_euclid(12);
                apart.min(12 - apart) <= 1
            });
            hours_right += f64::from(u8::from(right));
        }
    }
    let count = errors.len() as f64;
    let mean = |sum: f64| (count > 0.0).then(|| sum / count);
    GroupScore {
        windows: errors.len(),
        missed,
        speed_mae_kmh: mean(errors.iter().sum()),
        speed_bias_kmh: mean(bias),
        speed_median_kmh: median(&mut speeds),
        acc25: mean(accurate).filter(|_| moves),
        distance_mape: mean(relative).filter(|_| moves),
        clock_acc1: (moves && hours > 0.0).then(|| hours_right / hours),
        coverage95: mean(covered),
        interval_kmh: mean(width),
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) {
        *values.get(middle.checked_sub(1)?)?
    } else {
        upper
    };
    Some(0.5 * (lower + upper))
}

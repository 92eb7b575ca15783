//! Runs the motion stage over scenes and scores its trajectories, live and settled.

use std::collections::BTreeMap;

use nalgebra::{Matrix3, Unit, Vector3};
use serde::Serialize;

use super::perturbation::{NoiseSettings, ObjectNoise};
use super::scene::{Scene, SceneFrame, TrueObject};
use super::windows::{self, Bin, StateScores, Truth, WINDOW_S, Window, estimated, hour};
use crate::frame::{FrameTime, NANOS_PER_SECOND};
use crate::kinematics::{Sample, Trajectory};
use crate::motion::{MotionEngine, MotionSettings, ObjectObservation};
use crate::reconstruction::{CueKind, Lifter, PoseSource, RangeCue, ReconstructionHealth, Seen, View};

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
    let score = |windows: &[Window], bin: Bin| {
        let windows = windows.iter().filter(|window| window.bin == bin);
        windows::score(windows, bin != Bin::VehicleParked)
    };
    let group = |bin: Bin| StateScores {
        live: score(&live, bin),
        settled: score(&settled, bin),
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
        health: ReconstructionHealth::certain(),
        scene: 0,
        relative_focal_sigma: scene.camera.intrinsics_source.relative_focal_sigma(),
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
            .lift_box(&Seen::boxed(bbox, object.class), view, width, height)
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

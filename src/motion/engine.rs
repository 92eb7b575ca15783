//! The motion stage: tracks of a frame in, metric states out, trajectories kept.

use std::collections::BTreeMap;

use nalgebra::{Isometry3, Vector3};

use super::noise::NoiseColor;
use super::object::{self, MovingObject};
use super::{MotionSettings, SharedTrajectories, TrajectoryStore};
use crate::detection::ClassLabel;
use crate::frame::FrameTime;
use crate::kinematics::{ClockHour, KinematicState, ObjectState, Reliability, Sample, clockwise_angle_rad};
use crate::reconstruction::{Lifter, Observation, View};
use crate::tracking::{Fronts, Track, TrackStatus};

/// Slowest settled speed that has a direction, m/s: half of a slow walk.
const DIRECTION_GATE_MPS: f64 = 0.5;

/// What one frame says about one object.
#[derive(Clone, Copy, Debug)]
pub struct ObjectObservation {
    /// Identity.
    pub track_id: u64,
    /// What it is.
    pub class: ClassLabel,
    /// Where it is seen; `None` when it is not seen in this frame.
    pub observation: Option<Observation>,
    /// Whether the observation is to be trusted.
    pub reliability: Reliability,
}

/// A sample on its way into the store.
struct Stored {
    track_id: u64,
    class: ClassLabel,
    settled: bool,
    sample: Sample,
}

/// Estimates the motion of every tracked object.
#[derive(Debug)]
pub struct MotionEngine {
    settings: MotionSettings,
    lifter: Lifter,
    trajectories: SharedTrajectories,
    objects: BTreeMap<u64, MovingObject>,
    noise: NoiseColor,
    time_s: Option<f64>,
    /// The reconstruction's scene: positions of different scenes do not compare.
    scene: Option<u64>,
    observations: Vec<ObjectObservation>,
    fronts: Fronts,
    pending: Vec<Stored>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sample of object {} at {} s", self.track_id, self.sample.time_s)
    }
}

impl MotionEngine {
    /// With nothing seen yet.
    pub fn new(settings: MotionSettings) -> Self {
        let store =
            TrajectoryStore::new(settings.history_s, settings.max_objects).with_settle_lag_s(settings.settle_lag_s);
        Self {
            lifter: Lifter::new(settings.priors.clone()),
            noise: NoiseColor::new(settings.noise_memory_s),
            trajectories: SharedTrajectories::new(store),
            objects: BTreeMap::new(),
            time_s: None,
            scene: None,
            observations: Vec::new(),
            fronts: Fronts::default(),
            pending: Vec::new(),
            settings,
        }
    }

    /// Takes the tracks of a `width`×`height` picture, and returns the states of those whose place is known.
    pub fn update(
        &mut self,
        time: FrameTime,
        tracks: &[Track],
        view: &View,
        width: u32,
        height: u32,
    ) -> Vec<ObjectState> {
        if self
            .scene
            .replace(view.scene)
            .is_some_and(|before| before != view.scene)
        {
            self.finish();
        }
        let seen = tracks.iter().filter(|track| track.status == TrackStatus::Tracked);
        self.fronts.gather(seen.map(|track| track.bbox));
        let mut observations = std::mem::take(&mut self.observations);
        observations.clear();
        observations.extend(tracks.iter().map(|track| {
            let (observation, reliability) = match track.status {
                TrackStatus::Tracked => {
                    let heading = self.objects.get(&track.id).and_then(MovingObject::heading);
                    let covered = f64::from(self.fronts.cover(&track.bbox));
                    let lifted = self.lifter.lift(track, heading, covered, view, width, height);
                    (lifted.observation, lifted.reliability)
                }
                TrackStatus::Lost => (None, Reliability::Reliable),
            };
            ObjectObservation {
                track_id: track.id,
                class: track.class,
                observation,
                reliability,
            }
        }));
        let states = self.update_observations(time, &observations, &view.world_from_camera);
        self.observations = observations;
        states
    }

    /// Takes what a frame says about its objects, already in metres, and returns the states of those whose place is known.
    ///
    /// Time that stands still changes nothing; time that runs backwards starts everything anew.
    pub fn update_observations(
        &mut self,
        time: FrameTime,
        observations: &[ObjectObservation],
        world_from_camera: &Isometry3<f64>,
    ) -> Vec<ObjectState> {
        let now_s = time.seconds();
        if self.time_s.is_some_and(|last_s| now_s < last_s) {
            self.reset();
        }
        let moves_on = self.time_s.is_none_or(|last_s| now_s > last_s);
        self.time_s = Some(now_s);
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        if moves_on {
            self.bury(now_s, &mut pending);
            for observation in observations {
                self.step(now_s, observation, &mut pending);
            }
            self.limit(&mut pending);
        }
        let states = observations
            .iter()
            .filter_map(|observation| {
                let object = self.objects.get(&observation.track_id)?;
                Some(object_state(observation.track_id, object, world_from_camera))
            })
            .collect();
        if moves_on {
            self.store(now_s, &pending);
        }
        self.pending = pending;
        states
    }

    /// One object's frame.
    fn step(&mut self, now_s: f64, seen: &ObjectObservation, pending: &mut Vec<Stored>) {
        let id = seen.track_id;
        let observation = seen.observation.as_ref().filter(|observation| is_usable(observation));
        let mut errors = None;
        if let Some(observation) = observation {
            if let Some(object) = self.objects.get_mut(&id) {
                self.noise.observe(&mut object.neighbours, now_s, observation);
            }
            errors = Some(self.noise.errors(observation));
        }
        let mut anew = false;
        if let Some(object) = self.objects.get_mut(&id) {
            if object.time_s >= now_s {
                return;
            }
            object.class = seen.class;
            let measured = observation
                .zip(errors)
                .map(|(observation, errors)| (observation, errors, seen.reliability));
            anew = !object.step(now_s, measured) || !object.is_sound();
            if !anew {
                let class = object.class;
                object.settle(self.settings.settle_lag_s, |state, reliable| {
                    pending.push(Stored {
                        track_id: id,
                        class,
                        settled: true,
                        sample: object::sample(state, reliable),
                    });
                });
                object.set_reference_heading(DIRECTION_GATE_MPS);
            }
        }
        let mut reference_heading = None;
        if anew && let Some(mut object) = self.objects.remove(&id) {
            // The estimate starts anew, but it is the same object: its 12 o'clock stays.
            reference_heading = object.reference_heading;
            if object.is_sound() {
                settle_rest(id, &mut object, pending);
            }
        }
        if !self.objects.contains_key(&id)
            && let (Some(observation), Some(errors)) = (observation, errors)
        {
            let prior = self.settings.priors.get(seen.class);
            let born = MovingObject::born(now_s, seen.class, prior, observation, errors, seen.reliability);
            if let Some(mut object) = born.filter(MovingObject::is_sound) {
                self.noise.observe(&mut object.neighbours, now_s, observation);
                object.reference_heading = reference_heading;
                self.objects.insert(id, object);
            }
        }
        if let Some(object) = self.objects.get(&id) {
            pending.push(Stored {
                track_id: id,
                class: object.class,
                settled: false,
                sample: object::sample(&object.live(), object.reliability().is_reliable()),
            });
        }
    }

    /// Ends what has not been seen for too long; what of it was not settled yet is settled now.
    fn bury(&mut self, now_s: f64, pending: &mut Vec<Stored>) {
        let coast_s = self.settings.coast_s;
        self.objects.retain(|id, object| {
            let alive = now_s - object.last_seen_s <= coast_s;
            if !alive {
                settle_rest(*id, object, pending);
            }
            alive
        });
    }

    /// Keeps the number of objects bounded: those unseen for longest go.
    fn limit(&mut self, pending: &mut Vec<Stored>) {
        while self.objects.len() > self.settings.max_objects {
            let oldest = self
                .objects
                .iter()
                .min_by(|a, b| a.1.last_seen_s.total_cmp(&b.1.last_seen_s));
            let Some(id) = oldest.map(|(id, _)| *id) else { break };
            if let Some(mut object) = self.objects.remove(&id) {
                settle_rest(id, &mut object, pending);
            }
        }
    }

    fn store(&self, now_s: f64, pending: &[Stored]) {
        self.trajectories.write(|store| {
            for item in pending {
                let stored = store.entry(item.track_id, item.class);
                if let Some(object) = self.objects.get(&item.track_id) {
                    stored.reliability = object.reliability();
                    stored.live.set_relative_scale_sigma(object.scale_sigma);
                    stored.settled.set_relative_scale_sigma(object.scale_sigma);
                }
                let trajectory = if item.settled {
                    &mut stored.settled
                } else {
                    &mut stored.live
                };
                if let Err(error) = trajectory.push(item.sample) {
                    tracing::debug!(track_id = item.track_id, %error, "sample not stored");
                }
            }
            store.prune(now_s);
        });
    }

    /// Ends all objects: what was not settled yet is settled up to where each was last seen. For the end of a stream.
    pub fn finish(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        for (id, object) in &mut self.objects {
            settle_rest(*id, object, &mut pending);
        }
        self.objects.clear();
        if let Some(now_s) = self.time_s {
            self.store(now_s, &pending);
        }
        self.pending = pending;
    }

    /// The rolling store; clones share it.
    pub fn trajectories(&self) -> SharedTrajectories {
        self.trajectories.clone()
    }

    /// How motion is estimated.
    pub fn settings(&self) -> &MotionSettings {
        &self.settings
    }

    /// Forgets all objects and trajectories.
    pub fn reset(&mut self) {
        self.objects.clear();
        self.noise = NoiseColor::new(self.settings.noise_memory_s);
        self.time_s = None;
        self.trajectories.write(TrajectoryStore::clear);
    }
}

fn settle_rest(id: u64, object: &mut MovingObject, pending: &mut Vec<Stored>) {
    let class = object.class;
    object.settle_all(|state, reliable| {
        pending.push(Stored {
            track_id: id,
            class,
            settled: true,
            sample: object::sample(state, reliable),
        });
    });
}

/// Whether an observation's numbers make sense.
fn is_usable(observation: &Observation) -> bool {
    let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
    finite(observation.camera_in_world.coords.as_slice())
        && finite(observation.bearing_in_world.as_slice())
        && observation.bearing_sigma_rad.is_finite()
        && observation.bearing_sigma_rad > 0.0
        && observation.scale_sigma.is_finite()
        && observation.cues.iter().flatten().all(|cue| {
            cue.range_m.is_finite() && cue.range_m > 0.0 && cue.noise.is_finite() && cue.noise > 0.0 && cue.bias >= 0.0
        })
}

fn object_state(track_id: u64, object: &MovingObject, world_from_camera: &Isometry3<f64>) -> ObjectState {
    let publish = |state: &KinematicState| object::scaled(state, object.camera_in_world, object.scale_sigma);
    let live = object.live();
    let movement_clock = object.settled.as_ref().and_then(|settled| {
        let reference = object.reference_heading?;
        let heading = settled.velocity_in_world_mps;
        (heading.xy().norm() >= DIRECTION_GATE_MPS)
            .then(|| clockwise_angle_rad(&reference, &heading))
            .flatten()
    });
    let ahead = world_from_camera * Vector3::z();
    let toward = live.position_in_world - world_from_camera.translation.vector;
    ObjectState {
        track_id,
        class: object.class,
        live: publish(&live),
        settled: object.settled.as_ref().map(publish),
        movement_clock: movement_clock.map(|angle| ClockHour::from_angle_rad(angle).get()),
        bearing_clock: clockwise_angle_rad(&ahead, &toward.coords).map(|angle| ClockHour::from_angle_rad(angle).get()),
        reliability: object.reliability(),
    }
}

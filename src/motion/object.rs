//! The estimator of one object: birth, filtering, coasting, and settling a fixed lag behind.

use std::collections::VecDeque;

use nalgebra::{Matrix3, Matrix6, Point3, Vector3, Vector6};

use super::filter::{Errors, Estimate, Measurement, Motion};
use super::modes::{self, MODES, Modes, Motions, STANDING};
use super::noise::Neighbours;
use crate::detection::ClassLabel;
use crate::kinematics::{KinematicState, Reliability, Sample, UnreliableReason};
use crate::reconstruction::{ClassPrior, CueKind, Heading, Observation};

/// An object at rest creeps by this much per √s, metres (labels and boxes breathe), …
const CREEP_M: f64 = 0.02;
/// … and this is the speed at which it still counts as standing, m/s.
const STANDING_SPEED_MPS: f64 = 0.05;
/// Share of the class's acceleration while cruising, and while manoeuvring.
const CRUISE_SHARE: f64 = 0.25;
const MANOEUVRE_SHARE: f64 = 1.2;
/// Change of velocity over one second in a sprint, a cut or an emergency stop, m/s, whatever the class.
const BURST_MPS: f64 = 1.5;
/// Vertical share of the acceleration of what stands on the ground.
const UPRIGHT_SHARE: f64 = 0.1;
/// Standard deviation of the vertical speed at birth of what stands on the ground, as a share of the level one.
const UPRIGHT_SPEED_SHARE: f64 = 0.04;
/// How far from the first observation the object may be, relative to the distance, before anything is measured.
const BIRTH_SIGMA: f64 = 1.0;
/// An object needs this many observations …
const MIN_OBSERVATIONS: u32 = 4;
/// … over this long, seconds, before its states are reliable.
const MIN_AGE_S: f64 = 0.5;
/// After so long with most measurements rejected the object starts anew, seconds.
const MAX_REJECTED_S: f64 = 0.3;
/// What was not seen for so long before its motion was known starts anew, seconds: a glimpse and a thing that turns up later
/// near it need not be the same, and a line drawn through both is nobody's motion.
const MAX_FIRST_GAP_S: f64 = 0.3;
/// Time over which the stated sizes of errors are averaged, seconds.
const ERROR_SIZE_MEMORY_S: f64 = 0.5;
/// Standard deviation of a direction of movement that counts as sure, radians: half an hour of the clock.
const SURE_HEADING_RAD: f64 = 0.26;
/// Who moves slower than this may slide, or be pushed, m/s; …
const HEADING_GATE_MPS: f64 = 0.6;
/// … and a direction less sure than this does not tell which way it lies, radians.
const MAX_HEADING_SIGMA_RAD: f64 = 0.5;
/// The smoother runs once in this time, seconds.
const SETTLE_STEP_S: f64 = 0.2;

/// Errors that are others for a box that was completed beyond the picture's edge: of the distance over the ground, and of the
/// direction.
const UNLIKE_COMPLETED: [usize; 3] = [CueKind::Ground as usize, CueKind::ALL.len(), CueKind::ALL.len() + 1];
/// At this rate nothing is left after any step, 1/s.
const FORGETTING_PER_S: f64 = 1e6;

/// What is assumed of a class without a prior: as agile as a car.
const UNKNOWN_CLASS: Dynamics = Dynamics {
    speed_mps: 10.0,
    acceleration_mps2: 3.0,
    standing_share: 0.5,
    on_ground: false,
};

#[derive(Clone, Copy, Debug)]
struct Dynamics {
    speed_mps: f64,
    acceleration_mps2: f64,
    standing_share: f64,
    on_ground: bool,
}

impl Dynamics {
    fn of(prior: Option<&ClassPrior>) -> Self {
        prior.map_or(UNKNOWN_CLASS, |prior| Self {
            speed_mps: prior.speed_mps,
            acceleration_mps2: prior.acceleration_mps2,
            standing_share: prior.standing_share,
            on_ground: prior.on_ground,
        })
    }

    /// What moves over the ground, where the world's vertical is known to `tilt_sigma_rad`, moves upright by this share of
    /// its motion, where `share` is what the ground itself allows.
    fn upright(&self, share: f64, tilt_sigma_rad: f64) -> f64 {
        if self.on_ground {
            share.hypot(tilt_sigma_rad.sin())
        } else {
            1.0
        }
    }

    fn motions(&self, tilt_sigma_rad: f64) -> Motions {
        let upright = self.upright(UPRIGHT_SHARE, tilt_sigma_rad);
        let moving = |share: f64| Motion::Moving {
            level: (share * self.acceleration_mps2).powi(2),
            upright: (share * upright * self.acceleration_mps2).powi(2),
        };
        [
            Motion::Standing {
                creep_m: CREEP_M,
                velocity_sigma_mps: STANDING_SPEED_MPS,
            },
            moving(CRUISE_SHARE),
            moving(MANOEUVRE_SHARE),
            moving((BURST_MPS / self.acceleration_mps2).max(MANOEUVRE_SHARE)),
        ]
    }
}

/// How large the errors are, as known before a frame's own measurements.
///
/// What is stated with a measurement follows from the measurement: the farther an object is seen, by chance, the larger its
/// error is said to be. Taken as stated, a chance error on the far side would count for more in the error that stays with
/// the object, and less in the position, than one on the near side, and the object would wander towards the camera.
#[derive(Clone, Debug)]
struct ErrorSizes(Errors);

impl ErrorSizes {
    /// The sizes of errors that have nothing to do with the earlier ones: those are forgotten by the step to this frame.
    fn anew(&mut self, stated: &Errors) -> Errors {
        let mut first = *stated;
        for index in UNLIKE_COMPLETED {
            self.0[index] = stated[index];
            first[index].rate = FORGETTING_PER_S;
        }
        first
    }

    /// The sizes from earlier frames; an error that was not there before has its own. Then takes `stated` in.
    fn before(&mut self, stated: &Errors, dt_s: f64) -> Errors {
        let share = 1.0 - (-dt_s / ERROR_SIZE_MEMORY_S).exp();
        let mix = |old: f64, new: f64| old + share * (new - old);
        std::array::from_fn(|index| {
            let (known, new) = (&mut self.0[index], stated[index]);
            if known.white + known.sigma <= 0.0 || new.white + new.sigma <= 0.0 {
                *known = new;
                return new;
            }
            let used = *known;
            known.white = mix(known.white, new.white);
            known.sigma = mix(known.sigma, new.sigma);
            known.rate = mix(known.rate, new.rate);
            used
        })
    }
}

/// A filtered time that the smoother still needs.
#[derive(Clone, Debug)]
struct Node {
    time_s: f64,
    modes: Modes,
    errors: Errors,
    seen: bool,
    reliability: Reliability,
}

/// The estimator of one object.
#[derive(Clone, Debug)]
pub(super) struct MovingObject {
    pub class: ClassLabel,
    motions: Motions,
    modes: Modes,
    errors: Errors,
    error_sizes: ErrorSizes,
    pub neighbours: Neighbours,
    pub time_s: f64,
    pub last_seen_s: f64,
    born_s: f64,
    observations: u32,
    rejected_since_s: Option<f64>,
    observation_reliability: Reliability,
    /// Whether the newest observation is of what the picture's edge cuts.
    completed: bool,
    pub camera_in_world: Point3<f64>,
    pub scale_sigma: f64,
    nodes: VecDeque<Node>,
    settled_until_s: f64,
    /// States on their way out of the smoother; kept for its memory.
    settling: Vec<(KinematicState, bool)>,
    pub settled: Option<KinematicState>,
    pub reference_heading: Option<Vector3<f64>>,
    /// Which way it lies.
    heading: Option<Heading>,
}

impl MovingObject {
    /// From the first observation with a distance; `None` without one.
    pub fn born(
        time_s: f64,
        class: ClassLabel,
        prior: Option<&ClassPrior>,
        observation: &Observation,
        errors: Errors,
        reliability: Reliability,
    ) -> Option<Self> {
        let (range_m, _) = observation.range()?;
        let (position, _) = observation.position()?;
        let dynamics = Dynamics::of(prior);
        let motions = dynamics.motions(observation.tilt_sigma_rad);
        let vertical = dynamics.upright(UPRIGHT_SPEED_SHARE, observation.tilt_sigma_rad);
        let speed = dynamics.speed_mps;
        let estimates = std::array::from_fn(|mode| {
            let velocity_sigma = match motions[mode] {
                Motion::Standing { velocity_sigma_mps, .. } => Vector3::repeat(velocity_sigma_mps),
                Motion::Moving { .. } => Vector3::new(speed, speed, (speed * vertical).max(0.1)),
            };
            Estimate::born(position, BIRTH_SIGMA * range_m, velocity_sigma)
        });
        let moving = (1.0 - dynamics.standing_share) / (MODES - 1) as f64;
        let mut modes = Modes {
            estimates,
            probabilities: [moving; MODES],
            likelihoods: [1.0; MODES],
        };
        modes.probabilities[STANDING] = dynamics.standing_share;
        modes.update(Measurement::of(observation, &errors));
        let mut object = Self {
            class,
            motions,
            modes,
            errors,
            error_sizes: ErrorSizes(errors),
            neighbours: Neighbours::default(),
            time_s,
            last_seen_s: time_s,
            born_s: time_s,
            observations: 1,
            rejected_since_s: None,
            observation_reliability: reliability,
            completed: observation.completed,
            camera_in_world: observation.camera_in_world,
            scale_sigma: observation.scale_sigma,
            nodes: VecDeque::new(),
            settled_until_s: f64::NEG_INFINITY,
            settling: Vec::new(),
            settled: None,
            reference_heading: None,
            heading: None,
        };
        object.remember(true);
        Some(object)
    }

    /// Moves on to `time_s`, and takes the observation when there is one. False when the object should start anew: the
    /// measurements have been far from every hypothesis for long, or it was gone before anything was known of its motion.
    pub fn step(&mut self, time_s: f64, observation: Option<(&Observation, Errors, Reliability)>) -> bool {
        let dt_s = time_s - self.time_s;
        let was_gone = self.time_s > self.last_seen_s && time_s - self.last_seen_s > MAX_FIRST_GAP_S;
        if observation.is_some() && was_gone && !self.is_known() {
            return false;
        }
        if let Some((observation, errors, _)) = &observation {
            let as_before = std::mem::replace(&mut self.completed, observation.completed) == observation.completed;
            self.errors = match as_before {
                true => self.error_sizes.before(errors, dt_s),
                false => self.error_sizes.anew(errors),
            };
        }
        self.modes.predict(dt_s, &self.motions, &self.errors);
        self.time_s = time_s;
        let seen = observation.is_some();
        if let Some((observation, _, reliability)) = observation {
            let fits = self.modes.update(Measurement::of(observation, &self.errors));
            self.camera_in_world = observation.camera_in_world;
            self.scale_sigma = observation.scale_sigma;
            self.observation_reliability = reliability;
            self.observations = self.observations.saturating_add(1);
            self.last_seen_s = time_s;
            if fits {
                self.rejected_since_s = None;
            } else if time_s - *self.rejected_since_s.get_or_insert(time_s) > MAX_REJECTED_S {
                return false;
            }
            self.learn_heading();
        }
        self.remember(seen);
        true
    }

    fn remember(&mut self, seen: bool) {
        self.nodes.push_back(Node {
            time_s: self.time_s,
            modes: self.modes.clone(),
            errors: self.errors,
            seen,
            reliability: self.observation_reliability,
        });
    }

    /// Whether enough has been seen of it.
    fn is_known(&self) -> bool {
        self.observations >= MIN_OBSERVATIONS && self.last_seen_s - self.born_s >= MIN_AGE_S - 1e-6
    }

    /// Whether the live state is to be trusted.
    pub fn reliability(&self) -> Reliability {
        let known = if self.is_known() {
            Reliability::Reliable
        } else {
            Reliability::Unreliable(UnreliableReason::TooFewObservations)
        };
        // Measurements that fit no hypothesis are not used: what is published meanwhile is a prediction.
        let seen = if self.last_seen_s == self.time_s && self.rejected_since_s.is_none() {
            Reliability::Reliable
        } else {
            Reliability::Unreliable(UnreliableReason::Coasting)
        };
        self.observation_reliability.and(known).and(seen)
    }

    /// Causal estimate for now.
    pub fn live(&self) -> KinematicState {
        state(self.time_s, &self.modes.merged(), self.modes.probabilities[STANDING])
    }

    /// Settles what is older than `lag_s`, oldest first, when there is enough of it.
    pub fn settle(&mut self, lag_s: f64, emit: impl FnMut(&KinematicState, bool)) {
        let until_s = self.time_s - lag_s + 1e-6;
        let due = self.nodes.iter().rev().find(|node| node.time_s <= until_s);
        if due.is_some_and(|node| node.time_s >= self.settled_until_s + SETTLE_STEP_S - 1e-6) {
            self.smooth(until_s, emit);
        }
    }

    /// Settles all up to the last time it was seen: it is gone.
    pub fn settle_all(&mut self, emit: impl FnMut(&KinematicState, bool)) {
        while self.nodes.back().is_some_and(|node| node.time_s > self.last_seen_s) {
            self.nodes.pop_back();
        }
        self.smooth(self.last_seen_s, emit);
    }

    fn smooth(&mut self, until_s: f64, mut emit: impl FnMut(&KinematicState, bool)) {
        let Some(newest) = self.nodes.back() else { return };
        let mut smoothed = newest.modes.estimates.clone();
        let mut backward = [1.0; MODES];
        let mut states = std::mem::take(&mut self.settling);
        states.clear();
        for index in (0..self.nodes.len()).rev() {
            let node = &self.nodes[index];
            if node.time_s <= self.settled_until_s {
                break;
            }
            if let Some(later) = self.nodes.get(index + 1) {
                smoothed = modes::smoothed_step(
                    &node.modes,
                    &later.modes,
                    &smoothed,
                    &mut backward,
                    later.time_s - node.time_s,
                    &self.motions,
                    &later.errors,
                );
            }
            if node.time_s <= until_s {
                let probabilities = modes::smoothed_probabilities(&node.modes, &backward);
                let merged = modes::mixture(&smoothed, &probabilities);
                let state = state(node.time_s, &merged, probabilities[STANDING]);
                let bridged = node.seen || self.nodes.iter().skip(index).any(|later| later.seen);
                states.push((state, node.reliability.is_reliable() && bridged && self.is_known()));
            }
        }
        for (state, reliable) in states.iter().rev() {
            self.settled_until_s = state.time_s;
            emit(state, *reliable);
            self.settled = Some(*state);
        }
        self.settling = states;
        // The newest settled node stays, so that the next run need not go further back.
        while self
            .nodes
            .get(1)
            .is_some_and(|node| node.time_s <= self.settled_until_s)
        {
            self.nodes.pop_front();
        }
    }

    /// Which way it lies: the direction in which it moves, or moved when it last did.
    pub fn heading(&self) -> Option<Heading> {
        self.heading
    }

    /// Learns from its movement which way it lies.
    fn learn_heading(&mut self) {
        let live = self.live();
        let velocity = live.velocity_in_world_mps.xy();
        let speed_mps = velocity.norm();
        if speed_mps < HEADING_GATE_MPS {
            return;
        }
        let across = Vector3::new(-velocity.y, velocity.x, 0.0) / speed_mps;
        let covariance = live.covariance.fixed_view::<3, 3>(3, 3);
        let sigma_rad = across.dot(&(covariance * across)).max(0.0).sqrt() / speed_mps;
        if sigma_rad <= MAX_HEADING_SIGMA_RAD {
            self.heading = Some(Heading {
                yaw_rad: velocity.y.atan2(velocity.x),
                sigma_rad,
            });
        }
    }

    /// Remembers the first settled direction of movement that is sure to a few degrees: 12 o'clock from then on.
    pub fn set_reference_heading(&mut self, gate_mps: f64) {
        if self.reference_heading.is_none()
            && let Some(settled) = &self.settled
        {
            let velocity = settled.velocity_in_world_mps;
            let speed = velocity.xy().norm();
            let variance = settled.covariance[(3, 3)] + settled.covariance[(4, 4)];
            if speed >= gate_mps && variance.sqrt() <= SURE_HEADING_RAD * speed {
                self.reference_heading = Some(velocity);
            }
        }
    }

    /// Whether all numbers make sense.
    pub fn is_sound(&self) -> bool {
        self.modes.estimates.iter().all(Estimate::is_sound) && self.modes.probabilities.iter().all(|p| p.is_finite())
    }
}

/// The estimate as a state: standing means no velocity.
fn state(time_s: f64, estimate: &Estimate, standstill_probability: f64) -> KinematicState {
    let covariance: Matrix6<f64> = estimate.covariance.fixed_view::<6, 6>(0, 0).into_owned();
    let velocity = if standstill_probability > 0.5 {
        Vector3::zeros()
    } else {
        estimate.velocity()
    };
    KinematicState {
        time_s,
        position_in_world: estimate.position(),
        velocity_in_world_mps: velocity,
        covariance: (covariance + covariance.transpose()) * 0.5,
        standstill_probability,
    }
}

/// The state with the error of a scale that all objects share in its covariance: it stretches about the camera.
pub(super) fn scaled(state: &KinematicState, camera_in_world: Point3<f64>, scale_sigma: f64) -> KinematicState {
    let mut stretch = Vector6::zeros();
    stretch
        .fixed_rows_mut::<3>(0)
        .copy_from(&(state.position_in_world - camera_in_world));
    stretch.fixed_rows_mut::<3>(3).copy_from(&state.velocity_in_world_mps);
    let mut scaled = *state;
    scaled
        .covariance
        .ger(scale_sigma * scale_sigma, &stretch, &stretch, 1.0);
    scaled
}

/// A state as a sample of a trajectory.
pub(super) fn sample(state: &KinematicState, reliable: bool) -> Sample {
    let position_covariance: Matrix3<f64> = state.covariance.fixed_view::<3, 3>(0, 0).into_owned();
    let velocity_covariance: Matrix3<f64> = state.covariance.fixed_view::<3, 3>(3, 3).into_owned();
    Sample {
        time_s: state.time_s,
        position_in_world: state.position_in_world,
        velocity_in_world_mps: state.velocity_in_world_mps,
        position_covariance,
        velocity_covariance,
        standing: state.standstill_probability > 0.5,
        reliable,
    }
}

//! What the road tells the odometry while it drives: how far it has come, and how high over which plane it is.

use std::collections::VecDeque;
use std::sync::Arc;

use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};

use super::gray::GrayPyramid;
use super::lens::{Excluded, GroundPrior, Lens};
use super::road::{self, Agreement, Along, Believed, RoadPrior, SpeedBelief, Standing};
use super::tracker::{Input, Last};
use crate::reconstruction::ground::GroundPlane;

/// Motion, in heights over the road, between two pictures that the plane of the road is found from, and that the way
/// along it is.
const PLANE_BASELINE: f64 = 1.2;
const WAY_BASELINE: f64 = 0.35;
/// The greatest time and turn between them; and the greatest uncertainty of its tilt that it is looked for with, radians.
const MAX_AGE_S: f64 = 0.7;
const PICTURES: usize = 12;
const MAX_TURN: f64 = 0.2;
const MAX_TILT: f64 = 0.02;
/// A mounting whose tilt is less certain than this tells no speed, radians.
const MAX_MOUNTING_TILT: f64 = 0.05;
/// After so many times without a road in a row its height counts as unknown: standard deviation of the logarithm.
const FAILURES: u32 = 4;
const UNKNOWN_HEIGHT: f64 = 0.5;
/// Time constants with which the road's tilt is found and forgotten, seconds.
const TILT_S: f64 = 0.3;
const TILT_KEPT_S: f64 = 3.0;
/// A plane is good for that when its height is known at least this well, relatively; and for the speed too where the
/// pictures agree this well.
const PLANE_SIGMA: f64 = 0.03;
const CLEAR: f64 = 0.65;
/// Pictures that agree less than this at the speed that is believed tell no plane.
const FAINT: f64 = 0.4;
/// The same of the correction of the speed by the plane, and the most that it is.
const CORRECTION_S: f64 = 0.5;
const MAX_CORRECTION: f64 = 0.15;
/// A speed is believed from this chance on, at first and later, when it is not known better than so.
const MIN_CHANCE: (f64, f64) = (0.95, 0.6);
const MAX_RELATIVE_SIGMA: f64 = 0.1;
/// A change beyond what brakes and motors do counts as a speed that is new, metres per second (squared).
const MOST_BRAKING_MPS2: f64 = 8.0;
const LEAST_JUMP_MPS: f64 = 1.0;
/// They are too when the pictures agree less than this share of what they did.
const POOR: f64 = 0.6;
/// A road that tells no speed in so many pictures at first is none.
const PATIENCE: u32 = 15;
/// Up to this speed the landmarks are asked, metres per second.
const SLOW_MPS: f64 = 3.0;
/// All speeds are asked for in every so many-th picture.
const EVERY: u32 = 12;
/// Pictures at first in which all are.
const FIRST: u32 = 5;
/// How far from the believed speed the best one is looked for: relative, and at least; steps to either side; by how much
/// belief is late, metres per second; and how much agreement counts.
const SHARPEN: f64 = 0.15;
const LEAST_SHARPEN_MPS: f64 = 0.6;
const SHARPEN_STEPS: i32 = 6;
const LATE_MPS: f64 = 1.0;
const AGREEMENT: f64 = 200.0;
/// Step in which a pitch that the landmarks missed is looked for, radians.
const PITCH_STEP: f64 = 0.0016;
/// Standard deviation of a shift along the road: relative, and in heights.
const SHIFT_SIGMA: f64 = 0.05;
const SHIFT_SIGMA_HEIGHTS: f64 = 0.004;

/// A picture that the road is looked for with.
struct Reference {
    picture: Arc<GrayPyramid>,
    pose: Isometry3<f64>,
    time_s: f64,
}

/// A picture and the one before.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub input: &'a Input<'a>,
    pub lens: &'a Lens,
    pub excluded: &'a Excluded<'a>,
    pub picture: &'a Arc<GrayPyramid>,
    pub last: &'a Last,
}

/// The road in this picture and the picture that it is compared with.
struct Comparison {
    along: Along,
    standing: Standing,
    reference: Arc<GrayPyramid>,
    /// Where the reference was taken, map.
    reference_at: Vector3<f64>,
    lens: Lens,
    /// Reference from this camera.
    turn: UnitQuaternion<f64>,
    /// Axis that the camera pitches about.
    aside: Vector3<f64>,
    /// How far a camera of 1 m/s has come since the reference, map units.
    shift_by_speed: f64,
}

/// The motion that the road tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoadMotion {
    pub map_from_camera: Isometry3<f64>,
    /// Which way the camera moved, unit, map.
    pub way: Vector3<f64>,
    /// Standard deviation of the position, map units.
    pub sigma: f64,
    pub speed_mps: f64,
}

/// What the road told so far.
#[derive(Default)]
pub(super) struct RoadWatch {
    /// Oldest first.
    references: VecDeque<Reference>,
    /// Times in a row that no plane was found.
    failures: u32,
    belief: SpeedBelief,
    pictures: u32,
    /// Turn of the road's normal against what is expected of it, in the camera frame.
    tilt: Vector3<f64>,
    /// Logarithm of how much further the camera comes than the correlation says, by the plane of the road.
    correction: f64,
    /// How often it was measured.
    tilts: u32,
    /// Correlation at the speed that is believed, over some pictures, and whether it fell.
    usual: f64,
    poor: bool,
    /// Whether the speed was ever known.
    decided: bool,
    /// The speed that was certain last, and when.
    told: Option<(f64, f64)>,
}

impl RoadWatch {
    /// Forgets the pictures, but not the speed.
    pub fn clear(&mut self) {
        self.references.clear();
    }

    /// Whether the road may yet tell the speed for the first time.
    pub fn is_undecided(&self) -> bool {
        !self.decided && (1..PATIENCE).contains(&self.pictures)
    }

    /// What is expected of the road in a camera that was turned like this in the last frame and is turned like that now.
    fn prior(&self, ground: &GroundPrior, then: &Isometry3<f64>, now: &Isometry3<f64>) -> RoadPrior {
        RoadPrior {
            down_in_camera: UnitQuaternion::from_scaled_axis(self.tilt)
                * (now.rotation.inverse() * (then.rotation * ground.down_in_camera)),
            height: ground.height,
            height_sigma: if self.failures >= FAILURES {
                UNKNOWN_HEIGHT
            } else {
                ground.height_sigma
            },
            tilt_sigma_rad: ground.tilt_sigma_rad.min(MAX_TILT),
        }
    }

    /// How far the camera has come along the road since the last picture, when it tells that clearly. `rough` is where
    /// the landmarks put it, or where it was expected; `turned` how it turned by what is far away (last from now).
    pub fn motion(
        &mut self,
        moment: &Moment<'_>,
        rough: &Isometry3<f64>,
        turned: Option<UnitQuaternion<f64>>,
    ) -> Option<RoadMotion> {
        let Moment { input, last, .. } = moment;
        let ground = input
            .ground
            .filter(|ground| ground.tilt_sigma_rad < MAX_MOUNTING_TILT)?;
        let dt = input.time_s - last.time_s;
        self.belief.advance(dt);
        self.tilt *= (-dt / TILT_KEPT_S).exp();
        let all = self.pictures < FIRST || self.pictures.is_multiple_of(EVERY) || std::mem::take(&mut self.poor);
        self.pictures = self.pictures.wrapping_add(1);
        let rotation = turned.map_or(rough.rotation, |turn| {
            UnitQuaternion::new_normalize((last.pose.rotation * turn).into_inner())
        });
        let believed = self.belief.believed();
        let reference = self.reference(all, &ground, last, believed.speed_mps * ground.to_map * dt)?;
        let road = self.compare_with(reference, moment, &ground, rough, rotation)?;
        let pitch = if believed.chance > 0.5 {
            road.pitch(believed.speed_mps)
        } else {
            0.0
        };
        self.belief.compare(all, |speed_mps| {
            road.agreement(pitch, speed_mps).map(|agreement| agreement.parts())
        });
        let believed = self.belief.believed();
        self.watch_agreement(road.correlation(pitch, believed.speed_mps).unwrap_or(0.0));
        let rough_mps = (rough.translation.vector - last.pose.translation.vector).norm() / ground.to_map / dt.max(1e-3);
        if !self.is_certain(&believed, rough_mps, input.time_s) {
            return None;
        }
        let speed_mps = road.sharpened(believed.speed_mps, pitch) * self.correction.exp();
        let way = rotation * road.along.ahead();
        // The pictures tell the way since the reference; who brakes was faster on its first part.
        let step = speed_mps * road.shift_by_speed - (last.pose.translation.vector - road.reference_at).dot(&way);
        Some(RoadMotion {
            map_from_camera: Isometry3::from_parts(
                Translation3::from(last.pose.translation.vector + way * step),
                rotation,
            ),
            way,
            sigma: (SHIFT_SIGMA * speed_mps * ground.to_map * dt).hypot(SHIFT_SIGMA_HEIGHTS * ground.height),
            speed_mps,
        })
    }

    /// The picture that the road is compared with: far enough back that the motion shows; `all` speeds only fit into a
    /// short time. `step` is the way expected since the last picture.
    fn reference(&self, all: bool, ground: &GroundPrior, last: &Last, step: f64) -> Option<&Reference> {
        if all {
            return self.references.back();
        }
        let far = |reference: &&Reference| {
            let before = (last.pose.translation.vector - reference.pose.translation.vector).norm();
            before + step >= WAY_BASELINE * ground.height
        };
        self.references.iter().rev().find(far).or(self.references.front())
    }

    /// The road in this picture, ready to be compared with the reference; `None` where it is not to be seen or the camera
    /// has turned too far.
    fn compare_with(
        &self,
        reference: &Reference,
        moment: &Moment<'_>,
        ground: &GroundPrior,
        rough: &Isometry3<f64>,
        rotation: UnitQuaternion<f64>,
    ) -> Option<Comparison> {
        let prior = self.prior(
            ground,
            &moment.last.pose,
            &Isometry3::from_parts(rough.translation, rotation),
        );
        let turn = reference.pose.rotation.inverse() * rotation;
        if turn.angle() > MAX_TURN {
            return None;
        }
        // Which way: as the landmarks saw it where they saw enough motion, else straight on.
        let moved = rough.rotation.inverse() * (rough.translation.vector - reference.pose.translation.vector);
        let ahead = match moved.try_normalize(0.2 * ground.height) {
            Some(way) if way.z > 0.97 => way,
            _ => Vector3::z(),
        };
        let along = Along::of(moment.picture, moment.lens, &prior, &ahead, moment.excluded)?;
        Some(Comparison {
            standing: along.standing(&reference.picture, moment.lens)?,
            aside: along.ahead().cross(&prior.down_in_camera),
            along,
            reference: reference.picture.clone(),
            reference_at: reference.pose.translation.vector,
            lens: moment.lens.clone(),
            turn,
            shift_by_speed: ground.to_map * (moment.input.time_s - reference.time_s),
        })
    }

    /// Notes how well the pictures agree at the speed that is believed.
    fn watch_agreement(&mut self, agreed: f64) {
        self.poor = agreed < POOR * self.usual;
        let share = if self.usual == 0.0 { 1.0 } else { 0.05 };
        self.usual += share * (agreed - self.usual);
    }

    /// Whether a speed is known well enough to be told. Slow motion and standing still are what landmarks tell best.
    fn is_certain(&mut self, believed: &Believed, rough_mps: f64, time_s: f64) -> bool {
        let jumped = self.told.is_some_and(|(speed_mps, then_s)| {
            let possible = MOST_BRAKING_MPS2 * (time_s - then_s) + LEAST_JUMP_MPS + SHARPEN * speed_mps;
            (believed.speed_mps - speed_mps).abs() > possible
        });
        let least = if self.decided && !jumped {
            MIN_CHANCE.1
        } else {
            MIN_CHANCE.0
        };
        let certain = believed.chance >= least
            && self.pictures > 2
            && believed.sigma_mps <= (MAX_RELATIVE_SIGMA * believed.speed_mps).max(0.3)
            && !self.poor;
        self.decided |= certain;
        if certain {
            self.told = Some((believed.speed_mps, time_s));
        }
        certain && (believed.speed_mps > SLOW_MPS || rough_mps > 2.0 * SLOW_MPS)
    }

    /// The plane of the road, by the latest of the pictures kept that was taken from far enough away. `followed`: the pose
    /// is the one that the road told.
    pub fn find_plane(&mut self, moment: &Moment<'_>, pose: &Isometry3<f64>, followed: bool) -> Option<GroundPlane> {
        let &Moment {
            input,
            lens,
            excluded,
            picture,
            last,
        } = moment;
        let ground = input.ground?;
        let prior = self.prior(&ground, &last.pose, pose);
        let far = |reference: &&Reference| {
            (reference.pose.translation.vector - pose.translation.vector).norm() >= PLANE_BASELINE * ground.height
        };
        let reference = self.references.iter().rev().find(far)?;
        let other_from_here = reference.pose.inv_mul(pose);
        if other_from_here.rotation.angle() >= MAX_TURN {
            return None;
        }
        if self.decided && self.usual < FAINT {
            return None;
        }
        let found = road::find(picture, &reference.picture, lens, &other_from_here, &prior, excluded);
        // Before the road has told a speed, the pose that the plane is found with may be wrong.
        let sure = found.filter(|found| found.height_sigma < PLANE_SIGMA && !self.is_undecided());
        if let Some(found) = sure
            && let Some(tilt) = UnitQuaternion::rotation_between(&prior.down_in_camera, &found.down_in_camera)
        {
            if followed && self.usual > CLEAR {
                let share = ((input.time_s - last.time_s) / CORRECTION_S).min(0.5);
                let off = (ground.height / found.height)
                    .ln()
                    .clamp(-MAX_CORRECTION, MAX_CORRECTION);
                self.correction = (self.correction + share * off).clamp(-MAX_CORRECTION, MAX_CORRECTION);
            }
            self.tilts = self.tilts.saturating_add(1);
            let share = ((input.time_s - last.time_s) / TILT_S)
                .max(1.0 / f64::from(self.tilts))
                .min(1.0);
            self.tilt += tilt.scaled_axis() * share;
        }
        self.failures = if found.is_some() { 0 } else { self.failures + 1 };
        found
    }

    /// Keeps a picture for those that follow; pictures that are no longer needed.
    pub fn keep(
        &mut self,
        input: &Input<'_>,
        picture: &Arc<GrayPyramid>,
        pose: &Isometry3<f64>,
    ) -> Vec<Arc<GrayPyramid>> {
        let mut old = Vec::new();
        let Some(ground) = input.ground else { return old };
        let far = |reference: &Reference| {
            (reference.pose.translation.vector - pose.translation.vector).norm() >= PLANE_BASELINE * ground.height
        };
        while self.references.len() >= PICTURES
            || self
                .references
                .front()
                .is_some_and(|first| input.time_s - first.time_s > MAX_AGE_S)
            || self.references.get(1).is_some_and(far)
        {
            old.extend(self.references.pop_front().map(|reference| reference.picture));
        }
        self.references.push_back(Reference {
            picture: picture.clone(),
            pose: *pose,
            time_s: input.time_s,
        });
        old
    }
}

impl Comparison {
    /// Turn of the reference against this camera when it was pitched a little further than the landmarks say: that
    /// moves the whole road.
    fn turn(&self, pitch: f64) -> UnitQuaternion<f64> {
        if pitch == 0.0 {
            self.turn
        } else {
            self.turn * UnitQuaternion::from_scaled_axis(self.aside * pitch)
        }
    }

    fn agreement(&self, pitch: f64, speed_mps: f64) -> Option<Agreement> {
        let shift = speed_mps * self.shift_by_speed;
        self.along
            .compare(&self.reference, &self.standing, &self.lens, &self.turn(pitch), shift)
    }

    /// Correlation of the whole road.
    fn correlation(&self, pitch: f64, speed_mps: f64) -> Option<f64> {
        Some(self.agreement(pitch, speed_mps)?.whole())
    }

    /// The pitch with which the pictures agree best at a speed.
    fn pitch(&self, speed_mps: f64) -> f64 {
        let agreed = |pitch: f64| (self.correlation(pitch, speed_mps).unwrap_or(-1.0), pitch);
        let better = |a: (f64, f64), b: (f64, f64)| if b.0 > a.0 { b } else { a };
        let mut best = agreed(0.0);
        for step in [PITCH_STEP, 0.5 * PITCH_STEP] {
            let mut next = better(agreed(best.1 + step), agreed(best.1 - step));
            for _ in 0..3 {
                if next.0 <= best.0 {
                    break;
                }
                // On in the same direction: the other neighbour is where it came from.
                let on = 2.0 * next.1 - best.1;
                best = next;
                next = agreed(on);
            }
        }
        best.1
    }

    /// The speed near the believed one at which the pictures agree best. With the pitch by which the believed speed agrees,
    /// and without: else a pitch could make up for a speed that is off.
    fn sharpened(&self, believed_mps: f64, pitch: f64) -> f64 {
        let level = sharpened(believed_mps, |speed_mps| self.correlation(0.0, speed_mps));
        if pitch == 0.0 {
            return level.0;
        }
        let pitched = sharpened(believed_mps, |speed_mps| self.correlation(pitch, speed_mps));
        if pitched.1 - 0.5 * (pitch / PITCH_STEP).powi(2) > level.1 {
            pitched.0
        } else {
            level.0
        }
    }
}

/// The speed near the believed one at which the pictures agree best, and the logarithm of how likely that is. What is
/// believed goes by many pictures, and is late while a vehicle brakes; where the road is faint it hardly changes.
fn sharpened(believed_mps: f64, agreement: impl Fn(f64) -> Option<f64>) -> (f64, f64) {
    let reach_mps = (SHARPEN * believed_mps).max(LEAST_SHARPEN_MPS);
    let speed = |place: f64| believed_mps + reach_mps * place / f64::from(SHARPEN_STEPS);
    let likely = |place: i32| {
        if place.abs() > SHARPEN_STEPS {
            return f64::NEG_INFINITY;
        }
        let off = (speed(f64::from(place)) - believed_mps) / LATE_MPS;
        let agreed = agreement(speed(f64::from(place))).unwrap_or(0.0).clamp(0.0, 0.999);
        -0.5 * (off * off + AGREEMENT * (1.0 - agreed * agreed).ln())
    };
    let coarse = (-SHARPEN_STEPS..=SHARPEN_STEPS)
        .step_by(2)
        .map(|place| (place, likely(place)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((place, most)) = coarse else {
        return (believed_mps, f64::NEG_INFINITY);
    };
    let (before, after) = (likely(place - 1), likely(place + 1));
    let (place, below, most, above) = if before > most {
        (place - 1, likely(place - 2), before, most)
    } else if after > most {
        (place + 1, most, after, likely(place + 2))
    } else {
        (place, before, most, after)
    };
    // Between the steps: the vertex of the parabola through the best and its neighbours.
    let bend = below - 2.0 * most + above;
    let between = if bend < 0.0 && bend.is_finite() {
        0.5 * (below - above) / bend
    } else {
        0.0
    };
    (speed(f64::from(place) + between).max(0.0), most)
}

//! The first two filters: rules that a trajectory must keep, and agreement of what it was measured by.

use serde::Serialize;

use super::observer::Note;
use crate::detection::ClassLabel;
use crate::kinematics::{Trajectory, UnreliableReason, traveled_distance_m};
use crate::reconstruction::ClassPriors;

/// What a label must keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Whether an assumed camera will do.
    pub assumed_camera: bool,
    /// The shortest time for which an object is seen whole, seconds.
    pub least_seen_s: f64,
    /// The least mean confidence of its detections, 0 to 1.
    pub least_confidence: f64,
    /// The largest share of its frames in which its state was not to be trusted, whatever the reason.
    pub most_unreliable: f64,
    /// The largest share of its frames in which the cues for its distance disagreed.
    pub most_disagreeing: f64,
    /// The greatest speed, in standard deviations of its class's.
    pub most_speed_sigmas: f64,
    /// The greatest change of velocity within half a second, m/s.
    pub most_jump_mps: f64,
    /// Half the 95 % interval of a distance or speed, relative to it, at most.
    pub most_half_width: f64,
    /// The least probability that an hour, an order or a comparison of directions is right.
    pub least_probability: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            assumed_camera: false,
            least_seen_s: 2.0,
            least_confidence: 0.5,
            most_unreliable: 0.3,
            most_disagreeing: 0.2,
            most_speed_sigmas: 5.0,
            most_jump_mps: 5.0,
            most_half_width: 0.3,
            least_probability: 0.8,
        }
    }
}

/// Why a trajectory gives no labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Nothing calibrated the camera.
    CameraAssumed,
    /// Seen too shortly.
    SeenTooShortly,
    /// The detector was not sure.
    UnsureDetection,
    /// Too often not to be trusted.
    Unreliable,
    /// Faster than its class can be.
    ImpossibleSpeed,
    /// It jumped.
    ImpossibleJump,
    /// The cues for its distance disagree.
    CuesDisagree,
    /// The interval of the distance travelled is too wide.
    WideInterval,
}

impl Rejection {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CameraAssumed => "rules: camera assumed",
            Self::SeenTooShortly => "rules: seen too shortly",
            Self::UnsureDetection => "rules: unsure detection",
            Self::Unreliable => "rules: too often unreliable",
            Self::ImpossibleSpeed => "rules: impossible speed",
            Self::ImpossibleJump => "rules: impossible jump",
            Self::CuesDisagree => "agreement: cues disagree",
            Self::WideInterval => "agreement: wide interval",
        }
    }
}

/// What is known of a trajectory that is to give labels.
pub(super) struct Examined<'a> {
    pub class: ClassLabel,
    /// Frames between the first and the last in which it is seen whole.
    pub notes: &'a [Note],
    /// Settled, over those frames.
    pub settled: &'a Trajectory,
}

impl Examined<'_> {
    /// Why it gives no labels, if it does not.
    pub fn rejection(&self, limits: &Limits, priors: &ClassPriors) -> Option<Rejection> {
        let (start_s, end_s) = (self.settled.start_s()?, self.settled.end_s()?);
        let assumed = self.share(|reason| {
            matches!(
                reason,
                UnreliableReason::IntrinsicsAssumed | UnreliableReason::MountingAssumed
            )
        });
        if assumed > 0.5 && !limits.assumed_camera {
            return Some(Rejection::CameraAssumed);
        }
        if end_s - start_s < limits.least_seen_s {
            return Some(Rejection::SeenTooShortly);
        }
        let confidences = self.notes.iter().filter_map(|note| note.confidence);
        let (sum, count) = confidences.fold((0.0, 0.0), |(sum, count), confidence| {
            (sum + f64::from(confidence), count + 1.0)
        });
        if sum < limits.least_confidence * count {
            return Some(Rejection::UnsureDetection);
        }
        // The edge of the picture and hidden moments are left to the rules of visibility.
        let distrusted = self.share(|reason| {
            !matches!(
                reason,
                UnreliableReason::IntrinsicsAssumed
                    | UnreliableReason::MountingAssumed
                    | UnreliableReason::Truncated
                    | UnreliableReason::CuesDisagree
                    | UnreliableReason::TooFewObservations
            )
        });
        if distrusted > limits.most_unreliable {
            return Some(Rejection::Unreliable);
        }
        let most_mps = limits.most_speed_sigmas * priors.get(self.class).map_or(10.0, |prior| prior.speed_mps);
        let mut before = None;
        for sample in self.settled.resampled(start_s, end_s, 0.5) {
            let velocity = sample.velocity_in_world_mps;
            if velocity.norm() > most_mps {
                return Some(Rejection::ImpossibleSpeed);
            }
            // What comes to stand changes at once from its last speed to none; that is no jump of the object.
            if before.is_some_and(|before: nalgebra::Vector3<f64>| (velocity - before).norm() > limits.most_jump_mps)
                && !sample.standing
            {
                return Some(Rejection::ImpossibleJump);
            }
            before = Some(velocity);
        }
        if self.share(|reason| reason == UnreliableReason::CuesDisagree) > limits.most_disagreeing {
            return Some(Rejection::CuesDisagree);
        }
        let traveled = traveled_distance_m(self.settled, start_s, end_s).ok()?;
        // Who stands has no relative interval; the rules for standstill leave them out where they must be.
        let (low, high) = traveled.interval_95();
        if traveled.value >= 1.0 && 0.5 * (high - low) > limits.most_half_width * traveled.value {
            return Some(Rejection::WideInterval);
        }
        None
    }

    fn share(&self, of: impl Fn(UnreliableReason) -> bool) -> f64 {
        let found = self
            .notes
            .iter()
            .filter(|note| note.unreliable.is_some_and(&of))
            .count();
        found as f64 / self.notes.len().max(1) as f64
    }
}

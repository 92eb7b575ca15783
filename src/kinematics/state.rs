//! What is known of one object at one time: position and velocity with their covariance, and whether to trust them.

use nalgebra::{Matrix6, Point3, Vector3};

use crate::detection::ClassLabel;

/// Position and velocity in the world, with their joint covariance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KinematicState {
    /// Stream time in seconds that the state speaks of.
    pub time_s: f64,
    /// Centre of the object, metres.
    pub position_in_world: Point3<f64>,
    /// Velocity, metres per second.
    pub velocity_in_world_mps: Vector3<f64>,
    /// Covariance of [position; velocity], SI units.
    pub covariance: Matrix6<f64>,
    /// Probability that the object stands still, 0 to 1.
    pub standstill_probability: f64,
}

/// Why a value should not be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnreliableReason {
    /// The camera's intrinsics are an assumption (a stated field of view), not a calibration.
    IntrinsicsAssumed,
    /// The camera's height and tilt are an assumption.
    MountingAssumed,
    /// Nothing measures the object's distance: no depth, no ground contact, no size prior.
    NoMetricCue,
    /// The cues for the object's distance disagree beyond their covariances.
    CuesDisagree,
    /// The depth network's output is not usable now.
    DepthUnreliable,
    /// The camera's own pose is lost.
    PoseLost,
    /// The metric scale is too uncertain.
    ScaleUncertain,
    /// The object is not seen now; the state is a prediction.
    Coasting,
    /// Too few observations so far.
    TooFewObservations,
    /// The object is cut by the picture's edge.
    Truncated,
}

impl UnreliableReason {
    /// The reason as it stands in messages, e.g. `intrinsics_assumed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IntrinsicsAssumed => "intrinsics_assumed",
            Self::MountingAssumed => "mounting_assumed",
            Self::NoMetricCue => "no_metric_cue",
            Self::CuesDisagree => "cues_disagree",
            Self::DepthUnreliable => "depth_unreliable",
            Self::PoseLost => "pose_lost",
            Self::ScaleUncertain => "scale_uncertain",
            Self::Coasting => "coasting",
            Self::TooFewObservations => "too_few_observations",
            Self::Truncated => "truncated",
        }
    }
}

/// Whether a value should be trusted, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Reliability {
    /// To be trusted within its covariance.
    #[default]
    Reliable,
    /// Not to be trusted; the first reason that applies.
    Unreliable(UnreliableReason),
}

impl Reliability {
    /// Whether the value is to be trusted.
    pub fn is_reliable(self) -> bool {
        self == Self::Reliable
    }

    /// The reason, if it is not.
    pub fn reason(self) -> Option<UnreliableReason> {
        match self {
            Self::Reliable => None,
            Self::Unreliable(reason) => Some(reason),
        }
    }

    /// Reliable only if both are; the first reason wins.
    pub fn and(self, other: Self) -> Self {
        if self.is_reliable() { other } else { self }
    }
}

/// One object's metric motion as of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectState {
    /// The identity that the tracker gave.
    pub track_id: u64,
    /// What it is.
    pub class: ClassLabel,
    /// Causal estimate for the frame's own time.
    pub live: KinematicState,
    /// Fixed-lag smoothed estimate, `settle-lag` behind the frame; `None` until the object is that old.
    pub settled: Option<KinematicState>,
    /// Clock hour (1–12) of the settled direction of movement against the first moving step of the object's stored
    /// trajectory; `None` while it stands or has no direction yet.
    pub movement_clock: Option<u8>,
    /// Clock hour (1–12) at which the object is seen from the camera's vehicle: 12 is straight ahead.
    pub bearing_clock: Option<u8>,
    /// Whether the states are to be trusted.
    pub reliability: Reliability,
}

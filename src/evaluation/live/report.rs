//! What is reported of clips against truth.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::gst::pipeline::Latency;
use crate::motion::evaluation::StateScores;
use crate::stkit::Record;
use crate::stkit::benchmark::TaskScores;

/// Position errors in one band of distances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RangeScore {
    /// From this distance, metres.
    pub from_m: f64,
    /// To this distance, metres.
    pub to_m: f64,
    /// Positions compared.
    pub positions: usize,
    /// Median distance between measured and true position, metres.
    pub median_m: Option<f64>,
    /// Median of that over the distance from the camera.
    pub median_relative: Option<f64>,
}

/// Position errors: live positions relative to the camera, in frames in which the object is big and visible enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PositionScores {
    /// Positions compared.
    pub positions: usize,
    /// Median of the error over the distance from the camera.
    pub median_relative: Option<f64>,
    /// The same, band by band.
    pub by_range: Vec<RangeScore>,
}

/// Scores of one class, or of a group of classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassScores {
    /// Share of the actors asked for (≥ 24 px high, ≥ 50 % visible) that a track covers, frame by frame.
    pub recall: Option<f64>,
    /// Those that move, within 40 m.
    pub moving_within_40m: StateScores,
    /// Those that move, at any distance.
    pub moving: StateScores,
    /// Those that stand.
    pub standing: StateScores,
    /// Position errors.
    pub position: PositionScores,
}

/// How well a moving camera knows its own motion.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EgoScores {
    /// Frames compared.
    pub frames: usize,
    /// Root mean square error of the camera's speed, m/s.
    pub speed_rmse_mps: Option<f64>,
    /// Distance between estimated and true last position, over the path's length; median over clips.
    pub drift: Option<f64>,
    /// Relative error of the focal length at the end; median over clips.
    pub focal_error: Option<f64>,
    /// Frames in which the pose was given up.
    pub lost_frames: usize,
}

/// Scores of one scene, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SceneReport {
    /// Clips scored.
    pub clips: usize,
    /// Frames scored.
    pub frames: usize,
    /// Share of the actors asked for that a track covers.
    pub recall: Option<f64>,
    /// Tracks that cover no actor, a frame.
    pub false_tracks_per_frame: Option<f64>,
    /// How often an actor's track changed.
    pub identity_switches: u64,
    /// Cars, lorries, buses and motorcycles.
    pub vehicles: ClassScores,
    /// People on foot.
    pub people: ClassScores,
    /// What stands, of all classes.
    pub standing: StateScores,
    /// By class.
    pub classes: BTreeMap<&'static str, ClassScores>,
    /// The camera's own motion, where it moves.
    pub ego: EgoScores,
    /// Frames a second that the chain worked through, rendering included, not paced.
    pub fps: Option<f64>,
    /// Time of each stage; of a pooled report that of the last clip.
    pub stages: BTreeMap<&'static str, Latency>,
}

/// Scores of all clips.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LiveReport {
    /// What was measured is a simulation.
    pub note: &'static str,
    /// By scene.
    pub scenes: BTreeMap<&'static str, SceneReport>,
    /// All clips together.
    pub pooled: SceneReport,
    /// Answers by the STKit protocol.
    pub answers: AnswersReport,
}

/// Answers to questions of the seven tasks about tracked objects.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AnswersReport {
    /// Which protocol and what the questions are about.
    pub note: &'static str,
    /// Of the windows of 2 s to 20 s in which an object is visible, the share in which one track followed it: only those are
    /// asked about.
    pub followed: Option<f64>,
    /// By scene; the questions are balanced over all scenes together.
    pub scenes: BTreeMap<&'static str, AnswerScores>,
    /// All scenes together.
    pub pooled: AnswerScores,
    /// The same questions to the small ST-VLM, all scenes together: from the boxes and the states of these trajectories, without
    /// pictures. `None` where it cannot be read.
    pub small_model: Option<AnswerScores>,
    /// What was asked, with the answers.
    #[serde(skip)]
    pub asked: Vec<(Record, String)>,
}

/// Answers in one scene, or in all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AnswerScores {
    /// By task.
    pub tasks: BTreeMap<&'static str, TaskAnswers>,
    /// Mean accuracy of the tasks, percent.
    pub average: Option<f64>,
    /// Share of the questions that were answered; the others count as wrong.
    pub answered: Option<f64>,
}

/// Answers of one task.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TaskAnswers {
    /// Accuracy and error.
    #[serde(flatten)]
    pub scores: TaskScores,
    /// Share of the questions that were answered.
    pub answered: f64,
}

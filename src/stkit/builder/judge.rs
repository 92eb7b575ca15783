//! A second opinion on questions that the builder's own rules would ask: for labels that are estimates themselves.

use super::candidates::Candidate;
use super::scene::GridScene;
use crate::stkit::Task;

/// A question that could be asked, for a [`Judge`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Which of the seven.
    pub task: Task,
    /// Indices of the objects in their recording. In a comparison of values the first one's is the greater.
    pub objects: [Option<usize>; 2],
    /// The time asked about, seconds from the recording's first label.
    pub span_s: (f64, f64),
    /// `DT`: the hour asked for.
    pub hour: u8,
}

impl Judged {
    pub(super) fn new(scene: &GridScene<'_>, candidate: &Candidate) -> Self {
        let object = |index: u32| scene.tracks.get(index as usize).map(|track| track.object);
        Self {
            task: candidate.task,
            objects: candidate.tracks.map(object),
            span_s: (
                scene.time_s(candidate.span[0] as usize),
                scene.time_s(candidate.span[1] as usize),
            ),
            hour: candidate.hour,
        }
    }
}

/// Decides which labels are good enough.
pub trait Judge {
    /// Half the 95 % interval of the value relative to it, where the label is a value; or why it is not asked.
    fn judge(&self, asked: &Judged) -> Result<Option<f64>, &'static str>;
}

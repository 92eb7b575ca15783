//! Who answers: the interface that every backend has, and the geometric one.

use crate::motion::SharedTrajectories;
use crate::stkit::{Answer, Question, answer_from_geometry};

/// A question put to a backend.
#[derive(Clone, Copy, Debug)]
pub struct Posed<'a> {
    /// Comes back as the answers' `question_id`.
    pub id: &'a str,
    /// The question.
    pub question: &'a Question,
    /// The window, seconds of stream time.
    pub window: (f64, f64),
}

/// Answers questions. It is called from the answerer's own thread only, and may take its time: standing questions that
/// come meanwhile are dropped for newer ones.
pub trait Backend: Send {
    /// Its name in logs and thread names, e.g. `geometry`.
    fn name(&self) -> &'static str;

    /// The answers to each of `posed`, in that order; at least one for each.
    fn answer(&mut self, trajectories: &SharedTrajectories, posed: &[Posed<'_>]) -> Vec<Vec<Answer>>;
}

/// Answers from the settled trajectories.
#[derive(Clone, Copy, Debug, Default)]
pub struct Geometry;

impl Backend for Geometry {
    fn name(&self) -> &'static str {
        "geometry"
    }

    fn answer(&mut self, trajectories: &SharedTrajectories, posed: &[Posed<'_>]) -> Vec<Vec<Answer>> {
        let one = |posed: &Posed<'_>| {
            // The lock is taken for one question at a time: the next frame may be waiting for it.
            trajectories.read(|store| answer_from_geometry(posed.id, posed.question, store, posed.window))
        };
        posed.iter().map(one).collect()
    }
}

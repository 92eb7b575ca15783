//! Who answers: the interface that every backend has, and the geometric one.

use std::time::Duration;

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

    /// What ends [`Self::answer`] soon when it is called, from any thread: the answerer stops. `None` for a backend that never
    /// takes long.
    fn stopper(&self) -> Option<Stopper> {
        None
    }
}

/// Called once, when no more answers are wanted.
pub type Stopper = Box<dyn Fn() + Send + Sync>;

/// Whether a server that may fail is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Circuit {
    /// It is.
    #[default]
    Closed,
    /// It is not, for a while: it failed again and again.
    Open,
    /// One request is on its way to see whether it works again.
    HalfOpen,
}

impl Circuit {
    const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its name, e.g. `half-open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|circuit| circuit.as_str() == name)
    }
}

/// How a backend that may fail does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Whether its server is asked.
    pub circuit: Circuit,
    /// How long it stays unasked.
    pub wait: Duration,
    /// How the last request failed; empty when it did not.
    pub message: String,
    /// Requests sent since the start.
    pub requests: u64,
    /// Of these: not answered.
    pub failures: u64,
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

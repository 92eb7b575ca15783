//! The STKit-Bench protocol: answers in words are read, compared with the labels and counted.

mod comparison;
mod extract;
mod lexer;
mod models;
mod scores;

pub use extract::{Context, extract};
pub use models::{BoxesOnly, Constant, Geometry, Model, QuestionOnly, answer_from};
pub use scores::{PUBLISHED, PublishedScores, Scorer, Scores, TaskScores};

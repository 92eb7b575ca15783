//! STKit: the seven kinematic tasks, their questions in words, and the answers.

mod class_words;
mod geometry;
mod question;
mod standing;
mod task;

pub use geometry::{LEAST_COVERED_S, LEAST_COVERED_SHARE, answer_from_geometry};
pub use question::{
    MAX_QUESTION_BYTES, NOW_SECONDS, QuestionError, QuestionProblem, SubjectName, Subjects, TypedQuestion, parse_ask,
    parse_question,
};
pub use standing::{StandingQuestion, StandingQuestions};
pub use task::{Answer, AnswerSource, AnswerValue, Interval, Question, Span, Subject, Task, Timings};

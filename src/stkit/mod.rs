//! STKit: the seven kinematic tasks, their questions in words, and the answers.

mod class_words;
mod question;
mod task;

pub use question::{
    MAX_QUESTION_BYTES, NOW_SECONDS, QuestionError, QuestionProblem, TypedQuestion, parse_ask, parse_question,
};
pub use task::{Answer, AnswerSource, AnswerValue, Interval, Question, Span, Subject, Task, Timings};

//! STKit: the seven kinematic tasks, their questions in words, and the answers.

pub mod benchmark;
pub mod builder;
mod class_words;
mod geometry;
pub mod pseudo;
mod question;
mod record;
mod standing;
mod task;

pub use geometry::{LEAST_COVERED_S, LEAST_COVERED_SHARE, answer_from_geometry};
pub use question::{
    MAX_QUESTION_BYTES, NOW_SECONDS, QuestionError, QuestionProblem, SubjectName, Subjects, TypedQuestion, parse_ask,
    parse_question,
};
pub use record::{
    COLORS, Label, Provenance, Quality, Record, RecordCamera, RecordError, RecordObject, Splits, TrackId, Turn,
    common_prompt, conversation, read_records,
};
pub use standing::{StandingQuestion, StandingQuestions};
pub use task::{Answer, AnswerSource, AnswerValue, Interval, Question, Span, Subject, Task, Timings};

//! STKit: the seven kinematic tasks, their questions in words, and the answers.

mod task;

pub use task::{Answer, AnswerSource, AnswerValue, Interval, Question, Span, Subject, Task, Timings};

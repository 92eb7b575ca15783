//! Questions in typed form: `{"task": "TD", "subjects": [3], "span": {"last_seconds": 10}}`.

use serde::{Deserialize, Serialize};

use super::{QuestionError, QuestionProblem, check, parse_question};
use crate::stkit::class_words::canonical_class;
use crate::stkit::{Question, Span, Subject, Task};

/// A question by its parts, for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedQuestion {
    /// The task, e.g. `TD`.
    pub task: Task,
    /// Whom it is about: an id (`3`), a class (`"car"`), `"any"`; one of them or a list.
    #[serde(default)]
    pub subjects: Subjects,
    /// When: absent for the whole window, else `{"last_seconds": 10}`, `{"between": [2, 8]}`, `{"since": 12}`.
    #[serde(default = "whole_window")]
    pub span: Span,
    /// The clock hour of a `DT` question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_hour: Option<u8>,
    /// Asks for the lesser of two, or whether directions differ.
    #[serde(default)]
    pub inverted: bool,
}

fn whole_window() -> Span {
    Span::Window
}

/// One subject or several, as written in JSON or TOML; none means any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "subjects must be an id (3), a class (\"car\"), \"any\", or a list of these"
)]
pub enum Subjects {
    /// A single one.
    One(SubjectName),
    /// A list.
    Many(Vec<SubjectName>),
}

impl Default for Subjects {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// One subject as written: an id, a name, or the tagged form that answers use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a subject must be an id (3), a class (\"car\") or \"any\"")]
pub enum SubjectName {
    /// A track id.
    Id(u64),
    /// A class name, or `any`.
    Name(String),
    /// `{"id": 3}`, `{"class": "car"}`, `{"marked": "red"}`.
    Tagged(Subject),
}

impl SubjectName {
    fn into_subject(self) -> Subject {
        match self {
            Self::Id(id) => Subject::Id(id),
            Self::Name(name) if matches!(name.to_lowercase().as_str(), "any" | "all" | "object" | "objects") => {
                Subject::Any
            }
            Self::Name(name) => Subject::Class(canonical_class(&name).map_or(name, str::to_owned)),
            Self::Tagged(subject) => subject,
        }
    }
}

impl Subjects {
    fn into_vec(self) -> Vec<Subject> {
        let names = match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        };
        if names.is_empty() {
            return vec![Subject::Any];
        }
        names.into_iter().map(SubjectName::into_subject).collect()
    }
}

impl TypedQuestion {
    /// The question, with words for it.
    pub fn into_question(self) -> Result<Question, QuestionError> {
        let mut question = Question {
            text: String::new(),
            task: Some(self.task),
            subjects: self.subjects.into_vec(),
            span: self.span,
            clock_hour: self.clock_hour,
            inverted: self.inverted,
        };
        let bad_hour = question.clock_hour.filter(|hour| !(1..=12).contains(hour));
        let checked = match bad_hour {
            Some(hour) => Err(QuestionProblem::BadHour(hour.to_string())),
            None => check_options(&question).and_then(|()| check(&question)),
        };
        checked.map_err(|problem| QuestionError {
            problem,
            understood: Some(self.task.description().to_owned()),
        })?;
        question.text = question.wording();
        Ok(question)
    }
}

/// An option that a task does not have is a mistake, not something to pass over.
fn check_options(question: &Question) -> Result<(), QuestionProblem> {
    let Some(task) = question.task else { return Ok(()) };
    if question.clock_hour.is_some() && !matches!(task, Task::DirectionTimestamp | Task::MovementDirection) {
        return Err(QuestionProblem::Option(format!("{} takes no clock_hour", task.code())));
    }
    if question.inverted && task.subjects() == 1 {
        return Err(QuestionProblem::Option(format!(
            "{} cannot be inverted: it compares nothing",
            task.code()
        )));
    }
    Ok(())
}

/// Reads what came with an `ask`: a JSON object is a typed question (or `{"question": "words"}`), anything else words.
pub fn parse_ask(text: &str) -> Result<Question, QuestionError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct InWords {
        question: String,
    }
    let trimmed = text.trim_start();
    if !trimmed.starts_with('{') {
        return parse_question(text);
    }
    if let Ok(words) = serde_json::from_str::<InWords>(trimmed) {
        return parse_question(&words.question);
    }
    let typed: TypedQuestion = serde_json::from_str(trimmed).map_err(|error| QuestionError {
        problem: QuestionProblem::Json(error.to_string()),
        understood: None,
    })?;
    typed.into_question()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_typed_question_gets_words_that_parse_to_itself() {
        for json in [
            r#"{"task": "TD", "subjects": [3], "span": {"last_seconds": 10}}"#,
            r#"{"task": "TS", "subjects": "car"}"#,
            r#"{"task": "MD", "subjects": {"id": 4}, "span": {"since": 2.5}}"#,
            r#"{"task": "DT", "subjects": "any", "clock_hour": 3, "span": {"between": [2, 8.5]}}"#,
            r#"{"task": "TDC", "subjects": [1, 2], "inverted": true}"#,
            r#"{"task": "TSC"}"#,
            r#"{"task": "TSC", "subjects": [{"id": 1}, "bus"]}"#,
            r#"{"task": "MDC", "subjects": [7, 8], "inverted": true}"#,
        ] {
            let typed = parse_ask(json).unwrap();
            let again = parse_question(&typed.text).unwrap_or_else(|error| panic!("{}: {error}", typed.text));
            assert_eq!(again, typed, "{json}");
        }
    }

    #[test]
    fn mistakes_in_typed_questions_say_what_is_wrong() {
        for (json, part) in [
            (r#"{"task": "XX"}"#, "XX"),
            (r#"{"task": "TD", "subject": [3]}"#, "subject"),
            (r#"{"task": "TD", "subjects": [-3]}"#, "subject"),
            (r#"{"task": "DT", "subjects": [3]}"#, "clock hour"),
            (r#"{"task": "DT", "subjects": [3], "clock_hour": 13}"#, "1 to 12"),
            (r#"{"task": "TD", "subjects": [3], "clock_hour": 3}"#, "clock_hour"),
            (r#"{"task": "TD", "subjects": [3], "inverted": true}"#, "inverted"),
            (r#"{"task": "TDC", "subjects": [3]}"#, "two objects"),
            (r#"{"task": "TDC", "subjects": [3, 3]}"#, "itself"),
            (
                r#"{"task": "TD", "subjects": [3], "span": {"last_seconds": -1}}"#,
                "last -1",
            ),
            (
                r#"{"task": "TD", "subjects": [3], "span": {"between": [8, 2]}}"#,
                "starts at 8",
            ),
            (r#"{"task": "TD""#, "EOF"),
            (r#"{"question": 7}"#, "question"),
        ] {
            let text = parse_ask(json).unwrap_err().to_string();
            assert!(text.contains(part), "{json}: {text}");
        }
    }
}

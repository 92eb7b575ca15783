//! Standing questions: asked again and again of a sliding window, from a TOML file with strict keys.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{Question, Span, Subjects, Task, TypedQuestion, parse_question};
use crate::settings::{self, SettingsError};

/// Shortest and longest window and stride, seconds.
const LIMITS_S: [f64; 2] = [0.1, 3600.0];

/// The questions that are asked when no file names others.
const DEFAULT: &str = include_str!("../../configs/questions.toml");

/// A question that is asked of every window.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingQuestion {
    /// Its answers' `question_id`.
    pub id: String,
    /// The question.
    pub question: Question,
    /// Length of its window, seconds; `None` for the asker's default.
    pub window_s: Option<f64>,
    /// Time from one window to the next, seconds; `None` for the asker's default.
    pub stride_s: Option<f64>,
}

/// A set of standing questions; cloning shares.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingQuestions {
    questions: Arc<[Arc<StandingQuestion>]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "question")]
    questions: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    text: Option<String>,
    task: Option<Task>,
    subjects: Option<Subjects>,
    span: Option<Span>,
    clock_hour: Option<u8>,
    inverted: Option<bool>,
    window_s: Option<f64>,
    stride_s: Option<f64>,
}

impl StandingQuestions {
    /// None at all.
    pub fn none() -> Self {
        Self {
            questions: Arc::new([]),
        }
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads TOML; `path` names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let file: File = settings::parse(text, path)?;
        let mut ids = HashSet::new();
        let mut questions = Vec::with_capacity(file.questions.len());
        for entry in file.questions {
            let at = entry.id.span().start.min(text.len());
            let read = read(entry).and_then(|question| {
                if ids.insert(question.id.clone()) {
                    Ok(question)
                } else {
                    Err(format!("the id \"{}\" is there twice", question.id))
                }
            });
            let question = read.map_err(|message| {
                let before = &text[..at];
                SettingsError::Parse {
                    path: path.to_owned(),
                    line: before.matches('\n').count() + 1,
                    column: before.len() - before.rfind('\n').map_or(0, |i| i + 1) + 1,
                    message,
                    hint: None,
                }
            })?;
            questions.push(Arc::new(question));
        }
        Ok(Self {
            questions: questions.into(),
        })
    }

    /// The built-in set: the seven tasks, asked of every object in view.
    pub fn builtin() -> Result<Self, SettingsError> {
        Self::parse(DEFAULT, Path::new("configs/questions.toml"))
    }

    /// The questions, in the file's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<StandingQuestion>> {
        self.questions.iter()
    }

    /// Number of questions.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }
}

fn read(entry: Entry) -> Result<StandingQuestion, String> {
    let id = entry.id.into_inner();
    if id.trim().is_empty() {
        return Err("a question needs an id".to_owned());
    }
    let typed =
        entry.subjects.is_some() || entry.span.is_some() || entry.clock_hour.is_some() || entry.inverted.is_some();
    let question = match (entry.text, entry.task) {
        (Some(_), Some(_)) => return Err(format!("question \"{id}\" has text and task: give one of them")),
        (Some(_), None) if typed => {
            return Err(format!(
                "question \"{id}\" is in words: subjects, span, clock_hour and inverted belong to questions by task"
            ));
        }
        (Some(text), None) => parse_question(&text),
        (None, Some(task)) => TypedQuestion {
            task,
            subjects: entry.subjects.unwrap_or_default(),
            span: entry.span.unwrap_or(Span::Window),
            clock_hour: entry.clock_hour,
            inverted: entry.inverted.unwrap_or(false),
        }
        .into_question(),
        (None, None) => {
            return Err(format!(
                "question \"{id}\" needs text (in words) or task (TD, TS, MD, DT, TDC, TSC, MDC)"
            ));
        }
    };
    let question = question.map_err(|error| format!("question \"{id}\": {error}"))?;
    for (name, value) in [("window_s", entry.window_s), ("stride_s", entry.stride_s)] {
        let [least, most] = LIMITS_S;
        if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
            return Err(format!(
                "question \"{id}\": {name} must be {least} to {most} seconds, found {value}"
            ));
        }
    }
    Ok(StandingQuestion {
        id,
        question,
        window_s: entry.window_s,
        stride_s: entry.stride_s,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stkit::Subject;

    #[test]
    fn the_builtin_set_asks_all_seven_tasks() {
        let questions = StandingQuestions::builtin().unwrap();
        let tasks: HashSet<_> = questions.iter().filter_map(|q| q.question.task).collect();
        assert_eq!(tasks.len(), 7);
    }

    #[test]
    fn words_and_tasks_are_read() {
        let text = r#"
            [[question]]
            id = "speed"
            text = "How fast are the cars?"

            [[question]]
            id = "turn"
            task = "DT"
            subjects = ["car", 7]
            clock_hour = 3
            span = { last_seconds = 5 }
            window_s = 20
            stride_s = 2
        "#;
        let questions = StandingQuestions::parse(text, Path::new("q.toml")).unwrap();
        let [speed, turn] = [0, 1].map(|i| questions.iter().nth(i).unwrap().clone());
        assert_eq!(speed.question.subjects, [Subject::Class("car".into())]);
        assert_eq!(speed.window_s, None);
        assert_eq!(turn.question.subjects, [Subject::Class("car".into()), Subject::Id(7)]);
        assert_eq!((turn.window_s, turn.stride_s), (Some(20.0), Some(2.0)));
    }

    #[test]
    fn mistakes_name_file_line_and_what_was_expected() {
        for (text, part) in [
            ("[[question]]\nid = \"a\"\ntxt = \"x\"\n", "q.toml:3:1"),
            ("[[question]]\nid = \"a\"\ntxt = \"x\"\n", "did you mean `text`"),
            ("[[questions]]\nid = \"a\"\n", "did you mean `question`"),
            ("\n[[question]]\nid = \"a\"\n", "q.toml:3:6: question \"a\" needs text"),
            ("[[question]]\nid = \"a\"\ntext = \"How far?\"\n", "which object"),
            (
                "[[question]]\nid = \"a\"\ntext = \"How fast is it?\"\ntask = \"TS\"\n",
                "one of them",
            ),
            (
                "[[question]]\nid = \"a\"\ntext = \"How fast is it?\"\ninverted = true\n",
                "in words",
            ),
            ("[[question]]\nid = \"a\"\ntask = \"DT\"\n", "clock hour"),
            ("[[question]]\nid = \"a\"\ntask = \"TX\"\n", "TX"),
            (
                "[[question]]\nid = \"a\"\ntask = \"TD\"\nstride_s = 0\n",
                "stride_s must be",
            ),
            (
                "[[question]]\nid = \"a\"\ntask = \"TD\"\nwindow_s = nan\n",
                "window_s must be",
            ),
            (
                "[[question]]\nid = \"a\"\ntask = \"TD\"\n[[question]]\nid = \"a\"\ntask = \"TS\"\n",
                "q.toml:5:6: the id \"a\" is there twice",
            ),
        ] {
            let error = StandingQuestions::parse(text, Path::new("q.toml"))
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

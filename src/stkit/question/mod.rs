//! Questions in free words (English) and in typed form, understood as one of the seven tasks.
//!
//! The parser is deterministic. It takes clock hours, times and objects out of the text, tells the task from what is left,
//! and refuses what it does not understand: an unread number, two tasks at once, a quantity that is none of the seven.

mod spans;
mod subjects;
mod tokens;
mod typed;
mod vocabulary;
mod wording;

use thiserror::Error;

pub use spans::NOW_SECONDS;
pub use typed::{SubjectName, Subjects, TypedQuestion, parse_ask};

use crate::stkit::{Question, Subject, Task};
use tokens::Token;
pub(in crate::stkit) use tokens::{SMALL, TENS};

/// Longest question in bytes.
pub const MAX_QUESTION_BYTES: usize = 1000;

/// Why a text is no question of the seven tasks: what was understood, and what is missing or too much.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{problem}{}", .understood.as_ref().map(|u| format!(" (understood so far: {u})")).unwrap_or_default())]
pub struct QuestionError {
    /// What is missing or too much.
    pub problem: QuestionProblem,
    /// What was understood, in words; `None` when nothing was.
    pub understood: Option<String>,
}

/// What keeps a text from being a question of the seven tasks.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum QuestionProblem {
    /// No words.
    #[error("the question is empty")]
    Empty,
    /// More than [`MAX_QUESTION_BYTES`].
    #[error("the question has {0} bytes, at most {MAX_QUESTION_BYTES} are read")]
    TooLong(usize),
    /// No word tells the task.
    #[error(
        "what is asked is not clear: ask how far, how fast or in which direction something moves, when it moves toward a clock \
         hour, or which of two goes farther or faster, or whether they move in the same direction"
    )]
    MissingTask,
    /// A quantity that none of the seven tasks gives.
    #[error("this asks for {0}, which is none of the seven tasks")]
    Beyond(&'static str),
    /// Two tasks in one question.
    #[error("this asks for several things at once: ask one question at a time")]
    SeveralTasks,
    /// No object.
    #[error("which object? name it by id (\"object 3\"), by class (\"the cars\") or say \"any\"")]
    MissingSubject,
    /// A comparison with fewer than two objects.
    #[error("a comparison needs two objects: name both, as in \"objects 1 and 2\"")]
    MissingSecondSubject,
    /// A comparison of an object with itself.
    #[error("object {0} cannot be compared with itself")]
    SameSubject(u64),
    /// `DT` without a clock hour.
    #[error(
        "when it moves in which direction? name a clock hour, as in \"3 o'clock\" (12 is the object's first direction)"
    )]
    MissingHour,
    /// A clock hour outside 1 to 12.
    #[error("a clock hour is a whole number from 1 to 12, found {0}")]
    BadHour(String),
    /// More than one clock hour.
    #[error("one clock hour at a time, found {0} of them")]
    SeveralHours(usize),
    /// An id that is no whole number.
    #[error("an object's id is a whole number, found {0}")]
    BadId(String),
    /// A colour that is not that of a box.
    #[error("colours of objects are not known, found \"{0}\": name the object by id")]
    Color(String),
    /// "The second object".
    #[error("objects are named by id (\"object 2\"), not by order")]
    Ordinal,
    /// A number that belongs to nothing.
    #[error("the number {0} is neither an id, a time with a unit nor a clock hour")]
    StrayNumber(String),
    /// Two different times.
    #[error("this names several times: ask about one span at a time")]
    SeveralSpans,
    /// A span that is empty or not finite.
    #[error("the time asked for cannot be: {0}")]
    BadSpan(String),
    /// "The last few seconds".
    #[error("\"{0}\" is too vague for a time: give the number of seconds")]
    VagueSpan(String),
    /// "In 10 seconds".
    #[error("which {0} seconds? say \"in the last {0} seconds\" or \"between X and Y seconds\"")]
    WhichSeconds(f64),
    /// "10 seconds ago".
    #[error("times are counted from the start of the stream or up to now (\"in the last 10 seconds\"), not \"ago\"")]
    RelativeSpan,
    /// A typed question that is no valid JSON of the expected form.
    #[error("not a typed question: {0}")]
    Json(String),
    /// An option that does not belong to the task.
    #[error("{0}")]
    Option(String),
}

/// Reads a question about motion in free words.
///
/// ```
/// use kinestream::stkit::{Span, Subject, Task, parse_question};
/// let question = parse_question("How far did object 3 travel in the last 10 seconds?")?;
/// assert_eq!(question.task, Some(Task::TraveledDistance));
/// assert_eq!(question.subjects, [Subject::Id(3)]);
/// assert_eq!(question.span, Span::LastSeconds(10.0));
/// # Ok::<(), kinestream::stkit::QuestionError>(())
/// ```
pub fn parse_question(text: &str) -> Result<Question, QuestionError> {
    let mut understood = Understood::default();
    read(text, &mut understood).map_err(|problem| QuestionError {
        problem,
        understood: understood.describe(),
    })
}

#[derive(Default)]
struct Understood {
    task: Option<Task>,
    subjects: Vec<Subject>,
    span: Option<crate::stkit::Span>,
    clock_hour: Option<u8>,
}

impl Understood {
    fn describe(&self) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.task.map(|task| task.description().to_owned()));
        parts.extend(self.subjects.iter().map(ToString::to_string));
        parts.extend(self.clock_hour.map(|hour| format!("{hour} o'clock")));
        let span = self.span.filter(|span| *span != crate::stkit::Span::Window);
        parts.extend(span.map(|span| span.to_string()));
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn read(text: &str, understood: &mut Understood) -> Result<Question, QuestionProblem> {
    if text.len() > MAX_QUESTION_BYTES {
        return Err(QuestionProblem::TooLong(text.len()));
    }
    let mut tokens = tokens::tokenize(text);
    if tokens.is_empty() {
        return Err(QuestionProblem::Empty);
    }
    let hour = take_hour(&mut tokens)?;
    understood.clock_hour = hour;
    let span = spans::take_span(&mut tokens)?;
    understood.span = Some(span);
    let subjects = subjects::take_subjects(&mut tokens)?;
    understood.subjects.clone_from(&subjects);
    let wording = wording::classify(&tokens, hour.is_some(), subjects.len())?;
    understood.task = Some(wording.task);
    if let Some(stray) = stray_number(&tokens) {
        return Err(QuestionProblem::StrayNumber(stray.written.clone()));
    }
    let question = Question {
        text: text.trim().to_owned(),
        task: Some(wording.task),
        subjects,
        span,
        clock_hour: hour,
        inverted: wording.inverted,
    };
    check(&question)?;
    Ok(question)
}

/// A number that nothing has made use of. In words it may count objects: "the two cars", "which one".
fn stray_number(tokens: &[Token]) -> Option<&Token> {
    const TIME: &[&str] = &["last", "past", "previous", "final", "first"];
    tokens.iter().enumerate().find_map(|(i, token)| {
        let counts = token.number.is_none_or(|number| number <= 2.0) || tokens.get(i + 1).is_some_and(|next| next.used);
        let of_time = i > 0 && tokens[i - 1].is(TIME);
        let stray = token.digits || token.text == "minus" || token.number.is_some() && (of_time || !counts);
        (stray && !token.used).then_some(token)
    })
}

/// What any question must fulfil, from words or typed.
fn check(question: &Question) -> Result<(), QuestionProblem> {
    let Some(task) = question.task else {
        return Err(QuestionProblem::MissingTask);
    };
    spans::check_span(question.span)?;
    if question.subjects.is_empty() {
        return Err(QuestionProblem::MissingSubject);
    }
    if task == Task::DirectionTimestamp && question.clock_hour.is_none() {
        return Err(QuestionProblem::MissingHour);
    }
    if task.subjects() == 2 {
        if let [Subject::Id(_) | Subject::Marked(_)] = question.subjects[..] {
            return Err(QuestionProblem::MissingSecondSubject);
        }
        if let [Subject::Id(a), Subject::Id(b)] = question.subjects[..]
            && a == b
        {
            return Err(QuestionProblem::SameSubject(a));
        }
    }
    Ok(())
}

/// Finds "N o'clock" and marks it as used.
fn take_hour(tokens: &mut [Token]) -> Result<Option<u8>, QuestionProblem> {
    let mut hours: Vec<u8> = Vec::new();
    for i in 0..tokens.len() {
        if tokens[i].text != "o'clock" {
            continue;
        }
        let Some(number) = i.checked_sub(1).and_then(|before| tokens[before].number) else {
            continue;
        };
        let hour = (1..=12u8).find(|hour| f64::from(*hour) == number);
        hours.push(hour.ok_or_else(|| QuestionProblem::BadHour(tokens[i - 1].written.clone()))?);
        tokens[i].used = true;
        tokens[i - 1].used = true;
        // "the 3 o'clock direction", "to 3 o'clock": what is left must not read as a direction asked for.
    }
    hours.dedup();
    match hours[..] {
        [] => Ok(None),
        [hour] => Ok(Some(hour)),
        _ => Err(QuestionProblem::SeveralHours(hours.len())),
    }
}

//! The time a question is about: "in the last 10 seconds", "between 3.5 and 4.5 s", "since 12 s", "now".

use super::QuestionProblem;
use super::tokens::{Token, unit_seconds};
use crate::stkit::Span;

/// How much "now" looks back, seconds: two steps of the trajectory of record, the least that has a speed.
pub const NOW_SECONDS: f64 = 1.0;

const WHOLE: &[&str] = &[
    "video",
    "clip",
    "window",
    "sequence",
    "recording",
    "footage",
    "stream",
    "scene",
];

/// Words for times that a stream does not know.
const CALENDAR: &[&str] = &[
    "today",
    "yesterday",
    "tomorrow",
    "tonight",
    "night",
    "morning",
    "afternoon",
    "evening",
    "noon",
    "midnight",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "day",
    "days",
    "week",
    "weeks",
    "month",
    "months",
    "year",
    "years",
];

/// Finds the span of the question and marks its tokens as used; `Span::Window` when none is given.
pub(super) fn take_span(tokens: &mut [Token]) -> Result<Span, QuestionProblem> {
    let mut found: Vec<Span> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let matched = if tokens[i].used { None } else { span_at(tokens, i)? };
        if let Some((span, length)) = matched {
            for token in &mut tokens[i..i + length] {
                token.used = true;
            }
            found.push(span);
            i += length;
        } else {
            i += 1;
        }
    }
    // "… of the video" beside a narrower time says nothing more.
    let mut narrow = found.into_iter().filter(|span| *span != Span::Window);
    let span = narrow.next().unwrap_or(Span::Window);
    if narrow.any(|other| other != span) {
        return Err(QuestionProblem::SeveralSpans);
    }
    check_span(span)?;
    Ok(span)
}

/// Whether a span makes sense: finite, not negative, not empty.
pub(super) fn check_span(span: Span) -> Result<(), QuestionProblem> {
    let bad = |why: String| Err(QuestionProblem::BadSpan(why));
    match span {
        Span::Window => Ok(()),
        Span::LastSeconds(seconds) if !seconds.is_finite() || seconds <= 0.0 => {
            bad(format!("the last {seconds} seconds is no time span"))
        }
        Span::Since(start) if !start.is_finite() || start < 0.0 => bad(format!("{start} seconds is no time")),
        Span::Between(start, end) if !start.is_finite() || !end.is_finite() || start < 0.0 => {
            bad(format!("{start} to {end} seconds is no time span"))
        }
        Span::Between(start, end) if end <= start => bad(format!("it starts at {start} s and ends at {end} s")),
        _ => Ok(()),
    }
}

/// The span whose words start at token `i`, and how many tokens it takes.
fn span_at(tokens: &[Token], i: usize) -> Result<Option<(Span, usize)>, QuestionProblem> {
    let token = &tokens[i];
    if let Some(found) = range_at(tokens, i) {
        return Ok(Some(found));
    }
    if token.is(&["last", "past", "previous", "recent", "preceding", "latest", "final"]) {
        return last_at(tokens, i);
    }
    if token.is(&["first", "initial"]) {
        let one = || {
            tokens
                .get(i + 1)
                .and_then(|t| unit_seconds(&t.text))
                .map(|unit| (unit, 1))
        };
        return Ok(duration_at(tokens, i + 1)
            .or_else(one)
            .map(|(seconds, length)| (Span::Between(0.0, seconds), 1 + length)));
    }
    if token.is(&["since", "after", "from"]) {
        if let Some((start, length)) = instant_at(tokens, i + 1) {
            // "from 5 s on", "from 5 s to the end"
            let tail = words_at(tokens, i + 1 + length, &[&["on"], &["onwards"], &["onward"]])
                .or_else(|| end_of_video_at(tokens, i + 1 + length))
                .unwrap_or(0);
            if token.text != "from" || tail > 0 {
                return Ok(Some((Span::Since(start), 1 + length + tail)));
            }
            return Ok(None);
        }
        if let Some(length) = start_of_video_at(tokens, i + 1) {
            let next = i + 1 + length;
            if let Some(more) = end_of_video_at(tokens, next) {
                return Ok(Some((Span::Window, 1 + length + more)));
            }
            if tokens
                .get(next)
                .is_some_and(|t| t.is(&["to", "until", "till", "through"]))
                && let Some((end, more)) = instant_at(tokens, next + 1)
            {
                return Ok(Some((Span::Between(0.0, end), 2 + length + more)));
            }
            if token.text == "since" {
                return Ok(Some((Span::Window, 1 + length)));
            }
        }
        return Ok(None);
    }
    if token.is(CALENDAR) {
        return Err(QuestionProblem::BadSpan(format!(
            "\"{}\" is no time of the stream: give seconds or minutes",
            token.text
        )));
    }
    let up_to =
        token.is(&["until", "till", "before", "by"]) || (token.text == "to" && i > 0 && tokens[i - 1].text == "up");
    if let Some((end, length)) = instant_at(tokens, i + 1).filter(|_| up_to) {
        return Ok(Some((Span::Between(0.0, end), 1 + length)));
    }
    if let Some(found) = into_the_video_at(tokens, i) {
        return Ok(Some(found));
    }
    if token.is(&["at", "around"])
        && let Some((time, length)) = instant_at(tokens, i + 1)
    {
        return Ok(Some((around(time), 1 + length)));
    }
    if token.is(&["now", "currently", "presently"]) {
        return Ok(Some((Span::LastSeconds(NOW_SECONDS), 1)));
    }
    if let Some(length) = words_at(
        tokens,
        i,
        &[
            &["at", "the", "moment"],
            &["at", "this", "moment"],
            &["at", "present"],
            &["this", "moment"],
        ],
    ) {
        return Ok(Some((Span::LastSeconds(NOW_SECONDS), length)));
    }
    if let Some(length) = whole_at(tokens, i) {
        return Ok(Some((Span::Window, length)));
    }
    // "in 10 seconds": which ten?
    if token.is(&["in", "over", "for", "within", "during"]) {
        let article = usize::from(tokens.get(i + 1).is_some_and(|t| t.text == "the"));
        if let Some((seconds, length)) = duration_at(tokens, i + 1 + article) {
            let after = i + 1 + article + length;
            if tokens.get(after).is_some_and(|t| t.text == "ago") {
                return Err(QuestionProblem::RelativeSpan);
            }
            return Err(QuestionProblem::WhichSeconds(seconds));
        }
    }
    if token.text == "ago" {
        return Err(QuestionProblem::RelativeSpan);
    }
    Ok(None)
}

/// The second around a point in time.
fn around(time_s: f64) -> Span {
    let half = 0.5 * NOW_SECONDS;
    Span::Between((time_s - half).max(0.0), time_s + half)
}

/// "5 seconds into the video".
fn into_the_video_at(tokens: &[Token], i: usize) -> Option<(Span, usize)> {
    let (time_s, length) = duration_at(tokens, i).filter(|_| tokens[i].number.is_some())?;
    let article = words_at(tokens, i + length, &[&["into", "the"], &["into", "this"]])?;
    let video = tokens.get(i + length + article).is_some_and(|t| t.is(WHOLE));
    video.then(|| (around(time_s), length + article + 1))
}

/// "last 10 seconds", "past minute", "last half a minute", "past minute and a half".
fn last_at(tokens: &[Token], i: usize) -> Result<Option<(Span, usize)>, QuestionProblem> {
    if tokens
        .get(i + 1)
        .is_some_and(|t| t.is(&["few", "couple", "several", "some"]))
    {
        return Err(QuestionProblem::VagueSpan(tokens[i + 1].text.clone()));
    }
    if let Some((seconds, length)) = duration_at(tokens, i + 1) {
        return Ok(Some((Span::LastSeconds(seconds), 1 + length)));
    }
    let Some(unit) = tokens.get(i + 1).and_then(|t| unit_seconds(&t.text)) else {
        return Ok(None);
    };
    if tokens[i + 1].is(&["seconds", "secs", "minutes", "mins", "hours", "hrs", "milliseconds"]) {
        return Err(QuestionProblem::VagueSpan(tokens[i + 1].text.clone()));
    }
    let half = words_at(tokens, i + 2, &[&["and", "a", "half"]]).unwrap_or(0);
    let seconds = if half > 0 { 1.5 * unit } else { unit };
    Ok(Some((Span::LastSeconds(seconds), 2 + half)))
}

/// A length of time: "10 seconds", "ten-second", "half a minute", "a minute", "one and a half minutes", "1 minute 30
/// seconds".
fn duration_at(tokens: &[Token], i: usize) -> Option<(f64, usize)> {
    let unit_at = |at: usize| tokens.get(at).filter(|t| !t.used).and_then(|t| unit_seconds(&t.text));
    if let Some(length) = words_at(tokens, i, &[&["half", "a"], &["half", "an"], &["half"]]) {
        return Some((0.5 * unit_at(i + length)?, length + 1));
    }
    let token = tokens.get(i)?;
    if token.is(&["a", "an"]) {
        let half = words_at(tokens, i + 1, &[&["half"]]).unwrap_or(0);
        let unit = unit_at(i + 1 + half)?;
        let scale = if half > 0 { 0.5 } else { 1.0 };
        return Some((scale * unit, 2 + half));
    }
    let number = token.number.filter(|_| !token.hash && !token.used)?;
    if let Some(half) = words_at(tokens, i + 1, &[&["and", "a", "half"]]) {
        return Some(((number + 0.5) * unit_at(i + 1 + half)?, 2 + half));
    }
    let unit = unit_at(i + 1)?;
    // "1 minute 30 seconds", "1 minute and 30 seconds"
    let joint = usize::from(tokens.get(i + 2).is_some_and(|t| t.text == "and"));
    let rest = tokens
        .get(i + 2 + joint)
        .and_then(|t| t.number)
        .zip(unit_at(i + 3 + joint));
    if let Some((more, smaller)) = rest.filter(|(_, smaller)| *smaller < unit) {
        return Some((number * unit + more * smaller, 4 + joint));
    }
    Some((number * unit, 2))
}

/// A point in time: "12 s", "second 12", "t = 12", "12 seconds into the video", "the 12 s mark".
fn instant_at(tokens: &[Token], i: usize) -> Option<(f64, usize)> {
    let article = usize::from(tokens.get(i).is_some_and(|t| t.text == "the"));
    let (time, mut length) = marked_instant_at(tokens, i + article).or_else(|| {
        duration_at(tokens, i + article).filter(|_| tokens.get(i + article).is_some_and(|t| t.number.is_some()))
    })?;
    length += article;
    length += words_at(
        tokens,
        i + length,
        &[&["mark"], &["into", "the", "video"], &["into", "the", "clip"]],
    )
    .unwrap_or(0);
    Some((time, length))
}

/// "second 12", "t = 12", with or without the unit behind.
fn marked_instant_at(tokens: &[Token], i: usize) -> Option<(f64, usize)> {
    let marker = tokens.get(i)?.is(&["t", "second", "seconds", "time"]);
    let number = tokens.get(i + 1)?;
    let number = number.number.filter(|_| marker && !number.used)?;
    let unit = tokens.get(i + 2).and_then(|t| unit_seconds(&t.text));
    match unit {
        Some(unit) => Some((number * unit, 3)),
        None => Some((number, 2)),
    }
}

/// "2 s to 8 s", "3.5 and 4.5 seconds", "seconds 2 to 8", "from t=2 until t=8", with a preposition before it or not.
fn range_at(tokens: &[Token], i: usize) -> Option<(Span, usize)> {
    let preposition = words_at(
        tokens,
        i,
        &[
            &["between", "the"],
            &["between"],
            &["from", "the"],
            &["from"],
            &["during"],
            &["within"],
        ],
    );
    let mut at = i + preposition.unwrap_or(0);
    let mut unit = None;
    if tokens.get(at)?.is(&["second", "seconds", "t", "time", "times"]) {
        unit = Some(1.0);
        at += 1;
    }
    let start = tokens.get(at)?;
    let start_value = start.number.filter(|_| !start.hash && !start.used)?;
    at += 1;
    let mut start_unit = tokens.get(at).and_then(|t| unit_seconds(&t.text));
    if start_unit.is_some() {
        at += 1;
    }
    let joint = tokens.get(at)?;
    // "and" joins a range only behind "between" or "from": "objects 3 and 5 seconds" is none.
    let joins = joint.is(&["to", "until", "till", "through"]) || (joint.text == "and" && preposition.is_some());
    if !joins {
        return None;
    }
    at += 1;
    if tokens.get(at)?.is(&["second", "seconds", "t", "time"]) {
        unit = Some(1.0);
        at += 1;
    }
    let end_value = tokens
        .get(at)?
        .number
        .filter(|_| !tokens[at].hash && !tokens[at].used)?;
    at += 1;
    let end_unit = tokens.get(at).and_then(|t| unit_seconds(&t.text));
    if end_unit.is_some() {
        at += 1;
    }
    // A range is one of time only when a unit says so; one unit serves both ends.
    let end_unit = end_unit.or(unit).or(start_unit)?;
    start_unit = start_unit.or(unit).or(Some(end_unit));
    Some((Span::Between(start_value * start_unit?, end_value * end_unit), at - i))
}

fn start_of_video_at(tokens: &[Token], i: usize) -> Option<usize> {
    let length = words_at(
        tokens,
        i,
        &[&["the", "start"], &["the", "beginning"], &["start"], &["beginning"]],
    )?;
    Some(length + of_video_at(tokens, i + length))
}

fn end_of_video_at(tokens: &[Token], i: usize) -> Option<usize> {
    let length = words_at(
        tokens,
        i,
        &[
            &["to", "the", "end"],
            &["until", "the", "end"],
            &["till", "the", "end"],
            &["to", "end"],
            &["until", "now"],
            &["till", "now"],
            &["to", "now"],
        ],
    )?;
    Some(length + of_video_at(tokens, i + length))
}

fn of_video_at(tokens: &[Token], i: usize) -> usize {
    let article = words_at(tokens, i, &[&["of", "the"], &["of", "this"]]);
    match (article, tokens.get(i + 2)) {
        (Some(length), Some(token)) if token.is(WHOLE) => length + 1,
        _ => 0,
    }
}

/// "throughout the video", "in the entire clip", "so far", "overall".
fn whole_at(tokens: &[Token], i: usize) -> Option<usize> {
    let idiom = words_at(
        tokens,
        i,
        &[
            &["so", "far"],
            &["in", "total"],
            &["overall"],
            &["the", "whole", "time"],
            &["the", "entire", "time"],
            &["all", "the", "time"],
            &["until", "now"],
            &["up", "to", "now"],
            &["till", "now"],
        ],
    );
    if idiom.is_some() {
        return idiom;
    }
    let mut at = i;
    while tokens.get(at).is_some_and(|t| {
        t.is(&[
            "throughout",
            "over",
            "in",
            "during",
            "across",
            "within",
            "through",
            "of",
            "the",
            "this",
            "whole",
            "entire",
            "full",
            "course",
            "duration",
            "complete",
        ])
    }) {
        at += 1;
    }
    let length = at - i;
    match tokens.get(at) {
        Some(token) if length > 0 && token.is(WHOLE) => Some(length + 1),
        None | Some(_) if length > 0 && tokens[i].text == "throughout" && length == 1 => Some(1),
        _ => None,
    }
}

/// The length of the first of `phrases` that stands at token `i`.
fn words_at(tokens: &[Token], i: usize, phrases: &[&[&str]]) -> Option<usize> {
    phrases
        .iter()
        .find(|phrase| {
            phrase
                .iter()
                .enumerate()
                .all(|(k, word)| tokens.get(i + k).is_some_and(|t| !t.used && t.text == *word))
        })
        .map(|phrase| phrase.len())
}

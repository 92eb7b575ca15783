//! From an answer in free words to a typed one, deterministically. What is not one clear answer is none.
//!
//! | task | what is read | when several stand there |
//! |---|---|---|
//! | TD, TS | a number with a unit (m, km, cm, ft, mi …; km/h, m/s, mph …), or the only number | they must agree within 2 %, or one is marked as the answer ("total", "therefore", "answer") |
//! | MD | "N o'clock", or the only whole number from 1 to 12 | the one marked, or the second of "from A to B o'clock" |
//! | DT | "from X to Y seconds" and its likes, "throughout the video" | the one marked, else none |
//! | TDC, TSC | a box's colour, "the first object", "object A" | the one that the comparison is about, turned round when it is put the other way than asked |
//! | MDC | yes or no, or same, different, opposite with negations | both must agree |

use super::lexer::{Word, words};
use crate::stkit::{Label, Task};

/// What the question was, as far as the answer's meaning depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The task.
    pub task: Task,
    /// Colours of the marked objects in the order of the prompt.
    pub colors: &'a [&'a str],
    /// For comparisons: asks for the lesser, or whether directions differ.
    pub inverted: bool,
    /// Length of the clip, seconds.
    pub duration_s: f64,
}

/// Numbers that differ by less than this share are the same, said in two units.
const SAME_SHARE: f64 = 0.02;

/// Reads an answer; `None` when it says nothing, or nothing clear.
pub fn extract(context: &Context<'_>, text: &str) -> Option<Label> {
    let sentences: Vec<Vec<Word>> = words(text);
    match context.task {
        Task::TraveledDistance => quantity(&sentences, metres_in).map(Label::DistanceM),
        Task::TravelingSpeed => quantity(&sentences, kmh_in).map(Label::SpeedKmh),
        Task::MovementDirection => hour(&sentences).map(Label::ClockHour),
        Task::DirectionTimestamp => time_range(&sentences, context.duration_s).map(|(a, b)| Label::TimeRangeS(a, b)),
        Task::TraveledDistanceComparison | Task::TravelingSpeedComparison => {
            let index = super::comparison::chosen(&sentences, context)?;
            context
                .colors
                .get(index)
                .map(|color| Label::Object((*color).to_owned()))
        }
        Task::MovementDirectionComparison => {
            super::comparison::same_direction(&sentences, context.inverted).map(Label::YesNo)
        }
    }
}

/// Metres in one of a unit of length.
fn metres_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "m" | "meter" | "meters" | "metre" | "metres" | "mtrs" => 1.0,
        "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" | "kms" => 1000.0,
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => 0.01,
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => 0.001,
        "ft" | "foot" | "feet" => 0.3048,
        "in" | "inch" | "inches" => 0.0254,
        "yd" | "yard" | "yards" => 0.9144,
        "mi" | "mile" | "miles" => 1609.344,
        _ => return None,
    })
}

/// Kilometres per hour in one of a unit of speed.
fn kmh_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "km/h" | "kmh" | "kph" | "kmph" | "km/hr" | "km/hour" => 1.0,
        "m/s" | "mps" | "m/sec" | "m/second" | "meters/second" | "metres/second" | "meters/sec" => 3.6,
        "mph" | "mi/h" | "mi/hr" => 1.609_344,
        "ft/s" | "fps" | "ft/sec" => 1.097_28,
        "kn" | "knot" | "knots" | "kt" | "kts" => 1.852,
        _ => return None,
    })
}

/// Words that mark the answer among what leads to it.
fn is_marker(word: &str) -> bool {
    matches!(
        word,
        "answer"
            | "therefore"
            | "thus"
            | "total"
            | "overall"
            | "finally"
            | "so"
            | "hence"
            | "result"
            | "altogether"
            | "conclusion"
            | "average"
            | "mean"
            | "sum"
            | "="
            | "equals"
    )
}

/// The last sentence that says it is the answer and holds exactly one.
fn marked<T: Copy>(
    sentences: &[Vec<Word>],
    found: impl Fn(&[Word]) -> Vec<T>,
    same: impl Fn(T, T) -> bool,
) -> Option<T> {
    let all: Vec<T> = sentences.iter().flat_map(|sentence| found(sentence)).collect();
    let agreeing = |all: &[T]| {
        let first = *all.first()?;
        all.iter().all(|other| same(first, *other)).then_some(first)
    };
    agreeing(&all).or_else(|| {
        sentences
            .iter()
            .rev()
            .filter(|sentence| sentence.iter().any(|word| is_marker(&word.text)))
            .find_map(|sentence| {
                let after = sentence.iter().rposition(|word| is_marker(&word.text)).unwrap_or(0);
                agreeing(&found(sentence)).or_else(|| agreeing(&found(&sentence[after..])))
            })
    })
}

fn quantity(sentences: &[Vec<Word>], unit: impl Fn(&str) -> Option<f64> + Copy) -> Option<f64> {
    let with_unit = |sentence: &[Word]| -> Vec<f64> {
        let value = |pair: &[Word]| Some(pair[0].number? * unit(&pair[1].text)?);
        sentence.windows(2).filter_map(value).collect()
    };
    let same = |a: f64, b: f64| (a - b).abs() <= SAME_SHARE * a.abs().max(b.abs());
    let found = if sentences.iter().any(|sentence| !with_unit(sentence).is_empty()) {
        if sentences.iter().any(|sentence| is_range(sentence, unit)) {
            return None;
        }
        marked(sentences, with_unit, same)
    } else {
        // A number that stands alone is in the unit asked for, unless it has a unit of its own.
        let bare = bare_numbers(sentences);
        let foreign = sentences.iter().any(|sentence| {
            sentence
                .windows(2)
                .any(|pair| pair[0].number.is_some() && is_unit(&pair[1].text))
        });
        match bare[..] {
            [only] if !foreign => Some(only),
            _ => None,
        }
    };
    found.filter(|value| value.is_finite() && *value >= 0.0)
}

/// The numbers of an answer; those in words ("one", "two") count only where there is hardly anything else.
fn bare_numbers(sentences: &[Vec<Word>]) -> Vec<f64> {
    let short = sentences.iter().flatten().count() <= 3;
    let counts = |word: &&Word| short || word.text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    sentences
        .iter()
        .flatten()
        .filter(counts)
        .filter_map(|word| word.number)
        .collect()
}

/// "15 to 20 meters", "between 15 and 20 km/h": no single value.
fn is_range(sentence: &[Word], unit: impl Fn(&str) -> Option<f64>) -> bool {
    sentence.windows(4).any(|four| {
        let joins = matches!(four[1].text.as_str(), "to" | "-" | "and" | "or");
        let range = joins && four[0].number.is_some() && four[2].number.is_some() && unit(&four[3].text).is_some();
        range && four[0].number != four[2].number
    })
}

fn is_unit(word: &str) -> bool {
    metres_in(word).is_some()
        || kmh_in(word).is_some()
        || is_second(word)
        || matches!(word, "%" | "o'clock" | "degrees" | "frames" | "minutes" | "hours")
}

fn is_second(word: &str) -> bool {
    matches!(word, "s" | "sec" | "secs" | "second" | "seconds")
}

fn hour(sentences: &[Vec<Word>]) -> Option<u8> {
    let whole = |number: f64| (1..=12u8).find(|hour| f64::from(*hour) == number);
    let said = |sentence: &[Word]| -> Vec<u8> {
        let mut hours = Vec::new();
        for (at, pair) in sentence.windows(2).enumerate() {
            if pair[1].text != "o'clock" {
                continue;
            }
            // "not 3 o'clock but 4"
            let denied = at > 0 && matches!(sentence[at - 1].text.as_str(), "not" | "than" | "from");
            // 0 stands for an hour that there is none of: then nothing is clear.
            let hour = pair[0].number.map(|number| whole(number).unwrap_or(0));
            hours.extend(hour.filter(|_| !denied));
        }
        hours
    };
    if sentences.iter().any(|sentence| !said(sentence).is_empty()) {
        // "from 12 o'clock to 3 o'clock": the direction at the end is the second one, "from" has dropped the first.
        return marked(sentences, said, |a, b| a == b).filter(|hour| *hour > 0);
    }
    match bare_numbers(sentences)[..] {
        [only] => whole(only).filter(|_| {
            !sentences.iter().any(|sentence| {
                sentence
                    .windows(2)
                    .any(|pair| pair[0].number.is_some() && is_unit(&pair[1].text))
            })
        }),
        _ => None,
    }
}

fn time_range(sentences: &[Vec<Word>], duration_s: f64) -> Option<(f64, f64)> {
    let same = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9;
    let ranges = |sentence: &[Word]| -> Vec<(f64, f64)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < sentence.len() {
            match range_at(sentence, at, duration_s) {
                Some((range, next)) => {
                    found.push(range);
                    at = next;
                }
                None => at += 1,
            }
        }
        found
    };
    if sentences.iter().any(|sentence| !ranges(sentence).is_empty()) {
        return marked(sentences, ranges, same).filter(|(start_s, end_s)| *start_s >= 0.0 && end_s > start_s);
    }
    let all = |sentence: &Vec<Word>| {
        let has = |wanted: &[&str]| sentence.iter().any(|word| wanted.contains(&word.text.as_str()));
        let whole =
            has(&["throughout"]) || has(&["entire", "whole", "full"]) && has(&["video", "clip", "duration", "time"]);
        whole && !has(&["not", "never", "no"])
    };
    let numbers = sentences.iter().flatten().filter(|word| word.number.is_some()).count();
    // "… moves toward 3 o'clock throughout the video" holds the hour alone.
    (sentences.iter().any(all) && numbers <= 1 && duration_s > 0.0).then_some((0.0, duration_s))
}

/// A range whose first time stands at `at`, and where the words after it begin.
fn range_at(sentence: &[Word], at: usize, duration_s: f64) -> Option<((f64, f64), usize)> {
    let (start_s, mut next) = time_at(sentence, at)?;
    let is = |index: usize, wanted: &[&str]| {
        sentence
            .get(index)
            .is_some_and(|word| wanted.contains(&word.text.as_str()))
    };
    if is(next, &["mark", ","]) {
        next += 1;
    }
    if is(next, &["to", "-", "and", "until", "till", "through", "up"]) {
        next += 1 + usize::from(is(next, &["up"]));
        while is(
            next,
            &[
                "it",
                "ends",
                "ending",
                "stops",
                "at",
                "about",
                "around",
                "approximately",
                "the",
                "to",
                "t",
                "=",
            ],
        ) {
            next += 1;
        }
        if is(next, &["end"]) {
            return Some(((start_s, duration_s), next + 1));
        }
        if let Some((end_s, after)) = time_at(sentence, next) {
            return Some(((start_s, end_s), after));
        }
    }
    None
}

/// A time at `at`: "3.5", "3.5 seconds", "3.5s", "0:03", "the start"; no clock hour, length or speed.
fn time_at(sentence: &[Word], at: usize) -> Option<(f64, usize)> {
    let word = sentence.get(at)?;
    if matches!(word.text.as_str(), "start" | "beginning") {
        let of_video = ["of", "the", "video"];
        let mut next = at + 1;
        while sentence
            .get(next)
            .is_some_and(|word| of_video.contains(&word.text.as_str()) || word.text == "clip")
        {
            next += 1;
        }
        return Some((0.0, next));
    }
    let value = word.number?;
    match sentence.get(at + 1) {
        Some(unit) if is_second(&unit.text) => Some((value, at + 2)),
        Some(unit) if is_unit(&unit.text) && unit.text != "in" => None,
        _ => Some((value, at + 1)),
    }
}

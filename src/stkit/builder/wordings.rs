//! The words of questions and answers: for each task several wordings, and a disjoint set of paraphrases.
//!
//! In a wording `{o}` is the object, `{a}` and `{b}` are two objects, `{s}` is the time asked about, `{h}` the clock hour.

use super::super::Task;
use super::super::record::Label;

/// How many ways there are to name an object and a time.
const OBJECTS: [&str; 3] = [
    "the object annotated with the {c} bounding box",
    "the object in the {c} bounding box",
    "the object marked by the {c} box",
];

/// What a question asks, to be put into words.
pub struct Asked<'a> {
    /// The task.
    pub task: Task,
    /// For comparisons: asks for the lesser, or whether directions differ.
    pub inverted: bool,
    /// Colours of the objects.
    pub colors: &'a [&'a str],
    /// The time asked about, seconds of the clip; `None` for all of it.
    pub span_s: Option<(f64, f64)>,
    /// For `DT`: the clock hour asked for.
    pub hour: Option<u8>,
    /// Whether to take a paraphrase.
    pub paraphrase: bool,
}

/// The question; `choice` decides among the wordings.
pub fn question(asked: &Asked<'_>, choice: u64) -> String {
    let wordings = wordings(asked.task, asked.inverted, asked.paraphrase);
    let mut choice = Choice(choice);
    let wording = choice.of(wordings);
    let object = |index: usize, choice: &mut Choice| {
        let color = asked.colors.get(index).copied().unwrap_or_default();
        match asked.colors.len() {
            // Alone in the video it needs no colour.
            1 if choice.next(2) == 0 => "the object".to_owned(),
            _ => choice.of(&OBJECTS).replace("{c}", color),
        }
    };
    let span = match asked.span_s {
        Some((start_s, end_s)) => choice
            .of(&[
                "between {x} and {y} seconds",
                "from {x} to {y} seconds",
                "from {x}s to {y}s",
            ])
            .replace("{x}", &format!("{start_s:.2}"))
            .replace("{y}", &format!("{end_s:.2}")),
        None => (*choice.of(&["throughout the video", "in the video", "over the whole video"])).to_owned(),
    };
    let mut text = wording.replace("{s}", &span);
    if text.contains("{o}") {
        text = text.replace("{o}", &object(0, &mut choice));
    }
    if text.contains("{a}") {
        text = text
            .replace("{a}", &object(0, &mut choice))
            .replace("{b}", &object(1, &mut choice));
    }
    text = text.replace("{h}", &asked.hour.unwrap_or(12).to_string());
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// The answer in words, in the paper's style.
pub fn answer(asked: &Asked<'_>, label: &Label, choice: u64) -> String {
    let object = match asked.colors {
        [color] => format!("the object annotated with the {color} bounding box"),
        _ => String::new(),
    };
    let mut choice = Choice(choice);
    let text = match label {
        Label::DistanceM(distance_m) => choice
            .of(&[
                "the total distance traveled by {o} is {v} meters.",
                "{o} travels {v} meters.",
                "{o} covers a total distance of {v} meters.",
            ])
            .replace("{v}", &format!("{distance_m:.2}")),
        Label::SpeedKmh(speed_kmh) => choice
            .of(&[
                "the average speed of {o} is {v} km/h.",
                "{o} moves at an average speed of {v} km/h.",
            ])
            .replace("{v}", &format!("{speed_kmh:.2}")),
        Label::ClockHour(hour) => choice
            .of(&[
                "{o} moves in the direction of {v} o'clock at the end of the video.",
                "at the end of the video, {o} moves in the {v} o'clock direction.",
            ])
            .replace("{v}", &hour.to_string()),
        Label::TimeRangeS(start_s, end_s) => choice
            .of(&[
                "{o} moves in the {h} o'clock direction from {x} to {y} seconds.",
                "from {x} to {y} seconds, {o} moves in the {h} o'clock direction.",
            ])
            .replace("{x}", &format!("{start_s:.2}"))
            .replace("{y}", &format!("{end_s:.2}"))
            .replace("{h}", &asked.hour.unwrap_or(12).to_string()),
        Label::Object(color) => {
            let verb = match (asked.task, asked.inverted) {
                (Task::TravelingSpeedComparison, false) => "moves faster",
                (Task::TravelingSpeedComparison, true) => "moves slower",
                (_, false) => "travels a greater distance",
                (_, true) => "travels a shorter distance",
            };
            format!("the object annotated with the {color} bounding box {verb}.")
        }
        Label::YesNo(yes) => {
            let same = *yes != asked.inverted;
            let word = if *yes { "yes" } else { "no" };
            let way = if same {
                "the same direction"
            } else {
                "different directions"
            };
            format!("{word}, they are moving in {way}.")
        }
    };
    let text = text.replace("{o}", &object);
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// Draws from one number.
struct Choice(u64);

impl Choice {
    fn next(&mut self, count: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % count.max(1)
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = self.next(items.len() as u64) as usize;
        &items[index.min(items.len() - 1)]
    }
}

/// All wordings of a task.
pub fn wordings(task: Task, inverted: bool, paraphrase: bool) -> &'static [&'static str] {
    match (task, inverted, paraphrase) {
        (Task::TraveledDistance, _, false) => &[
            "Can you calculate the total distance {o} traveled {s}?",
            "Can you calculate the total distance covered by {o} {s}?",
            "What is the total distance traveled by {o} {s}?",
            "How far did {o} travel {s}?",
            "What distance did {o} cover {s}?",
            "Tell me the total distance that {o} traveled {s}.",
            "How many meters did {o} travel {s}?",
            "Estimate the distance traveled by {o} {s}.",
        ],
        (Task::TraveledDistance, _, true) => &[
            "How many metres has {o} moved {s}?",
            "How much ground did {o} cover {s}?",
            "Give the path length of {o} {s}.",
            "By how many meters did {o} move along its path {s}?",
            "I would like to know how far {o} went {s}.",
            "What is the path length of {o} {s}?",
        ],
        (Task::TravelingSpeed, _, false) => &[
            "Tell me the average speed of {o} {s}.",
            "What is the average speed of {o} {s}?",
            "How fast does {o} move on average {s}?",
            "Can you calculate the average speed of {o} {s}?",
            "What is the mean speed of {o} {s}?",
            "How fast did {o} travel {s}?",
            "Estimate the average speed at which {o} travels {s}.",
            "What is the average traveling speed of {o} {s} in km/h?",
        ],
        (Task::TravelingSpeed, _, true) => &[
            "At what average speed was {o} going {s}?",
            "How many km/h does {o} do on average {s}?",
            "Give the mean velocity of {o} {s}.",
            "How quickly does {o} move {s}?",
            "At what pace is {o} moving {s}?",
            "I want to know how fast {o} was {s}.",
        ],
        (Task::MovementDirection, _, false) => &[
            "What direction does {o} travel at the end of the video?",
            "At the end of the video, in which direction does {o} move?",
            "In which direction is {o} moving at the end of the video?",
            "Which direction does {o} move in at the end of the video?",
            "Tell me the direction in which {o} moves at the end of the video.",
            "What is the movement direction of {o} at the end of the video?",
            "In what o'clock direction does {o} move at the end of the video?",
        ],
        (Task::MovementDirection, _, true) => &[
            "Which way is {o} going at the end of the video?",
            "Toward which o'clock does {o} head at the end of the video?",
            "As the video ends, which direction is {o} heading?",
            "What is the heading of {o} at the end of the video?",
            "Give the clock direction of {o} at the end of the video.",
        ],
        (Task::DirectionTimestamp, _, false) => &[
            "Describe the timestamp when {o} moves in the {h} o'clock direction.",
            "When does {o} move in the {h} o'clock direction?",
            "At what time does {o} move in the direction of {h} o'clock?",
            "Tell me the time span in which {o} moves in the {h} o'clock direction.",
            "During which period does {o} move in the {h} o'clock direction?",
            "From when to when does {o} travel in the {h} o'clock direction?",
        ],
        (Task::DirectionTimestamp, _, true) => &[
            "Which seconds does {o} move toward {h} o'clock?",
            "Find the time interval in which {o} heads to {h} o'clock.",
            "Give the timestamps of {o} moving at {h} o'clock.",
            "In which time interval is {o} heading toward {h} o'clock?",
            "When is {o} going to {h} o'clock?",
        ],
        (Task::TraveledDistanceComparison, false, false) => &[
            "Which object travels a greater distance {s}?",
            "Which object travels farther {s}, {a} or {b}?",
            "Between {a} and {b}, which one travels a longer distance {s}?",
            "Which object covers more distance {s}?",
            "Which of the two objects travels further {s}?",
        ],
        (Task::TraveledDistanceComparison, true, false) => &[
            "Which object travels a shorter distance {s}?",
            "Which object travels less far {s}, {a} or {b}?",
            "Between {a} and {b}, which one travels a shorter distance {s}?",
            "Which object covers less distance {s}?",
            "Which of the two objects travels a smaller distance {s}?",
        ],
        (Task::TraveledDistanceComparison, false, true) => &[
            "Which one covers more ground {s}, {a} or {b}?",
            "Out of {a} and {b}, which goes farther {s}?",
            "Which object went farther {s}?",
        ],
        (Task::TraveledDistanceComparison, true, true) => &[
            "Which one covers less ground {s}, {a} or {b}?",
            "Out of {a} and {b}, which goes less far {s}?",
            "Which object went less far {s}?",
        ],
        (Task::TravelingSpeedComparison, false, false) => &[
            "Which object moves faster {s}?",
            "Which object is faster {s}, {a} or {b}?",
            "Between {a} and {b}, which one moves faster {s}?",
            "Which object has a higher average speed {s}?",
            "Which of the two objects travels at a greater speed {s}?",
        ],
        (Task::TravelingSpeedComparison, true, false) => &[
            "Which object moves slower {s}?",
            "Which object is slower {s}, {a} or {b}?",
            "Between {a} and {b}, which one moves slower {s}?",
            "Which object has a lower average speed {s}?",
            "Which of the two objects travels at a lower speed {s}?",
        ],
        (Task::TravelingSpeedComparison, false, true) => &[
            "Which one is quicker {s}, {a} or {b}?",
            "Out of {a} and {b}, which goes faster {s}?",
            "Which object has the greater velocity {s}?",
        ],
        (Task::TravelingSpeedComparison, true, true) => &[
            "Which one is less quick {s}, {a} or {b}?",
            "Out of {a} and {b}, which goes slower {s}?",
            "Which object has the smaller velocity {s}?",
        ],
        (Task::MovementDirectionComparison, false, false) => &[
            "Is {a} moving in the same direction as {b} {s}?",
            "Are the two objects moving in the same direction {s}?",
            "Do {a} and {b} move in the same direction {s}?",
            "Are {a} and {b} traveling in the same direction {s}?",
        ],
        (Task::MovementDirectionComparison, true, false) => &[
            "Are these objects moving in different directions {s}?",
            "Are {a} and {b} moving in different directions {s}?",
            "Do {a} and {b} travel in different directions {s}?",
            "Is {a} moving in a different direction from {b} {s}?",
        ],
        (Task::MovementDirectionComparison, false, true) => &[
            "Are {a} and {b} heading the same way {s}?",
            "Do {a} and {b} share the same heading {s}?",
            "Do the objects go in the same direction {s}?",
        ],
        (Task::MovementDirectionComparison, true, true) => &[
            "Do the directions of {a} and {b} differ {s}?",
            "Do {a} and {b} head different ways {s}?",
            "Do the objects go in different directions {s}?",
        ],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::{Span, Subject, parse_question};
    use super::*;

    fn all() -> impl Iterator<Item = (Task, bool, bool)> {
        Task::ALL.into_iter().flat_map(|task| {
            let inverted = if task.subjects() == 2 {
                vec![false, true]
            } else {
                vec![false]
            };
            inverted
                .into_iter()
                .flat_map(move |inverted| [false, true].map(|paraphrase| (task, inverted, paraphrase)))
        })
    }

    #[test]
    fn every_wording_is_understood_by_the_question_parser() {
        let mut wrong = Vec::new();
        for (task, inverted, paraphrase) in all() {
            for choice in 0..300u64 {
                let colors: &[&str] = if task.subjects() == 2 {
                    &["red", "blue"]
                } else {
                    &["green"]
                };
                let direction = matches!(task, Task::MovementDirection | Task::DirectionTimestamp);
                let asked = Asked {
                    task,
                    inverted,
                    colors,
                    span_s: (choice % 2 == 0 && !direction).then_some((1.5, 4.0)),
                    hour: (task == Task::DirectionTimestamp).then_some(3),
                    paraphrase,
                };
                let text = question(&asked, choice.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let right = parse_question(&text).is_ok_and(|parsed| {
                    let span = match parsed.span {
                        Span::Window => None,
                        Span::Between(start_s, end_s) => Some((start_s, end_s)),
                        _ => Some((f64::NAN, f64::NAN)),
                    };
                    let marks: Vec<Subject> = colors
                        .iter()
                        .map(|color| Subject::Marked((*color).to_owned()))
                        .collect();
                    parsed.task == Some(task)
                        && parsed.inverted == inverted
                        && parsed.clock_hour == asked.hour
                        && span == asked.span_s
                        && (parsed.subjects == [Subject::Any] || parsed.subjects == marks)
                });
                if !right {
                    wrong.push(format!("{text}\n   {:?}", parse_question(&text)));
                }
            }
        }
        wrong.sort_unstable();
        wrong.dedup();
        assert!(
            wrong.is_empty(),
            "{} wrong, e.g.\n{}",
            wrong.len(),
            wrong[..wrong.len().min(25)].join("\n")
        );
    }

    #[test]
    fn paraphrases_are_no_standard_wordings() {
        for (task, inverted, _) in all() {
            let standard = wordings(task, inverted, false);
            assert!(
                wordings(task, inverted, true)
                    .iter()
                    .all(|wording| !standard.contains(wording))
            );
        }
    }
}

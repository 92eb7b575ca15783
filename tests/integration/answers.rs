//! Answers in words against a table of phrasings, right and wrong: `tests/data/answers.txt`.

use kinestream::stkit::benchmark::{Context, extract};
use kinestream::stkit::{Label, Task};

fn compact(label: &Label) -> String {
    let short = |value: f64| format!("{}", (value * 1e6).round() / 1e6);
    match label {
        Label::DistanceM(value) | Label::SpeedKmh(value) => short(*value),
        Label::ClockHour(hour) => hour.to_string(),
        Label::TimeRangeS(start_s, end_s) => format!("{}..{}", short(*start_s), short(*end_s)),
        Label::Object(color) => color.clone(),
        Label::YesNo(yes) => if *yes { "yes" } else { "no" }.to_owned(),
    }
}

#[test]
fn every_phrasing_says_what_the_table_says() {
    let table = include_str!("../data/answers.txt");
    let (mut count, mut wrong) = (0, Vec::new());
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (kind, rest) = line.split_once('|').expect("a kind");
        let (text, expected) = rest.rsplit_once("=>").expect("a value");
        let (kind, text, expected) = (kind.trim(), text.trim(), expected.trim());
        let task = Task::ALL
            .into_iter()
            .find(|task| task.code() == kind.trim_end_matches('-'))
            .expect("a task");
        let context = Context {
            task,
            colors: if task.subjects() == 2 {
                &["red", "blue"]
            } else {
                &["red"]
            },
            inverted: kind.ends_with('-'),
            duration_s: 10.0,
        };
        let found = extract(&context, text).map_or_else(|| "none".to_owned(), |label| compact(&label));
        count += 1;
        if found != expected {
            wrong.push(format!("{kind} | {text}\n   expected {expected}, found {found}"));
        }
    }
    assert!(count >= 200, "{count} phrasings");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

proptest::proptest! {
    #[test]
    fn outside_text_never_panics(text in ".{0,200}", task in 0usize..7) {
        let context = Context { task: Task::ALL[task], colors: &["red", "blue"], inverted: false, duration_s: 10.0 };
        let _ = extract(&context, &text);
    }

    #[test]
    fn shuffled_words_never_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "from", "to", "3", "3.5", "seconds", "o'clock", "not", "red", "blue", "than", "farther", "-", ":", "0:03", ",", "the",
        "m", "km", "per", "hour", "answer", "is", "same", "different", "yes", "no", "1,234", "twenty", "five", "2nd"]), 0..16),
        task in 0usize..7) {
        let context = Context { task: Task::ALL[task], colors: &["red", "blue"], inverted: true, duration_s: 10.0 };
        let _ = extract(&context, &words.join(" "));
    }
}

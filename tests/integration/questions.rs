//! The question parser against a table of phrasings, right and wrong: `tests/data/questions.txt`.

use kinestream::stkit::{Question, Span, Subject, parse_question};

/// The compact form of the table: `TD #3 last=10 hour=3 inverted`.
fn compact(question: &Question) -> String {
    let mut parts = vec![question.task.map_or("none", |task| task.code()).to_owned()];
    parts.extend(question.subjects.iter().map(|subject| match subject {
        Subject::Id(id) => format!("#{id}"),
        Subject::Class(class) => class.clone(),
        Subject::Marked(mark) => format!("@{mark}"),
        Subject::Any => "any".to_owned(),
    }));
    match question.span {
        Span::Window => {}
        Span::LastSeconds(seconds) => parts.push(format!("last={seconds}")),
        Span::Between(start, end) => parts.push(format!("{start}..{end}")),
        Span::Since(start) => parts.push(format!("{start}..")),
    }
    parts.extend(question.clock_hour.map(|hour| format!("hour={hour}")));
    parts.extend(question.inverted.then(|| "inverted".to_owned()));
    parts.join(" ")
}

#[test]
fn every_phrasing_means_what_the_table_says() {
    let table = include_str!("../data/questions.txt");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((text, expected)) = line.rsplit_once("=>") else {
            panic!("no => in {line:?}");
        };
        let (text, expected) = (text.trim(), expected.trim());
        count += 1;
        let found = parse_question(text);
        let right = match (expected.strip_prefix('!'), &found) {
            (Some(part), Err(error)) => error.to_string().contains(part.trim()),
            (None, Ok(question)) => compact(question) == expected,
            _ => false,
        };
        if !right {
            let found = found.map_or_else(|error| format!("! {error}"), |question| compact(&question));
            wrong.push(format!("{text}\n   expected {expected}\n   found    {found}"));
        }
    }
    assert!(count >= 150, "{count} phrasings");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_words_of_a_question_parse_to_the_question() {
    let table = include_str!("../data/questions.txt");
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let text = line.rsplit_once("=>").map_or(line, |(text, _)| text).trim();
        let Ok(question) = parse_question(text) else { continue };
        let words = question.wording();
        let again = parse_question(&words).unwrap_or_else(|error| panic!("{text}\n{words}\n{error}"));
        assert_eq!(compact(&again), compact(&question), "{text}\n{words}");
    }
}

#[test]
fn an_error_says_what_was_understood() {
    let error = parse_question("When does object 3 turn in the last 10 seconds?").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("object 3") && text.contains("in the last 10 seconds"),
        "{text}"
    );
}

#[test]
fn outside_text_never_panics() {
    for text in [
        "\u{0}",
        "####",
        "o'clock",
        "3 o'clock",
        "object object 3 3",
        "from to s",
        "between and",
        "last",
        "#",
        "# 3",
        "-",
        "2-",
        "1:99",
        "٣ o'clock object",
        "object 99999999999999999999999",
        "how far did object 1e400 go",
        "İ object 3 how far",
        "the",
        "which",
        "how far did object 3 travel in the last 1,000,000 s",
        "::::",
        "1,,2",
        "'''",
        "//",
    ] {
        let _ = parse_question(text);
    }
    assert!(parse_question(&"a ".repeat(100_000)).is_err());
}

proptest::proptest! {
    #[test]
    fn shuffled_words_never_panic(words in proptest::collection::vec(
        proptest::sample::select(vec!["how", "far", "object", "3", "#", "last", "10", "s", "between", "and", "o'clock", "the",
            "second", "half", "a", "minute", "red", "box", "which", "faster", "-", ",", "1:30", "when", "from", "to", "A", "one"]), 0..14)) {
        let _ = parse_question(&words.join(" "));
    }
}

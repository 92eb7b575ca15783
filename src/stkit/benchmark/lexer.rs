//! Words of an answer: lower case, numbers apart from their units, sentences apart from each other.

use crate::stkit::question::{SMALL, TENS};

/// One word, number or sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    /// In lower case.
    pub text: String,
    /// Its value, when it is a number.
    pub number: Option<f64>,
}

impl Word {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            number: number_word(text),
        }
    }
}

/// Longest answer that is read, bytes.
const MAX_BYTES: usize = 20_000;

/// The words by sentence.
pub(super) fn words(text: &str) -> Vec<Vec<Word>> {
    let mut end = text.len().min(MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let chars: Vec<char> = text[..end]
        .to_lowercase()
        .chars()
        .map(|c| match c {
            '’' | '‘' | '`' | '´' => '\'',
            '–' | '—' | '−' | '‐' | '‑' => '-',
            '\u{a0}' | '\u{202f}' => ' ',
            c => c,
        })
        .collect();
    let mut sentences = vec![Vec::new()];
    let mut at = 0;
    while at < chars.len() {
        at = next_word(&chars, at, &mut sentences);
    }
    for sentence in &mut sentences {
        join(sentence);
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

fn push(sentences: &mut [Vec<Word>], word: Word) {
    if let Some(last) = sentences.last_mut() {
        last.push(word);
    }
}

/// Takes the word at `at` and returns where the next one starts.
fn next_word(chars: &[char], at: usize, sentences: &mut Vec<Vec<Word>>) -> usize {
    let get = |index: usize| chars.get(index).copied().unwrap_or(' ');
    let c = chars[at];
    if c.is_ascii_digit() || c == '.' && get(at + 1).is_ascii_digit() {
        let (mut word, next) = number(chars, at);
        if at > 0 && get(at - 1) == '-' && !joins(sentences) {
            word.number = word.number.map(|value| -value);
        }
        push(sentences, word);
        return next;
    }
    if c.is_alphabetic() {
        let mut end = at;
        while get(end).is_alphanumeric()
            || get(end) == '\'' && get(end + 1).is_alphanumeric()
            // "km/h", "m/s"
            || get(end) == '/' && get(end + 1).is_alphabetic()
        {
            end += 1;
        }
        let text: String = chars[at..end].iter().collect();
        push(sentences, Word::new(&text));
        return end;
    }
    match c {
        '.' | '!' | '?' | ';' | '\n' => sentences.push(Vec::new()),
        ',' | '-' | '=' | '%' | ':' => push(sentences, Word::new(&c.to_string())),
        // "15~20" is a range, "~20" about twenty.
        '~' if at > 0 && get(at - 1).is_ascii_digit() => push(sentences, Word::new("-")),
        '≈' => push(sentences, Word::new("approximately")),
        _ => {}
    }
    at + 1
}

/// Whether the dash that was read last joins two values, as in "2s -4s", and is no minus.
fn joins(sentences: &[Vec<Word>]) -> bool {
    let last = sentences.last().map_or(&[][..], Vec::as_slice);
    let [.., before, _] = last else { return false };
    before.number.is_some()
        || matches!(
            before.text.as_str(),
            "s" | "sec" | "second" | "seconds" | "m" | "meters"
        )
}

/// A number: "1,234.5", "3.", "0:03" (minutes and seconds), "1e3".
fn number(chars: &[char], at: usize) -> (Word, usize) {
    let get = |index: usize| chars.get(index).copied().unwrap_or(' ');
    let mut text = String::new();
    let mut end = at;
    loop {
        let c = get(end);
        let thousands = c == ','
            && get(end + 1).is_ascii_digit()
            && get(end + 2).is_ascii_digit()
            && get(end + 3).is_ascii_digit()
            && !get(end + 4).is_ascii_digit()
            && !text.contains('.')
            && !text.starts_with('0');
        if c.is_ascii_digit() || c == '.' && get(end + 1).is_ascii_digit() && !text.contains('.') {
            text.push(c);
        } else if !thousands {
            break;
        }
        end += 1;
    }
    let mut value: Option<f64> = text.parse().ok();
    // "0:03", but not "10:00" as a clock with hours: the caller asks for seconds.
    if get(end) == ':' && get(end + 1).is_ascii_digit() && get(end + 2).is_ascii_digit() {
        let seconds: String = chars[end + 1..]
            .iter()
            .take_while(|c| c.is_ascii_digit() || **c == '.')
            .collect();
        let seconds = seconds.trim_end_matches('.');
        value = value
            .zip(seconds.parse::<f64>().ok())
            .map(|(minutes, seconds)| 60.0 * minutes + seconds);
        end += 1 + seconds.chars().count();
        text.push(':');
    }
    // "3.5e1"
    if get(end) == 'e' && get(end + 1).is_ascii_digit() {
        let exponent: String = chars[end + 1..].iter().take_while(|c| c.is_ascii_digit()).collect();
        value = format!("{text}e{exponent}").parse().ok();
        end += 1 + exponent.len();
    }
    // "1st", "2nd"
    let ordinal: String = chars[end..].iter().take_while(|c| c.is_alphabetic()).collect();
    if matches!(ordinal.as_str(), "st" | "nd" | "rd" | "th") {
        let word = match text.as_str() {
            "1" => "first",
            "2" => "second-one",
            _ => "other-one",
        };
        return (Word::new(word), end + 2);
    }
    (Word { text, number: value }, end)
}

/// Puts together what is one unit or number in several words.
fn join(words: &mut Vec<Word>) {
    let mut joined: Vec<Word> = Vec::with_capacity(words.len());
    let mut at = 0;
    let is = |words: &[Word], index: usize, wanted: &[&str]| {
        words
            .get(index)
            .is_some_and(|word| wanted.contains(&word.text.as_str()))
    };
    while at < words.len() {
        let word = &words[at];
        let per = is(words, at + 1, &["per", "an", "a"]) || is(words, at + 1, &["-"]) && is(words, at + 2, &["per"]);
        let over = at + 2 + usize::from(is(words, at + 1, &["-"]));
        let over = over + usize::from(is(words, over, &["-"]));
        let unit = match word.text.as_str() {
            "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres"
                if per && is(words, over, &["hour", "h", "hr"]) =>
            {
                "km/h"
            }
            "mi" | "mile" | "miles" if per && is(words, over, &["hour", "h", "hr"]) => "mph",
            "m" | "meter" | "meters" | "metre" | "metres" if per && is(words, over, &["second", "s", "sec"]) => "m/s",
            "ft" | "foot" | "feet" if per && is(words, over, &["second", "s", "sec"]) => "ft/s",
            _ => "",
        };
        if !unit.is_empty() {
            joined.push(Word::new(unit));
            at = over + 1;
            continue;
        }
        // "10 o clock", "10 oclock", "10-o'clock"
        if word.text == "o" && is(words, at + 1, &["clock"]) {
            joined.push(Word::new("o'clock"));
            at += 2;
            continue;
        }
        if word.text == "oclock" {
            joined.push(Word::new("o'clock"));
            at += 1;
            continue;
        }
        let tens_before = joined.last().is_some_and(|last| is_tens(&last.text));
        if word.text == "-" && tens_before && words.get(at + 1).is_some_and(|next| is_small(&next.text)) {
            at += 1;
            continue;
        }
        let dash_between = word.text == "-"
            && joined.last().is_some_and(|last| last.number.is_some())
            && words.get(at + 1).is_some_and(|next| next.number.is_none());
        if dash_between {
            at += 1;
            continue;
        }
        // "twenty five", "twenty-five"
        if let (Some(tens), Some(last)) = (word.number.filter(|_| is_small(&word.text)), joined.last_mut())
            && let Some(before) = last
                .number
                .filter(|before| is_tens(&last.text) && tens < 10.0 && *before >= 20.0)
        {
            last.number = Some(before + tens);
            at += 1;
            continue;
        }
        joined.push(word.clone());
        at += 1;
    }
    *words = joined;
}

fn is_small(word: &str) -> bool {
    SMALL[1..10].contains(&word)
}

fn is_tens(word: &str) -> bool {
    TENS.contains(&word)
}

fn number_word(word: &str) -> Option<f64> {
    let small = SMALL.iter().position(|known| *known == word).map(|value| value as f64);
    // "one" is a pronoun as often as a number.
    small
        .filter(|value| *value != 1.0)
        .or_else(|| {
            TENS.iter()
                .position(|known| *known == word)
                .map(|index| 20.0 + 10.0 * index as f64)
        })
        .or_else(|| (word == "one").then_some(1.0))
        .or_else(|| (word == "hundred").then_some(100.0))
}

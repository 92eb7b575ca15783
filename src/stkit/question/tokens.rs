//! Words and numbers of a question: lower-cased, number words read, glued units taken apart.

/// One word or number of a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// Lower-case text without punctuation.
    pub text: String,
    /// The word as written, to tell the letter `A` from the article.
    pub written: String,
    /// Its value, for digits and number words.
    pub number: Option<f64>,
    /// Whether the value was written in digits.
    pub digits: bool,
    /// Whether a `#` stands right before it.
    pub hash: bool,
    /// Whether some part of the parser has made use of it.
    pub used: bool,
}

impl Token {
    fn word(written: &str) -> Self {
        let lower = written.to_lowercase();
        // "the object's", "what's"
        let text = lower.strip_suffix("'s").map_or(lower.clone(), str::to_owned);
        let number = number_word(&text);
        Self {
            written: written.to_owned(),
            text,
            number,
            digits: false,
            hash: false,
            used: false,
        }
    }

    fn digits(written: &str, value: f64, hash: bool) -> Self {
        Self {
            text: written.to_owned(),
            written: written.to_owned(),
            number: Some(value),
            digits: true,
            hash,
            used: false,
        }
    }

    /// Whether the token is one of `words`.
    pub fn is(&self, words: &[&str]) -> bool {
        words.contains(&self.text.as_str())
    }
}

/// Splits `text` into tokens. Commas come out as tokens of their own, other punctuation is dropped.
pub(super) fn tokenize(text: &str) -> Vec<Token> {
    let text: String = text
        .chars()
        .map(|c| match c {
            '\u{2019}' | '\u{2018}' | '\u{02bc}' | '\u{00b4}' | '`' => '\'',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            other => other,
        })
        .collect();
    let characters: Vec<char> = text.chars().collect();
    let mut tokens: Vec<Token> = Vec::new();
    let mut hash = false;
    let mut i = 0;
    while i < characters.len() {
        let c = characters[i];
        if c.is_ascii_digit() || (c == '.' && characters.get(i + 1).is_some_and(char::is_ascii_digit)) {
            let (token, next) = read_number(&characters, i, hash);
            tokens.push(token);
            // A dash between two numbers is a range.
            let range =
                characters.get(next) == Some(&'-') && characters.get(next + 1).is_some_and(char::is_ascii_digit);
            if range {
                tokens.push(Token::word("to"));
            }
            i = if range { next + 1 } else { next };
            hash = false;
            continue;
        }
        if c.is_alphabetic() {
            let start = i;
            while i < characters.len() && (characters[i].is_alphabetic() || is_inner(&characters, i)) {
                i += 1;
            }
            let word: String = characters[start..i].iter().collect();
            // "id3", "obj3", "t3": digits right after letters start a number, which the loop reads next.
            tokens.push(Token::word(&word));
            hash = false;
            continue;
        }
        match c {
            ',' | ';' | '&' => tokens.push(Token::word(if c == '&' { "and" } else { "," })),
            '#' => hash = true,
            '-' if spaced_range(&characters, i, tokens.last()) => tokens.push(Token::word("to")),
            // A minus before a number would otherwise be lost with the other punctuation.
            '-' if characters.get(i + 1).is_some_and(char::is_ascii_digit)
                && (i == 0 || characters[i - 1].is_whitespace()) =>
            {
                tokens.push(Token::word("minus"));
            }
            c if c.is_whitespace() => {}
            _ => hash = false,
        }
        i += 1;
    }
    join(tokens)
}

/// An apostrophe or slash with letters on both sides belongs to the word: `o'clock`, `km/h`.
fn is_inner(characters: &[char], i: usize) -> bool {
    matches!(characters[i], '\'' | '/')
        && i > 0
        && characters[i - 1].is_alphabetic()
        && characters.get(i + 1).is_some_and(|c| c.is_alphabetic())
}

/// `2 s - 8 s`: a dash with spaces on both sides, after a number or a unit and before a number.
fn spaced_range(characters: &[char], i: usize, before: Option<&Token>) -> bool {
    let after_number = characters[i + 1..].iter().find(|c| !c.is_whitespace());
    after_number.is_some_and(char::is_ascii_digit)
        && before.is_some_and(|token| token.digits || unit_seconds(&token.text).is_some())
        && (characters.get(i + 1).is_some_and(|c| c.is_whitespace()) || characters[i - 1].is_alphabetic())
}

/// Reads `12`, `3.5`, `1,000` or `1:30` (minutes and seconds, then marked by a following "seconds").
fn read_number(characters: &[char], start: usize, hash: bool) -> (Token, usize) {
    let digit = |i: usize| characters.get(i).is_some_and(char::is_ascii_digit);
    let mut i = start;
    while digit(i) {
        i += 1;
    }
    // 1,000: a comma with exactly three digits behind it and one to three before.
    while characters.get(i) == Some(&',')
        && digit(i + 1)
        && digit(i + 2)
        && digit(i + 3)
        && !digit(i + 4)
        && i - start <= 3
    {
        i += 4;
    }
    if characters.get(i) == Some(&'.') && digit(i + 1) {
        i += 1;
        while digit(i) {
            i += 1;
        }
    }
    let clock = characters.get(i) == Some(&':') && digit(i + 1) && digit(i + 2) && !digit(i + 3);
    let written: String = characters[start..i].iter().filter(|c| **c != ',').collect();
    let value: f64 = written.parse().unwrap_or(f64::NAN);
    if clock {
        let seconds: String = characters[i + 1..i + 3].iter().collect();
        let total = value * 60.0 + seconds.parse::<f64>().unwrap_or(f64::NAN);
        let mut token = Token::digits(&total.to_string(), total, hash);
        token.written = format!("{written}:{seconds}");
        return (token, i + 3);
    }
    (Token::digits(&written, value, hash), i)
}

/// Joins tokens that mean one thing: number words ("twenty five"), the spellings of "o'clock", "1:30" with its unit,
/// "km per hour".
fn join(tokens: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(mut token) = rest.next() {
        if token.is(&["oclock", "o'clock", "oʼclock"])
            || (token.text == "o" && rest.peek().is_some_and(|next| next.text == "clock"))
        {
            if token.text == "o" {
                rest.next();
            }
            token.text = "o'clock".into();
        }
        // "3pm" style or "3rd" would be two tokens; the parser reports them as not understood.
        let minutes = token.written.contains(':');
        let tens = token
            .number
            .filter(|tens| !token.digits && (20.0..=90.0).contains(tens) && tens % 10.0 == 0.0);
        let units = rest.peek().filter(|next| !next.digits).and_then(|next| next.number);
        let units = units.filter(|units| (1.0..=9.0).contains(units));
        if let (Some(tens), Some(units)) = (tens, units) {
            token.number = Some(tens + units);
            rest.next();
        }
        joined.push(token);
        if minutes && rest.peek().is_none_or(|next| unit_seconds(&next.text).is_none()) {
            joined.push(Token::word("seconds"));
        }
    }
    joined
}

/// Seconds in the unit of time `word`, if it is one.
pub(super) fn unit_seconds(word: &str) -> Option<f64> {
    Some(match word {
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1e-3,
        "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        _ => return None,
    })
}

/// Zero to nineteen in words.
pub(in crate::stkit) const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// Twenty to ninety in words.
pub(in crate::stkit) const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

fn number_word(word: &str) -> Option<f64> {
    if let Some(value) = SMALL.iter().position(|small| *small == word) {
        return Some(value as f64);
    }
    if let Some(tens) = TENS.iter().position(|tens| *tens == word) {
        return Some((tens as f64 + 2.0) * 10.0);
    }
    match word {
        "fourty" => Some(40.0),
        "hundred" => Some(100.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        tokenize(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn units_ranges_and_clock_hours_come_apart() {
        assert_eq!(texts("2.5-4.5s"), ["2.5", "to", "4.5", "s"]);
        assert_eq!(texts("2 s – 8 s"), ["2", "s", "to", "8", "s"]);
        assert_eq!(texts("3 o’clock, #7"), ["3", "o'clock", ",", "7"]);
        assert_eq!(texts("km/h?"), ["km/h"]);
        assert_eq!(texts("ten-second"), ["ten", "second"]);
    }

    #[test]
    fn numbers_are_read_in_words_and_digits() {
        let numbers = |text: &str| tokenize(text).iter().filter_map(|t| t.number).collect::<Vec<_>>();
        assert_eq!(numbers("twenty five and 1,000 and 1:30"), [25.0, 1000.0, 90.0]);
        assert_eq!(numbers("1,2 and 3"), [1.0, 2.0, 3.0]);
        assert_eq!(numbers("objects 1,200"), [1200.0]);
    }
}

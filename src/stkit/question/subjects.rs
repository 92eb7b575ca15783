//! Whom a question is about: "object 3", "#3", "cars 1 and 2", "all cars", "the red box", "any".

use super::QuestionProblem;
use super::tokens::Token;
use super::vocabulary::{BOX, COLORS, ID, NOT_A_CLASS, OBJECT, PRONOUN, QUANTITY_UNIT, VERBS};
use crate::stkit::Subject;
use crate::stkit::class_words::canonical_class;

/// The most ids that a range may add.
const MAX_RANGE: u64 = 63;

/// Finds the subjects, in the order of the text, and marks their tokens as used.
pub(super) fn take_subjects(tokens: &mut [Token]) -> Result<Vec<Subject>, QuestionProblem> {
    let mut named: Vec<Subject> = Vec::new();
    let mut nouns: Vec<(usize, Option<String>)> = Vec::new();
    let mut named_classes: Vec<String> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if tokens[i].used {
            i += 1;
            continue;
        }
        let class = canonical_class(&tokens[i].text).map(str::to_owned);
        if class.is_some() || tokens[i].is(OBJECT) || tokens[i].is(ID) {
            let end = take_ids(tokens, i + 1, &mut named)?;
            if end > i + 1 {
                named_classes.extend(class);
                tokens[i].used = true;
                i = end;
                continue;
            }
            if let Some(letter) = letter_at(tokens, i + 1).filter(|_| !tokens[i].is(ID)) {
                named.push(Subject::Marked(letter));
                tokens[i].used = true;
                tokens[i + 1].used = true;
                i += 2;
                // "objects A and B"
                while tokens.get(i).is_some_and(|t| t.is(&["and", "or", ",", "vs", "versus"])) {
                    let Some(letter) = letter_at(tokens, i + 1) else { break };
                    named.push(Subject::Marked(letter));
                    tokens[i + 1].used = true;
                    i += 2;
                }
                continue;
            }
            if class.is_some() || tokens[i].is(OBJECT) {
                tokens[i].used = true;
                nouns.push((i, class));
            }
        } else if tokens[i].hash || listed_at(tokens, i) {
            i = take_ids(tokens, i, &mut named)?;
            continue;
        } else if tokens[i].is(&["than", "and", "or", "with", "versus", "vs", "as", "to", ","]) && !named.is_empty() {
            // "is object 1 faster than 2": a bare number after a joining word, once an id stands before.
            let quantity = tokens.get(i + 2).is_some_and(|t| t.is(QUANTITY_UNIT));
            let bare = tokens.get(i + 1).is_some_and(|t| t.digits && !t.used) && !quantity;
            if bare && named.iter().any(|subject| matches!(subject, Subject::Id(_))) {
                i = take_ids(tokens, i + 1, &mut named)?;
                continue;
            }
        } else if let Some((color, length)) = color_at(tokens, i)? {
            named.push(Subject::Marked(color));
            for token in &mut tokens[i..i + length] {
                token.used = true;
            }
            i += length;
            continue;
        }
        i += 1;
    }
    if tokens.iter().any(|t| t.is(&["first", "second", "third"]) && !t.used) && named.is_empty() && !nouns.is_empty() {
        return Err(QuestionProblem::Ordinal);
    }
    Ok(combine(tokens, named, nouns, &named_classes))
}

/// Puts ids and marks together with the nouns that say something beside them: in "is car 3 faster than the bus" the bus
/// is a second subject, in "which vehicle is faster, car 1 or car 2" the vehicle is not.
fn combine(
    tokens: &[Token],
    mut named: Vec<Subject>,
    nouns: Vec<(usize, Option<String>)>,
    named_classes: &[String],
) -> Vec<Subject> {
    if named.is_empty() {
        let mut classes: Vec<Subject> = Vec::new();
        for class in nouns.iter().filter_map(|(_, class)| class.clone()) {
            let subject = Subject::Class(class);
            if !classes.contains(&subject) {
                classes.push(subject);
            }
        }
        if !classes.is_empty() {
            return classes;
        }
        if let Some(class) = unknown_class(tokens) {
            return vec![Subject::Class(class)];
        }
        let pronoun = tokens.iter().any(|t| !t.used && t.is(PRONOUN));
        return if pronoun || !nouns.is_empty() {
            vec![Subject::Any]
        } else {
            Vec::new()
        };
    }
    let marked = named.iter().any(|subject| matches!(subject, Subject::Marked(_)));
    for (at, class) in nouns {
        let asks_which = at > 0 && tokens[at - 1].is(&["which", "what", "two", "these", "those", "of"]);
        if let Some(class) =
            class.filter(|class| !asks_which && !marked && !named_classes.contains(class) && class != "vehicle")
        {
            let question_word = tokens[at].is(&["who", "someone", "somebody"]);
            if !question_word {
                named.push(Subject::Class(class));
            }
        }
    }
    let compared_with_rest = tokens
        .windows(2)
        .any(|pair| pair[0].is(&["all", "any", "every", "the", "each"]) && pair[1].is(&["other", "others", "rest"]));
    if compared_with_rest && named.len() == 1 {
        named.push(Subject::Any);
    }
    named
}

/// Reads a list of ids from token `i` on ("3", "#3", "number 3", "1, 2 and #3"); returns the token after it.
fn take_ids(tokens: &mut [Token], mut i: usize, named: &mut Vec<Subject>) -> Result<usize, QuestionProblem> {
    let start = i;
    // "object with id 3", "object number 3", "car no. 3"
    let mut lead = i;
    while tokens
        .get(lead)
        .is_some_and(|t| !t.used && (t.is(ID) || t.is(&["with", "of"])))
    {
        lead += 1;
    }
    if lead > i && tokens[lead - 1].is(&["with", "of"]) {
        lead = i;
    }
    i = lead;
    while let Some(token) = tokens.get(i).filter(|t| !t.used) {
        let Some(number) = token.number else { break };
        if token.text == "one"
            && i > start
            && tokens[i - 1].is(&["and", "or", ","])
            && !named.is_empty()
            && !token.digits
        {
            // "objects one and two" counts, "object 3 or one of the others" does not.
            if tokens.get(i + 1).is_some_and(|t| t.text == "of") {
                break;
            }
        }
        if number.fract() != 0.0 || !(0.0..=9_007_199_254_740_992.0).contains(&number) {
            return Err(QuestionProblem::BadId(token.written.clone()));
        }
        named.push(Subject::Id(number as u64));
        for used in &mut tokens[start.max(lead.min(i))..=i] {
            used.used = true;
        }
        i += 1;
        if let Some(last) = range_end(tokens, i) {
            add_range(number as u64, last, named)?;
            tokens[i].used = true;
            tokens[i + 1].used = true;
            i += 2;
        }
        // "1, 2 and 3", "1 or 2"
        let mut next = i;
        while tokens
            .get(next)
            .is_some_and(|t| t.is(&[",", "and", "or", "vs", "versus", "&"]))
        {
            next += 1;
        }
        let more = tokens.get(next).is_some_and(|t| !t.used && t.number.is_some());
        if next == i || !more {
            break;
        }
        i = next;
    }
    Ok(if named_any(tokens, start, i) { i } else { start })
}

/// "to 3" in "objects 1 to 3" and "objects 1-3"; times are taken by now.
fn range_end(tokens: &[Token], i: usize) -> Option<f64> {
    let joint = tokens.get(i)?.is(&["to", "through", "thru"]);
    tokens.get(i + 1).filter(|t| joint && t.digits && !t.used)?.number
}

/// Names the ids after `first` up to `last`.
fn add_range(first: u64, last: f64, named: &mut Vec<Subject>) -> Result<(), QuestionProblem> {
    let most = (first + MAX_RANGE) as f64;
    if last.fract() != 0.0 || last <= first as f64 || last > most {
        return Err(QuestionProblem::BadId(format!("the range {first} to {last}")));
    }
    named.extend((first + 1..=last as u64).map(Subject::Id));
    Ok(())
}

/// Bare numbers in a list, "1 or 2": ids, as times and clock hours are taken by now.
fn listed_at(tokens: &[Token], i: usize) -> bool {
    let number = |at: usize| tokens.get(at).is_some_and(|t| t.digits && !t.used);
    let joint = |at: usize| {
        tokens
            .get(at)
            .is_some_and(|t| t.is(&["or", "and", "vs", "versus", ","]))
    };
    number(i) && joint(i + 1) && (number(i + 2) || joint(i + 2) && number(i + 3))
}

/// Whether a number between `start` and `end` was taken as an id.
fn named_any(tokens: &[Token], start: usize, end: usize) -> bool {
    tokens[start..end.min(tokens.len())]
        .iter()
        .any(|t| t.used && t.number.is_some())
}

/// "A" in "object A": one capital letter (small ones only where they cannot be the article).
fn letter_at(tokens: &[Token], i: usize) -> Option<String> {
    let token = tokens.get(i).filter(|t| !t.used)?;
    let mut letters = token.written.chars();
    let letter = letters.next().filter(|_| letters.next().is_none())?;
    let capital = letter.is_ascii_uppercase() && letter != 'I';
    let small = matches!(letter, 'b'..='h');
    (capital || small).then(|| letter.to_ascii_uppercase().to_string())
}

/// A colour that marks an object: "red bounding box", "red object", "annotated in red". A colour before anything else ("red
/// car") would be the object's paint, which is not known.
fn color_at(tokens: &[Token], i: usize) -> Result<Option<(String, usize)>, QuestionProblem> {
    if !tokens[i].is(COLORS) {
        return Ok(None);
    }
    let color = if tokens[i].text == "grey" {
        "gray".to_owned()
    } else {
        tokens[i].text.clone()
    };
    let mut length = 1;
    while tokens.get(i + length).is_some_and(|t| t.is(BOX)) {
        length += 1;
    }
    if length > 1 {
        return Ok(Some((color, length)));
    }
    if tokens
        .get(i + 1)
        .is_some_and(|t| t.is(OBJECT) || t.is(&["one", "ones"]))
    {
        return Ok(Some((color, 2)));
    }
    // "red and blue objects", "the red or the blue one"
    let article = usize::from(tokens.get(i + 2).is_some_and(|t| t.text == "the"));
    let listed = tokens.get(i + 1).is_some_and(|t| t.is(&["and", "or", ","]))
        && tokens.get(i + 2 + article).is_some_and(|t| t.is(COLORS));
    let marked = i > 0 && tokens[i - 1].is(&["in", "with", "marked", "annotated", "outlined", "by"]);
    if listed || marked {
        return Ok(Some((color, 1)));
    }
    Err(QuestionProblem::Color(color))
}

/// A noun after an article that no list knows: the class of somebody's own detector ("the forklift", "all forklifts").
fn unknown_class(tokens: &[Token]) -> Option<String> {
    const ARTICLES: &[&str] = &["the", "a", "an", "all", "every", "each", "any", "this", "that", "which"];
    tokens.windows(2).find_map(|pair| {
        let (article, noun) = (&pair[0], &pair[1]);
        let plain = noun.text.chars().all(char::is_alphabetic) && noun.text.len() > 2 && noun.number.is_none();
        let names = article.is(ARTICLES) && !article.used && !noun.used && plain;
        (names && !noun.is(NOT_A_CLASS) && !noun.is(PRONOUN) && !noun.is(VERBS) && !noun.is(COLORS))
            .then(|| noun.text.clone())
    })
}

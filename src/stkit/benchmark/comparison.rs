//! Answers to comparisons: which object, and whether two directions are the same.

use super::extract::Context;
use super::lexer::Word;
use crate::stkit::Task;

const GREATER: &[&str] = &[
    "farther", "further", "farthest", "furthest", "greater", "greatest", "longer", "longest", "more", "most", "faster",
    "fastest", "higher", "highest", "quicker", "quickest", "larger", "largest", "bigger", "speedier",
];
const LESSER: &[&str] = &[
    "less", "least", "shorter", "shortest", "slower", "slowest", "smaller", "smallest", "lower", "lowest", "fewer",
    "nearer",
];
const NEGATIONS: &[&str] = &[
    "not", "never", "no", "isn't", "doesn't", "don't", "aren't", "didn't", "cannot", "can't", "neither",
];

/// The index of the object that is said to fit the question.
pub(super) fn chosen(sentences: &[Vec<Word>], context: &Context<'_>) -> Option<usize> {
    let undecided = |sentence: &Vec<Word>| {
        let has = |wanted: &[&str]| sentence.iter().any(|word| wanted.contains(&word.text.as_str()));
        has(&[
            "equal",
            "equally",
            "neither",
            "unclear",
            "impossible",
            "cannot",
            "can't",
            "unable",
            "undetermined",
        ]) || has(&["same"])
            || has(&["both"]) && !has(GREATER) && !has(LESSER)
            || has(&["not"]) && has(&["possible", "enough", "clear", "determine", "sure"])
    };
    if sentences.iter().any(undecided) {
        return None;
    }
    let votes: Vec<usize> = sentences
        .iter()
        .filter_map(|sentence| vote(sentence, context))
        .collect();
    let agreed = |votes: &[usize]| {
        let first = *votes.first()?;
        votes.iter().all(|vote| *vote == first).then_some(first)
    };
    if !votes.is_empty() {
        return agreed(&votes);
    }
    // No comparison in words: the only object named, or the greater of two values.
    let mentions: Vec<usize> = sentences
        .iter()
        .flat_map(|sentence| mentions(sentence, context))
        .map(|(_, index)| index)
        .collect();
    agreed(&mentions).or_else(|| by_values(sentences, context))
}

/// Where objects are named in a sentence.
fn mentions(sentence: &[Word], context: &Context<'_>) -> Vec<(usize, usize)> {
    let two = context.colors.len() == 2;
    let mut found = Vec::new();
    for (at, word) in sentence.iter().enumerate() {
        let text = word.text.as_str();
        let before = at
            .checked_sub(1)
            .and_then(|before| sentence.get(before))
            .map_or("", |word| word.text.as_str());
        let after = sentence.get(at + 1).map_or("", |word| word.text.as_str());
        let of_object = |word: &str| {
            matches!(
                word,
                "object" | "one" | "car" | "vehicle" | "person" | "box" | "option" | "player"
            )
        };
        let color = context.colors.iter().position(|color| *color == text);
        let order = match text {
            "first" | "former" if of_object(after) || text == "former" => Some(0),
            "second-one" | "latter" => Some(1),
            "second" if of_object(after) => Some(1),
            "a" if before == "object" || before == "option" => Some(0),
            "b" if before == "object" || before == "option" => Some(1),
            "1" | "2" if before == "object" || before == "option" => Some(usize::from(text == "2")),
            _ => None,
        };
        found.extend(color.or(order.filter(|_| two)).map(|index| (at, index)));
    }
    // "A" or "B" and no more.
    if found.is_empty() && sentence.len() == 1 && two {
        let only = match sentence[0].text.as_str() {
            "a" => Some(0),
            "b" => Some(1),
            _ => None,
        };
        found.extend(only.map(|index| (0, index)));
    }
    found
}

/// What one sentence with a comparison says.
fn vote(sentence: &[Word], context: &Context<'_>) -> Option<usize> {
    let position = |wanted: &[&str]| sentence.iter().position(|word| wanted.contains(&word.text.as_str()));
    let degree = sentence
        .iter()
        .position(|word| GREATER.contains(&word.text.as_str()) || LESSER.contains(&word.text.as_str()))?;
    let mentions = mentions(sentence, context);
    let than = position(&["than"]);
    // The subject is the last object before the comparison, else the first one after it that is not what it is compared with.
    let clause_start = sentence[..degree]
        .iter()
        .rposition(|word| matches!(word.text.as_str(), "but" | "whereas" | "while"))
        .unwrap_or(0);
    let before = mentions
        .iter()
        .rev()
        .find(|(at, _)| (clause_start..degree).contains(at));
    let after = mentions
        .iter()
        .find(|(at, _)| *at > degree && than.is_none_or(|than| *at < than));
    let compared = than.and_then(|than| mentions.iter().find(|(at, _)| *at > than));
    let other = |index: usize| (context.colors.len() == 2).then(|| 1 - index.min(1));
    let subject = match (before.or(after), compared) {
        (Some((_, subject)), _) => *subject,
        // "… it moves faster than the blue one"
        (None, Some((_, compared))) => other(*compared)?,
        (None, None) => return None,
    };
    // "less slow" is more.
    let slow = sentence
        .get(degree + 1)
        .is_some_and(|word| matches!(word.text.as_str(), "slow" | "slowly"));
    let lesser = LESSER.contains(&sentence[degree].text.as_str()) != slow;
    let denied = sentence[clause_start..degree]
        .iter()
        .filter(|word| NEGATIONS.contains(&word.text.as_str()))
        .count()
        % 2
        == 1;
    if (lesser != context.inverted) != denied {
        other(subject)
    } else {
        Some(subject)
    }
}

/// "Red: 20 m, blue: 15 m."
fn by_values(sentences: &[Vec<Word>], context: &Context<'_>) -> Option<usize> {
    let mut values: [Option<f64>; 2] = [None; 2];
    for sentence in sentences {
        let mentions = mentions(sentence, context);
        for (order, (at, index)) in mentions.iter().enumerate() {
            let end = mentions.get(order + 1).map_or(sentence.len(), |(next, _)| *next);
            let numbers: Vec<f64> = sentence[*at + 1..end].iter().filter_map(|word| word.number).collect();
            match (numbers[..].first(), values.get_mut(*index)) {
                (Some(value), Some(slot)) if numbers.len() == 1 && slot.is_none() => *slot = Some(*value),
                (None, _) => {}
                _ => return None,
            }
        }
    }
    let [Some(first), Some(second)] = values else {
        return None;
    };
    if first == second
        || !matches!(
            context.task,
            Task::TraveledDistanceComparison | Task::TravelingSpeedComparison
        )
    {
        return None;
    }
    Some(usize::from((second > first) != context.inverted))
}

/// The answer to "do they move in the same direction?", or, inverted, "in different directions?".
pub(super) fn same_direction(sentences: &[Vec<Word>], inverted: bool) -> Option<bool> {
    let unclear = |word: &Word| {
        matches!(
            word.text.as_str(),
            "unclear" | "impossible" | "cannot" | "can't" | "unable" | "maybe" | "perhaps"
        )
    };
    if sentences.iter().flatten().any(unclear) {
        return None;
    }
    let first = sentences
        .first()
        .and_then(|sentence| sentence.first())
        .map(|word| word.text.as_str());
    let said = match first {
        Some("yes" | "yeah" | "yep" | "correct" | "true" | "affirmative") => Some(true),
        Some("no" | "nope" | "incorrect" | "false" | "negative") => Some(false),
        _ => {
            let answers = sentences.iter().flat_map(|sentence| {
                sentence.windows(3).filter_map(|three| {
                    let names = three[0].text == "answer" && matches!(three[1].text.as_str(), "is" | ":");
                    match three[2].text.as_str() {
                        "yes" if names => Some(true),
                        "no" if names => Some(false),
                        _ => None,
                    }
                })
            });
            answers.last()
        }
    };
    let mut stated: Option<bool> = None;
    for sentence in sentences {
        let Some(same) = statement(sentence) else { continue };
        if stated.is_some_and(|stated| stated != same) {
            return None;
        }
        stated = Some(same);
    }
    let stated = stated.map(|same| same != inverted);
    match (said, stated) {
        (Some(said), Some(stated)) if said != stated => None,
        (said, stated) => said.or(stated),
    }
}

/// Whether a sentence says that the directions are the same.
fn statement(sentence: &[Word]) -> Option<bool> {
    let at = sentence.iter().position(|word| {
        matches!(
            word.text.as_str(),
            "same"
                | "similar"
                | "identical"
                | "different"
                | "opposite"
                | "differ"
                | "differs"
                | "differently"
                | "diverge"
                | "parallel"
                | "perpendicular"
                | "dissimilar"
        )
    })?;
    let same = matches!(
        sentence[at].text.as_str(),
        "same" | "similar" | "identical" | "parallel"
    );
    // The answer's own "no" at the front denies nothing in the sentence.
    let denied = sentence[..at]
        .iter()
        .enumerate()
        .filter(|(index, word)| NEGATIONS.contains(&word.text.as_str()) && !(*index == 0 && word.text == "no"))
        .count()
        % 2
        == 1;
    Some(same != denied)
}

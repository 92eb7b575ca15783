//! Which of the seven tasks the words of a question ask for.

use super::QuestionProblem;
use super::tokens::Token;
use crate::stkit::Task;

/// What the wording asks.
#[derive(Debug, PartialEq)]
pub(super) struct Wording {
    pub task: Task,
    pub inverted: bool,
}

const DISTANCE: &[&str] = &[
    "far",
    "distance",
    "distances",
    "farther",
    "farthest",
    "further",
    "furthest",
    "ground",
    "mileage",
];
const LENGTH_UNIT: &[&str] = &[
    "metres",
    "meters",
    "metre",
    "meter",
    "kilometres",
    "kilometers",
    "km",
    "miles",
    "feet",
];
const SPEED: &[&str] = &[
    "fast",
    "faster",
    "fastest",
    "slow",
    "slower",
    "slowest",
    "slowly",
    "speed",
    "speeds",
    "velocity",
    "velocities",
    "quick",
    "quicker",
    "quickest",
    "quickly",
    "km/h",
    "kmh",
    "kph",
    "mph",
    "m/s",
    "pace",
    "speedier",
];
const DIRECTION: &[&str] = &[
    "direction",
    "directions",
    "heading",
    "headings",
    "headed",
    "head",
    "heads",
    "way",
    "ways",
    "toward",
    "towards",
    "o'clock",
    "course",
];
const WHEN: &[&str] = &["when", "timestamp", "timestamps"];
const LESS: &[&str] = &[
    "less", "lesser", "least", "slower", "slowest", "shorter", "shortest", "smaller", "smallest", "lower", "lowest",
    "fewer", "fewest",
];
const MORE: &[&str] = &[
    "more", "most", "greater", "greatest", "longer", "longest", "larger", "largest", "bigger", "biggest", "higher",
    "highest", "faster", "fastest", "quicker", "quickest", "farther", "farthest", "further", "furthest", "speedier",
];
const MOVING: &[&str] = &[
    "traveling",
    "travelling",
    "moving",
    "driving",
    "going",
    "walking",
    "running",
    "traveled",
    "travelled",
    "moved",
    "gone",
    "driven",
];
const TRAVEL: &[&str] = &[
    "travel",
    "travels",
    "traveled",
    "travelled",
    "cover",
    "covers",
    "covered",
    "drive",
    "drives",
    "drove",
    "driven",
    "go",
    "goes",
    "went",
    "gone",
    "move",
    "moves",
    "moved",
    "moving",
    "walk",
    "walks",
    "walked",
    "run",
    "runs",
    "ran",
];
const SAME: &[&str] = &["same", "identical", "equal", "similar", "alike", "common", "equally"];
const DIFFERENT: &[&str] = &[
    "different",
    "differ",
    "differs",
    "differing",
    "differently",
    "distinct",
    "diverging",
];

/// Tells the task from the words. `hour` is whether a clock hour was named, `subjects` how many objects were.
pub(super) fn classify(tokens: &[Token], hour: bool, named: usize) -> Result<Wording, QuestionProblem> {
    let words = Words(tokens);
    words.refuse_what_is_beyond()?;
    let direction = words.any(DIRECTION) && !words.only_way_of_speaking();
    let per = words.phrase(&["per", "second"]) || words.phrase(&["per", "hour"]) || words.phrase(&["an", "hour"]);
    let distance = words.any(DISTANCE) || words.phrase(&["path", "length"]) || words.any(LENGTH_UNIT) && !per;
    let speed = words.any(SPEED) || per;
    let compares_sameness = words.any(SAME) || words.any(DIFFERENT);
    if compares_sameness {
        if !direction {
            return Err(QuestionProblem::Beyond("whether two distances or speeds are equal"));
        }
        if distance || speed {
            return Err(QuestionProblem::SeveralTasks);
        }
        // "not different" asks for sameness; "aren't they …" and "do they not …" still ask what follows.
        let negated = words.negated();
        return Ok(Wording {
            task: Task::MovementDirectionComparison,
            inverted: words.any(DIFFERENT) != negated,
        });
    }
    if direction && words.any(&["opposite"]) {
        return Err(QuestionProblem::Beyond("opposite directions (only same or different)"));
    }
    let when = words.any(WHEN)
        || ["what", "which"].iter().any(|which| {
            words.phrase(&[which, "time"])
                || words.phrase(&[which, "times"])
                || words.phrase(&[which, "seconds"])
                || words.phrase(&[which, "period"])
                || words.phrase(&[which, "interval"])
                || words.phrase(&[which, "part"])
        })
        || words.phrase(&["time", "span"])
        || words.phrase(&["time", "range"])
        || words.phrase(&["time", "interval"])
        || words.phrase(&["the", "interval"])
        || words.phrase(&["the", "times"])
        || words.phrase(&["the", "time"]) && hour;
    if when {
        if distance || speed {
            return Err(QuestionProblem::Beyond(
                "when something is far or fast (only when it moves toward a clock hour)",
            ));
        }
        if hour {
            return Ok(Wording {
                task: Task::DirectionTimestamp,
                inverted: false,
            });
        }
        if direction
            || words.any(&[
                "turn", "turns", "turned", "move", "moves", "moving", "going", "go", "drive", "travel",
            ])
        {
            return Err(QuestionProblem::MissingHour);
        }
        return Err(QuestionProblem::MissingTask);
    }
    if direction || hour {
        if distance || speed {
            return Err(QuestionProblem::SeveralTasks);
        }
        return Ok(Wording {
            task: Task::MovementDirection,
            inverted: false,
        });
    }
    if distance && speed {
        return Err(QuestionProblem::SeveralTasks);
    }
    let compares = words.compares(named);
    // A plain "how much did it travel" is about distance, "how did it travel" about nothing that we know.
    let travelled = words.any(TRAVEL)
        && (words.phrase(&["how", "much"]) || compares && words.any(&["more", "most", "less", "least"]));
    if !distance && !speed && !travelled {
        return Err(QuestionProblem::MissingTask);
    }
    if !compares {
        if words.any(&["between", "relative"]) || words.placed_by_an_object() {
            return Err(QuestionProblem::Beyond(
                "how objects are placed or move relative to one another",
            ));
        }
        let task = if speed {
            Task::TravelingSpeed
        } else {
            Task::TraveledDistance
        };
        return Ok(Wording { task, inverted: false });
    }
    let task = if speed {
        Task::TravelingSpeedComparison
    } else {
        Task::TraveledDistanceComparison
    };
    Ok(Wording {
        task,
        inverted: words.lesser() != words.negated(),
    })
}

struct Words<'a>(&'a [Token]);

impl Words<'_> {
    fn any(&self, words: &[&str]) -> bool {
        self.0.iter().any(|token| !token.used && token.is(words))
    }

    fn phrase(&self, phrase: &[&str]) -> bool {
        self.0.windows(phrase.len()).any(|window| {
            window
                .iter()
                .zip(phrase)
                .all(|(token, word)| !token.used && token.text == *word)
        })
    }

    /// "from object 4", where an object is a place.
    fn placed_by_an_object(&self) -> bool {
        let object = |i: usize| self.0.get(i).is_some_and(|token| token.used && token.number.is_none());
        let article = |i: usize| self.0.get(i).is_some_and(|token| token.text == "the");
        self.0
            .iter()
            .enumerate()
            .any(|(i, token)| !token.used && token.text == "from" && (object(i + 1) || article(i + 1) && object(i + 2)))
    }

    /// "by the way", "on its way", "all the way": no direction.
    fn only_way_of_speaking(&self) -> bool {
        let other = DIRECTION.iter().any(|word| *word != "way" && self.any(&[word]));
        let which_way = ["which", "what", "same", "different"]
            .iter()
            .any(|first| self.phrase(&[first, "way"]));
        self.any(&["way"]) && !other && !which_way
    }

    /// Whether two objects are set against each other.
    fn compares(&self, named: usize) -> bool {
        let degree = self.any(MORE) || self.any(LESS);
        if degree || self.any(&["compare", "comparison", "than", "versus", "vs"]) {
            return true;
        }
        // "does object 1 travel as far as object 2", "which of objects 1 and 2 is fast"
        let equals = ["far", "fast", "slow"].iter().any(|word| self.phrase(&["as", word]));
        named >= 2 && (equals || self.phrase(&["which", "of"]))
    }

    /// Asks for the lesser: "slower", "less far", "a shorter distance"; "less slow" asks for the greater.
    fn lesser(&self) -> bool {
        let less = self.0.iter().filter(|t| !t.used && t.is(LESS)).count();
        let slow = self.0.iter().filter(|t| !t.used && t.is(&["slow", "slowly"])).count();
        (less + slow) % 2 == 1
    }

    /// An explicit "not" or "never". "Isn't", "don't" at the front only ask for agreement.
    fn negated(&self) -> bool {
        let nots = self
            .0
            .iter()
            .enumerate()
            .filter(|(i, token)| {
                token.is(&["not", "never"]) || (*i > 0 && token.text.ends_with("n't") && !self.0[i - 1].is(&[","]))
            })
            .count();
        let or_not = usize::from(self.phrase(&["or", "not"]));
        (nots - or_not.min(nots)) % 2 == 1
    }

    fn refuse_what_is_beyond(&self) -> Result<(), QuestionProblem> {
        let beyond = |what| Err(QuestionProblem::Beyond(what));
        let away = self.any(&[
            "away", "apart", "closest", "nearest", "nearer", "closer", "near", "close",
        ]) || self.phrase(&["how", "far", "from"])
            || self.phrase(&["far", "from"])
            || self.phrase(&["distance", "between"])
            || self.phrase(&["distance", "to"])
            || self.phrase(&["distance", "from"])
            || self.phrase(&["from", "the", "camera"])
            || self.phrase(&["to", "the", "camera"])
            || ["is", "are", "was", "were"].iter().any(|be| self.phrase(&["far", be])) && !self.any(MOVING);
        if away {
            return beyond("how far away something is (only how far it travels)");
        }
        if self.any(&[
            "accelerate",
            "accelerates",
            "accelerated",
            "accelerating",
            "acceleration",
            "decelerate",
            "deceleration",
            "brake",
            "brakes",
            "braking",
        ]) {
            return beyond("acceleration");
        }
        if self.any(&["displacement"])
            || self.phrase(&["as", "the", "crow", "flies"])
            || self.phrase(&["straight", "line"])
        {
            return beyond("displacement (only the length of the path)");
        }
        let extreme = self.any(&[
            "maximum",
            "max",
            "top",
            "peak",
            "minimum",
            "min",
            "instantaneous",
            "limit",
        ]);
        if extreme && self.any(SPEED) {
            return beyond("an extreme or a limit of speed (only the mean)");
        }
        if ["faster", "slower", "farther", "further", "quicker", "more", "less"]
            .iter()
            .any(|word| {
                self.phrase(&["how", "much", word])
                    || self.phrase(&["times", word])
                    || self.phrase(&["by", "how", "much"])
            })
        {
            return beyond("how two objects differ or what they do together (only which is ahead)");
        }
        if self.any(&["difference", "ratio", "combined", "together", "sum"]) {
            return beyond("how two objects differ or what they do together (only which is ahead)");
        }
        let measured = self.any(LENGTH_UNIT) || self.any(&["km/h", "kmh", "kph", "mph", "m/s"]);
        if self.phrase(&["how", "many"]) && !measured {
            return beyond("how many there are");
        }
        for what in ["long", "tall", "high", "big", "wide", "old", "heavy", "often"] {
            if self.phrase(&["how", what]) {
                return beyond("how long, large or often something is");
            }
        }
        if self.any(&[
            "where",
            "why",
            "bearing",
            "collide",
            "collision",
            "overtake",
            "overtakes",
        ]) {
            return beyond("where or why something is");
        }
        Ok(())
    }
}

//! The seven tasks, a question, and its answer: one type for geometry, ST-VLM and remote models.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The seven tasks of STKit (ST-VLM paper, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Task {
    /// Metres travelled in the span.
    #[serde(rename = "TD")]
    TraveledDistance,
    /// Mean speed in the span.
    #[serde(rename = "TS")]
    TravelingSpeed,
    /// Clock hour of the movement at the end of the span.
    #[serde(rename = "MD")]
    MovementDirection,
    /// When the object moves toward a given clock hour.
    #[serde(rename = "DT")]
    DirectionTimestamp,
    /// Which of two objects travels farther (or less far).
    #[serde(rename = "TDC")]
    TraveledDistanceComparison,
    /// Which of two objects is faster (or slower).
    #[serde(rename = "TSC")]
    TravelingSpeedComparison,
    /// Whether two objects move in the same direction.
    #[serde(rename = "MDC")]
    MovementDirectionComparison,
}

impl Task {
    /// All seven, in the paper's order.
    pub const ALL: [Self; 7] = [
        Self::TraveledDistance,
        Self::TravelingSpeed,
        Self::MovementDirection,
        Self::DirectionTimestamp,
        Self::TraveledDistanceComparison,
        Self::TravelingSpeedComparison,
        Self::MovementDirectionComparison,
    ];

    /// The paper's abbreviation, e.g. `TD`.
    pub fn code(self) -> &'static str {
        match self {
            Self::TraveledDistance => "TD",
            Self::TravelingSpeed => "TS",
            Self::MovementDirection => "MD",
            Self::DirectionTimestamp => "DT",
            Self::TraveledDistanceComparison => "TDC",
            Self::TravelingSpeedComparison => "TSC",
            Self::MovementDirectionComparison => "MDC",
        }
    }

    /// What the task asks, in words.
    pub fn description(self) -> &'static str {
        match self {
            Self::TraveledDistance => "the distance traveled",
            Self::TravelingSpeed => "the average speed",
            Self::MovementDirection => "the direction of movement",
            Self::DirectionTimestamp => "when it moves toward a clock hour",
            Self::TraveledDistanceComparison => "which one travels farther or less far",
            Self::TravelingSpeedComparison => "which one is faster or slower",
            Self::MovementDirectionComparison => "whether the directions are the same",
        }
    }

    /// How many objects the task asks about.
    pub fn subjects(self) -> usize {
        match self {
            Self::TraveledDistance | Self::TravelingSpeed | Self::MovementDirection | Self::DirectionTimestamp => 1,
            _ => 2,
        }
    }
}

/// Whom a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The object with this track id.
    Id(u64),
    /// Every object of this class that is in view (a standing question then gives one answer an object).
    Class(String),
    /// The object that is marked in the picture with this colour or letter (`"red"`, `"A"`), as STKit's clips do.
    Marked(String),
    /// Every object in view. In a comparison one `Class` or `Any` stands for all such objects, compared together.
    Any,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "object {id}"),
            Self::Class(class) => write!(f, "any {class}"),
            Self::Marked(mark) if mark.chars().count() == 1 => write!(f, "object {mark}"),
            Self::Marked(mark) => write!(f, "the object annotated with the {mark} bounding box"),
            Self::Any => f.write_str("any object"),
        }
    }
}

/// Which time a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The asked window as a whole (for a standing question: the sliding window).
    Window,
    /// The last so many seconds.
    LastSeconds(f64),
    /// From start to end, seconds of stream time.
    Between(f64, f64),
    /// From so many seconds of stream time until now.
    Since(f64),
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window => f.write_str("throughout the video"),
            Self::LastSeconds(seconds) => write!(f, "in the last {seconds} seconds"),
            Self::Between(start, end) => write!(f, "between {start} and {end} seconds"),
            Self::Since(start) => write!(f, "since {start} seconds"),
        }
    }
}

/// A question about motion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The words, as asked.
    pub text: String,
    /// The task; `None` when the question is beyond the seven.
    pub task: Option<Task>,
    /// Whom it is about: as many as the task needs.
    pub subjects: Vec<Subject>,
    /// When.
    pub span: Span,
    /// For `DT`: the clock hour asked for, 1 to 12.
    pub clock_hour: Option<u8>,
    /// For comparisons: asks for the lesser (shorter, slower), or, for `MDC`, whether directions differ.
    pub inverted: bool,
}

impl Question {
    /// Words for the question, in the paper's style.
    pub fn wording(&self) -> String {
        let Some(task) = self.task else {
            return self.text.clone();
        };
        let one = self.subjects.first().unwrap_or(&Subject::Any);
        let all: Vec<String> = self
            .subjects
            .iter()
            .map(|subject| match subject {
                Subject::Any if self.subjects.len() > 1 => "all others".to_owned(),
                subject => subject.to_string(),
            })
            .collect();
        let joined = |by: &str| match &self.subjects[..] {
            [Subject::Any] => String::new(),
            _ => all.join(by),
        };
        let among = |words: String| if words.is_empty() { words } else { format!(": {words}") };
        let (span, one) = (
            self.span,
            if self.subjects.len() > 1 {
                joined(" and ")
            } else {
                one.to_string()
            },
        );
        let hour = self.clock_hour.unwrap_or(12);
        match task {
            Task::TraveledDistance => format!("What is the total distance traveled by {one} {span}?"),
            Task::TravelingSpeed => format!("What is the average speed of {one} {span}?"),
            Task::MovementDirection if self.clock_hour.is_some() => {
                format!("Is the movement of {one} in the {hour} o'clock direction {span}?")
            }
            Task::MovementDirection => format!("In which direction is the movement of {one} {span}?"),
            Task::DirectionTimestamp => {
                format!("When is the movement of {one} in the {hour} o'clock direction {span}?")
            }
            Task::TraveledDistanceComparison => {
                let degree = if self.inverted { "a shorter" } else { "a greater" };
                format!(
                    "Which object travels {degree} distance {span}{}?",
                    among(joined(" or "))
                )
            }
            Task::TravelingSpeedComparison => {
                let degree = if self.inverted { "slower" } else { "faster" };
                format!("Which object moves {degree} {span}{}?", among(joined(" or ")))
            }
            Task::MovementDirectionComparison => {
                let degree = if self.inverted {
                    "different directions"
                } else {
                    "the same direction"
                };
                let who = joined(" and ");
                let who = if who.is_empty() { "all objects".to_owned() } else { who };
                format!("Are {who} moving in {degree} {span}?")
            }
        }
    }
}

/// Who computed an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerSource {
    /// The trajectory store: exact, given the states.
    Geometry,
    /// ST-VLM.
    Vlm,
    /// A model behind a server.
    Remote,
}

/// A closed interval that holds the true value with 95 % probability, in the value's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A typed answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerValue {
    /// Metres (`TD`).
    DistanceM(f64),
    /// Metres per second (`TS`); the text speaks km/h.
    SpeedMps(f64),
    /// Clock hour, 1 to 12 (`MD`).
    ClockHour(u8),
    /// Start and end in seconds of stream time (`DT`).
    TimeRangeS(f64, f64),
    /// Track id of the object chosen (`TDC`, `TSC`).
    ObjectId(u64),
    /// Yes or no (`MDC`).
    YesNo(bool),
}

/// How long an answer took.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// From the question's (or window's) arrival at the worker to the start of work, seconds.
    pub queued_s: f64,
    /// Work itself, seconds.
    pub compute_s: f64,
    /// How far the newest frame was past the time that the answer speaks of when it was ready, seconds of stream time: the
    /// settle lag included.
    #[serde(default)]
    pub age_s: f64,
}

/// An answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Identifies the question: the standing question's id, or the id given with `ask`.
    pub question_id: String,
    /// The question as understood.
    pub question: Question,
    /// Track ids of the objects it speaks of.
    pub subjects: Vec<u64>,
    /// Start of the time it speaks of, seconds of stream time.
    pub start_s: f64,
    /// End of the time it speaks of, seconds of stream time.
    pub end_s: f64,
    /// The answer in words; when there is no value, why not.
    pub text: String,
    /// The typed answer; `None` when the question cannot be answered.
    pub value: Option<AnswerValue>,
    /// 95 % interval of a distance or speed, in the value's unit.
    pub interval: Option<Interval>,
    /// Who computed it.
    pub source: AnswerSource,
    /// 0 to 1.
    pub confidence: f64,
    /// Whether the value is to be trusted; if not, `reason` says why.
    pub reliable: bool,
    /// Why the value is not to be trusted, or why there is none.
    pub reason: Option<String>,
    /// Whether the angle lies within 5° of an hour's edge.
    pub ambiguous: bool,
    /// The geometric answer beside a model's, when both exist.
    pub geometry: Option<Box<Answer>>,
    /// How long it took.
    pub timings: Timings,
}

impl Answer {
    /// An answer without a value: `reason` is a clause that says why ("object 3 was never seen").
    pub fn without_value(question_id: &str, question: &Question, window: (f64, f64), reason: String) -> Self {
        Self {
            question_id: question_id.to_owned(),
            question: question.clone(),
            subjects: Vec::new(),
            start_s: window.0,
            end_s: window.1,
            text: format!("There is no answer: {reason}."),
            value: None,
            interval: None,
            source: AnswerSource::Geometry,
            confidence: 0.0,
            reliable: false,
            reason: Some(reason),
            ambiguous: false,
            geometry: None,
            timings: Timings::default(),
        }
    }
}

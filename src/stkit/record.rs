//! One question with its answer and all that it was made from: a line of the LLaVA-style JSONL that the builder writes and
//! the benchmark reads.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Task;
use crate::datasets::LabelSource;

/// Colours of the boxes, in the order in which they are drawn from.
pub const COLORS: [(&str, [u8; 3]); 8] = [
    ("red", [255, 0, 0]),
    ("blue", [0, 64, 255]),
    ("green", [0, 200, 0]),
    ("yellow", [255, 230, 0]),
    ("orange", [255, 140, 0]),
    ("purple", [160, 32, 240]),
    ("cyan", [0, 230, 230]),
    ("pink", [255, 105, 180]),
];

/// A typed answer as people give it: metres, km/h, clock hours, seconds of the clip, a box's colour, yes or no.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Metres (`TD`).
    DistanceM(f64),
    /// Kilometres per hour (`TS`).
    SpeedKmh(f64),
    /// Clock hour, 1 to 12 (`MD`).
    ClockHour(u8),
    /// Start and end, seconds of the clip (`DT`).
    TimeRangeS(f64, f64),
    /// Colour of the object chosen (`TDC`, `TSC`).
    Object(String),
    /// Yes or no, to the question as it was asked (`MDC`).
    YesNo(bool),
}

/// Pinhole intrinsics of the pictures, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordCamera {
    /// Focal length across.
    pub fx: f64,
    /// Focal length down.
    pub fy: f64,
    /// Principal point from the left edge.
    pub cx: f64,
    /// Principal point from the top edge.
    pub cy: f64,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// An object's identity in its data set: a number, or a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TrackId {
    /// A number.
    Number(u64),
    /// A token.
    Token(String),
}

/// One marked object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordObject {
    /// Colour of its box.
    pub color: String,
    /// Identity in the data set.
    pub track_id: TrackId,
    /// What it is.
    pub class: String,
    /// [t, x0, y0, x1, y1] at the frames in which it is seen, seconds of the clip and pixels.
    pub boxes: Vec<[f64; 5]>,
    /// [t, x, y, z] every 0.5 s: the trajectory of record, seconds of the clip and metres in a world with z up.
    pub centers_m: Vec<[f64; 4]>,
}

/// One turn of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// `human` or `gpt`.
    pub from: String,
    /// The words.
    pub value: String,
}

/// Which side of each split a record is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splits {
    /// `train`, `val` or `test`, by recording.
    pub random: String,
    /// `seen` or `unseen`, by camera; `none` without one.
    pub camera: String,
    /// `seen` (a frame every 0.5 s) or `unseen`.
    pub frame_rate: String,
    /// `standard` or `paraphrase`.
    pub wording: String,
    /// `moving` or `standing` camera; `unknown` without poses.
    pub ego: String,
}

/// Where a record is from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The recording's name in the data set.
    pub recording: String,
    /// The camera's name in the data set.
    pub camera: Option<String>,
    /// Where the clip starts, seconds from the recording's first label.
    pub start_s: f64,
}

/// What is known of how good a label is, and what may be selected by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The label from smoothed positions, beside the paper's.
    pub smoothed: Option<Label>,
    /// For directions: how far the angle is from the nearest edge between two answers, degrees.
    pub margin_deg: Option<f64>,
    /// For comparisons of distance and speed: the greater value by the lesser.
    pub ratio: Option<f64>,
    /// Share of the frames in which the objects are seen; `None` without a camera.
    pub visible_share: Option<f64>,
    /// For pseudo-labels: half the 95 % interval relative to the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_half_width: Option<f64>,
    /// Which side of each split.
    pub splits: Splits,
    /// Where it is from.
    pub provenance: Provenance,
}

/// One question with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Unique within a file.
    pub id: String,
    /// The video, where the pictures are in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// The pictures at `timestamps`, relative to the data set's folder; empty where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<String>>,
    /// Frames a second.
    pub fps: f64,
    /// Times of the frames, seconds of the clip.
    pub timestamps: Vec<f64>,
    /// The data set.
    pub data_source: String,
    /// Intrinsics, where known.
    pub camera: Option<RecordCamera>,
    /// [t, x, y, z, qw, qx, qy, qz] at the frames: pose of the camera (or the vehicle) in the world.
    pub ego: Option<Vec<[f64; 8]>>,
    /// The marked objects, in the order of the colours in the prompt.
    pub objects: Vec<RecordObject>,
    /// Which of the seven.
    pub task: Task,
    /// The time asked about, seconds of the clip.
    pub span: [f64; 2],
    /// The answer, typed.
    pub answer: Label,
    /// The question with its prompt, and the answer, in words.
    pub conversations: Vec<Turn>,
    /// Where the label is from.
    pub label_source: LabelSource,
    /// How good it is.
    pub quality: Quality,
}

/// Why a file of records was not read.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

const IMAGE_TOKEN: &str = "<image>\n";
const PROMPT_END: &str = " in the video. ";

impl Record {
    /// Length of the clip, seconds.
    pub fn duration_s(&self) -> f64 {
        self.timestamps.last().copied().unwrap_or(0.0) - self.timestamps.first().copied().unwrap_or(0.0)
    }

    /// The prompt with the question as a model is to be asked, without the token that stands for the pictures.
    pub fn prompt(&self) -> &str {
        let value = self.conversations.first().map_or("", |turn| turn.value.as_str());
        value.strip_prefix(IMAGE_TOKEN).unwrap_or(value)
    }

    /// The question without the common prompt.
    pub fn question(&self) -> &str {
        let prompt = self.prompt();
        prompt.split_once(PROMPT_END).map_or(prompt, |(_, question)| question)
    }

    /// Colours of the marked objects.
    pub fn colors(&self) -> Vec<&str> {
        self.objects.iter().map(|object| object.color.as_str()).collect()
    }

    /// What does not fit together, if anything.
    fn problem(&self) -> Option<String> {
        if self.objects.len() < self.task.subjects() {
            return Some(format!(
                "{} needs {} objects, found {}",
                self.task.code(),
                self.task.subjects(),
                self.objects.len()
            ));
        }
        let fits = matches!(
            (self.task, &self.answer),
            (Task::TraveledDistance, Label::DistanceM(_))
                | (Task::TravelingSpeed, Label::SpeedKmh(_))
                | (Task::MovementDirection, Label::ClockHour(1..=12))
                | (Task::DirectionTimestamp, Label::TimeRangeS(..))
                | (
                    Task::TraveledDistanceComparison | Task::TravelingSpeedComparison,
                    Label::Object(_)
                )
                | (Task::MovementDirectionComparison, Label::YesNo(_))
        );
        if !fits {
            return Some(format!("{:?} is no answer to {}", self.answer, self.task.code()));
        }
        if let Label::Object(color) = &self.answer
            && !self.objects.iter().any(|object| object.color == *color)
        {
            return Some(format!("the answer `{color}` is none of the objects' colours"));
        }
        (self.conversations.len() < 2).then(|| "expected a question and an answer in `conversations`".to_owned())
    }
}

/// The common prompt that stands before every question.
pub fn common_prompt(timestamps: &[f64], colors: &[&str]) -> String {
    let duration_s = timestamps.last().copied().unwrap_or(0.0) - timestamps.first().copied().unwrap_or(0.0);
    let times: Vec<String> = timestamps.iter().map(|time_s| format!("{time_s:.2}s")).collect();
    let (are, objects, boxes) = match colors.len() {
        1 => ("is", "object", "box"),
        _ => ("are", "objects", "boxes"),
    };
    format!(
        "The video lasts for {duration_s:.2} seconds, and {} frames are uniformly sampled from it. These frames are located \
         at {}. There {are} {} {objects} annotated with {} bounding {boxes} in the video.",
        timestamps.len(),
        times.join(","),
        colors.len(),
        joined(colors)
    )
}

/// `red`, `red and blue`, `red, blue and green`.
fn joined(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        words => words.concat(),
    }
}

/// The two turns of a record.
pub fn conversation(timestamps: &[f64], colors: &[&str], question: &str, answer: &str) -> Vec<Turn> {
    let turn = |from: &str, value: String| Turn {
        from: from.to_owned(),
        value,
    };
    vec![
        turn(
            "human",
            format!("{IMAGE_TOKEN}{} {question}", common_prompt(timestamps, colors)),
        ),
        turn("gpt", answer.to_owned()),
    ]
}

/// Reads records line by line.
pub fn read_records(path: &Path) -> Result<impl Iterator<Item = Result<Record, RecordError>>, RecordError> {
    let read = |source| RecordError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(read)?;
    let path = path.to_owned();
    let lines = std::io::BufReader::with_capacity(1 << 20, file).lines().enumerate();
    Ok(lines.filter_map(move |(index, line)| {
        let bad = |message: String| {
            Some(Err(RecordError::Line {
                path: path.clone(),
                line: index + 1,
                message,
            }))
        };
        let line = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => line,
            Err(error) => return bad(error.to_string()),
        };
        match serde_json::from_str::<Record>(&line) {
            Ok(record) => match record.problem() {
                None => Some(Ok(record)),
                Some(problem) => bad(problem),
            },
            Err(error) => bad(format!("not a record: {error}")),
        }
    }))
}

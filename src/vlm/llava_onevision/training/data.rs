//! Data sets of conversations about pictures: STKit records, whose boxes are drawn in, and LLaVA-style ones.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use image::RgbImage;
use serde_json::Value;

use super::config::DataSettings;
use super::error::TuneError;
use crate::stkit::Record;
use crate::vlm::llava_onevision::chat::{Role, Turn};
use crate::vlm::llava_onevision::{Picture, Rgb};
use crate::vlm::pictures::{marked_picture, read_picture};

/// Stand for pictures in the conversations' texts.
const PLACEHOLDERS: [&str; 2] = ["<image>", "<video>"];

/// A file of samples, read one at a time: only where each begins is kept in memory, unless it is one JSON list.
#[derive(Debug)]
pub struct DataSet {
    settings: DataSettings,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Start and length of each line that holds something, and its number.
    Lines(Mutex<File>, Vec<(u64, usize, usize)>),
    List(Vec<Value>),
}

/// One conversation with its pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The frames of its video; empty without one.
    pub frames: Vec<Rgb>,
    /// Its single images.
    pub images: Vec<Rgb>,
    /// What is said.
    pub turns: Vec<Turn>,
}

impl DataSet {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or is a JSON list that is none.
    pub fn open(settings: &DataSettings) -> Result<Self, TuneError> {
        let path = &settings.path;
        let failed = |error: std::io::Error| TuneError::file(path, error);
        let file = File::open(path).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let first = reader.fill_buf().map_err(failed)?;
        let is_list = first.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let source = if is_list {
            Source::List(serde_json::from_reader(reader).map_err(|error| TuneError::file(path, error))?)
        } else {
            let (mut lines, mut start, mut number) = (Vec::new(), 0_u64, 0);
            let mut line = Vec::new();
            loop {
                line.clear();
                let length = reader.read_until(b'\n', &mut line).map_err(failed)?;
                if length == 0 {
                    break;
                }
                number += 1;
                if !line.iter().all(u8::is_ascii_whitespace) {
                    lines.push((start, length, number));
                }
                start += length as u64;
            }
            Source::Lines(Mutex::new(reader.into_inner()), lines)
        };
        Ok(Self {
            settings: settings.clone(),
            source,
        })
    }

    /// How many samples it has.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Lines(_, lines) => lines.len(),
            Source::List(list) => list.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A sample with at most `frames` frames of its video.
    ///
    /// # Errors
    /// It is not what it should be, or a picture cannot be read.
    pub fn sample(&self, index: usize, frames: usize) -> Result<Sample, TuneError> {
        let (value, line) = self.value(index)?;
        let read = if value.get("task").is_some() && value.get("objects").is_some() {
            record(value, &self.settings.root, frames)
        } else {
            conversation(&value, &self.settings.root, frames)
        };
        read.map_err(|problem| match problem {
            Problem::Wrong(message) => TuneError::Sample {
                path: self.settings.path.clone(),
                line,
                message,
            },
            Problem::Other(error) => error,
        })
    }

    fn value(&self, index: usize) -> Result<(Value, usize), TuneError> {
        let path = &self.settings.path;
        let missing = || TuneError::file(path, format!("no sample {index}"));
        match &self.source {
            Source::List(list) => Ok((list.get(index).ok_or_else(missing)?.clone(), index + 1)),
            Source::Lines(file, lines) => {
                let &(start, length, line) = lines.get(index).ok_or_else(missing)?;
                let mut text = vec![0; length];
                let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                file.seek(SeekFrom::Start(start))
                    .and_then(|_| file.read_exact(&mut text))
                    .map_err(|error| TuneError::file(path, error))?;
                let value = serde_json::from_slice(&text).map_err(|error| TuneError::Sample {
                    path: path.clone(),
                    line,
                    message: error.to_string(),
                })?;
                Ok((value, line))
            }
        }
    }
}

enum Problem {
    Wrong(String),
    Other(TuneError),
}

impl<E: Into<TuneError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// At most `most` of `count` indices, spread evenly, the first and the last among them.
fn spread(count: usize, most: usize) -> Vec<usize> {
    match count.min(most) {
        0 => Vec::new(),
        1 => vec![0],
        kept => (0..kept)
            .map(|index| (index * (count - 1) + (kept - 1) / 2) / (kept - 1))
            .collect(),
    }
}

/// An STKit record's frames with its boxes, as the model is shown them.
pub(super) fn record_frames(record: &Record, root: &Path, most: usize) -> Result<Vec<Rgb>, TuneError> {
    let frames = record.frames.as_deref().unwrap_or_default();
    let shown = spread(frames.len().min(record.timestamps.len()), most);
    shown
        .into_iter()
        .map(|index| {
            rgb(marked_picture(
                &root.join(&frames[index]),
                record,
                record.timestamps[index],
            )?)
        })
        .collect()
}

fn rgb(picture: RgbImage) -> Result<Rgb, TuneError> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Ok(Rgb::new(height, width, picture.into_raw())?)
}

fn record(value: Value, root: &Path, most: usize) -> Result<Sample, Problem> {
    let record: Record =
        serde_json::from_value(value).map_err(|error| Problem::Wrong(format!("no STKit record: {error}")))?;
    if record.frames.as_ref().is_none_or(Vec::is_empty) {
        return Err(Problem::Wrong("expected pictures in `frames`, found none".to_owned()));
    }
    let turns = turns(
        record
            .conversations
            .iter()
            .map(|turn| (turn.from.as_str(), turn.value.as_str())),
        vec![Picture::Video(0)],
    )?;
    Ok(Sample {
        frames: record_frames(&record, root, most)?,
        images: Vec::new(),
        turns,
    })
}

fn conversation(value: &Value, root: &Path, most: usize) -> Result<Sample, Problem> {
    let said = value
        .get("conversations")
        .and_then(Value::as_array)
        .ok_or_else(|| Problem::Wrong("expected a list `conversations`, found none".to_owned()))?;
    let said: Option<Vec<(&str, &str)>> = said
        .iter()
        .map(|turn| Some((turn.get("from")?.as_str()?, turn.get("value")?.as_str()?)))
        .collect();
    let said = said.ok_or_else(|| Problem::Wrong("expected `from` and `value` in every turn".to_owned()))?;
    if value.get("video").is_some_and(|video| !video.is_null()) && value.get("frames").is_none() {
        return Err(Problem::Wrong(
            "video files are not decoded here: expected the pictures of `video` in `frames`".to_owned(),
        ));
    }
    let files = |key: &str| -> Result<Vec<PathBuf>, Problem> {
        let wrong = || Problem::Wrong(format!("`{key}` should be a file or a list of files"));
        match value.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(file)) => Ok(vec![root.join(file)]),
            Some(Value::Array(list)) => list
                .iter()
                .map(|file| Ok(root.join(file.as_str().ok_or_else(wrong)?)))
                .collect(),
            Some(_) => Err(wrong()),
        }
    };
    let (images, frames) = (files("image")?, files("frames")?);
    let frames: Vec<&PathBuf> = spread(frames.len(), most)
        .into_iter()
        .map(|index| &frames[index])
        .collect();
    let mut pictures: Vec<Picture> = (0..images.len()).map(Picture::Image).collect();
    if !frames.is_empty() {
        pictures.push(Picture::Video(0));
    }
    let turns = turns(said.into_iter(), pictures)?;
    let read = |path: &PathBuf| -> Result<Rgb, TuneError> { rgb(read_picture(path)?) };
    Ok(Sample {
        frames: frames.into_iter().map(read).collect::<Result<_, _>>()?,
        images: images.iter().map(read).collect::<Result<_, _>>()?,
        turns,
    })
}

/// The turns, with all pictures before the first question and nothing standing for them in the texts.
fn turns<'a>(said: impl Iterator<Item = (&'a str, &'a str)>, mut pictures: Vec<Picture>) -> Result<Vec<Turn>, Problem> {
    let mut turns = Vec::new();
    for (from, value) in said {
        let role = match from {
            "human" | "user" => Role::User,
            "gpt" | "assistant" => Role::Assistant,
            "system" => continue,
            other => return Err(Problem::Wrong(format!("`from` should be human or gpt, found {other}"))),
        };
        let mut text = value.to_owned();
        for placeholder in PLACEHOLDERS {
            text = text.replace(&format!("{placeholder}\n"), "").replace(placeholder, "");
        }
        turns.push(Turn {
            role,
            pictures: match role {
                Role::User => std::mem::take(&mut pictures),
                Role::Assistant => Vec::new(),
            },
            text: text.trim().to_owned(),
        });
    }
    if !turns
        .iter()
        .any(|turn| turn.role == Role::Assistant && !turn.text.is_empty())
    {
        return Err(Problem::Wrong("expected a turn from gpt, found none".to_owned()));
    }
    if !pictures.is_empty() {
        return Err(Problem::Wrong(
            "expected a turn from human for the pictures, found none".to_owned(),
        ));
    }
    Ok(turns)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(name: &str, text: &str) -> (tempfile::TempDir, DataSet) {
        let folder = tempfile::tempdir().unwrap();
        RgbImage::new(12, 8).save(folder.path().join("a.png")).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let settings = DataSettings {
            path,
            root: folder.path().to_owned(),
            share: 1.0,
        };
        let set = DataSet::open(&settings).unwrap();
        (folder, set)
    }

    const TALK: &str =
        r#""conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A car."}]"#;

    #[test]
    fn lines_and_lists_hold_the_same() {
        let one = format!("{{\"image\": \"a.png\", {TALK}}}");
        let two = format!("{{\"frames\": [\"a.png\", \"a.png\", \"a.png\"], {TALK}}}");
        let (_folder, lines) = set("a.jsonl", &format!("{one}\n\n  \n{two}"));
        let (_other, list) = set("a.json", &format!(" [{one},\n{two}]"));
        assert_eq!((lines.len(), list.len()), (2, 2));
        for index in 0..2 {
            assert_eq!(lines.sample(index, 2).unwrap(), list.sample(index, 2).unwrap());
        }
        let sample = lines.sample(0, 8).unwrap();
        assert_eq!((sample.images.len(), sample.frames.len()), (1, 0));
        assert_eq!(sample.turns[0], Turn::question(vec![Picture::Image(0)], "What is it?"));
        let sample = lines.sample(1, 2).unwrap();
        assert_eq!((sample.images.len(), sample.frames.len()), (0, 2));
        assert_eq!(sample.turns[0].pictures, [Picture::Video(0)]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let bad = [
            ("{", "EOF"),
            ("{\"image\": \"a.png\"}", "`conversations`"),
            (
                "{\"image\": 3, \"conversations\": [{\"from\": \"human\", \"value\": \"x\"}]}",
                "`image` should be",
            ),
            (
                "{\"conversations\": [{\"from\": \"robot\", \"value\": \"x\"}]}",
                "found robot",
            ),
            (
                "{\"conversations\": [{\"from\": \"human\", \"value\": \"x\"}]}",
                "from gpt",
            ),
            ("{\"video\": \"a.mp4\", \"conversations\": []}", "not decoded here"),
            ("{\"task\": \"TD\", \"objects\": []}", "no STKit record"),
        ];
        let text: Vec<&str> = bad.iter().map(|(line, _)| *line).collect();
        let (_folder, set) = set("bad.jsonl", &text.join("\n"));
        for (index, (_, part)) in bad.iter().enumerate() {
            let error = set.sample(index, 8).unwrap_err().to_string();
            assert!(
                error.contains(&format!("bad.jsonl:{}: ", index + 1)) && error.contains(part),
                "{error}"
            );
        }
    }

    #[test]
    fn frames_spread_over_the_video() {
        assert_eq!(spread(41, 8), [0, 6, 11, 17, 23, 29, 34, 40]);
        assert_eq!((spread(3, 8), spread(5, 1)), (vec![0, 1, 2], vec![0]));
    }
}

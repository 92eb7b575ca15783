//! Files of the MOT Challenge: one line a box, `frame, identity, x, y, width, height, confidence, class or x, …`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// One box of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Frame number, from 1.
    pub frame: u32,
    /// Identity; −1 in files of detections.
    pub id: i64,
    /// Left edge in pixels.
    pub x: f64,
    /// Top edge in pixels.
    pub y: f64,
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// Confidence; in truth 0 means "leave out". 1 where the line has none.
    pub confidence: f64,
    /// Class in files that have one (see [`TruthFormat`]), else −1.
    pub class: i64,
}

/// Whether truth names classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruthFormat {
    /// MOT15: everything is a pedestrian.
    NoClasses,
    /// MOT16, 17, 20: class 1 is a pedestrian; a result that matches one of `distractors` does not count.
    Classes {
        /// Class numbers that are neither required nor punished.
        distractors: &'static [i64],
    },
}

/// A person on a vehicle, a static person, a distractor, a reflection.
pub const MOT16_DISTRACTORS: &[i64] = &[2, 7, 8, 12];
/// In MOT20 also vehicles of other kinds.
pub const MOT20_DISTRACTORS: &[i64] = &[2, 6, 7, 8, 12];

/// Why files could not be used.
#[derive(Debug, Error)]
pub enum MotError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is not what was expected.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What was expected and found.
        message: String,
    },
    /// A folder has no sequences.
    #[error("{}: expected folders <sequence>/{file}, found none", path.display())]
    NoSequences {
        /// The folder.
        path: PathBuf,
        /// The file each sequence should have.
        file: &'static str,
    },
    /// Some sequences have no file.
    #[error("{}: no {file} for {}", path.display(), names.join(", "))]
    MissingSequences {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        file: &'static str,
        /// The sequences without it.
        names: Vec<String>,
    },
}

/// What `seqinfo.ini` says, where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SequenceInfo {
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Number of frames.
    pub length: Option<u32>,
}

/// The file `name.txt` of a sequence: `<dir>/<sequence>/name.txt`, or as the MOT Challenge lays it out,
/// `<dir>/<sequence>/name/name.txt`.
pub fn sequence_file(dir: &Path, sequence: &str, name: &str) -> Option<PathBuf> {
    let folder = dir.join(sequence);
    let file = format!("{name}.txt");
    [folder.join(&file), folder.join(name).join(&file)]
        .into_iter()
        .find(|path| path.is_file())
}

/// Where the result of a sequence is: `<dir>/<sequence>/result.txt`, else `<dir>/<sequence>.txt`.
pub fn result_file(dir: &Path, sequence: &str) -> Option<PathBuf> {
    [
        dir.join(sequence).join("result.txt"),
        dir.join(format!("{sequence}.txt")),
    ]
    .into_iter()
    .find(|path| path.is_file())
}

/// Names of the sequences under `dir` that have truth, sorted.
pub fn sequences(dir: &Path) -> Result<Vec<String>, MotError> {
    let failed = |source| MotError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if sequence_file(dir, &name, "gt").is_some() {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(MotError::NoSequences {
            path: dir.to_owned(),
            file: "gt.txt",
        });
    }
    names.sort();
    Ok(names)
}

/// Reads `<dir>/<sequence>/seqinfo.ini`; empty where there is none.
pub fn sequence_info(dir: &Path, sequence: &str) -> Result<SequenceInfo, MotError> {
    let path = dir.join(sequence).join("seqinfo.ini");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(SequenceInfo::default()),
        Err(source) => return Err(MotError::Read { path, source }),
    };
    let mut info = SequenceInfo::default();
    for (number, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let refused = |expected: &str| MotError::Line {
            path: path.clone(),
            line: number + 1,
            message: format!("{}: expected {expected}, found {:?}", key.trim(), value.trim()),
        };
        match key.trim().to_lowercase().as_str() {
            "framerate" => {
                let rate: Option<f64> = value.trim().parse().ok().filter(|rate| (1e-3..=1e4).contains(rate));
                info.frame_rate = Some(rate.ok_or_else(|| refused("frames per second"))?);
            }
            "seqlength" => {
                info.length = Some(value.trim().parse().map_err(|_| refused("a number of frames"))?);
            }
            _ => {}
        }
    }
    Ok(info)
}

/// Most frames a sequence may have, so that a typo does not fill the memory (55 hours at 50 frames per second).
const MAX_FRAME: f64 = 1e7;

/// Reads a file of boxes. Values are separated by commas or spaces; empty lines are skipped.
pub fn read(path: &Path) -> Result<Vec<Row>, MotError> {
    let text = std::fs::read_to_string(path).map_err(|source| MotError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, path)
}

/// Parses a file of boxes; `path` names it in errors.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Row>, MotError> {
    let mut rows = Vec::new();
    let mut values: Vec<f64> = Vec::new();
    let mut all_have_class = true;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_end_matches(',');
        if line.is_empty() {
            continue;
        }
        let refused = |message: String| MotError::Line {
            path: path.to_owned(),
            line: number + 1,
            message,
        };
        values.clear();
        let fields: Box<dyn Iterator<Item = &str>> = if line.contains(',') {
            Box::new(line.split(',').map(str::trim))
        } else {
            Box::new(line.split_whitespace())
        };
        for (index, field) in fields.enumerate() {
            let value: Option<f64> = field.parse().ok().filter(|value: &f64| value.is_finite());
            values.push(
                value.ok_or_else(|| refused(format!("value {}: expected a number, found {field:?}", index + 1)))?,
            );
        }
        let [frame, id, x, y, width, height, ref rest @ ..] = values[..] else {
            return Err(refused(format!(
                "expected frame, identity, x, y, width, height, found {} values",
                values.len()
            )));
        };
        if frame.fract() != 0.0 || !(1.0..=MAX_FRAME).contains(&frame) {
            return Err(refused(format!("frame: expected a whole number from 1, found {frame}")));
        }
        if id.fract() != 0.0 || id.abs() > 1e15 {
            return Err(refused(format!("identity: expected a whole number, found {id}")));
        }
        // MOT16/17/20 truth ends with class and visibility; MOT15 has three world coordinates there.
        let class = rest.get(1).copied().unwrap_or(-1.0);
        all_have_class &= matches!(rest.len(), 2 | 3) && class.fract() == 0.0 && (1.0..=13.0).contains(&class);
        rows.push(Row {
            frame: frame as u32,
            id: id as i64,
            x,
            y,
            width,
            height,
            confidence: rest.first().copied().unwrap_or(1.0),
            class: class as i64,
        });
    }
    if !all_have_class {
        rows.iter_mut().for_each(|row| row.class = -1);
    }
    Ok(rows)
}

/// Reads truth or results: as [`read`], and an identity may be in a frame only once.
pub fn read_identities(path: &Path) -> Result<Vec<Row>, MotError> {
    let rows = read(path)?;
    let mut seen = HashSet::new();
    if let Some(row) = rows.iter().find(|row| !seen.insert((row.frame, row.id))) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        return Err(MotError::Line {
            path: path.to_owned(),
            line: second_line_with(&text, row.frame, row.id),
            message: format!("identity {} is in frame {} already", row.id, row.frame),
        });
    }
    Ok(rows)
}

/// The line, from 1, where a pair of frame and identity comes for the second time.
fn second_line_with(text: &str, frame: u32, id: i64) -> usize {
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let mut fields = line.split([',', ' ', '\t']).filter(|field| !field.is_empty());
        let mut next = || fields.next().and_then(|field| field.parse::<f64>().ok());
        next() == Some(f64::from(frame)) && next() == Some(id as f64)
    });
    lines.map(|(number, _)| number + 1).nth(1).unwrap_or(1)
}

/// Whether truth names classes, and which of them are distractors in that challenge.
pub fn truth_format(truth: &[Row], sequence: &str) -> TruthFormat {
    if truth.is_empty() || truth.iter().any(|row| row.class < 1) {
        return TruthFormat::NoClasses;
    }
    TruthFormat::Classes {
        distractors: if sequence.to_uppercase().starts_with("MOT20") {
            MOT20_DISTRACTORS
        } else {
            MOT16_DISTRACTORS
        },
    }
}

/// Rows by frame number.
pub fn by_frame(rows: &[Row]) -> HashMap<u32, Vec<Row>> {
    let mut frames: HashMap<u32, Vec<Row>> = HashMap::new();
    for row in rows {
        frames.entry(row.frame).or_default().push(*row);
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Row>, MotError> {
        parse(text, Path::new("gt.txt"))
    }

    #[test]
    fn fields_and_separators() {
        let row = parsed("1,2,3.5,4,5,6,0.5,-1,-1,-1\n\n").unwrap()[0];
        assert_eq!(row, parsed("1 2 3.5 4 5 6 0.5\n").unwrap()[0]);
        assert_eq!(
            (row.frame, row.id, row.x, row.confidence, row.class),
            (1, 2, 3.5, 0.5, -1)
        );
    }

    #[test]
    fn classes_need_nine_columns() {
        let mot17 = parsed("1,2,3,4,5,6,1,7,0.8\n").unwrap();
        assert_eq!(mot17[0].class, 7);
        assert_ne!(truth_format(&mot17, "MOT17-02"), TruthFormat::NoClasses);
        let mot15 = parsed("1,2,3,4,5,6,1,4,5,0\n").unwrap();
        assert_eq!(truth_format(&mot15, "TUD"), TruthFormat::NoClasses);
    }

    #[test]
    fn malformed_lines_name_file_and_line() {
        let message = |text| parsed(text).unwrap_err().to_string();
        assert_eq!(
            message("1,1,0,0,5,5\n1,a,0,0,5,5"),
            "gt.txt:2: value 2: expected a number, found \"a\""
        );
        assert_eq!(
            message("1,1,0,0"),
            "gt.txt:1: expected frame, identity, x, y, width, height, found 4 values"
        );
        assert_eq!(
            message("0,1,0,0,5,5"),
            "gt.txt:1: frame: expected a whole number from 1, found 0"
        );
        assert!(message("1,1,nan,0,5,5").starts_with("gt.txt:1: value 3"));
    }

    #[test]
    fn a_second_box_of_an_identity_names_its_line() {
        assert_eq!(second_line_with("1,1,0,0,5,5\n2,1,0,0,5,5\n1,1,9,9,5,5\n", 1, 1), 3);
    }
}

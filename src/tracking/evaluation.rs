//! Scores over folders of MOT Challenge files: results that somebody made, or our own tracker's on given detections.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::detection::{BoundingBox, ClassLabel, Detection};
use crate::frame::{FrameTime, NANOS_PER_SECOND};

use super::mot_challenge::{self, MotError, Row, SequenceInfo};
use super::scores::{Report, ScoredSequence, Scores};
use super::settings::TrackerSettings;
use super::track::TrackStatus;
use super::tracker::Tracker;

/// Frame rate of sequences that do not say theirs.
pub const DEFAULT_FRAME_RATE: f64 = 25.0;

/// Scores `<results>/<sequence>/result.txt` (or `<results>/<sequence>.txt`) against `<truth>/<sequence>/gt.txt`.
pub fn score_results(truth: &Path, results: &Path) -> Result<Report, MotError> {
    let names = mot_challenge::sequences(truth)?;
    let files: Vec<_> = names
        .iter()
        .map(|name| (name, mot_challenge::result_file(results, name)))
        .collect();
    let missing: Vec<String> = files
        .iter()
        .filter(|(_, file)| file.is_none())
        .map(|(name, _)| (*name).clone())
        .collect();
    if !missing.is_empty() {
        return Err(MotError::MissingSequences {
            path: results.to_owned(),
            file: "result.txt",
            names: missing,
        });
    }
    let mut scored = Vec::new();
    for (name, file) in files {
        let Some(file) = file else { continue };
        let result = mot_challenge::read_identities(&file)?;
        scored.push((name.clone(), score(truth, name, &result)?, None));
    }
    Ok(report(scored))
}

/// Runs the tracker over `<dir>/<sequence>/det.txt` at the frame rate of `seqinfo.ini` (25 where it says none), and
/// scores what it saw against `gt.txt`. The time counted is that of [`Tracker::update`] alone.
pub fn score_tracker(dir: &Path, settings: &TrackerSettings) -> Result<Report, MotError> {
    let names = mot_challenge::sequences(dir)?;
    let has_detections = |name: &&String| mot_challenge::sequence_file(dir, name, "det").is_some();
    let missing: Vec<String> = names.iter().filter(|name| !has_detections(name)).cloned().collect();
    if !missing.is_empty() {
        return Err(MotError::MissingSequences {
            path: dir.to_owned(),
            file: "det.txt",
            names: missing,
        });
    }
    let mut scored = Vec::new();
    for name in &names {
        let Some(file) = mot_challenge::sequence_file(dir, name, "det") else {
            continue;
        };
        let info = mot_challenge::sequence_info(dir, name)?;
        let detections = mot_challenge::read(&file)?;
        let tracked = track(&detections, info, settings);
        let timing = Timing {
            frames: tracked.frames,
            spent: tracked.spent,
        };
        scored.push((name.clone(), score(dir, name, &tracked.rows)?, Some(timing)));
    }
    Ok(report(scored))
}

/// What the tracker made of a sequence.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// One row for each track seen in each frame.
    pub rows: Vec<Row>,
    /// Number of frames.
    pub frames: u32,
    /// Time spent in the tracker.
    pub spent: Duration,
}

/// Runs the tracker over the detections of one sequence.
///
/// Confidences of MOT Challenge detectors are not always probabilities. Where any lies outside 0 to 1, all detections
/// of the sequence count as sure.
pub fn track(detections: &[Row], info: SequenceInfo, settings: &TrackerSettings) -> Tracked {
    let frame_rate = info.frame_rate.unwrap_or(DEFAULT_FRAME_RATE);
    let last = detections.iter().map(|row| row.frame).max().unwrap_or(0);
    let frames = last.max(info.length.unwrap_or(0));
    let probabilities = detections.iter().all(|row| (0.0..=1.0).contains(&row.confidence));
    let class = ClassLabel::new("person");
    let by_frame = mot_challenge::by_frame(detections);

    let mut tracker = Tracker::new(settings.clone());
    let mut tracked = Tracked {
        rows: Vec::new(),
        frames,
        spent: Duration::ZERO,
    };
    let mut given: Vec<Detection> = Vec::new();
    for frame in 1..=frames {
        given.clear();
        given.extend(by_frame.get(&frame).into_iter().flatten().map(|row| Detection {
            bbox: BoundingBox::from_xywh(row.x as f32, row.y as f32, row.width as f32, row.height as f32),
            class,
            confidence: if probabilities { row.confidence as f32 } else { 1.0 },
            mask: None,
        }));
        let time = f64::from(frame - 1) / frame_rate;
        let time = FrameTime::from_pts_ns((time * NANOS_PER_SECOND).round() as u64);
        let start = Instant::now();
        let tracks = tracker.update(time, &given);
        tracked.spent += start.elapsed();
        let seen = tracks.iter().filter(|track| track.status == TrackStatus::Tracked);
        tracked.rows.extend(seen.map(|track| Row {
            frame,
            id: track.id as i64,
            x: f64::from(track.bbox.x0),
            y: f64::from(track.bbox.y0),
            width: f64::from(track.bbox.width()),
            height: f64::from(track.bbox.height()),
            confidence: f64::from(track.confidence),
            class: -1,
        }));
    }
    tracked
}

/// Scores one sequence's result.
fn score(dir: &Path, name: &str, result: &[Row]) -> Result<Scores, MotError> {
    let path = mot_challenge::sequence_file(dir, name, "gt").ok_or_else(|| MotError::MissingSequences {
        path: dir.to_owned(),
        file: "gt.txt",
        names: vec![name.to_owned()],
    })?;
    let truth = mot_challenge::read_identities(&path)?;
    let info = mot_challenge::sequence_info(dir, name)?;
    let format = mot_challenge::truth_format(&truth, name);
    let sequence = ScoredSequence::new(&truth, format, result, info.length.unwrap_or(0));
    Ok(Scores::of(&sequence))
}

#[derive(Clone, Copy)]
struct Timing {
    frames: u32,
    spent: Duration,
}

impl Timing {
    fn us_per_frame(self) -> f64 {
        self.spent.as_secs_f64() * 1e6 / f64::from(self.frames.max(1))
    }
}

fn report(scored: Vec<(String, Scores, Option<Timing>)>) -> Report {
    let mut combined = Scores::combined(scored.iter().map(|(_, scores, _)| scores)).summary();
    let timings: Option<Vec<Timing>> = scored.iter().map(|(_, _, timing)| *timing).collect();
    combined.us_per_frame = timings.map(|timings| {
        let total = Timing {
            frames: timings.iter().map(|timing| timing.frames).sum(),
            spent: timings.iter().map(|timing| timing.spent).sum(),
        };
        total.us_per_frame()
    });
    let sequences = scored
        .into_iter()
        .map(|(name, scores, timing)| {
            let mut summary = scores.summary();
            summary.us_per_frame = timing.map(Timing::us_per_frame);
            (name, summary)
        })
        .collect();
    Report { combined, sequences }
}

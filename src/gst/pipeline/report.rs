//! What a run is measured by: frames, rates, drops, latencies, memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::frame::CaptureClock;
use crate::gst::frame_clock::utc_now_ns;
use crate::results::FrameResults;

/// Ratio of neighbouring buckets' edges: percentiles are right to 2 %.
const BUCKET_RATIO: f64 = 1.02;
/// Lower edge of the first bucket, seconds.
const FIRST_BUCKET_S: f64 = 1e-6;
/// Buckets up to 1000 s.
const BUCKETS: usize = 1048;

/// A time from capture to publishing beyond this, seconds, is the difference of two clocks.
const PLAUSIBLE_LATENCY_S: f64 = 60.0;

/// Samples of memory kept; when full every second one goes and sampling slows down by two.
const MEMORY_SAMPLES: usize = 600;

/// Durations counted in buckets of equal ratio: any number of them in constant memory.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_s: f64,
    max_s: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            count: 0,
            sum_s: 0.0,
            max_s: 0.0,
        }
    }
}

impl Histogram {
    /// Counts a duration; negative ones count as zero.
    pub fn add(&mut self, seconds: f64) {
        if !seconds.is_finite() {
            return;
        }
        let seconds = seconds.max(0.0);
        let bucket = (seconds / FIRST_BUCKET_S).max(1.0).ln() / BUCKET_RATIO.ln();
        self.counts[(bucket as usize).min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.sum_s += seconds;
        self.max_s = self.max_s.max(seconds);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (own, others) in self.counts.iter_mut().zip(&other.counts) {
            *own += others;
        }
        self.count += other.count;
        self.sum_s += other.sum_s;
        self.max_s = self.max_s.max(other.max_s);
    }

    /// The duration in seconds that a share of all stay within; `None` when nothing was counted.
    pub fn percentile_s(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                // The middle of the bucket, never more than was seen.
                let middle = FIRST_BUCKET_S * BUCKET_RATIO.powf(bucket as f64 + 0.5);
                return Some(middle.min(self.max_s));
            }
        }
        None
    }

    /// Percentiles in milliseconds; `None` when nothing was counted.
    pub fn summary(&self) -> Option<Latency> {
        let milliseconds = |share| self.percentile_s(share).map(|seconds| seconds * 1e3);
        Some(Latency {
            count: self.count,
            mean_ms: self.sum_s / self.count.max(1) as f64 * 1e3,
            p50_ms: milliseconds(0.50)?,
            p95_ms: milliseconds(0.95)?,
            p99_ms: milliseconds(0.99)?,
            max_ms: self.max_s * 1e3,
        })
    }
}

/// Percentiles of durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Latency {
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// What is measured at the end of a camera's pipeline.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Measured>);

#[derive(Clone, Debug, Default)]
struct Measured {
    frames: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    total: Histogram,
    capture: Histogram,
    clock: CaptureClock,
    stages: BTreeMap<&'static str, Histogram>,
}

impl Meter {
    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame left the pipeline.
    pub fn frame(&self, results: &FrameResults) {
        let now = Instant::now();
        let since_capture = results
            .time
            .capture_utc_ns
            .and_then(|capture_ns| Some((utc_now_ns()? - capture_ns) as f64 * 1e-9))
            .filter(|seconds| (-0.1..PLAUSIBLE_LATENCY_S).contains(seconds));
        let mut measured = self.measured();
        measured.frames += 1;
        measured.first.get_or_insert(now);
        measured.last = Some(now);
        measured.clock = results.time.clock;
        measured
            .total
            .add(now.saturating_duration_since(results.entered_at).as_secs_f64());
        if let Some(seconds) = since_capture {
            measured.capture.add(seconds);
        }
        for (stage, seconds) in &results.stage_seconds {
            measured.stages.entry(stage.as_str()).or_default().add(*seconds);
        }
    }

    /// Frames so far, and their rate between the first and the last.
    pub fn rate(&self) -> (u64, f64) {
        let measured = self.measured();
        (measured.frames, measured.fps())
    }
}

impl Measured {
    fn span(&self) -> Duration {
        match (self.first, self.last) {
            (Some(first), Some(last)) => last - first,
            _ => Duration::ZERO,
        }
    }

    fn fps(&self) -> f64 {
        let span_s = self.span().as_secs_f64();
        if span_s > 0.0 {
            (self.frames - 1) as f64 / span_s
        } else {
            0.0
        }
    }
}

/// Counters that the elements of a camera's pipeline hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// What the source does, e.g. `playing`.
    pub state: String,
    /// Frames that gave way to newer ones at the source.
    pub source_dropped: u64,
    /// Frames that a stage could not read.
    pub stage_dropped: u64,
    /// Frames passed on with predictions only, because they were late.
    pub late: u64,
    /// Frames that the publisher dropped because the network was slower.
    pub publish_dropped: u64,
    /// Messages that zenoh dropped because a subscriber or router did not keep up.
    pub network_dropped: u64,
    /// Times that the source came back.
    pub reconnects: u64,
    /// Questions and answers.
    pub questions: QuestionCounts,
    /// What ended the camera, if it failed.
    pub error: Option<String>,
}

/// Questions posed to the stage that answers, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuestionCounts {
    /// Standing questions once a window, and asks.
    pub asked: u64,
    /// Answers given; a question about several objects has several.
    pub answered: u64,
    /// Questions that gave way to a newer window, and answers that nobody took.
    pub given_up: u64,
    /// Frames that a model should have seen, but did not.
    pub unseen: u64,
}

/// One camera's part of the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraReport {
    /// The camera.
    pub name: String,
    /// What its source did last.
    pub state: String,
    /// What ended it, if it failed.
    pub error: Option<String>,
    /// Frames that left the pipeline.
    pub frames: u64,
    /// Frames a second between the first and the last.
    pub fps: f64,
    /// All frames lost on the way, of any cause.
    pub drops: u64,
    /// Of these: gave way to newer ones at the source.
    pub source_drops: u64,
    /// Of these: could not be read.
    pub stage_drops: u64,
    /// Of these: left the pipeline but not this machine, because the network was slower.
    pub publish_drops: u64,
    /// Messages, not frames: zenoh dropped them because a subscriber or router did not keep up. Of the whole session, which
    /// cameras share.
    pub network_drops: u64,
    /// Frames with predicted results, because they were late.
    pub late: u64,
    /// Times that the source came back.
    pub reconnects: u64,
    /// Questions and answers.
    pub questions: QuestionCounts,
    /// Whose clock says when frames were captured: `reference` (the camera's), `pipeline`, or `none` (a file).
    pub capture_clock: &'static str,
    /// From capture to publishing, where the capture time is known.
    pub capture_to_publish: Option<Latency>,
    /// From the first stage to publishing.
    pub first_stage_to_publish: Option<Latency>,
    /// Time spent in each stage.
    pub stages: BTreeMap<&'static str, Latency>,
}

/// Memory of the process in bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryReport {
    /// When the run began.
    pub start: u64,
    /// Most at any time.
    pub max: u64,
    /// When the report was made.
    pub end: u64,
    /// Seconds since the start, and bytes then.
    pub samples: Vec<(f64, u64)>,
}

/// What a run measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How long the run took, seconds.
    pub duration_s: f64,
    /// Frames of all cameras.
    pub frames: u64,
    /// Frames a second of all cameras.
    pub fps: f64,
    /// Frames lost, of all cameras.
    pub drops: u64,
    /// Times that sources came back.
    pub reconnects: u64,
    /// From capture (where unknown, from the first stage) to publishing, over all cameras.
    pub capture_to_publish: Option<Latency>,
    /// Time spent in each stage, over all cameras.
    pub stages: BTreeMap<&'static str, Latency>,
    /// Resident memory of the process.
    pub rss_bytes: MemoryReport,
    /// Each camera by itself.
    pub cameras: Vec<CameraReport>,
}

impl Report {
    pub(super) fn new(duration: Duration, memory: &Memory, cameras: &[(&str, &Meter, Counters)]) -> Self {
        let mut capture = Histogram::default();
        let mut stages: BTreeMap<&'static str, Histogram> = BTreeMap::new();
        let mut reports = Vec::with_capacity(cameras.len());
        for (name, meter, counters) in cameras {
            let measured = meter.measured().clone();
            let known = measured.capture.count > 0;
            capture.merge(if known { &measured.capture } else { &measured.total });
            for (stage, histogram) in &measured.stages {
                stages.entry(stage).or_default().merge(histogram);
            }
            reports.push(camera_report(name, &measured, counters));
        }
        Self {
            duration_s: duration.as_secs_f64(),
            frames: reports.iter().map(|camera| camera.frames).sum(),
            fps: reports.iter().map(|camera| camera.fps).sum(),
            drops: reports.iter().map(|camera| camera.drops).sum(),
            reconnects: reports.iter().map(|camera| camera.reconnects).sum(),
            capture_to_publish: capture.summary(),
            stages: summaries(&stages),
            rss_bytes: memory.report(),
            cameras: reports,
        }
    }
}

fn summaries(stages: &BTreeMap<&'static str, Histogram>) -> BTreeMap<&'static str, Latency> {
    stages
        .iter()
        .filter_map(|(stage, histogram)| Some((*stage, histogram.summary()?)))
        .collect()
}

fn camera_report(name: &str, measured: &Measured, counters: &Counters) -> CameraReport {
    CameraReport {
        name: name.to_owned(),
        state: counters.state.clone(),
        error: counters.error.clone(),
        frames: measured.frames,
        fps: measured.fps(),
        drops: counters.source_dropped + counters.stage_dropped + counters.publish_dropped,
        source_drops: counters.source_dropped,
        stage_drops: counters.stage_dropped,
        publish_drops: counters.publish_dropped,
        network_drops: counters.network_dropped,
        late: counters.late,
        reconnects: counters.reconnects,
        questions: counters.questions,
        capture_clock: match measured.clock {
            CaptureClock::Reference => "reference",
            CaptureClock::Pipeline => "pipeline",
            CaptureClock::None => "none",
        },
        capture_to_publish: measured.capture.summary(),
        first_stage_to_publish: measured.total.summary(),
        stages: summaries(&measured.stages),
    }
}

/// Resident memory of this process over time.
#[derive(Debug)]
pub(super) struct Memory {
    born: Instant,
    sampled: Mutex<Sampled>,
}

#[derive(Debug)]
struct Sampled {
    samples: Vec<(f64, u64)>,
    max: u64,
    step_s: f64,
}

impl Memory {
    pub fn start() -> Self {
        let memory = Self {
            born: Instant::now(),
            sampled: Mutex::new(Sampled {
                samples: Vec::new(),
                max: 0,
                step_s: 1.0,
            }),
        };
        memory.sample();
        memory
    }

    /// Takes a sample when one is due.
    pub fn sample(&self) {
        let now_s = self.born.elapsed().as_secs_f64();
        let mut sampled = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        if sampled
            .samples
            .last()
            .is_some_and(|(at_s, _)| now_s - at_s < sampled.step_s)
        {
            return;
        }
        let bytes = resident_bytes();
        sampled.max = sampled.max.max(bytes);
        sampled.samples.push((now_s, bytes));
        if sampled.samples.len() >= MEMORY_SAMPLES {
            let mut keep = false;
            sampled.samples.retain(|_| {
                keep = !keep;
                keep
            });
            sampled.step_s *= 2.0;
        }
    }

    fn report(&self) -> MemoryReport {
        let sampled = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        let end = resident_bytes();
        MemoryReport {
            start: sampled.samples.first().map_or(end, |(_, bytes)| *bytes),
            max: sampled.max.max(end),
            end,
            samples: sampled.samples.clone(),
        }
    }
}

/// Resident memory of this process in bytes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn percentiles_are_right_to_two_percent() {
        let mut histogram = Histogram::default();
        for k in 1..=10_000 {
            histogram.add(f64::from(k) * 1e-5);
        }
        for share in [0.5, 0.95, 0.99] {
            let found = histogram.percentile_s(share).unwrap();
            assert!((found / (share * 0.1) - 1.0).abs() < 0.02, "{share}: {found}");
        }
        assert_eq!(histogram.percentile_s(1.0).map(|s| s <= 0.1), Some(true));
    }

    #[test]
    fn nothing_counted_is_no_latency() {
        assert_eq!(Histogram::default().summary(), None);
        let mut histogram = Histogram::default();
        histogram.add(f64::NAN);
        histogram.add(f64::INFINITY);
        assert_eq!(histogram.summary(), None);
        histogram.add(-1.0);
        histogram.add(1e9);
        assert_eq!(histogram.summary().unwrap().count, 2);
    }

    #[test]
    fn merged_histograms_count_as_one() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        (1..=50).for_each(|k| a.add(f64::from(k)));
        (51..=100).for_each(|k| b.add(f64::from(k)));
        a.merge(&b);
        let median = a.percentile_s(0.5).unwrap();
        assert!((49.0..52.0).contains(&median), "{median}");
    }

    #[test]
    fn this_process_has_memory() {
        let memory = Memory::start();
        let report = memory.report();
        assert!(report.start > 1_000_000 && report.max >= report.start);
    }
}

//! What `status` and `metrics` tell: state, frame rate, latencies, drops, models and health of one camera.
//!
//! The frame path only adds to atomic counters; everything else is noted by the publisher's own threads.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::proto;
use crate::frame::{CaptureClock, FrameTime};
use crate::reconstruction::PoseSource;
use crate::results::FrameResults;

/// Span over which the frame rate is counted.
const FPS_SPAN: Duration = Duration::from_secs(5);

/// Frames over which latencies are summed up.
const LATENCY_FRAMES: usize = 512;

/// Without a frame for this long a camera is stalled, unless its frames come more slowly anyway.
const STALL_AFTER: Duration = Duration::from_secs(1);

/// However slow a camera is, without a frame for this long it is stalled.
const STALL_AFTER_AT_MOST: Duration = Duration::from_secs(10);

/// How many intervals between frames tell the usual one.
const STALL_INTERVALS: usize = 5;

/// Frames this soon after the source was lost were still in the pipeline's queues.
const IN_FLIGHT: Duration = Duration::from_millis(500);

/// A time from capture to the network beyond this, seconds, is the difference of two clocks.
const PLAUSIBLE_LATENCY_S: f64 = 60.0;

/// A metric scale that is this uncertain (standard deviation of its logarithm) is degraded …
const SCALE_DEGRADED: f64 = 0.1;

/// … or lost.
const SCALE_LOST: f64 = 0.5;

/// Visual odometry with fewer agreeing features than this share is degraded.
const POSE_DEGRADED: f64 = 0.5;

/// A depth network this uncertain (relative standard deviation) is degraded.
const DEPTH_DEGRADED: f32 = 0.25;

/// What the source says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceReport {
    /// What it does.
    pub state: proto::EngineState,
    /// Attempts to connect since frames last came.
    pub attempts: u32,
    /// Times that frames came back.
    pub reconnects: u64,
    /// Frames dropped by the source since the start.
    pub dropped: u64,
    /// Why, in words.
    pub message: String,
}

/// Counts and measures one camera.
#[derive(Debug)]
pub struct Monitor {
    started: Instant,
    frames: AtomicU64,
    last_frame_ns: AtomicU64,
    published: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Option<(SourceReport, Instant)>,
    state: proto::EngineState,
    state_since: Instant,
    fps_ticks: VecDeque<(Instant, u64)>,
    intervals: VecDeque<Duration>,
    latencies: Vec<(&'static str, Window)>,
    models: Vec<proto::Model>,
    answering: Option<proto::Answering>,
    newest: Option<Newest>,
}

/// What the newest frame says, kept so that the frame itself need not be.
#[derive(Clone, Debug)]
struct Newest {
    time: FrameTime,
    depth: proto::HealthLevel,
    pose: proto::HealthLevel,
    scale: proto::HealthLevel,
    log_scale_sigma: Option<f64>,
    log_scale_drift: Option<f64>,
    scale_disagreement: Option<f64>,
    focal_px: Option<f64>,
    focal_sigma: Option<f64>,
    inlier_ratio: Option<f64>,
    objects: u32,
    objects_reliable: u32,
}

/// The last durations of one kind, seconds.
#[derive(Debug, Default)]
struct Window {
    values: VecDeque<f64>,
    sum: f64,
    count: u64,
}

impl Window {
    fn push(&mut self, seconds: f64) {
        if !seconds.is_finite() {
            return;
        }
        if self.values.len() == LATENCY_FRAMES {
            self.values.pop_front();
        }
        self.values.push_back(seconds);
        self.sum += seconds;
        self.count += 1;
    }

    fn summary(&self, name: &str) -> Option<proto::Latency> {
        let mut sorted: Vec<f64> = self.values.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        // Nearest rank: a value that was measured, never an interpolated one.
        let rank = |share: f64| sorted[((share * sorted.len() as f64).ceil() as usize).clamp(1, last + 1) - 1];
        Some(proto::Latency {
            name: name.to_owned(),
            p50_s: rank(0.50),
            p95_s: rank(0.95),
            p99_s: rank(0.99),
            max_s: sorted[last],
            samples: sorted.len() as u32,
        })
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    /// Nothing seen yet.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            frames: AtomicU64::new(0),
            last_frame_ns: AtomicU64::new(0),
            published: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                source: None,
                state: proto::EngineState::Connecting,
                state_since: now,
                fps_ticks: VecDeque::new(),
                intervals: VecDeque::with_capacity(STALL_INTERVALS),
                latencies: Vec::new(),
                models: Vec::new(),
                answering: None,
                newest: None,
            }),
        }
    }

    /// Counts a frame that reached the publisher and returns its number, from 0. Takes no lock.
    pub fn count_frame(&self) -> u64 {
        let since_start = self.started.elapsed().as_nanos() as u64;
        self.last_frame_ns.store(since_start.max(1), Ordering::Relaxed);
        self.frames.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a frame whose tracks were handed to the network.
    pub fn count_published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// Frames that reached the publisher.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Frames whose tracks were handed to the network.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Notes what the source says of itself.
    pub fn note_source(&self, report: SourceReport) {
        self.lock().source = Some((report, Instant::now()));
    }

    /// Replaces the models that are at work for `stage`.
    pub fn note_model(&self, model: proto::Model) {
        let mut inner = self.lock();
        match inner.models.iter_mut().find(|known| known.stage == model.stage) {
            Some(known) => *known = model,
            None => inner.models.push(model),
        }
    }

    /// Notes how the model that answers does.
    pub fn note_answering(&self, answering: proto::Answering) {
        self.lock().answering = Some(answering);
    }

    /// Notes the health and the stage times of a frame that arrived at `arrived`.
    pub fn note_frame(&self, results: &FrameResults, arrived: Instant, previous: Option<Instant>) {
        let mut inner = self.lock();
        if let Some(previous) = previous {
            if inner.intervals.len() == STALL_INTERVALS {
                inner.intervals.pop_front();
            }
            inner.intervals.push_back(arrived.saturating_duration_since(previous));
        }
        for (stage, seconds) in &results.stage_seconds {
            inner.note_latency(stage.as_str(), *seconds);
        }
        inner.newest = Some(Newest::of(results));
    }

    /// Notes how long a frame took until its message was handed to the network.
    pub fn note_published(&self, results: &FrameResults, now_utc_ns: i64) {
        let mut inner = self.lock();
        inner.note_latency("enter_to_publish", results.entered_at.elapsed().as_secs_f64());
        if results.time.clock != CaptureClock::None
            && let Some(capture_utc_ns) = results.time.capture_utc_ns
        {
            let seconds = now_utc_ns.saturating_sub(capture_utc_ns) as f64 * 1e-9;
            // A camera whose clock is not in step with this machine's measures nothing.
            if (0.0..PLAUSIBLE_LATENCY_S).contains(&seconds) {
                inner.note_latency("capture_to_publish", seconds);
            }
        }
    }

    /// Time of the newest frame.
    pub fn newest_time(&self) -> FrameTime {
        self.lock()
            .newest
            .as_ref()
            .map_or(FrameTime::default(), |newest| newest.time)
    }

    /// The state now.
    pub fn state(&self) -> proto::EngineState {
        let now = Instant::now();
        let last_frame = self.last_frame();
        let mut inner = self.lock();
        let source = inner.source.as_ref().map(|(report, at)| (report.state, *at));
        let state = engine_state(source, last_frame, now, inner.stall_after());
        if state != inner.state {
            inner.state = state;
            inner.state_since = now;
        }
        state
    }

    /// The status without its header. `drops` are the publisher's own.
    pub fn status(&self, drops: &[(&str, u64)]) -> proto::Status {
        let state = self.state();
        let now = Instant::now();
        let frames = self.frames();
        let last_frame = self.last_frame();
        let mut inner = self.lock();
        let fps = inner.fps(now, frames);
        let newest = inner.newest.clone();
        let source = inner.source.as_ref().map(|(report, _)| report);
        let mut drops: Vec<_> = drops
            .iter()
            .map(|&(name, count)| proto::Drops {
                name: name.to_owned(),
                count,
            })
            .collect();
        if let Some(source) = source {
            drops.push(proto::Drops {
                name: "source".to_owned(),
                count: source.dropped,
            });
        }
        let absent = proto::HealthLevel::Absent;
        let health = |level: fn(&Newest) -> proto::HealthLevel| newest.as_ref().map_or(absent, level).into();
        proto::Status {
            header: None,
            state: state.into(),
            message: inner.message(state, last_frame, now),
            state_age_s: now.saturating_duration_since(inner.state_since).as_secs_f64(),
            attempts: source.map_or(0, |source| source.attempts),
            reconnects: source.map_or(0, |source| source.reconnects),
            frame_age_s: last_frame.map(|at| now.saturating_duration_since(at).as_secs_f64()),
            fps,
            frames,
            published: self.published(),
            drops,
            latencies: inner
                .latencies
                .iter()
                .filter_map(|(name, window)| window.summary(name))
                .collect(),
            models: inner.models.clone(),
            answering: inner.answering.clone(),
            depth: health(|newest| newest.depth),
            pose: health(|newest| newest.pose),
            scale: health(|newest| newest.scale),
            log_scale_sigma: newest.as_ref().and_then(|newest| newest.log_scale_sigma),
            log_scale_drift: newest.as_ref().and_then(|newest| newest.log_scale_drift),
            scale_disagreement: newest.as_ref().and_then(|newest| newest.scale_disagreement),
            focal_px: newest.as_ref().and_then(|newest| newest.focal_px),
            focal_sigma: newest.as_ref().and_then(|newest| newest.focal_sigma),
            inlier_ratio: newest.as_ref().and_then(|newest| newest.inlier_ratio),
            objects: newest.as_ref().map_or(0, |newest| newest.objects),
            objects_reliable: newest.as_ref().map_or(0, |newest| newest.objects_reliable),
            uptime_s: self.started.elapsed().as_secs_f64(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The same as OpenMetrics text (openmetrics.io, version 1.0).
    pub fn open_metrics(&self, site: &str, camera: &str, drops: &[(&str, u64)]) -> String {
        let status = self.status(drops);
        let labels = format!("site=\"{}\",camera=\"{}\"", escaped(site), escaped(camera));
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, unit: &str, help: &str, lines: Vec<String>| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# TYPE {name} {kind}");
            if !unit.is_empty() {
                let _ = writeln!(text, "# UNIT {name} {unit}");
            }
            let _ = writeln!(text, "# HELP {name} {help}");
            for line in lines {
                let _ = writeln!(text, "{line}");
            }
        };
        let states = [
            proto::EngineState::Connecting,
            proto::EngineState::Playing,
            proto::EngineState::Stalled,
            proto::EngineState::Retrying,
            proto::EngineState::Ended,
        ];
        let line = |name: &str, value: &dyn std::fmt::Display| format!("{name}{{{labels}}} {value}");
        family(
            "kinestream_state",
            "stateset",
            "",
            "What the camera's engine is doing.",
            states
                .iter()
                .map(|state| {
                    let name = state_name(*state);
                    let set = u8::from(status.state() == *state);
                    format!("kinestream_state{{{labels},kinestream_state=\"{name}\"}} {set}")
                })
                .collect(),
        );
        family(
            "kinestream_frames",
            "counter",
            "",
            "Frames that reached the publisher.",
            vec![line("kinestream_frames_total", &status.frames)],
        );
        family(
            "kinestream_published",
            "counter",
            "",
            "Frames whose tracks were handed to the network.",
            vec![line("kinestream_published_total", &status.published)],
        );
        family(
            "kinestream_drops",
            "counter",
            "",
            "Things dropped, by where.",
            status
                .drops
                .iter()
                .map(|drop| {
                    let name = escaped(&drop.name);
                    format!("kinestream_drops_total{{{labels},at=\"{name}\"}} {}", drop.count)
                })
                .collect(),
        );
        family(
            "kinestream_reconnects",
            "counter",
            "",
            "Times that frames came back after the source was lost.",
            vec![line("kinestream_reconnects_total", &status.reconnects)],
        );
        family(
            "kinestream_frame_rate_hertz",
            "gauge",
            "hertz",
            "Frames a second over the last 5 seconds.",
            vec![line("kinestream_frame_rate_hertz", &status.fps)],
        );
        family(
            "kinestream_objects",
            "gauge",
            "",
            "Objects in the newest frame.",
            vec![line("kinestream_objects", &status.objects)],
        );
        family(
            "kinestream_objects_reliable",
            "gauge",
            "",
            "Objects in the newest frame with reliable metric values.",
            vec![line("kinestream_objects_reliable", &status.objects_reliable)],
        );
        let inner = self.lock();
        let mut latencies = Vec::new();
        for latency in &status.latencies {
            let name = escaped(&latency.name);
            for (quantile, value) in [(0.5, latency.p50_s), (0.95, latency.p95_s), (0.99, latency.p99_s)] {
                latencies.push(format!(
                    "kinestream_latency_seconds{{{labels},stage=\"{name}\",quantile=\"{quantile}\"}} {value}"
                ));
            }
            if let Some((_, window)) = inner.latencies.iter().find(|(known, _)| *known == latency.name) {
                latencies.push(format!(
                    "kinestream_latency_seconds_sum{{{labels},stage=\"{name}\"}} {}",
                    window.sum
                ));
                latencies.push(format!(
                    "kinestream_latency_seconds_count{{{labels},stage=\"{name}\"}} {}",
                    window.count
                ));
            }
        }
        drop(inner);
        family(
            "kinestream_latency_seconds",
            "summary",
            "seconds",
            "Time in each stage, and from capture and entry to the network.",
            latencies,
        );
        text.push_str("# EOF\n");
        text
    }

    fn last_frame(&self) -> Option<Instant> {
        match self.last_frame_ns.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(self.started + Duration::from_nanos(nanos)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Three usual frame intervals, within bounds. The median does not mind the gap of an outage.
    fn stall_after(&self) -> Duration {
        let mut intervals: Vec<Duration> = self.intervals.iter().copied().collect();
        intervals.sort();
        intervals.get(intervals.len() / 2).map_or(STALL_AFTER, |median| {
            (*median * 3).clamp(STALL_AFTER, STALL_AFTER_AT_MOST)
        })
    }

    fn note_latency(&mut self, name: &'static str, seconds: f64) {
        match self.latencies.iter_mut().find(|(known, _)| *known == name) {
            Some((_, window)) => window.push(seconds),
            None => {
                let mut window = Window::default();
                window.push(seconds);
                self.latencies.push((name, window));
            }
        }
    }

    /// Frame rate over the last [`FPS_SPAN`], from counts noted at each call.
    fn fps(&mut self, now: Instant, frames: u64) -> f64 {
        self.fps_ticks.push_back((now, frames));
        while self.fps_ticks.len() > 2 && self.fps_ticks.get(1).is_some_and(|(at, _)| now - *at >= FPS_SPAN) {
            self.fps_ticks.pop_front();
        }
        // Calls that come close together (metrics beside status) must not push out the span's start.
        if self.fps_ticks.len() > 64 {
            self.fps_ticks.remove(1);
        }
        let Some(&(since, before)) = self.fps_ticks.front() else {
            return 0.0;
        };
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        if seconds > 0.0 {
            (frames - before) as f64 / seconds
        } else {
            0.0
        }
    }

    fn message(&self, state: proto::EngineState, last_frame: Option<Instant>, now: Instant) -> String {
        if let Some((report, _)) = &self.source
            && report.state == state
        {
            return report.message.clone();
        }
        match (state, last_frame) {
            (proto::EngineState::Stalled, Some(at)) => {
                format!("no frame for {:.1} s", now.saturating_duration_since(at).as_secs_f64())
            }
            _ => String::new(),
        }
    }
}

/// What the engine does, from what its source said last and when the newest frame came.
fn engine_state(
    source: Option<(proto::EngineState, Instant)>,
    last_frame: Option<Instant>,
    now: Instant,
    stall_after: Duration,
) -> proto::EngineState {
    use proto::EngineState::{Connecting, Playing, Stalled};
    if let Some((state, at)) = source
        && state != Playing
        && last_frame.is_none_or(|frame| frame <= at + IN_FLIGHT)
    {
        return state;
    }
    match last_frame {
        None => Connecting,
        Some(frame) if now.saturating_duration_since(frame) > stall_after => Stalled,
        Some(_) => Playing,
    }
}

impl Newest {
    fn of(results: &FrameResults) -> Self {
        use proto::HealthLevel::{Absent, Degraded, Good, Lost};
        let graded = |value: f64, degraded: f64, lost: f64| {
            if !value.is_finite() || value >= lost {
                Lost
            } else if value >= degraded {
                Degraded
            } else {
                Good
            }
        };
        let view = results.view.as_deref();
        let depth = view.and_then(|view| view.depth.as_deref());
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            time: results.time,
            depth: depth.map_or(Absent, |depth| match depth.relative_sigma {
                sigma if !sigma.is_finite() => Lost,
                sigma if sigma >= DEPTH_DEGRADED => Degraded,
                _ => Good,
            }),
            pose: view.map_or(Absent, |view| match view.pose_source {
                _ if view.health.lost => Lost,
                PoseSource::Visual if view.health.inlier_ratio < POSE_DEGRADED => Degraded,
                _ => Good,
            }),
            scale: view.map_or(Absent, |view| {
                graded(view.health.log_scale_sigma, SCALE_DEGRADED, SCALE_LOST)
            }),
            log_scale_sigma: view.map(|view| view.health.log_scale_sigma).filter(|v| v.is_finite()),
            log_scale_drift: view.map(|view| view.health.log_scale_drift).filter(|v| v.is_finite()),
            scale_disagreement: view
                .and_then(|view| view.health.scale_disagreement)
                .filter(|v| v.is_finite()),
            focal_px: view.map(|view| view.camera.intrinsics.fx).filter(|v| v.is_finite()),
            focal_sigma: view.map(|view| view.relative_focal_sigma).filter(|v| v.is_finite()),
            inlier_ratio: view.map(|view| view.health.inlier_ratio).filter(|v| v.is_finite()),
            objects: count(results.tracks.len()),
            objects_reliable: count(
                results
                    .objects
                    .iter()
                    .filter(|object| object.reliability.is_reliable())
                    .count(),
            ),
        }
    }
}

/// The state as it stands in metrics and tables, e.g. `stalled`.
pub fn state_name(state: proto::EngineState) -> &'static str {
    match state {
        proto::EngineState::Unspecified => "unknown",
        proto::EngineState::Connecting => "connecting",
        proto::EngineState::Playing => "playing",
        proto::EngineState::Stalled => "stalled",
        proto::EngineState::Retrying => "retrying",
        proto::EngineState::Ended => "ended",
    }
}

/// A label value of OpenMetrics.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Stage;

    fn results() -> FrameResults {
        let mut results = FrameResults::new(FrameTime::from_pts_ns(1), 16, 16);
        results.stage_seconds = vec![(Stage::Detection, 0.02)];
        results
    }

    #[test]
    fn frames_decide_the_state_unless_the_source_knows_better() {
        use proto::EngineState::{Connecting, Ended, Playing, Retrying, Stalled};
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let state = |source, frame, now| engine_state(source, frame, now, STALL_AFTER);
        assert_eq!(state(None, None, at(9.0)), Connecting);
        assert_eq!(state(None, Some(at(8.5)), at(9.0)), Playing);
        assert_eq!(state(None, Some(at(7.5)), at(9.0)), Stalled);
        let retrying = Some((Retrying, at(7.0)));
        assert_eq!(state(retrying, Some(at(6.9)), at(7.1)), Retrying);
        assert_eq!(state(retrying, Some(at(7.2)), at(7.3)), Retrying, "still in flight");
        assert_eq!(state(retrying, Some(at(8.0)), at(8.1)), Playing, "frames are back");
        assert_eq!(state(Some((Playing, at(1.0))), Some(at(1.0)), at(3.0)), Stalled);
        assert_eq!(state(Some((Ended, at(8.0))), Some(at(7.9)), at(99.0)), Ended);
    }

    #[test]
    fn a_gap_does_not_make_the_next_stall_late_but_a_slow_camera_is_given_time() {
        let monitor = Monitor::new();
        let start = Instant::now();
        let arrive = |seconds: &[f64]| {
            for pair in seconds.windows(2) {
                let at = |seconds| start + Duration::from_secs_f64(seconds);
                monitor.note_frame(&results(), at(pair[1]), Some(at(pair[0])));
            }
        };
        arrive(&[0.0, 0.1, 0.2, 0.3, 20.0, 20.1]);
        assert_eq!(monitor.lock().stall_after(), STALL_AFTER);
        arrive(&[30.0, 32.0, 34.0, 36.0]);
        assert_eq!(monitor.lock().stall_after(), Duration::from_secs(6));
    }

    #[test]
    fn percentiles_are_measured_values() {
        let mut window = Window::default();
        for value in 1..=100 {
            window.push(f64::from(value));
        }
        let summary = window.summary("x").unwrap();
        assert_eq!(
            (summary.p50_s, summary.p95_s, summary.p99_s, summary.max_s),
            (50.0, 95.0, 99.0, 100.0)
        );
        assert!(Window::default().summary("x").is_none());
    }

    #[test]
    fn status_counts_frames_and_names_what_is_absent() {
        let monitor = Monitor::new();
        assert_eq!(monitor.count_frame(), 0);
        assert_eq!(monitor.count_frame(), 1);
        monitor.note_frame(&results(), Instant::now(), None);
        let status = monitor.status(&[("publish_queue", 3)]);
        assert_eq!((status.frames, status.drops[0].count), (2, 3));
        assert_eq!(status.depth(), proto::HealthLevel::Absent);
        assert_eq!(status.latencies[0].name, "detection");
        assert_eq!(status.state(), proto::EngineState::Playing);
    }

    #[test]
    fn a_source_that_retries_is_reported_with_its_reason() {
        let monitor = Monitor::new();
        monitor.note_source(SourceReport {
            state: proto::EngineState::Retrying,
            attempts: 2,
            reconnects: 0,
            dropped: 5,
            message: "connection refused".into(),
        });
        assert_eq!(monitor.state(), proto::EngineState::Retrying);
        let status = monitor.status(&[]);
        assert_eq!(status.message, "connection refused");
        assert_eq!((status.attempts, status.drops[0].count), (2, 5));
    }

    #[test]
    fn metrics_are_openmetrics_text() {
        let monitor = Monitor::new();
        monitor.count_frame();
        monitor.note_frame(&results(), Instant::now(), None);
        let text = monitor.open_metrics("a\"b", "c", &[("publish_queue", 1)]);
        assert!(text.ends_with("# EOF\n"));
        assert!(
            text.contains("kinestream_frames_total{site=\"a\\\"b\",camera=\"c\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("stage=\"detection\",quantile=\"0.95\"} 0.02\n"), "{text}");
        // Each family is named once, and every sample belongs to the family above it.
        let mut family = "";
        let mut seen = std::collections::HashSet::new();
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(seen.insert(family), "{family} twice");
            } else if !line.starts_with('#') {
                assert!(line.starts_with(family), "{line} under {family}");
            }
        }
    }
}

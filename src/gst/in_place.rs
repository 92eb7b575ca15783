//! What every element that adds results to passing pictures has in common: pad templates, caps, time, counters, QoS,
//! latency. The elements are `BaseTransform`s in always-in-place mode; pictures pass untouched.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::gst::prelude::*;
use ::gst::{ClockTime, glib};
use ::gst_base::prelude::*;
use ::gst_video::{VideoCapsBuilder, VideoInfo};

use super::frame_clock::FrameClock;
use super::{metadata, picture};
use crate::frame::FrameTime;
use crate::results::{FrameResults, Stage};

/// Own latency is reported in steps of this size, so that small changes do not redistribute the pipeline's latency.
const LATENCY_STEP: ClockTime = ClockTime::from_mseconds(10);

/// A jump of stream time ahead by more than this starts a new scene, as a jump backward does.
const NEW_SCENE_GAP_NS: u64 = 30_000_000_000;

/// Sink and source pad templates for raw video in every format that the stages read.
pub fn pad_templates() -> Vec<::gst::PadTemplate> {
    let caps = raw_video_caps();
    [("sink", ::gst::PadDirection::Sink), ("src", ::gst::PadDirection::Src)]
        .into_iter()
        .filter_map(|(name, direction)| {
            ::gst::PadTemplate::new(name, direction, ::gst::PadPresence::Always, &caps).ok()
        })
        .collect()
}

/// Raw video in every format that the stages read, any size and rate.
pub fn raw_video_caps() -> ::gst::Caps {
    VideoCapsBuilder::new().format_list(picture::FORMATS).build()
}

/// The counters' properties: `processed`, `dropped`, `late`, read-only.
pub fn properties() -> Vec<glib::ParamSpec> {
    let counter = |name: &str, nick: &str, blurb: &str| {
        glib::ParamSpecUInt64::builder(name)
            .nick(nick)
            .blurb(blurb)
            .read_only()
            .build()
    };
    vec![
        counter(
            "processed",
            "Processed",
            "Frames that this stage worked on since it started",
        ),
        counter(
            "dropped",
            "Dropped",
            "Frames passed on without results because they could not be read, since the stage started",
        ),
        counter(
            "late",
            "Late",
            "Live frames passed on with predicted results because they were late (QoS), since the stage started",
        ),
    ]
}

/// What every stage answers alike, within its `impl BaseTransformImpl`: always in place, never passed through; caps, QoS and
/// latency are those of its field `common`, an [`InPlace`]. With `{ caps }` `set_caps` too, for a stage that keeps nothing of
/// the old size; with `{ qos }` `src_event`, for a stage that takes no events from downstream.
macro_rules! base_transform_glue {
    ($($part:ident),*) => {
        const MODE: ::gst_base::subclass::BaseTransformMode = ::gst_base::subclass::BaseTransformMode::AlwaysInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = false;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn accept_caps(&self, _direction: ::gst::PadDirection, caps: &::gst::Caps) -> bool {
            $crate::gst::in_place::InPlace::accept_caps(&*self.obj(), caps)
        }

        fn query(&self, direction: ::gst::PadDirection, query: &mut ::gst::QueryRef) -> bool {
            let answered = BaseTransformImplExt::parent_query(self, direction, query);
            if answered && direction == ::gst::PadDirection::Src {
                self.common.add_latency(query);
            }
            answered
        }

        $($crate::gst::in_place::base_transform_glue!(@ $part);)*
    };
    (@ caps) => {
        fn set_caps(&self, incaps: &::gst::Caps, _outcaps: &::gst::Caps) -> Result<(), ::gst::LoggableError> {
            self.common.set_caps(incaps, &CAT).map(|_| ())
        }
    };
    (@ qos) => {
        fn src_event(&self, event: ::gst::Event) -> bool {
            self.common.src_event(&event);
            self.parent_src_event(event)
        }
    };
}
pub(crate) use base_transform_glue;

/// What happened to the stream, as told by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamChange {
    /// Nothing that matters to a stage.
    None,
    /// Data in flight was thrown away: windows restart.
    Flushed,
    /// A new stream begins.
    NewStream,
    /// No more frames come.
    Ended,
}

/// One frame on its way through a stage, between [`InPlace::begin`] and [`InPlace::finish`].
#[derive(Debug)]
pub struct Frame {
    /// What earlier stages found; change it through `Arc::make_mut` (no copy, nobody else holds it).
    pub results: Arc<FrameResults>,
    /// How the picture lies in the buffer.
    pub info: VideoInfo,
    /// The sink is behind: pass the frame on with predictions only.
    pub late: bool,
    /// Stream time went backward, or far ahead, since the frame before: identities and windows start anew.
    pub new_scene: bool,
    started: Instant,
    noted: Duration,
}

impl Frame {
    /// When the frame was taken.
    pub fn time(&self) -> FrameTime {
        self.results.time
    }

    /// Notes that a part of this element's work, `spent`, belongs to `stage`; the rest goes to the stage given to
    /// [`InPlace::finish`].
    pub fn note(&mut self, stage: Stage, spent: Duration) {
        self.noted += spent;
        self.results_mut().stage_seconds.push((stage, spent.as_secs_f64()));
    }

    /// The results, to be added to.
    pub fn results_mut(&mut self) -> &mut FrameResults {
        Arc::make_mut(&mut self.results)
    }
}

#[derive(Debug, Default)]
struct State {
    info: Option<VideoInfo>,
    clock: FrameClock,
    live: Option<bool>,
    earliest: Option<ClockTime>,
    newest_ns: Option<u64>,
    warned_untimed: bool,
}

/// State shared by a stage's frames. All methods may be called from any thread; no lock is held while a stage works.
#[derive(Debug, Default)]
pub struct InPlace {
    processed: AtomicU64,
    dropped: AtomicU64,
    late: AtomicU64,
    latency_ns: AtomicU64,
    state: Mutex<State>,
}

impl InPlace {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of one of [`properties`].
    pub fn property(&self, name: &str) -> Option<glib::Value> {
        let counter = match name {
            "processed" => &self.processed,
            "dropped" => &self.dropped,
            "late" => &self.late,
            _ => return None,
        };
        Some(counter.load(Ordering::Relaxed).to_value())
    }

    /// For `start()`: counters and clocks begin anew.
    pub fn start(&self) {
        for counter in [&self.processed, &self.dropped, &self.late, &self.latency_ns] {
            counter.store(0, Ordering::Relaxed);
        }
        *self.state() = State::default();
    }

    /// For `accept_caps()`: refuses pictures without a pixel, with a message that says so.
    pub fn accept_caps(element: &impl IsA<::gst::Element>, caps: &::gst::Caps) -> bool {
        let empty = |field: &str| caps.iter().any(|s| s.get::<i32>(field).is_ok_and(|size| size <= 0));
        if empty("width") || empty("height") {
            ::gst::element_error!(
                element.upcast_ref::<::gst::Element>(),
                ::gst::StreamError::Format,
                ("a picture needs at least one pixel, found caps {caps}")
            );
            return false;
        }
        raw_video_caps().can_intersect(caps)
    }

    /// For `set_caps()`: takes the new picture size and format. True when they differ from those before.
    pub fn set_caps(&self, caps: &::gst::Caps, category: &::gst::DebugCategory) -> Result<bool, ::gst::LoggableError> {
        let info = VideoInfo::from_caps(caps)
            .map_err(|error| ::gst::loggable_error!(category, "caps {caps} are not raw video: {error}"))?;
        let mut state = self.state();
        state.clock.set_frame_rate(info.fps());
        let changed = state.info.as_ref().is_none_or(|old| {
            (old.width(), old.height(), old.format()) != (info.width(), info.height(), info.format())
        });
        state.info = Some(info);
        Ok(changed)
    }

    /// For `sink_event()`, before the parent's: follows the stream. Says what a stage with a memory must react to.
    pub fn sink_event(&self, event: &::gst::EventRef) -> StreamChange {
        match event.view() {
            ::gst::EventView::Segment(segment) => {
                self.state().clock.set_segment(segment.segment());
                StreamChange::None
            }
            ::gst::EventView::FlushStop(_) => {
                let mut state = self.state();
                state.clock.flush();
                state.earliest = None;
                state.newest_ns = None;
                StreamChange::Flushed
            }
            ::gst::EventView::StreamStart(_) => {
                let mut state = self.state();
                state.earliest = None;
                state.live = None;
                StreamChange::NewStream
            }
            ::gst::EventView::Eos(_) => StreamChange::Ended,
            _ => StreamChange::None,
        }
    }

    /// For `src_event()`, before the parent's: follows the sink's QoS.
    pub fn src_event(&self, event: &::gst::EventRef) {
        if let ::gst::EventView::Qos(qos) = event.view() {
            let (_, _, diff_ns, timestamp) = qos.get();
            // As GstBaseTransform does: a sink that is behind is still farther behind when the next frame arrives.
            let shift_ns = if diff_ns > 0 {
                diff_ns.saturating_mul(2)
            } else {
                diff_ns
            };
            self.state().earliest =
                timestamp.map(|t| ClockTime::from_nseconds(t.nseconds().saturating_add_signed(shift_ns)));
        }
    }

    /// For `query()`, after the parent answered a LATENCY query: adds this stage's own.
    pub fn add_latency(&self, query: &mut ::gst::QueryRef) {
        let own = ClockTime::from_nseconds(self.latency_ns.load(Ordering::Relaxed));
        if let ::gst::QueryViewMut::Latency(latency) = query.view_mut() {
            let (live, min, max) = latency.result();
            latency.set(live, min + own, max.map(|max| max + own));
        }
    }

    /// For `transform_ip()`, first: finds or starts the frame's results. `Ok(None)`: the buffer cannot be read as a frame
    /// and is to be passed on as it is (counted).
    pub fn begin(
        &self,
        element: &impl IsA<::gst_base::BaseTransform>,
        buffer: &mut ::gst::BufferRef,
    ) -> Result<Option<Frame>, ::gst::FlowError> {
        let started = Instant::now();
        let element = element.upcast_ref::<::gst_base::BaseTransform>();
        if buffer
            .flags()
            .intersects(::gst::BufferFlags::GAP | ::gst::BufferFlags::CORRUPTED)
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let live = self.is_live(element);
        let (info, time, running_time, untimed) = {
            let mut state = self.state();
            let Some(info) = state.info.clone() else {
                drop(state);
                ::gst::element_error!(element, ::gst::CoreError::Negotiation, ("a frame came before its caps"));
                return Err(::gst::FlowError::NotNegotiated);
            };
            let time = match metadata::results(buffer) {
                Some(results) => Some(results.time),
                None => state.clock.time(buffer, element.upcast_ref(), live),
            };
            let untimed = state.clock.untimed() > 0 && !std::mem::replace(&mut state.warned_untimed, true);
            (info, time, state.clock.running_time(buffer), untimed)
        };
        if untimed {
            ::gst::element_warning!(
                element,
                ::gst::StreamError::Format,
                ("frames without time stamps: speeds rest on the nominal frame rate")
            );
        }
        let Some(time) = time else {
            ::gst::element_error!(
                element,
                ::gst::StreamError::Format,
                ("frames have neither time stamps nor a frame rate: expected PTS on buffers, or framerate in the caps")
            );
            return Err(::gst::FlowError::Error);
        };
        let (late, new_scene) = {
            let mut state = self.state();
            let late = live && matches!((running_time, state.earliest), (Some(t), Some(earliest)) if t <= earliest);
            let new_scene = state
                .newest_ns
                .replace(time.pts_ns)
                .is_some_and(|before| time.pts_ns < before || time.pts_ns - before > NEW_SCENE_GAP_NS);
            (late, new_scene)
        };
        if late {
            self.late.fetch_add(1, Ordering::Relaxed);
            self.post_qos(element, buffer, running_time, live);
        }
        let (width, height) = (info.width(), info.height());
        let results = metadata::take_or(buffer, || FrameResults::new(time, width, height));
        Ok(Some(Frame {
            results,
            info,
            late,
            new_scene,
            started,
            noted: Duration::ZERO,
        }))
    }

    /// For `transform_ip()`, last: notes the time that `stage` took, counts, and puts the results back on the buffer.
    pub fn finish(
        &self,
        element: &impl IsA<::gst::Element>,
        buffer: &mut ::gst::BufferRef,
        mut frame: Frame,
        stage: Stage,
    ) -> Result<::gst::FlowSuccess, ::gst::FlowError> {
        let elapsed = frame.started.elapsed();
        let rest = elapsed.saturating_sub(frame.noted);
        frame.results_mut().stage_seconds.push((stage, rest.as_secs_f64()));
        if !frame.late {
            self.processed.fetch_add(1, Ordering::Relaxed);
        }
        let element = element.upcast_ref::<::gst::Element>();
        metadata::attach(buffer, frame.results).map_err(|error| {
            ::gst::element_error!(
                element,
                ::gst::StreamError::Failed,
                ("results cannot be attached: {error}")
            );
            ::gst::FlowError::Error
        })?;
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let steps = elapsed_ns.div_ceil(LATENCY_STEP.nseconds());
        // The step a stage settles in, not its worst frame: sinks keep a reserve of their own (processing-deadline).
        let told = self.latency_ns.load(Ordering::Relaxed);
        if elapsed_ns > told.saturating_add(LATENCY_STEP.nseconds()) && self.processed.load(Ordering::Relaxed) > 3 {
            self.latency_ns
                .store(steps * LATENCY_STEP.nseconds(), Ordering::Relaxed);
            let _ = element.post_message(::gst::message::Latency::builder().src(element).build());
        }
        Ok(::gst::FlowSuccess::Ok)
    }

    /// Counts a frame that had to be passed on unread.
    pub fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the source is live, as it told in answer to a LATENCY query; asked once a stream.
    pub fn is_live(&self, element: &::gst_base::BaseTransform) -> bool {
        if let Some(live) = self.state().live {
            return live;
        }
        let mut query = ::gst::query::Latency::new();
        let live = element.sink_pad().peer_query(&mut query) && query.result().0;
        self.state().live = Some(live);
        live
    }

    fn post_qos(
        &self,
        element: &::gst_base::BaseTransform,
        buffer: &::gst::BufferRef,
        running_time: Option<ClockTime>,
        live: bool,
    ) {
        let message = ::gst::message::Qos::builder(live)
            .src(element)
            .running_time(running_time)
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .stats(
                ::gst::format::Buffers::from_u64(self.processed.load(Ordering::Relaxed)),
                ::gst::format::Buffers::from_u64(self.late.load(Ordering::Relaxed)),
            )
            .build();
        let _ = element.post_message(message);
    }
}

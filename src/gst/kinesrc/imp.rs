//! The bin: source (made anew for each connection) → videoconvert (idle for the formats that stages read) → queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::gst::glib;
use ::gst::prelude::*;
use ::gst::subclass::prelude::*;

use super::Protocols;
use super::location::Location;
use super::memory;
use super::supervisor::{Camera, Patience, Pulse, Supervisor};
use super::timeline::Timeline;
use crate::gst::events::{SourceState, SourceStatus};
use crate::gst::frame_clock::utc_now_ns;
use crate::gst::in_place;

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new(
        "kinesrc",
        ::gst::DebugColorFlags::empty(),
        Some("Camera and file source"),
    )
});

/// Ends an event in a probe. `Drop` would do the same, but GStreamer 1.22 then unrefs an event that the binding took already.
const SWALLOW: ::gst::PadProbeReturn = ::gst::PadProbeReturn::Handled;

/// Frames that a file's decoder may be ahead.
const FILE_QUEUE_FRAMES: u32 = 4;

#[derive(Clone, Debug)]
struct Settings {
    uri: String,
    latency_ms: u32,
    drop_on_latency: bool,
    protocols: Protocols,
    stall_timeout_ms: u32,
    answer_timeout_ms: u32,
    first_frame_timeout_ms: u32,
    longest_pause_ms: u32,
    queue_frames: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uri: String::new(),
            latency_ms: 200,
            drop_on_latency: true,
            protocols: Protocols::default(),
            stall_timeout_ms: 1500,
            answer_timeout_ms: 3000,
            first_frame_timeout_ms: 8000,
            longest_pause_ms: 1000,
            queue_frames: 3,
        }
    }
}

/// The part of the bin that stays over all connections.
#[derive(Debug)]
struct Chain {
    convert: ::gst::Element,
    queue: ::gst::Element,
    src: ::gst::GhostPad,
}

#[derive(Debug)]
enum Running {
    /// A camera under watch.
    Watched(Supervisor),
    /// A file, another stream or a fragment: a plain child of the bin.
    Plain(::gst::Element),
}

/// Subclass data of `kinesrc`.
#[derive(Debug, Default)]
pub struct KineSrc {
    settings: Mutex<Settings>,
    chain: Mutex<Option<Arc<Chain>>>,
    running: Mutex<Option<Running>>,
    /// The camera's current source, whose errors end an attempt instead of the pipeline.
    watched: Mutex<Option<(::gst::Element, Arc<Pulse>)>>,
    timeline: Mutex<Timeline>,
    segment_sent: Mutex<bool>,
    state: Mutex<Option<SourceState>>,
    arrived: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
    reconnects: AtomicU64,
    first_frame_deadline: Mutex<Option<::gst::SingleShotClockId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for KineSrc {
    const NAME: &'static str = "GstKineSrc";
    type Type = super::KineSrc;
    type ParentType = ::gst::Bin;
}

impl ObjectImpl for KineSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            let millis = |name: &str, nick: &str, blurb: &str, default: u32| {
                glib::ParamSpecUInt::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .default_value(default)
                    .mutable_ready()
                    .build()
            };
            let counter = |name: &str, nick: &str, blurb: &str| {
                glib::ParamSpecUInt64::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .read_only()
                    .build()
            };
            vec![
                glib::ParamSpecString::builder("uri")
                    .nick("URI")
                    .blurb(
                        "Where frames come from: rtsp://..., v4l2:///dev/video0, a file, any URI that GStreamer opens, or \
                         launch: and a pipeline fragment that ends in raw video",
                    )
                    .mutable_ready()
                    .build(),
                millis(
                    "latency",
                    "Latency",
                    "RTSP: how long to wait for late or reordered packets, milliseconds",
                    defaults.latency_ms,
                ),
                glib::ParamSpecBoolean::builder("drop-on-latency")
                    .nick("Drop on latency")
                    .blurb("RTSP: drop packets older than the latency, so that a decoder that fell behind catches up")
                    .default_value(defaults.drop_on_latency)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("protocols", defaults.protocols)
                    .nick("Protocols")
                    .blurb("RTSP: which transports to ask for")
                    .mutable_ready()
                    .build(),
                millis(
                    "stall-timeout",
                    "Stall timeout",
                    "Cameras: frames are missed after this long, or after four of their intervals if longer, milliseconds",
                    defaults.stall_timeout_ms,
                ),
                millis(
                    "answer-timeout",
                    "Answer timeout",
                    "Cameras: an attempt without any answer is given up after this long, milliseconds",
                    defaults.answer_timeout_ms,
                ),
                millis(
                    "first-frame-timeout",
                    "First frame timeout",
                    "An attempt that was answered, or a file, that brings no frame is given up after this long, milliseconds",
                    defaults.first_frame_timeout_ms,
                ),
                millis(
                    "longest-pause",
                    "Longest pause",
                    "Cameras: longest pause between two attempts, milliseconds",
                    defaults.longest_pause_ms,
                ),
                glib::ParamSpecUInt::builder("queue-frames")
                    .nick("Queue frames")
                    .blurb("Live: decoded frames that may wait; when one more comes, the oldest is dropped and counted")
                    .minimum(1)
                    .maximum(1000)
                    .default_value(defaults.queue_frames)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("state")
                    .nick("State")
                    .blurb("What the source does now: connecting, playing, stalled, retrying or ended")
                    .read_only()
                    .build(),
                counter("frames", "Frames", "Decoded frames that arrived since the start"),
                counter("dropped", "Dropped", "Live frames that gave way to newer ones since the start"),
                counter("reconnects", "Reconnects", "Times that frames came back after they had stopped"),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "uri" => settings.uri = value.get::<Option<String>>().ok().flatten().unwrap_or_default(),
            "latency" => settings.latency_ms = value.get().unwrap_or(settings.latency_ms),
            "drop-on-latency" => settings.drop_on_latency = value.get().unwrap_or(settings.drop_on_latency),
            "protocols" => settings.protocols = value.get().unwrap_or(settings.protocols),
            "stall-timeout" => settings.stall_timeout_ms = value.get().unwrap_or(settings.stall_timeout_ms),
            "answer-timeout" => settings.answer_timeout_ms = value.get().unwrap_or(settings.answer_timeout_ms),
            "first-frame-timeout" => {
                settings.first_frame_timeout_ms = value.get().unwrap_or(settings.first_frame_timeout_ms);
            }
            "longest-pause" => settings.longest_pause_ms = value.get().unwrap_or(settings.longest_pause_ms),
            "queue-frames" => settings.queue_frames = value.get().unwrap_or(settings.queue_frames),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings).clone();
        match pspec.name() {
            "uri" => settings.uri.to_value(),
            "latency" => settings.latency_ms.to_value(),
            "drop-on-latency" => settings.drop_on_latency.to_value(),
            "protocols" => settings.protocols.to_value(),
            "stall-timeout" => settings.stall_timeout_ms.to_value(),
            "answer-timeout" => settings.answer_timeout_ms.to_value(),
            "first-frame-timeout" => settings.first_frame_timeout_ms.to_value(),
            "longest-pause" => settings.longest_pause_ms.to_value(),
            "queue-frames" => settings.queue_frames.to_value(),
            "state" => lock(&self.state).as_ref().map(|state| state.status.as_str()).to_value(),
            "frames" => self.arrived.load(Ordering::Relaxed).to_value(),
            "dropped" => self.dropped().to_value(),
            "reconnects" => self.reconnects.load(Ordering::Relaxed).to_value(),
            _ => pspec.default_value().clone(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_suppressed_flags(::gst::ElementFlags::SINK | ::gst::ElementFlags::SOURCE);
        obj.set_element_flags(::gst::ElementFlags::SOURCE);
        match self.build_chain() {
            Ok(chain) => *lock(&self.chain) = Some(Arc::new(chain)),
            Err(error) => ::gst::error!(CAT, imp = self, "cannot be built: {error}"),
        }
    }
}

impl GstObjectImpl for KineSrc {}

impl ElementImpl for KineSrc {
    fn metadata() -> Option<&'static ::gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<::gst::subclass::ElementMetadata> = LazyLock::new(|| {
            ::gst::subclass::ElementMetadata::new(
                "Kinestream source",
                "Source/Network/Video",
                "Raw video from a camera, a file or any URI; reconnects to cameras and tells their state",
                "Kinestream authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [::gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<::gst::PadTemplate>> =
            LazyLock::new(|| in_place::pad_templates().into_iter().skip(1).collect());
        &TEMPLATES
    }

    fn send_event(&self, event: ::gst::Event) -> bool {
        if event.type_() == ::gst::EventType::Eos
            && let Some(Running::Watched(supervisor)) = self.take_running(true)
        {
            return self.end_stream(supervisor);
        }
        self.parent_send_event(event)
    }

    fn change_state(
        &self,
        transition: ::gst::StateChange,
    ) -> Result<::gst::StateChangeSuccess, ::gst::StateChangeError> {
        if transition == ::gst::StateChange::ReadyToPaused {
            self.start().map_err(|message| {
                self.post_error_message(message);
                ::gst::StateChangeError
            })?;
        }
        if transition == ::gst::StateChange::PlayingToPaused {
            self.set_playing(false);
        }
        if transition == ::gst::StateChange::PausedToReady
            && let Some(Running::Watched(supervisor)) = self.take_running(true)
        {
            drop(supervisor);
        }
        let result = self.parent_change_state(transition);
        if result.is_err() || transition == ::gst::StateChange::PausedToReady {
            self.stop();
        }
        let mut success = result?;
        let watched = matches!(*lock(&self.running), Some(Running::Watched(_)));
        match transition {
            ::gst::StateChange::ReadyToPaused => {
                if watched {
                    success = ::gst::StateChangeSuccess::NoPreroll;
                }
                self.configure_queue(success == ::gst::StateChangeSuccess::NoPreroll);
                if success == ::gst::StateChangeSuccess::Async {
                    self.expect_first_frame();
                }
            }
            ::gst::StateChange::PausedToPlaying => self.set_playing(true),
            ::gst::StateChange::PlayingToPaused if watched => success = ::gst::StateChangeSuccess::NoPreroll,
            _ => {}
        }
        Ok(success)
    }
}

impl KineSrc {
    /// Ends the stream of a camera, which by itself never ends.
    fn end_stream(&self, supervisor: Supervisor) -> bool {
        drop(supervisor);
        let sink = self.chain().and_then(|chain| chain.convert.static_pad("sink"));
        sink.is_some_and(|sink| sink.send_event(::gst::event::Eos::new()))
    }
}

impl BinImpl for KineSrc {
    fn handle_message(&self, message: ::gst::Message) {
        let watched = lock(&self.watched).clone();
        let from_source = |source: &::gst::Element| {
            message
                .src()
                .is_some_and(|src| src == source.upcast_ref::<::gst::Object>() || src.has_as_ancestor(source))
        };
        if let Some((source, pulse)) = watched.filter(|(source, _)| from_source(source)) {
            match message.view() {
                ::gst::MessageView::Error(error) => {
                    ::gst::info!(CAT, imp = self, "{}: {:?}", error.error(), error.debug());
                    pulse.failed(error.error().to_string());
                    return;
                }
                ::gst::MessageView::Warning(warning) => {
                    ::gst::info!(CAT, imp = self, "{}: {:?}", warning.error(), warning.debug());
                    return;
                }
                // The source comes and goes while the pipeline plays: its prerolling is not the pipeline's.
                ::gst::MessageView::AsyncStart(_) | ::gst::MessageView::AsyncDone(_)
                    if message.src() == Some(source.upcast_ref()) =>
                {
                    return;
                }
                ::gst::MessageView::Eos(_) => return,
                _ => {}
            }
        }
        self.parent_handle_message(message);
    }
}

impl KineSrc {
    fn chain(&self) -> Option<Arc<Chain>> {
        lock(&self.chain).clone()
    }

    fn dropped(&self) -> u64 {
        let waiting = self
            .chain()
            .map_or(0, |chain| chain.queue.property::<u32>("current-level-buffers"));
        let gone = self.passed.load(Ordering::Relaxed) + u64::from(waiting);
        self.arrived.load(Ordering::Relaxed).saturating_sub(gone)
    }

    fn build_chain(&self) -> Result<Chain, glib::BoolError> {
        let obj = self.obj();
        let convert = ::gst::ElementFactory::make("videoconvert").name("convert").build()?;
        let formats = ::gst::ElementFactory::make("capsfilter")
            .name("formats")
            .property("caps", in_place::raw_video_caps())
            .build()?;
        let queue = ::gst::ElementFactory::make("queue").name("newest").build()?;
        obj.add_many([&convert, &formats, &queue])?;
        ::gst::Element::link_many([&convert, &formats, &queue])?;
        let template = obj
            .pad_template("src")
            .ok_or_else(|| glib::bool_error!("the element has no source pad template"))?;
        let queue_src = queue
            .static_pad("src")
            .ok_or_else(|| glib::bool_error!("the queue has no source pad"))?;
        let src = ::gst::GhostPad::builder_from_template(&template)
            .name("src")
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(pad.upcast_ref(), query))
            })
            .build();
        src.set_target(Some(&queue_src))?;
        obj.add_pad(&src)?;

        let convert_sink = convert
            .static_pad("sink")
            .ok_or_else(|| glib::bool_error!("videoconvert has no sink pad"))?;
        let weak = self.downgrade();
        convert_sink.add_probe(
            ::gst::PadProbeType::BUFFER | ::gst::PadProbeType::EVENT_DOWNSTREAM | ::gst::PadProbeType::EVENT_FLUSH,
            move |_, info| match weak.upgrade() {
                Some(this) => this.arrives(info),
                None => ::gst::PadProbeReturn::Ok,
            },
        );
        let count = |pad: &::gst::Pad, counter: &Arc<AtomicU64>| {
            let counter = Arc::clone(counter);
            pad.add_probe(::gst::PadProbeType::BUFFER, move |_, _| {
                counter.fetch_add(1, Ordering::Relaxed);
                ::gst::PadProbeReturn::Ok
            });
        };
        if let Some(queue_sink) = queue.static_pad("sink") {
            count(&queue_sink, &self.arrived);
        }
        count(&queue_src, &self.passed);
        Ok(Chain { convert, queue, src })
    }

    fn src_query(&self, pad: &::gst::Pad, query: &mut ::gst::QueryRef) -> bool {
        if ::gst::Pad::query_default(pad, Some(&*self.obj()), query) {
            return true;
        }
        // Between connections nobody upstream answers, but the pipeline must still know that it is live.
        if let ::gst::QueryViewMut::Latency(latency) = query.view_mut()
            && matches!(*lock(&self.running), Some(Running::Watched(_)))
        {
            let own = u64::from(lock(&self.settings).latency_ms);
            latency.set(true, ::gst::ClockTime::from_mseconds(own), ::gst::ClockTime::NONE);
            return true;
        }
        false
    }

    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let location = Location::parse(&settings.uri)
            .map_err(|error| ::gst::error_msg!(::gst::ResourceError::NotFound, ("{error}")))?;
        let chain = self.chain().ok_or_else(|| {
            ::gst::error_msg!(
                ::gst::CoreError::MissingPlugin,
                ("videoconvert or queue is missing: install GStreamer's base plugins")
            )
        })?;
        for counter in [&*self.arrived, &*self.passed, &self.reconnects] {
            counter.store(0, Ordering::Relaxed);
        }
        *lock(&self.timeline) = Timeline::default();
        *lock(&self.segment_sent) = false;
        *lock(&self.state) = None;
        let failed = |error: glib::BoolError| ::gst::error_msg!(::gst::ResourceError::OpenRead, ("{error}"));
        let running = match &location {
            Location::Camera { uri } => {
                let patience = Patience {
                    stall: Duration::from_millis(settings.stall_timeout_ms.into()),
                    answer: Duration::from_millis(settings.answer_timeout_ms.into()),
                    first_frame: Duration::from_millis(settings.first_frame_timeout_ms.into()),
                    longest_pause: Duration::from_millis(settings.longest_pause_ms.into()),
                };
                let pulse = Arc::new(Pulse::default());
                let camera = Connection {
                    element: self.obj().downgrade(),
                    uri: uri.clone(),
                    pulse: Arc::clone(&pulse),
                    source: None,
                };
                let name = self.obj().name();
                Running::Watched(
                    Supervisor::start(&name, location.shown(), patience, pulse, camera).map_err(|error| {
                        ::gst::error_msg!(::gst::ResourceError::Failed, ("the watchdog cannot start: {error}"))
                    })?,
                )
            }
            Location::Stream { uri } => {
                let source = self.stream(uri).map_err(failed)?;
                self.obj().add(&source).map_err(failed)?;
                Running::Plain(source)
            }
            Location::Launch { fragment } => {
                let source =
                    ::gst::parse::bin_from_description(&format!("{fragment} ! identity"), true).map_err(|error| {
                        ::gst::error_msg!(::gst::ResourceError::OpenRead, ("launch:{fragment}: {error}"))
                    })?;
                let pad = source.src_pads().into_iter().next().ok_or_else(|| {
                    ::gst::error_msg!(
                        ::gst::ResourceError::OpenRead,
                        ("launch:{fragment}: expected an unlinked source pad at the end, found none")
                    )
                })?;
                self.obj().add(&source).map_err(failed)?;
                let sink = chain.convert.static_pad("sink");
                sink.map_or(Err(::gst::PadLinkError::Refused), |sink| pad.link(&sink))
                    .map_err(|error| {
                        let _ = self.obj().remove(&source);
                        ::gst::error_msg!(
                            ::gst::ResourceError::OpenRead,
                            ("launch:{fragment}: expected raw video at the end, the link failed: {error}")
                        )
                    })?;
                Running::Plain(source.upcast())
            }
        };
        *lock(&self.running) = Some(running);
        Ok(())
    }

    fn take_running(&self, watched: bool) -> Option<Running> {
        let mut running = lock(&self.running);
        if matches!(*running, Some(Running::Watched(_))) == watched {
            running.take()
        } else {
            None
        }
    }

    /// Some damaged files make decoders stop without a word; silence is then the only sign.
    fn expect_first_frame(&self) {
        let clock = ::gst::SystemClock::obtain();
        let patience = ::gst::ClockTime::from_mseconds(lock(&self.settings).first_frame_timeout_ms.into());
        let deadline = clock.new_single_shot_id(clock.time() + patience);
        let weak = self.downgrade();
        let waiting = deadline.wait_async(move |_, time, _| {
            let Some(this) = weak.upgrade().filter(|_| time.is_some()) else {
                return;
            };
            if this.arrived.load(Ordering::Relaxed) == 0 && lock(&this.state).is_none() {
                ::gst::element_error!(
                    this.obj(),
                    ::gst::StreamError::Decode,
                    ("no frame within {patience}: expected video that can be decoded, found none or a damaged file")
                );
            }
        });
        if waiting.is_ok() {
            *lock(&self.first_frame_deadline) = Some(deadline);
        }
    }

    fn stop(&self) {
        if let Some(deadline) = lock(&self.first_frame_deadline).take() {
            deadline.unschedule();
        }
        let running = lock(&self.running).take();
        if let Some(Running::Plain(source)) = running {
            let _ = source.set_state(::gst::State::Null);
            let _ = self.obj().remove(&source);
        }
    }

    fn set_playing(&self, playing: bool) {
        if let Some(Running::Watched(supervisor)) = &*lock(&self.running) {
            supervisor.pulse().set_playing(playing);
        }
    }

    fn configure_queue(&self, live: bool) {
        let Some(chain) = self.chain() else { return };
        let frames = if live {
            lock(&self.settings).queue_frames
        } else {
            FILE_QUEUE_FRAMES
        };
        chain.queue.set_property("max-size-buffers", frames);
        chain.queue.set_property("max-size-bytes", 0_u32);
        chain.queue.set_property("max-size-time", 0_u64);
        chain
            .queue
            .set_property_from_str("leaky", if live { "downstream" } else { "no" });
    }

    /// What decodes a file or another stream that is opened once; its first video is linked to the chain.
    fn stream(&self, uri: &str) -> Result<::gst::Element, glib::BoolError> {
        let source = ::gst::ElementFactory::make("uridecodebin")
            .property("uri", uri)
            .build()?;
        leave_sound_encoded(&source);
        let weak = self.downgrade();
        source.connect_pad_added(move |_, pad| {
            if let Some(this) = weak.upgrade() {
                this.link_to_chain(pad);
            }
        });
        Ok(source)
    }

    /// One connection to a camera: its source and a decoder in a bin. Unlike `uridecodebin` the bin is live from the start,
    /// and can be started and thrown away at any time.
    fn connection(&self, uri: &str, pulse: &Arc<Pulse>) -> Result<::gst::Element, glib::BoolError> {
        let bin = ::gst::Bin::new();
        let source = ::gst::Element::make_from_uri(::gst::URIType::Src, uri, None)
            .map_err(|error| glib::bool_error!("{error}"))?;
        let decoder = ::gst::ElementFactory::make("decodebin").build()?;
        leave_sound_encoded(&decoder);
        bin.add_many([&source, &decoder])?;
        set_up_rtsp(&source, &lock(&self.settings).clone());
        if source.static_pad("src").is_some() {
            source.link(&decoder)?;
        }
        let (answered, weak_decoder) = (Arc::clone(pulse), decoder.downgrade());
        source.connect_pad_added(move |_, pad| {
            answered.answered();
            if let Some(sink) = weak_decoder.upgrade().and_then(|decoder| decoder.static_pad("sink"))
                && !sink.is_linked()
                && let Err(error) = pad.link(&sink)
            {
                ::gst::warning!(CAT, obj = pad, "not linked: {error}");
            }
            // Ask for a key frame, so that the first picture need not wait for the camera's own.
            pad.send_event(
                ::gst_video::UpstreamForceKeyUnitEvent::builder()
                    .all_headers(true)
                    .build(),
            );
        });
        let (weak, weak_bin) = (self.downgrade(), bin.downgrade());
        decoder.connect_pad_added(move |_, pad| {
            let (Some(this), Some(bin)) = (weak.upgrade(), weak_bin.upgrade()) else {
                return;
            };
            let linked = ::gst::GhostPad::with_target(pad).and_then(|ghost| {
                ghost.set_active(true)?;
                bin.add_pad(&ghost)?;
                Ok(ghost)
            });
            match linked {
                Ok(ghost) => this.link_to_chain(ghost.upcast_ref()),
                Err(error) => ::gst::warning!(CAT, obj = pad, "not linked: {error}"),
            }
        });
        Ok(bin.upcast())
    }

    /// Links the first video that appears; sound and further videos stay unlinked.
    fn link_to_chain(&self, pad: &::gst::Pad) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/"));
        let sink = self.chain().and_then(|chain| chain.convert.static_pad("sink"));
        if let Some(sink) = sink.filter(|sink| video && !sink.is_linked())
            && let Err(error) = pad.link(&sink)
        {
            ::gst::warning!(CAT, obj = pad, "not linked: {error}");
        }
    }

    /// Everything that enters the chain.
    fn arrives(&self, info: &mut ::gst::PadProbeInfo) -> ::gst::PadProbeReturn {
        let watched = lock(&self.watched).clone();
        match (&mut info.data, watched) {
            (Some(::gst::PadProbeData::Buffer(buffer)), Some((_, pulse))) => {
                pulse.frame();
                self.restamp(buffer);
            }
            (Some(::gst::PadProbeData::Buffer(_)), None) => {
                let playing = lock(&self.state).as_ref().map(|state| state.status) == Some(SourceStatus::Playing);
                if !playing {
                    self.report(SourceStatus::Playing, 0, String::new());
                }
            }
            (Some(::gst::PadProbeData::Event(event)), Some((_, pulse))) => match event.view() {
                ::gst::EventView::Segment(segment) => {
                    lock(&self.timeline).set_segment(segment.segment());
                    if std::mem::replace(&mut *lock(&self.segment_sent), true) {
                        return SWALLOW;
                    }
                    let own = ::gst::FormattedSegment::<::gst::ClockTime>::new();
                    *event = ::gst::event::Segment::new(&own);
                }
                ::gst::EventView::Eos(_) => {
                    pulse.failed("the camera ended the stream".to_owned());
                    return SWALLOW;
                }
                ::gst::EventView::StreamStart(_) if *lock(&self.segment_sent) => return SWALLOW,
                ::gst::EventView::FlushStart(_) | ::gst::EventView::FlushStop(_) => {
                    return SWALLOW;
                }
                _ => {}
            },
            (Some(::gst::PadProbeData::Event(event)), None) if event.type_() == ::gst::EventType::Eos => {
                self.report(SourceStatus::Ended, 0, "the stream is over".to_owned());
            }
            _ => {}
        }
        ::gst::PadProbeReturn::Ok
    }

    fn restamp(&self, buffer: &mut ::gst::Buffer) {
        let obj = self.obj();
        let now = obj
            .clock()
            .zip(obj.base_time())
            .and_then(|(clock, base)| clock.time().checked_sub(base))
            .unwrap_or_default();
        let (pts, first) = {
            let mut timeline = lock(&self.timeline);
            (timeline.place(buffer.pts(), now), timeline.take_first())
        };
        let buffer = buffer.make_mut();
        buffer.set_pts(pts);
        buffer.set_dts(::gst::ClockTime::NONE);
        if first {
            buffer.set_flags(::gst::BufferFlags::DISCONT);
        }
    }

    fn report(&self, status: SourceStatus, attempts: u32, message: String) {
        let state = {
            let mut state = lock(&self.state);
            let before = state.as_ref();
            if status == SourceStatus::Playing
                && before.is_some_and(|b| matches!(b.status, SourceStatus::Stalled | SourceStatus::Retrying))
                && self.arrived.load(Ordering::Relaxed) > 0
            {
                self.reconnects.fetch_add(1, Ordering::Relaxed);
            }
            let since_utc_ns = before
                .filter(|b| b.status == status)
                .map_or_else(|| utc_now_ns().unwrap_or_default(), |b| b.since_utc_ns);
            let new = SourceState {
                status,
                attempts,
                reconnects: self.reconnects.load(Ordering::Relaxed),
                dropped: self.dropped(),
                message,
                since_utc_ns,
            };
            *state = Some(new.clone());
            new
        };
        ::gst::info!(CAT, imp = self, "{} {}", state.status.as_str(), state.message);
        if let Some(chain) = self.chain() {
            chain.src.push_event(state.to_event());
        }
        let obj = self.obj();
        let _ = obj.post_message(state.to_message(&*obj));
    }
}

/// Sound and subtitles are not decoded: nobody takes them.
fn leave_sound_encoded(decoder: &::gst::Element) {
    decoder.connect("autoplug-continue", false, |args| {
        let caps = args.get(2)?.get::<::gst::Caps>().ok()?;
        let name = caps.structure(0)?.name();
        let left = ["audio/", "text/", "subpicture/"]
            .iter()
            .any(|kind| name.starts_with(kind));
        Some((!left).to_value())
    });
}

/// The settings of `rtspsrc`, where the source is one.
fn set_up_rtsp(source: &::gst::Element, settings: &Settings) {
    if source.factory().is_none_or(|factory| factory.name() != "rtspsrc") {
        return;
    }
    source.set_property("latency", settings.latency_ms);
    source.set_property("drop-on-latency", settings.drop_on_latency);
    if source.has_property("add-reference-timestamp-meta") {
        source.set_property("add-reference-timestamp-meta", true);
    }
    let protocols = match settings.protocols {
        Protocols::Tcp => "tcp",
        Protocols::Udp => "udp",
        Protocols::Auto => "tcp+udp",
    };
    source.set_property_from_str("protocols", protocols);
    // Sound and metadata streams would only cost bandwidth.
    source.connect("select-stream", false, |args| {
        let caps = args.get(2)?.get::<::gst::Caps>().ok()?;
        let media = caps.structure(0).and_then(|s| s.get::<String>("media").ok());
        Some((media.as_deref() == Some("video")).to_value())
    });
}

/// One camera's connection, in the hands of the watchdog.
struct Connection {
    element: glib::WeakRef<super::KineSrc>,
    uri: String,
    pulse: Arc<Pulse>,
    source: Option<::gst::Element>,
}

impl Camera for Connection {
    fn connect(&mut self) -> Result<(), String> {
        let element = self.element.upgrade().ok_or("the element is gone")?;
        let this = element.imp();
        let source = this
            .connection(&self.uri, &self.pulse)
            .map_err(|error| error.to_string())?;
        // The bin neither waits for a camera nor fails with it.
        source.set_locked_state(true);
        lock(&this.timeline).reconnect();
        *lock(&this.watched) = Some((source.clone(), Arc::clone(&self.pulse)));
        element.add(&source).map_err(|error| error.to_string())?;
        self.source = Some(source.clone());
        if let Some(base_time) = element.base_time() {
            source.set_base_time(base_time);
        }
        // The reason of a failure comes as a message, before this returns.
        let _ = source.set_state(::gst::State::Playing).inspect_err(|_| {
            self.pulse.failed("the source cannot start".to_owned());
        });
        Ok(())
    }

    fn disconnect(&mut self) {
        let Some(source) = self.source.take() else { return };
        let Some(element) = self.element.upgrade() else { return };
        let this = element.imp();
        if let Some(sink) = this.chain().and_then(|chain| chain.convert.static_pad("sink"))
            && let Some(peer) = sink.peer()
        {
            let _ = peer.unlink(&sink);
        }
        let _ = source.set_state(::gst::State::Null);
        let _ = element.remove(&source);
        *lock(&this.watched) = None;
        drop(source);
        memory::give_back();
    }

    fn set_playing(&mut self, playing: bool) {
        if let Some(source) = &self.source {
            if let Some(base_time) = self.element.upgrade().and_then(|element| element.base_time()) {
                source.set_base_time(base_time);
            }
            let state = if playing {
                ::gst::State::Playing
            } else {
                ::gst::State::Paused
            };
            let _ = source.set_state(state);
        }
    }

    fn report(&mut self, status: SourceStatus, attempts: u32, message: String) {
        if let Some(element) = self.element.upgrade() {
            element.imp().report(status, attempts, message);
        }
    }
}

//! A simulated camera over RTSP, whose truth can be written beside it.
//!
//! The world runs whether anybody watches or not, as a camera does; it is drawn and encoded once for all clients. RTCP
//! sender reports carry the time at which each frame was taken, on the clock by which the truth is stamped.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::gst::ClockTime;
use ::gst::glib;
use ::gst::prelude::*;
use ::gst_rtsp_server::prelude::*;
use thiserror::Error;

use super::frame_clock::reference_utc_ns;
use super::kinesimsrc;
use super::rtsp_server::{RtspServer, RtspServerError, prepare};
use crate::sim::truth::{FrameRecord, TruthError, TruthWriter, WorldRecord};
use crate::sim::{World, WorldError, WorldSettings};

/// How long a client may have to wait for a picture that stands for itself, in frames.
const KEY_FRAME_EVERY: u32 = 50;

/// Access units that may wait for a client's media; when there are more, it goes on from the next picture that stands for
/// itself.
const WAITING: u64 = 100;

/// Why a simulated camera cannot be served.
#[derive(Debug, Error)]
pub enum SimServerError {
    /// The settings make no world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// H.264 halves the chroma planes.
    #[error("H.264 needs an even width and height, found {width}×{height}")]
    OddSize {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
    /// The truth cannot be written.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// The server does not start.
    #[error(transparent)]
    Server(#[from] RtspServerError),
    /// The camera's pipeline does not start or has failed.
    #[error("the simulated camera: {0}")]
    Pipeline(String),
}

/// One client's, or all clients' shared, media.
struct Feed {
    source: glib::WeakRef<::gst_app::AppSrc>,
    state: FeedState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FeedState {
    /// Needs a picture that stands for itself.
    Waiting,
    /// Has asked the encoder for one.
    Asked,
    /// Gets every picture.
    Started,
}

#[derive(Default)]
struct Shared {
    feeds: Mutex<Vec<Feed>>,
    truth: Mutex<Option<TruthWriter>>,
    failure: Mutex<Option<String>>,
    failed: AtomicBool,
    dropped: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running simulated camera; dropping it hangs up on all clients.
pub struct SimServer {
    // Before the pipeline, so that clients go first.
    server: RtspServer,
    pipeline: ::gst::Pipeline,
    shared: Arc<Shared>,
}

impl SimServer {
    /// Serves the camera of a world as `rtsp://address:port/camera`; port 0 takes a free one. With `truth` a line is
    /// written there for each frame, with the time of its capture.
    pub fn start(
        settings: &WorldSettings,
        address: &str,
        port: u16,
        truth: Option<&Path>,
    ) -> Result<Self, SimServerError> {
        let WorldSettings { width, height, .. } = *settings;
        if width % 2 != 0 || height % 2 != 0 {
            return Err(SimServerError::OddSize { width, height });
        }
        let world = World::new(*settings)?;
        let shared = Arc::new(Shared::default());
        if let Some(path) = truth {
            *lock(&shared.truth) = Some(TruthWriter::create(path, WorldRecord::new(&world, None))?);
        }
        let pipeline =
            camera_pipeline(settings, &shared).map_err(|error| SimServerError::Pipeline(error.to_string()))?;
        let factory = ::gst_rtsp_server::RTSPMediaFactory::new();
        factory.set_launch(
            "( appsrc name=feed format=time is-live=true block=false max-bytes=0 \
             ! h264parse config-interval=-1 ! rtph264pay aggregate-mode=zero-latency name=pay0 pt=96 config-interval=-1 )",
        );
        let clients = Arc::clone(&shared);
        factory.connect_media_configure(move |_, media| {
            let Some(feed) = prepare(media) else { return };
            feed.set_caps(Some(&stream_caps()));
            lock(&clients.feeds).push(Feed {
                source: feed.downgrade(),
                state: FeedState::Waiting,
            });
        });
        let server = RtspServer::listen(&factory, address, port)?;
        let running = Self {
            server,
            pipeline,
            shared,
        };
        if running.pipeline.set_state(::gst::State::Playing).is_err() {
            let reason = running.failure().unwrap_or_else(|| "does not start".to_owned());
            return Err(SimServerError::Pipeline(reason));
        }
        Ok(running)
    }

    /// Where clients find the camera.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Access units that were not sent because a client's media was behind or not ready.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits, at most so long, for the camera to fail; the reason if it has.
    pub fn wait(&self, limit: Duration) -> Option<String> {
        let bus = self.pipeline.bus()?;
        let limit = ClockTime::try_from(limit).ok();
        let message = bus.timed_pop_filtered(limit, &[::gst::MessageType::Error, ::gst::MessageType::Eos]);
        let ended = message.map(|message| match message.view() {
            ::gst::MessageView::Error(error) => error.error().to_string(),
            _ => "ended".to_owned(),
        });
        lock(&self.shared.failure).clone().or(ended)
    }

    fn failure(&self) -> Option<String> {
        self.wait(Duration::ZERO)
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        // Stopping does not fail in a way that matters here.
        let _ = self.pipeline.set_state(::gst::State::Null);
    }
}

fn stream_caps() -> ::gst::Caps {
    ::gst::Caps::builder("video/x-h264")
        .field("stream-format", "byte-stream")
        .field("alignment", "au")
        .build()
}

/// World → encoder → all feeds, with the truth written on the way.
fn camera_pipeline(settings: &WorldSettings, shared: &Arc<Shared>) -> Result<::gst::Pipeline, glib::BoolError> {
    ::gst::init().map_err(|error| glib::bool_error!("{error}"))?;
    let pipeline = ::gst::Pipeline::new();
    let camera = glib::Object::builder::<kinesimsrc::KineSimSrc>()
        .property("name", "camera")
        .property("scene", kinesimsrc::Scene::from(settings.scene))
        .property("seed", settings.seed)
        .property("width", settings.width)
        .property("height", settings.height)
        .property("fps", settings.frame_rate.unwrap_or(0.0))
        .property("fov", settings.horizontal_fov_deg.unwrap_or(0.0))
        .property("truth", true)
        .build()
        .upcast::<::gst::Element>();
    let queue = ::gst::ElementFactory::make("queue")
        .property("max-size-buffers", 2_u32)
        .property("max-size-bytes", 0_u32)
        .property("max-size-time", 0_u64)
        .build()?;
    let convert = ::gst::ElementFactory::make("videoconvert").build()?;
    let format = ::gst::ElementFactory::make("capsfilter")
        .property(
            "caps",
            ::gst::Caps::builder("video/x-raw").field("format", "I420").build(),
        )
        .build()?;
    let encoder = ::gst::ElementFactory::make("x264enc")
        .name("encoder")
        .property_from_str("tune", "zerolatency")
        .property_from_str("speed-preset", "veryfast")
        .property_from_str("pass", "quant")
        .property("quantizer", 23_u32)
        .property("key-int-max", KEY_FRAME_EVERY)
        .build()?;
    let parse = ::gst::ElementFactory::make("h264parse")
        .property("config-interval", -1_i32)
        .build()?;
    let feeds = Arc::clone(shared);
    let sink = ::gst_app::AppSink::builder()
        .caps(&stream_caps())
        .sync(false)
        .max_buffers(4)
        .callbacks(
            ::gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| ::gst::FlowError::Eos)?;
                    hand_out(sink, &sample, &feeds);
                    Ok(::gst::FlowSuccess::Ok)
                })
                .build(),
        )
        .build();
    let chain = [&camera, &queue, &convert, &format, &encoder, &parse, sink.upcast_ref()];
    pipeline.add_many(chain)?;
    ::gst::Element::link_many(chain)?;
    let pad = camera
        .static_pad("src")
        .ok_or_else(|| glib::bool_error!("kinesimsrc has no source pad"))?;
    let (shared, weak) = (Arc::clone(shared), camera.downgrade());
    pad.add_probe(::gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer()
            && let Err(error) = write_truth(buffer, &shared)
            && let Some(camera) = weak.upgrade()
            && !shared.failed.swap(true, Ordering::Relaxed)
        {
            *lock(&shared.failure) = Some(error.to_string());
            ::gst::element_error!(camera, ::gst::ResourceError::Write, ("{error}"));
        }
        ::gst::PadProbeReturn::Ok
    });
    Ok(pipeline)
}

fn write_truth(buffer: &::gst::BufferRef, shared: &Shared) -> Result<(), TruthError> {
    let mut writer = lock(&shared.truth);
    let (Some(writer), Some(truth)) = (writer.as_mut(), kinesimsrc::truth(buffer)) else {
        return Ok(());
    };
    writer.write(FrameRecord::new(&truth, reference_utc_ns(buffer)))
}

/// Gives an access unit to every media, at the running time at which its frame was taken.
fn hand_out(sink: &::gst_app::AppSink, sample: &::gst::Sample, shared: &Shared) {
    let (Some(buffer), Some(base_time)) = (sample.buffer(), sink.base_time()) else {
        return;
    };
    let running = |time: Option<ClockTime>| {
        let segment = sample.segment()?.downcast_ref::<ClockTime>()?;
        segment.to_running_time(time?)
    };
    let Some(taken) = running(buffer.pts()) else { return };
    let delta = buffer.flags().contains(::gst::BufferFlags::DELTA_UNIT);
    let mut ask = false;
    lock(&shared.feeds).retain_mut(|feed| {
        let Some(source) = feed.source.upgrade() else {
            return false;
        };
        // Both pipelines run on the system clock, each with a base time of its own.
        let pts = source
            .base_time()
            .and_then(|base| (base_time + taken).checked_sub(base))
            .filter(|_| source.current_state() == ::gst::State::Playing);
        let Some(pts) = pts else {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        if source.current_level_buffers() >= WAITING {
            feed.state = FeedState::Waiting;
        }
        if feed.state != FeedState::Started && delta {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            ask |= feed.state == FeedState::Waiting;
            feed.state = FeedState::Asked;
            return true;
        }
        let mut unit = buffer.copy_region(::gst::BufferCopyFlags::MEMORY | ::gst::BufferCopyFlags::FLAGS, ..);
        if let Ok(unit) = unit.as_mut().map(|unit| unit.make_mut()) {
            unit.set_pts(pts);
            unit.set_dts(pts);
            unit.set_duration(buffer.duration());
        }
        match unit.map(|unit| source.push_buffer(unit)) {
            Ok(Ok(_)) => feed.state = FeedState::Started,
            // Flushing: the client has left.
            _ => return false,
        }
        true
    });
    if ask && let Some(pad) = sink.static_pad("sink") {
        // Without it clients wait for the next regular one.
        let _ = pad.push_event(
            ::gst_video::UpstreamForceKeyUnitEvent::builder()
                .all_headers(true)
                .build(),
        );
    }
}

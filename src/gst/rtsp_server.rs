//! An RTSP camera made of a video file: for tests, demos and trying things without a camera.
//!
//! The file plays at its own rate, over and over with time stamps that never jump back, to all clients at once. H.264 and
//! H.265 are sent as they are; anything else is encoded once, when the file is read. RTCP sender reports carry NTP time,
//! so clients know when each frame was "taken". The encoded video is held in memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::gst::glib;
use ::gst::prelude::*;
use ::gst::{ClockTime, Signed};
use ::gst_rtsp_server::prelude::*;
use thiserror::Error;

/// Longest time that reading a file may stand still.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: ClockTime = ClockTime::from_mseconds(100);

/// Why a file cannot be served.
#[derive(Debug, Error)]
pub enum RtspServerError {
    /// The file cannot be read as video.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}:{port}: {reason}")]
    Listen {
        /// The address.
        address: String,
        /// The port.
        port: u16,
        /// The system's reason.
        reason: String,
    },
    /// GStreamer lacks something.
    #[error("GStreamer: {0}; install the base, good, bad and ugly plugins")]
    Gstreamer(#[from] glib::BoolError),
    /// The server's thread cannot start.
    #[error("the server's thread cannot start: {0}")]
    Thread(#[from] std::io::Error),
}

/// One encoded picture.
#[derive(Clone, Debug)]
struct AccessUnit {
    data: ::gst::Buffer,
    pts_ns: u64,
    dts_ns: u64,
    duration: Option<ClockTime>,
}

/// A video file as it is sent.
#[derive(Debug)]
struct Clip {
    caps: ::gst::Caps,
    units: Vec<AccessUnit>,
    length_ns: u64,
}

/// A running server; dropping it hangs up on all clients and closes the port.
#[derive(Debug)]
pub struct RtspServer {
    server: ::gst_rtsp_server::RTSPServer,
    main_loop: glib::MainLoop,
    source: Option<glib::SourceId>,
    context: glib::MainContext,
    thread: Option<JoinHandle<()>>,
    url: String,
}

impl RtspServer {
    /// Serves `file` as `rtsp://address:port/camera`; port 0 takes a free one.
    pub fn start(file: &Path, address: &str, port: u16) -> Result<Self, RtspServerError> {
        let clip = Arc::new(Clip::read(file)?);
        let factory = ::gst_rtsp_server::RTSPMediaFactory::new();
        let payloader = match clip.caps.structure(0).map(|s| s.name().as_str()) {
            Some("video/x-h265") => "h265parse config-interval=-1 ! rtph265pay",
            _ => "h264parse config-interval=-1 ! rtph264pay aggregate-mode=zero-latency",
        };
        factory.set_launch(&format!(
            "( appsrc name=feed format=time is-live=false block=false max-buffers=4 ! {payloader} name=pay0 pt=96 \
             config-interval=-1 )"
        ));
        factory.connect_media_configure(move |_, media| {
            if let Some(feed) = prepare(media) {
                play(&feed, &clip);
            }
        });
        Self::listen(&factory, address, port)
    }

    /// Serves what `factory` makes, once for all clients, as `rtsp://address:port/camera`.
    pub(super) fn listen(
        factory: &::gst_rtsp_server::RTSPMediaFactory,
        address: &str,
        port: u16,
    ) -> Result<Self, RtspServerError> {
        factory.set_shared(true);
        factory.set_latency(0);

        let server = ::gst_rtsp_server::RTSPServer::new();
        server.set_address(address);
        server.set_service(&port.to_string());
        let mounts = server
            .mount_points()
            .ok_or_else(|| glib::bool_error!("the server has no mount points"))?;
        mounts.add_factory("/camera", factory.clone());
        let context = glib::MainContext::new();
        let source = server.attach(Some(&context)).map_err(|error| RtspServerError::Listen {
            address: address.to_owned(),
            port,
            reason: error.to_string(),
        })?;
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let url = format!("rtsp://{address}:{}/camera", server.bound_port());
        let thread = {
            let (main_loop, context) = (main_loop.clone(), context.clone());
            std::thread::Builder::new()
                .name("rtsp-server".to_owned())
                .spawn(move || {
                    // Fails only when another thread runs this context, which nobody else has.
                    let _ = context.with_thread_default(|| main_loop.run());
                })?
        };
        Ok(Self {
            server,
            main_loop,
            source: Some(source),
            context,
            thread: Some(thread),
            url,
        })
    }

    /// Where clients find the camera.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port that is listened on.
    pub fn port(&self) -> u16 {
        u16::try_from(self.server.bound_port()).unwrap_or_default()
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        if let Some(source) = self.source.take().and_then(|id| self.context.find_source_by_id(&id)) {
            source.destroy();
        }
        self.server
            .client_filter(Some(&mut |_, _| ::gst_rtsp_server::RTSPFilterResult::Remove));
        if let Some(pool) = self.server.session_pool() {
            pool.filter(Some(&mut |_, _| ::gst_rtsp_server::RTSPFilterResult::Remove));
        }
        self.main_loop.quit();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Readies a media; its feed is the `appsrc` named `feed`.
pub(super) fn prepare(media: &::gst_rtsp_server::RTSPMedia) -> Option<::gst_app::AppSrc> {
    media.set_reusable(false);
    // A camera tells its clock early: the first sender report goes out within the first seconds.
    media.connect_new_stream(|_, stream| {
        if let Some(session) = stream.rtpsession()
            && session.has_property("rtcp-min-interval")
        {
            session.set_property("rtcp-min-interval", ClockTime::from_seconds(1).nseconds());
        }
    });
    let bin = media.element().downcast::<::gst::Bin>().ok()?;
    bin.by_name("feed")?.downcast::<::gst_app::AppSrc>().ok()
}

/// Feeds one media with the clip, again and again, as fast as its sinks take it: they keep the pace.
fn play(feed: &::gst_app::AppSrc, clip: &Arc<Clip>) {
    feed.set_caps(Some(&clip.caps));
    let clip = Arc::clone(clip);
    let position = Mutex::new((0_usize, 0_u64));
    feed.set_callbacks(
        ::gst_app::AppSrcCallbacks::builder()
            .need_data(move |feed, _| {
                let (unit, shift_ns) = {
                    let mut position = position.lock().unwrap_or_else(PoisonError::into_inner);
                    let (index, shift_ns) = *position;
                    let Some(unit) = clip.units.get(index).cloned() else {
                        return;
                    };
                    *position = if index + 1 < clip.units.len() {
                        (index + 1, shift_ns)
                    } else {
                        (0, shift_ns + clip.length_ns)
                    };
                    (unit, shift_ns)
                };
                let mut buffer = unit.data;
                let writable = buffer.make_mut();
                writable.set_pts(ClockTime::from_nseconds(unit.pts_ns + shift_ns));
                writable.set_dts(ClockTime::from_nseconds(unit.dts_ns + shift_ns));
                writable.set_duration(unit.duration);
                // Flushing: the last client left.
                let _ = feed.push_buffer(buffer);
            })
            .build(),
    );
}

impl Clip {
    fn read(file: &Path) -> Result<Self, RtspServerError> {
        let failed = |reason: String| RtspServerError::File {
            path: file.to_owned(),
            reason,
        };
        ::gst::init().map_err(|error| failed(error.to_string()))?;
        let absolute = file.canonicalize().map_err(|error| failed(error.to_string()))?;
        let uri = glib::filename_to_uri(&absolute, None).map_err(|error| failed(error.to_string()))?;
        let pipeline = ::gst::Pipeline::new();
        let sink = ::gst_app::AppSink::builder().sync(false).max_buffers(16).build();
        pipeline.add(&sink)?;
        let source = ::gst::ElementFactory::make("uridecodebin")
            .property("uri", uri.as_str())
            .build()?;
        // What can be sent as it is is not decoded, nor is sound.
        source.connect("autoplug-continue", false, |args| {
            let caps = args.get(2)?.get::<::gst::Caps>().ok()?;
            let name = caps.structure(0)?.name();
            let done = ["video/x-h264", "video/x-h265", "audio/", "text/", "subpicture/"];
            Some((!done.iter().any(|kind| name.starts_with(kind))).to_value())
        });
        pipeline.add(&source)?;
        let (weak_pipeline, weak_sink) = (pipeline.downgrade(), sink.downgrade());
        source.connect_pad_added(move |source, pad| {
            let (Some(pipeline), Some(sink)) = (weak_pipeline.upgrade(), weak_sink.upgrade()) else {
                return;
            };
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/"));
            if !video || sink.static_pad("sink").is_none_or(|sink| sink.is_linked()) {
                return;
            }
            if let Err(error) = link_tail(&pipeline, pad, &sink) {
                ::gst::element_error!(source, ::gst::CoreError::Negotiation, ("{error}"));
            }
        });
        let units = collect(&pipeline, &sink).map_err(&failed);
        let _ = pipeline.set_state(::gst::State::Null);
        let (caps, units) = units?;
        let length_ns = units
            .iter()
            .map(|unit| unit.pts_ns + unit.duration.map_or(0, ClockTime::nseconds))
            .max()
            .filter(|&length_ns| length_ns > 0)
            .ok_or_else(|| failed("holds no picture".to_owned()))?;
        Ok(Self { caps, units, length_ns })
    }
}

/// Parses what can be sent as it is, encodes the rest.
fn link_tail(pipeline: &::gst::Pipeline, pad: &::gst::Pad, sink: &::gst_app::AppSink) -> Result<(), glib::BoolError> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let description = match caps.structure(0).map(|s| s.name().as_str()) {
        Some("video/x-h264") => "h264parse ! capsfilter caps=video/x-h264,stream-format=byte-stream,alignment=au",
        Some("video/x-h265") => "h265parse ! capsfilter caps=video/x-h265,stream-format=byte-stream,alignment=au",
        _ => {
            "videoconvert ! capsfilter caps=video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=veryfast key-int-max=30 \
             ! h264parse ! capsfilter caps=video/x-h264,stream-format=byte-stream,alignment=au"
        }
    };
    let tail = ::gst::parse::bin_from_description(description, true)
        .map_err(|error| glib::bool_error!("{description}: {error}"))?;
    pipeline.add(&tail)?;
    tail.link(sink)?;
    tail.sync_state_with_parent()?;
    let tail_sink = tail
        .static_pad("sink")
        .ok_or_else(|| glib::bool_error!("{description}: no sink pad"))?;
    pad.link(&tail_sink)
        .map_err(|error| glib::bool_error!("{description}: {error}"))?;
    Ok(())
}

/// All access units of the file, counted from its first.
fn collect(pipeline: &::gst::Pipeline, sink: &::gst_app::AppSink) -> Result<(::gst::Caps, Vec<AccessUnit>), String> {
    let bus_error = |wait: ClockTime| {
        let message = pipeline.bus()?.timed_pop_filtered(wait, &[::gst::MessageType::Error])?;
        match message.view() {
            ::gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        }
    };
    pipeline
        .set_state(::gst::State::Playing)
        .map_err(|error| bus_error(POLL).unwrap_or_else(|| error.to_string()))?;
    let mut found: Vec<(i64, i64, Option<ClockTime>, ::gst::Buffer)> = Vec::new();
    let mut caps = None;
    let mut newest = Instant::now();
    loop {
        let Some(sample) = sink.try_pull_sample(POLL) else {
            if let Some(error) = bus_error(ClockTime::ZERO) {
                return Err(error);
            }
            if sink.is_eos() {
                break;
            }
            if newest.elapsed() > READ_TIMEOUT {
                return Err(format!("reading stood still for {} s", READ_TIMEOUT.as_secs()));
            }
            continue;
        };
        newest = Instant::now();
        let Some(buffer) = sample.buffer_owned() else { continue };
        caps = caps.or_else(|| sample.caps_owned());
        let running_ns = |time: Option<ClockTime>| -> Option<i64> {
            let segment = sample.segment()?.downcast_ref::<ClockTime>()?;
            Some(match segment.to_running_time_full(time?)? {
                Signed::Positive(time) => time.nseconds() as i64,
                Signed::Negative(time) => -(time.nseconds() as i64),
            })
        };
        let Some(pts_ns) = running_ns(buffer.pts()) else {
            continue;
        };
        let dts_ns = running_ns(buffer.dts()).unwrap_or(pts_ns);
        let mut data = ::gst::Buffer::new();
        if let Some(target) = data.get_mut() {
            for memory in buffer.iter_memories_owned() {
                target.append_memory(memory);
            }
            target.set_flags(buffer.flags() & ::gst::BufferFlags::DELTA_UNIT);
        }
        found.push((pts_ns, dts_ns, buffer.duration(), data));
    }
    let caps = caps.ok_or("holds no video")?;
    let first_ns = found
        .iter()
        .map(|(pts_ns, dts_ns, _, _)| *pts_ns.min(dts_ns))
        .min()
        .unwrap_or_default();
    let nominal = nominal_duration(&found);
    let units = found
        .into_iter()
        .map(|(pts_ns, dts_ns, duration, data)| AccessUnit {
            data,
            pts_ns: (pts_ns - first_ns) as u64,
            dts_ns: (dts_ns - first_ns) as u64,
            duration: duration.or(nominal),
        })
        .collect();
    Ok((caps, units))
}

/// The mean distance of pictures, for streams that do not say how long each lasts.
fn nominal_duration(found: &[(i64, i64, Option<ClockTime>, ::gst::Buffer)]) -> Option<ClockTime> {
    let times = || found.iter().map(|(pts_ns, ..)| *pts_ns);
    let span = u64::try_from(times().max()? - times().min()?).ok()?;
    let steps = u64::try_from(found.len().checked_sub(1)?).ok()?;
    let step = Duration::from_nanos(span.checked_div(steps)?);
    ClockTime::try_from(step).ok()
}

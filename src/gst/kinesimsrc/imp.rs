//! The subclass behind `kinesimsrc`: a push source around [`SimulatedCamera`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use ::gst::ClockTime;
use ::gst::glib;
use ::gst::prelude::*;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::base_src::CreateSuccess;
use ::gst_base::subclass::prelude::*;
use ::gst_video::prelude::*;
use ::gst_video::{VideoCapsBuilder, VideoConverter, VideoFormat, VideoFrameRef, VideoInfo};

use super::{Scene, attach, uri};
use crate::gst::frame_clock::utc_now_ns;
use crate::gst::picture;
use crate::gst::recorder::{clock_time, fraction};
use crate::sim::render::Rendered;
use crate::sim::{SimulatedCamera, World, WorldError, WorldSettings};

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new("kinesimsrc", ::gst::DebugColorFlags::empty(), Some("Simulated camera"))
});

/// What the capture time on a buffer refers to.
const UNIX_TIME: &str = "timestamp/x-unix";

/// What the properties say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub scene: Scene,
    pub seed: u64,
    pub width: u32,
    pub height: u32,
    /// 0: the scene's own.
    pub frame_rate: f64,
    /// 0: the scene's own.
    pub fov_deg: f64,
    pub truth: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scene: Scene::default(),
            seed: 0,
            width: 640,
            height: 384,
            frame_rate: 0.0,
            fov_deg: 0.0,
            truth: false,
        }
    }
}

impl Settings {
    fn world(&self) -> WorldSettings {
        let given = |value: f64| (value > 0.0).then_some(value);
        WorldSettings {
            width: self.width,
            height: self.height,
            frame_rate: given(self.frame_rate),
            horizontal_fov_deg: given(self.fov_deg),
            ..WorldSettings::new(self.scene.into(), self.seed)
        }
    }
}

/// A running camera.
struct Running {
    camera: SimulatedCamera,
    /// Frames as they are sent.
    info: VideoInfo,
    /// From the renderer's pixels, when frames are sent in another format.
    converter: Option<(VideoConverter, VideoInfo, ::gst::Buffer)>,
    /// Running time at the world's time zero.
    began: Option<ClockTime>,
}

/// Subclass data of `kinesimsrc`.
#[derive(Default)]
pub struct KineSimSrc {
    settings: Mutex<Settings>,
    running: Mutex<Option<Running>>,
    /// The last world's camera file.
    camera: Mutex<Option<String>>,
    frames: AtomicU64,
    dropped: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for KineSimSrc {
    const NAME: &'static str = "GstKineSimSrc";
    type Type = super::KineSimSrc;
    type ParentType = ::gst_base::PushSrc;
    type Interfaces = (::gst::URIHandler,);
}

impl ObjectImpl for KineSimSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            let pixels = |name: &str, nick: &str, blurb: &str, default: u32| {
                glib::ParamSpecUInt::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .minimum(16)
                    .maximum(8192)
                    .default_value(default)
                    .mutable_ready()
                    .build()
            };
            let optional = |name: &str, nick: &str, blurb: &str, most: f64| {
                glib::ParamSpecDouble::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .minimum(0.0)
                    .maximum(most)
                    .default_value(0.0)
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
                glib::ParamSpecEnum::builder_with_default("scene", defaults.scene)
                    .nick("Scene")
                    .blurb("The kind of world")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("seed")
                    .nick("Seed")
                    .blurb("Everything random is drawn from this: the same scene and seed are the same world")
                    .default_value(defaults.seed)
                    .mutable_ready()
                    .build(),
                pixels(
                    "width",
                    "Width",
                    "Picture width when caps leave it open, pixels",
                    defaults.width,
                ),
                pixels(
                    "height",
                    "Height",
                    "Picture height when caps leave it open, pixels",
                    defaults.height,
                ),
                optional(
                    "fps",
                    "Frame rate",
                    "Frames a second when caps leave it open; 0 takes the scene's own",
                    240.0,
                ),
                optional(
                    "fov",
                    "Field of view",
                    "Horizontal field of view, degrees; 0 takes the scene's own",
                    150.0,
                ),
                glib::ParamSpecBoolean::builder("truth")
                    .nick("Truth")
                    .blurb("Attach what is true of each frame as metadata")
                    .default_value(defaults.truth)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("is-live")
                    .nick("Is live")
                    .blurb("Send each frame when it is taken, and leave out what is late; otherwise as fast as it is taken")
                    .default_value(true)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("camera")
                    .nick("Camera")
                    .blurb("The camera file (TOML) of the last world that was started")
                    .read_only()
                    .build(),
                counter("frames", "Frames", "Frames sent since the start"),
                counter(
                    "dropped",
                    "Dropped",
                    "Live frames left out because they could not be drawn in time, since the start",
                ),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "scene" => settings.scene = value.get().unwrap_or(settings.scene),
            "seed" => settings.seed = value.get().unwrap_or(settings.seed),
            "width" => settings.width = value.get().unwrap_or(settings.width),
            "height" => settings.height = value.get().unwrap_or(settings.height),
            "fps" => settings.frame_rate = value.get().unwrap_or(settings.frame_rate),
            "fov" => settings.fov_deg = value.get().unwrap_or(settings.fov_deg),
            "truth" => settings.truth = value.get().unwrap_or(settings.truth),
            "is-live" => {
                drop(settings);
                self.obj().set_live(value.get().unwrap_or(true));
            }
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings).clone();
        match pspec.name() {
            "scene" => settings.scene.to_value(),
            "seed" => settings.seed.to_value(),
            "width" => settings.width.to_value(),
            "height" => settings.height.to_value(),
            "fps" => settings.frame_rate.to_value(),
            "fov" => settings.fov_deg.to_value(),
            "truth" => settings.truth.to_value(),
            "is-live" => self.obj().is_live().to_value(),
            "camera" => lock(&self.camera).to_value(),
            "frames" => self.frames.load(Ordering::Relaxed).to_value(),
            "dropped" => self.dropped.load(Ordering::Relaxed).to_value(),
            _ => pspec.default_value().clone(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_live(true);
        obj.set_format(::gst::Format::Time);
    }
}

impl GstObjectImpl for KineSimSrc {}

impl ElementImpl for KineSimSrc {
    fn metadata() -> Option<&'static ::gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<::gst::subclass::ElementMetadata> = LazyLock::new(|| {
            ::gst::subclass::ElementMetadata::new(
                "Kinestream simulated camera",
                "Source/Video",
                "A live camera in a simulated world whose truth is known",
                "Kinestream authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [::gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<::gst::PadTemplate>> = LazyLock::new(|| {
            // The renderer's own format first: it is taken when downstream takes any.
            let others = picture::FORMATS
                .into_iter()
                .filter(|format| *format != VideoFormat::Rgb);
            let caps = VideoCapsBuilder::new()
                .format_list(std::iter::once(VideoFormat::Rgb).chain(others))
                .width_range(16..=8192)
                .height_range(16..=8192)
                .framerate_range(::gst::Fraction::new(1, 1)..=::gst::Fraction::new(240, 1))
                .build();
            ::gst::PadTemplate::new("src", ::gst::PadDirection::Src, ::gst::PadPresence::Always, &caps)
                .into_iter()
                .collect()
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for KineSimSrc {
    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        self.frames.store(0, Ordering::Relaxed);
        self.dropped.store(0, Ordering::Relaxed);
        let settings = lock(&self.settings).world();
        World::new(settings)
            .map(drop)
            .map_err(|error| self.settings_error(&error))
    }

    fn stop(&self) -> Result<(), ::gst::ErrorMessage> {
        *lock(&self.running) = None;
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn fixate(&self, mut caps: ::gst::Caps) -> ::gst::Caps {
        let settings = lock(&self.settings).world();
        caps.truncate();
        if let Some(structure) = caps.make_mut().structure_mut(0) {
            structure.fixate_field_nearest_int("width", settings.width as i32);
            structure.fixate_field_nearest_int("height", settings.height as i32);
            // The scene's own rate is known once the world is built; start() has seen that it can be.
            let own = settings
                .frame_rate
                .or_else(|| World::new(settings).ok().map(|world| world.frame_rate));
            structure.fixate_field_nearest_fraction("framerate", fraction(own.unwrap_or(25.0)));
        }
        self.parent_fixate(caps)
    }

    fn set_caps(&self, caps: &::gst::Caps) -> Result<(), ::gst::LoggableError> {
        let info = VideoInfo::from_caps(caps).map_err(|_| ::gst::loggable_error!(CAT, "no raw video: {caps}"))?;
        let running = self
            .begin(info)
            .map_err(|reason| ::gst::loggable_error!(CAT, "{reason}"))?;
        *lock(&self.camera) = Some(running.camera.world().camera.to_toml());
        let obj = self.obj();
        obj.set_blocksize(running.info.size() as u32);
        *lock(&self.running) = Some(running);
        // Fails only while the element is not in a pipeline.
        let _ = obj.post_message(::gst::message::Latency::builder().src(&*obj).build());
        Ok(())
    }

    /// Live, the base class holds each frame back until it is taken.
    fn times(&self, buffer: &::gst::BufferRef) -> (Option<ClockTime>, Option<ClockTime>) {
        match buffer.pts() {
            Some(pts) if self.obj().is_live() => (Some(pts), buffer.duration().map(|duration| pts + duration)),
            _ => (None, None),
        }
    }

    fn query(&self, query: &mut ::gst::QueryRef) -> bool {
        if let ::gst::QueryViewMut::Latency(latency) = query.view_mut() {
            let period = lock(&self.running)
                .as_ref()
                .map(|running| clock_time(running.camera.world().frame_rate.recip()));
            let Some(period) = period else { return false };
            // A frame may be drawn as late as its successor is due; after that it is left out.
            let live = self.obj().is_live();
            let least = if live { period } else { ClockTime::ZERO };
            latency.set(live, least, ClockTime::NONE);
            return true;
        }
        BaseSrcImplExt::parent_query(self, query)
    }
}

impl PushSrcImpl for KineSimSrc {
    /// The bindings' defaults of this method and of `alloc` do not fall back on the base class, so it is all done here.
    fn create(&self, buffer: Option<&mut ::gst::BufferRef>) -> Result<CreateSuccess, ::gst::FlowError> {
        if let Some(buffer) = buffer {
            self.draw_into(buffer)?;
            return Ok(CreateSuccess::FilledBuffer);
        }
        let size = self.obj().blocksize() as usize;
        let mut buffer = ::gst::Buffer::with_size(size).map_err(|error| {
            ::gst::element_imp_error!(self, ::gst::ResourceError::NoSpaceLeft, ["{size} bytes: {error}"]);
            ::gst::FlowError::Error
        })?;
        let writable = buffer.get_mut().ok_or(::gst::FlowError::Error)?;
        self.draw_into(writable)?;
        Ok(CreateSuccess::NewBuffer(buffer))
    }
}

impl KineSimSrc {
    /// Draws the next frame into `buffer`.
    fn draw_into(&self, buffer: &mut ::gst::BufferRef) -> Result<(), ::gst::FlowError> {
        let mut guard = lock(&self.running);
        let running = guard.as_mut().ok_or(::gst::FlowError::NotNegotiated)?;
        if self.obj().is_live()
            && let (Some(began), Some(now)) = (running.began, self.running_time())
        {
            let late_s = |camera: &mut SimulatedCamera| {
                now.saturating_sub(began).nseconds() as f64 * 1e-9 - camera.next_time_s()
            };
            let period_s = running.camera.world().frame_rate.recip();
            while late_s(&mut running.camera) > period_s {
                running.camera.skip_frame();
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        let period = clock_time(running.camera.world().frame_rate.recip());
        let (rendered, truth) = running.camera.take_frame().map_err(|error| {
            ::gst::element_imp_error!(self, ::gst::StreamError::Failed, ("{error}"));
            ::gst::FlowError::Error
        })?;
        write_pixels(rendered, &running.info, running.converter.as_mut(), buffer).map_err(|error| {
            ::gst::element_imp_error!(self, ::gst::StreamError::Format, ("{error}"));
            ::gst::FlowError::Error
        })?;
        // The first frame is taken when it is drawn, however long building the world took.
        let began = *running.began.get_or_insert_with(|| {
            let now = self.obj().is_live().then(|| self.running_time()).flatten();
            now.unwrap_or(ClockTime::ZERO)
        });
        let pts = began + clock_time(truth.time_s);
        buffer.set_pts(pts);
        buffer.set_duration(period);
        buffer.set_offset(truth.frame);
        buffer.set_offset_end(truth.frame + 1);
        if let Some(utc) = self.capture_utc(pts) {
            let reference = ::gst::Caps::new_empty_simple(UNIX_TIME);
            ::gst::ReferenceTimestampMeta::add(buffer, &reference, utc, None);
        }
        if lock(&self.settings).truth {
            attach(buffer, Arc::new(truth)).map_err(|error| {
                ::gst::element_imp_error!(self, ::gst::StreamError::Failed, ("{error}"));
                ::gst::FlowError::Error
            })?;
        }
        self.frames.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl URIHandlerImpl for KineSimSrc {
    const URI_TYPE: ::gst::URIType = ::gst::URIType::Src;

    fn protocols() -> &'static [&'static str] {
        &[uri::SCHEME]
    }

    fn uri(&self) -> Option<String> {
        Some(uri::write(&lock(&self.settings)))
    }

    fn set_uri(&self, uri: &str) -> Result<(), glib::Error> {
        if self.obj().current_state() > ::gst::State::Ready {
            return Err(glib::Error::new(
                ::gst::URIError::BadState,
                "the URI of a running source cannot change",
            ));
        }
        let settings =
            uri::parse(uri).map_err(|error| glib::Error::new(::gst::URIError::BadUri, &error.to_string()))?;
        *lock(&self.settings) = settings;
        Ok(())
    }
}

impl KineSimSrc {
    fn settings_error(&self, error: &WorldError) -> ::gst::ErrorMessage {
        ::gst::error_msg!(::gst::ResourceError::Settings, ("{error}"))
    }

    /// Builds the world for frames of these caps.
    fn begin(&self, info: VideoInfo) -> Result<Running, String> {
        let mut settings = lock(&self.settings).world();
        settings.width = info.width();
        settings.height = info.height();
        let camera = |settings| SimulatedCamera::new(settings).map_err(|error: WorldError| error.to_string());
        let mut found = camera(settings)?;
        if fraction(found.world().frame_rate) != info.fps() && info.fps().numer() > 0 {
            settings.frame_rate = Some(f64::from(info.fps().numer()) / f64::from(info.fps().denom()));
            found = camera(settings)?;
        }
        let converter = (info.format() != VideoFormat::Rgb)
            .then(|| -> Result<_, glib::BoolError> {
                let rgb = VideoInfo::builder(VideoFormat::Rgb, info.width(), info.height())
                    .fps(info.fps())
                    .build()?;
                let converter = VideoConverter::new(&rgb, &info, None)?;
                let buffer = ::gst::Buffer::with_size(rgb.size())?;
                Ok((converter, rgb, buffer))
            })
            .transpose()
            .map_err(|error| error.to_string())?;
        Ok(Running {
            camera: found,
            info,
            converter,
            began: None,
        })
    }

    /// Running time now, once a clock runs.
    fn running_time(&self) -> Option<ClockTime> {
        let obj = self.obj();
        obj.clock()?.time().checked_sub(obj.base_time()?)
    }

    /// When, since 1970, the pipeline clock is at `running_time`.
    fn capture_utc(&self, running_time: ClockTime) -> Option<ClockTime> {
        if !self.obj().is_live() {
            return None;
        }
        let now = i128::from(self.running_time()?.nseconds());
        let utc_ns = i128::from(utc_now_ns()?) - now + i128::from(running_time.nseconds());
        u64::try_from(utc_ns).ok().map(ClockTime::from_nseconds)
    }
}

/// Writes a picture into a buffer of the negotiated caps.
fn write_pixels(
    rendered: &Rendered,
    info: &VideoInfo,
    converter: Option<&mut (VideoConverter, VideoInfo, ::gst::Buffer)>,
    buffer: &mut ::gst::BufferRef,
) -> Result<(), glib::BoolError> {
    let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, info)?;
    let Some((converter, rgb, source)) = converter else {
        return write_rgb(rendered, &mut frame);
    };
    let writable = source
        .get_mut()
        .ok_or_else(|| glib::bool_error!("the renderer's picture is held by somebody else"))?;
    write_rgb(rendered, &mut VideoFrameRef::from_buffer_ref_writable(writable, rgb)?)?;
    let source = VideoFrameRef::from_buffer_ref_readable(source, rgb)?;
    converter.frame_ref(&source, &mut frame);
    Ok(())
}

fn write_rgb(rendered: &Rendered, frame: &mut VideoFrameRef<&mut ::gst::BufferRef>) -> Result<(), glib::BoolError> {
    let stride = frame.plane_stride()[0] as usize;
    let row_bytes = 3 * rendered.width as usize;
    for (to, from) in frame
        .plane_data_mut(0)?
        .chunks_mut(stride)
        .zip(rendered.rgb.chunks_exact(row_bytes))
    {
        if let Some(to) = to.get_mut(..row_bytes) {
            to.copy_from_slice(from);
        }
    }
    Ok(())
}

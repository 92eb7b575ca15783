//! The subclass behind `kinerecon`: an in-place transform around a [`Reconstructor`] and a [`DepthModel`].

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::gst::glib;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::prelude::*;

use super::Ego;
use crate::camera::Camera;
use crate::frame::FrameTime;
use crate::gst::events::{Ego as EgoEvent, Model, Movable};
use crate::gst::in_place::{self, Frame, InPlace, StreamChange};
use crate::gst::picture::MappedFrame;
use crate::perception::{DEFAULT_MODEL, DepthModel, DepthSettings, Device, NO_MODEL, SessionSettings};
use crate::reconstruction::{
    ClassPriors, DepthMap, EgoSample, MovableRegion, Reconstructor, SceneFrame, StaticReconstructor, View,
    VisualReconstructor, load_ego,
};
use crate::results::Stage;

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new(
        "kinerecon",
        ::gst::DebugColorFlags::empty(),
        Some("Kinestream reconstruction"),
    )
});

/// Ego events that wait for the next frame, at most; the oldest are dropped.
const MAX_TOLD: usize = 1024;
/// Boxes older than this say nothing of the next picture, seconds.
const MAX_BOX_AGE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
struct Settings {
    camera: Option<String>,
    depth_model: Option<String>,
    ego: Ego,
    ego_file: Option<String>,
    device: String,
    depth_interval: u32,
    threads: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            camera: None,
            depth_model: Some(DEFAULT_MODEL.to_owned()),
            ego: Ego::Static,
            ego_file: None,
            device: "auto".to_owned(),
            depth_interval: 1,
            threads: 0,
        }
    }
}

struct Worker {
    camera: Option<Camera>,
    reconstructor: Box<dyn Reconstructor>,
    depth: Option<DepthModel>,
    depth_interval: u32,
    frames_to_depth: u32,
    /// All that the ego file tells; told again when the stream begins anew.
    ego_file: Vec<EgoSample>,
    /// How far UTC is ahead of stream time, nanoseconds.
    utc_ahead_ns: Option<i128>,
    wants_pictures: bool,
}

/// What events told since the last frame.
#[derive(Default)]
struct Told {
    movable: Option<(Movable, Instant)>,
    ego: VecDeque<EgoEvent>,
    ego_dropped: u64,
}

/// Instance of `kinerecon`.
#[derive(Default)]
pub struct KineRecon {
    common: InPlace,
    settings: Mutex<Settings>,
    /// Held while a frame is worked on, by the streaming thread only.
    worker: Mutex<Option<Worker>>,
    /// The model that is not yet told downstream.
    untold: Mutex<Option<Model>>,
    told: Mutex<Told>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for KineRecon {
    const NAME: &'static str = "GstKineRecon";
    type Type = super::KineRecon;
    type ParentType = ::gst_base::BaseTransform;
}

impl ObjectImpl for KineRecon {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let own = vec![
                glib::ParamSpecString::builder("camera")
                    .nick("Camera file")
                    .blurb("TOML file with the camera's intrinsics and mounting; without it a field of view is assumed")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("depth-model")
                    .nick("Depth model")
                    .blurb("Metric depth network: TOML manifest, ONNX file of a known contract, `default` for the built-in one, or `none`")
                    .default_value(DEFAULT_MODEL)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("ego", Ego::Static)
                    .nick("Ego motion")
                    .blurb("How the camera's own motion is found")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("ego-file")
                    .nick("Ego file")
                    .blurb(
                        "CSV file with the vehicle's poses or speeds, for ego=external; columns time_s and x_m, y_m, z_m, \
                         qw, qx, qy, qz, or speed_mps and yaw_rate_radps",
                    )
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("ego-dropped")
                    .nick("Ego dropped")
                    .blurb("Ego events given up because more came than frames could take, since the stage started")
                    .read_only()
                    .build(),
                glib::ParamSpecString::builder("device")
                    .nick("Device")
                    .blurb("Where the depth network runs: auto, cpu, cuda, cuda:1, tensorrt")
                    .default_value("auto")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("depth-interval")
                    .nick("Depth interval")
                    .blurb("The depth network runs on every so many-th frame")
                    .minimum(1)
                    .default_value(1)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("threads")
                    .nick("Threads")
                    .blurb("Threads of the depth network; 0 takes one per core")
                    .default_value(0)
                    .mutable_ready()
                    .build(),
            ];
            [own, in_place::properties()].concat()
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = locked(&self.settings);
        match pspec.name() {
            "camera" => settings.camera = value.get().unwrap_or_default(),
            "depth-model" => settings.depth_model = value.get().unwrap_or_default(),
            "ego" => settings.ego = value.get().unwrap_or_default(),
            "ego-file" => settings.ego_file = value.get().unwrap_or_default(),
            "device" => settings.device = value.get::<Option<String>>().ok().flatten().unwrap_or_default(),
            "depth-interval" => settings.depth_interval = value.get().unwrap_or(1),
            "threads" => settings.threads = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = locked(&self.settings);
        match pspec.name() {
            "camera" => settings.camera.to_value(),
            "depth-model" => settings.depth_model.to_value(),
            "ego" => settings.ego.to_value(),
            "ego-file" => settings.ego_file.to_value(),
            "ego-dropped" => locked(&self.told).ego_dropped.to_value(),
            "device" => settings.device.to_value(),
            "depth-interval" => settings.depth_interval.to_value(),
            "threads" => settings.threads.to_value(),
            name => self
                .common
                .property(name)
                .unwrap_or_else(|| pspec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for KineRecon {}

impl ElementImpl for KineRecon {
    fn metadata() -> Option<&'static ::gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<::gst::subclass::ElementMetadata> = LazyLock::new(|| {
            ::gst::subclass::ElementMetadata::new(
                "Kinestream reconstruction",
                "Filter/Analyzer/Video",
                "Tells the camera's pose and metric depth of every frame",
                "Kinestream authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [::gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<::gst::PadTemplate>> = LazyLock::new(in_place::pad_templates);
        &TEMPLATES
    }
}

impl BaseTransformImpl for KineRecon {
    in_place::base_transform_glue!(caps);

    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        let settings = locked(&self.settings).clone();
        let worker = Worker::load(&settings)?;
        self.common.start();
        *locked(&self.told) = Told::default();
        *locked(&self.untold) = worker.depth.as_ref().map(|depth| Model {
            stage: "depth".to_owned(),
            name: depth.manifest().name.clone(),
            device: depth.device().to_string(),
        });
        *locked(&self.worker) = Some(worker);
        Ok(())
    }

    fn stop(&self) -> Result<(), ::gst::ErrorMessage> {
        *locked(&self.worker) = None;
        Ok(())
    }

    fn sink_event(&self, event: ::gst::Event) -> bool {
        match self.common.sink_event(&event) {
            StreamChange::Flushed | StreamChange::NewStream => self.reset(),
            StreamChange::None | StreamChange::Ended => {}
        }
        if let Some(ego) = EgoEvent::from_event(&event) {
            self.hear(ego);
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: ::gst::Event) -> bool {
        self.common.src_event(&event);
        if let Some(movable) = Movable::from_event(&event) {
            locked(&self.told).movable = Some((movable, Instant::now()));
            return true;
        }
        if let Some(ego) = EgoEvent::from_event(&event) {
            self.hear(ego);
            return true;
        }
        self.parent_src_event(event)
    }

    fn transform_ip(&self, buffer: &mut ::gst::BufferRef) -> Result<::gst::FlowSuccess, ::gst::FlowError> {
        let element = self.obj();
        let Some(mut frame) = self.common.begin(&*element, buffer)? else {
            return Ok(::gst::FlowSuccess::Ok);
        };
        if let Some(model) = locked(&self.untold).take() {
            element.src_pad().push_event(model.to_event());
        }
        let mut slot = locked(&self.worker);
        let worker = slot.as_mut().ok_or(::gst::FlowError::Flushing)?;
        if frame.new_scene {
            worker.reset();
        }
        let movable = self.movable(&frame);
        let ego = std::mem::take(&mut locked(&self.told).ego);
        worker.hear(frame.time(), ego);
        let view = worker
            .depth_due(frame.late)
            .then(|| worker.measure_depth(buffer, &frame.info))
            .transpose()
            .and_then(|depth| worker.reconstruct(buffer, frame.time(), &frame.info, depth.flatten(), &movable));
        drop(slot);
        match view {
            Ok(view) => frame.results_mut().view = Some(Arc::new(view)),
            Err(message) => {
                ::gst::element_error!(element, ::gst::StreamError::Failed, ("{message}"));
                return Err(::gst::FlowError::Error);
            }
        }
        self.common.finish(&*element, buffer, frame, Stage::Reconstruction)
    }
}

impl KineRecon {
    fn hear(&self, ego: EgoEvent) {
        let mut told = locked(&self.told);
        if told.ego.len() >= MAX_TOLD {
            told.ego.pop_front();
            told.ego_dropped += 1;
        }
        told.ego.push_back(ego);
    }

    /// Where things are that may move: the frame's own tracks when a tracker stands before, else the boxes of the newest
    /// frame that one behind told of.
    fn movable(&self, frame: &Frame) -> Vec<MovableRegion> {
        let own = MovableRegion::of_tracks(&frame.results.tracks);
        if !own.is_empty() {
            return own;
        }
        let told = locked(&self.told);
        match &told.movable {
            Some((movable, heard))
                if heard.elapsed() < MAX_BOX_AGE
                    && (movable.width, movable.height) == (frame.info.width(), frame.info.height()) =>
            {
                movable.regions.clone()
            }
            _ => Vec::new(),
        }
    }

    fn reset(&self) {
        if let Some(worker) = locked(&self.worker).as_mut() {
            worker.reset();
        }
    }
}

impl Worker {
    fn load(settings: &Settings) -> Result<Self, ::gst::ErrorMessage> {
        let failed = |error: &dyn std::fmt::Display| ::gst::error_msg!(::gst::ResourceError::Settings, ("{error}"));
        let camera = settings
            .camera
            .as_deref()
            .filter(|path| !path.is_empty())
            .map(|path| Camera::load(Path::new(path)))
            .transpose()
            .map_err(|error| failed(&error))?;
        let session = SessionSettings {
            device: settings.device.parse::<Device>().map_err(|error| failed(&error))?,
            threads: settings.threads as usize,
            ..SessionSettings::default()
        };
        let depth = settings
            .depth_model
            .as_deref()
            .filter(|path| !path.is_empty() && *path != NO_MODEL)
            .map(|path| DepthModel::load(Path::new(path), &DepthSettings { session }))
            .transpose()
            .map_err(|error| failed(&error))?;
        let ego_file = match settings.ego_file.as_deref().filter(|path| !path.is_empty()) {
            Some(path) if settings.ego == Ego::External => load_ego(Path::new(path)).map_err(|error| failed(&error))?,
            Some(path) => return Err(failed(&format!("ego-file={path} needs ego=external"))),
            None => Vec::new(),
        };
        let priors = Arc::new(ClassPriors::default());
        let mut reconstructor: Box<dyn Reconstructor> = match settings.ego {
            Ego::Static => Box::new(StaticReconstructor::new(camera.clone())),
            Ego::Visual => Box::new(VisualReconstructor::new(camera.clone(), priors)),
            Ego::External => Box::new(VisualReconstructor::with_ego(camera.clone(), priors)),
        };
        for sample in &ego_file {
            reconstructor.tell_ego(sample);
        }
        Ok(Self {
            ego_file,
            utc_ahead_ns: None,
            wants_pictures: settings.ego != Ego::Static,
            camera,
            reconstructor,
            depth,
            depth_interval: settings.depth_interval.max(1),
            frames_to_depth: 0,
        })
    }

    fn reset(&mut self) {
        self.reconstructor.reset();
        for sample in &self.ego_file {
            self.reconstructor.tell_ego(sample);
        }
        self.frames_to_depth = 0;
    }

    /// Takes what events told of the vehicle's motion; what is on a clock that cannot be compared is passed over.
    fn hear(&mut self, time: FrameTime, told: VecDeque<EgoEvent>) {
        if let Some(utc_ns) = time.capture_utc_ns {
            self.utc_ahead_ns = Some(i128::from(utc_ns) - i128::from(time.pts_ns));
        }
        for ego in told {
            match ego.sample(self.utc_ahead_ns) {
                Some(sample) => self.reconstructor.tell_ego(&sample),
                None => ::gst::debug!(CAT, "ego motion in UTC, but the frames have no UTC time"),
            }
        }
    }

    fn depth_due(&mut self, late: bool) -> bool {
        if self.depth.is_none() || late {
            return false;
        }
        let due = self.frames_to_depth == 0;
        self.frames_to_depth = if due { self.depth_interval } else { self.frames_to_depth } - 1;
        due
    }

    fn measure_depth(
        &mut self,
        buffer: &::gst::BufferRef,
        info: &::gst_video::VideoInfo,
    ) -> Result<Option<Arc<DepthMap>>, String> {
        let Some(model) = &mut self.depth else { return Ok(None) };
        let started = Instant::now();
        let mapped = MappedFrame::map(buffer, info).map_err(|error| error.to_string())?;
        let picture = mapped.picture().map_err(|error| error.to_string())?;
        let camera = match &self.camera {
            Some(camera) => camera.clone(),
            None => Camera::assumed(info.width(), info.height()).map_err(|error| error.to_string())?,
        };
        let depth = model
            .estimate(&picture, &camera.intrinsics)
            .map_err(|error| error.to_string())?;
        ::gst::trace!(CAT, "depth took {:?}", started.elapsed());
        Ok(Some(Arc::new(depth)))
    }

    fn reconstruct(
        &mut self,
        buffer: &::gst::BufferRef,
        time: FrameTime,
        info: &::gst_video::VideoInfo,
        depth: Option<Arc<DepthMap>>,
        movable: &[MovableRegion],
    ) -> Result<View, String> {
        let mapped = self
            .wants_pictures
            .then(|| MappedFrame::map(buffer, info))
            .transpose()
            .map_err(|error| error.to_string())?;
        let picture = mapped
            .as_ref()
            .map(MappedFrame::picture)
            .transpose()
            .map_err(|error| error.to_string())?;
        self.reconstructor
            .reconstruct_frame(&SceneFrame {
                time,
                width: info.width(),
                height: info.height(),
                picture,
                depth,
                movable,
            })
            .map_err(|error| error.to_string())
    }
}

//! The subclass behind `kinerecon`: an in-place transform around a [`Reconstructor`] and a [`DepthModel`].

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ::gst::glib;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::prelude::*;

use super::Ego;
use crate::camera::Camera;
use crate::frame::FrameTime;
use crate::gst::events::Model;
use crate::gst::in_place::{self, InPlace, StreamChange};
use crate::gst::picture::MappedFrame;
use crate::perception::{DepthModel, DepthSettings, Device, SessionSettings};
use crate::reconstruction::{DepthMap, Reconstructor, StaticReconstructor, View};
use crate::results::Stage;

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new(
        "kinerecon",
        ::gst::DebugColorFlags::empty(),
        Some("Kinestream reconstruction"),
    )
});

#[derive(Clone, Debug)]
struct Settings {
    camera: Option<String>,
    depth_model: Option<String>,
    ego: Ego,
    device: String,
    depth_interval: u32,
    threads: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            camera: None,
            depth_model: None,
            ego: Ego::Static,
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
                    .blurb("Metric depth network: TOML manifest, or ONNX file of a known contract; none by default")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("ego", Ego::Static)
                    .nick("Ego motion")
                    .blurb("How the camera's own motion is found")
                    .mutable_ready()
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
    in_place::base_transform_glue!(caps, qos);

    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        let settings = locked(&self.settings).clone();
        let worker = Worker::load(&settings)?;
        self.common.start();
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
        self.parent_sink_event(event)
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
        let view = worker
            .depth_due(frame.late)
            .then(|| worker.measure_depth(buffer, &frame.info))
            .transpose()
            .and_then(|depth| worker.reconstruct(frame.time(), &frame.info, depth));
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
            .filter(|path| !path.is_empty())
            .map(|path| DepthModel::load(Path::new(path), &DepthSettings { session }))
            .transpose()
            .map_err(|error| failed(&error))?;
        let reconstructor = match settings.ego {
            Ego::Static => Box::new(StaticReconstructor::new(camera.clone())),
        };
        Ok(Self {
            camera,
            reconstructor,
            depth,
            depth_interval: settings.depth_interval.max(1),
            frames_to_depth: 0,
        })
    }

    fn reset(&mut self) {
        self.reconstructor.reset();
        self.frames_to_depth = 0;
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
        time: FrameTime,
        info: &::gst_video::VideoInfo,
        depth: Option<Option<Arc<DepthMap>>>,
    ) -> Result<View, String> {
        self.reconstructor
            .reconstruct(time, info.width(), info.height(), depth.flatten())
            .map_err(|error| error.to_string())
    }
}

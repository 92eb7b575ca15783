//! The subclass behind `kinetrack`: an in-place transform around a detector and a tracker.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ::gst::glib;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::prelude::*;

use super::worker::{Settings, Worker};
use crate::gst::events::{Model, Movable};
use crate::gst::in_place::{self, Frame, InPlace, StreamChange};
use crate::gst::picture::MappedFrame;
use crate::gst::regions;
use crate::perception::{DEFAULT_MODEL, Detector};
use crate::reconstruction::MovableRegion;
use crate::results::Stage;

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new(
        "kinetrack",
        ::gst::DebugColorFlags::empty(),
        Some("Kinestream tracking"),
    )
});

/// A detector that is being loaded, or was, while the pipeline plays.
#[derive(Default)]
enum Swap {
    #[default]
    None,
    Loading,
    Ready(Box<Detector>),
}

/// Instance of `kinetrack`.
#[derive(Default)]
pub struct KineTrack {
    common: InPlace,
    settings: Mutex<Settings>,
    /// Held while a frame is worked on, by the streaming thread only.
    worker: Mutex<Option<Worker>>,
    swap: Arc<Mutex<Swap>>,
    /// Models that are not yet told downstream.
    untold: Mutex<Vec<Model>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for KineTrack {
    const NAME: &'static str = "GstKineTrack";
    type Type = super::KineTrack;
    type ParentType = ::gst_base::BaseTransform;
}

impl ObjectImpl for KineTrack {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            let own = vec![
                glib::ParamSpecString::builder("model")
                    .nick("Model")
                    .blurb("Detector: TOML manifest, ONNX file of a known contract, or `default` for the built-in one")
                    .default_value(DEFAULT_MODEL)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("classes")
                    .nick("Classes")
                    .blurb("Classes to look for, separated by commas; all when empty")
                    .default_value("")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecFloat::builder("confidence")
                    .nick("Confidence")
                    .blurb("Confidence that starts a track, 0 to 1; less sure detections only continue tracks")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(defaults.confidence)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("device")
                    .nick("Device")
                    .blurb("Where networks run: auto, cpu, cuda, cuda:1, tensorrt")
                    .default_value("auto")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("interval")
                    .nick("Interval")
                    .blurb("The detector runs on every so many-th frame; the tracker predicts between")
                    .minimum(1)
                    .default_value(defaults.interval)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("reid-model")
                    .nick("ReID model")
                    .blurb("Network that describes looks: TOML manifest, or ONNX file of the known contract; none by default")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("threads")
                    .nick("Threads")
                    .blurb("Threads of a network; 0 takes one per core")
                    .default_value(defaults.threads)
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
            "model" => {
                settings.model = value.get().unwrap_or_default();
                let settings = settings.clone();
                if self.obj().current_state() > ::gst::State::Ready {
                    self.load_beside(settings);
                }
            }
            "classes" => settings.classes = value.get::<Option<String>>().ok().flatten().unwrap_or_default(),
            "confidence" => settings.confidence = value.get().unwrap_or(settings.confidence),
            "device" => settings.device = value.get::<Option<String>>().ok().flatten().unwrap_or_default(),
            "interval" => settings.interval = value.get().unwrap_or(1),
            "reid-model" => settings.reid_model = value.get().unwrap_or_default(),
            "threads" => settings.threads = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = locked(&self.settings);
        match pspec.name() {
            "model" => settings.model.to_value(),
            "classes" => settings.classes.to_value(),
            "confidence" => settings.confidence.to_value(),
            "device" => settings.device.to_value(),
            "interval" => settings.interval.to_value(),
            "reid-model" => settings.reid_model.to_value(),
            "threads" => settings.threads.to_value(),
            name => self
                .common
                .property(name)
                .unwrap_or_else(|| pspec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for KineTrack {}

impl ElementImpl for KineTrack {
    fn metadata() -> Option<&'static ::gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<::gst::subclass::ElementMetadata> = LazyLock::new(|| {
            ::gst::subclass::ElementMetadata::new(
                "Kinestream tracking",
                "Filter/Analyzer/Video",
                "Finds objects and keeps their identities",
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

impl BaseTransformImpl for KineTrack {
    in_place::base_transform_glue!(qos);

    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        let settings = locked(&self.settings).clone();
        let worker = Worker::load(&settings)
            .map_err(|message| ::gst::error_msg!(::gst::ResourceError::Settings, ("{message}")))?;
        self.common.start();
        *locked(&self.swap) = Swap::None;
        *locked(&self.untold) = worker.models();
        *locked(&self.worker) = Some(worker);
        Ok(())
    }

    fn stop(&self) -> Result<(), ::gst::ErrorMessage> {
        *locked(&self.worker) = None;
        Ok(())
    }

    fn set_caps(&self, incaps: &::gst::Caps, _outcaps: &::gst::Caps) -> Result<(), ::gst::LoggableError> {
        // Boxes of the old size mean nothing in the new one.
        if self.common.set_caps(incaps, &CAT)? {
            self.reset();
        }
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
        for model in std::mem::take(&mut *locked(&self.untold)) {
            element.src_pad().push_event(model.to_event());
        }
        self.track(buffer, &mut frame).map_err(|error| {
            if let Some(message) = error.message {
                ::gst::element_error!(element, ::gst::StreamError::Failed, ("{message}"));
            }
            error.flow
        })?;
        regions::attach(buffer, &frame.results, frame.info.width(), frame.info.height());
        // A reconstruction before this stage leaves what may move out when it looks for the camera's motion.
        let movable = Movable {
            width: frame.info.width(),
            height: frame.info.height(),
            regions: MovableRegion::of_tracks(&frame.results.tracks),
        };
        element.sink_pad().push_event(movable.to_event());
        self.common.finish(&*element, buffer, frame, Stage::Tracking)
    }
}

struct TrackError {
    flow: ::gst::FlowError,
    message: Option<String>,
}

impl<E: std::error::Error> From<E> for TrackError {
    fn from(error: E) -> Self {
        Self {
            flow: ::gst::FlowError::Error,
            message: Some(error.to_string()),
        }
    }
}

impl KineTrack {
    fn track(&self, buffer: &::gst::BufferRef, frame: &mut Frame) -> Result<(), TrackError> {
        let mut slot = locked(&self.worker);
        let Some(worker) = slot.as_mut() else {
            return Err(TrackError {
                flow: ::gst::FlowError::Flushing,
                message: None,
            });
        };
        if let Some(detector) = self.take_loaded() {
            worker.replace_detector(detector);
            *locked(&self.untold) = worker.models();
        }
        if frame.new_scene {
            worker.reset();
        }
        let time = frame.time();
        let tracked = if !frame.late && worker.detection_due() {
            let mapped = MappedFrame::map(buffer, &frame.info)?;
            let started = Instant::now();
            let tracked = worker.track(time, &mapped.picture()?)?;
            if let Some(associated_from) = tracked.associated_from {
                frame.note(Stage::Detection, associated_from.duration_since(started));
            }
            tracked
        } else {
            worker.predict(time)
        };
        frame.results_mut().tracks = tracked.tracks;
        Ok(())
    }

    fn reset(&self) {
        if let Some(worker) = locked(&self.worker).as_mut() {
            worker.reset();
        }
    }

    fn take_loaded(&self) -> Option<Detector> {
        let mut swap = locked(&self.swap);
        match std::mem::take(&mut *swap) {
            Swap::Ready(detector) => Some(*detector),
            other => {
                *swap = other;
                None
            }
        }
    }

    /// Loads another detector without holding up the pictures.
    fn load_beside(&self, settings: Settings) {
        *locked(&self.swap) = Swap::Loading;
        let swap = Arc::clone(&self.swap);
        let element = self.obj().downgrade();
        let load = move || {
            let loaded = settings.load_detector();
            let mut swap = locked(&swap);
            if !matches!(*swap, Swap::Loading) {
                return;
            }
            match loaded {
                Ok(detector) => *swap = Swap::Ready(Box::new(detector)),
                Err(message) => {
                    *swap = Swap::None;
                    drop(swap);
                    if let Some(element) = element.upgrade() {
                        ::gst::element_warning!(
                            element,
                            ::gst::ResourceError::Settings,
                            ("the old detector goes on: {message}")
                        );
                    }
                }
            }
        };
        if let Err(error) = std::thread::Builder::new()
            .name("kinetrack-load".to_owned())
            .spawn(load)
        {
            ::gst::warning!(CAT, imp = self, "no thread to load the model: {error}");
        }
    }
}

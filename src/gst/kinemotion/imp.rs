//! The subclass behind `kinemotion`: an in-place transform around a [`MotionEngine`].

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use ::gst::glib;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::prelude::*;

use crate::gst::in_place::{self, Frame, InPlace, StreamChange};
use crate::gst::regions;
use crate::motion::{MotionEngine, MotionSettings};
use crate::reconstruction::{ClassPriors, Reconstructor, StaticReconstructor};
use crate::results::Stage;

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new("kinemotion", ::gst::DebugColorFlags::empty(), Some("Kinestream motion"))
});

#[derive(Clone, Debug)]
struct Settings {
    settle_lag_s: f64,
    history_s: f64,
    priors: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let MotionSettings {
            settle_lag_s,
            history_s,
            ..
        } = MotionSettings::default();
        Self {
            settle_lag_s,
            history_s,
            priors: None,
        }
    }
}

struct Worker {
    engine: MotionEngine,
    /// The view where no stage upstream told one.
    assumed: StaticReconstructor,
}

/// Instance of `kinemotion`.
#[derive(Default)]
pub struct KineMotion {
    common: InPlace,
    settings: Mutex<Settings>,
    /// Held while a frame is worked on, by the streaming thread only.
    worker: Mutex<Option<Worker>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for KineMotion {
    const NAME: &'static str = "GstKineMotion";
    type Type = super::KineMotion;
    type ParentType = ::gst_base::BaseTransform;
}

impl ObjectImpl for KineMotion {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            let seconds = |name: &str, nick: &str, blurb: &str, (least, most): (f64, f64), default: f64| {
                glib::ParamSpecDouble::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .minimum(least)
                    .maximum(most)
                    .default_value(default)
                    .mutable_ready()
                    .build()
            };
            let own = vec![
                seconds(
                    "settle-lag",
                    "Settle lag",
                    "How far behind the frame settled states are, seconds",
                    (0.0, 60.0),
                    defaults.settle_lag_s,
                ),
                seconds(
                    "history",
                    "History",
                    "How much of each trajectory is kept, seconds",
                    (1.0, 86_400.0),
                    defaults.history_s,
                ),
                glib::ParamSpecString::builder("priors")
                    .nick("Priors")
                    .blurb("TOML file with sizes and dynamics of classes, put over the built-in ones")
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
            "settle-lag" => settings.settle_lag_s = value.get().unwrap_or(settings.settle_lag_s),
            "history" => settings.history_s = value.get().unwrap_or(settings.history_s),
            "priors" => settings.priors = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = locked(&self.settings);
        match pspec.name() {
            "settle-lag" => settings.settle_lag_s.to_value(),
            "history" => settings.history_s.to_value(),
            "priors" => settings.priors.to_value(),
            name => self
                .common
                .property(name)
                .unwrap_or_else(|| pspec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for KineMotion {}

impl ElementImpl for KineMotion {
    fn metadata() -> Option<&'static ::gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<::gst::subclass::ElementMetadata> = LazyLock::new(|| {
            ::gst::subclass::ElementMetadata::new(
                "Kinestream motion",
                "Filter/Analyzer/Video",
                "Turns tracks into metric states and keeps their trajectories",
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

impl BaseTransformImpl for KineMotion {
    in_place::base_transform_glue!(caps, qos);

    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        let settings = locked(&self.settings).clone();
        let priors = match settings.priors.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => ClassPriors::load(Path::new(path))
                .map_err(|error| ::gst::error_msg!(::gst::ResourceError::Settings, ("{error}")))?,
            None => ClassPriors::default(),
        };
        let engine = MotionEngine::new(MotionSettings {
            settle_lag_s: settings.settle_lag_s,
            history_s: settings.history_s,
            priors: Arc::new(priors),
            ..MotionSettings::default()
        });
        self.common.start();
        *locked(&self.worker) = Some(Worker {
            engine,
            assumed: StaticReconstructor::new(None),
        });
        Ok(())
    }

    fn stop(&self) -> Result<(), ::gst::ErrorMessage> {
        *locked(&self.worker) = None;
        Ok(())
    }

    fn sink_event(&self, event: ::gst::Event) -> bool {
        match self.common.sink_event(&event) {
            StreamChange::Flushed | StreamChange::NewStream => {
                if let Some(worker) = locked(&self.worker).as_mut() {
                    worker.engine.reset();
                }
            }
            // The last second is settled before the stages behind hear of the end and answer their last windows.
            StreamChange::Ended => {
                if let Some(worker) = locked(&self.worker).as_mut() {
                    worker.engine.finish();
                }
            }
            StreamChange::None => {}
        }
        self.parent_sink_event(event)
    }

    fn transform_ip(&self, buffer: &mut ::gst::BufferRef) -> Result<::gst::FlowSuccess, ::gst::FlowError> {
        let element = self.obj();
        let Some(mut frame) = self.common.begin(&*element, buffer)? else {
            return Ok(::gst::FlowSuccess::Ok);
        };
        {
            let mut slot = locked(&self.worker);
            let worker = slot.as_mut().ok_or(::gst::FlowError::Flushing)?;
            if let Err(message) = worker.estimate(&mut frame) {
                ::gst::element_error!(element, ::gst::StreamError::Failed, ("{message}"));
                return Err(::gst::FlowError::Error);
            }
        }
        regions::attach(buffer, &frame.results, frame.info.width(), frame.info.height());
        self.common.finish(&*element, buffer, frame, Stage::Motion)
    }
}

impl Worker {
    fn estimate(&mut self, frame: &mut Frame) -> Result<(), String> {
        if frame.new_scene {
            self.engine.reset();
        }
        let time = frame.time();
        let results = frame.results_mut();
        let (width, height) = (results.width, results.height);
        let view = match &results.view {
            Some(view) => Arc::clone(view),
            None => Arc::new(
                self.assumed
                    .reconstruct(time, width, height, None)
                    .map_err(|error| error.to_string())?,
            ),
        };
        results.objects = self.engine.update(time, &results.tracks, &view, width, height);
        results.trajectories = Some(self.engine.trajectories());
        results.view = Some(view);
        Ok(())
    }
}

//! One camera's pipeline: built from its configuration, watched by a thread of its own.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::gst::ElementFactory;
use ::gst::glib::BoolError;
use ::gst::prelude::*;

use super::app::FrameSender;
use super::config::{APP_SOURCE, CameraConfig, RunConfig};
use super::recording::Recording;
use super::report::{Counters, Meter, QuestionCounts};
use super::{EngineError, ResultsCallback};
use crate::gst::events::SourceState;
use crate::gst::metadata;
use crate::perception::NO_MODEL;

/// Frames between the threads of two stages: enough to keep both busy, few enough to stay current.
const STAGE_QUEUE_FRAMES: u32 = 2;

/// How long a stopped pipeline may take to finish what it has.
const DRAIN: Duration = Duration::from_secs(3);

const BUS_TICK: ::gst::ClockTime = ::gst::ClockTime::from_mseconds(100);

/// How a camera's pipeline ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The stream is over.
    Finished,
    /// It failed, and why.
    Failed(String),
}

/// Tells waiting threads that some camera ended or that the engine is to stop.
#[derive(Debug, Default)]
pub(super) struct Signal {
    changed: Mutex<u64>,
    condition: Condvar,
    stop: AtomicBool,
}

impl Signal {
    pub fn notify(&self) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.condition.notify_all();
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.notify();
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits for a notification, at most so long.
    pub fn wait(&self, limit: Duration) {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stopped() {
            drop(self.condition.wait_timeout(changed, limit));
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    end: Mutex<Option<End>>,
    source: Mutex<Option<SourceState>>,
    closing: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A camera's pipeline and its bus thread.
pub(super) struct CameraPipeline {
    pub name: String,
    pub meter: Arc<Meter>,
    pipeline: ::gst::Pipeline,
    sender: Option<FrameSender>,
    recording: Option<Recording>,
    shared: Arc<Shared>,
    bus_thread: Option<JoinHandle<()>>,
    signal: Arc<Signal>,
    /// As they were before the elements forgot them.
    final_counters: Option<Counters>,
}

impl CameraPipeline {
    pub fn build(
        config: &RunConfig,
        camera: &CameraConfig,
        callback: Option<ResultsCallback>,
        signal: Arc<Signal>,
    ) -> Result<Self, EngineError> {
        let pipeline = ::gst::Pipeline::builder().name(&camera.name).build();
        let sender = (camera.source == APP_SOURCE).then(FrameSender::new);
        let source = match &sender {
            Some(sender) => sender.element().clone().upcast(),
            None => source(camera)?,
        };
        let mut chain = vec![source, reconstruction(camera)?];
        if camera.depth.as_deref() != Some(Path::new(NO_MODEL)) {
            chain.push(queue()?);
        }
        chain.extend([tracking(camera)?, queue()?, motion(camera)?, answers(camera)?]);
        if config.zenoh.enabled {
            chain.push(publisher(config, camera)?);
        }
        let sink = ElementFactory::make("fakesink")
            .name("sink")
            .property("sync", false)
            .property("enable-last-sample", false)
            .build()?;
        let tee = camera
            .record
            .as_ref()
            .map(|_| ElementFactory::make("tee").build())
            .transpose()?;
        chain.extend(tee.clone());
        chain.push(sink.clone());
        pipeline.add_many(&chain)?;
        ::gst::Element::link_many(&chain)?;
        let recording = match (&camera.record, &tee) {
            (Some(path), Some(tee)) => Some(Recording::attach(&pipeline, tee, path, is_live(camera))?),
            _ => None,
        };
        let meter = Arc::new(Meter::default());
        measure(&sink, &camera.name, Arc::clone(&meter), callback);
        Ok(Self {
            name: camera.name.clone(),
            meter,
            pipeline,
            sender,
            recording,
            shared: Arc::default(),
            bus_thread: None,
            signal,
            final_counters: None,
        })
    }

    pub fn sender(&self) -> Option<&FrameSender> {
        self.sender.as_ref()
    }

    /// Starts playing. Models are opened here, so their errors come back at once.
    pub fn start(&mut self) -> Result<(), EngineError> {
        let failed = |reason: String| EngineError::Camera {
            camera: self.name.clone(),
            reason,
        };
        let bus = self.pipeline.bus().ok_or_else(|| failed("no bus".to_owned()))?;
        if let Err(error) = self.pipeline.set_state(::gst::State::Playing) {
            let reason = bus
                .pop_filtered(&[::gst::MessageType::Error])
                .and_then(|message| error_text(&message))
                .unwrap_or_else(|| error.to_string());
            let _ = self.pipeline.set_state(::gst::State::Null);
            *lock(&self.shared.end) = Some(End::Failed(reason.clone()));
            return Err(failed(reason));
        }
        let (pipeline, shared) = (self.pipeline.downgrade(), Arc::clone(&self.shared));
        let (name, signal) = (self.name.clone(), Arc::clone(&self.signal));
        let thread = std::thread::Builder::new()
            .name(format!("{}-bus", self.name))
            .spawn(move || watch_bus(&bus, &pipeline, &name, &shared, &signal))
            .map_err(|error| failed(error.to_string()))?;
        self.bus_thread = Some(thread);
        Ok(())
    }

    pub fn end(&self) -> Option<End> {
        lock(&self.shared.end).clone()
    }

    /// What the source does, e.g. `playing`; with the reason when it does not.
    pub fn state(&self) -> (String, String) {
        match &*lock(&self.shared.source) {
            Some(state) => (state.status.as_str().to_owned(), state.message.clone()),
            None => ("starting".to_owned(), String::new()),
        }
    }

    pub fn counters(&self) -> Counters {
        if let Some(counters) = &self.final_counters {
            return counters.clone();
        }
        let mut counters = Counters {
            state: self.state().0,
            error: match self.end() {
                Some(End::Failed(reason)) => Some(reason),
                _ => None,
            },
            ..Counters::default()
        };
        let count = |element: &::gst::Element, property: &str| {
            if element.has_property_with_type(property, u64::static_type()) {
                element.property::<u64>(property)
            } else {
                0
            }
        };
        counters.stage_dropped += self.recording.as_ref().map_or(0, Recording::dropped);
        for element in self.pipeline.children() {
            match element.factory().map(|factory| factory.name()).as_deref() {
                Some("kinesrc") => {
                    counters.source_dropped += count(&element, "dropped");
                    counters.reconnects += count(&element, "reconnects");
                }
                Some("kinepublish") => {
                    counters.publish_dropped += count(&element, "dropped");
                    counters.stage_dropped += count(&element, "labels-dropped");
                    counters.network_dropped += count(&element, "network-dropped");
                }
                Some(name) if name.starts_with("kine") => {
                    if name == "kinevlm" {
                        counters.questions = QuestionCounts {
                            asked: count(&element, "asked"),
                            answered: count(&element, "answered"),
                            given_up: count(&element, "given-up"),
                            unseen: count(&element, "unseen"),
                        };
                    }
                    counters.stage_dropped += count(&element, "dropped");
                    counters.late += count(&element, "late");
                }
                _ => {}
            }
        }
        counters
    }

    /// Lets the pipeline finish what it has, and stops it.
    pub fn stop(&mut self) {
        if self.bus_thread.is_some() && self.end().is_none() {
            self.pipeline.send_event(::gst::event::Eos::new());
            let started = Instant::now();
            while self.end().is_none() && started.elapsed() < DRAIN {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.final_counters = Some(self.counters());
        self.shared.closing.store(true, Ordering::Release);
        if let Some(thread) = self.bus_thread.take() {
            let _ = thread.join();
        }
        let _ = self.pipeline.set_state(::gst::State::Null);
    }
}

impl Drop for CameraPipeline {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Follows one pipeline's bus until the pipeline is closed.
fn watch_bus(
    bus: &::gst::Bus,
    pipeline: &::gst::glib::WeakRef<::gst::Pipeline>,
    name: &str,
    shared: &Shared,
    signal: &Signal,
) {
    while !shared.closing.load(Ordering::Acquire) {
        let Some(message) = bus.timed_pop(BUS_TICK) else {
            continue;
        };
        let end = match message.view() {
            ::gst::MessageView::Eos(_) => Some(End::Finished),
            ::gst::MessageView::Error(_) => error_text(&message).map(End::Failed),
            ::gst::MessageView::Warning(warning) => {
                tracing::warn!(camera = name, "{}", warning.error());
                None
            }
            ::gst::MessageView::Latency(_) => {
                if let Some(pipeline) = pipeline.upgrade() {
                    // Fails only while the pipeline changes its state, which sets the latency anyway.
                    let _ = pipeline.recalculate_latency();
                }
                None
            }
            ::gst::MessageView::Element(_) => {
                if let Some(state) = SourceState::from_message(&message) {
                    tracing::info!(
                        camera = name,
                        attempts = state.attempts,
                        "{} {}",
                        state.status.as_str(),
                        state.message
                    );
                    *lock(&shared.source) = Some(state);
                    signal.notify();
                }
                None
            }
            _ => None,
        };
        if let Some(end) = end {
            lock(&shared.end).get_or_insert(end);
            signal.notify();
        }
    }
}

fn error_text(message: &::gst::MessageRef) -> Option<String> {
    let ::gst::MessageView::Error(error) = message.view() else {
        return None;
    };
    let from = message
        .src()
        .and_then(|source| source.downcast_ref::<::gst::Element>()?.factory())
        .map(|factory| format!("{}: ", factory.name()))
        .unwrap_or_default();
    Some(format!("{from}{}", error.error()))
}

fn measure(sink: &::gst::Element, camera: &str, meter: Arc<Meter>, callback: Option<ResultsCallback>) {
    let camera = camera.to_owned();
    if let Some(pad) = sink.static_pad("sink") {
        pad.add_probe(::gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(results) = info.buffer().and_then(|buffer| metadata::results(buffer)) {
                meter.frame(&results);
                if let Some(callback) = &callback {
                    callback(&camera, &results);
                }
            }
            ::gst::PadProbeReturn::Ok
        });
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether frames come at their own time, whether or not they are taken.
fn is_live(camera: &CameraConfig) -> bool {
    camera.source.contains("://") && !camera.source.starts_with("file://")
}

fn source(camera: &CameraConfig) -> Result<::gst::Element, BoolError> {
    ElementFactory::make("kinesrc")
        .name("source")
        .property("uri", &camera.source)
        .property_from_str("protocols", camera.protocols.as_str())
        .property_if_some("latency", camera.latency_ms)
        .property_if_some("stall-timeout", camera.stall_timeout_ms)
        .build()
}

fn reconstruction(camera: &CameraConfig) -> Result<::gst::Element, BoolError> {
    ElementFactory::make("kinerecon")
        .name("reconstruction")
        .property_if_some("camera", camera.camera_file.as_deref().map(text))
        .property_from_str("ego", camera.ego.as_str())
        .property_if_some("ego-file", camera.ego_file.as_deref().map(text))
        .property_if_some("depth-model", camera.depth.as_deref().map(text))
        .property_if_some("depth-interval", camera.depth_interval)
        .property_if_some("device", camera.device.as_ref())
        .property_if_some("threads", camera.threads)
        .build()
}

fn tracking(camera: &CameraConfig) -> Result<::gst::Element, BoolError> {
    ElementFactory::make("kinetrack")
        .name("tracking")
        .property("model", text(&camera.detector))
        .property("classes", camera.classes.join(","))
        .property_if_some("confidence", camera.confidence)
        .property_if_some("interval", camera.detect_interval)
        .property_if_some("reid-model", camera.reid.as_deref().map(text))
        .property_if_some("device", camera.device.as_ref())
        .property_if_some("threads", camera.threads)
        .build()
}

fn motion(camera: &CameraConfig) -> Result<::gst::Element, BoolError> {
    ElementFactory::make("kinemotion")
        .name("motion")
        .property_if_some("settle-lag", camera.settle_lag_s)
        .property_if_some("history", camera.history_s)
        .property_if_some("priors", camera.priors.as_deref().map(text))
        .build()
}

fn answers(camera: &CameraConfig) -> Result<::gst::Element, BoolError> {
    let remote = camera.remote.as_ref();
    ElementFactory::make("kinevlm")
        .name("answers")
        .property_if_some("questions", camera.questions.as_deref().map(text))
        .property_if_some("window", camera.window_s)
        .property_if_some("stride", camera.stride_s)
        .property_from_str("backend", camera.backend.as_str())
        .property_if_some("weights", camera.weights.as_deref().map(text))
        .property_if_some("remote-url", remote.map(|remote| &remote.url))
        .property_if_some("remote-model", remote.and_then(|remote| remote.model.as_ref()))
        .property_if_some(
            "remote-key-variable",
            remote.and_then(|remote| remote.key_variable.as_ref()),
        )
        .property_if_some("remote-timeout", remote.and_then(|remote| remote.timeout_s))
        .property_if_some("remote-frames", remote.and_then(|remote| remote.frames))
        .property_if_some("remote-concurrency", remote.and_then(|remote| remote.concurrency))
        .build()
}

fn publisher(config: &RunConfig, camera: &CameraConfig) -> Result<::gst::Element, BoolError> {
    let zenoh = &config.zenoh;
    let endpoints = |list: &[String]| (!list.is_empty()).then(|| list.join(","));
    let mut builder = ElementFactory::make("kinepublish")
        .name("publisher")
        .property("site", &config.site)
        .property("camera-name", &camera.name)
        .property("multicast-scouting", zenoh.multicast_scouting)
        .property_from_str("encoding", zenoh.encoding.as_str())
        .property_if_some("zenoh-config", zenoh.config.as_deref().map(text))
        .property_if_some("connect", endpoints(&zenoh.connect))
        .property_if_some("listen", endpoints(&zenoh.listen))
        .property_if_some("record-labels", camera.record_labels.as_deref().map(text));
    if let Some(mode) = zenoh.mode {
        builder = builder.property_from_str("mode", mode.as_str());
    }
    builder.build()
}

fn queue() -> Result<::gst::Element, BoolError> {
    ElementFactory::make("queue")
        .property("max-size-buffers", STAGE_QUEUE_FRAMES)
        .property("max-size-bytes", 0_u32)
        .property("max-size-time", 0_u64)
        .build()
}

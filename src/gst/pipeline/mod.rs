//! Whole pipelines from a configuration: cameras in, states and answers out, measured.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use kinestream::gst::pipeline::{Engine, RunConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = RunConfig::load(Path::new("configs/run.toml"))?;
//! let mut engine = Engine::from_config(&config)?;
//! engine.start()?;
//! engine.wait(Some(Duration::from_secs(60)));
//! engine.stop();
//! println!("{} frames", engine.report().frames);
//! # Ok(())
//! # }
//! ```

mod app;
mod camera;
mod config;
mod recording;
mod report;

use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use thiserror::Error;

use self::camera::{CameraPipeline, End, Signal};
use self::report::Memory;
use crate::results::FrameResults;

pub use app::{FrameSender, PushError};
pub use config::{
    APP_SOURCE, AnswerBackend, CameraConfig, EgoMode, MessageEncoding, RemoteConfig, RtspProtocols, RunConfig,
    ZenohConfig, ZenohMode,
};
pub use report::{CameraReport, Counters, Histogram, Latency, MemoryReport, Meter, QuestionCounts, Report};

/// Called with a camera's name and what is known of each of its frames, on the pipeline's thread: it should be quick.
pub type ResultsCallback = Arc<dyn Fn(&str, &FrameResults) + Send + Sync>;

/// How often a waiting engine looks around.
const TICK: Duration = Duration::from_millis(100);

/// Why an engine cannot run.
#[derive(Debug, Error)]
pub enum EngineError {
    /// GStreamer cannot be initialised.
    #[error("GStreamer cannot be initialised: {0}")]
    Init(::gst::glib::Error),
    /// An element cannot be made or linked.
    #[error("the pipeline cannot be built: {0}")]
    Build(#[from] ::gst::glib::BoolError),
    /// A camera's pipeline failed.
    #[error("camera {camera}: {reason}")]
    Camera {
        /// The camera.
        camera: String,
        /// What was expected and found.
        reason: String,
    },
}

/// Why [`Engine::wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// All cameras ended; [`Engine::failures`] tells whether any failed.
    AllEnded,
    /// The time is up.
    TimeUp,
    /// [`StopHandle::stop`] was called.
    Stopped,
}

/// Ends [`Engine::wait`] from another thread.
#[derive(Clone, Debug)]
pub struct StopHandle(Arc<Signal>);

impl StopHandle {
    /// Lets [`Engine::wait`] return.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// What a camera does now.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraStatus {
    /// The camera.
    pub name: String,
    /// What its source does, e.g. `playing`; `failed` or `ended` when it is over.
    pub state: String,
    /// Why, where there is something to say.
    pub message: String,
    /// Frames that left the pipeline.
    pub frames: u64,
    /// Frames a second between the first and the last.
    pub fps: f64,
    /// Frames lost, of any cause.
    pub drops: u64,
}

/// Runs the pipelines of a configuration's cameras. Dropping it stops them.
pub struct Engine {
    cameras: Vec<CameraPipeline>,
    signal: Arc<Signal>,
    memory: Memory,
    started: Option<Instant>,
    stopped_after: Option<Duration>,
}

/// Makes GStreamer and our elements available to this process, once.
///
/// # Errors
/// GStreamer cannot be initialised, or elements cannot be registered.
pub fn init() -> Result<(), EngineError> {
    ::gst::init().map_err(EngineError::Init)?;
    static REGISTER: Once = Once::new();
    let mut result = Ok(());
    REGISTER.call_once(|| result = super::register(None));
    Ok(result?)
}

impl Engine {
    /// Builds the pipelines of all cameras.
    ///
    /// # Errors
    /// GStreamer or an element is missing.
    pub fn from_config(config: &RunConfig) -> Result<Self, EngineError> {
        Self::build(config, None)
    }

    /// Builds the pipelines of all cameras and has `callback` called with the results of every frame.
    ///
    /// # Errors
    /// See [`Engine::from_config`].
    pub fn with_results(
        config: &RunConfig,
        callback: impl Fn(&str, &FrameResults) + Send + Sync + 'static,
    ) -> Result<Self, EngineError> {
        Self::build(config, Some(Arc::new(callback)))
    }

    fn build(config: &RunConfig, callback: Option<ResultsCallback>) -> Result<Self, EngineError> {
        init()?;
        let signal = Arc::new(Signal::default());
        let cameras = config
            .cameras
            .iter()
            .map(|camera| CameraPipeline::build(config, camera, callback.clone(), Arc::clone(&signal)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            cameras,
            signal,
            memory: Memory::start(),
            started: None,
            stopped_after: None,
        })
    }

    /// Opens models, sources and the network, and lets frames flow.
    ///
    /// # Errors
    /// The first camera that cannot start; those before it run until [`Engine::stop`].
    pub fn start(&mut self) -> Result<(), EngineError> {
        self.started = Some(Instant::now());
        self.cameras.iter_mut().try_for_each(CameraPipeline::start)
    }

    /// Where to push frames of a camera whose source is `app`.
    pub fn frames(&self, camera: &str) -> Option<FrameSender> {
        let camera = self.cameras.iter().find(|pipeline| pipeline.name == camera)?;
        camera.sender().cloned()
    }

    /// Waits until all cameras ended, the time is up or a [`StopHandle`] says so.
    pub fn wait(&self, limit: Option<Duration>) -> Waited {
        self.wait_with(limit, |_| ())
    }

    /// The same; calls `look` several times a second meanwhile.
    pub fn wait_with(&self, limit: Option<Duration>, mut look: impl FnMut(&Self)) -> Waited {
        let since = Instant::now();
        loop {
            self.memory.sample();
            look(self);
            if self.signal.stopped() {
                return Waited::Stopped;
            }
            if self.cameras.iter().all(|camera| camera.end().is_some()) {
                return Waited::AllEnded;
            }
            let left = limit.map_or(TICK, |limit| limit.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return Waited::TimeUp;
            }
            self.signal.wait(left.min(TICK));
        }
    }

    /// Lets [`Engine::wait`] be ended from elsewhere, such as a signal handler.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(Arc::clone(&self.signal))
    }

    /// Lets all pipelines finish what they have, and stops them.
    pub fn stop(&mut self) {
        let ran = self.started.map(|started| started.elapsed());
        self.stopped_after = self.stopped_after.or(ran);
        self.memory.sample();
        self.cameras.iter_mut().for_each(CameraPipeline::stop);
    }

    /// The cameras that failed, and why.
    pub fn failures(&self) -> Vec<EngineError> {
        self.cameras
            .iter()
            .filter_map(|camera| match camera.end()? {
                End::Finished => None,
                End::Failed(reason) => Some(EngineError::Camera {
                    camera: camera.name.clone(),
                    reason,
                }),
            })
            .collect()
    }

    /// What each camera does now.
    pub fn status(&self) -> Vec<CameraStatus> {
        self.cameras
            .iter()
            .map(|camera| {
                let (frames, fps) = camera.meter.rate();
                let counters = camera.counters();
                let (state, message) = match camera.end() {
                    Some(End::Failed(reason)) => ("failed".to_owned(), reason),
                    Some(End::Finished) => ("ended".to_owned(), String::new()),
                    None => camera.state(),
                };
                CameraStatus {
                    name: camera.name.clone(),
                    state,
                    message,
                    frames,
                    fps,
                    drops: counters.source_dropped + counters.stage_dropped + counters.publish_dropped,
                }
            })
            .collect()
    }

    /// What was measured so far.
    pub fn report(&self) -> Report {
        let ran = self.started.map(|started| started.elapsed()).unwrap_or_default();
        let cameras: Vec<_> = self
            .cameras
            .iter()
            .map(|camera| (camera.name.as_str(), &*camera.meter, camera.counters()))
            .collect();
        Report::new(self.stopped_after.unwrap_or(ran), &self.memory, &cameras)
    }
}

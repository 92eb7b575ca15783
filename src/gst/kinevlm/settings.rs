//! What `kinevlm` is told: its properties, and the backend that they ask for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::gst::glib;
use ::gst::prelude::*;

use super::KineVlmBackend;
use crate::gst::events::Model;
use crate::stkit::StandingQuestions;
use crate::vlm::live::{Backend, Geometry, Health, Onlooker};
#[cfg(feature = "remote")]
use crate::vlm::remote::{Endpoint, RemoteBackend, RemoteSettings, Sights};
#[cfg(feature = "burn")]
use crate::vlm::tiny::{SharedObservations, TinyBackend, TinyVlm};

/// Environment variable with the server's key, unless told otherwise.
const DEFAULT_KEY_VARIABLE: &str = "OPENAI_API_KEY";
const DEFAULT_REMOTE_MODEL: &str = "default";

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub path: Option<String>,
    pub questions: Result<StandingQuestions, String>,
    pub window_s: f64,
    pub stride_s: f64,
    pub backend: KineVlmBackend,
    weights: Option<String>,
    remote_url: Option<String>,
    remote_model: String,
    remote_key_variable: String,
    remote_timeout_s: f64,
    remote_frames: u32,
    remote_concurrency: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            questions: load_questions(None),
            window_s: 10.0,
            stride_s: 1.0,
            backend: KineVlmBackend::default(),
            weights: None,
            remote_url: None,
            remote_model: DEFAULT_REMOTE_MODEL.to_owned(),
            remote_key_variable: DEFAULT_KEY_VARIABLE.to_owned(),
            remote_timeout_s: 30.0,
            remote_frames: 8,
            remote_concurrency: 8,
        }
    }
}

/// The questions of the file, or the built-in ones.
fn load_questions(path: Option<&str>) -> Result<StandingQuestions, String> {
    let loaded = match path.filter(|path| !path.is_empty()) {
        Some(path) => StandingQuestions::load(Path::new(path)),
        None => StandingQuestions::builtin(),
    };
    loaded.map_err(|error| error.to_string())
}

/// A backend with what goes with it.
pub(super) struct Opened {
    pub backend: Box<dyn Backend>,
    /// What it wants to see of the stream.
    pub onlooker: Option<Arc<dyn Onlooker>>,
    /// The model, for `status`.
    pub model: Option<Model>,
}

impl Settings {
    pub fn properties() -> Vec<glib::ParamSpec> {
        let seconds = |name: &str, nick: &str, blurb: &str, default: f64, flags: glib::ParamFlags| {
            glib::ParamSpecDouble::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(0.1)
                .maximum(3600.0)
                .default_value(default)
                .flags(glib::ParamFlags::READWRITE | flags)
                .build()
        };
        let text = |name: &str, nick: &str, blurb: &str, default: Option<&str>| {
            glib::ParamSpecString::builder(name)
                .nick(nick)
                .blurb(blurb)
                .default_value(default)
                .mutable_ready()
                .build()
        };
        let count = |name: &str, nick: &str, blurb: &str, most: u32| {
            glib::ParamSpecUInt::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(1)
                .maximum(most)
                .default_value(8)
                .mutable_ready()
                .build()
        };
        vec![
            glib::ParamSpecString::builder("questions")
                .nick("Questions")
                .blurb("TOML file of standing questions (unset: the seven tasks, asked of every object in view)")
                .mutable_playing()
                .build(),
            seconds(
                "window",
                "Window",
                "Length of the sliding window of standing questions that say nothing else, seconds",
                10.0,
                ::gst::PARAM_FLAG_MUTABLE_PLAYING,
            ),
            seconds(
                "stride",
                "Stride",
                "Time from one window to the next for standing questions that say nothing else, seconds",
                1.0,
                ::gst::PARAM_FLAG_MUTABLE_PLAYING,
            ),
            glib::ParamSpecEnum::builder_with_default("backend", KineVlmBackend::default())
                .nick("Backend")
                .blurb("Who answers")
                .mutable_ready()
                .build(),
            text(
                "weights",
                "Weights",
                "Weights of the small ST-VLM for backend=burn, as `kinestream train` leaves them (unset: those built in)",
                None,
            ),
            text(
                "remote-url",
                "Remote URL",
                "Base address of an OpenAI-compatible server for backend=remote, e.g. http://localhost:8000/v1",
                None,
            ),
            text(
                "remote-model",
                "Remote model",
                "The model's name on the server",
                Some(DEFAULT_REMOTE_MODEL),
            ),
            text(
                "remote-key-variable",
                "Remote key variable",
                "Environment variable with the server's key; a variable that is not set sends none",
                Some(DEFAULT_KEY_VARIABLE),
            ),
            seconds(
                "remote-timeout",
                "Remote time-out",
                "The most that a server's answers to one window may take, repeated requests included, seconds",
                30.0,
                ::gst::PARAM_FLAG_MUTABLE_READY,
            ),
            count(
                "remote-frames",
                "Remote frames",
                "Pictures of a window that a server is shown at most",
                256,
            ),
            count(
                "remote-concurrency",
                "Remote concurrency",
                "Requests to a server on their way at once at most",
                256,
            ),
        ]
    }

    /// Sets a property of these; false for another's name.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        let text = || {
            value
                .get::<Option<String>>()
                .ok()
                .flatten()
                .filter(|text| !text.is_empty())
        };
        match name {
            "questions" => {
                self.path = value.get().unwrap_or_default();
                self.questions = load_questions(self.path.as_deref());
            }
            "window" => self.window_s = value.get().unwrap_or(self.window_s),
            "stride" => self.stride_s = value.get().unwrap_or(self.stride_s),
            "backend" => self.backend = value.get().unwrap_or_default(),
            "weights" => self.weights = text(),
            "remote-url" => self.remote_url = text(),
            "remote-model" => self.remote_model = text().unwrap_or_else(|| DEFAULT_REMOTE_MODEL.to_owned()),
            "remote-key-variable" => self.remote_key_variable = text().unwrap_or_default(),
            "remote-timeout" => self.remote_timeout_s = value.get().unwrap_or(self.remote_timeout_s),
            "remote-frames" => self.remote_frames = value.get().unwrap_or(self.remote_frames),
            "remote-concurrency" => self.remote_concurrency = value.get().unwrap_or(self.remote_concurrency),
            _ => return false,
        }
        true
    }

    /// A property of these; `None` for another's name.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "questions" => self.path.to_value(),
            "window" => self.window_s.to_value(),
            "stride" => self.stride_s.to_value(),
            "backend" => self.backend.to_value(),
            "weights" => self.weights.to_value(),
            "remote-url" => self.remote_url.to_value(),
            "remote-model" => self.remote_model.to_value(),
            "remote-key-variable" => self.remote_key_variable.to_value(),
            "remote-timeout" => self.remote_timeout_s.to_value(),
            "remote-frames" => self.remote_frames.to_value(),
            "remote-concurrency" => self.remote_concurrency.to_value(),
            _ => return None,
        })
    }

    /// Opens the backend. `told` hears how one that may fail does.
    ///
    /// # Errors
    /// In words: weights that cannot be read, a server's address that is absent or none.
    #[cfg_attr(not(feature = "remote"), allow(unused_variables))]
    pub fn open(&self, told: impl Fn(Health) + Send + Sync + 'static) -> Result<Opened, String> {
        match self.backend {
            KineVlmBackend::Geometry => Ok(Opened {
                backend: Box::new(Geometry),
                onlooker: None,
                model: None,
            }),
            #[cfg(feature = "burn")]
            KineVlmBackend::Burn => {
                let model = match self.weights.as_deref() {
                    Some(path) => TinyVlm::load(Path::new(path)),
                    None => TinyVlm::builtin(),
                };
                let model = model.map_err(|error| error.to_string())?;
                let observations = SharedObservations::default();
                Ok(Opened {
                    backend: Box::new(TinyBackend::new(Arc::new(model), Arc::clone(&observations))),
                    onlooker: Some(observations),
                    model: Some(Model {
                        stage: "answers".to_owned(),
                        name: self.weights.clone().unwrap_or_else(|| "kinestream-tiny-vlm".to_owned()),
                        device: "cpu".to_owned(),
                    }),
                })
            }
            #[cfg(feature = "remote")]
            KineVlmBackend::Remote => {
                let Some(url) = self.remote_url.clone() else {
                    return Err("backend=remote needs remote-url, e.g. http://localhost:8000/v1".to_owned());
                };
                let key = std::env::var(&self.remote_key_variable).ok();
                let endpoint = Endpoint {
                    url: url.clone(),
                    model: self.remote_model.clone(),
                    key: key.filter(|key| !key.is_empty()),
                    max_tokens: Some(MAX_ANSWER_TOKENS),
                };
                let settings = RemoteSettings {
                    timeout: Duration::from_secs_f64(self.remote_timeout_s),
                    frames: self.remote_frames as usize,
                    concurrency: self.remote_concurrency as usize,
                    ..RemoteSettings::new(endpoint)
                };
                let sights = Arc::new(Sights::default());
                let told = Box::new(move |health: Health| told(health));
                let backend = RemoteBackend::new(settings, Arc::clone(&sights), told);
                Ok(Opened {
                    backend: Box::new(backend.map_err(|error| error.to_string())?),
                    onlooker: Some(sights),
                    model: Some(Model {
                        stage: "answers".to_owned(),
                        name: self.remote_model.clone(),
                        device: url,
                    }),
                })
            }
        }
    }
}

/// The longest answer that a server is asked for live, tokens.
#[cfg(feature = "remote")]
const MAX_ANSWER_TOKENS: u32 = 256;

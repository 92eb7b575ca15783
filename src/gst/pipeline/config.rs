//! The run configuration: which cameras, what happens to their frames, where results go.
//!
//! TOML, read strictly: an unknown key is an error with line and nearest known key. Paths are relative to the file.
//! `configs/run.toml` shows every key with its default.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::recording::Container;
use crate::perception::{DEFAULT_MODEL, NO_MODEL};
use crate::settings::{self, SettingsError};

/// What `kinestream run` is told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// First segment of the zenoh keys: the place.
    #[serde(default = "default_site")]
    pub site: String,
    /// The zenoh network.
    #[serde(default)]
    pub zenoh: ZenohConfig,
    /// The cameras, each with a pipeline of its own.
    #[serde(rename = "camera")]
    pub cameras: Vec<CameraConfig>,
}

/// How to reach the zenoh network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZenohConfig {
    /// Whether results are published at all.
    pub enabled: bool,
    /// A zenoh configuration file (JSON5); what is set below goes over it.
    pub config: Option<PathBuf>,
    /// How the session takes part in the network; unset leaves it to the file or zenoh's default.
    pub mode: Option<ZenohMode>,
    /// Endpoints to connect to.
    pub connect: Vec<String>,
    /// Endpoints to listen on.
    pub listen: Vec<String>,
    /// Whether to find others by multicast.
    pub multicast_scouting: bool,
    /// `json` or `protobuf`.
    pub encoding: MessageEncoding,
}

impl Default for ZenohConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            config: None,
            mode: None,
            connect: Vec::new(),
            listen: Vec::new(),
            multicast_scouting: true,
            encoding: MessageEncoding::Json,
        }
    }
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageEncoding {
    /// JSON.
    #[default]
    Json,
    /// Protocol buffers.
    Protobuf,
}

impl MessageEncoding {
    /// The name in files and properties.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}

/// How a zenoh session takes part in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZenohMode {
    /// Talks to all others directly.
    Peer,
    /// Talks to one router or peer.
    Client,
    /// Passes messages on between others.
    Router,
}

impl ZenohMode {
    /// The name in files and properties.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Client => "client",
            Self::Router => "router",
        }
    }
}

/// Which transports an RTSP camera is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtspProtocols {
    /// Interleaved in the RTSP connection.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// UDP first, then TCP.
    Auto,
}

impl RtspProtocols {
    /// The name in files and properties.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Auto => "auto",
        }
    }
}

/// How the camera's own motion is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum EgoMode {
    /// It does not move.
    #[default]
    Static,
    /// From the pictures.
    Visual,
    /// Told by the vehicle, fused with the pictures.
    External,
}

impl EgoMode {
    /// The name in files and properties.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Visual => "visual",
            Self::External => "external",
        }
    }
}

/// Who answers questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum AnswerBackend {
    /// The settled trajectories.
    #[default]
    Geometry,
    /// The small ST-VLM, the geometric answer beside its own.
    Burn,
    /// A model behind an OpenAI-compatible server, the geometric answer beside its own.
    Remote,
}

impl AnswerBackend {
    /// The name in files and properties.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Geometry => "geometry",
            Self::Burn => "burn",
            Self::Remote => "remote",
        }
    }
}

/// A model behind an OpenAI-compatible server. What is not set is left to the element's defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// Base address, e.g. `http://localhost:8000/v1`.
    pub url: String,
    /// The model's name on the server.
    pub model: Option<String>,
    /// Environment variable with the server's key.
    pub key_variable: Option<String>,
    /// The most that the answers to one window may take, seconds.
    pub timeout_s: Option<f64>,
    /// Pictures of a window shown at most.
    pub frames: Option<u32>,
    /// Requests on their way at once at most.
    pub concurrency: Option<u32>,
}

impl RemoteConfig {
    /// Which value makes no sense, what was expected and what was found.
    fn problem(&self) -> Option<String> {
        if !(self.url.starts_with("http://") || self.url.starts_with("https://")) {
            return Some(format!("url: expected http://… or https://…, found `{}`", self.url));
        }
        if let Some(timeout_s) = self.timeout_s.filter(|value| !(0.1..=3600.0).contains(value)) {
            return Some(format!("timeout_s: expected 0.1 to 3600 seconds, found {timeout_s}"));
        }
        [("frames", self.frames), ("concurrency", self.concurrency)]
            .into_iter()
            .find_map(|(key, value)| {
                let value = value.filter(|value| !(1..=256).contains(value))?;
                Some(format!("{key}: expected 1 to 256, found {value}"))
            })
    }
}

/// One camera and what happens to its frames. What is not set is left to the elements' defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraConfig {
    /// Second segment of the zenoh keys: the camera.
    pub name: String,
    /// Where frames come from: `rtsp://…`, `v4l2:///dev/video0`, a file, any URI that GStreamer opens, `launch:` and a
    /// pipeline fragment, or `app` when the program pushes them.
    pub source: String,
    /// Intrinsics and mounting.
    pub camera_file: Option<PathBuf>,
    /// How its own motion is found.
    #[serde(default)]
    pub ego: EgoMode,
    /// CSV file with the vehicle's poses or speeds, for `ego = "external"`.
    pub ego_file: Option<PathBuf>,
    /// Detector: manifest, ONNX file, or `default` for the built-in one.
    #[serde(default = "default_model")]
    pub detector: PathBuf,
    /// Classes to look for; all when empty.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Confidence that starts a track, 0 to 1.
    pub confidence: Option<f32>,
    /// The detector runs on every so many-th frame.
    pub detect_interval: Option<u32>,
    /// Network that describes looks.
    pub reid: Option<PathBuf>,
    /// Metric depth network: manifest, ONNX file, `default` for the built-in one (also when unset), or `none`.
    pub depth: Option<PathBuf>,
    /// The depth network runs on every so many-th frame.
    pub depth_interval: Option<u32>,
    /// Where networks run: `auto`, `cpu`, `cuda`, `cuda:1`, `tensorrt`.
    pub device: Option<String>,
    /// Threads of a network; 0 takes one per core.
    pub threads: Option<u32>,
    /// How far behind the frame settled states are, seconds.
    pub settle_lag_s: Option<f64>,
    /// How much of each trajectory is kept, seconds.
    pub history_s: Option<f64>,
    /// Sizes and dynamics of classes, put over the built-in ones.
    pub priors: Option<PathBuf>,
    /// Standing questions.
    pub questions: Option<PathBuf>,
    /// Who answers them.
    #[serde(default)]
    pub backend: AnswerBackend,
    /// Weights of the small ST-VLM instead of the built-in ones.
    pub weights: Option<PathBuf>,
    /// The server for `backend = "remote"`.
    pub remote: Option<RemoteConfig>,
    /// Record the picture with everything drawn into it: an .mp4 or .mkv file. Live, frames give way when the encoder is
    /// slower.
    pub record: Option<PathBuf>,
    /// Append questions and answers about what moves to this JSONL file, as `kinestream stkit label` makes them.
    pub record_labels: Option<PathBuf>,
    /// Length of the sliding window of standing questions, seconds.
    pub window_s: Option<f64>,
    /// Time from one window to the next, seconds.
    pub stride_s: Option<f64>,
    /// RTSP: how long to wait for late packets, milliseconds.
    pub latency_ms: Option<u32>,
    /// RTSP: which transports to ask for.
    #[serde(default)]
    pub protocols: RtspProtocols,
    /// Frames are missed after this long, milliseconds.
    pub stall_timeout_ms: Option<u32>,
}

/// Labels are drawn from pieces of 30 s, some seconds after each is over.
const LEAST_LABEL_HISTORY_S: f64 = 40.0;

/// The `source` of a camera whose frames the program pushes.
pub const APP_SOURCE: &str = "app";

fn default_model() -> PathBuf {
    PathBuf::from(DEFAULT_MODEL)
}

fn default_site() -> String {
    "local".to_owned()
}

impl RunConfig {
    /// Reads a configuration file and makes its paths relative to where it lies.
    ///
    /// # Errors
    /// An unreadable file, an unknown key, a value that makes no sense: with file, line and what was expected.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let mut config: Self = settings::load(path)?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        config.check(path)?;
        Ok(config)
    }

    /// Parses a configuration whose paths are relative to `path`'s folder; `path` names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let mut config: Self = settings::parse(text, path)?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        config.check(path)?;
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path) {
        if let Some(path) = &mut self.zenoh.config {
            *path = folder.join(&*path);
        }
        for camera in &mut self.cameras {
            let CameraConfig {
                camera_file,
                ego_file,
                detector,
                reid,
                depth,
                priors,
                questions,
                record,
                record_labels,
                ..
            } = camera;
            let optional = [
                camera_file,
                ego_file,
                reid,
                depth,
                priors,
                questions,
                record,
                record_labels,
            ];
            for path in optional.into_iter().flatten().chain([detector]) {
                // Words, not files.
                if path != Path::new(DEFAULT_MODEL) && path != Path::new(NO_MODEL) {
                    *path = folder.join(&*path);
                }
            }
            let is_file = camera.source != APP_SOURCE
                && !camera.source.contains("://")
                && !camera.source.trim_start().starts_with("launch:");
            if is_file {
                camera.source = folder.join(&camera.source).to_string_lossy().into_owned();
            }
        }
    }

    fn check(&self, path: &Path) -> Result<(), SettingsError> {
        let invalid = |message: String| {
            Err(SettingsError::Invalid {
                path: path.to_owned(),
                message,
            })
        };
        if self.cameras.is_empty() {
            return invalid("no [[camera]]: expected at least one".to_owned());
        }
        let mut names = HashSet::new();
        for camera in &self.cameras {
            let name = &camera.name;
            if !names.insert(name) {
                return invalid(format!(
                    "camera `{name}`: the name is taken, expected one for each camera"
                ));
            }
            if let Some(record) = &camera.record
                && Container::of(record).is_none()
            {
                return invalid(format!(
                    "camera `{name}`: record: expected a file that ends in .mp4 or .mkv, found {}",
                    record.display()
                ));
            }
            match &camera.remote {
                Some(remote) => {
                    if let Some(problem) = remote.problem() {
                        return invalid(format!("camera `{name}`: remote.{problem}"));
                    }
                }
                None if camera.backend == AnswerBackend::Remote => {
                    return invalid(format!(
                        "camera `{name}`: backend = \"remote\" needs [camera.remote] with `url`"
                    ));
                }
                None => {}
            }
            if camera.record_labels.is_some() {
                if !self.zenoh.enabled {
                    return invalid(format!(
                        "camera `{name}`: record_labels: the publisher writes them, expected `enabled = true` under [zenoh]"
                    ));
                }
                if let Some(history_s) = camera.history_s.filter(|history_s| *history_s < LEAST_LABEL_HISTORY_S) {
                    return invalid(format!(
                        "camera `{name}`: record_labels: expected history_s of at least {LEAST_LABEL_HISTORY_S}, found {history_s}"
                    ));
                }
            }
            if let Some(confidence) = camera.confidence.filter(|value| !(0.0..=1.0).contains(value)) {
                return invalid(format!(
                    "camera `{name}`: confidence: expected 0 to 1, found {confidence}"
                ));
            }
            for (key, value, least) in [
                ("settle_lag_s", camera.settle_lag_s, 0.0),
                ("history_s", camera.history_s, 1.0),
                ("window_s", camera.window_s, 0.1),
                ("stride_s", camera.stride_s, 0.1),
            ] {
                if let Some(value) = value.filter(|&value| !(least..=86_400.0).contains(&value)) {
                    return invalid(format!(
                        "camera `{name}`: {key}: expected {least} to 86400 seconds, found {value}"
                    ));
                }
            }
            for (key, value) in [
                ("detect_interval", camera.detect_interval),
                ("depth_interval", camera.depth_interval),
            ] {
                if value == Some(0) {
                    return invalid(format!("camera `{name}`: {key}: expected at least 1, found 0"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn parse(text: &str) -> Result<RunConfig, SettingsError> {
        RunConfig::parse(text, Path::new("/etc/kinestream/run.toml"))
    }

    const SMALL: &str = "[[camera]]\nname = \"gate\"\nsource = \"video.mp4\"\ndetector = \"models/d.toml\"\n";

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse(SMALL).unwrap();
        let camera = &config.cameras[0];
        assert_eq!(camera.source, "/etc/kinestream/video.mp4");
        assert_eq!(camera.detector, Path::new("/etc/kinestream/models/d.toml"));
        for source in ["rtsp://10.0.0.7/a", "launch: videotestsrc", "app"] {
            let text = SMALL.replace("video.mp4", source);
            assert_eq!(parse(&text).unwrap().cameras[0].source, source);
        }
    }

    #[test]
    fn models_are_built_in_unless_said_otherwise() {
        let small = SMALL.replace("detector = \"models/d.toml\"\n", "");
        let camera = parse(&small).unwrap().cameras.remove(0);
        assert_eq!(camera.detector, Path::new("default"));
        assert_eq!(camera.depth, None);
        let camera = parse(&format!("{small}depth = \"none\"\n")).unwrap().cameras.remove(0);
        assert_eq!(camera.depth.as_deref(), Some(Path::new("none")));
    }

    #[test]
    fn a_typo_names_line_and_nearest_key() {
        let error = parse(&format!("{SMALL}confidense = 0.4\n")).unwrap_err().to_string();
        assert!(error.contains("run.toml:5:1"), "{error}");
        assert!(error.contains("`confidence`"), "{error}");
        let error = parse(&format!("{SMALL}[zenoh]\nlissen = []\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("`listen`"), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, expected) in [
            (String::from("camera = []\n"), "at least one"),
            (format!("{SMALL}{SMALL}"), "is taken"),
            (format!("{SMALL}confidence = 1.5\n"), "0 to 1"),
            (format!("{SMALL}window_s = -1\n"), "seconds"),
            (format!("{SMALL}detect_interval = 0\n"), "at least 1"),
            (
                format!("{SMALL}record_labels = \"a.jsonl\"\nhistory_s = 20\n"),
                "at least 40",
            ),
            (
                format!("{SMALL}record_labels = \"a.jsonl\"\n[zenoh]\nenabled = false\n"),
                "enabled = true",
            ),
            (format!("{SMALL}protocols = \"tpc\"\n"), "tcp"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

//! What `kinetrack` does with a picture: detect, describe looks, associate.

use std::path::Path;
use std::time::Instant;

use crate::detection::Detection;
use crate::frame::{FrameTime, Picture};
use crate::gst::events::Model;
use crate::perception::{
    DEFAULT_MODEL, Detector, DetectorSettings, Device, Embedder, EmbedderSettings, PerceptionError, SessionSettings,
};
use crate::tracking::{FrameInput, Track, Tracker, TrackerSettings};

/// The element's properties.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub model: Option<String>,
    pub classes: String,
    pub confidence: f32,
    pub device: String,
    pub interval: u32,
    pub reid_model: Option<String>,
    pub threads: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: Some(DEFAULT_MODEL.to_owned()),
            classes: String::new(),
            confidence: TrackerSettings::default().high_confidence,
            device: "auto".to_owned(),
            interval: 1,
            reid_model: None,
            threads: 0,
        }
    }
}

impl Settings {
    fn session(&self) -> Result<SessionSettings, PerceptionError> {
        Ok(SessionSettings {
            device: self.device.parse::<Device>()?,
            threads: self.threads as usize,
            ..SessionSettings::default()
        })
    }

    /// Detections that continue tracks may be less sure than those that start them.
    fn tracker(&self) -> TrackerSettings {
        let defaults = TrackerSettings::default();
        TrackerSettings {
            high_confidence: self.confidence,
            birth_confidence: self.confidence,
            low_confidence: defaults.low_confidence.min(self.confidence),
            ..defaults
        }
    }

    /// Opens the detector. The message says what to do.
    pub fn load_detector(&self) -> Result<Detector, String> {
        let path = self.model.as_deref().filter(|path| !path.is_empty());
        let path = path.unwrap_or(DEFAULT_MODEL);
        let settings = DetectorSettings {
            session: self.session().map_err(|error| error.to_string())?,
            confidence: self.tracker().low_confidence,
            classes: self
                .classes
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            ..DetectorSettings::default()
        };
        Detector::load(Path::new(path), &settings).map_err(|error| error.to_string())
    }

    fn load_embedder(&self) -> Result<Option<Embedder>, String> {
        let Some(path) = self.reid_model.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let session = self.session().map_err(|error| error.to_string())?;
        Embedder::load(Path::new(path), &EmbedderSettings { session })
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

/// Detector, embedder and tracker of one stream.
pub(super) struct Worker {
    detector: Detector,
    embedder: Option<Embedder>,
    tracker: Tracker,
    interval: u32,
    frames_to_detection: u32,
}

/// What one frame brought.
pub(super) struct Tracked {
    pub tracks: Vec<Track>,
    /// When association began, after detection; `None` when no detector ran.
    pub associated_from: Option<Instant>,
}

impl Worker {
    /// Opens all models.
    pub fn load(settings: &Settings) -> Result<Self, String> {
        let tracker = settings.tracker();
        tracker.check()?;
        Ok(Self {
            detector: settings.load_detector()?,
            embedder: settings.load_embedder()?,
            tracker: Tracker::new(tracker),
            interval: settings.interval.max(1),
            frames_to_detection: 0,
        })
    }

    /// Goes on with another detector; identities stay.
    pub fn replace_detector(&mut self, detector: Detector) {
        self.detector = detector;
    }

    /// Ends all tracks.
    pub fn reset(&mut self) {
        self.tracker.reset();
        self.frames_to_detection = 0;
    }

    /// The models, for the publisher's status.
    pub fn models(&self) -> Vec<Model> {
        let model = |stage: &str, name: &str, device: Device| Model {
            stage: stage.to_owned(),
            name: name.to_owned(),
            device: device.to_string(),
        };
        let detector = model("detection", &self.detector.manifest().name, self.detector.device());
        let embedder = self
            .embedder
            .iter()
            .map(|embedder| model("reid", &embedder.manifest().name, embedder.device()));
        std::iter::once(detector).chain(embedder).collect()
    }

    /// Whether the detector is to run on the next frame.
    pub fn detection_due(&mut self) -> bool {
        let due = self.frames_to_detection == 0;
        self.frames_to_detection = if due { self.interval } else { self.frames_to_detection } - 1;
        due
    }

    /// Tracks as predicted, without a look at the picture.
    pub fn predict(&self, time: FrameTime) -> Tracked {
        Tracked {
            tracks: self.tracker.predict(time),
            associated_from: None,
        }
    }

    /// Tracks as seen in the picture.
    pub fn track(&mut self, time: FrameTime, picture: &Picture<'_>) -> Result<Tracked, PerceptionError> {
        let detections: Vec<Detection> = self.detector.detect(picture)?;
        let embeddings = match &mut self.embedder {
            Some(embedder) => {
                let boxes: Vec<_> = detections.iter().map(|detection| detection.bbox).collect();
                embedder.embed(picture, &boxes)?
            }
            None => Vec::new(),
        };
        let associated_from = Some(Instant::now());
        let input = FrameInput {
            detections: &detections,
            embeddings: &embeddings,
            ..FrameInput::default()
        };
        let tracks = self.tracker.update(time, input).to_vec();
        Ok(Tracked {
            tracks,
            associated_from,
        })
    }
}

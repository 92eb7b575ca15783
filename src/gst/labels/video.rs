//! A video file through the whole chain, as fast as it goes, for the labels of what moves in it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use super::{observed, place};
use crate::gst::pipeline::{EgoMode, Engine, EngineError, Report, RunConfig};
use crate::motion::SharedTrajectories;
use crate::results::FrameResults;
use crate::settings::SettingsError;
use crate::stkit::pseudo::{Observer, ObserverSettings, Piece, PseudoRecord};

/// Time beyond a piece for which trajectories are kept, seconds.
const HISTORY_MARGIN_S: f64 = 30.0;

/// Which video, and how it is looked at.
#[derive(Clone, Debug)]
pub struct VideoToLabel {
    /// The file.
    pub path: PathBuf,
    /// What it is called in records.
    pub name: String,
    /// Its camera file, where there is one.
    pub camera_file: Option<PathBuf>,
    /// How the camera's own motion is found.
    pub ego: EgoMode,
    /// Detector, in place of the built-in one.
    pub detector: Option<PathBuf>,
    /// Depth network, in place of the built-in one.
    pub depth: Option<PathBuf>,
    /// Threads of each network; 0 takes one per core.
    pub threads: u32,
}

/// Why a video was not labelled.
#[derive(Debug, Error)]
pub enum VideoLabelError {
    /// The pipeline cannot be set up so.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The pipeline failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl VideoToLabel {
    fn config(&self, history_s: f64) -> Result<RunConfig, SettingsError> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut text = format!(
            "zenoh.enabled = false\n[[camera]]\nname = \"video\"\nsource = {:?}\nego = {:?}\nthreads = {}\nhistory_s = {history_s}\n",
            absolute(&self.path),
            self.ego.as_str(),
            self.threads,
        );
        if let Some(path) = &self.camera_file {
            text += &format!("camera_file = {:?}\n", absolute(path));
        }
        for (key, path) in [("detector", &self.detector), ("depth", &self.depth)] {
            if let Some(path) = path {
                let is_word = path.components().count() == 1 && path.extension().is_none();
                let path = if is_word { path.clone() } else { absolute(path) };
                text += &format!("{key} = {path:?}\n");
            }
        }
        RunConfig::parse(&text, &absolute(&self.path))
    }
}

/// Runs the chain over the whole video. Its pieces come as they are complete; `on_frame` is called with the results of every
/// frame.
///
/// # Errors
/// A file that cannot be played, a camera file that does not fit it, a model that cannot be loaded.
pub fn label_video(
    video: &VideoToLabel,
    settings: ObserverSettings,
    on_piece: impl FnMut(Piece) + Send + 'static,
    on_frame: impl Fn(&FrameResults) + Send + Sync + 'static,
) -> Result<Report, VideoLabelError> {
    struct State {
        observer: Observer,
        trajectories: Option<SharedTrajectories>,
        on_piece: Box<dyn FnMut(Piece) + Send>,
    }
    let config = video.config(settings.piece_s + HISTORY_MARGIN_S)?;
    let state = Arc::new(Mutex::new(State {
        observer: Observer::new(&video.name, settings),
        trajectories: None,
        on_piece: Box::new(on_piece),
    }));
    let lock = |state: &Mutex<State>, change: &mut dyn FnMut(&mut State)| {
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
    };
    let shared = Arc::clone(&state);
    let mut engine = Engine::with_results(&config, move |_, results| {
        on_frame(results);
        lock(&shared, &mut |state: &mut State| {
            let (Some(seen), Some(trajectories)) = (observed(results), &results.trajectories) else {
                return;
            };
            let pieces = state
                .observer
                .frame(&seen, |read| trajectories.read(|store| read(store)));
            pieces.into_iter().for_each(&mut state.on_piece);
            state.trajectories.get_or_insert_with(|| trajectories.clone());
        });
    })?;
    engine.start()?;
    engine.wait(None);
    // Stopping empties the store.
    lock(&state, &mut |state: &mut State| {
        if let Some(trajectories) = &state.trajectories {
            let pieces = state.observer.finish(|read| trajectories.read(|store| read(store)));
            pieces.into_iter().for_each(&mut state.on_piece);
        }
    });
    engine.stop();
    match engine.failures().into_iter().next() {
        Some(failure) => Err(failure.into()),
        None => Ok(engine.report()),
    }
}

impl VideoToLabel {
    /// Makes the records of a piece speak of this video.
    pub fn place(&self, piece: &Piece, records: &mut [PseudoRecord]) {
        for (number, found) in records.iter_mut().enumerate() {
            place(&mut found.record, &self.name, piece.start_s, number);
            found.record.video = Some(self.name.clone());
            found.record.frames = None;
        }
    }
}

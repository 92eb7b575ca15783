//! One clip: a world, the pipeline that watches it, and what both say of every frame.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nalgebra::{Isometry3, Point3, Vector3};
use thiserror::Error;

use crate::camera::Camera;
use crate::detection::BoundingBox;
use crate::frame::{FrameTime, NANOS_PER_SECOND, Picture, PixelFormat};
use crate::gst::pipeline::{Engine, EngineError, Report, RunConfig};
use crate::kinematics::ObjectState;
use crate::motion::{SharedTrajectories, TrajectoryStore};
use crate::perception::{DEFAULT_MODEL, NO_MODEL};
use crate::results::FrameResults;
use crate::settings::SettingsError;
use crate::sim::render::Renderer;
use crate::sim::timing::FrameTimes;
use crate::sim::{ActorClass, Scene, Snapshot, World, WorldError, WorldSettings};
use crate::tracking::TrackStatus;

/// What a clip is made of and how the pipeline is set.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    /// Length of a clip, seconds.
    pub seconds: f64,
    /// Picture width, pixels.
    pub width: u32,
    /// Picture height, pixels.
    pub height: u32,
    /// Frames a second; `None` leaves it to the world.
    pub frame_rate: Option<f64>,
    /// Detector; `None` takes the built-in one.
    pub detector: Option<PathBuf>,
    /// Depth network; `None` takes the built-in one.
    pub depth: Option<PathBuf>,
    /// Whether the pipeline is told the camera's intrinsics and mounting.
    pub camera_known: bool,
    /// Further keys of the camera's section of the run configuration, TOML.
    pub extra: String,
}

/// Why a clip was not run.
#[derive(Debug, Error)]
pub enum ClipError {
    /// No such world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The pipeline cannot run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The pipeline's configuration is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The pipeline stopped taking frames.
    #[error("the pipeline took {taken} of {frames} frames: {reason}")]
    Stopped {
        /// Frames it took.
        taken: usize,
        /// Frames of the clip.
        frames: usize,
        /// Why it stopped.
        reason: String,
    },
}

/// What is true of one actor in one frame.
#[derive(Clone, Debug)]
pub(super) struct TrueActor {
    pub(super) id: u16,
    pub(super) class: ActorClass,
    pub(super) center_in_world: Point3<f64>,
    /// Length, width and height, metres.
    pub(super) size_m: Vector3<f64>,
    pub(super) yaw_rad: f64,
    pub(super) bbox: BoundingBox,
    pub(super) visible: f64,
    pub(super) truncated: bool,
}

/// What is true of one frame.
#[derive(Clone, Debug)]
pub(super) struct TrueFrame {
    pub(super) time_s: f64,
    pub(super) world_from_camera: Isometry3<f64>,
    pub(super) camera_velocity_mps: Vector3<f64>,
    pub(super) actors: Vec<TrueActor>,
}

/// What the pipeline says of one frame.
#[derive(Clone, Debug)]
pub(super) struct SeenFrame {
    pub(super) time_s: f64,
    pub(super) world_from_camera: Option<Isometry3<f64>>,
    pub(super) camera_velocity_mps: Option<Vector3<f64>>,
    pub(super) focal_px: Option<f64>,
    /// Identities and boxes of the tracks seen in this frame.
    pub(super) tracks: Vec<(u64, BoundingBox)>,
    pub(super) objects: Vec<ObjectState>,
}

/// A clip that was run: truth and results, frame by frame.
#[derive(Debug)]
pub struct Clip {
    /// The scene.
    pub scene: Scene,
    /// The seed.
    pub seed: u64,
    /// Stage times and counters; `None` of what was recorded elsewhere.
    pub report: Option<Report>,
    pub(super) camera: Arc<Camera>,
    pub(super) camera_moves: bool,
    pub(super) truth: Vec<TrueFrame>,
    pub(super) seen: Vec<SeenFrame>,
    pub(super) trajectories: Option<TrajectoryStore>,
}

/// What the pipeline's thread hands over.
#[derive(Default)]
struct Collected {
    frames: Vec<SeenFrame>,
    trajectories: Option<SharedTrajectories>,
}

/// Renders a clip of `scene`'s world `seed` and runs the pipeline over it; `folder` holds the camera file meanwhile.
///
/// # Errors
/// A world or pipeline that cannot be made, or a pipeline that fails on the way.
pub fn run_clip(scene: Scene, seed: u64, settings: &LiveSettings, folder: &Path) -> Result<Clip, ClipError> {
    let mut world = World::new(WorldSettings {
        width: settings.width,
        height: settings.height,
        frame_rate: settings.frame_rate,
        ..WorldSettings::new(scene, seed)
    })?;
    let config = RunConfig::parse(&configuration(&world, settings, folder)?, &folder.join("run.toml"))?;
    let collected = Arc::new(Mutex::new(Collected::default()));
    let sink = Arc::clone(&collected);
    let mut engine = Engine::with_results(&config, move |_, results| {
        let mut collected = sink.lock().unwrap_or_else(PoisonError::into_inner);
        collected.frames.push(seen_frame(results));
        if collected.trajectories.is_none() {
            collected.trajectories.clone_from(&results.trajectories);
        }
    })?;
    engine.start()?;
    let sender = engine.frames("sim").ok_or_else(|| EngineError::Camera {
        camera: "sim".to_owned(),
        reason: "takes no frames".to_owned(),
    })?;
    let mut renderer = Renderer::new(&world);
    let times: Vec<f64> = FrameTimes::of(&world)
        .take_while(|time_s| *time_s < settings.seconds)
        .collect();
    let mut truth = Vec::with_capacity(times.len());
    for (index, time_s) in times.iter().enumerate() {
        let snapshot = world.at(*time_s)?;
        let rendered = renderer.render(&snapshot);
        let time = FrameTime::from_pts_ns((time_s * NANOS_PER_SECOND).round() as u64);
        let pushed = Picture::packed(PixelFormat::Rgb, rendered.width, rendered.height, &rendered.rgb)
            .map_err(|error| error.to_string())
            .and_then(|picture| sender.push(&picture, time).map_err(|error| error.to_string()));
        if let Err(reason) = pushed {
            let failure = engine.failures().into_iter().next();
            return Err(ClipError::Stopped {
                taken: index,
                frames: times.len(),
                reason: failure.map_or(reason, |failure| failure.to_string()),
            });
        }
        truth.push(true_frame(&snapshot, rendered));
    }
    sender.end();
    engine.wait(Some(Duration::from_secs(120)));
    let collected = std::mem::take(&mut *collected.lock().unwrap_or_else(PoisonError::into_inner));
    // Stopping empties the store.
    let trajectories = collected.trajectories.map(|shared| shared.read(TrajectoryStore::clone));
    engine.stop();
    if let Some(failure) = engine.failures().into_iter().next() {
        return Err(failure.into());
    }
    let report = engine.report();
    Ok(Clip {
        scene,
        seed,
        report: Some(report),
        camera: Arc::new(world.camera.clone()),
        camera_moves: scene.camera_moves(seed),
        truth,
        seen: collected.frames,
        trajectories,
    })
}

/// The run configuration of a world's camera.
fn configuration(world: &World, settings: &LiveSettings, folder: &Path) -> Result<String, ClipError> {
    let mut config = "zenoh.enabled = false\n[[camera]]\nname = \"sim\"\nsource = \"app\"\n".to_owned();
    if settings.camera_known {
        let path = folder.join("camera.toml");
        std::fs::write(&path, world.camera.to_toml()).map_err(|source| ClipError::Write {
            path: path.clone(),
            source,
        })?;
        config += "camera_file = \"camera.toml\"\n";
    }
    let absolute = |path: &Path| {
        let is_word = path == Path::new(DEFAULT_MODEL) || path == Path::new(NO_MODEL);
        let absolute = (!is_word).then(|| std::path::absolute(path).ok()).flatten();
        absolute.unwrap_or_else(|| path.to_owned())
    };
    for (key, path) in [("detector", &settings.detector), ("depth", &settings.depth)] {
        if let Some(path) = path {
            config += &format!("{key} = {:?}\n", absolute(path));
        }
    }
    if world.settings.scene.camera_moves(world.settings.seed) {
        config += "ego = \"visual\"\n";
    }
    // As long as the clip: its windows are read at the end.
    config += &format!("history_s = {}\n", settings.seconds + 10.0);
    Ok(config + &settings.extra + "\n")
}

fn true_frame(snapshot: &Snapshot, rendered: &crate::sim::render::Rendered) -> TrueFrame {
    let actors = snapshot.actors.iter().filter_map(|actor| {
        let sighting = rendered.sightings.iter().find(|sighting| sighting.id == actor.id)?;
        Some(TrueActor {
            id: actor.id,
            class: actor.class,
            center_in_world: actor.center_in_world(),
            size_m: Vector3::new(actor.size.length_m, actor.size.width_m, actor.size.height_m),
            yaw_rad: actor.yaw_rad,
            bbox: sighting.bbox,
            visible: sighting.visible_fraction(),
            truncated: sighting.truncated,
        })
    });
    TrueFrame {
        time_s: snapshot.time_s,
        world_from_camera: snapshot.world_from_camera,
        camera_velocity_mps: snapshot.camera_velocity_mps,
        actors: actors.collect(),
    }
}

pub(super) fn seen_frame(results: &FrameResults) -> SeenFrame {
    let view = results.view.as_ref();
    let tracks = results.tracks.iter();
    SeenFrame {
        time_s: results.time.seconds(),
        world_from_camera: view.map(|view| view.world_from_camera),
        camera_velocity_mps: view
            .filter(|view| view.health.knows_ego_velocity())
            .map(|view| view.ego_velocity_in_world_mps),
        focal_px: view.map(|view| view.camera.intrinsics.fx),
        tracks: tracks
            .filter(|track| track.status == TrackStatus::Tracked)
            .map(|track| (track.id, track.bbox))
            .collect(),
        objects: results.objects.clone(),
    }
}

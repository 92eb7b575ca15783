//! A clip from what was published over the network and what a served world wrote down as true.
//!
//! Frames are paired by the time of their capture (UTC), which the camera's RTCP reports carry and both files hold.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{Isometry3, Matrix3, Matrix6, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use thiserror::Error;

use super::clip::{Clip, SeenFrame, TrueActor, TrueFrame};
use crate::camera::{Camera, Intrinsics, IntrinsicsSource, MountingSource};
use crate::detection::{BoundingBox, ClassLabel};
use crate::kinematics::{KinematicState, ObjectState, Reliability, Sample, Trajectory, UnreliableReason};
use crate::motion::{StoredTrajectory, TrajectoryStore};
use crate::sim::ActorClass;
use crate::sim::scenes::{Scene, UnknownScene};
use crate::sim::truth::{FrameRecord, IntrinsicsRecord, TruthError, TruthReader};
use crate::wire::proto;

/// Frames whose captures lie farther apart than this are not the same, nanoseconds.
const SAME_CAPTURE_NS: i64 = 5_000_000;

/// True paths are drawn where the actor shows at least this share of itself, and is this high, pixels: what a tracker may
/// well see, though it is not asked for.
const DRAWN_VISIBLE: f64 = 0.2;
const DRAWN_HEIGHT_PX: f32 = 8.0;

/// Why a recording cannot be scored.
#[derive(Debug, Error)]
pub enum RecordedError {
    /// The truth cannot be read.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// The world's scene is not one of ours.
    #[error(transparent)]
    Scene(#[from] UnknownScene),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is no message.
    #[error("{}:{line}: expected a JSON object as `kinestream watch --format json` prints: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What was found.
        reason: String,
    },
    /// Nothing in the one belongs to anything in the other.
    #[error(
        "no frame of {} has a capture time of {}: {messages} messages with a capture time, {frames} true frames",
        tracks.display(), truth.display()
    )]
    NothingShared {
        /// File with messages.
        tracks: PathBuf,
        /// File with the truth.
        truth: PathBuf,
        /// Messages that say when their frame was captured.
        messages: usize,
        /// Frames of the truth that do.
        frames: usize,
    },
}

/// Paths seen from above: points (x, y), metres.
pub type Paths = Vec<Vec<[f64; 2]>>;

/// A recording as a clip, and the true and measured paths for a plot.
#[derive(Debug)]
pub struct Recording {
    /// For [`super::Scorer`].
    pub clip: Clip,
    /// True frames that a message speaks of.
    pub frames: usize,
}

/// Reads the messages that `kinestream watch --format json` printed and the truth that `kinestream sim serve` wrote.
///
/// # Errors
/// Unreadable or malformed files, or files that share no frame.
pub fn read_recording(truth: &Path, tracks: &Path) -> Result<Recording, RecordedError> {
    let reader = TruthReader::open(truth)?;
    let scene: Scene = reader.world().scene.parse()?;
    let seed = reader.world().seed;
    let camera = camera(&reader.world().intrinsics);
    let focal_px = camera.intrinsics.fx;
    let mut frames = Vec::new();
    for frame in reader {
        let frame = frame?;
        if frame.capture_utc_ns.is_some() {
            frames.push(frame);
        }
    }
    frames.sort_by_key(|frame| frame.capture_utc_ns);
    let messages = read_messages(tracks)?;
    let mut paired: Vec<(f64, &proto::Tracks)> = Vec::new();
    for message in &messages {
        let capture_ns = message.header.as_ref().and_then(|header| header.capture_utc_ns);
        if let Some(frame) = capture_ns.and_then(|capture_ns| nearest(&frames, capture_ns)) {
            paired.push((frame.time_s, message));
        }
    }
    let Some(offset_s) = median_offset(&paired) else {
        return Err(RecordedError::NothingShared {
            tracks: tracks.to_owned(),
            truth: truth.to_owned(),
            messages: messages.len(),
            frames: frames.len(),
        });
    };
    let mut store = TrajectoryStore::new(f64::INFINITY, usize::MAX);
    let mut seen: Vec<SeenFrame> = Vec::with_capacity(paired.len());
    for (time_s, message) in &paired {
        // A frame of many objects comes in parts.
        match seen.last_mut().filter(|last| last.time_s == *time_s) {
            Some(last) => add_objects(last, message, offset_s, &mut store),
            None => {
                let mut frame = empty_frame(*time_s, message, focal_px);
                add_objects(&mut frame, message, offset_s, &mut store);
                seen.push(frame);
            }
        }
    }
    Ok(Recording {
        frames: seen.len(),
        clip: Clip {
            scene,
            seed,
            report: None,
            camera: Arc::new(camera),
            camera_moves: scene.camera_moves(seed),
            truth: frames.iter().map(true_frame).collect(),
            seen,
            trajectories: Some(store),
        },
    })
}

/// The world's camera; its pose comes with every frame.
pub(super) fn camera(intrinsics: &IntrinsicsRecord) -> Camera {
    Camera {
        intrinsics: Intrinsics::from(intrinsics),
        intrinsics_source: IntrinsicsSource::Calibrated,
        mounting: None,
        mounting_source: MountingSource::Assumed,
    }
}

fn read_messages(path: &Path) -> Result<Vec<proto::Tracks>, RecordedError> {
    let read = |source| RecordedError::Read {
        path: path.to_owned(),
        source,
    };
    let mut messages = Vec::new();
    for (index, line) in BufReader::new(File::open(path).map_err(read)?).lines().enumerate() {
        let line = line.map_err(read)?;
        let malformed = |reason: String| RecordedError::Line {
            path: path.to_owned(),
            line: index + 1,
            reason,
        };
        let mut value: serde_json::Value = serde_json::from_str(&line).map_err(|error| malformed(error.to_string()))?;
        if let Some(tracks) = value.get_mut("tracks") {
            let tracks = serde_json::from_value(tracks.take()).map_err(|error| malformed(error.to_string()))?;
            messages.push(tracks);
        }
    }
    Ok(messages)
}

/// The frame that was captured at this time.
fn nearest(frames: &[FrameRecord], capture_ns: i64) -> Option<&FrameRecord> {
    let after = frames.partition_point(|frame| frame.capture_utc_ns < Some(capture_ns));
    let near = [after.checked_sub(1), Some(after)].into_iter().flatten();
    let apart = |frame: &&FrameRecord| frame.capture_utc_ns.map_or(i64::MAX, |ns| (ns - capture_ns).abs());
    let found = near.filter_map(|index| frames.get(index)).min_by_key(apart)?;
    (apart(&found) <= SAME_CAPTURE_NS).then_some(found)
}

/// What is to be added to stream time to get the world's time, seconds.
fn median_offset(paired: &[(f64, &proto::Tracks)]) -> Option<f64> {
    let mut offsets: Vec<f64> = paired
        .iter()
        .filter_map(|(time_s, message)| Some(time_s - message.header.as_ref()?.pts_ns as f64 * 1e-9))
        .collect();
    offsets.sort_unstable_by(f64::total_cmp);
    offsets.get(offsets.len() / 2).copied()
}

pub(super) fn true_frame(frame: &FrameRecord) -> TrueFrame {
    let actors = frame.objects.iter().filter_map(|object| {
        let [x0, y0, x1, y1] = object.bbox_px?;
        let class = ActorClass::ALL.into_iter().find(|class| class.name() == object.class)?;
        Some(TrueActor {
            id: object.id,
            class,
            center_in_world: Point3::from(object.center_in_world_m),
            size_m: Vector3::from(object.size_m),
            yaw_rad: object.yaw_rad,
            bbox: BoundingBox::new(x0, y0, x1, y1),
            visible: object.visible_fraction,
            truncated: object.truncated,
        })
    });
    let [w, x, y, z] = frame.world_from_camera.rotation_wxyz;
    TrueFrame {
        time_s: frame.time_s,
        world_from_camera: Isometry3::from_parts(
            Translation3::from(frame.world_from_camera.translation_m),
            UnitQuaternion::from_quaternion(Quaternion::new(w, x, y, z)),
        ),
        camera_velocity_mps: Vector3::from(frame.camera_velocity_mps),
        actors: actors.collect(),
    }
}

fn empty_frame(time_s: f64, message: &proto::Tracks, focal_px: f64) -> SeenFrame {
    let pose = message.camera_pose.as_ref();
    SeenFrame {
        time_s,
        world_from_camera: pose.and_then(|pose| {
            let (at, turn) = (
                pose.position_in_world_m.as_ref()?,
                pose.world_from_camera_rotation.as_ref()?,
            );
            Some(Isometry3::from_parts(
                Translation3::new(at.x, at.y, at.z),
                UnitQuaternion::from_quaternion(Quaternion::new(turn.w, turn.x, turn.y, turn.z)),
            ))
        }),
        camera_velocity_mps: pose.and_then(|pose| pose.velocity_in_world_mps.as_ref()).map(vector),
        focal_px: Some(focal_px),
        tracks: Vec::new(),
        objects: Vec::new(),
    }
}

fn add_objects(frame: &mut SeenFrame, message: &proto::Tracks, offset_s: f64, store: &mut TrajectoryStore) {
    for object in &message.objects {
        let class = ClassLabel::new(&object.class_name);
        if let Some(bbox) = object
            .r#box
            .as_ref()
            .filter(|_| object.status() == proto::TrackStatus::Tracked)
        {
            let bbox = BoundingBox::new(bbox.x0_px, bbox.y0_px, bbox.x1_px, bbox.y1_px);
            frame.tracks.push((object.id, bbox));
        }
        let state = |state: &Option<proto::KinematicState>| state.as_ref().and_then(|state| kinematic(state, offset_s));
        let (live, settled) = (state(&object.live), state(&object.settled));
        let stored = store.entry(object.id, class);
        push(&mut stored.live, live.as_ref(), object.reliable);
        push(&mut stored.settled, settled.as_ref(), object.reliable);
        if let Some(live) = live {
            frame.objects.push(ObjectState {
                track_id: object.id,
                class,
                live,
                settled,
                movement_clock: None,
                bearing_clock: None,
                reliability: if object.reliable {
                    Reliability::Reliable
                } else {
                    Reliability::Unreliable(UnreliableReason::TooFewObservations)
                },
            });
        }
    }
}

fn vector(vector: &proto::Vector3) -> Vector3<f64> {
    Vector3::new(vector.x, vector.y, vector.z)
}

fn kinematic(state: &proto::KinematicState, offset_s: f64) -> Option<KinematicState> {
    let mut covariance = Matrix6::zeros();
    let mut entries = state.covariance.iter();
    for row in 0..6 {
        for column in row..6 {
            let entry = f64::from(*entries.next()?);
            covariance[(row, column)] = entry;
            covariance[(column, row)] = entry;
        }
    }
    Some(KinematicState {
        time_s: state.time_s + offset_s,
        position_in_world: Point3::from(vector(state.position_in_world_m.as_ref()?)),
        velocity_in_world_mps: vector(state.velocity_in_world_mps.as_ref()?),
        covariance,
        standstill_probability: state.standstill_probability,
    })
}

/// States that were published already, or that lie before the last, are passed over.
fn push(trajectory: &mut Trajectory, state: Option<&KinematicState>, reliable: bool) {
    let Some(state) = state else { return };
    let block = |at: usize| -> Matrix3<f64> { state.covariance.fixed_view::<3, 3>(at, at).into_owned() };
    // Refused only when time does not advance.
    let _ = trajectory.push(Sample {
        time_s: state.time_s,
        position_in_world: state.position_in_world,
        velocity_in_world_mps: state.velocity_in_world_mps,
        position_covariance: block(0),
        velocity_covariance: block(3),
        standing: state.standstill_probability > 0.5,
        reliable,
    });
}

impl Recording {
    /// True paths of the actors in the picture, and measured (settled) paths, seen from above: (x, y) in metres.
    pub fn paths(&self) -> (Paths, Paths) {
        let mut truth: std::collections::BTreeMap<u16, Vec<[f64; 2]>> = std::collections::BTreeMap::new();
        for frame in &self.clip.truth {
            for actor in &frame.actors {
                if actor.visible >= DRAWN_VISIBLE && actor.bbox.height() >= DRAWN_HEIGHT_PX {
                    let at = [actor.center_in_world.x, actor.center_in_world.y];
                    truth.entry(actor.id).or_default().push(at);
                }
            }
        }
        let measured = self.clip.trajectories.iter().flat_map(TrajectoryStore::iter);
        let path = |stored: &StoredTrajectory| -> Vec<[f64; 2]> {
            let samples = stored.settled.samples();
            samples
                .map(|sample| [sample.position_in_world.x, sample.position_in_world.y])
                .collect()
        };
        (truth.into_values().collect(), measured.map(path).collect())
    }
}

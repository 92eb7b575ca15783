//! Takes what the stages found in each frame, and cuts the stream into pieces.

use std::collections::BTreeMap;
use std::sync::Arc;

use nalgebra::Isometry3;

use super::filters::Limits;
use super::piece::Piece;
use crate::camera::Camera;
use crate::detection::{BoundingBox, ClassLabel};
use crate::kinematics::{ObjectState, Trajectory, UnreliableReason};
use crate::motion::TrajectoryStore;
use crate::reconstruction::{ClassPriors, View};
use crate::tracking::{Track, TrackStatus};

/// Boxes nearer to the picture's edge than this share of its size are cut by it.
const EDGE_SHARE: f32 = 0.004;

/// What the stages found in one frame.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Stream time, seconds.
    pub time_s: f64,
    /// Size of the picture that boxes refer to, pixels.
    pub width: u32,
    /// See `width`.
    pub height: u32,
    /// Intrinsics and pose.
    pub view: &'a View,
    /// Tracks of the frame.
    pub tracks: &'a [Track],
    /// States of those that have one.
    pub objects: &'a [ObjectState],
}

/// How a stream is cut, and what its labels must keep.
#[derive(Clone, Debug)]
pub struct ObserverSettings {
    /// Length of a piece, seconds; it and the settle lag must fit into the history that trajectories are kept for.
    pub piece_s: f64,
    /// What labels must keep.
    pub limits: Limits,
    /// Sizes and dynamics of the classes.
    pub priors: Arc<ClassPriors>,
}

impl Default for ObserverSettings {
    fn default() -> Self {
        Self {
            piece_s: 30.0,
            limits: Limits::default(),
            priors: Arc::new(ClassPriors::default()),
        }
    }
}

/// One object in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Note {
    pub time_s: f64,
    pub class: ClassLabel,
    pub bbox: BoundingBox,
    /// Of its detection; `None` when it is not seen.
    pub confidence: Option<f32>,
    /// Whether the picture's edge cuts it.
    pub cut: bool,
    pub unreliable: Option<UnreliableReason>,
}

/// A piece that is being gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    pub times_s: Vec<f64>,
    pub poses: Vec<Isometry3<f64>>,
    pub camera: Option<Arc<Camera>>,
    pub notes: BTreeMap<u64, Vec<Note>>,
}

impl Gathered {
    /// The settled trajectories of its objects over its time, in seconds from its first frame.
    fn settled(&self, store: &TrajectoryStore) -> BTreeMap<u64, Trajectory> {
        let (Some(first_s), Some(last_s)) = (self.times_s.first(), self.times_s.last()) else {
            return BTreeMap::new();
        };
        let copy = |track_id: &u64| {
            let stored = &store.get(*track_id)?.settled;
            let copy = stored.between(*first_s, *last_s, -first_s);
            (copy.len() > 1).then_some((*track_id, copy))
        };
        self.notes.keys().filter_map(copy).collect()
    }
}

/// Gathers pieces of one stream.
#[derive(Debug)]
pub struct Observer {
    settings: ObserverSettings,
    name: String,
    scene: Option<u64>,
    /// The piece before, whose last states are not settled yet.
    settling: Option<Gathered>,
    gathering: Gathered,
}

impl Observer {
    /// Of the stream that is called `name` in provenances.
    pub fn new(name: &str, settings: ObserverSettings) -> Self {
        Self {
            settings,
            name: name.to_owned(),
            scene: None,
            settling: None,
            gathering: Gathered::default(),
        }
    }

    /// Takes a frame, and gives the pieces that are complete: mostly none. `store` is read only then.
    pub fn frame(&mut self, seen: &Observed<'_>, store: impl FnOnce(&mut dyn FnMut(&TrajectoryStore))) -> Vec<Piece> {
        let mut done: Vec<Gathered> = Vec::new();
        let last_s = self.gathering.times_s.last().copied();
        let cut = self
            .scene
            .replace(seen.view.scene)
            .is_some_and(|scene| scene != seen.view.scene);
        if last_s.is_some_and(|last_s| seen.time_s < last_s) {
            // Time runs anew: what was stored is gone.
            self.settling = None;
            self.gathering = Gathered::default();
        } else if cut {
            done.extend(self.settling.take());
            done.push(std::mem::take(&mut self.gathering));
        } else if let Some(first_s) = self.gathering.times_s.first().copied() {
            if seen.time_s - first_s >= self.settings.piece_s {
                done.extend(self.settling.take());
                self.settling = Some(std::mem::take(&mut self.gathering));
            } else if self.settling.is_some() && seen.time_s - first_s >= 0.25 * self.settings.piece_s {
                done.extend(self.settling.take());
            }
        }
        self.note(seen);
        self.pieces(done, store)
    }

    /// Gives the rest when the stream is over.
    pub fn finish(&mut self, store: impl FnOnce(&mut dyn FnMut(&TrajectoryStore))) -> Vec<Piece> {
        let mut done: Vec<Gathered> = self.settling.take().into_iter().collect();
        done.push(std::mem::take(&mut self.gathering));
        self.pieces(done, store)
    }

    fn pieces(&self, done: Vec<Gathered>, store: impl FnOnce(&mut dyn FnMut(&TrajectoryStore))) -> Vec<Piece> {
        let mut copies: Vec<BTreeMap<u64, Trajectory>> = Vec::new();
        if done.iter().any(|gathered| !gathered.notes.is_empty()) {
            // Copied only: whoever writes into the store waits meanwhile.
            store(&mut |store| copies = done.iter().map(|gathered| gathered.settled(store)).collect());
        }
        let made = done.into_iter().zip(copies);
        made.filter_map(|(gathered, settled)| Piece::new(&self.name, &gathered, settled, &self.settings))
            .collect()
    }

    fn note(&mut self, seen: &Observed<'_>) {
        let gathering = &mut self.gathering;
        gathering.times_s.push(seen.time_s);
        gathering.poses.push(seen.view.world_from_camera);
        gathering.camera.get_or_insert_with(|| Arc::clone(&seen.view.camera));
        let (width, height) = (seen.width as f32, seen.height as f32);
        for track in seen.tracks {
            let state = seen.objects.iter().find(|object| object.track_id == track.id);
            let (x, y) = ((EDGE_SHARE * width).max(1.0), (EDGE_SHARE * height).max(1.0));
            let bbox = track.bbox;
            let inside = bbox.x0 > x && bbox.y0 > y && bbox.x1 < width - x && bbox.y1 < height - y;
            gathering.notes.entry(track.id).or_default().push(Note {
                time_s: seen.time_s,
                class: track.class,
                bbox,
                confidence: (track.status == TrackStatus::Tracked).then_some(track.confidence),
                cut: !inside,
                unreliable: state.and_then(|state| state.reliability.reason()),
            });
        }
    }
}

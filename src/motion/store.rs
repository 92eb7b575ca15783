//! The rolling store of trajectories: what any question about distance, speed or direction is answered from.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::detection::ClassLabel;
use crate::kinematics::{Reliability, Trajectory};

/// What is stored of one object, alive or gone.
#[derive(Clone, Debug)]
pub struct StoredTrajectory {
    /// The identity that the tracker gave.
    pub track_id: u64,
    /// What it is.
    pub class: ClassLabel,
    /// Fixed-lag smoothed: ends a settle lag before the newest frame, or, once the object is gone, when it was last seen.
    /// Movement in it is that of [`crate::kinematics::Displacement::OfStates`].
    pub settled: Trajectory,
    /// Causal: ends at the newest frame in which the object was followed.
    pub live: Trajectory,
    /// Whether its newest state is to be trusted; for a span of time ask the trajectory's samples.
    pub reliability: Reliability,
}

impl StoredTrajectory {
    pub(crate) fn new(track_id: u64, class: ClassLabel) -> Self {
        Self {
            track_id,
            class,
            settled: Trajectory::estimated(),
            live: Trajectory::new(),
            reliability: Reliability::Reliable,
        }
    }

    /// Stream time of the newest sample, live or settled.
    pub fn end_s(&self) -> Option<f64> {
        let ends = [self.live.end_s(), self.settled.end_s()];
        ends.into_iter().flatten().max_by(f64::total_cmp)
    }
}

/// The trajectories of the last [`TrajectoryStore::history_s`] seconds, those of objects that are gone included.
#[derive(Clone, Debug)]
pub struct TrajectoryStore {
    objects: BTreeMap<u64, StoredTrajectory>,
    history_s: f64,
    settle_lag_s: f64,
    max_objects: usize,
    dropped_objects: u64,
}

impl TrajectoryStore {
    /// An empty store that keeps `history_s` seconds of at most `max_objects` objects.
    pub fn new(history_s: f64, max_objects: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            history_s,
            settle_lag_s: 0.0,
            max_objects,
            dropped_objects: 0,
        }
    }

    /// The same, with settled trajectories that end `settle_lag_s` before the newest frame.
    pub fn with_settle_lag_s(mut self, settle_lag_s: f64) -> Self {
        self.settle_lag_s = settle_lag_s;
        self
    }

    /// How far behind the newest frame settled trajectories end, seconds.
    pub fn settle_lag_s(&self) -> f64 {
        self.settle_lag_s
    }

    /// Stores an object that was followed elsewhere, in place of one with the same identity.
    pub fn insert(&mut self, stored: StoredTrajectory) {
        self.objects.insert(stored.track_id, stored);
    }

    /// The object with this identity.
    pub fn get(&self, track_id: u64) -> Option<&StoredTrajectory> {
        self.objects.get(&track_id)
    }

    /// All objects, by identity.
    pub fn iter(&self) -> impl Iterator<Item = &StoredTrajectory> {
        self.objects.values()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// How much of each trajectory is kept, seconds.
    pub fn history_s(&self) -> f64 {
        self.history_s
    }

    /// How many objects were dropped before their time because there were too many.
    pub fn dropped_objects(&self) -> u64 {
        self.dropped_objects
    }

    /// The stored object, made when there is none.
    pub(crate) fn entry(&mut self, track_id: u64, class: ClassLabel) -> &mut StoredTrajectory {
        let stored = self
            .objects
            .entry(track_id)
            .or_insert_with(|| StoredTrajectory::new(track_id, class));
        stored.class = class;
        stored
    }

    /// Forgets what left the window that ends at `now_s`, then the objects that ended first while there are too many.
    pub(crate) fn prune(&mut self, now_s: f64) {
        let start_s = now_s - self.history_s;
        self.objects.retain(|_, stored| {
            stored.settled.truncate_before(start_s);
            stored.live.truncate_before(start_s);
            stored.end_s().is_some_and(|end_s| end_s >= start_s)
        });
        while self.objects.len() > self.max_objects {
            let oldest = self
                .objects
                .values()
                .min_by(|a, b| a.end_s().unwrap_or(f64::MIN).total_cmp(&b.end_s().unwrap_or(f64::MIN)))
                .map(|stored| stored.track_id);
            let Some(oldest) = oldest else { break };
            self.objects.remove(&oldest);
            self.dropped_objects += 1;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.objects.clear();
    }
}

/// The store, shared: the motion stage writes once a frame, anybody reads. Cloning shares.
#[derive(Clone, Debug)]
pub struct SharedTrajectories(Arc<RwLock<TrajectoryStore>>);

impl SharedTrajectories {
    /// Shares `store`.
    pub fn new(store: TrajectoryStore) -> Self {
        Self(Arc::new(RwLock::new(store)))
    }

    /// Reads the store; keep it short, the next frame waits for it.
    pub fn read<R>(&self, reader: impl FnOnce(&TrajectoryStore) -> R) -> R {
        reader(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the store: for whoever follows objects in place of the motion stage.
    pub fn write<R>(&self, writer: impl FnOnce(&mut TrajectoryStore) -> R) -> R {
        writer(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

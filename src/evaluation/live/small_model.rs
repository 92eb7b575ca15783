//! The small ST-VLM asked about the engine's own trajectories: their states and the boxes, no pictures.

use super::answers::{Gathered, MARGIN_S, track_of};
use crate::evaluation::vlm::answer_from_states;
use crate::stkit::benchmark::Scorer;
use crate::stkit::{Record, RecordObject};
use crate::vlm::tiny::clip::optical_yaw_rad;
use crate::vlm::tiny::{TinyVlm, states_at};

/// The model and how it does.
pub(super) struct SmallModel {
    model: TinyVlm,
    scorer: Scorer,
}

impl SmallModel {
    /// The one that is built in.
    pub fn builtin() -> Option<Self> {
        let model = TinyVlm::builtin();
        let model = model.inspect_err(|error| tracing::warn!("the small ST-VLM is not asked: {error}"));
        Some(Self {
            model: model.ok()?,
            scorer: Scorer::default(),
        })
    }

    /// Asks about a clip from `start_s` of its stream time on.
    pub fn ask(&mut self, record: &Record, clip: &Gathered, start_s: f64) {
        let past = clip
            .poses
            .iter()
            .rev()
            .find(|(time_s, _)| *time_s <= start_s + MARGIN_S);
        let camera_yaw_rad = past.map(|(_, world_from_camera)| optical_yaw_rad(world_from_camera));
        let states = |object: &RecordObject, times_s: &[f64]| {
            let times_s: Vec<f64> = times_s.iter().map(|time_s| start_s + time_s).collect();
            let stored = track_of(object).and_then(|id| clip.store.get(id));
            stored.map_or_else(|| vec![None; times_s.len()], |stored| states_at(stored, &times_s))
        };
        let answer = answer_from_states(&self.model, record, camera_yaw_rad, states);
        self.scorer.add(record, Some(&answer));
    }

    /// How it did so far.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }
}

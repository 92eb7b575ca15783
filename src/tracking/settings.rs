//! What a tracker can be told: thresholds, gaps in seconds, noise in fractions of an object's size.

use serde::{Deserialize, Serialize};

/// Settings of a [`Tracker`](super::Tracker). All times are seconds and all lengths are fractions of an object's size
/// (√(width · height) of its box), so that the same values hold at any frame rate and resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackerSettings {
    /// Detections at least this sure take part in the first association and may start tracks.
    pub high_confidence: f32,
    /// Detections less sure than this are ignored; those between only continue tracks.
    pub low_confidence: f32,
    /// Confidence that a detection needs to start a track.
    pub birth_confidence: f32,
    /// Existence probability from which on a new track is reported.
    pub confirm_existence: f32,
    /// Share of a detection's confidence that counts as evidence of existence.
    pub evidence: f32,
    /// Seconds in which the existence probability of an unseen track falls to 1/e.
    pub existence_decay_s: f32,
    /// Seconds for which an unseen track keeps its identity.
    pub max_gap_s: f32,
    /// Seconds for which a track that was never reported may go unseen.
    pub tentative_gap_s: f32,
    /// Each side of a box is grown by this share of its width or height before overlaps are taken in the first
    /// association.
    pub buffer_first: f32,
    /// The same for what the first association left over.
    pub buffer_second: f32,
    /// Growth of that buffer with the predicted position's standard deviation.
    pub buffer_sigma: f32,
    /// Least buffered overlap (0 to 1) in the first association.
    pub min_overlap_first: f32,
    /// Least buffered overlap (0 to 1) with unsure detections.
    pub min_overlap_low: f32,
    /// Least buffered overlap (0 to 1) in the last association.
    pub min_overlap_second: f32,
    /// Weight of moving on in the same direction against an overlap of 1.
    pub momentum_weight: f32,
    /// Seconds over which the direction of motion is taken.
    pub momentum_s: f32,
    /// Weight of equal height against an overlap of 1.
    pub height_weight: f32,
    /// What a track loses against an overlap of 1 by being unseen for `max_gap_s`, in proportion.
    pub unseen_penalty: f32,
    /// Weight of appearance against an overlap of 1, where embeddings are given.
    pub appearance_weight: f32,
    /// Cosine similarity below which two appearances are not the same object.
    pub min_appearance: f32,
    /// A detection that overlaps a track seen in this frame by more than this starts no track of its own.
    pub duplicate_overlap: f32,
    /// Share of a new track's existence probability that is taken away where it overlaps a track seen in this frame
    /// wholly; in proportion where it overlaps a part (intersection over union). Two detections of one object are commoner
    /// than two objects that appear in one place.
    pub birth_doubt: f32,
    /// Standard deviation of a detected edge, as a share of the object's size.
    pub measurement_sigma: f64,
    /// Growth of that deviation where another track, seen a moment ago and nearer to the camera (its lower edge is lower),
    /// is predicted to cover the object's whole box; in proportion where it covers a part.
    pub occlusion_noise: f64,
    /// Acceleration noise of the centre: size · s⁻² · √s.
    pub acceleration_sigma: f64,
    /// Acceleration noise of width and height: size · s⁻² · √s.
    pub growth_sigma: f64,
    /// Standard deviation of a new track's velocity: sizes per second.
    pub initial_speed_sigma: f64,
    /// Seconds in which the predicted velocity of the centre falls to 1/e.
    pub velocity_decay_s: f64,
    /// Seconds in which the predicted growth falls to 1/e.
    pub growth_decay_s: f64,
    /// Share of the filter's box in the reported box of a track that is seen; the rest is the detection. 0 reports boxes
    /// as detected.
    pub smoothing: f32,
    /// Fastest an object can move in metres per second, where positions are given.
    pub max_speed_mps: f64,
    /// Most detections used of one frame; of more, the surest are kept and the others are counted as dropped.
    pub max_detections: usize,
    /// Most tracks kept; the longest unseen give way, counted.
    pub max_tracks: usize,
    /// Classes that a detector confuses with each other. A track may pass from one to another within a group; its class
    /// is the one with most confidence so far. A class in no group stands alone. Case does not matter.
    pub class_groups: Vec<Vec<String>>,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        let group = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            high_confidence: 0.5,
            low_confidence: 0.1,
            birth_confidence: 0.5,
            confirm_existence: 0.6,
            evidence: 0.7,
            existence_decay_s: 1.0,
            max_gap_s: 2.0,
            tentative_gap_s: 0.2,
            buffer_first: 0.3,
            buffer_second: 0.5,
            buffer_sigma: 1.0,
            min_overlap_first: 0.1,
            min_overlap_low: 0.3,
            min_overlap_second: 0.1,
            momentum_weight: 0.2,
            momentum_s: 0.3,
            height_weight: 0.1,
            unseen_penalty: 0.1,
            appearance_weight: 0.5,
            min_appearance: 0.4,
            duplicate_overlap: 0.7,
            birth_doubt: 0.0,
            measurement_sigma: 0.06,
            occlusion_noise: 0.0,
            acceleration_sigma: 1.0,
            growth_sigma: 0.3,
            initial_speed_sigma: 1.0,
            velocity_decay_s: 2.0,
            growth_decay_s: 0.5,
            smoothing: 0.5,
            max_speed_mps: 70.0,
            max_detections: 1000,
            max_tracks: 1000,
            class_groups: vec![
                group(&["car", "truck", "bus", "van", "pickup", "trailer", "vehicle"]),
                group(&["person", "pedestrian", "person_sitting", "rider"]),
                group(&[
                    "bicycle",
                    "motorcycle",
                    "motorbike",
                    "cyclist",
                    "motorcyclist",
                    "scooter",
                ]),
                group(&[
                    "cat", "dog", "horse", "sheep", "cow", "bear", "elephant", "zebra", "giraffe",
                ]),
            ],
        }
    }
}

impl TrackerSettings {
    /// Says which value makes no sense, what was expected and what was found.
    pub fn check(&self) -> Result<(), String> {
        let shares = [
            ("high_confidence", self.high_confidence),
            ("low_confidence", self.low_confidence),
            ("birth_confidence", self.birth_confidence),
            ("confirm_existence", self.confirm_existence),
            ("evidence", self.evidence),
            ("min_overlap_first", self.min_overlap_first),
            ("min_overlap_low", self.min_overlap_low),
            ("min_overlap_second", self.min_overlap_second),
            ("duplicate_overlap", self.duplicate_overlap),
            ("birth_doubt", self.birth_doubt),
            ("smoothing", self.smoothing),
        ];
        for (name, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{name}: expected 0 to 1, found {value}"));
            }
        }
        if self.low_confidence > self.high_confidence {
            return Err(format!(
                "low_confidence: expected at most high_confidence ({}), found {}",
                self.high_confidence, self.low_confidence
            ));
        }
        let positive = [
            ("existence_decay_s", f64::from(self.existence_decay_s)),
            ("max_gap_s", f64::from(self.max_gap_s)),
            ("measurement_sigma", self.measurement_sigma),
            ("acceleration_sigma", self.acceleration_sigma),
            ("growth_sigma", self.growth_sigma),
            ("initial_speed_sigma", self.initial_speed_sigma),
            ("velocity_decay_s", self.velocity_decay_s),
            ("growth_decay_s", self.growth_decay_s),
            ("max_speed_mps", self.max_speed_mps),
        ];
        for (name, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name}: expected more than 0, found {value}"));
            }
        }
        let not_negative = [
            ("tentative_gap_s", self.tentative_gap_s),
            ("buffer_first", self.buffer_first),
            ("buffer_second", self.buffer_second),
            ("buffer_sigma", self.buffer_sigma),
            ("momentum_weight", self.momentum_weight),
            ("momentum_s", self.momentum_s),
            ("height_weight", self.height_weight),
            ("unseen_penalty", self.unseen_penalty),
            ("occlusion_noise", self.occlusion_noise as f32),
            ("appearance_weight", self.appearance_weight),
        ];
        for (name, value) in not_negative {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("{name}: expected 0 or more, found {value}"));
            }
        }
        if !(-1.0..=1.0).contains(&self.min_appearance) {
            return Err(format!(
                "min_appearance: expected -1 to 1, found {}",
                self.min_appearance
            ));
        }
        for (name, value) in [("max_detections", self.max_detections), ("max_tracks", self.max_tracks)] {
            if value == 0 {
                return Err(format!("{name}: expected at least 1, found 0"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_make_sense() {
        assert_eq!(TrackerSettings::default().check(), Ok(()));
    }

    #[test]
    fn nonsense_is_named() {
        let settings = TrackerSettings {
            max_gap_s: -1.0,
            ..TrackerSettings::default()
        };
        let message = settings.check().unwrap_err();
        assert_eq!(message, "max_gap_s: expected more than 0, found -1");
    }
}

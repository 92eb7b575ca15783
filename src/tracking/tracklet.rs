//! One identity from its first detection on: filter, last observation, class votes, appearance, life cycle.

use std::sync::Arc;

use crate::detection::{BoundingBox, ClassLabel, Detection, Mask};
use crate::frame::NANOS_PER_SECOND;

use super::camera_motion::CameraMotion;
use super::filter::{BoxFilter, TimeStep, size_of};
use super::input::WorldPosition;
use super::settings::TrackerSettings;
use super::track::{Track, TrackStatus};

/// Virtual observations laid between the last one and a new one after a gap, at most.
const MAX_VIRTUAL: u32 = 8;
/// Share of the old appearance that a sure detection leaves.
const APPEARANCE_MEMORY: f32 = 0.9;
/// Total weight of class votes, so that a wrong start can be outvoted later.
const MAX_VOTES: f32 = 50.0;

/// A place where the track was seen, in pixels of the newest frame (it follows the camera).
#[derive(Clone, Copy, Debug)]
struct Anchor {
    time_ns: u64,
    center: (f64, f64),
}

/// A detection that passed the checks, with what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) detection: &'a Detection,
    pub(super) group: u32,
    pub(super) embedding: Option<&'a [f32]>,
    pub(super) position: Option<WorldPosition>,
}

/// What the tracker keeps of one object.
#[derive(Clone, Debug)]
pub(super) struct Tracklet {
    /// Given when it is first reported.
    pub(super) id: Option<u64>,
    pub(super) group: u32,
    pub(super) filter: BoxFilter,
    /// The filter as it was when the object was last seen, and the box then.
    filter_when_seen: BoxFilter,
    pub(super) seen_box: BoundingBox,
    pub(super) first_seen_ns: u64,
    pub(super) last_seen_ns: u64,
    missed: u32,
    /// Share of its predicted box that a nearer track covers, 0 to 1.
    pub(super) covered: f32,
    anchors: [Anchor; 2],
    pub(super) existence: f32,
    pub(super) confidence: f32,
    class: ClassLabel,
    votes: Vec<(ClassLabel, f32)>,
    mask: Option<Arc<Mask>>,
    pub(super) appearance: Option<Box<[f32]>>,
    pub(super) position: Option<(WorldPosition, u64)>,
}

impl Tracklet {
    /// Starts at a detection.
    pub(super) fn new(candidate: &Candidate, now_ns: u64, settings: &TrackerSettings) -> Self {
        let detection = candidate.detection;
        let filter = BoxFilter::new(&detection.bbox, settings);
        let anchor = Anchor {
            time_ns: now_ns,
            center: filter.center(),
        };
        Self {
            id: None,
            group: candidate.group,
            filter,
            filter_when_seen: filter,
            seen_box: detection.bbox,
            first_seen_ns: now_ns,
            last_seen_ns: now_ns,
            missed: 0,
            covered: 0.0,
            anchors: [anchor; 2],
            existence: settings.evidence * detection.confidence.clamp(0.0, 1.0),
            confidence: detection.confidence,
            class: detection.class,
            votes: vec![(detection.class, detection.confidence)],
            mask: detection.mask.clone(),
            appearance: candidate.embedding.map(Into::into),
            position: candidate.position.map(|position| (position, now_ns)),
        }
    }

    /// Whether it has ever been reported.
    pub(super) fn confirmed(&self) -> bool {
        self.id.is_some()
    }

    /// Seconds since it was last seen.
    pub(super) fn unseen_s(&self, now_ns: u64) -> f64 {
        seconds_between(self.last_seen_ns, now_ns)
    }

    /// Whether it was seen in the newest frame it was asked about.
    pub(super) fn seen_last_frame(&self) -> bool {
        self.missed == 0
    }

    /// Follows the camera.
    pub(super) fn follow(&mut self, motion: &CameraMotion) {
        for filter in [&mut self.filter, &mut self.filter_when_seen] {
            let (x, y) = filter.center();
            if let Some(near) = motion.near(x, y) {
                filter.follow(&near);
            }
        }
        if let Some(moved) = motion.bounding_box(&self.seen_box) {
            self.seen_box = moved;
        }
        for anchor in &mut self.anchors {
            if let Some(moved) = motion.point(anchor.center.0, anchor.center.1) {
                anchor.center = moved;
            }
        }
    }

    /// The direction of recent motion as a unit vector, and how far that motion stands out from noise (0 to 1).
    pub(super) fn heading(&self, settings: &TrackerSettings) -> ((f64, f64), f64) {
        let (x, y) = center_of(&self.seen_box);
        let [from, _] = self.anchors;
        let (dx, dy) = (x - from.center.0, y - from.center.1);
        let distance = dx.hypot(dy);
        if distance <= 0.0 {
            return ((0.0, 0.0), 0.0);
        }
        let noise = 2.0 * settings.measurement_sigma * size_of(&self.seen_box);
        ((dx / distance, dy / distance), distance / (distance + noise))
    }

    /// Takes a detection in.
    pub(super) fn observe(&mut self, candidate: &Candidate, now_ns: u64, settings: &TrackerSettings) {
        let detection = candidate.detection;
        let confidence = detection.confidence.clamp(0.0, 1.0);
        // An unsure detection is usually half hidden, so its edges are less certain; those of a hidden object follow what
        // hides it, and would leave the filter with a wrong velocity just when it has to go on alone.
        let hidden = 1.0 + settings.occlusion_noise * f64::from(self.covered);
        let sigma = settings.measurement_sigma * f64::from(1.5 - 0.5 * confidence) * hidden;
        if self.missed > 0 {
            self.walk_the_gap(&detection.bbox, sigma, now_ns, settings);
        }
        self.filter.update(&detection.bbox, sigma);
        self.filter_when_seen = self.filter;
        self.missed = 0;
        self.seen_box = detection.bbox;
        self.last_seen_ns = now_ns;
        let half_span = 0.5 * f64::from(settings.momentum_s);
        if seconds_between(self.anchors[1].time_ns, now_ns) >= half_span {
            self.anchors = [
                self.anchors[1],
                Anchor {
                    time_ns: now_ns,
                    center: center_of(&detection.bbox),
                },
            ];
        }
        self.existence = 1.0 - (1.0 - self.existence) * (1.0 - settings.evidence * confidence);
        self.confidence = detection.confidence;
        self.mask = detection.mask.clone();
        self.vote(detection.class, confidence);
        if let Some(seen) = candidate.embedding {
            self.remember_appearance(seen, confidence);
        }
        if let Some(position) = candidate.position {
            self.position = Some((position, now_ns));
        }
    }

    /// Observation-centric re-update: what the filter made up while the object was hidden is replaced by a straight
    /// walk from where it was last seen to where it is seen now.
    fn walk_the_gap(&mut self, to: &BoundingBox, sigma: f64, now_ns: u64, settings: &TrackerSettings) {
        let steps = (self.missed + 1).min(MAX_VIRTUAL);
        let step = TimeStep::new(self.unseen_s(now_ns) / f64::from(steps), settings);
        self.filter = self.filter_when_seen;
        let from = self.seen_box;
        for k in 1..=steps {
            self.filter.predict(&step);
            if k < steps {
                let virtual_box = between(&from, to, k as f32 / steps as f32);
                self.filter.update(&virtual_box, sigma);
            }
        }
    }

    /// Notes that it was not seen for `dt` more seconds.
    pub(super) fn miss(&mut self, dt: f64, settings: &TrackerSettings) {
        self.missed = self.missed.saturating_add(1);
        self.existence *= (-dt as f32 / settings.existence_decay_s).exp();
    }

    fn vote(&mut self, class: ClassLabel, weight: f32) {
        match self.votes.iter_mut().find(|(known, _)| *known == class) {
            Some((_, votes)) => *votes += weight,
            None => self.votes.push((class, weight)),
        }
        let total: f32 = self.votes.iter().map(|(_, votes)| votes).sum();
        if total > MAX_VOTES {
            for (_, votes) in &mut self.votes {
                *votes *= MAX_VOTES / total;
            }
        }
        let held = self
            .votes
            .iter()
            .find(|(known, _)| *known == self.class)
            .map_or(0.0, |v| v.1);
        if let Some((best, votes)) = self.votes.iter().max_by(|a, b| a.1.total_cmp(&b.1))
            && *votes > held
        {
            self.class = *best;
        }
    }

    fn remember_appearance(&mut self, seen: &[f32], confidence: f32) {
        match &mut self.appearance {
            Some(known) if known.len() == seen.len() => {
                let keep = APPEARANCE_MEMORY + (1.0 - APPEARANCE_MEMORY) * (1.0 - confidence);
                for (known, seen) in known.iter_mut().zip(seen) {
                    *known = keep * *known + (1.0 - keep) * seen;
                }
                let norm = known.iter().map(|v| v * v).sum::<f32>().sqrt();
                if norm > 0.0 {
                    known.iter_mut().for_each(|v| *v /= norm);
                }
            }
            _ => self.appearance = Some(seen.into()),
        }
    }

    /// What is reported of it, its box `smoothing` of the way from the detection to the filter; `None` before it is
    /// confirmed.
    pub(super) fn report(&self, now_ns: u64, smoothing: f32) -> Option<Track> {
        let seen = self.seen_last_frame();
        Some(Track {
            id: self.id?,
            class: self.class,
            bbox: if seen {
                between(&self.seen_box, &self.filter.bounding_box(), smoothing)
            } else {
                self.filter.bounding_box()
            },
            confidence: self.confidence,
            existence_probability: self.existence.clamp(0.0, 1.0),
            status: if seen { TrackStatus::Tracked } else { TrackStatus::Lost },
            age_s: seconds_between(self.first_seen_ns, now_ns) as f32,
            unseen_s: self.unseen_s(now_ns) as f32,
            mask: if seen { self.mask.clone() } else { None },
        })
    }

    /// What is reported of it one step later when nobody looks; `None` before it is confirmed.
    pub(super) fn predicted(&self, step: &TimeStep, now_ns: u64) -> Option<Track> {
        let mut filter = self.filter;
        filter.predict(step);
        let track = self.report(now_ns, 0.0)?;
        Some(Track {
            bbox: filter.bounding_box(),
            status: TrackStatus::Lost,
            mask: None,
            ..track
        })
    }
}

/// The box `share` of the way from `a` to `b`.
fn between(a: &BoundingBox, b: &BoundingBox, share: f32) -> BoundingBox {
    let edge = |a: f32, b: f32| a + share * (b - a);
    BoundingBox::new(edge(a.x0, b.x0), edge(a.y0, b.y0), edge(a.x1, b.x1), edge(a.y1, b.y1))
}

pub(super) fn center_of(bbox: &BoundingBox) -> (f64, f64) {
    let (x, y) = bbox.center();
    (f64::from(x), f64::from(y))
}

pub(super) fn seconds_between(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / NANOS_PER_SECOND
}

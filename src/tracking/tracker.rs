//! The tracker: from the detections of each frame to identities that last.
//!
//! Association goes in steps, as in ByteTrack: sure detections with all known objects, unsure detections with objects
//! seen a moment ago, then what is left with more tolerance, then objects that were never reported. Overlaps are taken
//! between buffered boxes (C-BIoU); motion over observations weighs in, and after a gap the filter is re-run over it
//! (OC-SORT). Time is in seconds throughout; nothing counts frames.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::detection::{ClassLabel, Detection};
use crate::frame::FrameTime;

use super::assignment::{Assignment, Pair};
use super::association::{PairFinder, Rule};
use super::filter::TimeStep;
use super::fronts::Fronts;
use super::input::{FrameInput, TrackerStats};
use super::settings::TrackerSettings;
use super::track::Track;
use super::tracklet::{Candidate, Tracklet, seconds_between};

/// Keeps identities over the frames of one stream.
///
/// The result does not depend on the order of the detections or on where stream time starts. If time goes backwards
/// (a seek, a restarted source), all tracks end and new ones start; identities are never used again. The same time
/// twice is allowed.
#[derive(Debug)]
pub struct Tracker {
    settings: TrackerSettings,
    groups: HashMap<ClassLabel, u32>,
    group_names: HashMap<String, u32>,
    next_group: u32,
    tracklets: Vec<Tracklet>,
    tracks: Vec<Track>,
    next_id: u64,
    now_ns: Option<u64>,
    embedding_length: Option<usize>,
    stats: TrackerStats,
    finder: PairFinder,
    assignment: Assignment,
    pairs: Vec<Pair>,
    matched: Vec<(usize, usize)>,
    /// Predicted boxes that may hide others, by the left edge.
    fronts: Fronts,
}

impl Tracker {
    /// A tracker that has seen nothing. Settings should have passed [`TrackerSettings::check`].
    pub fn new(settings: TrackerSettings) -> Self {
        let mut group_names = HashMap::new();
        for (group, names) in settings.class_groups.iter().enumerate() {
            for name in names {
                group_names.insert(name.to_lowercase(), group as u32);
            }
        }
        Self {
            next_group: settings.class_groups.len() as u32,
            settings,
            groups: HashMap::new(),
            group_names,
            tracklets: Vec::new(),
            tracks: Vec::new(),
            next_id: 1,
            now_ns: None,
            embedding_length: None,
            stats: TrackerStats::default(),
            finder: PairFinder::default(),
            assignment: Assignment::default(),
            pairs: Vec::new(),
            matched: Vec::new(),
            fronts: Fronts::default(),
        }
    }

    /// What it was told.
    pub fn settings(&self) -> &TrackerSettings {
        &self.settings
    }

    /// What it has counted.
    pub fn stats(&self) -> TrackerStats {
        self.stats
    }

    /// Tracks as of the last update.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Ends all tracks, as after a cut or a seek. Identities go on counting.
    pub fn reset(&mut self) {
        self.tracklets.clear();
        self.tracks.clear();
        self.now_ns = None;
    }

    /// Takes in one frame and returns all tracks that exist: those seen in it, and those predicted for up to
    /// [`max_gap_s`](TrackerSettings::max_gap_s), in the order of their identities.
    pub fn update<'a>(&mut self, time: FrameTime, input: impl Into<FrameInput<'a>>) -> &[Track] {
        let input = input.into();
        let now_ns = time.pts_ns;
        if self.now_ns.is_some_and(|last| now_ns < last) {
            self.reset();
            self.stats.resets += 1;
        }
        let dt = self.now_ns.map_or(0.0, |last| seconds_between(last, now_ns));
        self.now_ns = Some(now_ns);
        self.stats.frames += 1;

        let mut embeddings = Vec::new();
        let candidates = self.accept(&input, &mut embeddings);
        self.advance(dt, now_ns, &input);
        self.find_covered();
        let seen = self.associate(&candidates, now_ns);
        self.miss_unseen(dt, now_ns, &seen.tracks);
        self.start_new(&candidates, &seen.candidates, now_ns);
        self.report(now_ns);
        &self.tracks
    }

    /// All tracks that exist, predicted to `time`, for a frame that no detector looked at. Nothing is learnt from it: a
    /// track is not missed because nobody looked.
    pub fn predict(&self, time: FrameTime) -> Vec<Track> {
        let now_ns = time.pts_ns;
        let Some(last_ns) = self.now_ns.filter(|&last_ns| last_ns <= now_ns) else {
            return Vec::new();
        };
        let step = TimeStep::new(seconds_between(last_ns, now_ns), &self.settings);
        let max_gap_s = f64::from(self.settings.max_gap_s);
        let mut tracks: Vec<Track> = self
            .tracklets
            .iter()
            .filter(|track| track.unseen_s(now_ns) <= max_gap_s)
            .filter_map(|track| track.predicted(&step, now_ns))
            .collect();
        tracks.sort_unstable_by_key(|track| track.id);
        tracks
    }

    /// Checks, caps and orders what was given. `embeddings` holds their normalised copies.
    fn accept<'a>(&mut self, input: &FrameInput<'a>, embeddings: &'a mut Vec<f32>) -> Vec<Candidate<'a>> {
        self.stats.detections += input.detections.len() as u64;
        let mut usable: Vec<usize> = Vec::with_capacity(input.detections.len().min(self.settings.max_detections));
        for (index, detection) in input.detections.iter().enumerate() {
            if !(detection.bbox.is_valid() && detection.confidence.is_finite() && detection.bbox.area().is_finite()) {
                self.stats.invalid += 1;
            } else if detection.confidence >= self.settings.low_confidence {
                usable.push(index);
            }
        }
        // An order of their own makes the result independent of the order given.
        usable.sort_unstable_by(|&a, &b| canonical(&input.detections[a], &input.detections[b]));
        if usable.len() > self.settings.max_detections {
            self.stats.dropped += (usable.len() - self.settings.max_detections) as u64;
            usable.truncate(self.settings.max_detections);
        }
        let spans: Vec<Option<(usize, usize)>> = usable
            .iter()
            .map(|&index| {
                let embedding = input.embeddings.get(index)?.as_ref()?;
                self.normalise(embedding, embeddings)
            })
            .collect();
        let embeddings: &'a [f32] = embeddings;
        usable
            .iter()
            .zip(spans)
            .map(|(&index, span)| Candidate {
                detection: &input.detections[index],
                group: self.group_of(input.detections[index].class),
                embedding: span.map(|(start, end)| &embeddings[start..end]),
                position: input.positions.get(index).copied().flatten().filter(|position| {
                    position.sigma_m.is_finite() && position.position_in_world.iter().all(|v| v.is_finite())
                }),
            })
            .collect()
    }

    /// Appends the unit vector of an embedding; `None`, counted, when it has none or another length than before.
    fn normalise(&mut self, embedding: &[f32], into: &mut Vec<f32>) -> Option<(usize, usize)> {
        let norm = embedding.iter().map(|v| v * v).sum::<f32>().sqrt();
        let length = *self.embedding_length.get_or_insert(embedding.len());
        if length != embedding.len() || !norm.is_finite() || norm <= 0.0 {
            self.stats.invalid_embeddings += 1;
            return None;
        }
        let start = into.len();
        into.extend(embedding.iter().map(|v| v / norm));
        Some((start, into.len()))
    }

    fn group_of(&mut self, class: ClassLabel) -> u32 {
        if let Some(&group) = self.groups.get(&class) {
            return group;
        }
        let group = self.group_names.get(&class.as_str().to_lowercase()).copied();
        let group = group.unwrap_or_else(|| {
            self.next_group += 1;
            self.next_group - 1
        });
        self.groups.insert(class, group);
        group
    }

    /// Ends what was unseen too long, follows the camera and predicts the rest to now.
    fn advance(&mut self, dt: f64, now_ns: u64, input: &FrameInput) {
        let settings = &self.settings;
        self.tracklets.retain(|track| {
            let most_s = if track.confirmed() {
                settings.max_gap_s
            } else {
                settings.tentative_gap_s
            };
            // A tentative track may always wait for the next frame, however slow frames come.
            track.unseen_s(now_ns) <= f64::from(most_s) || (!track.confirmed() && track.unseen_s(now_ns) <= dt)
        });
        if let Some(motion) = &input.camera_motion {
            self.tracklets.iter_mut().for_each(|track| track.follow(motion));
        }
        let step = TimeStep::new(dt, settings);
        self.tracklets.iter_mut().for_each(|track| track.filter.predict(&step));
    }

    /// Notes how much of each predicted box is behind a track that was seen in the last frame.
    fn find_covered(&mut self) {
        if self.settings.occlusion_noise <= 0.0 {
            return;
        }
        let seen = |track: &&Tracklet| track.confirmed() && track.seen_last_frame();
        let boxes = self.tracklets.iter().filter(seen);
        self.fronts.gather(boxes.map(|track| track.filter.bounding_box()));
        for track in &mut self.tracklets {
            track.covered = self.fronts.cover(&track.filter.bounding_box());
        }
    }

    /// Matches tracks with detections and takes the matched detections in.
    fn associate(&mut self, candidates: &[Candidate], now_ns: u64) -> Seen {
        let settings = self.settings.clone();
        let mut seen = Seen {
            tracks: vec![false; self.tracklets.len()],
            candidates: vec![false; candidates.len()],
        };
        let first = Rule {
            buffer: settings.buffer_first,
            buffer_sigma: settings.buffer_sigma,
            min_overlap: settings.min_overlap_first,
        };
        let low = Rule {
            buffer: 0.0,
            buffer_sigma: 0.0,
            min_overlap: settings.min_overlap_low,
        };
        let second = Rule {
            buffer: settings.buffer_second,
            buffer_sigma: settings.buffer_sigma,
            min_overlap: settings.min_overlap_second,
        };
        let sure = |candidate: &Candidate| candidate.detection.confidence >= settings.high_confidence;
        let unsure = |candidate: &Candidate| !sure(candidate);
        self.match_step(candidates, &mut seen, now_ns, first, Tracklet::confirmed, sure);
        let recent = |track: &Tracklet| track.confirmed() && track.seen_last_frame();
        self.match_step(candidates, &mut seen, now_ns, low, recent, unsure);
        self.match_step(candidates, &mut seen, now_ns, second, Tracklet::confirmed, sure);
        let tentative = |track: &Tracklet| !track.confirmed();
        self.match_step(candidates, &mut seen, now_ns, first, tentative, sure);
        self.match_step(candidates, &mut seen, now_ns, second, tentative, sure);
        seen
    }

    fn match_step(
        &mut self,
        candidates: &[Candidate],
        seen: &mut Seen,
        now_ns: u64,
        rule: Rule,
        which_tracks: impl Fn(&Tracklet) -> bool,
        which_candidates: impl Fn(&Candidate) -> bool,
    ) {
        let rows: Vec<usize> = (0..self.tracklets.len())
            .filter(|&index| !seen.tracks[index] && which_tracks(&self.tracklets[index]))
            .collect();
        if rows.is_empty() {
            return;
        }
        let columns: Vec<usize> = (0..candidates.len())
            .filter(|&index| !seen.candidates[index] && which_candidates(&candidates[index]))
            .collect();
        if columns.is_empty() {
            return;
        }
        self.finder.find(
            &self.tracklets,
            &rows,
            candidates,
            &columns,
            rule,
            now_ns,
            &self.settings,
            &mut self.pairs,
        );
        let greedy = self
            .assignment
            .solve(rows.len(), columns.len(), &self.pairs, &mut self.matched);
        self.stats.greedy_matchings += greedy as u64;
        for &(row, column) in &self.matched {
            let (track, candidate) = (rows[row], columns[column]);
            seen.tracks[track] = true;
            seen.candidates[candidate] = true;
            self.tracklets[track].observe(&candidates[candidate], now_ns, &self.settings);
        }
    }

    fn miss_unseen(&mut self, dt: f64, _now_ns: u64, seen: &[bool]) {
        for (track, seen) in self.tracklets.iter_mut().zip(seen) {
            if !seen {
                track.miss(dt, &self.settings);
            }
        }
    }

    /// Sure detections that belong to nobody start tracks.
    fn start_new(&mut self, candidates: &[Candidate], seen: &[bool], now_ns: u64) {
        let settings = &self.settings;
        let known = self.tracklets.len();
        for (candidate, _) in candidates.iter().zip(seen).filter(|(_, seen)| !**seen) {
            if candidate.detection.confidence < settings.birth_confidence.max(settings.high_confidence) {
                continue;
            }
            let bbox = &candidate.detection.bbox;
            let rivals = self.tracklets[..known]
                .iter()
                .filter(|track| track.seen_last_frame() && track.group == candidate.group);
            let overlap = rivals.map(|track| track.seen_box.iou(bbox)).fold(0.0, f32::max);
            if overlap <= settings.duplicate_overlap {
                let mut track = Tracklet::new(candidate, now_ns, settings);
                track.existence *= 1.0 - settings.birth_doubt * overlap;
                self.tracklets.push(track);
            }
        }
        if self.tracklets.len() > settings.max_tracks {
            self.stats.evicted += (self.tracklets.len() - settings.max_tracks) as u64;
            // Newest sightings first, then the oldest tracks.
            self.tracklets
                .sort_by_key(|track| (std::cmp::Reverse(track.last_seen_ns), track.first_seen_ns));
            self.tracklets.truncate(settings.max_tracks);
        }
    }

    fn report(&mut self, now_ns: u64) {
        self.tracks.clear();
        for track in &mut self.tracklets {
            if track.id.is_none() && track.existence >= self.settings.confirm_existence {
                track.id = Some(self.next_id);
                self.next_id += 1;
            }
            self.tracks.extend(track.report(now_ns, self.settings.smoothing));
        }
        self.tracks.sort_unstable_by_key(|track| track.id);
    }
}

/// Who has been matched in this frame.
struct Seen {
    tracks: Vec<bool>,
    candidates: Vec<bool>,
}

/// Surest first; ties by place, size and class.
fn canonical(a: &Detection, b: &Detection) -> Ordering {
    let place = |d: &Detection| [d.bbox.x0, d.bbox.y0, d.bbox.x1, d.bbox.y1];
    b.confidence
        .total_cmp(&a.confidence)
        .then_with(|| {
            place(a)
                .iter()
                .zip(place(b))
                .map(|(a, b)| a.total_cmp(&b))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
        .then_with(|| a.class.as_str().cmp(b.class.as_str()))
}

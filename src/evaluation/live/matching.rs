//! Which track is which actor, frame by frame.

use std::collections::BTreeMap;

use super::clip::{Clip, SeenFrame, TrueActor, TrueFrame};

/// A track and an actor belong together from this overlap on.
const LEAST_IOU: f32 = 0.4;
/// Smaller actors are not asked for, pixels of height.
const LEAST_HEIGHT_PX: f32 = 24.0;
/// Actors that are hidden more than this are not asked for.
const LEAST_VISIBLE: f64 = 0.5;
/// Frames closer in time than this are the same.
const SAME_FRAME_S: f64 = 1e-4;

/// Whether an actor is big and visible enough to be asked for.
pub(super) fn is_asked_for(actor: &TrueActor) -> bool {
    actor.bbox.height() >= LEAST_HEIGHT_PX && actor.visible >= LEAST_VISIBLE
}

/// Truth and results of one frame, and the pairs (actor's index, track's index) among them.
pub(super) struct MatchedFrame<'a> {
    pub(super) truth: &'a TrueFrame,
    pub(super) seen: &'a SeenFrame,
    pub(super) pairs: Vec<(usize, usize)>,
}

/// How well actors are found and kept apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finding {
    /// Actors asked for, counted once a frame.
    pub(super) asked: u64,
    /// Those among them that a track covers.
    pub(super) found: u64,
    /// Tracks that cover no actor, counted once a frame.
    pub(super) false_tracks: u64,
    /// How often an actor's track changed.
    pub(super) switches: u64,
}

/// Pairs the frames of a clip, and tracks with actors: earlier partners first, then the greatest overlap.
pub(super) fn matched_frames(clip: &Clip) -> (Vec<MatchedFrame<'_>>, Finding) {
    let mut frames = Vec::with_capacity(clip.seen.len());
    let mut finding = Finding::default();
    let mut partner: BTreeMap<u16, u64> = BTreeMap::new();
    let mut truths = clip.truth.iter().peekable();
    for seen in &clip.seen {
        while truths
            .next_if(|truth| truth.time_s < seen.time_s - SAME_FRAME_S)
            .is_some()
        {}
        let Some(truth) = truths.next_if(|truth| truth.time_s <= seen.time_s + SAME_FRAME_S) else {
            continue;
        };
        let pairs = pairs(truth, seen, &partner);
        for &(actor, track) in &pairs {
            let (actor, track) = (&truth.actors[actor], seen.tracks[track].0);
            let before = partner.insert(actor.id, track);
            finding.switches += u64::from(before.is_some_and(|before| before != track));
        }
        for (index, actor) in truth.actors.iter().enumerate() {
            if is_asked_for(actor) {
                finding.asked += 1;
                finding.found += u64::from(pairs.iter().any(|pair| pair.0 == index));
            }
        }
        finding.false_tracks += (seen.tracks.len() - pairs.len()) as u64;
        frames.push(MatchedFrame { truth, seen, pairs });
    }
    (frames, finding)
}

fn pairs(truth: &TrueFrame, seen: &SeenFrame, partner: &BTreeMap<u16, u64>) -> Vec<(usize, usize)> {
    let mut candidates = Vec::new();
    for (actor_index, actor) in truth.actors.iter().enumerate() {
        for (track_index, (track_id, bbox)) in seen.tracks.iter().enumerate() {
            let iou = actor.bbox.iou(bbox);
            if iou >= LEAST_IOU {
                let kept = partner.get(&actor.id) == Some(track_id);
                candidates.push((kept, iou, actor_index, track_index));
            }
        }
    }
    candidates.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (_, _, actor, track) in candidates {
        if pairs.iter().all(|pair| pair.0 != actor && pair.1 != track) {
            pairs.push((actor, track));
        }
    }
    pairs
}

//! Which tracks and detections may belong together, and what each pair is worth.

use crate::detection::BoundingBox;

use super::assignment::Pair;
use super::filter::size_of;
use super::settings::TrackerSettings;
use super::tracklet::{Candidate, Tracklet, center_of, seconds_between};

/// How boxes are compared in one association.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Growth of each side as a share of width or height.
    pub(super) buffer: f32,
    /// Growth with the predicted position's standard deviation.
    pub(super) buffer_sigma: f32,
    /// Least overlap of the grown boxes.
    pub(super) min_overlap: f32,
}

/// Most growth of a side, as a share of it.
const MAX_BUFFER: f32 = 2.0;

/// Where something is that was gone for longer than it was watched is a guess, and its grown box wide: what meets that only
/// because it was grown is of one object only where the heights are alike, the smaller at least this share of the larger.
/// (Where boxes meet as they are, one of them may be hidden or cut off by the edge.)
const LEAST_HEIGHT_SHARE: f32 = 0.5;

/// Working memory that is kept from frame to frame.
#[derive(Debug, Default)]
pub(super) struct PairFinder {
    /// Detections by the left edge.
    by_left: Vec<(f32, u32)>,
}

impl PairFinder {
    /// Finds the allowed pairs of `tracks[rows[r]]` and `candidates[columns[c]]` and appends them to `pairs`.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call site; a struct would only rename them"
    )]
    pub(super) fn find(
        &mut self,
        tracks: &[Tracklet],
        rows: &[usize],
        candidates: &[Candidate],
        columns: &[usize],
        rule: Rule,
        now_ns: u64,
        settings: &TrackerSettings,
        pairs: &mut Vec<Pair>,
    ) {
        pairs.clear();
        self.by_left.clear();
        let mut widest = 0.0f32;
        for (index, &column) in columns.iter().enumerate() {
            let bbox = &candidates[column].detection.bbox;
            widest = widest.max(bbox.width());
            self.by_left.push((bbox.x0, index as u32));
        }
        self.by_left.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));

        for (row, &track) in rows.iter().enumerate() {
            let track = &tracks[track];
            let place = track.filter.bounding_box();
            let spread = (track.filter.center_sigma() / size_of(&place)) as f32;
            let buffer = (rule.buffer + rule.buffer_sigma * spread).min(MAX_BUFFER);
            let grown = grow(&place, buffer);
            let heading = track.heading(settings);
            let glimpsed = seconds_between(track.first_seen_ns, track.last_seen_ns) < track.unseen_s(now_ns)
                && !track.seen_last_frame();

            let reach = widest * (1.0 + 2.0 * buffer);
            let start = self.by_left.partition_point(|(left, _)| *left < grown.x0 - reach);
            for &(left, column) in &self.by_left[start..] {
                if left - buffer * widest > grown.x1 {
                    break;
                }
                let candidate = &candidates[columns[column as usize]];
                if candidate.group != track.group {
                    continue;
                }
                let overlap = grown.iou(&grow(&candidate.detection.bbox, buffer));
                if overlap < rule.min_overlap || (glimpsed && !may_be_one(&place, &candidate.detection.bbox)) {
                    continue;
                }
                if let Some(gain) = worth(track, &place, heading, candidate, overlap, now_ns, settings) {
                    pairs.push(Pair {
                        row: row as u32,
                        column,
                        gain,
                    });
                }
            }
        }
    }
}

/// What a pair with that overlap is worth; `None` when appearance or position rules it out.
fn worth(
    track: &Tracklet,
    place: &BoundingBox,
    (heading, clearness): ((f64, f64), f64),
    candidate: &Candidate,
    overlap: f32,
    now_ns: u64,
    settings: &TrackerSettings,
) -> Option<f32> {
    let detection = candidate.detection;
    let unseen = track.unseen_s(now_ns) as f32 / settings.max_gap_s;
    let mut gain = overlap - settings.unseen_penalty * unseen;
    if let (Some((known, known_ns)), Some(seen)) = (&track.position, &candidate.position) {
        let distance_m = (seen.position_in_world - known.position_in_world).norm();
        let doubt_m = 3.0 * (known.sigma_m + seen.sigma_m);
        if distance_m > settings.max_speed_mps * seconds_between(*known_ns, now_ns) + doubt_m {
            return None;
        }
    }
    if settings.appearance_weight > 0.0
        && let (Some(known), Some(seen)) = (&track.appearance, candidate.embedding)
        && known.len() == seen.len()
    {
        let cosine: f32 = known.iter().zip(seen).map(|(a, b)| a * b).sum();
        if cosine < settings.min_appearance {
            return None;
        }
        gain += settings.appearance_weight * cosine;
    }
    if settings.momentum_weight > 0.0 && clearness > 0.0 {
        let (from, to) = (center_of(&track.seen_box), center_of(&detection.bbox));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let distance = dx.hypot(dy);
        if distance > 0.0 {
            // A step smaller than the noise has no direction.
            let noise = 2.0 * settings.measurement_sigma * size_of(place);
            let clear = (clearness * distance / (distance + noise)) as f32;
            let cosine = ((heading.0 * dx + heading.1 * dy) / distance).clamp(-1.0, 1.0);
            let agreement = (0.5 - cosine.acos() / std::f64::consts::PI) as f32;
            gain += settings.momentum_weight * clear * detection.confidence.clamp(0.0, 1.0) * agreement;
        }
    }
    if settings.height_weight > 0.0 {
        let (a, b) = (place.height(), detection.bbox.height());
        gain += settings.height_weight * (a.min(b) / a.max(b) - 1.0);
    }
    // An allowed pair is always better than none.
    Some(gain.max(1e-3))
}

/// Whether two boxes overlap as they are, or are at least of like height.
fn may_be_one(a: &BoundingBox, b: &BoundingBox) -> bool {
    let (low, high) = (a.height().min(b.height()), a.height().max(b.height()));
    low >= LEAST_HEIGHT_SHARE * high || a.intersection(b) > 0.0
}

/// A box with each side moved out by `share` of the width or height.
pub(super) fn grow(bbox: &BoundingBox, share: f32) -> BoundingBox {
    let (dx, dy) = (share * bbox.width(), share * bbox.height());
    BoundingBox::new(bbox.x0 - dx, bbox.y0 - dy, bbox.x1 + dx, bbox.y1 + dy)
}

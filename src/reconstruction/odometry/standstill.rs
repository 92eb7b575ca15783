//! Whether the camera stays where it is: at rest, or only turning.

use nalgebra::{Isometry3, Point2, Translation3};

use super::lens::Lens;
use super::locate::{MIN_INLIERS, pick};
use super::map::Map;
use super::pivot::{Pivot, Seen};
use super::pose::Solved;
use super::search::Found;
use super::tracker::Last;

/// Median flow that counts as no motion, working pixels.
const STILL_PX: f32 = 0.3;
/// Who is faster than this (map units a second) does not stop from one picture to the next: then nothing must have moved for
/// this long, seconds.
const STOPPING: f64 = 1.5;
const SURELY_STILL_S: f64 = 0.3;

/// What a camera does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Moves,
    Rests,
    /// About its own place.
    Turns,
}

/// A picture whose pose was found without restraint.
pub(super) struct Now<'a> {
    pub map: &'a Map,
    pub lens: &'a Lens,
    pub found: &'a [Found],
    pub solved: &'a Solved,
    pub last: &'a Last,
    pub time_s: f64,
}

/// Positions of the time since when nothing has moved.
struct Rest {
    pose: Isometry3<f64>,
    /// By the landmark's id, in its order.
    positions: Vec<(u64, Point2<f32>)>,
    since_s: f64,
}

/// What is known from the time when the camera came to stay where it is.
#[derive(Default)]
pub(super) struct Standstill {
    rest: Option<Rest>,
    pivot: Pivot,
}

impl Standstill {
    /// Whether the camera stays where it is; then `pose` becomes the one of that place.
    pub fn test(&mut self, now: &Now<'_>, pose: &mut Isometry3<f64>) -> Stand {
        if self.rests(now, pose) {
            Stand::Rests
        } else if self.turns(now, pose) {
            Stand::Turns
        } else {
            Stand::Moves
        }
    }

    /// Nothing was recognised for a moment: it may have moved, or still be where it turned.
    pub fn lose(&mut self) {
        self.rest = None;
    }

    /// The map's adjustment has moved a camera that stays a little.
    pub fn shift_to(&mut self, pose: &Isometry3<f64>, stand: Stand) {
        match stand {
            Stand::Moves => {}
            Stand::Rests => {
                if let Some(rest) = &mut self.rest {
                    rest.pose = *pose;
                }
            }
            Stand::Turns => self.pivot.shift_to(pose),
        }
    }

    /// The static test: when the median landmark is where it was when the camera came to rest, the camera is too.
    fn rests(&mut self, now: &Now<'_>, pose: &mut Isometry3<f64>) -> bool {
        if let Some(rest) = &self.rest {
            let mut moved: Vec<f32> = now
                .found
                .iter()
                .filter_map(|found| {
                    let id = now.map.landmarks.get(found.landmark)?.id;
                    let index = rest.positions.binary_search_by_key(&id, |(id, _)| *id).ok()?;
                    Some((found.position - rest.positions[index].1).norm())
                })
                .collect();
            moved.sort_unstable_by(f32::total_cmp);
            if moved.len() >= MIN_INLIERS && moved[moved.len() / 2] < STILL_PX {
                let velocity = now.last.velocity;
                let fast = velocity.is_some_and(|velocity| velocity.fixed_rows::<3>(0).norm() > STOPPING);
                if fast && now.time_s - rest.since_s < SURELY_STILL_S {
                    return false;
                }
                *pose = rest.pose;
                return true;
            }
        }
        let mut positions: Vec<_> = pick(now.found, &now.solved.inliers)
            .iter()
            .filter_map(|found| Some((now.map.landmarks.get(found.landmark)?.id, found.position)))
            .collect();
        positions.sort_unstable_by_key(|(id, _)| *id);
        self.rest = Some(Rest {
            pose: *pose,
            positions,
            since_s: now.time_s,
        });
        false
    }

    /// Whether the camera has only turned for a while: then it is where it was when that began.
    fn turns(&mut self, now: &Now<'_>, pose: &mut Isometry3<f64>) -> bool {
        let seen: Vec<Seen> = now
            .found
            .iter()
            .zip(&now.solved.inliers)
            .filter_map(|(found, inlier)| {
                let landmark = now.map.landmarks.get(found.landmark)?;
                let free = now.map.in_camera(landmark, &now.solved.map_from_camera)?;
                Some(Seen {
                    landmark: landmark.id,
                    ray: found.seen.push(1.0),
                    weak: found.weak_px / found.sigma_px,
                    off: free.xy() / free.z - found.seen,
                    agrees: *inlier,
                })
            })
            .collect();
        let before = &now.last.pose.rotation;
        let guess = before.inverse() * pose.rotation;
        let Some(rotation) = self.pivot.turned(&seen, before, &guess, now.lens.focal, now.time_s) else {
            let agreeing = seen.iter().filter(|seen| seen.agrees);
            self.pivot.begin(agreeing, pose, now.time_s);
            return false;
        };
        let Some(position) = self.pivot.hold(&seen, &rotation, now.time_s) else {
            return false;
        };
        *pose = Isometry3::from_parts(Translation3::from(position), rotation);
        true
    }
}

//! What the stream has shown lately, as the model will want to see it: a small picture with its boxes every half second.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clip::{ClipCamera, VIEW_STEP_S, optical_yaw_rad};
use super::views::{brightness, shrink_picture};
use crate::camera::Camera;
use crate::detection::BoundingBox;
use crate::frame::Picture;
use crate::results::FrameResults;
use crate::tracking::TrackStatus;
use crate::vlm::live::{Look, Onlooker};

/// Time from one note to the next, seconds.
pub const NOTE_STEP_S: f64 = 0.5;
/// Notes that are kept: a little over a minute.
const MOST_NOTES: usize = 130;
/// Longer without a frame, and notes are as far apart as frames are.
const LATEST_BEFORE_S: f64 = 0.25;

/// One look at the stream.
#[derive(Clone, Debug)]
pub struct Note {
    /// Counts up from the first note.
    pub number: u64,
    /// Stream time, seconds.
    pub time_s: f64,
    /// The camera, assumed where nothing before tells it; `None` for a picture without pixels.
    pub camera: Option<ClipCamera>,
    /// Heading of the optical axis in the world, radians counter-clockwise from x.
    pub camera_yaw_rad: Option<f64>,
    /// Tracks that are seen: identity, and box as shares of the picture.
    pub boxes: Vec<(u64, BoundingBox)>,
    /// Small picture, `VIEW_WIDTH · VIEW_HEIGHT · 3` bytes.
    pub rgb: Arc<Vec<u8>>,
    /// Brightness a moment before.
    pub before: Option<Arc<Vec<u8>>>,
}

/// The notes of the last minute.
#[derive(Debug, Default)]
pub struct Observations {
    notes: VecDeque<Note>,
    next: u64,
    /// Time of the newest frame that was wanted as a note.
    noted_s: Option<f64>,
    /// The moment before the next note was wanted already.
    before_wanted: bool,
    /// Brightness of a frame right before the next note, with its time.
    before: Option<(f64, Arc<Vec<u8>>)>,
}

/// Written by the streaming thread, read by the answering one.
pub type SharedObservations = Arc<Mutex<Observations>>;

impl Observations {
    /// Forgets all: another stream, or another scene.
    pub fn clear(&mut self) {
        self.notes.clear();
        self.before = None;
        self.noted_s = None;
        self.before_wanted = false;
    }

    /// What the frame at `time_s` is wanted for, which then counts as taken.
    pub fn wanted(&mut self, time_s: f64) -> Option<Look> {
        let since_s = self.noted_s.map(|noted_s| time_s - noted_s);
        match since_s {
            Some(since_s) if (0.0..NOTE_STEP_S - 1e-3).contains(&since_s) => {
                let near = since_s >= NOTE_STEP_S - VIEW_STEP_S - 0.02;
                (near && !std::mem::replace(&mut self.before_wanted, near)).then_some(Look::Before)
            }
            _ => {
                self.noted_s = Some(time_s);
                self.before_wanted = false;
                Some(Look::Keep)
            }
        }
    }

    /// Takes the frame's small picture, and to keep its tracks, for what it was [wanted](Self::wanted) for.
    pub fn take(&mut self, look: Look, time_s: f64, rgb: Vec<u8>, results: &FrameResults) {
        if look == Look::Before {
            self.before = Some((time_s, Arc::new(brightness(&rgb))));
            return;
        }
        if self.notes.back().is_some_and(|last| time_s < last.time_s) {
            self.notes.clear();
            self.before = None;
        }
        let before = self.before.take();
        let before = before.filter(|(before_s, _)| (0.0..=LATEST_BEFORE_S).contains(&(time_s - before_s)));
        self.notes.push_back(Note {
            number: self.next,
            time_s,
            camera: camera_of(results),
            camera_yaw_rad: results
                .view
                .as_ref()
                .map(|view| optical_yaw_rad(&view.world_from_camera)),
            boxes: boxes_of(results),
            rgb: Arc::new(rgb),
            before: before.map(|(_, before)| before),
        });
        self.next += 1;
        while self.notes.len() > MOST_NOTES {
            self.notes.pop_front();
        }
    }

    /// The notes from `start_s` to `end_s`, and one step beyond each way.
    pub fn between(&self, start_s: f64, end_s: f64) -> Vec<Note> {
        let reach_s = 0.6 * NOTE_STEP_S;
        let inside = |note: &&Note| (start_s - reach_s..=end_s + reach_s).contains(&note.time_s);
        self.notes.iter().filter(inside).cloned().collect()
    }
}

impl Onlooker for Mutex<Observations> {
    fn wanted(&self, time_s: f64) -> Option<Look> {
        locked(self).wanted(time_s)
    }

    fn look(&self, look: Look, time_s: f64, picture: &Picture<'_>, results: &FrameResults) {
        // Out of the lock: the streaming thread asks what is wanted.
        let rgb = shrink_picture(picture);
        locked(self).take(look, time_s, rgb, results);
    }

    fn clear(&self) {
        locked(self).clear();
    }
}

fn locked(observations: &Mutex<Observations>) -> MutexGuard<'_, Observations> {
    observations.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The notes of `shared` from `start_s` to `end_s`.
pub fn notes_between(shared: &SharedObservations, start_s: f64, end_s: f64) -> Vec<Note> {
    locked(shared).between(start_s, end_s)
}

/// The number of the oldest note that is kept.
pub fn oldest_note(shared: &SharedObservations) -> Option<u64> {
    locked(shared).notes.front().map(|note| note.number)
}

fn boxes_of(results: &FrameResults) -> Vec<(u64, BoundingBox)> {
    let (width, height) = (results.width.max(1) as f32, results.height.max(1) as f32);
    let seen = results
        .tracks
        .iter()
        .filter(|track| track.status == TrackStatus::Tracked);
    seen.map(|track| {
        let bbox = &track.bbox;
        let share = BoundingBox::new(bbox.x0 / width, bbox.y0 / height, bbox.x1 / width, bbox.y1 / height);
        (track.id, share.clipped(1.0, 1.0))
    })
    .collect()
}

/// The camera, or the one that is assumed when nothing is known of it.
fn camera_of(results: &FrameResults) -> Option<ClipCamera> {
    match &results.view {
        Some(view) => Some(ClipCamera::of(&view.camera.intrinsics)),
        None => {
            let assumed = Camera::assumed(results.width, results.height).ok()?;
            Some(ClipCamera::of(&assumed.intrinsics))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::{FrameTime, PixelFormat};

    #[test]
    fn a_note_every_half_second_with_the_moment_before() {
        let rgb = vec![100u8; 64 * 40 * 3];
        let picture = Picture::packed(PixelFormat::Rgb, 64, 40, &rgb).unwrap();
        let shared = SharedObservations::default();
        let show = |time_s: f64| {
            let results = FrameResults::new(FrameTime::from_pts_ns((time_s * 1e9) as u64), 64, 40);
            if let Some(look) = Onlooker::wanted(&*shared, time_s) {
                shared.look(look, time_s, &picture, &results);
            }
        };
        (0..=100u32).for_each(|frame| show(f64::from(frame) * 0.04));
        let notes = notes_between(&shared, 0.0, 4.0);
        assert_eq!(notes.len(), 8);
        assert!(notes[0].before.is_none() && notes[1..].iter().all(|note| note.before.is_some()));
        assert!(notes.windows(2).all(|pair| pair[1].time_s - pair[0].time_s >= 0.499));
        // Time that goes back begins anew.
        show(0.0);
        assert_eq!(notes_between(&shared, 0.0, 10.0).len(), 1);
    }

    #[test]
    fn old_notes_go() {
        let mut observations = Observations::default();
        for second in 0..200u32 {
            let time_s = f64::from(second);
            let results = FrameResults::new(FrameTime::from_pts_ns(u64::from(second) * 1_000_000_000), 2, 2);
            observations.take(Look::Keep, time_s, vec![0; 12], &results);
        }
        assert_eq!(observations.between(0.0, 1e9).len(), MOST_NOTES);
    }
}

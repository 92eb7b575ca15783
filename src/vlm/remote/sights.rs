//! What the stream has shown lately, for a model behind a server: a picture of up to 768 pixels every half second.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::detection::BoundingBox;
use crate::frame::Picture;
use crate::results::FrameResults;
use crate::tracking::TrackStatus;
use crate::vlm::live::{Look, Onlooker};
use crate::vlm::pictures::fitted;
use crate::vlm::shrink_to;

/// Time from one sight to the next, seconds.
const STEP_S: f64 = 0.5;
/// Sights that are kept: about 50 MB of pictures at most.
const MOST: usize = 48;
/// How far back they reach, seconds.
const REACH_S: f64 = 62.0;
/// Those younger than this are all kept; older ones grow sparser.
const DENSE_S: f64 = 12.0;

/// One picture of the stream.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Counts up from the first.
    pub number: u64,
    /// Stream time, seconds.
    pub time_s: f64,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Red, green and blue, row by row.
    pub rgb: Arc<Vec<u8>>,
    /// Tracks that are seen: identity, and box as shares of the picture's width and height.
    pub boxes: Vec<(u64, BoundingBox)>,
}

/// The sights of the last minute.
#[derive(Debug, Default)]
pub struct Sights(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sights: VecDeque<Sight>,
    scheduled_s: Option<f64>,
    next: u64,
}

impl Sights {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most `most` of them, spread evenly from `start_s` to `end_s`, in order of time.
    pub fn spread(&self, start_s: f64, end_s: f64, most: usize) -> Vec<Sight> {
        let inner = self.inner();
        let reach_s = 0.6 * STEP_S;
        let inside = |sight: &&Sight| (start_s - reach_s..=end_s + reach_s).contains(&sight.time_s);
        let all: Vec<&Sight> = inner.sights.iter().filter(inside).collect();
        if all.len() <= most {
            return all.into_iter().cloned().collect();
        }
        let mut chosen: Vec<Sight> = Vec::with_capacity(most);
        for index in 0..most {
            let share = if most == 1 {
                1.0
            } else {
                index as f64 / (most - 1) as f64
            };
            let wanted_s = start_s + share * (end_s - start_s);
            let off = |sight: &&&Sight| (sight.time_s - wanted_s).abs();
            let nearest = all
                .iter()
                .filter(|sight| chosen.last().is_none_or(|last| sight.number > last.number))
                .min_by(|a, b| off(a).total_cmp(&off(b)));
            chosen.extend(nearest.map(|sight| (*sight).clone()));
        }
        chosen
    }
}

impl Inner {
    fn push(&mut self, sight: Sight) {
        let now_s = sight.time_s;
        if self.sights.back().is_some_and(|last| now_s < last.time_s) {
            self.sights.clear();
        }
        self.sights.push_back(sight);
        while self.sights.front().is_some_and(|first| now_s - first.time_s > REACH_S) {
            self.sights.pop_front();
        }
        if self.sights.len() > MOST {
            // The one whose absence leaves the smallest gap.
            let gap_s = |index: usize| self.sights[index + 1].time_s - self.sights[index - 1].time_s;
            let least = (1..self.sights.len() - 1)
                .filter(|index| now_s - self.sights[*index].time_s > DENSE_S)
                .min_by(|a, b| gap_s(*a).total_cmp(&gap_s(*b)));
            self.sights.remove(least.unwrap_or(0));
        }
    }
}

impl Onlooker for Sights {
    fn wanted(&self, time_s: f64) -> Option<Look> {
        let mut inner = self.inner();
        let since_s = inner.scheduled_s.map(|last_s| time_s - last_s);
        if since_s.is_some_and(|since_s| (0.0..STEP_S - 1e-3).contains(&since_s)) {
            return None;
        }
        inner.scheduled_s = Some(time_s);
        Some(Look::Keep)
    }

    fn look(&self, _look: Look, time_s: f64, picture: &Picture<'_>, results: &FrameResults) {
        let (width, height) = fitted(picture.width(), picture.height());
        // Out of the lock: the streaming thread asks what is wanted.
        let rgb = Arc::new(shrink_to(picture, width as usize, height as usize));
        let (columns, rows) = (results.width.max(1) as f32, results.height.max(1) as f32);
        let boxes = results
            .tracks
            .iter()
            .filter(|track| track.status == TrackStatus::Tracked)
            .map(|track| {
                let bbox = &track.bbox;
                let share = BoundingBox::new(bbox.x0 / columns, bbox.y0 / rows, bbox.x1 / columns, bbox.y1 / rows);
                (track.id, share.clipped(1.0, 1.0))
            })
            .collect();
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        inner.push(Sight {
            number,
            time_s,
            width,
            height,
            rgb,
            boxes,
        });
    }

    fn clear(&self) {
        let mut inner = self.inner();
        inner.sights.clear();
        inner.scheduled_s = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::{FrameTime, PixelFormat};

    fn watched(frames: u32, fps: f64) -> Sights {
        let rgb = vec![9; 8 * 6 * 3];
        let picture = Picture::packed(PixelFormat::Rgb, 8, 6, &rgb).unwrap();
        let sights = Sights::default();
        for frame in 0..frames {
            let time_s = f64::from(frame) / fps;
            if let Some(look) = sights.wanted(time_s) {
                let results = FrameResults::new(FrameTime::from_pts_ns((time_s * 1e9) as u64), 8, 6);
                sights.look(look, time_s, &picture, &results);
            }
        }
        sights
    }

    #[test]
    fn a_window_is_shown_from_its_start_to_its_end() {
        let sights = watched(501, 25.0);
        let times = |start_s, end_s, most| -> Vec<f64> {
            let shown = sights.spread(start_s, end_s, most);
            shown
                .iter()
                .map(|sight| (sight.time_s * 100.0).round() / 100.0)
                .collect()
        };
        let shown = times(10.0, 20.0, 8);
        assert_eq!(shown.len(), 8);
        assert!(
            (shown[0] - 10.0).abs() < 0.3 && (shown[7] - 20.0).abs() < 0.3,
            "{shown:?}"
        );
        assert!(
            shown.windows(2).all(|pair| (0.9..2.2).contains(&(pair[1] - pair[0]))),
            "{shown:?}"
        );
        assert!(times(100.0, 110.0, 8).is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_past_grows_sparser() {
        let sights = watched(5000, 25.0);
        let all = sights.spread(0.0, 1e9, 1000);
        assert!(all.len() <= MOST, "{}", all.len());
        let (first_s, last_s) = (all[0].time_s, all[all.len() - 1].time_s);
        assert!(last_s - first_s > 45.0, "{first_s} to {last_s}");
        let recent = all.iter().filter(|sight| last_s - sight.time_s < 10.0).count();
        assert!(recent >= 19, "{recent}");
    }

    #[test]
    fn time_that_goes_back_begins_anew() {
        let sights = watched(50, 25.0);
        let rgb = vec![0; 3];
        let picture = Picture::packed(PixelFormat::Rgb, 1, 1, &rgb).unwrap();
        let look = sights.wanted(0.0).unwrap();
        sights.look(look, 0.0, &picture, &FrameResults::new(FrameTime::from_pts_ns(0), 1, 1));
        assert_eq!(sights.spread(0.0, 100.0, 8).len(), 1);
    }
}

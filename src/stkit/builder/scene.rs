//! A recording as one of its cameras sees it, on the grid of record.

use nalgebra::Point3;

use super::candidates::MIN_CLIP_STEPS;
use super::grid::{GridTrack, STEP_S};
use crate::datasets::{CameraTrack, LabelledBox, ObjectKind, Recording};

/// Positions are interpolated between labels at most so far apart, seconds: those of a data set labelled at 2 Hz.
pub(super) const MAX_GAP_S: f64 = 0.55;
/// The least height of a visible object's box, pixels and share of the picture.
const MIN_BOX_PX: f32 = 16.0;
const MIN_BOX_SHARE: f32 = 0.02;
/// The most that may be beyond the picture's edge.
const MAX_TRUNCATION: f32 = 0.5;
/// The most hidden.
const MAX_OCCLUSION: u8 = 1;
/// Labels at least as dense as this, seconds, are read on several grids, shifted by it.
const PHASE_S: f64 = 0.1;

/// How many shifted grids a recording is read on.
pub(super) fn phases(recording: &Recording) -> u8 {
    let times = &recording.label_times_s;
    let span_s = times.last().copied().unwrap_or(0.0) - times.first().copied().unwrap_or(0.0);
    let mean_gap_s = span_s / (times.len().max(2) - 1) as f64;
    if mean_gap_s <= PHASE_S * 1.1 { 5 } else { 1 }
}

/// A recording seen by one of its cameras (or none), every 0.5 s.
pub(super) struct GridScene<'a> {
    pub recording: &'a Recording,
    pub camera: Option<&'a CameraTrack>,
    phase: u8,
    pub tracks: Vec<GridTrack>,
}

impl<'a> GridScene<'a> {
    pub fn new(recording: &'a Recording, camera: usize, phase: u8) -> Self {
        let camera = recording.cameras.get(camera);
        let mut scene = Self {
            recording,
            camera,
            phase,
            tracks: Vec::new(),
        };
        let end_s = recording.label_times_s.last().copied().unwrap_or(0.0);
        let points = ((end_s - scene.time_s(0) + 1e-6) / STEP_S).floor().max(-1.0) + 1.0;
        for (index, object) in recording.objects.iter().enumerate() {
            if object.kind == ObjectKind::Still {
                continue;
            }
            let mut run: Vec<Point3<f64>> = Vec::new();
            let mut visible: Vec<bool> = Vec::new();
            for point in 0..=points as usize {
                let sample = (point < points as usize)
                    .then(|| object.at(scene.time_s(point), MAX_GAP_S))
                    .flatten();
                match sample {
                    Some(sample) => {
                        run.push(sample.center_in_world);
                        visible.push(camera.is_none_or(|camera| {
                            let height = camera.camera.intrinsics.height as f32;
                            if sample.size_m.is_none() && sample.labelled_box.is_none() {
                                return sample.seen && camera.shows(&sample);
                            }
                            sample.seen
                                && camera
                                    .box_of(&sample)
                                    .is_some_and(|labelled| is_visible(&labelled, height))
                        }));
                    }
                    None => {
                        let (run, visible) = (std::mem::take(&mut run), std::mem::take(&mut visible));
                        if run.len() > MIN_CLIP_STEPS && visible.contains(&true) {
                            let first = point - run.len();
                            scene.tracks.push(GridTrack::new(index, first, run, &visible));
                        }
                    }
                }
            }
        }
        scene
    }

    /// Time of a point of the grid, seconds from the recording's first label.
    pub fn time_s(&self, point: usize) -> f64 {
        f64::from(self.phase) * PHASE_S + point as f64 * STEP_S
    }
}

fn is_visible(labelled: &LabelledBox, picture_height: f32) -> bool {
    labelled.occlusion <= MAX_OCCLUSION
        && labelled.truncation <= MAX_TRUNCATION
        && labelled.bbox.height() >= MIN_BOX_PX.max(MIN_BOX_SHARE * picture_height)
}

/// Numbers that look random and are the same everywhere (SplitMix64: Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(super) struct Mixer(u64);

impl Mixer {
    pub fn new(parts: &[u64]) -> Self {
        let mut mixer = Self(0x243F_6A88_85A3_08D3);
        for part in parts {
            mixer.0 ^= *part;
            mixer.0 = mixer.next();
        }
        mixer
    }

    /// From words.
    pub fn of_words(seed: u64, words: &[&str]) -> Self {
        let mut mixer = Self::new(&[seed]);
        for word in words {
            for byte in word.bytes() {
                mixer.0 ^= u64::from(byte);
                mixer.0 = mixer.next();
            }
            mixer.0 = mixer.next();
        }
        mixer
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `count`, or 0 when that is 0.
    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % (count as u64).max(1)) as usize
    }

    /// A number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

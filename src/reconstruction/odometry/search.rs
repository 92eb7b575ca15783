//! Where landmarks are in a picture: followed from the last one, found again by their own patches, or looked for near a
//! keyframe when the pose is lost.

use nalgebra::{Isometry3, Matrix2, Point2, Vector2, Vector3};

use super::corners::Grid;
use super::flow::{self, Match, RIMMED, Template};
use super::gray::GrayPyramid;
use super::lens::{Excluded, Lens};
use super::map::Landmark;
use super::pose::{Expected, Sighting, Solved};
use super::tracker::{ANCHOR_SIGMA_PX, CUT_CORRELATION, FEATURES, FLOW_SIGMA_PX, Last, Odometry};

/// Correlation from which a patch counts as found: from picture to picture, and with the landmark's own patch.
const FLOW_CORRELATION: f32 = 0.7;
const ANCHOR_CORRELATION: f32 = 0.85;

/// Guesses closer together than this lead to the same place, pixels.
const APART_PX: f32 = 2.0;

/// A landmark found in the current picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub landmark: usize,
    pub position: Point2<f32>,
    pub seen: Vector2<f64>,
    pub sigma_px: f64,
    /// Direction in which it is held worst, as long as the standard deviation that this adds, pixels.
    pub weak_px: Vector2<f64>,
}

impl Odometry {
    /// Follows the landmarks of the last picture into this one: each from where it should be after each of the motions
    /// that `expected` leads to, and as it is found best.
    pub(super) fn follow(
        &mut self,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &GrayPyramid,
        last: &Last,
        expected: &[Isometry3<f64>],
    ) -> Vec<Found> {
        let mut guesses: Vec<Point2<f32>> = Vec::with_capacity(expected.len());
        let mut followed = 0;
        let mut found = Vec::new();
        let mut missed = Vec::new();
        for index in 0..self.map.landmarks.len() {
            let landmark = &self.map.landmarks[index];
            let Some(from) = landmark.position else { continue };
            if excluded.contains(&from) {
                self.map.landmarks[index].position = None;
                continue;
            }
            followed += 1;
            let at = |pose: &Isometry3<f64>| self.map.in_camera(landmark, pose).and_then(|q| lens.project(&q));
            let before = at(&last.pose);
            guesses.clear();
            for expected in expected {
                let guess = match (before, at(expected)) {
                    (Some(before), Some(now)) => from + (now - before),
                    _ => from,
                };
                if guesses.iter().all(|other| (other - guess).norm() > APART_PX) {
                    guesses.push(guess);
                }
            }
            let best = guesses
                .iter()
                .filter_map(|guess| flow::follow(&last.picture, picture, from, *guess, 4))
                .max_by(|a, b| a.correlation.total_cmp(&b.correlation));
            match best {
                Some(at) if at.correlation >= FLOW_CORRELATION => found.extend(seen(lens, index, &at, FLOW_SIGMA_PX)),
                _ => missed.push((index, from)),
            }
        }
        // Where the expectation misled most, begin from where things were.
        if found.len() * 2 < followed {
            for (index, from) in missed {
                if let Some(at) = flow::follow(&last.picture, picture, from, from, 5)
                    && at.correlation >= FLOW_CORRELATION
                {
                    found.extend(seen(lens, index, &at, FLOW_SIGMA_PX));
                }
            }
        }
        found.retain(|found| !excluded.contains(&found.position));
        found
    }

    /// Looks for landmarks with their own patches: those that were followed, and others that should be in view.
    pub(super) fn anchor(
        &self,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &GrayPyramid,
        found: &[Found],
        rough: &Solved,
    ) -> Vec<Found> {
        let mut grid = Grid::new(picture.width(), picture.height(), FEATURES);
        let pose = &rough.map_from_camera;
        let mut result = Vec::with_capacity(found.len() + 64);
        for (found, inlier) in found.iter().zip(&rough.inliers) {
            let landmark = &self.map.landmarks[found.landmark];
            grid.take(&found.position);
            if !inlier {
                result.push(*found);
                continue;
            }
            let refined = self
                .search(lens, picture, landmark, pose, Some(found.position))
                .filter(|at| (at.position - found.position).norm() < 3.0)
                .and_then(|at| seen(lens, found.landmark, &at, ANCHOR_SIGMA_PX));
            result.push(refined.unwrap_or(*found));
        }
        // Those that agreed most often first, one to a cell.
        let mut others: Vec<(u32, usize, Point2<f32>)> = self
            .map
            .landmarks
            .iter()
            .enumerate()
            .filter(|(_, landmark)| landmark.position.is_none() && landmark.agreed >= 3)
            .filter_map(|(index, landmark)| {
                let at = lens.project(&self.map.in_camera(landmark, pose)?)?;
                (lens.shows(&at, 8.0) && !excluded.contains(&at)).then_some((landmark.agreed, index, at))
            })
            .collect();
        others.sort_unstable_by_key(|(agreed, ..)| std::cmp::Reverse(*agreed));
        for (_, index, at) in others {
            if !grid.take(&at) {
                continue;
            }
            let landmark = &self.map.landmarks[index];
            if let Some(at) = self.search(lens, picture, landmark, pose, None) {
                result.extend(seen(lens, index, &at, ANCHOR_SIGMA_PX));
            }
        }
        result
    }

    /// Looks for a landmark with its patch as it should look from a pose.
    fn search(
        &self,
        lens: &Lens,
        picture: &GrayPyramid,
        landmark: &Landmark,
        pose: &Isometry3<f64>,
        near: Option<Point2<f32>>,
    ) -> Option<Match> {
        let host = self.map.keyframe(landmark.host)?;
        let project = |ray: &Vector3<f64>| {
            let sighting = Sighting {
                origin: host.map_from_camera.translation.vector,
                direction: host.map_from_camera.rotation * ray,
                inverse_depth: landmark.inverse_depth,
                inverse_depth_sigma: 0.0,
                seen: Vector2::zeros(),
                sigma: 1.0,
                weak: Vector2::zeros(),
            };
            let q = sighting.in_camera(pose);
            if q.z > 0.05 { lens.project(&q) } else { None }
        };
        let center = project(&landmark.ray)?;
        let step = 4.0;
        let right = project(&lens.ray(&(landmark.anchor + Vector2::new(step, 0.0)))?)?;
        let down = project(&lens.ray(&(landmark.anchor + Vector2::new(0.0, step)))?)?;
        let warp = Matrix2::from_columns(&[(right - center) / step, (down - center) / step]);
        let grown = warp.determinant();
        if !(0.06..=16.0).contains(&grown) {
            return None;
        }
        let host_from_here = warp.try_inverse()?;
        let mut position = near.unwrap_or(center);
        let mut found = None;
        // What was not followed may lie some pixels off.
        let first_floor = usize::from(near.is_none());
        for floor in (0..=first_floor).rev() {
            let scale = (1usize << floor) as f32;
            let shrink = host_from_here.determinant().abs().sqrt() * scale;
            let host_floor = (shrink.log2().round().max(0.0) as usize).min(host.picture.levels.len() - 1);
            let host_level = host.picture.levels.get(host_floor)?;
            let host_scale = 1.0 / (1usize << host_floor) as f32;
            let mut rimmed = [[0.0; RIMMED]; RIMMED];
            let half = 0.5 * (RIMMED as f32 - 1.0);
            for (y, row) in rimmed.iter_mut().enumerate() {
                for (x, value) in row.iter_mut().enumerate() {
                    let offset = Vector2::new(x as f32 - half, y as f32 - half) * scale;
                    let at = (landmark.anchor + host_from_here * offset) * host_scale;
                    *value = host_level.at(at.x, at.y)?;
                }
            }
            let template = Template::new(&rimmed)?;
            let at = template.find(picture.levels.get(floor)?, position / scale, 4.0)?;
            if at.correlation < ANCHOR_CORRELATION {
                return None;
            }
            position = at.position * scale;
            found = Some(Match { position, ..at });
        }
        found
    }

    /// Looks for the camera near each keyframe, the most similar first.
    pub(super) fn relocalise(
        &mut self,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &GrayPyramid,
        last: &Last,
    ) -> Option<(Solved, Vec<Found>)> {
        let start = self.map.window_start();
        let mut alike: Vec<(f32, usize)> = self.map.keyframes[start..]
            .iter()
            .enumerate()
            .map(|(index, keyframe)| (coarse_correlation(&keyframe.picture, picture), start + index))
            .filter(|(correlation, _)| *correlation > CUT_CORRELATION)
            .collect();
        alike.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        for (_, index) in alike.into_iter().take(2) {
            let keyframe = &self.map.keyframes[index];
            let pose = keyframe.map_from_camera;
            let found: Vec<Found> = keyframe
                .observations
                .iter()
                .filter_map(|observed| {
                    let landmark = self.map.landmark_index(observed.landmark)?;
                    let from = lens.project(&Vector3::new(observed.seen.x, observed.seen.y, 1.0))?;
                    let at = flow::follow(&keyframe.picture, picture, from, from, 5)?;
                    (at.correlation >= FLOW_CORRELATION && !excluded.contains(&at.position))
                        .then(|| seen(lens, landmark, &at, FLOW_SIGMA_PX))
                        .flatten()
                })
                .collect();
            let expected = Expected {
                map_from_camera: pose,
                position_sigma: 10.0,
                rotation_sigma: 1.0,
                firm: false,
            };
            if let Some(result) = self.locate(lens, excluded, picture, found, &[pose, last.pose], &expected) {
                return Some(result);
            }
        }
        None
    }
}

fn seen(lens: &Lens, landmark: usize, at: &Match, sigma_px: f64) -> Option<Found> {
    Some(Found {
        landmark,
        position: at.position,
        seen: lens.ray(&at.position)?.xy(),
        sigma_px,
        weak_px: at.weak.cast() * sigma_px,
    })
}

/// Correlation of two pictures' coarsest floors.
pub(super) fn coarse_correlation(a: &GrayPyramid, b: &GrayPyramid) -> f32 {
    let (Some(a), Some(b)) = (a.top(), b.top()) else {
        return 0.0;
    };
    if a.data.len() != b.data.len() || a.data.is_empty() {
        return 0.0;
    }
    let count = a.data.len() as f32;
    let mean = |data: &[u8]| data.iter().map(|value| f32::from(*value)).sum::<f32>() / count;
    let (mean_a, mean_b) = (mean(&a.data), mean(&b.data));
    let (mut aa, mut ab, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.data.iter().zip(&b.data) {
        let (a, b) = (f32::from(*a) - mean_a, f32::from(*b) - mean_b);
        aa += a * a;
        ab += a * b;
        bb += b * b;
    }
    if aa > 0.0 && bb > 0.0 {
        ab / (aa * bb).sqrt()
    } else {
        0.0
    }
}

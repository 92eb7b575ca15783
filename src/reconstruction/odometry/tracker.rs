//! Visual odometry: one picture after another to a camera pose in the odometry's own map.
//!
//! Each frame: landmarks are followed from the last picture; the pose follows from where they are seen; each is then
//! looked for again with its own patch from the keyframe it is anchored in, warped to the pose, so that positions do not
//! creep; and the pose is solved anew. When too little of the picture is covered a keyframe is made and the window
//! adjusted. Future frames are never used.

use std::sync::Arc;

use nalgebra::{Isometry3, Matrix2, Matrix6, Point2, Vector2, Vector3, Vector6};

use super::adjust::adjust;
use super::corners::{self, Grid};
use super::flow::{self, Match, RIMMED, Template};
use super::gray::GrayPyramid;
use super::lens::{Excluded, GroundPrior, Lens, MovableRegion};
use super::map::{Landmark, Map, Observed};
use super::pose::{self, Expected, Sighting, Solved, difference, moved};
use crate::camera::Intrinsics;
use crate::frame::Picture;
use crate::perception::DepthMap;

/// Landmarks aimed at in one picture.
const FEATURES: usize = 220;
/// Fewer landmarks that agree than this, or a smaller share, and the pose is lost.
const MIN_INLIERS: usize = 10;
const MIN_INLIER_SHARE: f64 = 0.25;
/// Median flow that counts as no motion, working pixels.
const STILL_PX: f32 = 0.3;
/// Contrast of the coarsest picture below which there is nothing to see, grey levels.
const MIN_CONTRAST: f32 = 2.5;
/// Standard deviation of a position that was followed from picture to picture, and of one found with its own patch, px.
const FLOW_SIGMA_PX: f64 = 1.2;
const ANCHOR_SIGMA_PX: f64 = 0.5;
/// Correlation from which a patch counts as found.
const FLOW_CORRELATION: f32 = 0.7;
const ANCHOR_CORRELATION: f32 = 0.85;
/// What a camera is expected not to exceed: acceleration in metres (map units) and radians per second squared.
const ACCELERATION: f64 = 15.0;
const TURN_ACCELERATION: f64 = 25.0;
/// Time after which a lost map is given up, seconds.
const GIVE_UP_S: f64 = 0.7;
/// Correlation of coarse pictures below which the scene is another.
const CUT_CORRELATION: f32 = 0.4;
/// Share of the picture's width that landmarks may move before a keyframe is made.
const KEYFRAME_FLOW: f32 = 0.07;
/// Depth that is assumed where nothing is known, map units.
const VAGUE_DEPTH: f64 = 15.0;

/// One frame as the odometry takes it.
pub(crate) struct Input<'a> {
    pub time_s: f64,
    pub picture: &'a Picture<'a>,
    pub intrinsics: &'a Intrinsics,
    pub depth: Option<&'a DepthMap>,
    pub ground: Option<GroundPrior>,
    pub movable: &'a [MovableRegion],
    /// Where the camera is expected, when something outside tells its motion: relative to the last frame's pose, with
    /// standard deviations of position and orientation.
    pub motion: Option<(Isometry3<f64>, f64, f64)>,
}

/// What happened to the map in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// The map goes on.
    Kept,
    /// The map was given up and begun anew where the camera was expected to be.
    Restarted,
    /// Another scene is shown.
    Cut,
}

/// What one frame told.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub map_from_camera: Isometry3<f64>,
    /// Of (shift, turn) in the camera frame.
    pub covariance: Matrix6<f64>,
    pub inlier_ratio: f64,
    /// The camera stands still.
    pub still: bool,
    /// Nothing was recognised; the pose is where the camera was expected.
    pub lost: bool,
    pub continuity: Continuity,
    /// Median of ln(network depth / map depth) over landmarks, and the standard deviation of that median.
    pub depth_log_ratio: Option<(f64, f64)>,
}

/// Positions of the time since when nothing has moved.
struct Rest {
    pose: Isometry3<f64>,
    positions: Vec<(u64, Point2<f32>)>,
}

struct Last {
    picture: Arc<GrayPyramid>,
    pose: Isometry3<f64>,
    time_s: f64,
    /// (shift, turn) a second in the camera frame; `None` when nothing is known of it.
    velocity: Option<Vector6<f64>>,
    covariance: Matrix6<f64>,
}

/// Visual odometry; see the [module's documentation](self).
#[derive(Default)]
pub(crate) struct Odometry {
    map: Map,
    last: Option<Last>,
    rest: Option<Rest>,
    lens: Option<(Intrinsics, u32, Arc<Lens>)>,
    lost_since_s: Option<f64>,
    /// Landmarks that agreed when the last keyframe was made, and frames since.
    keyframe_inliers: usize,
    since_keyframe: usize,
    depth_log_bias: f64,
    spare: Option<GrayPyramid>,
}

/// A landmark found in the current picture.
#[derive(Clone, Copy, Debug)]
struct Found {
    landmark: usize,
    position: Point2<f32>,
    seen: Vector2<f64>,
    sigma_px: f64,
}

impl std::fmt::Debug for Odometry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (keyframes, landmarks) = (self.map.keyframes.len(), self.map.landmarks.len());
        write!(f, "odometry with {keyframes} keyframes and {landmarks} landmarks")
    }
}

impl Odometry {
    /// Forgets everything.
    pub fn reset(&mut self) {
        self.map.clear();
        self.last = None;
        self.rest = None;
        self.lost_since_s = None;
        self.depth_log_bias = 0.0;
    }

    /// Well known landmarks in view that lie below the camera: rays (x / z, y / z, 1) and inverse depths now.
    pub fn points_below(&self, map_from_camera: &Isometry3<f64>, down: &Vector3<f64>) -> Vec<(Vector3<f64>, f64)> {
        self.map
            .landmarks
            .iter()
            .filter(|landmark| landmark.position.is_some() && landmark.agreed >= 6)
            .filter(|landmark| landmark.inverse_depth_sigma < 0.15 * landmark.inverse_depth)
            .filter_map(|landmark| {
                let q = self.map.in_camera(landmark, map_from_camera)?;
                (down.dot(&q.normalize()) > 0.03).then(|| (q / q.z, landmark.inverse_depth / q.z))
            })
            .collect()
    }

    /// The next frame.
    pub fn step(&mut self, input: &Input<'_>) -> Outcome {
        let mut pyramid = self.spare.take().unwrap_or_default();
        pyramid.fill(input.picture);
        let lens = self.lens_for(input.intrinsics, pyramid.factor);
        if self.last.as_ref().is_some_and(|last| {
            (last.picture.width(), last.picture.height()) != (pyramid.width(), pyramid.height())
                || last.time_s > input.time_s
        }) {
            self.reset();
        }
        let picture = Arc::new(pyramid);
        let excluded = Excluded::new(input.movable, picture.factor);
        let outcome = match self.last.take() {
            None => self.begin(input, &lens, &excluded, &picture, Isometry3::identity(), Continuity::Kept),
            Some(last) => self.go_on(input, &lens, &excluded, &picture, last),
        };
        if self.spare.is_none() {
            self.spare = Arc::try_unwrap(picture).ok();
        }
        outcome
    }

    fn lens_for(&mut self, intrinsics: &Intrinsics, factor: u32) -> Arc<Lens> {
        match &self.lens {
            Some((known, by, lens)) if known == intrinsics && *by == factor => lens.clone(),
            _ => {
                let lens = Arc::new(Lens::new(intrinsics, factor));
                self.lens = Some((*intrinsics, factor, lens.clone()));
                lens
            }
        }
    }

    /// Begins a map at a pose.
    fn begin(
        &mut self,
        input: &Input<'_>,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &Arc<GrayPyramid>,
        pose: Isometry3<f64>,
        continuity: Continuity,
    ) -> Outcome {
        self.map.clear();
        self.rest = None;
        self.depth_log_bias = 0.0;
        let lost = picture.contrast() < MIN_CONTRAST;
        if !lost {
            self.lost_since_s = None;
            self.add_keyframe(input, lens, excluded, picture, &pose, &[]);
            self.last = Some(Last {
                picture: picture.clone(),
                pose,
                time_s: input.time_s,
                velocity: None,
                covariance: Matrix6::zeros(),
            });
        }
        Outcome {
            map_from_camera: pose,
            covariance: Matrix6::zeros(),
            inlier_ratio: if lost { 0.0 } else { 1.0 },
            still: false,
            lost,
            continuity,
            depth_log_ratio: None,
        }
    }

    fn go_on(
        &mut self,
        input: &Input<'_>,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &Arc<GrayPyramid>,
        last: Last,
    ) -> Outcome {
        let dt = (input.time_s - last.time_s).max(1e-3);
        let expected = expect(&last, input.motion.as_ref(), dt);
        let mut result = None;
        if picture.contrast() >= MIN_CONTRAST {
            let found = self.follow(lens, excluded, picture, &last, &expected.map_from_camera);
            result = self.locate(lens, excluded, picture, found, &[expected.map_from_camera, last.pose], &expected);
            if result.is_none() {
                result = self.relocalise(lens, excluded, picture, &last);
            }
        }
        let Some((solved, found)) = result else {
            return self.lose(input, lens, excluded, picture, last, &expected);
        };
        self.lost_since_s = None;
        let mut pose = solved.map_from_camera;
        let still = self.test_rest(&found, &solved, &mut pose);
        self.note(&found, &solved);
        let velocity = if still { Vector6::zeros() } else { difference(&last.pose, &pose) / dt };
        let depth_log_ratio = input
            .depth
            .and_then(|depth| self.depth_log_ratio(depth, lens, &found, &solved, &pose));
        if let Some((ratio, _)) = depth_log_ratio {
            self.depth_log_bias = ratio;
        }
        let inlier_ratio = solved.inlier_count as f64 / found.len().max(1) as f64;
        self.since_keyframe += 1;
        if self.keyframe_due(lens, &found, &solved, still) {
            let inliers: Vec<Found> = pick(&found, &solved.inliers);
            let id = self.add_keyframe(input, lens, excluded, picture, &pose, &inliers);
            adjust(&mut self.map, 4);
            if let Some(keyframe) = self.map.keyframe(id) {
                pose = keyframe.map_from_camera;
            }
            if let Some(rest) = self.rest.as_mut().filter(|_| still) {
                rest.pose = pose;
            }
            self.map.prune();
        }
        self.release(last.picture);
        self.last = Some(Last {
            picture: picture.clone(),
            pose,
            time_s: input.time_s,
            velocity: Some(velocity),
            covariance: solved.covariance,
        });
        Outcome {
            map_from_camera: pose,
            covariance: solved.covariance,
            inlier_ratio,
            still,
            lost: false,
            continuity: Continuity::Kept,
            depth_log_ratio,
        }
    }

    /// Keeps the memory of a picture that nobody else holds.
    fn release(&mut self, picture: Arc<GrayPyramid>) {
        if let Ok(picture) = Arc::try_unwrap(picture) {
            self.spare = Some(picture);
        }
    }

    /// Nothing was recognised.
    fn lose(
        &mut self,
        input: &Input<'_>,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &Arc<GrayPyramid>,
        last: Last,
        expected: &Expected,
    ) -> Outcome {
        let since = *self.lost_since_s.get_or_insert(input.time_s);
        self.rest = None;
        let seen = picture.contrast() >= MIN_CONTRAST;
        let alike = coarse_correlation(&last.picture, picture);
        if seen && alike < CUT_CORRELATION && input.time_s - last.time_s < GIVE_UP_S {
            return self.begin(input, lens, excluded, picture, Isometry3::identity(), Continuity::Cut);
        }
        if seen && input.time_s - since >= GIVE_UP_S {
            return self.begin(input, lens, excluded, picture, expected.map_from_camera, Continuity::Restarted);
        }
        let pose = expected.map_from_camera;
        let covariance = last.covariance;
        self.last = Some(last);
        Outcome {
            map_from_camera: pose,
            covariance,
            inlier_ratio: 0.0,
            still: false,
            lost: true,
            continuity: Continuity::Kept,
            depth_log_ratio: None,
        }
    }

    /// Follows the landmarks of the last picture into this one.
    fn follow(
        &mut self,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &GrayPyramid,
        last: &Last,
        expected: &Isometry3<f64>,
    ) -> Vec<Found> {
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
            let guess = match (at(&last.pose), at(expected)) {
                (Some(before), Some(now)) => from + (now - before),
                _ => from,
            };
            match flow::follow(&last.picture, picture, from, guess, 4) {
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

    fn sightings(&self, lens: &Lens, found: &[Found]) -> Vec<Sighting> {
        found
            .iter()
            .filter_map(|found| {
                let landmark = self.map.landmarks.get(found.landmark)?;
                self.map.sighting(landmark, found.seen, found.sigma_px / lens.focal)
            })
            .collect()
    }

    /// The pose from followed landmarks, then again from their own patches and those of landmarks that come back.
    fn locate(
        &mut self,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &GrayPyramid,
        found: Vec<Found>,
        guesses: &[Isometry3<f64>],
        expected: &Expected,
    ) -> Option<(Solved, Vec<Found>)> {
        let sightings = self.sightings(lens, &found);
        if sightings.len() != found.len() {
            return None;
        }
        let rough = pose::solve(&sightings, guesses, Some(expected), 120)?;
        if !convincing(&rough, found.len()) {
            return None;
        }
        let anchored = self.anchor(lens, excluded, picture, &found, &rough);
        let sightings = self.sightings(lens, &anchored);
        let fine = pose::solve(&sightings, &[rough.map_from_camera], Some(expected), 0)?;
        (sightings.len() == anchored.len() && convincing(&fine, anchored.len())).then_some((fine, anchored))
    }

    /// Looks for landmarks with their own patches: those that were followed, and others that should be in view.
    fn anchor(
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

    /// The static test: when the median landmark is where it was when the camera came to rest, the camera is too.
    fn test_rest(&mut self, found: &[Found], solved: &Solved, pose: &mut Isometry3<f64>) -> bool {
        if let Some(rest) = &self.rest {
            let mut moved: Vec<f32> = found
                .iter()
                .filter_map(|found| {
                    let id = self.map.landmarks.get(found.landmark)?.id;
                    let index = rest.positions.binary_search_by_key(&id, |(id, _)| *id).ok()?;
                    Some((found.position - rest.positions[index].1).norm())
                })
                .collect();
            moved.sort_unstable_by(f32::total_cmp);
            if moved.len() >= MIN_INLIERS && moved[moved.len() / 2] < STILL_PX {
                *pose = rest.pose;
                return true;
            }
        }
        let mut positions: Vec<_> = pick(found, &solved.inliers)
            .iter()
            .filter_map(|found| Some((self.map.landmarks.get(found.landmark)?.id, found.position)))
            .collect();
        positions.sort_unstable_by_key(|(id, _)| *id);
        self.rest = Some(Rest { pose: *pose, positions });
        false
    }

    /// Notes which landmarks agreed.
    fn note(&mut self, found: &[Found], solved: &Solved) {
        for landmark in &mut self.map.landmarks {
            landmark.position = None;
        }
        for (found, inlier) in found.iter().zip(&solved.inliers) {
            let Some(landmark) = self.map.landmarks.get_mut(found.landmark) else { continue };
            if *inlier {
                landmark.position = Some(found.position);
                landmark.agreed += 1;
                landmark.failures = 0;
            } else {
                landmark.failures = landmark.failures.saturating_add(1);
            }
        }
    }

    fn depth_log_ratio(
        &self,
        depth: &DepthMap,
        lens: &Lens,
        found: &[Found],
        solved: &Solved,
        pose: &Isometry3<f64>,
    ) -> Option<(f64, f64)> {
        let mut ratios: Vec<f64> = pick(found, &solved.inliers)
            .iter()
            .filter_map(|found| {
                let landmark = self.map.landmarks.get(found.landmark)?;
                if landmark.inverse_depth_sigma > 0.3 * landmark.inverse_depth {
                    return None;
                }
                let q = self.map.in_camera(landmark, pose)?;
                let (depth_m, _) = surface(depth, lens, &found.position)?;
                Some((depth_m * landmark.inverse_depth / q.z).ln())
            })
            .collect();
        if ratios.len() < MIN_INLIERS {
            return None;
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        let mut off: Vec<f64> = ratios.iter().map(|ratio| (ratio - median).abs()).collect();
        off.sort_unstable_by(f64::total_cmp);
        let spread = 1.4826 * off[off.len() / 2];
        Some((median, 1.25 * spread / (ratios.len() as f64).sqrt() + 1e-3))
    }

    fn keyframe_due(&self, lens: &Lens, found: &[Found], solved: &Solved, still: bool) -> bool {
        let few = solved.inlier_count < 60 && solved.inlier_count * 10 < self.keyframe_inliers * 9;
        if still {
            return few;
        }
        if self.since_keyframe < 3 {
            return few;
        }
        if few || solved.inlier_count * 10 < self.keyframe_inliers * 7 {
            return true;
        }
        let Some(newest) = self.map.keyframes.last() else { return true };
        let mut flow: Vec<f32> = newest
            .observations
            .iter()
            .filter_map(|seen| {
                let landmark = &self.map.landmarks[self.map.landmark_index(seen.landmark)?];
                let before = lens.project(&Vector3::new(seen.seen.x, seen.seen.y, 1.0))?;
                Some((landmark.position? - before).norm())
            })
            .collect();
        if flow.len() * 2 < found.len() {
            return true;
        }
        flow.sort_unstable_by(f32::total_cmp);
        flow.get(flow.len() / 2)
            .is_some_and(|median| *median > KEYFRAME_FLOW * lens.width)
    }

    /// Makes this picture a keyframe and looks for new landmarks where there are none.
    fn add_keyframe(
        &mut self,
        input: &Input<'_>,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &Arc<GrayPyramid>,
        pose: &Isometry3<f64>,
        inliers: &[Found],
    ) -> u64 {
        let bias = if input.depth.is_some() { self.depth_log_bias } else { 0.0 };
        let id = self.map.add_keyframe(picture.clone(), *pose, bias);
        let mut grid = Grid::new(picture.width(), picture.height(), FEATURES);
        let mut observations = Vec::with_capacity(FEATURES + 32);
        let log_depth = |position: &Point2<f32>| {
            let (depth_m, sigma) = surface(input.depth?, lens, position)?;
            // The network's error at a point stays nearly the same from keyframe to keyframe, so each counts for less.
            Some((depth_m.ln(), 2.0 * sigma))
        };
        for found in inliers {
            grid.take(&found.position);
            if let Some(landmark) = self.map.landmarks.get(found.landmark) {
                observations.push(Observed {
                    landmark: landmark.id,
                    seen: found.seen,
                    sigma: found.sigma_px / lens.focal,
                    log_depth: log_depth(&found.position),
                });
            }
        }
        let vague = self.vague_inverse_depth();
        let allowed = |at: &Point2<f32>| !excluded.contains(at);
        for corner in corners::find(picture, &grid, allowed) {
            let Some(ray) = lens.ray(&corner) else { continue };
            let measured = input.depth.and_then(|depth| surface(depth, lens, &corner));
            let inverse_depth = match measured {
                Some((depth_m, sigma)) => {
                    let inverse_depth = bias.exp() / depth_m;
                    (inverse_depth, inverse_depth * sigma)
                }
                None => input
                    .ground
                    .filter(|_| input.depth.is_none())
                    .and_then(|ground| ground.inverse_depth(&ray))
                    .unwrap_or((vague, vague)),
            };
            let landmark = self.map.add_landmark(id, corner, ray, inverse_depth);
            observations.push(Observed {
                landmark,
                seen: ray.xy(),
                sigma: ANCHOR_SIGMA_PX / lens.focal,
                log_depth: match measured {
                    Some((depth_m, sigma)) => Some((depth_m.ln(), 2.0 * sigma)),
                    // What is expected of the depth is no better than a measurement of it.
                    None => Some((-inverse_depth.0.ln() + bias, (inverse_depth.1 / inverse_depth.0).max(0.2))),
                },
            });
        }
        self.keyframe_inliers = observations.len();
        self.since_keyframe = 0;
        if let Some(keyframe) = self.map.keyframes.last_mut() {
            keyframe.observations = observations;
        }
        id
    }

    /// Median inverse depth of the landmarks in view.
    fn vague_inverse_depth(&self) -> f64 {
        let mut known: Vec<f64> = self
            .map
            .landmarks
            .iter()
            .filter(|landmark| landmark.position.is_some() && landmark.agreed > 3)
            .map(|landmark| landmark.inverse_depth)
            .collect();
        known.sort_unstable_by(f64::total_cmp);
        known.get(known.len() / 2).copied().unwrap_or(1.0 / VAGUE_DEPTH)
    }

    /// Looks for the camera near each keyframe, the most similar first.
    fn relocalise(
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
            };
            if let Some(result) = self.locate(lens, excluded, picture, found, &[pose, last.pose], &expected) {
                return Some(result);
            }
        }
        None
    }
}

fn pick(found: &[Found], inliers: &[bool]) -> Vec<Found> {
    found
        .iter()
        .zip(inliers)
        .filter(|(_, inlier)| **inlier)
        .map(|(found, _)| *found)
        .collect()
}

fn convincing(solved: &Solved, count: usize) -> bool {
    solved.inlier_count >= MIN_INLIERS && solved.inlier_count as f64 >= MIN_INLIER_SHARE * count as f64
}

fn seen(lens: &Lens, landmark: usize, at: &Match, sigma_px: f64) -> Option<Found> {
    Some(Found {
        landmark,
        position: at.position,
        seen: lens.ray(&at.position)?.xy(),
        sigma_px,
    })
}

/// Where the camera should be now: told from outside, else at constant velocity.
fn expect(last: &Last, told: Option<&(Isometry3<f64>, f64, f64)>, dt: f64) -> Expected {
    if let Some((motion, position_sigma, rotation_sigma)) = told {
        return Expected {
            map_from_camera: last.pose * motion,
            position_sigma: *position_sigma,
            rotation_sigma: *rotation_sigma,
        };
    }
    // A velocity says less the longer ago it was.
    let trusted = dt.min(0.5);
    let (step, certain) = match &last.velocity {
        Some(velocity) => (velocity * trusted, 0.5 * dt * dt),
        None => (Vector6::zeros(), dt),
    };
    let sigma = |acceleration: f64| acceleration * certain + 0.01;
    Expected {
        map_from_camera: moved(&last.pose, &step),
        position_sigma: sigma(ACCELERATION),
        rotation_sigma: sigma(TURN_ACCELERATION),
    }
}

/// Correlation of two pictures' coarsest floors.
fn coarse_correlation(a: &GrayPyramid, b: &GrayPyramid) -> f32 {
    let (Some(a), Some(b)) = (a.top(), b.top()) else { return 0.0 };
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
    if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

/// Depth of the surface at a position and its relative standard deviation: the nearest within a small neighbourhood,
/// because a corner at a depth edge belongs to what is in front; less certain where the depths there differ.
fn surface(depth: &DepthMap, lens: &Lens, position: &Point2<f32>) -> Option<(f64, f64)> {
    let (mut least, mut most, mut count) = (f32::INFINITY, 0.0f32, 0);
    let center = depth.at(position.x / lens.width, position.y / lens.height);
    for dy in [-2.0, 0.0, 2.0] {
        for dx in [-2.0, 0.0, 2.0] {
            if let Some(depth_m) = depth.at((position.x + dx) / lens.width, (position.y + dy) / lens.height) {
                least = least.min(depth_m);
                most = most.max(depth_m);
                count += 1;
            }
        }
    }
    if count < 5 {
        return None;
    }
    let sigma = f64::from(depth.relative_sigma);
    let spread = f64::from(most / least).ln();
    if spread > 0.1 {
        return Some((f64::from(least), sigma.max(0.5 * spread.min(1.0))));
    }
    Some((f64::from(center.unwrap_or(least)), sigma))
}

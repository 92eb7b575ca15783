//! Visual odometry: one picture after another to a camera pose in the odometry's own map.
//!
//! Each frame: landmarks are followed from the last picture; the pose follows from where they are seen; each is then
//! looked for again with its own patch from the keyframe it is anchored in, warped to the pose, so that positions do not
//! creep; and the pose is solved anew. When too little of the picture is covered a keyframe is made and the window
//! adjusted. Future frames are never used.

use std::collections::VecDeque;
use std::sync::Arc;

use nalgebra::{Isometry3, Matrix6, Point2, Unit, Vector3, Vector6};

use super::adjust::adjust;
use super::corners::{self, Grid};
use super::gray::GrayPyramid;
use super::lens::{Excluded, GroundPrior, Lens, MovableRegion};
use super::map::{Map, Observed, WINDOW};
use super::pose::{self, Expected, Sighting, Solved, difference, moved};
use super::road::{self, RoadPrior};
use super::search::{Found, coarse_correlation};
use super::surface::surface;
use crate::camera::Intrinsics;
use crate::frame::Picture;
use crate::perception::DepthMap;
use crate::reconstruction::ground::GroundPlane;

/// Landmarks aimed at in one picture.
pub(super) const FEATURES: usize = 220;
/// Landmarks, the oldest in view, that the network's scale is compared with.
const SCALE_LANDMARKS: usize = 80;
/// A network's error at a point stays nearly the same from keyframe to keyframe, so each depth counts for less: its standard
/// deviation is so many times larger in the adjustment.
const LASTING: f64 = 2.0;
/// Depths that are less certain than so many times what the network states do not tell its scale.
const MOST_DEPTH_SIGMA: f64 = 2.0;
/// Fewer landmarks that agree than this, or a smaller share, and the pose is lost.
const MIN_INLIERS: usize = 10;
const MIN_INLIER_SHARE: f64 = 0.25;
/// Median flow that counts as no motion, working pixels.
const STILL_PX: f32 = 0.3;
/// Contrast of the coarsest picture below which there is nothing to see, grey levels.
const MIN_CONTRAST: f32 = 2.5;
/// Standard deviation of a position that was followed from picture to picture, and of one found with its own patch, px.
pub(super) const FLOW_SIGMA_PX: f64 = 1.2;
pub(super) const ANCHOR_SIGMA_PX: f64 = 0.5;
/// What a camera is expected not to exceed: acceleration in metres (map units) and radians per second squared.
const ACCELERATION: f64 = 15.0;
const TURN_ACCELERATION: f64 = 25.0;
/// Speeds ahead that a camera may have at first, on a vehicle: map units a second, which at first are metres about.
const START_SPEEDS: [f64; 5] = [6.0, 12.0, 18.0, 25.0, 33.0];
/// Standard deviation of the speed when nothing is known of it.
const UNKNOWN_SPEED: f64 = 25.0;
/// Time after which a lost map is given up, seconds.
const GIVE_UP_S: f64 = 0.7;
/// Correlation of coarse pictures below which the scene is another.
pub(super) const CUT_CORRELATION: f32 = 0.4;
/// Motion, in heights over the road, between two pictures that the road is found from; the greatest time and turn
/// between them; and the greatest uncertainty of its tilt that it is looked for with, radians.
const ROAD_BASELINE: f64 = 1.2;
const ROAD_AGE_S: f64 = 0.7;
const ROAD_PICTURES: usize = 12;
const MAX_ROAD_TURN: f64 = 0.2;
const MAX_ROAD_TILT: f64 = 0.02;
/// The first motion along the road tells the scale when it is as far as this, heights; its relative standard deviation.
const LEAST_FIRST_SHIFT: f64 = 0.1;
const FIRST_SIGMA: f64 = 0.08;
/// Pictures in which the first motion is looked for.
const FIRST_TRIES: u32 = 6;
/// After so many times without a road in a row its height counts as unknown: standard deviation of the logarithm.
const ROAD_FAILURES: u32 = 4;
const UNKNOWN_HEIGHT: f64 = 0.5;
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
    /// Logarithm of how much too far the depth network sees, against the map, where that is known apart from the map's own
    /// landmarks.
    pub depth_log_bias: Option<f64>,
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
    /// The road, found by comparing pictures directly; height in map units.
    pub road: Option<GroundPlane>,
}

/// A picture that the road is looked for with.
struct RoadReference {
    picture: Arc<GrayPyramid>,
    pose: Isometry3<f64>,
    time_s: f64,
}

/// Positions of the time since when nothing has moved.
struct Rest {
    pose: Isometry3<f64>,
    positions: Vec<(u64, Point2<f32>)>,
}

pub(super) struct Last {
    pub picture: Arc<GrayPyramid>,
    pub pose: Isometry3<f64>,
    time_s: f64,
    /// (shift, turn) a second in the camera frame; `None` when nothing is known of it.
    velocity: Option<Vector6<f64>>,
    covariance: Matrix6<f64>,
}

/// Visual odometry; see the [module's documentation](self).
#[derive(Default)]
pub(crate) struct Odometry {
    pub(super) map: Map,
    last: Option<Last>,
    rest: Option<Rest>,
    /// Pictures that the road is looked for with, oldest first.
    road: VecDeque<RoadReference>,
    /// Times in a row that no road was found.
    road_failures: u32,
    /// Pictures in which the first motion is still looked for.
    first_tries: u32,
    lens: Option<(Intrinsics, u32, Arc<Lens>)>,
    lost_since_s: Option<f64>,
    /// Landmarks that agreed when the last keyframe was made, and frames since.
    keyframe_inliers: usize,
    since_keyframe: usize,
    depth_log_bias: f64,
    spare: Option<GrayPyramid>,
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
        self.road.clear();
        self.lost_since_s = None;
        self.depth_log_bias = 0.0;
    }

    /// Whether a keyframe was made in the last frame and the window is full.
    pub fn window_is_new(&self) -> bool {
        self.since_keyframe == 0 && self.map.keyframes.len() >= WINDOW && self.lost_since_s.is_none()
    }

    /// How well the window fits when it is read with a focal length of e^-`step`, 1 and e^`step` times the one used;
    /// `None` when it cannot be adjusted.
    pub fn costs_by_focal(&self, step: f64) -> Option<[f64; 3]> {
        let cost = |log: f64| {
            let mut map = self.map.clone();
            map.refocus(log.exp());
            adjust(&mut map, 8)
        };
        Some([cost(-step)?, cost(0.0)?, cost(step)?])
    }

    /// The pose of the last frame that was recognised.
    pub fn pose(&self) -> Option<Isometry3<f64>> {
        self.last
            .as_ref()
            .filter(|_| self.lost_since_s.is_none())
            .map(|last| last.pose)
    }

    /// Goes on with a focal length `factor` times the one before.
    pub fn refocus(&mut self, factor: f64) {
        self.map.refocus(factor);
        if adjust(&mut self.map, 10).is_some()
            && let (Some(last), Some(newest)) = (&mut self.last, self.map.keyframes.last())
            && self.since_keyframe == 0
        {
            last.pose = newest.map_from_camera;
        }
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
            None => self.begin(
                input,
                &lens,
                &excluded,
                &picture,
                Isometry3::identity(),
                Continuity::Kept,
            ),
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
        self.road.clear();
        self.first_tries = FIRST_TRIES;
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
            road: None,
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
        let mut expected = expect(&last, input.motion.as_ref(), dt);
        let mut result = None;
        let mut first = None;
        if picture.contrast() >= MIN_CONTRAST {
            let mut guesses = vec![expected.map_from_camera];
            if self.first_tries > 0 && input.motion.is_none() {
                self.first_tries -= 1;
                first = self.first_motion(input, lens, excluded, picture, &last, &expected);
                if let Some((shift, _)) = first {
                    self.first_tries = 0;
                    let ahead = moved(&last.pose, &Vector6::new(0.0, 0.0, shift, 0.0, 0.0, 0.0));
                    expected.map_from_camera.translation = ahead.translation;
                    // In the landmarks' units, which are the network's.
                    expected.position_sigma = 0.3 * shift + 0.1;
                    guesses.push(expected.map_from_camera);
                }
            }
            if last.velocity.is_none() && input.motion.is_none() {
                guesses.extend(START_SPEEDS.map(|speed| {
                    let ahead = Vector6::new(0.0, 0.0, speed * dt, 0.0, 0.0, 0.0);
                    moved(&last.pose, &ahead)
                }));
            }
            let found = self.follow(lens, excluded, picture, &last, &guesses);
            guesses.push(last.pose);
            result = self.locate(lens, excluded, picture, found, &guesses, &expected);
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
        let road = if still {
            None
        } else {
            self.find_road(input, lens, excluded, picture, &last, &pose)
                .or_else(|| first.and_then(|(shift, prior)| first_road(shift, &prior, &last.pose, &pose)))
        };
        let velocity = if still {
            Vector6::zeros()
        } else {
            difference(&last.pose, &pose) / dt
        };
        let depth_log_ratio = input
            .depth
            .and_then(|depth| self.depth_log_ratio(depth, lens, &found, &solved, &pose));
        if let Some(bias) = input.depth_log_bias.or(depth_log_ratio.map(|(ratio, _)| ratio)) {
            self.depth_log_bias = bias;
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
            road,
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
        self.road.clear();
        let seen = picture.contrast() >= MIN_CONTRAST;
        let alike = coarse_correlation(&last.picture, picture);
        if seen && alike < CUT_CORRELATION && input.time_s - last.time_s < GIVE_UP_S {
            return self.begin(input, lens, excluded, picture, Isometry3::identity(), Continuity::Cut);
        }
        if seen && input.time_s - since >= GIVE_UP_S {
            return self.begin(
                input,
                lens,
                excluded,
                picture,
                expected.map_from_camera,
                Continuity::Restarted,
            );
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
            road: None,
        }
    }

    /// What is expected of the road in a camera that was turned like this in the last frame and is turned like that now.
    fn road_prior(&self, ground: &GroundPrior, then: &Isometry3<f64>, now: &Isometry3<f64>) -> RoadPrior {
        RoadPrior {
            down_in_camera: now.rotation.inverse() * (then.rotation * ground.down_in_camera),
            height: ground.height,
            height_sigma: if self.road_failures >= ROAD_FAILURES {
                UNKNOWN_HEIGHT
            } else {
                ground.height_sigma
            },
            tilt_sigma_rad: ground.tilt_sigma_rad.min(MAX_ROAD_TILT),
        }
    }

    /// How far the camera has moved along the road, when nothing is known of its motion, and the road as it was expected.
    fn first_motion(
        &self,
        input: &Input<'_>,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &GrayPyramid,
        last: &Last,
        expected: &Expected,
    ) -> Option<(f64, RoadPrior)> {
        let prior = self.road_prior(&input.ground?, &last.pose, &expected.map_from_camera);
        let turn = last.pose.rotation.inverse() * expected.map_from_camera.rotation;
        let shift = road::find_shift(picture, &last.picture, lens, &turn, &prior, excluded)?;
        Some((shift, prior))
    }

    /// The road, by the latest of the pictures kept that was taken from far enough away.
    fn find_road(
        &mut self,
        input: &Input<'_>,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &Arc<GrayPyramid>,
        last: &Last,
        pose: &Isometry3<f64>,
    ) -> Option<GroundPlane> {
        let ground = input.ground?;
        let prior = self.road_prior(&ground, &last.pose, pose);
        let far = |reference: &RoadReference| {
            (reference.pose.translation.vector - pose.translation.vector).norm() >= ROAD_BASELINE * ground.height
        };
        let reference = self.road.iter().rev().find(|reference| far(reference));
        let found = reference.and_then(|reference| {
            let other_from_here = reference.pose.inv_mul(pose);
            (other_from_here.rotation.angle() < MAX_ROAD_TURN)
                .then(|| road::find(picture, &reference.picture, lens, &other_from_here, &prior, excluded))
        });
        if let Some(found) = &found {
            self.road_failures = if found.is_some() { 0 } else { self.road_failures + 1 };
            if found.is_some() {
                self.first_tries = 0;
            }
        }
        while self.road.len() >= ROAD_PICTURES
            || self
                .road
                .front()
                .is_some_and(|first| input.time_s - first.time_s > ROAD_AGE_S)
            || self.road.get(1).is_some_and(far)
        {
            if let Some(before) = self.road.pop_front() {
                self.release(before.picture);
            }
        }
        self.road.push_back(RoadReference {
            picture: picture.clone(),
            pose: *pose,
            time_s: input.time_s,
        });
        found.flatten()
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
    pub(super) fn locate(
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
            let Some(landmark) = self.map.landmarks.get_mut(found.landmark) else {
                continue;
            };
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
        // The oldest remember the map's scale best: those that came later took theirs from the network through them.
        let mut inliers = pick(found, &solved.inliers);
        inliers.sort_unstable_by_key(|found| found.landmark);
        let mut ratios: Vec<f64> = inliers
            .iter()
            .filter_map(|found| {
                let landmark = self.map.landmarks.get(found.landmark)?;
                if landmark.inverse_depth_sigma > 0.3 * landmark.inverse_depth {
                    return None;
                }
                let q = self.map.in_camera(landmark, pose)?;
                let (depth_m, sigma) = surface(depth, lens, &found.position)?;
                if sigma > MOST_DEPTH_SIGMA * f64::from(depth.relative_sigma) {
                    return None;
                }
                Some((depth_m * landmark.inverse_depth / q.z).ln())
            })
            .take(SCALE_LANDMARKS)
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
        let Some(newest) = self.map.keyframes.last() else {
            return true;
        };
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
        let bias = if input.depth.is_some() {
            self.depth_log_bias
        } else {
            0.0
        };
        let id = self.map.add_keyframe(picture.clone(), *pose, bias);
        let mut grid = Grid::new(picture.width(), picture.height(), FEATURES);
        let mut observations = Vec::with_capacity(FEATURES + 32);
        let log_depth = |position: &Point2<f32>| {
            let (depth_m, sigma) = surface(input.depth?, lens, position)?;
            Some((depth_m.ln(), LASTING * sigma))
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
                    .and_then(|ground| match input.depth {
                        None => ground.inverse_depth(&ray),
                        // Where a depth network sees nothing above the horizon there is sky, as a rule.
                        Some(_) => (ground.down_in_camera.dot(&ray) < 0.0).then_some((0.1 * vague, vague)),
                    })
                    .unwrap_or((vague, vague)),
            };
            let landmark = self.map.add_landmark(id, corner, ray, inverse_depth);
            observations.push(Observed {
                landmark,
                seen: ray.xy(),
                sigma: ANCHOR_SIGMA_PX / lens.focal,
                log_depth: match measured {
                    Some((depth_m, sigma)) => Some((depth_m.ln(), LASTING * sigma)),
                    // What is expected of the depth is no better than a measurement of it.
                    None => Some((
                        -inverse_depth.0.ln() + bias,
                        (inverse_depth.1 / inverse_depth.0).max(0.2),
                    )),
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
}

/// The road by the first motion along it: that motion, as the landmarks see it, tells the height in their units.
fn first_road(shift: f64, prior: &RoadPrior, last: &Isometry3<f64>, now: &Isometry3<f64>) -> Option<GroundPlane> {
    let step = (now.translation.vector - last.translation.vector).norm();
    let far = shift >= LEAST_FIRST_SHIFT * prior.height && step > 0.1 * shift;
    far.then(|| GroundPlane {
        down_in_camera: Unit::new_normalize(prior.down_in_camera),
        height: prior.height * step / shift,
        height_sigma: FIRST_SIGMA,
    })
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
    let (step, position_sigma, rotation_sigma) = match &last.velocity {
        Some(velocity) => {
            let certain = 0.5 * dt * dt;
            (velocity * trusted, ACCELERATION * certain, TURN_ACCELERATION * certain)
        }
        None => (Vector6::zeros(), UNKNOWN_SPEED * dt, TURN_ACCELERATION * dt),
    };
    Expected {
        map_from_camera: moved(&last.pose, &step),
        position_sigma: position_sigma + 0.01,
        rotation_sigma: rotation_sigma + 0.01,
    }
}

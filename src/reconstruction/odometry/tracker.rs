//! Visual odometry: one picture after another to a camera pose in the odometry's own map.
//!
//! Each frame: landmarks are followed from the last picture; the pose follows from where they are seen; each is then
//! looked for again with its own patch from the keyframe it is anchored in, warped to the pose, so that positions do not
//! creep; and the pose is solved anew. When too little of the picture is covered a keyframe is made and the window
//! adjusted. Future frames are never used.

use std::sync::Arc;

use nalgebra::{Isometry3, Matrix6, Vector2, Vector3, Vector6};

use super::adjust::adjust;
use super::driving::{Moment, RoadWatch};
use super::gray::GrayPyramid;
use super::lens::{Excluded, GroundPrior, Lens, MovableRegion};
use super::locate::{pick, weigh};
use super::map::{Map, WINDOW};
use super::pose::{Expected, Solved, difference, moved};
use super::search::{Found, coarse_correlation};
use super::standstill::{Now, Stand, Standstill};
use crate::camera::Intrinsics;
use crate::frame::Picture;
use crate::perception::DepthMap;
use crate::reconstruction::ground::GroundPlane;

/// Landmarks aimed at in one picture.
pub(super) const FEATURES: usize = 220;
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
/// A camera that the road says moves faster than this does not stand still, metres per second.
const MOVING_MPS: f64 = 0.7;

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
    /// The pose was taken from the road under the camera at the height that was expected of it.
    pub follows_road: bool,
    /// The road does not yet say how fast the camera is, and the landmarks may be wrong.
    pub undecided: bool,
}

pub(super) struct Last {
    pub picture: Arc<GrayPyramid>,
    pub pose: Isometry3<f64>,
    pub time_s: f64,
    /// (shift, turn) a second in the camera frame; `None` when nothing is known of it.
    pub velocity: Option<Vector6<f64>>,
    covariance: Matrix6<f64>,
}

/// Visual odometry; see the [module's documentation](self).
#[derive(Default)]
pub(crate) struct Odometry {
    pub(super) map: Map,
    last: Option<Last>,
    standstill: Standstill,
    /// What the road tells.
    road: RoadWatch,
    lens: Option<(Intrinsics, u32, Arc<Lens>)>,
    lost_since_s: Option<f64>,
    /// Landmarks that agreed when the last keyframe was made, and frames since.
    pub(super) keyframe_inliers: usize,
    pub(super) since_keyframe: usize,
    pub(super) depth_log_bias: f64,
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
        self.standstill = Standstill::default();
        self.road = RoadWatch::default();
        self.lost_since_s = None;
        self.depth_log_bias = 0.0;
    }

    /// Whether a keyframe was made in the last frame and the window is full.
    pub fn window_is_new(&self) -> bool {
        self.since_keyframe == 0 && self.map.keyframes.len() >= WINDOW && self.lost_since_s.is_none()
    }

    /// How far the camera turns within the window, radians.
    pub fn window_turn(&self) -> f64 {
        match &self.map.keyframes[self.map.window_start()..] {
            [first, .., last] => first.map_from_camera.rotation.angle_to(&last.map_from_camera.rotation),
            _ => 0.0,
        }
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
        self.standstill = Standstill::default();
        self.road.clear();
        if continuity == Continuity::Cut {
            self.road = RoadWatch::default();
        }
        self.depth_log_bias = 0.0;
        let lost = picture.contrast() < MIN_CONTRAST;
        if !lost {
            self.lost_since_s = None;
            self.add_keyframe(input, lens, excluded, picture, &pose, &[]);
            self.road.keep(input, picture, &pose);
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
            follows_road: false,
            undecided: false,
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
        let mut road = None;
        let mut follows_road = false;
        if picture.contrast() >= MIN_CONTRAST {
            let mut guesses = vec![expected.map_from_camera];
            if last.velocity.is_none() && input.motion.is_none() {
                guesses.extend(START_SPEEDS.map(|speed| {
                    let ahead = Vector6::new(0.0, 0.0, speed * dt, 0.0, 0.0, 0.0);
                    moved(&last.pose, &ahead)
                }));
            }
            let found = self.follow(lens, excluded, picture, &last, &guesses);
            guesses.push(last.pose);
            let turned = input
                .ground
                .and_then(|ground| self.turn(lens, &last, &found, &ground, &expected));
            result = self.locate(lens, excluded, picture, found, &guesses, &expected);
            if result.is_none() {
                result = self.relocalise(lens, excluded, picture, &last);
            }
            let rough = result
                .as_ref()
                .map_or(expected.map_from_camera, |(solved, _)| solved.map_from_camera);
            let moment = Moment {
                input,
                lens,
                excluded,
                picture,
                last: &last,
            };
            let known = result.is_some() || coarse_correlation(&last.picture, picture) >= CUT_CORRELATION;
            road = self.road.motion(&moment, &rough, turned).filter(|_| known);
            if let Some(told) = road
                && let Some(target) = weigh(&told, result.as_ref().map(|(solved, _)| solved), &last, &expected)
            {
                follows_road = true;
                result = self.follow_road(lens, excluded, picture, &last, &target);
            }
        }
        let Some((solved, found)) = result else {
            return self.lose(input, lens, excluded, picture, last, &expected);
        };
        self.lost_since_s = None;
        let mut pose = solved.map_from_camera;
        let stand = if road.is_some_and(|road| road.speed_mps >= MOVING_MPS) {
            // What was seen before says nothing of where the camera is by now.
            self.standstill = Standstill::default();
            Stand::Moves
        } else {
            let now = Now {
                map: &self.map,
                lens,
                found: &found,
                solved: &solved,
                last: &last,
                time_s: input.time_s,
            };
            self.standstill.test(&now, &mut pose)
        };
        self.note(&found, &solved);
        let plane = if stand != Stand::Moves {
            None
        } else {
            let moment = Moment {
                input,
                lens,
                excluded,
                picture,
                last: &last,
            };
            self.road.find_plane(&moment, &pose, follows_road)
        };
        for old in self.road.keep(input, picture, &pose) {
            self.release(old);
        }
        let velocity = if stand == Stand::Rests {
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
        if self.keyframe_due(lens, &found, &solved, stand == Stand::Rests) {
            let mut inliers: Vec<Found> = pick(&found, &solved.inliers);
            if road.is_some() {
                // What lies on an edge was followed from where the road puts it, and is held there along the edge too.
                inliers.iter_mut().for_each(|found| found.weak_px = Vector2::zeros());
            }
            let id = self.add_keyframe(input, lens, excluded, picture, &pose, &inliers);
            if let Some(ground) = input.ground.filter(|_| road.is_some()) {
                self.map.hold_newest(ground.height);
            } else if stand == Stand::Turns {
                self.map.hold_newest(1.0);
            }
            adjust(&mut self.map, 4);
            if let Some(keyframe) = self.map.keyframe(id) {
                pose = keyframe.map_from_camera;
            }
            self.standstill.shift_to(&pose, stand);
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
            still: stand != Stand::Moves,
            lost: false,
            continuity: Continuity::Kept,
            depth_log_ratio,
            road: plane,
            follows_road,
            undecided: self.road.is_undecided(),
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
        self.standstill.lose();
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
            follows_road: false,
            undecided: false,
        }
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
}

/// Where the camera should be now: told from outside, else at constant velocity.
fn expect(last: &Last, told: Option<&(Isometry3<f64>, f64, f64)>, dt: f64) -> Expected {
    if let Some((motion, position_sigma, rotation_sigma)) = told {
        return Expected {
            map_from_camera: last.pose * motion,
            position_sigma: *position_sigma,
            rotation_sigma: *rotation_sigma,
            firm: false,
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
        firm: false,
    }
}

//! Visual odometry: one picture after another to a camera pose in the odometry's own map.
//!
//! Each frame: landmarks are followed from the last picture; the pose follows from where they are seen; each is then
//! looked for again with its own patch from the keyframe it is anchored in, warped to the pose, so that positions do not
//! creep; and the pose is solved anew. When too little of the picture is covered a keyframe is made and the window
//! adjusted. Future frames are never used.

use std::sync::Arc;

use nalgebra::{Isometry3, Matrix6, Point2, Vector3, Vector6};

use super::adjust::adjust;
use super::corners::{self, Grid};
use super::gray::GrayPyramid;
use super::lens::{Excluded, GroundPrior, Lens, MovableRegion};
use super::map::{Map, Observed, WINDOW};
use super::pose::{self, Expected, Sighting, Solved, difference, moved};
use super::search::{Found, coarse_correlation};
use super::surface::surface;
use crate::camera::Intrinsics;
use crate::frame::Picture;
use crate::perception::DepthMap;

/// Landmarks aimed at in one picture.
pub(super) const FEATURES: usize = 220;
/// Landmarks, the oldest in view, that the network's scale is compared with.
const SCALE_LANDMARKS: usize = 80;
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
/// Time after which a lost map is given up, seconds.
const GIVE_UP_S: f64 = 0.7;
/// Correlation of coarse pictures below which the scene is another.
pub(super) const CUT_CORRELATION: f32 = 0.4;
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
            result = self.locate(
                lens,
                excluded,
                picture,
                found,
                &[expected.map_from_camera, last.pose],
                &expected,
            );
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
        let velocity = if still {
            Vector6::zeros()
        } else {
            difference(&last.pose, &pose) / dt
        };
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
        }
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
                let (depth_m, _) = surface(depth, lens, &found.position)?;
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

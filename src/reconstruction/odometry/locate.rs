//! Where the camera is: the pose from landmarks, how it has turned by what is far away, and what road and landmarks say
//! together.

use nalgebra::{Isometry3, Matrix6, UnitQuaternion, Vector2, Vector3};

use super::driving::RoadMotion;
use super::gray::GrayPyramid;
use super::lens::{Excluded, GroundPrior, Lens};
use super::pose::{self, Expected, Far, Sighting, Solved};
use super::search::Found;
use super::tracker::{Last, Odometry};

/// Fewer landmarks that agree than this, or a smaller share, and the pose is lost.
pub(super) const MIN_INLIERS: usize = 10;
const MIN_INLIER_SHARE: f64 = 0.25;
/// Slope of a ray against the horizon, downward, up to which it counts as above.
const ABOVE_HORIZON: f64 = 0.01;
/// The road overrules the landmarks where they differ by more than this share of the motion.
const MAX_DISAGREEMENT: f64 = 0.2;
/// Landmarks are wrong together, and many lie where their depth hardly shows: they count for so much less.
const LANDMARK_DOUBT: f64 = 5.0;

impl Odometry {
    /// How the camera has turned (last from now), by what is above the horizon: most of it is far away, and what is near lies
    /// on all sides.
    pub(super) fn turn(
        &self,
        lens: &Lens,
        last: &Last,
        found: &[Found],
        ground: &GroundPrior,
        expected: &Expected,
    ) -> Option<UnitQuaternion<f64>> {
        let pairs: Vec<Far> = found
            .iter()
            .filter_map(|found| {
                let before = lens.ray(&self.map.landmarks.get(found.landmark)?.position?)?;
                let now = Vector3::new(found.seen.x, found.seen.y, 1.0);
                // Most of what is up there are upright edges, which would leave the pitch to little else.
                let weak = Vector2::zeros();
                (ground.down_in_camera.dot(&before) < ABOVE_HORIZON).then_some(Far { before, now, weak })
            })
            .collect();
        pose::turn(
            &pairs,
            &(last.pose.rotation.inverse() * expected.map_from_camera.rotation),
            1.0 / lens.focal,
        )
    }

    /// The pose where the road says the camera is; landmarks tell the rest.
    pub(super) fn follow_road(
        &mut self,
        lens: &Lens,
        excluded: &Excluded<'_>,
        picture: &GrayPyramid,
        last: &Last,
        told: &RoadMotion,
    ) -> Option<(Solved, Vec<Found>)> {
        let expected = Expected {
            map_from_camera: told.map_from_camera,
            position_sigma: 0.1 * told.sigma,
            rotation_sigma: 0.003,
            firm: true,
        };
        let found = self.follow(lens, excluded, picture, last, &[told.map_from_camera]);
        let count = found.len();
        self.locate(
            lens,
            excluded,
            picture,
            found.clone(),
            &[told.map_from_camera],
            &expected,
        )
        .or_else(|| {
            let mut covariance = Matrix6::identity() * expected.rotation_sigma.powi(2);
            covariance
                .fixed_view_mut::<3, 3>(0, 0)
                .fill_diagonal(told.sigma.powi(2));
            let solved = Solved {
                map_from_camera: told.map_from_camera,
                covariance,
                inliers: vec![false; count],
                inlier_count: 0,
            };
            Some((solved, found))
        })
    }

    fn sightings(&self, lens: &Lens, found: &[Found]) -> Vec<Sighting> {
        found
            .iter()
            .filter_map(|found| {
                let landmark = self.map.landmarks.get(found.landmark)?;
                self.map.sighting(
                    landmark,
                    found.seen,
                    found.sigma_px / lens.focal,
                    found.weak_px / lens.focal,
                )
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
}

/// Where road and landmarks together put the camera; `None` when that is where the landmarks do.
pub(super) fn weigh(
    told: &RoadMotion,
    solved: Option<&Solved>,
    last: &Last,
    expected: &Expected,
) -> Option<RoadMotion> {
    let Some(solved) = solved else { return Some(*told) };
    let along = |pose: &Isometry3<f64>| (pose.translation.vector - last.pose.translation.vector).dot(&told.way);
    let (road, landmarks) = (along(&told.map_from_camera), along(&solved.map_from_camera));
    let off = road - landmarks;
    let sigma = LANDMARK_DOUBT * landmarks_sigma(solved, expected, &told.way);
    if off.abs() > (MAX_DISAGREEMENT * road.abs()).max(3.0 * told.sigma) {
        return Some(*told);
    }
    let weight = if sigma.is_finite() {
        sigma.powi(2) / (sigma.powi(2) + told.sigma.powi(2))
    } else {
        1.0
    };
    if (weight * off).abs() < 0.2 * told.sigma {
        return None;
    }
    let mut target = *told;
    target.map_from_camera = Isometry3::from_parts(
        (solved.map_from_camera.translation.vector + told.way * (weight * off)).into(),
        solved.map_from_camera.rotation,
    );
    Some(target)
}

/// Standard deviation of the position along a way by what is seen alone, without what was expected.
fn landmarks_sigma(solved: &Solved, expected: &Expected, way: &Vector3<f64>) -> f64 {
    let Some(mut information) = solved.covariance.try_inverse() else {
        return f64::INFINITY;
    };
    for axis in 0..6 {
        let sigma = if axis < 3 {
            expected.position_sigma
        } else {
            expected.rotation_sigma
        };
        information[(axis, axis)] -= sigma.powi(-2);
        // What is left of it may be nothing.
        information[(axis, axis)] += 1e-6;
    }
    let way = solved.map_from_camera.rotation.inverse() * way;
    let variance = information.try_inverse().map_or(f64::INFINITY, |covariance| {
        way.dot(&(covariance.fixed_view::<3, 3>(0, 0) * way))
    });
    if variance > 0.0 { variance.sqrt() } else { f64::INFINITY }
}

pub(super) fn pick(found: &[Found], inliers: &[bool]) -> Vec<Found> {
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

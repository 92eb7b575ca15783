//! Lifting: from a tracked box to a direction and distances in metres.
//!
//! Three cues for the distance, each with what of its error is new in every frame and what stays:
//!
//! - **size**: the cuboid of the class fitted to the box ([`super::cuboid`]);
//! - **ground**: the lower edge's ray meets the ground plane. With the camera H over the ground, at a distance g, an error
//!   of δ in the ray's angle moves the contact by δ (g² + H²) / H: poor where the ray grazes the ground;
//! - **depth**: the visible surface in the depth map, and half the object's extent behind it.
//!
//! What the picture's edge cuts off is not used: no size from a box cut above or below, no ground contact from one cut
//! below. Where the ground is known, the edges that are left tell where the whole object stands ([`super::completion`]).

use std::sync::Arc;

use nalgebra::{Point2, Point3, Unit, Vector3};

use super::completion::{Completion, CutBox};
use super::cuboid::{BoxFacts, BoxNoise, CuboidFit, CutEdges, Eye, Ground, Heading};
use super::observation::{CueKind, Observation, RangeCue};
use super::priors::{ClassPrior, ClassPriors};
use super::surface::surface_depth_m;
use super::view::{PoseSource, View};
use crate::camera::{IntrinsicsSource, MountingSource};
use crate::detection::{BoundingBox, ClassLabel, Mask};
use crate::kinematics::{Reliability, UnreliableReason};
use crate::tracking::Track;

/// Standard deviation of a box's edge: this share of the box's size …
const EDGE_NOISE: f64 = 0.03;
/// … and this many pixels.
const EDGE_NOISE_PX: f64 = 1.0;
/// A box that something nearer overlaps is partly a guess: this share of the box's size is added to its edges' noise, and this
/// much more a share of it that is overlapped. Measured on the default detector in simulated squares.
const GUESSED_DOWN: (f64, f64) = (0.08, 0.08);
const GUESSED_ACROSS: (f64, f64) = (0.02, 0.04);
/// A ground contact that is less certain than this (relative) says nothing.
const MAX_GROUND_SIGMA: f64 = 0.5;
/// A depth map that is less certain than this (relative) says nothing.
const MAX_DEPTH_SIGMA: f64 = 0.5;
/// Relative standard deviation that an unknown tilt gives a distance by size, at most.
const MAX_TILT_SIGMA: f64 = 0.5;
/// A metric scale that is less certain than this (standard deviation of its logarithm) makes states unreliable.
const MAX_SCALE_SIGMA: f64 = 0.2;
/// What is assumed of the extent of an object whose class has no prior, metres along the line of sight: half of it, and
/// its standard deviation.
const UNKNOWN_HALF_DEPTH_M: (f64, f64) = (0.5, 0.5);

/// A track's place, as far as one frame tells.
#[derive(Clone, Copy, Debug)]
pub struct Lifted {
    /// Direction and distances; `None` when the box has no direction.
    pub observation: Option<Observation>,
    /// Whether it is to be trusted.
    pub reliability: Reliability,
}

/// What is seen of an object in one picture.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its box, pixels.
    pub bbox: BoundingBox,
    /// Its class.
    pub class: ClassLabel,
    /// Its mask, where the detector gives one.
    pub mask: Option<&'a Mask>,
    /// Which way it lies, where its movement has told.
    pub heading: Option<Heading>,
    /// Share of its box that the box of something nearer overlaps, 0 to 1.
    pub covered: f64,
}

impl Seen<'_> {
    /// A box of a class, and nothing else.
    pub fn boxed(bbox: BoundingBox, class: ClassLabel) -> Self {
        Self {
            bbox,
            class,
            mask: None,
            heading: None,
            covered: 0.0,
        }
    }
}

/// Lifts tracked boxes into the world.
#[derive(Clone, Debug)]
pub struct Lifter {
    priors: Arc<ClassPriors>,
}

impl Lifter {
    /// With the sizes of the classes.
    pub fn new(priors: Arc<ClassPriors>) -> Self {
        Self { priors }
    }

    /// Where a track of a `width`×`height` picture is. `heading` is which way it lies, where its movement has told,
    /// `covered` the share of its box that something nearer overlaps ([`Fronts`](crate::tracking::Fronts)).
    pub fn lift(
        &self,
        track: &Track,
        heading: Option<Heading>,
        covered: f64,
        view: &View,
        width: u32,
        height: u32,
    ) -> Lifted {
        let seen = Seen {
            bbox: track.bbox,
            class: track.class,
            mask: track.mask.as_deref(),
            heading,
            covered,
        };
        self.lift_box(&seen, view, width, height)
    }

    /// Where the object of a box in a `width`×`height` picture is.
    pub fn lift_box(&self, seen: &Seen<'_>, view: &View, width: u32, height: u32) -> Lifted {
        let nowhere = Lifted {
            observation: None,
            reliability: Reliability::Unreliable(UnreliableReason::NoMetricCue),
        };
        if !seen.bbox.is_valid() || width == 0 || height == 0 {
            return nowhere;
        }
        let camera = &view.camera;
        let scaled;
        let intrinsics = if (camera.intrinsics.width, camera.intrinsics.height) == (width, height) {
            &camera.intrinsics
        } else {
            scaled = camera.intrinsics.scaled_to(width, height);
            &scaled
        };
        let sight = Sight {
            seen,
            prior: self.priors.get(seen.class),
            cut: CutEdges::of(&seen.bbox, width, height),
            noise: EdgeNoise::of(&seen.bbox, seen.covered),
            eye: Eye {
                intrinsics,
                world_from_camera: &view.world_from_camera,
            },
            view,
            size: (width, height),
        };
        let Some(place) = sight.completed().or_else(|| sight.boxed()) else {
            return nowhere;
        };
        let mut observation = Observation {
            camera_in_world: Point3::from(view.world_from_camera.translation.vector),
            bearing_in_world: view.world_from_camera.rotation * place.bearing_in_camera,
            bearing_sigma_rad: place.bearing_sigma_rad,
            bearing_bias_rad: place.bearing_bias_rad,
            completed: place.completed,
            cues: place.cues,
            scale_sigma: view.relative_focal_sigma.hypot(place.tilt_scale_sigma),
            tilt_sigma_rad: match view.pose_source {
                PoseSource::Static => camera.tilt_sigma_rad(),
                // Measured frame by frame; its errors do not stay.
                PoseSource::Visual | PoseSource::External => 0.0,
            },
        };
        let disagree = observation.cues_disagree();
        if disagree {
            observation.widen_to_agree();
        }
        Lifted {
            observation: Some(observation),
            reliability: reliability(view, &observation, disagree, sight.cut),
        }
    }
}

/// A box, and what is known about it.
struct Sight<'a> {
    seen: &'a Seen<'a>,
    prior: Option<&'a ClassPrior>,
    cut: CutEdges,
    noise: EdgeNoise,
    eye: Eye<'a>,
    view: &'a View,
    /// Of the picture, pixels.
    size: (u32, u32),
}

/// Where its object is, in the camera frame.
struct Place {
    bearing_in_camera: Unit<Vector3<f64>>,
    bearing_sigma_rad: f64,
    bearing_bias_rad: f64,
    completed: bool,
    cues: [Option<RangeCue>; 3],
    tilt_scale_sigma: f64,
}

impl Sight<'_> {
    /// The whole of an object that the picture's edge cuts, set on the ground; `None` where it is not cut or cannot be.
    fn completed(&self) -> Option<Place> {
        let prior = self.prior.filter(|prior| self.cut.any() && prior.on_ground)?;
        let bbox = &self.seen.bbox;
        let cut_box = CutBox {
            bbox,
            cut: self.cut,
            prior,
            heading: self.seen.heading,
            ground_z_m: self.view.ground_z_in_world_m?,
            edge_px: [
                self.noise.across * f64::from(bbox.width()),
                self.noise.down * f64::from(bbox.height()),
            ],
        };
        let whole = cut_box.complete(&self.eye)?;
        // Past a camera that drives things turn too fast for an error to stay.
        let stays = self.view.pose_source == PoseSource::Static;
        let (bearing_sigma_rad, bearing_bias_rad) = match stays {
            true => (whole.bearing_sigma_rad, whole.bearing_bias_rad),
            false => (whole.bearing_sigma_rad.hypot(whole.bearing_bias_rad), 0.0),
        };
        let mut cues = [None; 3];
        cues[CueKind::Ground.index()] = completed_cue(&whole, &self.eye, self.view);
        Some(Place {
            bearing_in_camera: whole.bearing_in_camera,
            bearing_sigma_rad,
            bearing_bias_rad,
            completed: stays,
            cues,
            tilt_scale_sigma: tilt_scale_sigma(prior, prior.mean_half_extent_m(), self.view),
        })
    }

    /// What is seen of it, taken for the whole; `None` where the lens does not show its middle.
    fn boxed(&self) -> Option<Place> {
        let Self {
            seen,
            prior,
            cut,
            noise,
            eye,
            view,
            size,
        } = self;
        let bbox = &seen.bbox;
        let fit = prior.filter(|_| !cut.down()).and_then(|prior| {
            let facts = BoxFacts {
                width_is_whole: !cut.across(),
                noise: noise.relative(),
                ground: prior.on_ground.then(|| noise.ground(eye, view)).flatten(),
                heading: seen.heading,
            };
            eye.fit(bbox, prior, &facts)
        });
        let (x, y) = bbox.center();
        let center = eye
            .intrinsics
            .unproject(&Point2::new(f64::from(x), f64::from(y)))
            .ok()?;
        let mut bearing = fit.map_or(center, |fit| fit.bearing_in_camera);
        let mut cues = [None; 3];
        if let (Some(fit), Some(prior)) = (&fit, prior) {
            cues[CueKind::Size.index()] = Some(size_cue(fit, prior, noise));
        }
        if !cut.bottom
            && let Some((cue, toward)) = prior
                .filter(|prior| prior.on_ground)
                .and_then(|prior| ground_cue(bbox, prior, fit.as_ref(), noise, eye, view))
        {
            cues[CueKind::Ground.index()] = Some(cue);
            if fit.is_none() {
                bearing = toward;
            }
        }
        cues[CueKind::Depth.index()] = depth_cue(bbox, seen.mask, *prior, fit.as_ref(), &bearing, view, *size);
        let focal_px = eye.intrinsics.fx.min(eye.intrinsics.fy);
        let yaw_sigma_rad = fit.map_or(0.0, |fit| fit.bearing_sigma_rad);
        let mut bearing_sigma_rad = (noise.center_px / focal_px).hypot(yaw_sigma_rad);
        if cut.any() {
            // The centre of what is seen is not the object's: it may lie as far outside as the object is large.
            bearing_sigma_rad += 0.25 * f64::from(bbox.width().max(bbox.height())) / focal_px;
        }
        Some(Place {
            bearing_in_camera: bearing,
            bearing_sigma_rad,
            bearing_bias_rad: 0.0,
            completed: false,
            cues,
            tilt_scale_sigma: prior.map_or(0.0, |prior| {
                let half_depth_m = fit.map_or(prior.mean_half_extent_m(), |fit| fit.half_depth_m);
                tilt_scale_sigma(prior, half_depth_m, view)
            }),
        })
    }
}

/// Standard deviations of what a box is measured by: its centre in pixels, its height and width relative.
#[derive(Clone, Copy, Debug)]
struct EdgeNoise {
    center_px: f64,
    bottom_px: f64,
    across: f64,
    down: f64,
}

impl EdgeNoise {
    fn of(bbox: &BoundingBox, covered: f64) -> Self {
        let (wide, tall) = (f64::from(bbox.width()), f64::from(bbox.height()));
        let guessed = |(least, more): (f64, f64), size: f64| {
            if covered > 0.0 {
                (least + more * covered) * size
            } else {
                0.0
            }
        };
        let px = |size: f64| (EDGE_NOISE * size).hypot(EDGE_NOISE_PX);
        let down_px = px(tall).hypot(guessed(GUESSED_DOWN, tall));
        let across_px = px(wide).hypot(guessed(GUESSED_ACROSS, tall));
        Self {
            center_px: px(wide.max(tall)).hypot(guessed(GUESSED_ACROSS, tall)),
            bottom_px: down_px,
            across: across_px / wide,
            down: down_px / tall,
        }
    }

    fn relative(&self) -> BoxNoise {
        BoxNoise {
            across: self.across,
            down: self.down,
        }
    }

    /// The ground as this box's lower edge shows it.
    fn ground(&self, eye: &Eye, view: &View) -> Option<Ground> {
        Some(Ground {
            z_in_world_m: view.ground_z_in_world_m?,
            angle_sigma_rad: (self.bottom_px / eye.intrinsics.fy).hypot(view.camera.mounting_source.tilt_sigma_rad()),
            height_sigma: view.camera.mounting_source.relative_height_sigma(),
        })
    }
}

fn size_cue(fit: &CuboidFit, prior: &ClassPrior, noise: &EdgeNoise) -> RangeCue {
    let class = prior.height_sigma_m / prior.height_m;
    RangeCue {
        range_m: fit.range_m,
        noise: noise.down,
        bias: class.hypot(fit.yaw_sigma),
    }
}

/// What the camera's tilt leaves uncertain of a distance by size: a tilt that is wrong by δ mixes δ times the extent along
/// the line of sight into the height. It is the camera's error, the same in every frame and alike for all objects, so it
/// is one of scale: as an error of the object's own it would give a filter room to take a crossing car for a near one
/// that stands. A pose that is measured frame by frame has its own tilt, whose errors do not stay.
fn tilt_scale_sigma(prior: &ClassPrior, half_depth_m: f64, view: &View) -> f64 {
    match view.pose_source {
        PoseSource::Static => (view.camera.tilt_sigma_rad() * 2.0 * half_depth_m / prior.height_m).min(MAX_TILT_SIGMA),
        PoseSource::Visual | PoseSource::External => 0.0,
    }
}

/// A distance to where something stands on the ground, whose own relative errors are `noise` and `bias`: the mounting's
/// tilt and height add to what stays. `None` where it is too uncertain.
fn standing_cue(range_m: f64, lever: f64, noise: f64, bias: f64, view: &View) -> Option<RangeCue> {
    let mounting = view.camera.mounting_source;
    let cue = RangeCue {
        range_m,
        noise,
        bias: (lever * mounting.tilt_sigma_rad())
            .hypot(mounting.relative_height_sigma())
            .hypot(bias),
    };
    (cue.sigma() < MAX_GROUND_SIGMA).then_some(cue)
}

/// The distance by ground contact, and the direction to the object's centre in the camera frame.
fn ground_cue(
    bbox: &BoundingBox,
    prior: &ClassPrior,
    fit: Option<&CuboidFit>,
    noise: &EdgeNoise,
    eye: &Eye,
    view: &View,
) -> Option<(RangeCue, Unit<Vector3<f64>>)> {
    let ground_z_m = view.ground_z_in_world_m?;
    let (x, _) = bbox.center();
    let ray = eye
        .intrinsics
        .unproject(&Point2::new(f64::from(x), f64::from(bbox.y1)))
        .ok()?;
    let contact = crate::camera::ground_intersection(eye.world_from_camera, &ray, ground_z_m)?;
    let origin = eye.world_from_camera.translation.vector;
    let height_m = origin.z - ground_z_m;
    let level = Vector3::new(contact.x - origin.x, contact.y - origin.y, 0.0);
    let ground_m = level.norm();
    let away = level.try_normalize(1e-9).unwrap_or_else(Vector3::zeros);
    let [long, wide] = prior.lower_shares;
    let mean_reach_m = 0.25 * (prior.length_m * long + prior.width_m * wide);
    let center = contact + away * mean_reach_m + Vector3::z() * (0.5 * prior.height_m);
    let toward = center.coords - origin;
    let (range_m, yaw_sigma) = match fit.and_then(|fit| fit.standing) {
        Some(standing) => (standing.range_m, standing.yaw_sigma),
        None => {
            let yaw_m = 0.25
                * (prior.length_m - prior.width_m)
                    .abs()
                    .max(0.2 * prior.mean_half_extent_m());
            (toward.norm(), yaw_m / toward.norm())
        }
    };
    let lever = Ground::lever(height_m, ground_m, range_m);
    let noise = lever * noise.bottom_px / eye.intrinsics.fy;
    let cue = standing_cue(range_m, lever, noise, yaw_sigma, view)?;
    let toward = Unit::try_new(eye.world_from_camera.rotation.inverse() * toward, 1e-9)?;
    Some((cue, toward))
}

/// The distance of a cut object by its own edges and the ground.
fn completed_cue(whole: &Completion, eye: &Eye<'_>, view: &View) -> Option<RangeCue> {
    let height_m = eye.world_from_camera.translation.z - view.ground_z_in_world_m?;
    let level_m = (whole.range_m.powi(2) - height_m.powi(2)).max(0.0).sqrt();
    let lever = Ground::lever(height_m, level_m, whole.range_m);
    standing_cue(whole.range_m, lever, whole.noise, whole.bias, view)
}

fn depth_cue(
    bbox: &BoundingBox,
    mask: Option<&Mask>,
    prior: Option<&ClassPrior>,
    fit: Option<&CuboidFit>,
    bearing: &Unit<Vector3<f64>>,
    view: &View,
    (width, height): (u32, u32),
) -> Option<RangeCue> {
    let map = view.depth.as_deref()?;
    let noise = f64::from(map.relative_sigma);
    if !(noise > 0.0 && noise < MAX_DEPTH_SIGMA) || bearing.z <= 0.0 {
        return None;
    }
    let surface_m = surface_depth_m(map, bbox, mask, width, height)? / bearing.z;
    let (half_depth_m, half_depth_sigma_m) = match (fit, prior) {
        (Some(fit), _) => (fit.half_depth_m, fit.half_depth_sigma_m),
        (None, Some(prior)) => {
            let mean = prior.mean_half_extent_m();
            (mean, 0.5 * mean)
        }
        (None, None) => UNKNOWN_HALF_DEPTH_M,
    };
    let sight = view.world_from_camera.rotation * bearing.into_inner();
    let half_height_m = prior.map_or(half_depth_m, |prior| 0.5 * prior.height_m);
    let behind_m = half_depth_m * sight.xy().norm() + half_height_m * sight.z.abs();
    let range_m = surface_m + behind_m;
    Some(RangeCue {
        range_m,
        noise,
        bias: (half_depth_sigma_m / range_m).hypot(view.health.log_scale_sigma),
    })
}

fn reliability(view: &View, observation: &Observation, disagree: bool, cut: CutEdges) -> Reliability {
    let depth_expected = view.depth.is_some();
    let checks = [
        (view.health.lost, UnreliableReason::PoseLost),
        (observation.range().is_none(), UnreliableReason::NoMetricCue),
        (
            view.camera.intrinsics_source == IntrinsicsSource::AssumedFieldOfView,
            UnreliableReason::IntrinsicsAssumed,
        ),
        (
            view.camera.mounting_source == MountingSource::Assumed,
            UnreliableReason::MountingAssumed,
        ),
        (
            view.health.log_scale_sigma > MAX_SCALE_SIGMA,
            UnreliableReason::ScaleUncertain,
        ),
        (
            depth_expected
                && view
                    .depth
                    .as_ref()
                    .is_some_and(|map| f64::from(map.relative_sigma) >= MAX_DEPTH_SIGMA),
            UnreliableReason::DepthUnreliable,
        ),
        (disagree, UnreliableReason::CuesDisagree),
        (cut.any(), UnreliableReason::Truncated),
    ];
    checks
        .into_iter()
        .find(|(applies, _)| *applies)
        .map_or(Reliability::Reliable, |(_, reason)| Reliability::Unreliable(reason))
}

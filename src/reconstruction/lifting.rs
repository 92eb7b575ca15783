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
}

impl Seen<'_> {
    /// A box of a class, and nothing else.
    pub fn boxed(bbox: BoundingBox, class: ClassLabel) -> Self {
        Self {
            bbox,
            class,
            mask: None,
            heading: None,
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

    /// Where a track of a `width`×`height` picture is. `heading` is which way it lies, where its movement has told.
    pub fn lift(&self, track: &Track, heading: Option<Heading>, view: &View, width: u32, height: u32) -> Lifted {
        let seen = Seen {
            bbox: track.bbox,
            class: track.class,
            mask: track.mask.as_deref(),
            heading,
        };
        self.lift_box(&seen, view, width, height)
    }

    /// Where the object of a box in a `width`×`height` picture is.
    pub fn lift_box(&self, seen: &Seen<'_>, view: &View, width: u32, height: u32) -> Lifted {
        let Seen {
            bbox,
            class,
            mask,
            heading,
        } = seen;
        let (class, mask) = (*class, *mask);
        let nowhere = Lifted {
            observation: None,
            reliability: Reliability::Unreliable(UnreliableReason::NoMetricCue),
        };
        if !bbox.is_valid() || width == 0 || height == 0 {
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
        let eye = Eye {
            intrinsics,
            world_from_camera: &view.world_from_camera,
        };
        let cut = CutEdges::of(bbox, width, height);
        let prior = self.priors.get(class);
        let noise = EdgeNoise::of(bbox);
        let fit = prior.filter(|_| !cut.down()).and_then(|prior| {
            let ground = prior.on_ground.then(|| noise.ground(&eye, view)).flatten();
            let facts = BoxFacts {
                width_is_whole: !cut.across(),
                noise: noise.relative(),
                ground,
                heading: *heading,
            };
            eye.fit(bbox, prior, &facts)
        });

        let completion = prior
            .filter(|prior| cut.any() && prior.on_ground)
            .zip(view.ground_z_in_world_m)
            .and_then(|(prior, ground_z_m)| {
                let cut_box = CutBox {
                    bbox,
                    cut,
                    prior,
                    heading: *heading,
                    ground_z_m,
                    edge_px: [
                        noise.across * f64::from(bbox.width()),
                        noise.down * f64::from(bbox.height()),
                    ],
                };
                cut_box.complete(&eye)
            });

        let (x, y) = bbox.center();
        let Ok(center) = intrinsics.unproject(&Point2::new(f64::from(x), f64::from(y))) else {
            return nowhere;
        };
        let mut bearing = fit.map_or(center, |fit| fit.bearing_in_camera);
        let mut cues = [None; 3];
        let mut tilt_scale = 0.0;
        if let (Some(fit), Some(prior)) = (&fit, prior) {
            cues[CueKind::Size.index()] = Some(size_cue(fit, prior, &noise));
            if view.pose_source == PoseSource::Static {
                tilt_scale = size_scale_sigma(fit, prior, view);
            }
        }
        if !cut.bottom
            && let Some((cue, toward)) = prior
                .filter(|prior| prior.on_ground)
                .and_then(|prior| ground_cue(bbox, prior, fit.as_ref(), &noise, &eye, view))
        {
            cues[CueKind::Ground.index()] = Some(cue);
            if fit.is_none() {
                bearing = toward;
            }
        }
        cues[CueKind::Depth.index()] = depth_cue(bbox, mask, prior, fit.as_ref(), &bearing, view, (width, height));

        let yaw_sigma_rad = fit.map_or(0.0, |fit| fit.bearing_sigma_rad);
        let mut bearing_sigma_rad = (noise.center_px / intrinsics.fx.min(intrinsics.fy)).hypot(yaw_sigma_rad);
        if let Some(whole) = completion {
            bearing = whole.bearing_in_camera;
            bearing_sigma_rad = whole.bearing_sigma_rad;
            cues = [None; 3];
            cues[CueKind::Ground.index()] = completed_cue(&whole, &eye, view);
        } else if cut.any() {
            // The centre of what is seen is not the object's: it may lie as far outside as the object is large.
            bearing_sigma_rad += 0.25 * f64::from(bbox.width().max(bbox.height())) / intrinsics.fx.min(intrinsics.fy);
        }
        let mut observation = Observation {
            camera_in_world: Point3::from(view.world_from_camera.translation.vector),
            bearing_in_world: view.world_from_camera.rotation * bearing,
            bearing_sigma_rad,
            cues,
            scale_sigma: view.relative_focal_sigma.hypot(tilt_scale),
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
            reliability: reliability(view, &observation, disagree, cut),
        }
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
    fn of(bbox: &BoundingBox) -> Self {
        let (wide, tall) = (f64::from(bbox.width()), f64::from(bbox.height()));
        let px = |size: f64| (EDGE_NOISE * size).hypot(EDGE_NOISE_PX);
        Self {
            center_px: px(wide.max(tall)),
            bottom_px: px(tall),
            across: px(wide) / wide,
            down: px(tall) / tall,
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
fn size_scale_sigma(fit: &CuboidFit, prior: &ClassPrior, view: &View) -> f64 {
    let tilt = view.camera.tilt_sigma_rad() * 2.0 * fit.half_depth_m / prior.height_m;
    tilt.min(MAX_TILT_SIGMA)
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
    let mean_half_depth_m = 0.25 * (prior.length_m + prior.width_m);
    let [long, wide] = prior.lower_shares;
    let mean_reach_m = 0.25 * (prior.length_m * long + prior.width_m * wide);
    let center = contact + away * mean_reach_m + Vector3::z() * (0.5 * prior.height_m);
    let toward = center.coords - origin;
    let (range_m, yaw_sigma) = match fit.and_then(|fit| fit.standing) {
        Some(standing) => (standing.range_m, standing.yaw_sigma),
        None => {
            let yaw_m = 0.25 * (prior.length_m - prior.width_m).abs().max(0.2 * mean_half_depth_m);
            (toward.norm(), yaw_m / toward.norm())
        }
    };
    let lever = Ground::lever(height_m, ground_m, range_m);
    let tilt = view.camera.mounting_source.tilt_sigma_rad();
    let height = view.camera.mounting_source.relative_height_sigma();
    let cue = RangeCue {
        range_m,
        noise: lever * noise.bottom_px / eye.intrinsics.fy,
        bias: (lever * tilt).hypot(height).hypot(yaw_sigma),
    };
    let toward = Unit::try_new(eye.world_from_camera.rotation.inverse() * toward, 1e-9)?;
    (cue.sigma() < MAX_GROUND_SIGMA).then_some((cue, toward))
}

/// The distance of a cut object by its own edges and the ground.
fn completed_cue(whole: &Completion, eye: &Eye<'_>, view: &View) -> Option<RangeCue> {
    let height_m = eye.world_from_camera.translation.z - view.ground_z_in_world_m?;
    let level_m = (whole.range_m.powi(2) - height_m.powi(2)).max(0.0).sqrt();
    let lever = Ground::lever(height_m, level_m, whole.range_m);
    let tilt = lever * view.camera.mounting_source.tilt_sigma_rad();
    let cue = RangeCue {
        range_m: whole.range_m,
        noise: whole.noise,
        bias: whole
            .bias
            .hypot(tilt)
            .hypot(view.camera.mounting_source.relative_height_sigma()),
    };
    (cue.sigma() < MAX_GROUND_SIGMA).then_some(cue)
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
            let mean = 0.25 * (prior.length_m + prior.width_m);
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

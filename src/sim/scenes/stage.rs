//! The stage: what is built, painted and planted in a scene, laid out in the site's own frame and then set down where the
//! camera wants it.

use std::f64::consts::TAU;

use nalgebra::{Isometry2, Point2, Point3, Vector2, Vector3};

use super::draw::Draw;
use super::looks;
use crate::sim::actor::Actor;
use crate::sim::environment::{Environment, GroundPatch, Imaging, Light, Material, Prop};

/// A place in the ground plane, metres.
pub(super) type Spot = Point2<f64>;

/// Unit vector of a direction.
pub(super) fn along(yaw_rad: f64) -> Vector2<f64> {
    Vector2::new(yaw_rad.cos(), yaw_rad.sin())
}

/// The vector turned left by a quarter.
pub(super) fn left_of(vector: Vector2<f64>) -> Vector2<f64> {
    Vector2::new(-vector.y, vector.x)
}

/// The frame whose origin lies at a spot and whose x axis points along `yaw_rad`, as a map from the site to it.
pub(super) fn frame_at(spot: Spot, yaw_rad: f64) -> Isometry2<f64> {
    Isometry2::new(spot.coords, yaw_rad).inverse()
}

/// Maps an actor from the site to the world.
pub(super) fn place(actor: &mut Actor, world_from_site: &Isometry2<f64>) {
    let base = world_from_site * actor.base_in_world.xy();
    actor.base_in_world = Point3::new(base.x, base.y, actor.base_in_world.z);
    let velocity = world_from_site.rotation * actor.velocity_in_world_mps.xy();
    actor.velocity_in_world_mps = Vector3::new(velocity.x, velocity.y, actor.velocity_in_world_mps.z);
    actor.yaw_rad += world_from_site.rotation.angle();
}

/// A rectangle on the ground that something solid or standing fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Footprint {
    pub(super) center: Spot,
    pub(super) yaw_rad: f64,
    pub(super) half_length_m: f64,
    pub(super) half_width_m: f64,
}

impl Footprint {
    pub(super) fn new(center: Spot, yaw_rad: f64, length_m: f64, width_m: f64) -> Self {
        Self {
            center,
            yaw_rad,
            half_length_m: 0.5 * length_m,
            half_width_m: 0.5 * width_m,
        }
    }

    /// The footprint with a margin on all sides.
    pub(super) fn grown(self, margin_m: f64) -> Self {
        Self {
            half_length_m: self.half_length_m + margin_m,
            half_width_m: self.half_width_m + margin_m,
            ..self
        }
    }

    /// The point of the footprint that is nearest to a spot.
    pub(super) fn nearest(&self, spot: Spot) -> Spot {
        let axis = along(self.yaw_rad);
        let from_center = spot - self.center;
        let forward = from_center.dot(&axis).clamp(-self.half_length_m, self.half_length_m);
        let left = from_center
            .dot(&left_of(axis))
            .clamp(-self.half_width_m, self.half_width_m);
        self.center + axis * forward + left_of(axis) * left
    }

    /// From a spot to the nearest point of the footprint's edge if the spot lies inside.
    pub(super) fn way_out(&self, spot: Spot) -> Option<Vector2<f64>> {
        let (axis, left) = (along(self.yaw_rad), left_of(along(self.yaw_rad)));
        let from_center = spot - self.center;
        let (forward, aside) = (from_center.dot(&axis), from_center.dot(&left));
        let (ahead_m, beside_m) = (self.half_length_m - forward.abs(), self.half_width_m - aside.abs());
        (ahead_m >= 0.0 && beside_m >= 0.0).then(|| {
            if ahead_m < beside_m {
                axis * ahead_m.copysign(forward)
            } else {
                left * beside_m.copysign(aside)
            }
        })
    }

    /// Distance from a spot, zero inside, metres.
    pub(super) fn distance_m(&self, spot: Spot) -> f64 {
        (self.nearest(spot) - spot).norm()
    }

    /// Whether two footprints overlap (separating axes).
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let apart = other.center - self.center;
        let reach = self.half_length_m.hypot(self.half_width_m) + other.half_length_m.hypot(other.half_width_m);
        if apart.norm_squared() > reach * reach {
            return false;
        }
        let (own, its) = (along(self.yaw_rad), along(other.yaw_rad));
        [own, left_of(own), its, left_of(its)].iter().all(|axis| {
            let half = |of: &Self, forward: Vector2<f64>| {
                of.half_length_m * forward.dot(axis).abs() + of.half_width_m * left_of(forward).dot(axis).abs()
            };
            apart.dot(axis).abs() < half(self, own) + half(other, its)
        })
    }
}

/// What stands still, while it is being laid out in the site's frame.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) patches: Vec<GroundPatch>,
    pub(super) props: Vec<Prop>,
    /// What is solid near the ground.
    pub(super) solid: Vec<Footprint>,
}

impl Stage {
    /// Paints a convex polygon.
    pub(super) fn polygon(&mut self, polygon: Vec<Spot>, material: Material) {
        self.patches.push(GroundPatch { polygon, material });
    }

    /// Paints a rectangle.
    pub(super) fn rectangle(&mut self, center: Spot, length_m: f64, width_m: f64, yaw_rad: f64, material: Material) {
        let forward = along(yaw_rad) * (0.5 * length_m);
        let left = left_of(along(yaw_rad)) * (0.5 * width_m);
        self.polygon(
            vec![
                center - forward - left,
                center + forward - left,
                center + forward + left,
                center - forward + left,
            ],
            material,
        );
    }

    /// Paints a strip from one spot to another.
    pub(super) fn strip(&mut self, from: Spot, to: Spot, width_m: f64, material: Material) {
        let way = to - from;
        self.rectangle(
            nalgebra::center(&from, &to),
            way.norm(),
            width_m,
            way.y.atan2(way.x),
            material,
        );
    }

    /// Paints a broken line.
    pub(super) fn dashes(
        &mut self,
        from: Spot,
        to: Spot,
        width_m: f64,
        (dash_m, gap_m): (f64, f64),
        material: Material,
    ) {
        let length_m = (to - from).norm();
        let forward = (to - from) / length_m.max(1e-9);
        let mut start_m = 0.5 * gap_m;
        while start_m + dash_m < length_m {
            self.strip(
                from + forward * start_m,
                from + forward * (start_m + dash_m),
                width_m,
                material,
            );
            start_m += dash_m + gap_m;
        }
    }

    /// Paints a disc.
    pub(super) fn disc(&mut self, center: Spot, radius_m: f64, material: Material) {
        let polygon = (0..24).map(|index| center + along(TAU * f64::from(index) / 24.0) * radius_m);
        self.polygon(polygon.collect(), material);
    }

    /// Paints an arc as a chain of strips.
    pub(super) fn arc(
        &mut self,
        center: Spot,
        radius_m: f64,
        (from_rad, to_rad): (f64, f64),
        width_m: f64,
        material: Material,
    ) {
        let pieces = ((to_rad - from_rad).abs() / 0.2).ceil().max(1.0);
        let at = |piece: f64| center + along(from_rad + (to_rad - from_rad) * piece / pieces) * radius_m;
        for piece in 0..pieces as usize {
            self.strip(at(piece as f64), at(piece as f64 + 1.0), width_m, material);
        }
    }

    /// Builds a box.
    pub(super) fn cuboid(&mut self, footprint: Footprint, height_m: f64, sides: Material, top: Material) {
        self.props.push(Prop::Cuboid {
            base: Point3::new(footprint.center.x, footprint.center.y, 0.0),
            size: Vector3::new(2.0 * footprint.half_length_m, 2.0 * footprint.half_width_m, height_m),
            yaw_rad: footprint.yaw_rad,
            sides,
            top,
        });
        self.solid.push(footprint);
    }

    /// Builds a house.
    pub(super) fn house(&mut self, draw: &mut Draw, footprint: Footprint, height_m: f64) {
        let (sides, top) = (looks::wall(draw), looks::roof(draw));
        self.cuboid(footprint, height_m, sides, top);
    }

    /// Puts up a post.
    pub(super) fn post(&mut self, spot: Spot, radius_m: f64, height_m: f64, material: Material) {
        self.props.push(Prop::Cylinder {
            base: Point3::new(spot.x, spot.y, 0.0),
            radius_m,
            height_m,
            material,
        });
        self.solid
            .push(Footprint::new(spot, 0.0, 2.0 * radius_m, 2.0 * radius_m));
    }

    /// Plants a tree.
    pub(super) fn tree(&mut self, draw: &mut Draw, spot: Spot) {
        let height_m = draw.uniform(4.0..11.0);
        let trunk_m = height_m * draw.uniform(0.25..0.45);
        let crown_m = 0.5 * (height_m - trunk_m);
        let bark = looks::bark(draw);
        self.post(spot, draw.uniform(0.1..0.25), trunk_m + 0.3 * crown_m, bark);
        let radius_m = crown_m * draw.uniform(0.6..1.0);
        self.props.push(Prop::Ellipsoid {
            center: Point3::new(spot.x, spot.y, trunk_m + crown_m),
            radii: Vector3::new(radius_m, radius_m, crown_m),
            material: looks::leaves(draw),
        });
    }

    /// Plants a bush.
    pub(super) fn bush(&mut self, draw: &mut Draw, spot: Spot) {
        let radius_m = draw.uniform(0.4..1.0);
        let height_m = radius_m * draw.uniform(0.8..1.4);
        self.props.push(Prop::Ellipsoid {
            center: Point3::new(spot.x, spot.y, 0.4 * height_m),
            radii: Vector3::new(radius_m, radius_m, 0.6 * height_m),
            material: looks::leaves(draw),
        });
        self.solid
            .push(Footprint::new(spot, 0.0, 1.6 * radius_m, 1.6 * radius_m));
    }

    /// Sets a bench.
    pub(super) fn bench(&mut self, draw: &mut Draw, spot: Spot, yaw_rad: f64) {
        let boards = looks::boards(draw);
        let footprint = Footprint::new(spot, yaw_rad, draw.uniform(1.5..2.2), 0.5);
        self.cuboid(footprint, 0.45, boards, boards);
    }

    /// Whether a footprint keeps clear of all that is solid.
    pub(super) fn is_free(&self, footprint: &Footprint) -> bool {
        !self.solid.iter().any(|solid| solid.overlaps(footprint))
    }

    /// Sets the stage down in the world.
    pub(super) fn into_environment(
        self,
        draw: &mut Draw,
        base: Material,
        world_from_site: &Isometry2<f64>,
        light: Light,
        imaging: Imaging,
    ) -> Environment {
        let mut patches = self.patches;
        for corner in patches.iter_mut().flat_map(|patch| &mut patch.polygon) {
            *corner = world_from_site * *corner;
        }
        let lift = |spot: Spot, z: f64| {
            let spot = world_from_site * spot;
            Point3::new(spot.x, spot.y, z)
        };
        let mut props = self.props;
        for prop in &mut props {
            match prop {
                Prop::Cuboid { base, yaw_rad, .. } => {
                    *base = lift(base.xy(), base.z);
                    *yaw_rad += world_from_site.rotation.angle();
                }
                Prop::Cylinder { base, .. } => *base = lift(base.xy(), base.z),
                Prop::Ellipsoid { center, .. } => *center = lift(center.xy(), center.z),
            }
        }
        Environment {
            base,
            patches,
            props,
            light,
            imaging,
            texture_seed: draw.seed(),
        }
    }
}

//! Actors: the movable things of a world.

use nalgebra::{Point3, Vector3};

use crate::detection::ClassLabel;

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorClass {
    /// A passenger car, van or pick-up.
    Car,
    /// A lorry.
    Truck,
    /// A bus.
    Bus,
    /// A motorcycle with its rider.
    Motorcycle,
    /// A bicycle with its rider.
    Bicycle,
    /// A person on foot.
    Person,
    /// A ball.
    Ball,
}

impl ActorClass {
    /// All classes, in the order of the default detector's outputs.
    pub const ALL: [Self; 7] = [
        Self::Person,
        Self::Bicycle,
        Self::Car,
        Self::Motorcycle,
        Self::Bus,
        Self::Truck,
        Self::Ball,
    ];

    /// The class's name, as COCO has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Car => "car",
            Self::Truck => "truck",
            Self::Bus => "bus",
            Self::Motorcycle => "motorcycle",
            Self::Bicycle => "bicycle",
            Self::Person => "person",
            Self::Ball => "sports ball",
        }
    }

    /// The class's name as a detector's label.
    pub fn label(self) -> ClassLabel {
        ClassLabel::new(self.name())
    }
}

/// Extent of an actor: the box that holds all of it, the rider included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Along the heading, metres.
    pub length_m: f64,
    /// Across the heading, metres.
    pub width_m: f64,
    /// Upwards, metres.
    pub height_m: f64,
}

/// What moves on an actor beside its pose.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Articulation {
    /// Angle of the gait cycle (a full turn is two steps), of the pedals, or of a ball's roll, radians.
    pub phase_rad: f64,
    /// How far the limbs swing, 0 (standing) to 1 (sprinting).
    pub swing: f64,
    /// Lean about the heading, radians; positive leans right.
    pub lean_rad: f64,
    /// Whether the brake lights are lit.
    pub braking: bool,
}

/// One movable thing at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    /// Identity within the world, from 1; the value of its pixels in the instance mask.
    pub id: u16,
    /// What it is.
    pub class: ActorClass,
    /// Its extent.
    pub size: Size,
    /// Seed of its looks: shape variant, colours, clothes.
    pub look: u64,
    /// Centre of its underside in the world, metres. A ball in the air has its lowest point here.
    pub base_in_world: Point3<f64>,
    /// Heading about the world's up axis, radians, counter-clockwise from x.
    pub yaw_rad: f64,
    /// Velocity in the world, m/s.
    pub velocity_in_world_mps: Vector3<f64>,
    /// What moves on it.
    pub articulation: Articulation,
}

impl Actor {
    /// The centre of the box that holds it, in the world.
    pub fn center_in_world(&self) -> Point3<f64> {
        self.base_in_world + Vector3::new(0.0, 0.0, 0.5 * self.size.height_m)
    }

    /// The eight corners of the box that holds it, in the world.
    pub fn corners_in_world(&self) -> [Point3<f64>; 8] {
        let (sin, cos) = self.yaw_rad.sin_cos();
        let Size {
            length_m,
            width_m,
            height_m,
        } = self.size;
        std::array::from_fn(|corner| {
            let sign = |bit: usize| if corner >> bit & 1 == 1 { 0.5 } else { -0.5 };
            let (along, across) = (sign(0) * length_m, sign(1) * width_m);
            let up = if corner >> 2 & 1 == 1 { height_m } else { 0.0 };
            self.base_in_world + Vector3::new(along * cos - across * sin, along * sin + across * cos, up)
        })
    }
}

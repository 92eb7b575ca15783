//! A vehicle on its lane, and how its driver drives.

use std::f64::consts::TAU;

use nalgebra::{Point3, Vector3};

use crate::sim::actor::{Actor, ActorClass, Articulation, Size};
use crate::sim::scenes::bodies;
use crate::sim::scenes::draw::Draw;
use crate::sim::scenes::road::Lane;
use crate::sim::scenes::stage::{Footprint, Spot, along, left_of};

/// The parameters of a driver.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Driver {
    /// Desired speed as a share of the limit.
    pub(in crate::sim::scenes) eagerness: f64,
    /// Never faster than this, m/s.
    pub(in crate::sim::scenes) top_mps: f64,
    /// Time gap to the one ahead, seconds.
    pub(in crate::sim::scenes) headway_s: f64,
    /// Largest acceleration, m/s².
    pub(in crate::sim::scenes) acceleration_mps2: f64,
    /// Comfortable braking, m/s².
    pub(in crate::sim::scenes) braking_mps2: f64,
    /// Gap when standing, metres.
    pub(in crate::sim::scenes) gap_m: f64,
    /// Largest lateral acceleration in turns, m/s².
    pub(in crate::sim::scenes) lateral_mps2: f64,
}

impl Driver {
    pub(in crate::sim::scenes) fn of(class: ActorClass, draw: &mut Draw) -> Self {
        let (top_mps, acceleration_mps2) = match class {
            ActorClass::Bicycle => (draw.normal(5.0, 0.9, 3.2..8.0), draw.uniform(0.6..1.0)),
            ActorClass::Motorcycle => (45.0, draw.uniform(1.8..3.0)),
            ActorClass::Truck => (25.0, draw.uniform(0.7..1.1)),
            ActorClass::Bus => (25.0, draw.uniform(0.8..1.2)),
            _ => (50.0, draw.uniform(1.2..2.4)),
        };
        Self {
            eagerness: draw.normal(0.98, 0.1, 0.75..1.25),
            top_mps,
            headway_s: draw.uniform(1.0..1.9),
            acceleration_mps2,
            braking_mps2: draw.uniform(1.6..2.6),
            gap_m: draw.uniform(1.5..2.8),
            lateral_mps2: draw.uniform(1.4..2.4),
        }
    }

    /// IDM: the acceleration at a speed, with a desired speed, behind something at `gap_m` that moves at
    /// `leader_mps`, m/s².
    pub(in crate::sim::scenes) fn follow(&self, speed_mps: f64, desired_mps: f64, gap_m: f64, leader_mps: f64) -> f64 {
        let free = 1.0 - (speed_mps / desired_mps.max(0.1)).powi(4).min(4.0);
        if gap_m > 300.0 {
            return self.acceleration_mps2 * free;
        }
        let closing_mps = speed_mps - leader_mps;
        let braking = 2.0 * (self.acceleration_mps2 * self.braking_mps2).sqrt();
        let wanted_m = self.gap_m + (speed_mps * self.headway_s + speed_mps * closing_mps / braking).max(0.0);
        let ratio = wanted_m / gap_m.max(0.1);
        self.acceleration_mps2 * (free - ratio * ratio)
    }
}

/// A lane change under way: the offset from the new lane fades with the way covered.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Shift {
    pub(in crate::sim::scenes) from_lane: usize,
    pub(in crate::sim::scenes) start_s: f64,
    pub(in crate::sim::scenes) length_m: f64,
    pub(in crate::sim::scenes) offset_m: f64,
}

impl Shift {
    /// Offset and its slope at `s`: a quintic without jumps in slope or curvature.
    fn at(&self, s: f64) -> (f64, f64) {
        let u = ((s - self.start_s) / self.length_m).clamp(0.0, 1.0);
        let faded = u * u * u * (10.0 + u * (-15.0 + 6.0 * u));
        let slope = 30.0 * u * u * (1.0 - u) * (1.0 - u) / self.length_m;
        (self.offset_m * (1.0 - faded), -self.offset_m * slope)
    }
}

/// A way across a junction that a vehicle may use.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Grant {
    pub(in crate::sim::scenes) lane: usize,
    /// Where the vehicle's middle is along that lane, metres; negative before it.
    pub(in crate::sim::scenes) s: f64,
}

/// A vehicle.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Vehicle {
    pub(in crate::sim::scenes) id: u16,
    pub(in crate::sim::scenes) class: ActorClass,
    pub(in crate::sim::scenes) size: Size,
    pub(in crate::sim::scenes) look: u64,
    pub(in crate::sim::scenes) driver: Driver,
    pub(in crate::sim::scenes) lane: usize,
    /// Of its middle along the lane's axis, metres.
    pub(in crate::sim::scenes) s: f64,
    pub(in crate::sim::scenes) speed_mps: f64,
    pub(in crate::sim::scenes) acceleration_mps2: f64,
    pub(in crate::sim::scenes) shift: Option<Shift>,
    /// The lanes after this one.
    pub(in crate::sim::scenes) route: Vec<usize>,
    pub(in crate::sim::scenes) grants: Vec<Grant>,
    /// Seconds until it thinks of a lane change again.
    pub(in crate::sim::scenes) settled_s: f64,
    /// A lane, a place on it, and the speed at which it wants to pass there.
    pub(in crate::sim::scenes) slow_at: Option<(usize, f64, f64)>,
    pub(in crate::sim::scenes) phase_rad: f64,
    // Where that is in the plane.
    pub(in crate::sim::scenes) spot: Spot,
    pub(in crate::sim::scenes) yaw_rad: f64,
    pub(in crate::sim::scenes) curvature_per_m: f64,
}

impl Vehicle {
    pub(in crate::sim::scenes) fn new(draw: &mut Draw, id: u16, class: ActorClass, size: Size) -> Self {
        Self {
            id,
            class,
            size,
            look: draw.seed(),
            driver: Driver::of(class, draw),
            lane: 0,
            s: 0.0,
            speed_mps: 0.0,
            acceleration_mps2: 0.0,
            shift: None,
            route: Vec::new(),
            grants: Vec::new(),
            settled_s: 3.0,
            slow_at: None,
            phase_rad: draw.uniform(0.0..TAU),
            spot: Spot::origin(),
            yaw_rad: 0.0,
            curvature_per_m: 0.0,
        }
    }

    /// Works out where it is in the plane.
    pub(in crate::sim::scenes) fn locate(&mut self, lane: &Lane) {
        let station = lane.axis.at(self.s);
        let (shift_m, slope) = self.shift.map_or((0.0, 0.0), |shift| shift.at(self.s));
        let offset_m = lane.offset_m + shift_m;
        let left = left_of(along(station.yaw_rad));
        self.spot = station.spot + left * offset_m;
        let stretch = 1.0 - station.curvature_per_m * offset_m;
        self.yaw_rad = station.yaw_rad + slope.atan2(stretch);
        self.curvature_per_m = station.curvature_per_m / stretch;
    }

    /// Metres of the lane's axis per metre driven.
    fn progress(&self, lane: &Lane, s: f64) -> f64 {
        let station = lane.axis.at(s);
        let (shift_m, slope) = self.shift.map_or((0.0, 0.0), |shift| shift.at(s));
        let stretch = 1.0 - station.curvature_per_m * (lane.offset_m + shift_m);
        1.0 / stretch.hypot(slope)
    }

    /// Takes on an acceleration (through the jerk that brakes and engines allow) and drives on. Gives the metres of axis
    /// covered.
    pub(in crate::sim::scenes) fn drive(&mut self, wanted_mps2: f64, lane: &Lane, step_s: f64) -> f64 {
        let jerk = if wanted_mps2 < -3.0 { 40.0 } else { 12.0 };
        let most = jerk * step_s;
        let wanted_mps2 = wanted_mps2.clamp(-7.5, self.driver.acceleration_mps2);
        self.acceleration_mps2 += (wanted_mps2 - self.acceleration_mps2).clamp(-most, most);
        if self.speed_mps == 0.0 {
            // A driver who stands sets off only when there is room for it.
            if wanted_mps2 < 0.25 {
                self.acceleration_mps2 = 0.0;
                return 0.0;
            }
            self.acceleration_mps2 = self.acceleration_mps2.max(0.1);
        } else if self.speed_mps < 0.25 && wanted_mps2 < 0.1 {
            // Nobody creeps for ever: the brake is pressed.
            self.acceleration_mps2 = self.acceleration_mps2.min(-0.8);
        }
        let before = self.speed_mps;
        self.speed_mps = (before + self.acceleration_mps2 * step_s).max(0.0);
        if self.speed_mps == 0.0 {
            self.acceleration_mps2 = 0.0;
        }
        let driven_m = 0.5 * (before + self.speed_mps) * step_s;
        let half = self.s + 0.5 * driven_m * self.progress(lane, self.s);
        let covered_m = driven_m * self.progress(lane, half);
        self.s += covered_m;
        if self.shift.is_some_and(|shift| self.s > shift.start_s + shift.length_m) {
            self.shift = None;
        }
        for grant in &mut self.grants {
            grant.s += covered_m;
        }
        if self.class == ActorClass::Bicycle {
            self.phase_rad = (self.phase_rad + bodies::pedals_radps(self.speed_mps) * step_s) % TAU;
        }
        covered_m
    }

    pub(in crate::sim::scenes) fn half_length_m(&self) -> f64 {
        0.5 * self.size.length_m
    }

    pub(in crate::sim::scenes) fn footprint(&self) -> Footprint {
        Footprint::new(self.spot, self.yaw_rad, self.size.length_m, self.size.width_m)
    }

    pub(in crate::sim::scenes) fn actor(&self) -> Actor {
        let velocity = along(self.yaw_rad) * self.speed_mps;
        let single_track = matches!(self.class, ActorClass::Bicycle | ActorClass::Motorcycle);
        Actor {
            id: self.id,
            class: self.class,
            size: self.size,
            look: self.look,
            base_in_world: Point3::new(self.spot.x, self.spot.y, 0.0),
            yaw_rad: self.yaw_rad,
            velocity_in_world_mps: Vector3::new(velocity.x, velocity.y, 0.0),
            articulation: Articulation {
                phase_rad: self.phase_rad,
                swing: if self.class == ActorClass::Bicycle && self.speed_mps > 0.0 {
                    1.0
                } else {
                    0.0
                },
                lean_rad: if single_track {
                    bodies::lean_rad(self.speed_mps, self.curvature_per_m)
                } else {
                    0.0
                },
                braking: !matches!(self.class, ActorClass::Bicycle)
                    && (self.acceleration_mps2 < -0.5 || self.speed_mps == 0.0),
            },
        }
    }
}

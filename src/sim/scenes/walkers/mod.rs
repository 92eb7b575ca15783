//! People on foot: the social force model (D. Helbing, P. Molnár, Phys. Rev. E 51, 1995) with a look ahead.
//!
//! A walker takes the velocity it desires within a relaxation time, and is pushed off by others and by obstacles with a
//! force that falls exponentially with the distance expected a moment ahead. Acceleration and speed are bounded; a
//! walker that desires to stand stands exactly still, pushed or not.

mod crowd;
mod pavement;

pub(super) use crowd::{Crowd, Goal};
pub(super) use pavement::{Pavements, Strollers};

use std::f64::consts::{PI, TAU};

use nalgebra::{Point3, Vector2, Vector3};

use super::bodies;
use super::draw::Draw;
use super::stage::{Footprint, Spot};
use crate::sim::actor::{Actor, ActorClass, Articulation, Size};

/// Strength of the push, m/s².
const PUSH_MPS2: f64 = 2.3;
/// Distance over which the push falls to 1/e, metres.
const PUSH_RANGE_M: f64 = 0.35;
/// How far a walker looks ahead, seconds.
const LOOK_AHEAD_S: f64 = 0.6;
/// Fastest turn of the body, rad/s.
const TURN_RADPS: f64 = 5.0;

/// A person in front of a vehicle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passerby {
    pub(super) spot: Spot,
    pub(super) velocity_mps: Vector2<f64>,
    pub(super) radius_m: f64,
}

/// A person on foot.
#[derive(Clone, Debug)]
pub(super) struct Walker {
    pub(super) id: u16,
    pub(super) size: Size,
    pub(super) look: u64,
    pub(super) position: Spot,
    pub(super) velocity_mps: Vector2<f64>,
    pub(super) yaw_rad: f64,
    /// Velocity it would like to have; zero to stand.
    pub(super) desired_mps: Vector2<f64>,
    /// Direction to turn to while it stands.
    pub(super) facing_rad: Option<f64>,
    /// Speed it likes to walk at.
    pub(super) pace_mps: f64,
    /// Bound of the acceleration, m/s².
    pub(super) agility_mps2: f64,
    phase_rad: f64,
}

impl Walker {
    pub(super) fn new(draw: &mut Draw, id: u16, position: Spot, yaw_rad: f64, pace_mps: f64) -> Self {
        Self {
            id,
            size: bodies::extent(ActorClass::Person, draw),
            look: draw.seed(),
            position,
            velocity_mps: Vector2::zeros(),
            yaw_rad,
            desired_mps: Vector2::zeros(),
            facing_rad: None,
            pace_mps,
            agility_mps2: 2.5,
            phase_rad: draw.uniform(0.0..TAU),
        }
    }

    pub(super) fn radius_m(&self) -> f64 {
        0.5 * self.size.width_m
    }

    /// The walker as a driver sees it.
    pub(super) fn as_seen(&self) -> Passerby {
        Passerby {
            spot: self.position,
            velocity_mps: self.velocity_mps,
            radius_m: self.radius_m(),
        }
    }

    /// The push of something with a surface at `surface`, moving at `velocity`.
    fn push(&self, towards: Vector2<f64>, relative_velocity: Vector2<f64>, clearance_m: f64) -> Vector2<f64> {
        let now_m = towards.norm();
        if now_m > 4.0 {
            return Vector2::zeros();
        }
        let ahead = towards + relative_velocity * LOOK_AHEAD_S;
        let ahead_m = ahead.norm().min(now_m);
        let strength = PUSH_MPS2 * ((clearance_m - ahead_m) / PUSH_RANGE_M).min(1.5).exp();
        if strength < 1e-3 {
            return Vector2::zeros();
        }
        let away = if ahead.norm() > 1e-6 { -ahead } else { -towards };
        let away = away.try_normalize(1e-9).unwrap_or_else(Vector2::x);
        // Those who meet head on both step to their right.
        let aside = Vector2::new(away.y, -away.x);
        let head_on = (-away.dot(&self.velocity_mps)).max(0.0) / self.velocity_mps.norm().max(0.1);
        (away - aside * (0.4 * head_on)) * strength
    }

    /// The acceleration that takes it to its desired velocity past the others and the obstacles.
    pub(super) fn acceleration(&self, others: &[Self], obstacles: &[Footprint]) -> Vector2<f64> {
        let relaxation_s = 0.5;
        let mut acceleration = (self.desired_mps - self.velocity_mps) / relaxation_s;
        if self.desired_mps == Vector2::zeros() {
            return acceleration;
        }
        for other in others {
            if other.id != self.id {
                acceleration += self.push(
                    other.position - self.position,
                    other.velocity_mps - self.velocity_mps,
                    self.radius_m() + other.radius_m() + 0.1,
                );
            }
        }
        for obstacle in obstacles {
            let reach = obstacle.half_length_m + obstacle.half_width_m + 4.0;
            if (obstacle.center - self.position).norm_squared() > reach * reach {
                continue;
            }
            if let Some(out) = obstacle.way_out(self.position) {
                acceleration += out.try_normalize(1e-9).unwrap_or_else(Vector2::x) * (4.0 * PUSH_MPS2);
                continue;
            }
            let towards = obstacle.nearest(self.position) - self.position;
            acceleration += self.push(towards, -self.velocity_mps, self.radius_m() + 0.3);
        }
        // Whatever pushes, nobody walks into something that can still be avoided by braking.
        for obstacle in obstacles {
            let reach = obstacle.half_length_m + obstacle.half_width_m + 1.5;
            if (obstacle.center - self.position).norm_squared() > reach * reach {
                continue;
            }
            let towards = obstacle.nearest(self.position) - self.position;
            let distance_m = towards.norm();
            if !(1e-6..=1.2).contains(&distance_m) {
                continue;
            }
            let towards = towards / distance_m;
            let free_m = (distance_m - self.radius_m()).max(0.0);
            let allowed_mps = (1.6 * self.agility_mps2 * free_m).sqrt();
            let closing_mps = self.velocity_mps.dot(&towards);
            let most_mps2 = (allowed_mps - closing_mps) / 0.1;
            let closing_mps2 = acceleration.dot(&towards);
            if closing_mps2 > most_mps2 {
                acceleration += towards * (most_mps2 - closing_mps2);
            }
        }
        acceleration
    }

    /// Moves on by `step_s` under an acceleration, which is cut to what legs can do.
    pub(super) fn advance(&mut self, acceleration: Vector2<f64>, step_s: f64) {
        let most = self.agility_mps2;
        let acceleration = acceleration.cap_magnitude(most);
        let before = self.velocity_mps;
        let standing = self.desired_mps == Vector2::zeros();
        self.velocity_mps = if standing && before.norm() <= most * step_s {
            Vector2::zeros()
        } else {
            let after = before + acceleration * step_s;
            let top_mps = (1.4 * self.pace_mps)
                .max(self.desired_mps.norm())
                .max(before.norm() - 0.5 * most * step_s);
            after.cap_magnitude(top_mps)
        };
        self.position += (before + self.velocity_mps) * (0.5 * step_s);
        let speed_mps = self.velocity_mps.norm();
        if speed_mps > 0.15 {
            self.turn_to(self.velocity_mps.y.atan2(self.velocity_mps.x), step_s);
        } else if let Some(facing_rad) = self.facing_rad.filter(|_| standing) {
            self.turn_to(facing_rad, 0.4 * step_s);
        }
        self.phase_rad = (self.phase_rad + bodies::gait_radps(self.size.height_m, speed_mps) * step_s) % TAU;
    }

    fn turn_to(&mut self, yaw_rad: f64, step_s: f64) {
        let turn = (yaw_rad - self.yaw_rad + PI).rem_euclid(TAU) - PI;
        self.yaw_rad += turn.clamp(-TURN_RADPS * step_s, TURN_RADPS * step_s);
    }

    pub(super) fn actor(&self) -> Actor {
        let speed_mps = self.velocity_mps.norm();
        Actor {
            id: self.id,
            class: ActorClass::Person,
            size: self.size,
            look: self.look,
            base_in_world: Point3::new(self.position.x, self.position.y, 0.0),
            yaw_rad: self.yaw_rad,
            velocity_in_world_mps: Vector3::new(self.velocity_mps.x, self.velocity_mps.y, 0.0),
            articulation: Articulation {
                phase_rad: self.phase_rad,
                swing: bodies::swing(speed_mps),
                ..Articulation::default()
            },
        }
    }
}

//! A crowd on open ground: everyone has goals to walk to, stays there for a while, and in the end leaves.

use std::collections::VecDeque;

use nalgebra::Vector2;

use super::Walker;
use crate::sim::actor::Actor;
use crate::sim::scenes::stage::{Footprint, Spot};

/// A place to go to.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Goal {
    pub(in crate::sim::scenes) spot: Spot,
    /// Seconds to stand there; zero to walk on.
    pub(in crate::sim::scenes) pause_s: f64,
    /// Where to look while standing.
    pub(in crate::sim::scenes) facing_rad: Option<f64>,
}

impl Goal {
    /// A place on the way.
    pub(in crate::sim::scenes) fn pass(spot: Spot) -> Self {
        Self {
            spot,
            pause_s: 0.0,
            facing_rad: None,
        }
    }
}

/// People on open ground.
#[derive(Clone, Debug, Default)]
pub(in crate::sim::scenes) struct Crowd {
    pub(in crate::sim::scenes) walkers: Vec<Walker>,
    plans: Vec<Plan>,
    accelerations: Vec<Vector2<f64>>,
}

#[derive(Clone, Debug)]
struct Plan {
    goals: VecDeque<Goal>,
    standing_s: f64,
    /// Seconds spent on the way to this goal.
    underway_s: f64,
}

impl Crowd {
    /// Adds a walker; with speed on it when it walks at once.
    pub(in crate::sim::scenes) fn add(&mut self, mut walker: Walker, goals: impl IntoIterator<Item = Goal>) {
        let goals: VecDeque<Goal> = goals.into_iter().collect();
        if let Some(goal) = goals.front() {
            let way = goal.spot - walker.position;
            if way.norm() > 1.0 {
                walker.velocity_mps = way.normalize() * walker.pace_mps;
                walker.yaw_rad = way.y.atan2(way.x);
            }
        }
        self.add_standing(walker, goals);
    }

    /// Adds a walker who has yet to set off.
    pub(in crate::sim::scenes) fn add_standing(&mut self, walker: Walker, goals: impl IntoIterator<Item = Goal>) {
        self.walkers.push(walker);
        self.plans.push(Plan {
            goals: goals.into_iter().collect(),
            standing_s: 0.0,
            underway_s: 0.0,
        });
    }

    /// Moves all by `step_s`. Gives the ids of those that have reached their last goal; they are taken out.
    pub(in crate::sim::scenes) fn step(&mut self, obstacles: &[Footprint], step_s: f64, gone: &mut Vec<u16>) {
        for (walker, plan) in self.walkers.iter_mut().zip(&mut self.plans) {
            let Some(goal) = plan.goals.front().copied() else {
                continue;
            };
            let way = goal.spot - walker.position;
            let left_m = way.norm();
            walker.facing_rad = goal.facing_rad;
            if plan.standing_s > 0.0 {
                plan.standing_s -= step_s;
                if plan.standing_s <= 0.0 {
                    plan.goals.pop_front();
                    plan.underway_s = 0.0;
                }
                walker.desired_mps = Vector2::zeros();
                continue;
            }
            plan.underway_s += step_s;
            // One who cannot get at the goal gives it up, as near as may be.
            let patience_s = 4.0 + 3.0 * left_m / walker.pace_mps;
            let near_m = if goal.pause_s > 0.0 { 0.35 } else { 1.0 };
            if left_m < near_m || (plan.underway_s > 90.0 + patience_s && left_m < 4.0) {
                if goal.pause_s > 0.0 {
                    plan.standing_s = goal.pause_s;
                    walker.desired_mps = Vector2::zeros();
                } else {
                    plan.goals.pop_front();
                    plan.underway_s = 0.0;
                }
                continue;
            }
            let slowing = if goal.pause_s > 0.0 {
                (left_m / 1.2).clamp(0.3, 1.0)
            } else {
                1.0
            };
            walker.desired_mps = way / left_m * (walker.pace_mps * slowing);
        }
        self.accelerations.clear();
        let walkers = &self.walkers;
        self.accelerations
            .extend(walkers.iter().map(|walker| walker.acceleration(walkers, obstacles)));
        for (walker, acceleration) in self.walkers.iter_mut().zip(&self.accelerations) {
            walker.advance(*acceleration, step_s);
        }
        for index in (0..self.plans.len()).rev() {
            if self.plans[index].goals.is_empty() {
                gone.push(self.walkers[index].id);
                self.plans.remove(index);
                self.walkers.remove(index);
            }
        }
    }

    pub(in crate::sim::scenes) fn actors(&self, actors: &mut Vec<Actor>) {
        actors.extend(self.walkers.iter().map(Walker::actor));
    }
}

//! People along a street: pavements round the blocks and crossings between them.

use std::f64::consts::{PI, TAU};

use nalgebra::Vector2;

use super::Walker;
use crate::sim::actor::Actor;
use crate::sim::scenes::draw::Draw;
use crate::sim::scenes::road::Network;
use crate::sim::scenes::stage::{Footprint, Spot, along, left_of};
use crate::sim::scenes::traffic::{Fleet, Ids};

/// A stretch of pavement, or a crossing.
#[derive(Clone, Copy, Debug)]
struct Link {
    corners: [usize; 2],
    half_width_m: f64,
    crossing: Option<usize>,
}

/// The pavements of a network as a graph.
#[derive(Clone, Debug, Default)]
pub(in crate::sim::scenes) struct Pavements {
    spots: Vec<Spot>,
    links: Vec<Link>,
    /// The links at each corner.
    at: Vec<Vec<usize>>,
}

impl Pavements {
    /// The pavements along the sections, round the corners of the junctions, and the crossings.
    pub(in crate::sim::scenes) fn new(network: &Network) -> Self {
        let mut pavements = Self::default();
        // Of each section's ends the corners left and right, seen from the end.
        let mut corners: Vec<[Option<[usize; 2]>; 2]> = vec![[None; 2]; network.sections.len()];
        for (number, section) in network.sections.iter().enumerate() {
            if section.plan.pavement_m <= 0.0 {
                continue;
            }
            let forward = (section.ends[1] - section.ends[0]).normalize();
            let beyond_m = section.plan.half_width_m() + 0.5 * section.plan.pavement_m;
            let half_width_m = 0.5 * section.plan.pavement_m - 0.5;
            for (end, pair) in corners[number].iter_mut().enumerate() {
                let away = if end == 0 { forward } else { -forward };
                let arm = network
                    .junctions
                    .iter()
                    .flat_map(|junction| &junction.arms)
                    .find(|arm| arm.section == number && arm.end == end);
                let middle = match arm.and_then(|arm| arm.crossing) {
                    Some(crossing) => nalgebra::center(
                        &network.crossings[crossing].ends[0],
                        &network.crossings[crossing].ends[1],
                    ),
                    None => section.ends[end] + away * section.setback_m[end],
                };
                *pair = Some([
                    pavements.corner(middle + left_of(away) * beyond_m),
                    pavements.corner(middle - left_of(away) * beyond_m),
                ]);
            }
            if let [Some(first), Some(last)] = corners[number] {
                // Left at the one end is right at the other.
                pavements.link(first[0], last[1], half_width_m, None);
                pavements.link(first[1], last[0], half_width_m, None);
            }
        }
        for junction in &network.junctions {
            for (index, arm) in junction.arms.iter().enumerate() {
                let Some([left, right]) = corners[arm.section][arm.end] else {
                    continue;
                };
                if let Some(crossing) = arm.crossing {
                    let half_width_m = 0.5 * network.crossings[crossing].width_m - 0.4;
                    pavements.link(left, right, half_width_m, Some(crossing));
                }
                let next = &junction.arms[(index + 1) % junction.arms.len()];
                let Some([_, its_right]) = corners[next.section][next.end] else {
                    continue;
                };
                let gap_rad = (next.yaw_rad - arm.yaw_rad).rem_euclid(TAU);
                if gap_rad > PI + 0.2 {
                    // Round the outside of a bend; the straight way would cross the road.
                    let plan = &network.sections[arm.section].plan;
                    let beyond_m = plan.half_width_m() + 0.5 * plan.pavement_m + 1.0;
                    let outer = junction.spot + along(arm.yaw_rad + 0.5 * gap_rad) * (beyond_m / (0.5 * gap_rad).sin());
                    let outer = pavements.corner(outer);
                    pavements.link(left, outer, 0.4, None);
                    pavements.link(outer, its_right, 0.4, None);
                } else {
                    pavements.link(left, its_right, 0.6, None);
                }
            }
        }
        pavements
    }

    fn corner(&mut self, spot: Spot) -> usize {
        self.spots.push(spot);
        self.at.push(Vec::new());
        self.spots.len() - 1
    }

    fn link(&mut self, from: usize, to: usize, half_width_m: f64, crossing: Option<usize>) {
        for corner in [from, to] {
            self.at[corner].push(self.links.len());
        }
        self.links.push(Link {
            corners: [from, to],
            half_width_m: half_width_m.max(0.2),
            crossing,
        });
    }

    fn length_m(&self, link: &Link) -> f64 {
        (self.spots[link.corners[1]] - self.spots[link.corners[0]]).norm()
    }
}

/// Where a stroller is on the pavements.
#[derive(Clone, Copy, Debug)]
struct Leg {
    link: usize,
    /// The corner it goes to.
    to: usize,
    /// How far it keeps to the left of the middle, metres.
    left_m: f64,
    /// The crossing it waits for, and for how long.
    waiting: Option<(usize, f64)>,
}

/// People along a street.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Strollers {
    pub(in crate::sim::scenes) pavements: Pavements,
    pub(in crate::sim::scenes) walkers: Vec<Walker>,
    legs: Vec<Leg>,
    accelerations: Vec<Vector2<f64>>,
    draw: Draw,
}

impl Strollers {
    pub(in crate::sim::scenes) fn new(pavements: Pavements, draw: Draw) -> Self {
        Self {
            pavements,
            walkers: Vec::new(),
            legs: Vec::new(),
            accelerations: Vec::new(),
            draw,
        }
    }

    /// Puts somebody on a pavement where `suits` likes the spot; tries a few places.
    pub(in crate::sim::scenes) fn add(&mut self, ids: &mut Ids, suits: impl Fn(Spot) -> bool) {
        let draw = &mut self.draw;
        let links = &self.pavements.links;
        if links.is_empty() {
            return;
        }
        let total_m: f64 = links.iter().map(|link| self.pavements.length_m(link)).sum();
        for _ in 0..8 {
            let mut left_m = draw.uniform(0.0..total_m);
            let Some(number) = links.iter().position(|link| {
                left_m -= self.pavements.length_m(link);
                left_m < 0.0
            }) else {
                continue;
            };
            let link = links[number];
            if link.crossing.is_some() {
                continue;
            }
            let way = usize::from(draw.chance(0.5));
            let (from, to) = (
                self.pavements.spots[link.corners[1 - way]],
                self.pavements.spots[link.corners[way]],
            );
            let side_m = draw.uniform(-link.half_width_m..link.half_width_m);
            let forward = (to - from).normalize();
            let spot = from + (to - from) * draw.uniform(0.05..0.9) + left_of(forward) * side_m;
            let crowded = self.walkers.iter().any(|walker| (walker.position - spot).norm() < 1.0);
            if crowded || !suits(spot) {
                continue;
            }
            let Some(id) = ids.next() else { return };
            let pace_mps = if draw.chance(0.06) {
                draw.uniform(2.4..3.6)
            } else {
                draw.normal(1.34, 0.22, 0.7..2.0)
            };
            let mut walker = Walker::new(draw, id, spot, forward.y.atan2(forward.x), pace_mps);
            walker.velocity_mps = forward * pace_mps;
            self.walkers.push(walker);
            self.legs.push(Leg {
                link: number,
                to: link.corners[way],
                left_m: side_m,
                waiting: None,
            });
            return;
        }
    }

    /// Moves all by `step_s`; tells the fleet who crosses.
    pub(in crate::sim::scenes) fn step(&mut self, fleet: &mut Fleet, obstacles: &[Footprint], step_s: f64) {
        let Self {
            pavements,
            walkers,
            legs,
            draw,
            ..
        } = self;
        let mut gone: Vec<usize> = Vec::new();
        for (index, (walker, leg)) in walkers.iter_mut().zip(legs.iter_mut()).enumerate() {
            if let Some((next, waited_s)) = &mut leg.waiting {
                let link = pavements.links[*next];
                *waited_s += step_s;
                let Some(crossing) = link.crossing else { continue };
                if !fleet.may_walk(crossing) {
                    walker.desired_mps = Vector2::zeros();
                    continue;
                }
                fleet.crossings[crossing].waiting -= 1;
                fleet.crossings[crossing].walking += 1;
                leg.link = *next;
                leg.to = link.corners[usize::from(link.corners[0] == leg.to)];
                leg.left_m = leg.left_m.clamp(-link.half_width_m, link.half_width_m);
                leg.waiting = None;
            }
            let link = pavements.links[leg.link];
            let from = link.corners[usize::from(link.corners[0] == leg.to)];
            let (start, end) = (pavements.spots[from], pavements.spots[leg.to]);
            let length_m = (end - start).norm();
            let forward = (end - start) / length_m.max(1e-9);
            let done_m = (walker.position - start).dot(&forward);
            if done_m > length_m - 0.6 {
                // Choose the next stretch; people rarely turn back.
                let choices: Vec<(f64, usize)> = pavements.at[leg.to]
                    .iter()
                    .filter(|next| **next != leg.link)
                    .map(|next| {
                        (
                            if pavements.links[*next].crossing.is_some() {
                                1.3
                            } else {
                                1.0
                            },
                            *next,
                        )
                    })
                    .collect();
                if let Some(crossing) = link.crossing {
                    fleet.crossings[crossing].walking -= 1;
                }
                let Some(&(_, first)) = choices.first() else {
                    gone.push(index);
                    continue;
                };
                let next = draw.weighted(&choices, first);
                let its = pavements.links[next];
                if let Some(crossing) = its.crossing {
                    fleet.crossings[crossing].waiting += 1;
                    leg.waiting = Some((next, 0.0));
                    let other = pavements.spots[its.corners[usize::from(its.corners[0] == leg.to)]];
                    let across = other - walker.position;
                    walker.facing_rad = Some(across.y.atan2(across.x));
                    walker.desired_mps = Vector2::zeros();
                } else {
                    leg.to = its.corners[usize::from(its.corners[0] == leg.to)];
                    leg.link = next;
                    leg.left_m = draw.uniform(-its.half_width_m..its.half_width_m);
                }
                continue;
            }
            let ahead_m = (done_m + 2.0).min(length_m);
            let aim = start + forward * ahead_m + left_of(forward) * leg.left_m;
            let way = aim - walker.position;
            let hurry = if link.crossing.is_some() { 1.15 } else { 1.0 };
            walker.desired_mps = way.try_normalize(1e-6).unwrap_or(forward) * (walker.pace_mps * hurry);
        }
        self.accelerations.clear();
        let walkers = &self.walkers;
        self.accelerations
            .extend(walkers.iter().map(|walker| walker.acceleration(walkers, obstacles)));
        for ((walker, leg), acceleration) in self.walkers.iter_mut().zip(&self.legs).zip(&self.accelerations) {
            // Nobody is pushed off the pavement: what drives outwards beyond its edge is turned inwards.
            let link = self.pavements.links[leg.link];
            let [start, end] = link.corners.map(|corner| self.pavements.spots[corner]);
            let left = left_of((end - start).normalize());
            let off_m = (walker.position - start).dot(&left);
            let beyond_m = off_m.abs() - link.half_width_m;
            let mut acceleration = *acceleration;
            if beyond_m > 0.0 {
                let outwards = left * off_m.signum();
                let speed_out = walker.velocity_mps.dot(&outwards);
                let acceleration_out = acceleration.dot(&outwards);
                let wanted = -(6.0 * beyond_m + 3.0 * speed_out.max(0.0));
                acceleration += outwards * (wanted.min(acceleration_out) - acceleration_out);
            }
            walker.advance(acceleration, step_s);
        }
        for index in gone.into_iter().rev() {
            self.walkers.remove(index);
            self.legs.remove(index);
        }
    }

    /// Takes out those whose place is not liked any more; those on a crossing stay.
    pub(in crate::sim::scenes) fn remove_where(&mut self, fleet: &mut Fleet, goes: impl Fn(Spot) -> bool) {
        for index in (0..self.walkers.len()).rev() {
            if goes(self.walkers[index].position) {
                let leg = self.legs[index];
                if let Some(crossing) = self.pavements.links[leg.link].crossing {
                    fleet.crossings[crossing].walking -= 1;
                }
                if let Some(crossing) = leg.waiting.and_then(|(next, _)| self.pavements.links[next].crossing) {
                    fleet.crossings[crossing].waiting -= 1;
                }
                self.walkers.remove(index);
                self.legs.remove(index);
            }
        }
    }

    pub(in crate::sim::scenes) fn actors(&self, actors: &mut Vec<Actor>) {
        actors.extend(self.walkers.iter().map(Walker::actor));
    }
}

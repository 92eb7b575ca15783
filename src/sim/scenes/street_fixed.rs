//! A traffic camera on a pole over a junction.

use std::f64::consts::{FRAC_PI_2, PI};

use nalgebra::{Isometry2, Isometry3};

use super::Parts;
use super::draw::Draw;
use super::road::{Network, NodeKind, RoadPlan, Roadside, Section, paint};
use super::stage::{Footprint, Spot, Stage, along, frame_at, left_of, place};
use super::traffic::{Fleet, Ids, Lights, Mix};
use super::walkers::{Pavements, Strollers};
use super::{looks, optics};
use crate::camera::Mounting;
use crate::sim::actor::Actor;
use crate::sim::world::{Dynamics, WorldSettings};

/// A street of a town.
pub(super) fn town_road(draw: &mut Draw, lanes: usize) -> RoadPlan {
    RoadPlan {
        lanes,
        lane_width_m: draw.uniform(2.95..3.8),
        parking_m: if draw.chance(0.5) { draw.uniform(2.1..2.5) } else { 0.0 },
        pavement_m: draw.uniform(2.2..5.0),
        median_m: if lanes > 1 && draw.chance(0.4) {
            draw.uniform(0.8..3.0)
        } else {
            0.0
        },
        limit_mps: draw.uniform(30.0..60.0) / 3.6,
    }
}

pub(super) fn lights_of(network: &Network, draw: &mut Draw) -> Vec<Option<Lights>> {
    network
        .junctions
        .iter()
        .map(|junction| {
            (junction.kind == NodeKind::Lights && junction.groups > 1).then(|| Lights {
                groups: junction.groups,
                green_s: draw.uniform(9.0..22.0),
                offset_s: draw.uniform(0.0..60.0),
            })
        })
        .collect()
}

pub(super) fn build(settings: &WorldSettings) -> Parts {
    let mut draw = Draw::new(settings.seed, 1);
    let (frame_rate, jitter) = optics::timing(&mut draw, settings);
    let intrinsics = optics::intrinsics(&mut draw, settings, 50.0..100.0);
    let mut roads = draw.fork();
    let (network, camera_spot, camera_yaw_rad, mounting) = lay_out(&mut roads);
    let world_from_site = frame_at(camera_spot, camera_yaw_rad);

    let mut stage = Stage::default();
    let mut ids = Ids::new();
    let mut scenery = draw.fork();
    let roadside = Roadside::draw(&mut scenery);
    let gaze = along(camera_yaw_rad);
    let keeps_clear = |spot: Spot, radius_m: f64| {
        let from_camera = spot - camera_spot;
        let ahead_m = from_camera.dot(&gaze);
        let aside_m = from_camera.dot(&left_of(gaze)).abs();
        from_camera.norm() > radius_m + 3.0
            && !(ahead_m > -3.0 && ahead_m < 32.0 && aside_m < 0.45 * ahead_m + radius_m + 2.0)
    };
    let mut parked = paint(&mut stage, &network, &roadside, &mut scenery, &mut ids, &keeps_clear);
    for actor in &mut parked {
        place(actor, &world_from_site);
    }
    let solid: Vec<Footprint> = stage
        .solid
        .iter()
        .filter(|solid| solid.half_length_m < 1.0)
        .copied()
        .collect();
    let base = if scenery.chance(0.5) {
        looks::soil(&mut scenery)
    } else {
        looks::paving(&mut scenery)
    };
    let light = looks::light(&mut scenery);
    let imaging = looks::imaging(&mut scenery, &light, frame_rate);
    let environment = stage.into_environment(&mut scenery, base, &world_from_site, light, imaging);

    let mut traffic = draw.fork();
    let lights = lights_of(&network, &mut traffic);
    let pavements = Pavements::new(&network);
    let mix = Mix::town(&mut traffic);
    let arrivals_s = traffic.uniform(0.8..3.0);
    let population = traffic.whole(14, 50);
    let fleet = Fleet::new(network, lights, mix, traffic.fork());
    let strollers = Strollers::new(pavements, traffic.fork());
    let mut street = Street {
        fleet,
        strollers,
        solid,
        parked,
        ids,
        world_from_site,
        pose: mounting.world_from_camera(),
        people: traffic.whole(6, 26),
        arrivals_s,
        next_s: 0.0,
        draw: traffic,
    };
    street.populate(population);
    Parts {
        environment,
        camera: optics::camera(intrinsics, mounting),
        frame_rate,
        jitter,
        dynamics: Box::new(street),
    }
}

/// The roads, and where the camera hangs: its place, its direction, its mounting.
fn lay_out(draw: &mut Draw) -> (Network, Spot, f64, Mounting) {
    let main = {
        let lanes = draw.whole(1, 2);
        town_road(draw, lanes)
    };
    let minor = town_road(draw, 1);
    let skew_rad = draw.normal(0.0, 0.15, -0.35..0.35);
    let bend_rad = draw.normal(0.0, 0.06, -0.15..0.15);
    let arms: Vec<(f64, RoadPlan)> = match draw.below(20) {
        0..=8 => vec![
            (0.0, main),
            (FRAC_PI_2 + skew_rad, minor),
            (PI + bend_rad, main),
            (-FRAC_PI_2 + skew_rad, minor),
        ],
        9..=14 => vec![(0.0, main), (FRAC_PI_2 + skew_rad, minor), (PI + bend_rad, main)],
        _ => vec![(0.0, main), (PI, main)],
    };
    let straight_on = arms.len() == 2;
    let kind = match draw.below(5) {
        _ if straight_on => NodeKind::Priority,
        0..=2 => NodeKind::Lights,
        3 => NodeKind::Priority,
        _ => NodeKind::Equal,
    };
    let sections = arms
        .iter()
        .map(|&(yaw_rad, plan)| Section {
            nodes: [Some(0), None],
            ends: [
                Spot::origin(),
                Spot::origin() + along(yaw_rad) * draw.uniform(120.0..170.0),
            ],
            plan,
            setback_m: [0.0; 2],
        })
        .collect();
    let crossings = if straight_on { 1.0 } else { 0.75 };
    let network = Network::new(draw, &[(Spot::origin(), kind)], sections, crossings);

    // Beside or over one of the arms, looking across the junction or along the road.
    let (yaw_rad, plan) = arms[draw.below(arms.len())];
    let away = along(yaw_rad);
    let distance_m = draw.uniform(14.0..36.0);
    let height_m = draw.uniform(4.0..12.0);
    let aside_m = if height_m > 5.5 && draw.chance(0.4) {
        draw.uniform(-plan.half_width_m()..plan.half_width_m())
    } else {
        draw.sign() * (plan.half_width_m() + draw.uniform(0.3..1.2))
    };
    let spot = Spot::origin() + away * distance_m + left_of(away) * aside_m;
    let aim = Spot::origin() + along(draw.uniform(-PI..PI)) * draw.uniform(0.0..7.0);
    let gaze = aim - spot;
    let pitch_rad = if draw.chance(0.25) {
        draw.uniform(2.0..9.0).to_radians()
    } else {
        (height_m / (gaze.norm() * draw.uniform(0.75..1.5))).atan()
    };
    let mounting = Mounting {
        height_m,
        pitch_down_rad: pitch_rad,
        roll_rad: optics::roll_rad(draw),
    };
    (network, spot, gaze.y.atan2(gaze.x), mounting)
}

struct Street {
    fleet: Fleet,
    strollers: Strollers,
    solid: Vec<Footprint>,
    /// In the world already.
    parked: Vec<Actor>,
    ids: Ids,
    world_from_site: Isometry2<f64>,
    pose: Isometry3<f64>,
    /// People about.
    people: usize,
    /// Mean time between vehicles that come in, seconds.
    arrivals_s: f64,
    next_s: f64,
    draw: Draw,
}

impl Street {
    /// Fills the street as it would be after a while.
    fn populate(&mut self, count: usize) {
        for _ in 0..count {
            let vehicle = self.fleet.draw_vehicle();
            let lane = self.draw.below(self.fleet.network.lanes.len());
            let place = &self.fleet.network.lanes[lane];
            if place.section.is_none() {
                continue;
            }
            let half_m = vehicle.half_length_m();
            // Most of them near the junction.
            let from_node_m = self.draw.uniform(0.0..1.0).powi(2) * (place.length_m() - 2.0 * half_m - 3.0);
            let s = if place.is_entry {
                place.length_m() - half_m - 3.0 - from_node_m
            } else {
                half_m + from_node_m
            };
            // No room: one vehicle less.
            self.fleet.admit(&mut self.ids, vehicle, lane, s);
        }
        for _ in 0..self.people {
            self.strollers.add(&mut self.ids, |_| true);
        }
    }

    fn let_in(&mut self) {
        if self.fleet.time_s < self.next_s {
            return;
        }
        self.next_s = self.fleet.time_s + self.draw.wait(self.arrivals_s).min(12.0);
        let entries: Vec<usize> = (0..self.fleet.network.lanes.len())
            .filter(|lane| self.fleet.network.lanes[*lane].is_entry)
            .collect();
        if entries.is_empty() || self.fleet.vehicles.len() > 30 {
            return;
        }
        let lane = entries[self.draw.below(entries.len())];
        let vehicle = self.fleet.draw_vehicle();
        let s = vehicle.half_length_m();
        // No room: it stays away.
        self.fleet.admit(&mut self.ids, vehicle, lane, s);
    }
}

impl Dynamics for Street {
    fn step(&mut self, step_s: f64) {
        self.strollers.step(&mut self.fleet, &self.solid, step_s);
        self.fleet.step(step_s);
        self.fleet.remove_gone();
        self.let_in();
        if self.strollers.walkers.len() < self.people && self.draw.chance(0.4 * step_s) {
            let far = self.world_from_site;
            self.strollers
                .add(&mut self.ids, |spot| (far * spot).coords.norm() > 90.0);
        }
    }

    fn actors(&self, actors: &mut Vec<Actor>) {
        let first = actors.len();
        self.fleet.actors(actors);
        self.strollers.actors(actors);
        for actor in &mut actors[first..] {
            place(actor, &self.world_from_site);
        }
        actors.extend_from_slice(&self.parked);
    }

    fn world_from_camera(&self) -> Isometry3<f64> {
        self.pose
    }
}

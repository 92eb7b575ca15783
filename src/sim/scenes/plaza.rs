//! A square with people, bicycles and a delivery van.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use nalgebra::{Isometry2, Isometry3};

use super::Parts;
use super::draw::Draw;
use super::road::{Lane, Network, Path};
use super::stage::{Footprint, Spot, Stage, along, left_of};
use super::traffic::{Fleet, Ids, Mix, Vehicle};
use super::walkers::{Crowd, Goal, Walker};
use super::{bodies, looks, optics};
use crate::camera::Mounting;
use crate::sim::actor::{Actor, ActorClass};
use crate::sim::world::{Dynamics, WorldSettings};

/// How far from the camera the square begins and ends, and its half width, metres.
const NEAR_M: f64 = 3.0;

pub(super) fn build(settings: &WorldSettings) -> Parts {
    let mut draw = Draw::new(settings.seed, 3);
    let (frame_rate, jitter) = optics::timing(&mut draw, settings);
    let intrinsics = optics::intrinsics(&mut draw, settings, 50.0..95.0);
    let height_m = draw.uniform(2.5..8.0);
    let aim_m = draw.uniform(9.0..26.0);
    let mounting = Mounting {
        height_m,
        pitch_down_rad: (height_m / aim_m).atan(),
        roll_rad: optics::roll_rad(&mut draw),
    };
    let depth_m = draw.uniform(38.0..65.0);
    let half_width_m = draw.uniform(24.0..40.0);

    let mut scenery = draw.fork();
    let mut stage = Stage::default();
    let mut rails = draw.fork();
    let network = lay_rails(&mut rails, depth_m);
    furnish(&mut stage, &mut scenery, &network, depth_m, half_width_m);
    let solid: Vec<Footprint> = stage.solid.clone();
    let base = if scenery.chance(0.6) {
        looks::paving(&mut scenery)
    } else {
        looks::soil(&mut scenery)
    };
    let light = looks::light(&mut scenery);
    let imaging = looks::imaging(&mut scenery, &light, frame_rate);
    let environment = stage.into_environment(&mut scenery, base, &Isometry2::identity(), light, imaging);

    let mut square = Square {
        crowd: Crowd::default(),
        fleet: Fleet::new(network, Vec::new(), Mix::town(&mut rails), rails),
        solid,
        obstacles: Vec::new(),
        gone: Vec::new(),
        ids: Ids::new(),
        depth_m,
        half_width_m,
        people: draw.whole(10, 32),
        riders_s: draw.uniform(4.0..14.0),
        next_rider_s: 0.0,
        pose: mounting.world_from_camera(),
        draw,
    };
    square.populate();
    Parts {
        environment,
        camera: optics::camera(intrinsics, mounting),
        frame_rate,
        jitter,
        dynamics: Box::new(square),
    }
}

/// The ways on which bicycles and vans cross the square: side by side, so that they do not meet.
fn lay_rails(draw: &mut Draw, depth_m: f64) -> Network {
    let mut network = Network::default();
    let yaw_rad = draw.uniform(-PI..PI);
    let along_view = yaw_rad.cos().abs() > 0.7;
    let middle = Spot::new(draw.uniform(0.3..0.6) * depth_m, 0.0);
    let mut aside_m = draw.uniform(-16.0..-10.0);
    let forward = along(yaw_rad);
    while aside_m < 16.0 {
        let way = draw.sign();
        let start = middle + left_of(forward) * aside_m - forward * (way * 62.0);
        let end = middle + left_of(forward) * (aside_m + draw.uniform(-1.2..1.2)) + forward * (way * 62.0);
        let yaw_rad = if way > 0.0 { yaw_rad } else { yaw_rad + PI };
        // Not through the camera's mast.
        let passes_camera = Path::straight(start, end);
        let clear = (0..=124).all(|s| passes_camera.at(f64::from(s)).spot.coords.norm() > 4.0);
        if clear {
            let path = Path::turn(
                start,
                yaw_rad + draw.uniform(-0.05..0.05),
                end,
                yaw_rad + draw.uniform(-0.05..0.05),
            );
            let mut lane = Lane::along_path(path, 2.5, if along_view { 7.0 } else { 6.0 });
            lane.is_entry = true;
            network.lanes.push(lane);
        }
        aside_m += draw.uniform(4.5..9.0);
    }
    network
}

fn furnish(stage: &mut Stage, draw: &mut Draw, network: &Network, depth_m: f64, half_width_m: f64) {
    let surface = looks::paving(draw);
    let middle = Spot::new(NEAR_M + 0.5 * depth_m, 0.0);
    stage.rectangle(middle, depth_m + 14.0, 2.0 * half_width_m + 10.0, 0.0, surface);
    for _ in 0..draw.below(4) {
        // Bands and fields of another paving.
        let other = looks::paving(draw);
        let spot = Spot::new(draw.uniform(4.0..depth_m), draw.uniform(-half_width_m..half_width_m));
        match draw.below(3) {
            0 => stage.disc(spot, draw.uniform(2.0..9.0), other),
            1 => stage.rectangle(
                spot,
                draw.uniform(2.0..20.0),
                draw.uniform(2.0..20.0),
                draw.uniform(0.0..TAU),
                other,
            ),
            _ => stage.rectangle(
                middle,
                depth_m + 14.0,
                draw.uniform(0.5..3.0),
                draw.uniform(-0.7..0.7),
                other,
            ),
        }
    }
    // Houses round it, with gaps to go through.
    let storeys = draw.uniform(1.5..5.5);
    let built = draw.uniform(0.5..1.0);
    let far_m = NEAR_M + depth_m + 8.0;
    let mut rows = vec![(Spot::new(far_m, 0.0), half_width_m + 12.0)];
    for side in [-1.0, 1.0] {
        rows.push((Spot::new(0.5 * far_m + 6.0, side * (half_width_m + 9.0)), 0.5 * far_m));
    }
    for (row, (origin, reach_m)) in rows.into_iter().enumerate() {
        let (across, outwards) = match row {
            0 => (left_of(along(0.0)), along(0.0)),
            _ => (along(0.0), along(FRAC_PI_2) * origin.y.signum()),
        };
        let mut reached_m = -reach_m;
        while reached_m < reach_m {
            let (width_m, house_m) = (draw.uniform(8.0..24.0), draw.uniform(8.0..14.0));
            let spot = origin + across * (reached_m + 0.5 * width_m) + outwards * (0.5 * house_m);
            if draw.chance(built) {
                let footprint = Footprint::new(spot, across.y.atan2(across.x), width_m, house_m);
                let off_rails = network
                    .lanes
                    .iter()
                    .all(|lane| (0..124).all(|s| footprint.distance_m(lane.spot(f64::from(s))) > 2.5));
                if off_rails && stage.is_free(&footprint) {
                    let height_m = (storeys * draw.uniform(0.6..1.4)).max(1.0) * 3.1;
                    stage.house(draw, footprint, height_m);
                }
            }
            reached_m += width_m + draw.uniform(1.0..7.0);
        }
    }
    // Trees, lamps, benches, bollards; off the ways.
    let things = draw.whole(4, 16);
    for _ in 0..things {
        let spot = Spot::new(
            draw.uniform(8.0..NEAR_M + depth_m + 4.0),
            draw.uniform(-half_width_m..half_width_m),
        );
        let free = network
            .lanes
            .iter()
            .all(|lane| (0..124).all(|s| (lane.spot(f64::from(s)) - spot).norm() > 3.2));
        if !free || !stage.is_free(&Footprint::new(spot, 0.0, 2.5, 2.5)) {
            continue;
        }
        match draw.below(6) {
            0 | 1 if spot.x > 20.0 || spot.y.abs() > 0.6 * spot.x => stage.tree(draw, spot),
            2 => {
                let metal = looks::metal(draw);
                stage.post(spot, draw.uniform(0.05..0.12), draw.uniform(3.5..6.0), metal);
            }
            3 => {
                let yaw_rad = draw.uniform(0.0..TAU);
                stage.bench(draw, spot, yaw_rad);
            }
            4 => {
                let metal = looks::metal(draw);
                stage.post(spot, draw.uniform(0.08..0.2), draw.uniform(0.7..1.1), metal);
            }
            _ => {
                let (sides, top) = (looks::motley(draw), looks::leaves(draw));
                let footprint = Footprint::new(
                    spot,
                    draw.uniform(0.0..TAU),
                    draw.uniform(0.8..2.4),
                    draw.uniform(0.6..1.2),
                );
                stage.cuboid(footprint, draw.uniform(0.5..1.4), sides, top);
            }
        }
    }
}

struct Square {
    crowd: Crowd,
    fleet: Fleet,
    solid: Vec<Footprint>,
    obstacles: Vec<Footprint>,
    gone: Vec<u16>,
    ids: Ids,
    depth_m: f64,
    half_width_m: f64,
    people: usize,
    /// Mean time between riders, seconds.
    riders_s: f64,
    next_rider_s: f64,
    pose: Isometry3<f64>,
    draw: Draw,
}

impl Square {
    fn inside(&mut self) -> Spot {
        Spot::new(
            self.draw.uniform(NEAR_M + 3.0..NEAR_M + 0.65 * self.depth_m),
            self.draw.uniform(-0.5 * self.half_width_m..0.5 * self.half_width_m),
        )
    }

    /// A place at the edge, where people come from and go to.
    fn edge(&mut self) -> Spot {
        let x = self.draw.uniform(NEAR_M..NEAR_M + self.depth_m + 4.0);
        match self.draw.below(5) {
            0 => Spot::new(
                NEAR_M + self.depth_m + 6.0,
                self.draw.uniform(-self.half_width_m..self.half_width_m),
            ),
            1 => Spot::new(-8.0, self.draw.sign() * self.draw.uniform(5.0..20.0)),
            _ => Spot::new(x, self.draw.sign() * (self.half_width_m + 6.0)),
        }
    }

    fn free_spot(&mut self) -> Spot {
        for _ in 0..20 {
            let spot = self.inside();
            let free = self.solid.iter().all(|solid| solid.distance_m(spot) > 0.8)
                && self
                    .fleet
                    .network
                    .lanes
                    .iter()
                    .all(|lane| (0..62).all(|s| (lane.spot(2.0 * f64::from(s)) - spot).norm() > 2.2));
            if free {
                return spot;
            }
        }
        Spot::new(-9.0, 12.0)
    }

    /// One, two, or a few people who walk together.
    fn walk_in(&mut self, from: Spot) {
        let count = self.draw.weighted(&[(6.0, 1), (3.0, 2), (1.0, 3), (0.4, 4)], 1);
        let runs = count == 1 && self.draw.chance(0.1);
        let pace_mps = if runs {
            self.draw.uniform(2.4..4.5)
        } else {
            self.draw.normal(1.34 - 0.06 * count as f64, 0.2, 0.6..1.9)
        };
        let stop = self
            .draw
            .chance(0.25)
            .then(|| (self.free_spot(), self.draw.uniform(5.0..40.0)));
        let exit = self.edge();
        for index in 0..count {
            let Some(id) = self.ids.next() else { return };
            let aside = along(self.draw.uniform(0.0..TAU)) * 0.2
                + left_of((exit - from).try_normalize(1e-6).unwrap_or_else(nalgebra::Vector2::x))
                    * (0.75 * index as f64);
            let walker = Walker::new(&mut self.draw, id, from + aside, 0.0, pace_mps);
            let pause = stop.map(|(spot, pause_s)| Goal {
                spot: spot + along(TAU * index as f64 / count as f64) * 0.55,
                pause_s,
                facing_rad: Some(TAU * index as f64 / count as f64 + PI),
            });
            self.crowd
                .add(walker, pause.into_iter().chain([Goal::pass(exit + aside)]));
        }
    }

    /// People who stand about in twos and threes.
    fn stand_about(&mut self) {
        let center = self.free_spot();
        let count = self.draw.whole(1, 4);
        let turn_rad = self.draw.uniform(0.0..TAU);
        let pause_s = self.draw.uniform(20.0..240.0);
        for index in 0..count {
            let Some(id) = self.ids.next() else { return };
            let direction_rad = turn_rad + TAU * index as f64 / count as f64;
            let spot = center + along(direction_rad) * self.draw.uniform(0.45..0.65);
            let pace_mps = self.draw.normal(1.3, 0.2, 0.7..1.8);
            let facing_rad = direction_rad + PI;
            let walker = Walker::new(&mut self.draw, id, spot, facing_rad, pace_mps);
            let exit = self.edge();
            let stand = Goal {
                spot,
                pause_s,
                facing_rad: Some(facing_rad),
            };
            self.crowd.add(walker, [stand, Goal::pass(exit)]);
        }
    }

    fn rider(&mut self, under_way: bool) {
        let lanes = self.fleet.network.lanes.len();
        if lanes == 0 {
            return;
        }
        let Some(id) = self.ids.next() else { return };
        let mut vehicle = if self.draw.chance(0.85) {
            let size = bodies::extent(ActorClass::Bicycle, &mut self.draw);
            Vehicle::new(&mut self.draw, id, ActorClass::Bicycle, size)
        } else {
            let size = bodies::van(&mut self.draw);
            let mut van = Vehicle::new(&mut self.draw, id, ActorClass::Car, size);
            van.driver.top_mps = self.draw.uniform(1.8..4.0);
            van
        };
        vehicle.driver.top_mps = vehicle.driver.top_mps.min(6.0);
        let lane = self.draw.below(lanes);
        let length_m = self.fleet.network.lanes[lane].length_m();
        let s = if under_way {
            self.draw.uniform(0.2 * length_m..0.9 * length_m)
        } else {
            vehicle.half_length_m()
        };
        let spot = self.fleet.network.lanes[lane].spot(s);
        let crowded = self
            .crowd
            .walkers
            .iter()
            .any(|walker| (walker.position - spot).norm() < 7.0);
        if !crowded {
            // No room: it stays away.
            self.fleet.insert(vehicle, lane, s);
        }
    }

    fn populate(&mut self) {
        while self.crowd.walkers.len() < self.people / 3 {
            self.stand_about();
        }
        while self.crowd.walkers.len() < self.people {
            let from = self.inside();
            self.walk_in(from);
        }
        for _ in 0..self.draw.whole(1, 4) {
            self.rider(true);
        }
    }
}

impl Dynamics for Square {
    fn step(&mut self, step_s: f64) {
        self.fleet.people.clear();
        self.fleet.people.extend(self.crowd.walkers.iter().map(Walker::as_seen));
        self.fleet.step(step_s);
        self.fleet.remove_gone();
        self.obstacles.clear();
        self.obstacles.extend_from_slice(&self.solid);
        self.obstacles.extend(self.fleet.vehicles.iter().map(|vehicle| {
            // People keep out of the way that a vehicle will need in the next moment.
            let ahead_m = 0.5 * vehicle.speed_mps;
            Footprint::new(
                vehicle.spot + along(vehicle.yaw_rad) * (0.5 * ahead_m),
                vehicle.yaw_rad,
                vehicle.size.length_m + ahead_m,
                vehicle.size.width_m,
            )
        }));
        self.gone.clear();
        self.crowd.step(&self.obstacles, step_s, &mut self.gone);
        if self.crowd.walkers.len() < self.people && self.draw.chance(0.8 * step_s) {
            let from = self.edge();
            self.walk_in(from);
        }
        if self.fleet.time_s >= self.next_rider_s {
            self.next_rider_s = self.fleet.time_s + self.draw.wait(self.riders_s);
            if self.fleet.vehicles.len() < 6 {
                self.rider(false);
            }
        }
    }

    fn actors(&self, actors: &mut Vec<Actor>) {
        self.fleet.actors(actors);
        self.crowd.actors(actors);
    }

    fn world_from_camera(&self) -> Isometry3<f64> {
        self.pose
    }
}

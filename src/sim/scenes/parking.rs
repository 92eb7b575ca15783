//! A car park from above: cars come in, look for a bay, turn into it, stand; people walk to their cars; cars back out and
//! leave.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use nalgebra::{Isometry2, Isometry3};

use super::Parts;
use super::draw::Draw;
use super::road::{Lane, Network, Path};
use super::stage::{Footprint, Spot, Stage, along, frame_at, left_of, place};
use super::traffic::{Block, Fleet, Ids, Mix, Vehicle};
use super::walkers::{Crowd, Goal, Walker};
use super::{bodies, looks, optics};
use crate::camera::Mounting;
use crate::sim::actor::{Actor, ActorClass};
use crate::sim::world::{Dynamics, WorldSettings};

/// Speed at which a car leaves the aisle for its bay, m/s.
const TURN_IN_MPS: f64 = 1.6;

/// The measures of a car park.
#[derive(Clone, Copy, Debug)]
struct Plan {
    aisles: usize,
    /// Length of an aisle, metres.
    length_m: f64,
    aisle_m: f64,
    bay_length_m: f64,
    bay_width_m: f64,
    /// Angle between the aisle's direction and the bay's.
    bay_rad: f64,
    /// Radius of the bends at the aisles' ends.
    bend_m: f64,
}

impl Plan {
    fn draw(draw: &mut Draw) -> Self {
        let bay_rad = if draw.chance(0.55) {
            FRAC_PI_2
        } else {
            draw.uniform(45f64..75.0).to_radians()
        };
        Self {
            aisles: draw.whole(2, 3),
            length_m: draw.uniform(34.0..58.0),
            aisle_m: draw.uniform(6.4..8.0),
            bay_length_m: draw.uniform(4.9..5.3),
            bay_width_m: draw.uniform(2.5..2.95),
            bay_rad,
            bend_m: draw.uniform(5.5..7.0),
        }
    }

    /// Depth of a row of bays across the aisle, metres.
    fn row_m(&self) -> f64 {
        self.bay_length_m * self.bay_rad.sin() + self.bay_width_m * self.bay_rad.cos()
    }

    /// From one aisle's middle to the next's.
    fn spacing_m(&self) -> f64 {
        self.aisle_m + 2.0 * self.row_m() + 0.4
    }
}

/// A bay.
#[derive(Clone, Debug)]
struct Bay {
    center: Spot,
    /// Direction of a car that drove in.
    yaw_rad: f64,
    lane: usize,
    /// From the lane into the bay.
    path: Path,
    /// Where on the lane the path begins.
    start_s: f64,
    /// Between bay and aisle, where people get out.
    mouth: Spot,
    state: BayState,
}

// Most bays are taken, so a box would save nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
enum BayState {
    Free,
    /// A car is on its way to it.
    Awaited,
    Taken {
        car: Vehicle,
        stay: Stay,
    },
}

/// How long a car still stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stay {
    /// For good.
    Always,
    /// Seconds until the driver gets out.
    GetsOut(f64),
    /// Seconds until the driver comes.
    Stands(f64),
    /// The driver is on the way to it.
    DriverComes(u16),
    /// Seconds until it sets off, then as soon as the aisle is free.
    SetsOff(f64),
}

/// A car between aisle and bay.
#[derive(Clone, Debug)]
struct Mover {
    car: Vehicle,
    bay: usize,
    /// Metres from the aisle along the bay's path.
    s: f64,
    /// Into the bay, or out of it backwards.
    inwards: bool,
}

pub(super) fn build(settings: &WorldSettings) -> Parts {
    let mut draw = Draw::new(settings.seed, 5);
    let (frame_rate, jitter) = optics::timing(&mut draw, settings);
    let intrinsics = optics::intrinsics(&mut draw, settings, 50.0..95.0);
    let mut layout = draw.fork();
    let plan = Plan::draw(&mut layout);
    let (network, bays) = lay_out(&plan);

    let height_m = draw.uniform(8.0..20.0);
    let pitch_rad = draw.uniform(30f64..70.0).to_radians();
    let aim = Spot::new(
        draw.uniform(0.25..0.75) * plan.length_m,
        draw.uniform(0.1..0.9) * plan.spacing_m() * (plan.aisles - 1) as f64,
    );
    let yaw_rad = draw.uniform(-PI..PI);
    let spot = aim - along(yaw_rad) * (height_m / pitch_rad.tan());
    let mounting = Mounting {
        height_m,
        pitch_down_rad: pitch_rad,
        roll_rad: optics::roll_rad(&mut draw),
    };
    let world_from_site = frame_at(spot, yaw_rad);

    let mut scenery = draw.fork();
    let mut stage = Stage::default();
    furnish(&mut stage, &mut scenery, &plan, &network, &bays, spot);
    let solid = stage.solid.clone();
    let base = looks::soil(&mut scenery);
    let light = looks::light(&mut scenery);
    let imaging = looks::imaging(&mut scenery, &light, frame_rate);
    let environment = stage.into_environment(&mut scenery, base, &world_from_site, light, imaging);

    let mut traffic = draw.fork();
    let mix = Mix::town(&mut traffic);
    let mut lot = Lot {
        fleet: Fleet::new(network, Vec::new(), mix, traffic),
        bays,
        movers: Vec::new(),
        bound: Vec::new(),
        crowd: Crowd::default(),
        solid,
        obstacles: Vec::new(),
        gone: Vec::new(),
        ids: Ids::new(),
        plan,
        arrivals_s: draw.uniform(5.0..14.0),
        next_s: 0.0,
        strolls_s: draw.uniform(8.0..30.0),
        next_stroll_s: 0.0,
        world_from_site,
        pose: mounting.world_from_camera(),
        draw,
    };
    lot.populate();
    Parts {
        environment,
        camera: optics::camera(intrinsics, mounting),
        frame_rate,
        jitter,
        dynamics: Box::new(lot),
    }
}

/// One way through all aisles, there and back in turn, and the bays on both sides of them.
fn lay_out(plan: &Plan) -> (Network, Vec<Bay>) {
    let mut network = Network::default();
    let mut bays = Vec::new();
    let add = |path: Path, limit_mps: f64, network: &mut Network| {
        let number = network.lanes.len();
        if let Some(before) = network.lanes.last_mut() {
            before.next = vec![number];
        }
        network.lanes.push(Lane::along_path(path, 3.0, limit_mps));
        number
    };
    let (aisle_mps, bend_mps) = (4.5, 4.0);
    for aisle in 0..plan.aisles {
        let y = aisle as f64 * plan.spacing_m();
        let forward = aisle % 2 == 0;
        let (start, end) = if forward {
            (Spot::new(0.0, y), Spot::new(plan.length_m, y))
        } else {
            (Spot::new(plan.length_m, y), Spot::new(0.0, y))
        };
        let way = (end - start).normalize();
        let yaw_rad = way.y.atan2(way.x);
        if aisle == 0 {
            add(Path::straight(start - way * 70.0, start), 6.0, &mut network);
        } else {
            // Up from the aisle before: a bend, a straight piece, a bend.
            let column = start.x - way.x * plan.bend_m;
            let below = y - plan.spacing_m();
            let (low, high) = (
                Spot::new(column, below + plan.bend_m),
                Spot::new(column, y - plan.bend_m),
            );
            let came = Spot::new(start.x, below);
            add(Path::turn(came, yaw_rad + PI, low, FRAC_PI_2), bend_mps, &mut network);
            add(Path::straight(low, high), bend_mps, &mut network);
            add(Path::turn(high, FRAC_PI_2, start, yaw_rad), bend_mps, &mut network);
        }
        let lane = add(Path::straight(start, end), aisle_mps, &mut network);
        for side in [-1.0, 1.0] {
            let heading_rad = yaw_rad + side * plan.bay_rad;
            let lateral_m = 0.5 * plan.aisle_m
                + 0.5 * plan.bay_length_m * plan.bay_rad.sin()
                + 0.5 * plan.bay_width_m * plan.bay_rad.cos();
            let pitch_m = plan.bay_width_m / plan.bay_rad.sin();
            let turn_m = (6.2 * (0.5 * plan.bay_rad).tan()).max(3.0);
            // Along the aisle, from where the bay's axis meets its middle.
            let mut meets_m = turn_m + 5.0;
            while meets_m + lateral_m / plan.bay_rad.tan() < plan.length_m - 5.0 {
                let meet = start + way * meets_m;
                let center = meet + along(heading_rad) * (lateral_m / plan.bay_rad.sin());
                let from = meet - way * turn_m;
                bays.push(Bay {
                    center,
                    yaw_rad: heading_rad,
                    lane,
                    path: Path::turn(from, yaw_rad, center, heading_rad),
                    start_s: meets_m - turn_m,
                    mouth: center - along(heading_rad) * (0.5 * plan.bay_length_m + 1.0),
                    state: BayState::Free,
                });
                meets_m += pitch_m;
            }
        }
        if aisle + 1 == plan.aisles {
            add(Path::straight(end, end + way * 70.0), 6.0, &mut network);
        }
    }
    if let Some(first) = network.lanes.first_mut() {
        first.is_entry = true;
    }
    (network, bays)
}

fn furnish(stage: &mut Stage, draw: &mut Draw, plan: &Plan, network: &Network, bays: &[Bay], camera: Spot) {
    let asphalt = if draw.chance(0.8) {
        looks::asphalt(draw)
    } else {
        looks::paving(draw)
    };
    let line = looks::paint(draw);
    let kerb = looks::kerb(draw);
    let rows_m = 0.5 * plan.aisle_m + plan.row_m() + 1.0;
    let high_m = plan.spacing_m() * (plan.aisles - 1) as f64;
    let middle = Spot::new(0.5 * plan.length_m, 0.5 * high_m);
    let (length_m, width_m) = (plan.length_m + 4.0 * plan.bend_m + 2.0, high_m + 2.0 * rows_m);
    stage.rectangle(middle, length_m + 0.4, width_m + 0.4, 0.0, kerb);
    for lane in [network.lanes.first(), network.lanes.last()].into_iter().flatten() {
        stage.strip(lane.spot(0.0), lane.spot(lane.length_m()), plan.aisle_m, asphalt);
    }
    stage.rectangle(middle, length_m, width_m, 0.0, asphalt);
    let bay_surface = looks::paving(draw);
    let other_surface = draw.chance(0.25);
    for bay in bays {
        let way = along(bay.yaw_rad);
        if other_surface {
            stage.rectangle(
                bay.center,
                plan.bay_length_m,
                plan.bay_width_m + 0.05,
                bay.yaw_rad,
                bay_surface,
            );
        }
        for side in [-1.0, 1.0] {
            let edge = bay.center + left_of(way) * (side * 0.5 * plan.bay_width_m);
            let half = way * (0.5 * plan.bay_length_m);
            stage.strip(edge - half, edge + half, 0.1, line);
        }
    }
    for _ in 0..draw.below(6) {
        let mended = looks::asphalt(draw);
        let spot = middle + along(draw.uniform(0.0..TAU)) * draw.uniform(0.0..0.4 * length_m);
        stage.rectangle(
            spot,
            draw.uniform(1.0..8.0),
            draw.uniform(0.6..3.0),
            draw.uniform(0.0..TAU),
            mended,
        );
    }
    // Lamps and trees where rows meet back to back, at their ends.
    let metal = looks::metal(draw);
    for aisle in 0..=plan.aisles {
        let y = (aisle as f64 - 0.5) * plan.spacing_m();
        for x in [2.0, plan.length_m - 2.0] {
            let spot = Spot::new(x, y);
            let near = bays.iter().any(|bay| {
                Footprint::new(bay.center, bay.yaw_rad, plan.bay_length_m, plan.bay_width_m).distance_m(spot) < 0.5
            });
            let on_lane = network
                .lanes
                .iter()
                .any(|lane| (0..=(lane.length_m() as usize)).any(|s| (lane.spot(s as f64) - spot).norm() < 2.6));
            if near || on_lane || (spot - camera).norm() < 6.0 {
                continue;
            }
            match draw.below(3) {
                0 => stage.post(spot, 0.1, draw.uniform(5.0..7.5), metal),
                1 => stage.bush(draw, spot),
                _ => {}
            }
        }
    }
    // Round it: hedges, trees, houses.
    let storeys = draw.uniform(1.0..4.0);
    for _ in 0..draw.whole(6, 30) {
        let direction = along(draw.uniform(0.0..TAU));
        let reach_m = 0.5 * length_m.hypot(width_m) + draw.uniform(2.0..25.0);
        let spot = middle + direction * reach_m;
        let off_lanes = network
            .lanes
            .iter()
            .all(|lane| (0..=(lane.length_m() as usize)).all(|s| (lane.spot(s as f64) - spot).norm() > 12.0));
        if !off_lanes || (spot - camera).norm() < 14.0 {
            continue;
        }
        if draw.chance(0.35) {
            let footprint = Footprint::new(
                spot + direction * 8.0,
                draw.uniform(-0.2..0.2),
                draw.uniform(10.0..25.0),
                draw.uniform(8.0..16.0),
            );
            let clear = (footprint.center - camera).norm() > 24.0;
            if clear && stage.is_free(&footprint) {
                stage.house(draw, footprint, 3.1 * storeys);
            }
        } else if draw.chance(0.7) {
            stage.tree(draw, spot);
        } else {
            stage.bush(draw, spot);
        }
    }
}

struct Lot {
    fleet: Fleet,
    bays: Vec<Bay>,
    movers: Vec<Mover>,
    /// Cars in the aisles that head for a bay: their ids and the bays.
    bound: Vec<(u16, usize)>,
    crowd: Crowd,
    solid: Vec<Footprint>,
    obstacles: Vec<Footprint>,
    gone: Vec<u16>,
    ids: Ids,
    plan: Plan,
    arrivals_s: f64,
    next_s: f64,
    strolls_s: f64,
    next_stroll_s: f64,
    world_from_site: Isometry2<f64>,
    pose: Isometry3<f64>,
    draw: Draw,
}

impl Lot {
    fn car(&mut self) -> Option<Vehicle> {
        let id = self.ids.next()?;
        let mut size = bodies::car(&mut self.draw);
        size.length_m = size.length_m.min(self.plan.bay_length_m + 0.1);
        Some(Vehicle::new(&mut self.draw, id, ActorClass::Car, size))
    }

    fn stay(&mut self) -> Stay {
        if self.draw.chance(0.75) {
            Stay::Always
        } else {
            Stay::Stands(self.draw.uniform(0.0..90.0))
        }
    }

    fn populate(&mut self) {
        let occupancy = self.draw.uniform(0.35..0.9);
        for index in 0..self.bays.len() {
            if !self.draw.chance(occupancy) {
                continue;
            }
            let Some(mut car) = self.car() else { return };
            let stay = self.stay();
            let way = along(self.bays[index].yaw_rad);
            let backwards = stay == Stay::Always && self.draw.chance(0.3);
            car.yaw_rad = self.bays[index].yaw_rad;
            car.spot = self.bays[index].center;
            if stay == Stay::Always {
                car.spot += way * self.draw.uniform(-0.2..0.2) + left_of(way) * self.draw.uniform(-0.12..0.12);
                car.yaw_rad += self.draw.normal(0.0, 0.02, -0.05..0.05) + if backwards { PI } else { 0.0 };
            }
            self.bays[index].state = BayState::Taken { car, stay };
        }
        for _ in 0..self.draw.whole(2, 5) {
            self.arrive(true);
        }
        for _ in 0..self.draw.whole(1, 5) {
            self.stroll(true);
        }
        // A few set off soon, so that something happens at once.
        let mut soon = 2;
        for index in 0..self.bays.len() {
            if let BayState::Taken { stay, .. } = &mut self.bays[index].state
                && matches!(stay, Stay::Stands(_))
                && soon > 0
            {
                soon -= 1;
                *stay = if soon == 0 {
                    Stay::SetsOff(1.0 + self.draw.uniform(0.0..4.0))
                } else {
                    Stay::Stands(0.0)
                };
            }
        }
    }

    /// Somebody comes in; `under_way`: is in the aisles already.
    fn arrive(&mut self, under_way: bool) {
        let lanes = self.fleet.network.lanes.len();
        let vehicle = match self.draw.below(8) {
            0 => {
                let class = if self.draw.chance(0.6) {
                    ActorClass::Bicycle
                } else {
                    ActorClass::Motorcycle
                };
                let size = bodies::extent(class, &mut self.draw);
                self.ids.next().map(|id| Vehicle::new(&mut self.draw, id, class, size))
            }
            _ => self.car(),
        };
        let Some(mut vehicle) = vehicle else { return };
        vehicle.driver.eagerness = self.draw.uniform(0.6..1.1);
        let lane = if under_way { self.draw.below(lanes - 1) } else { 0 };
        let length_m = self.fleet.network.lanes[lane].length_m();
        let s = if under_way {
            self.draw.uniform(3.0..length_m.max(7.0) - 3.0)
        } else {
            vehicle.half_length_m()
        };
        let (id, class) = (vehicle.id, vehicle.class);
        if let Some(index) = self.fleet.insert(vehicle, lane, s)
            && class == ActorClass::Car
            && self.draw.chance(0.85)
        {
            self.seek_bay(index, id);
        }
    }

    /// Chooses a free bay ahead that can be driven into.
    fn seek_bay(&mut self, index: usize, id: u16) {
        let vehicle = &self.fleet.vehicles[index];
        let choices: Vec<usize> = (0..self.bays.len())
            .filter(|bay| {
                let place = &self.bays[*bay];
                let ahead =
                    place.lane > vehicle.lane || (place.lane == vehicle.lane && place.start_s > vehicle.s + 6.0);
                ahead && matches!(place.state, BayState::Free) && self.fits(*bay, vehicle)
            })
            .collect();
        if choices.is_empty() {
            return;
        }
        let bay = choices[self.draw.below(choices.len())];
        self.bays[bay].state = BayState::Awaited;
        let place = &self.bays[bay];
        self.fleet.vehicles[index].slow_at = Some((place.lane, place.start_s, TURN_IN_MPS));
        self.bound.push((id, bay));
    }

    /// Whether a car can get into a bay past those that stand round it.
    fn fits(&self, bay: usize, car: &Vehicle) -> bool {
        let place = &self.bays[bay];
        let near: Vec<Footprint> = self
            .bays
            .iter()
            .filter_map(|other| match &other.state {
                BayState::Taken { car, .. } if (other.center - place.center).norm() < 13.0 => {
                    Some(car.footprint().grown(0.08))
                }
                _ => None,
            })
            .collect();
        let pieces = 24;
        (0..=pieces).all(|piece| {
            let station = place
                .path
                .at(place.path.length_m() * f64::from(piece) / f64::from(pieces));
            let swept = Footprint::new(station.spot, station.yaw_rad, car.size.length_m, car.size.width_m);
            !near.iter().any(|standing| standing.overlaps(&swept))
        })
    }

    /// Whether nobody else turns in or out along an aisle.
    fn aisle_is_calm(&self, lane: usize) -> bool {
        !self.movers.iter().any(|mover| self.bays[mover.bay].lane == lane)
    }

    /// Takes cars that have come to their bay off the aisle.
    fn turn_in(&mut self) {
        for entry in (0..self.bound.len()).rev() {
            let (id, bay) = self.bound[entry];
            let Some(index) = self.fleet.vehicles.iter().position(|vehicle| vehicle.id == id) else {
                self.bound.swap_remove(entry);
                self.bays[bay].state = BayState::Free;
                continue;
            };
            let place = &self.bays[bay];
            let vehicle = &self.fleet.vehicles[index];
            if vehicle.lane != place.lane || vehicle.s < place.start_s {
                continue;
            }
            self.bound.swap_remove(entry);
            let late_m = vehicle.s - place.start_s;
            let can = late_m < 0.1
                && vehicle.speed_mps < TURN_IN_MPS + 0.6
                && self.aisle_is_calm(place.lane)
                && self.fits(bay, vehicle);
            if can {
                let mut car = self.fleet.vehicles.remove(index);
                car.slow_at = None;
                self.movers.push(Mover {
                    car,
                    bay,
                    s: late_m,
                    inwards: true,
                });
            } else {
                self.bays[bay].state = BayState::Free;
                self.fleet.vehicles[index].slow_at = None;
                self.seek_bay(index, id);
            }
        }
    }

    /// Backs out of a bay when the aisle is free.
    fn set_off(&mut self, bay: usize) {
        let place = &self.bays[bay];
        let BayState::Taken { car, .. } = &place.state else {
            return;
        };
        let clear = self.aisle_is_calm(place.lane)
            && self.fits_out(bay, car)
            && self.fleet.vehicles.iter().all(|vehicle| {
                let apart_m = if vehicle.lane == place.lane {
                    vehicle.s - place.start_s
                } else if vehicle.route.first() == Some(&place.lane) {
                    vehicle.s - self.fleet.network.lanes[vehicle.lane].length_m() - place.start_s
                } else {
                    f64::INFINITY
                };
                !(-16.0..14.0).contains(&apart_m)
            });
        if clear {
            let mut car = car.clone();
            car.speed_mps = 0.0;
            let s = place.path.length_m();
            self.bays[bay].state = BayState::Awaited;
            self.movers.push(Mover {
                car,
                bay,
                s,
                inwards: false,
            });
        }
    }

    fn fits_out(&self, bay: usize, car: &Vehicle) -> bool {
        let place = &self.bays[bay];
        let pieces = 24;
        (0..=pieces).all(|piece| {
            let station = place
                .path
                .at(place.path.length_m() * f64::from(piece) / f64::from(pieces));
            let swept = Footprint::new(station.spot, station.yaw_rad, car.size.length_m, car.size.width_m);
            self.bays.iter().enumerate().all(|(number, other)| match &other.state {
                BayState::Taken { car, .. } if number != bay => !car.footprint().grown(0.08).overlaps(&swept),
                _ => true,
            })
        })
    }

    /// Moves the cars between aisle and bay along their paths.
    fn manoeuvre(&mut self, step_s: f64) {
        for index in (0..self.movers.len()).rev() {
            let bay = self.movers[index].bay;
            let path = &self.bays[bay].path;
            let length_m = path.length_m();
            let mover = &mut self.movers[index];
            let sense = if mover.inwards { 1.0 } else { -1.0 };
            let left_m = if mover.inwards { length_m - mover.s } else { mover.s };
            let in_the_way = self.crowd.walkers.iter().any(|walker| {
                [0.4, 1.0, 1.6].iter().any(|ahead_m| {
                    let station = path.at(mover.s + sense * ahead_m);
                    Footprint::new(
                        station.spot,
                        station.yaw_rad,
                        mover.car.size.length_m,
                        mover.car.size.width_m,
                    )
                    .distance_m(walker.position)
                        < walker.radius_m() + 0.15
                })
            });
            let before = mover.car.speed_mps.abs();
            let pace_mps = if mover.inwards { 1.7 } else { 1.3 };
            let mut allowed_mps = (2.0 * 0.7 * left_m).sqrt().min(pace_mps);
            if in_the_way {
                allowed_mps = 0.0;
            }
            let mut after = if allowed_mps > before {
                allowed_mps.min(before + 0.6 * step_s)
            } else {
                allowed_mps.max(before - 2.5 * step_s)
            };
            let arrived = left_m < 0.004;
            if arrived {
                after = 0.0;
            }
            mover.car.acceleration_mps2 = (after - before) / step_s;
            mover.s += sense * 0.5 * (before + after) * step_s;
            mover.car.speed_mps = sense * after;
            let station = path.at(mover.s);
            mover.car.spot = station.spot;
            mover.car.yaw_rad = station.yaw_rad;
            if !arrived {
                continue;
            }
            let mut mover = self.movers.swap_remove(index);
            mover.car.speed_mps = 0.0;
            mover.car.acceleration_mps2 = 0.0;
            if mover.inwards {
                let stay = Stay::GetsOut(self.draw.uniform(2.0..6.0));
                self.bays[bay].state = BayState::Taken { car: mover.car, stay };
            } else {
                let place = &self.bays[bay];
                let (lane, s) = (place.lane, place.start_s + mover.s);
                self.bays[bay].state = BayState::Free;
                self.fleet.join(mover.car, lane, s);
            }
        }
    }

    /// Where people come from and go to.
    fn gateway(&mut self) -> Spot {
        let high_m = self.plan.spacing_m() * (self.plan.aisles - 1) as f64;
        let rows_m = 0.5 * self.plan.aisle_m + self.plan.row_m() + 8.0;
        let x = -8.0 - 2.0 * self.plan.bend_m;
        match self.draw.below(3) {
            0 => Spot::new(self.draw.uniform(0.2..0.8) * self.plan.length_m, -rows_m),
            1 => Spot::new(x, 0.5 * high_m + 3.0),
            _ => Spot::new(self.draw.uniform(0.2..0.8) * self.plan.length_m, high_m + rows_m),
        }
    }

    /// The way from a bay to a gateway: along the aisle to its end, then out.
    fn way_out(&self, bay: usize, gateway: Spot) -> Vec<Spot> {
        let place = &self.bays[bay];
        let aisle = &self.fleet.network.lanes[place.lane];
        let aisle_y = aisle.spot(0.0).y;
        let beside_y = aisle_y + (place.center.y - aisle_y).signum() * 0.32 * self.plan.aisle_m;
        let mouth = Spot::new(place.mouth.x, beside_y);
        let end_x = if gateway.x < 0.0 || place.center.x < 0.5 * self.plan.length_m {
            -self.plan.bend_m - 2.0
        } else {
            self.plan.length_m + self.plan.bend_m + 2.0
        };
        vec![
            place.mouth,
            mouth,
            Spot::new(end_x, beside_y),
            Spot::new(end_x, gateway.y),
        ]
    }

    /// The spot beside the driver's door.
    fn door(&self, bay: usize) -> Option<Spot> {
        let BayState::Taken { car, .. } = &self.bays[bay].state else {
            return None;
        };
        let way = along(car.yaw_rad);
        Some(car.spot + left_of(way) * (0.5 * car.size.width_m + 0.32) - way * 0.1)
    }

    fn pace(&mut self) -> f64 {
        self.draw.normal(1.35, 0.2, 0.8..1.9)
    }

    fn stroll(&mut self, under_way: bool) {
        let (from, to) = (self.gateway(), self.gateway());
        let Some(id) = self.ids.next() else { return };
        let pace_mps = self.pace();
        let bay = self.draw.below(self.bays.len());
        let mut way: Vec<Spot> = self.way_out(bay, from);
        way.reverse();
        way.truncate(3);
        let start = if under_way { way[1] } else { from };
        if under_way {
            way.remove(0);
        }
        let walker = Walker::new(&mut self.draw, id, start, 0.0, pace_mps);
        let back = self.way_out(bay, to).into_iter().skip(1);
        let goals = way.into_iter().chain(back).chain([to]).map(Goal::pass);
        self.crowd.add(walker, goals.collect::<Vec<_>>());
    }

    /// Drivers get out, come back, set off.
    fn keep_stays(&mut self, step_s: f64) {
        for bay in 0..self.bays.len() {
            let BayState::Taken { stay, .. } = &mut self.bays[bay].state else {
                continue;
            };
            match stay {
                Stay::GetsOut(left_s) | Stay::Stands(left_s) | Stay::SetsOff(left_s) => {
                    *left_s -= step_s;
                    if *left_s > 0.0 {
                        continue;
                    }
                }
                Stay::Always | Stay::DriverComes(_) => continue,
            }
            match *stay {
                Stay::GetsOut(_) => {
                    *stay = Stay::Stands(self.draw.uniform(30.0..300.0));
                    if let (Some(door), Some(id)) = (self.door(bay), self.ids.next()) {
                        let gateway = self.gateway();
                        let pace_mps = self.pace();
                        let walker = Walker::new(&mut self.draw, id, door, self.bays[bay].yaw_rad, pace_mps);
                        let goals = self.way_out(bay, gateway).into_iter().chain([gateway]).map(Goal::pass);
                        self.crowd.add_standing(walker, goals.collect::<Vec<_>>());
                    }
                }
                Stay::Stands(_) => {
                    let Some(id) = self.ids.next() else { continue };
                    *stay = Stay::DriverComes(id);
                    if let Some(door) = self.door(bay) {
                        let gateway = self.gateway();
                        let pace_mps = self.pace();
                        let walker = Walker::new(&mut self.draw, id, gateway, 0.0, pace_mps);
                        let mut way = self.way_out(bay, gateway);
                        way.reverse();
                        let facing_rad = Some(self.bays[bay].yaw_rad - FRAC_PI_2);
                        let unlock = Goal {
                            spot: door,
                            pause_s: 1.5,
                            facing_rad,
                        };
                        let goals = way.into_iter().map(Goal::pass).chain([unlock]);
                        self.crowd.add(walker, goals.collect::<Vec<_>>());
                    }
                }
                Stay::SetsOff(_) => self.set_off(bay),
                Stay::Always | Stay::DriverComes(_) => {}
            }
        }
    }

    fn boarded(&mut self) {
        for id in &self.gone {
            for bay in &mut self.bays {
                if let BayState::Taken { stay, .. } = &mut bay.state
                    && *stay == Stay::DriverComes(*id)
                {
                    *stay = Stay::SetsOff(self.draw.uniform(2.0..7.0));
                }
            }
        }
    }
}

impl Dynamics for Lot {
    fn step(&mut self, step_s: f64) {
        self.fleet.people.clear();
        self.fleet.people.extend(self.crowd.walkers.iter().map(Walker::as_seen));
        self.fleet.blocks.clear();
        for mover in &self.movers {
            let place = &self.bays[mover.bay];
            self.fleet.blocks.push(Block {
                lane: place.lane,
                s: place.start_s + 1.0,
                half_length_m: mover.car.half_length_m() + 1.5,
            });
        }
        self.fleet.step(step_s);
        self.fleet.remove_gone();
        self.manoeuvre(step_s);
        self.turn_in();
        self.keep_stays(step_s);
        self.obstacles.clear();
        self.obstacles.extend_from_slice(&self.solid);
        for bay in &self.bays {
            if let BayState::Taken { car, .. } = &bay.state {
                self.obstacles.push(car.footprint());
            }
        }
        let moving = self
            .fleet
            .vehicles
            .iter()
            .chain(self.movers.iter().map(|mover| &mover.car));
        self.obstacles.extend(moving.map(|vehicle| {
            let ahead_m = 0.5 * vehicle.speed_mps;
            Footprint::new(
                vehicle.spot + along(vehicle.yaw_rad) * (0.5 * ahead_m),
                vehicle.yaw_rad,
                vehicle.size.length_m + ahead_m.abs(),
                vehicle.size.width_m,
            )
        }));
        self.gone.clear();
        self.crowd.step(&self.obstacles, step_s, &mut self.gone);
        self.boarded();
        if self.fleet.time_s >= self.next_s {
            self.next_s = self.fleet.time_s + self.draw.wait(self.arrivals_s);
            if self.fleet.vehicles.len() < 7 {
                self.arrive(false);
            }
        }
        if self.fleet.time_s >= self.next_stroll_s {
            self.next_stroll_s = self.fleet.time_s + self.draw.wait(self.strolls_s);
            if self.crowd.walkers.len() < 12 {
                self.stroll(false);
            }
        }
    }

    fn actors(&self, actors: &mut Vec<Actor>) {
        let first = actors.len();
        self.fleet.actors(actors);
        actors.extend(self.movers.iter().map(|mover| mover.car.actor()));
        for bay in &self.bays {
            if let BayState::Taken { car, .. } = &bay.state {
                let mut actor = car.actor();
                actor.articulation.braking = false;
                actors.push(actor);
            }
        }
        self.crowd.actors(actors);
        for actor in &mut actors[first..] {
            place(actor, &self.world_from_site);
        }
    }

    fn world_from_camera(&self) -> Isometry3<f64> {
        self.pose
    }
}

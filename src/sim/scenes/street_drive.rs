//! A camera on a car that drives through a town, on a country road, or on a motorway.

use std::f64::consts::{PI, TAU};

use nalgebra::{Isometry2, Isometry3, Point2, Translation3, UnitQuaternion, Vector3};

use super::Parts;
use super::draw::Draw;
use super::road::{Lane, Network, NodeKind, Path, Roadside, Section, paint};
use super::stage::{Footprint, Spot, Stage, along, frame_at, place};
use super::street_fixed::{lights_of, town_road};
use super::traffic::{Fleet, Ids, LONG_M, Mix, Vehicle};
use super::walkers::{Pavements, Strollers};
use super::{looks, optics};
use crate::camera::Mounting;
use crate::sim::actor::{Actor, ActorClass, Size};
use crate::sim::environment::Material;
use crate::sim::world::{Dynamics, WorldSettings};

/// What is further from the car than this is not in the world.
const WORLD_M: f64 = 175.0;
/// Parked cars are in the world when nearer than this.
const PARKED_M: f64 = 80.0;

/// The number of the camera's own car in the fleet; it is no actor.
const OWN: u16 = 0;

pub(super) fn build(settings: &WorldSettings) -> Parts {
    let mut draw = Draw::new(settings.seed, 2);
    let (frame_rate, jitter) = optics::timing(&mut draw, settings);
    let intrinsics = optics::intrinsics(&mut draw, settings, 50.0..100.0);
    let mounting = Mounting {
        height_m: draw.uniform(1.1..2.2),
        pitch_down_rad: draw.normal(2.0, 2.5, -3.0..8.0).to_radians(),
        roll_rad: optics::roll_rad(&mut draw),
    };
    let mut roads = draw.fork();
    let mut scenery = draw.fork();
    let mut traffic = draw.fork();
    let mut stage = Stage::default();
    let mut ids = Ids::new();
    let (network, mix, parked, people) = match roads.below(10) {
        0..=5 => {
            let network = town(&mut roads);
            let roadside = Roadside::draw(&mut scenery);
            let parked = paint(&mut stage, &network, &roadside, &mut scenery, &mut ids, &|_, _| true);
            (network, Mix::town(&mut traffic), parked, traffic.whole(8, 22))
        }
        6 | 7 => {
            let network = ring(&mut roads, &mut stage, &mut scenery, false);
            (network, Mix::town(&mut traffic), Vec::new(), 0)
        }
        _ => {
            let network = ring(&mut roads, &mut stage, &mut scenery, true);
            (network, Mix::motorway(&mut traffic), Vec::new(), 0)
        }
    };
    let solid: Vec<Footprint> = stage
        .solid
        .iter()
        .filter(|solid| solid.half_length_m < 1.0)
        .copied()
        .collect();
    let lights = lights_of(&network, &mut traffic);
    let strollers = Strollers::new(Pavements::new(&network), traffic.fork());
    let mut fleet = Fleet::new(network, lights, mix, traffic.fork());
    let own = start(&mut fleet, &mut draw);
    let ahead_m = draw.uniform(0.2..1.2);
    let camera_spot = own.spot + along(own.yaw_rad) * ahead_m;
    let world_from_site = frame_at(camera_spot, own.yaw_rad);

    let base = looks::soil(&mut scenery);
    let light = looks::light(&mut scenery);
    let imaging = looks::imaging(&mut scenery, &light, frame_rate);
    let environment = stage.into_environment(&mut scenery, base, &world_from_site, light, imaging);
    let mut drive = Drive {
        ride: Ride::draw(&mut draw, own.yaw_rad),
        own_spot: own.spot,
        fleet,
        strollers,
        solid,
        parked,
        ids,
        world_from_site,
        camera_from_own: mounting.world_from_camera(),
        ahead_m,
        people,
        vehicles: traffic.whole(14, 30),
        next_s: 0.0,
        draw: traffic,
    };
    drive.populate();
    Parts {
        environment,
        camera: optics::camera(intrinsics, mounting),
        frame_rate,
        jitter,
        dynamics: Box::new(drive),
    }
}

/// Puts the camera's car on a lane.
fn start(fleet: &mut Fleet, draw: &mut Draw) -> Vehicle {
    let lanes: Vec<usize> = (0..fleet.network.lanes.len())
        .filter(|lane| fleet.network.lanes[*lane].gate.is_none())
        .collect();
    loop {
        let lane = lanes[draw.below(lanes.len())];
        let size = Size {
            length_m: 4.5,
            width_m: 1.85,
            height_m: 1.6,
        };
        let mut vehicle = Vehicle::new(draw, OWN, ActorClass::Car, size);
        vehicle.driver.eagerness = draw.uniform(0.8..1.1);
        let s = draw.uniform(0.1..0.6) * fleet.network.lanes[lane].length_m();
        if let Some(index) = fleet.insert(vehicle, lane, s.max(4.0)) {
            return fleet.vehicles[index].clone();
        }
    }
}

/// A town: a grid of three by three junctions, pulled out of shape.
fn town(draw: &mut Draw) -> Network {
    let spacing = [draw.uniform(95.0..170.0), draw.uniform(95.0..170.0)];
    let mut nodes: Vec<(Spot, NodeKind)> = Vec::new();
    for row in 0..3 {
        for column in 0..3 {
            let spot = Spot::new(
                f64::from(column) * spacing[0] + draw.uniform(-12.0..12.0),
                f64::from(row) * spacing[1] + draw.uniform(-12.0..12.0),
            );
            let corner = row != 1 && column != 1;
            let kind = match draw.below(5) {
                _ if corner => NodeKind::Equal,
                0..=2 => NodeKind::Lights,
                3 => NodeKind::Priority,
                _ => NodeKind::Equal,
            };
            nodes.push((spot, kind));
        }
    }
    // Each street of the grid is built alike from end to end.
    let mut sections = Vec::new();
    for vertical in [false, true] {
        for line in 0..3 {
            let lanes = if draw.chance(0.3) { 2 } else { 1 };
            let plan = town_road(draw, lanes);
            for piece in 0..2 {
                let number = |along: usize| if vertical { 3 * along + line } else { 3 * line + along };
                let ends = [number(piece), number(piece + 1)];
                sections.push(Section {
                    nodes: ends.map(Some),
                    ends: ends.map(|node| nodes[node].0),
                    plan,
                    setback_m: [0.0; 2],
                });
            }
        }
    }
    Network::new(draw, &nodes, sections, 0.7)
}

/// A road that closes on itself: a motorway or a country road, painted as it is laid.
fn ring(draw: &mut Draw, stage: &mut Stage, scenery: &mut Draw, motorway: bool) -> Network {
    let radius_m = if motorway {
        draw.uniform(420.0..560.0)
    } else {
        draw.uniform(180.0..260.0)
    };
    // Radius = R (1 + Σ aₖ cos (k θ + φₖ)): bends of both senses, none too sharp.
    let bends: Vec<(f64, f64, f64)> = (2..=4)
        .map(|order| {
            let most = if motorway { 0.09 } else { 0.2 } / f64::from(order * order) * 2.0;
            (f64::from(order), draw.uniform(0.2..1.0) * most, draw.uniform(0.0..TAU))
        })
        .collect();
    let at = |theta: f64| {
        let share: f64 = bends
            .iter()
            .map(|(order, strength, phase)| strength * (order * theta + phase).cos())
            .sum();
        Spot::origin() + along(theta) * (radius_m * (1.0 + share))
    };
    let pieces = 6000;
    let points = (0..=pieces).map(|piece| at(TAU * f64::from(piece) / f64::from(pieces)));
    let way = at(1e-4) - at(-1e-4);
    let axis = Path::closed(points, way.y.atan2(way.x));
    let lanes = if motorway { draw.whole(2, 3) } else { 1 };
    let lane_m = if motorway {
        draw.uniform(3.4..3.8)
    } else {
        draw.uniform(2.9..3.6)
    };
    let median_m = if motorway { draw.uniform(2.0..5.0) } else { 0.0 };
    let limit_mps = if motorway {
        draw.uniform(80.0..130.0) / 3.6
    } else {
        draw.uniform(60.0..95.0) / 3.6
    };
    let mut network = Network::default();
    for way in 0..2 {
        let path = if way == 0 { axis.clone() } else { axis.reversed() };
        let first = network.lanes.len();
        let whole = Lane::along_path(path, lane_m, limit_mps);
        for index in 0..lanes {
            let number = first + index;
            network.lanes.push(Lane {
                offset_m: -(0.5 * median_m + (index as f64 + 0.5) * lane_m),
                next: vec![number],
                beside: [
                    index.checked_sub(1).map(|left| first + left),
                    (index + 1 < lanes).then_some(number + 1),
                ],
                ..whole.clone()
            });
        }
    }
    let half_m = 0.5 * median_m + lanes as f64 * lane_m;
    paint_ring(stage, scenery, &axis, (median_m, lane_m, lanes, half_m));
    network
}

fn paint_ring(
    stage: &mut Stage,
    draw: &mut Draw,
    axis: &Path,
    (median_m, lane_m, lanes, half_m): (f64, f64, usize, f64),
) {
    let shoulder_m = if median_m > 0.0 {
        draw.uniform(1.5..3.0)
    } else {
        draw.uniform(0.2..1.2)
    };
    let asphalt = looks::asphalt(draw);
    let line = looks::paint(draw);
    let length_m = axis.length_m();
    let step_m = 8.0;
    let pieces = (length_m / step_m).floor();
    let step_m = length_m / pieces;
    let mut band = |from_m: f64, to_m: f64, start: f64, end: f64, material: Material| {
        stage.polygon(
            vec![
                axis.beside(start, from_m),
                axis.beside(end, from_m),
                axis.beside(end, to_m),
                axis.beside(start, to_m),
            ],
            material,
        );
    };
    let width_m = draw.uniform(0.1..0.2);
    let (dash_m, every_m) = [(6.0, 18.0), (4.0, 12.0), (3.0, 9.0)][draw.below(3)];
    for piece in 0..pieces as usize {
        let (start, end) = (piece as f64 * step_m, (piece as f64 + 1.0) * step_m + 0.05);
        let edge_m = half_m + shoulder_m;
        band(-edge_m, edge_m, start, end, asphalt);
    }
    for piece in 0..pieces as usize {
        let (start, end) = (piece as f64 * step_m, (piece as f64 + 1.0) * step_m + 0.05);
        for side in [-1.0, 1.0] {
            band(
                side * (half_m - 0.5 * width_m),
                side * (half_m + 0.5 * width_m),
                start,
                end,
                line,
            );
            if median_m > 0.0 {
                let inner_m = side * (0.5 * median_m);
                band(inner_m - 0.5 * width_m, inner_m + 0.5 * width_m, start, end, line);
            }
        }
    }
    let mut reached_m = 0.0;
    while reached_m + every_m < length_m {
        let mut offsets: Vec<f64> = Vec::new();
        for lane in 1..lanes {
            let offset_m = 0.5 * median_m + lane as f64 * lane_m;
            offsets.extend([offset_m, -offset_m]);
        }
        if median_m == 0.0 {
            offsets.push(0.0);
        }
        for offset_m in offsets {
            band(
                offset_m - 0.5 * width_m,
                offset_m + 0.5 * width_m,
                reached_m,
                reached_m + dash_m,
                line,
            );
        }
        reached_m += every_m;
    }
    // What stands beside it.
    let trees = draw.chance(0.7);
    let sparse_m = draw.uniform(10.0..30.0);
    let rails = median_m > 0.0 || draw.chance(0.3);
    let metal = looks::metal(draw);
    let concrete = looks::kerb(draw);
    let mut reached_m = 0.0;
    while reached_m < length_m {
        let station = axis.at(reached_m);
        if median_m > 0.0 {
            let footprint = Footprint::new(station.spot, station.yaw_rad, 12.2, 0.3);
            stage.cuboid(footprint, 0.85, concrete, concrete);
        }
        if rails {
            for side in [-1.0, 1.0] {
                let spot = axis.beside(reached_m, side * (half_m + shoulder_m + 0.7));
                stage.cuboid(Footprint::new(spot, station.yaw_rad, 12.2, 0.12), 0.75, metal, metal);
            }
        }
        reached_m += 12.0;
    }
    let mut reached_m = 0.0;
    while reached_m < length_m {
        let side = draw.sign();
        let beyond_m = half_m + shoulder_m + draw.uniform(3.5..40.0);
        let spot = axis.beside(reached_m, side * beyond_m);
        match draw.below(12) {
            0 => {
                let footprint = Footprint::new(
                    axis.beside(reached_m, side * (beyond_m + 14.0)),
                    axis.at(reached_m).yaw_rad,
                    draw.uniform(8.0..25.0),
                    draw.uniform(8.0..14.0),
                );
                let height_m = draw.uniform(4.0..12.0);
                stage.house(draw, footprint, height_m);
            }
            1 => {
                let sign = axis.beside(reached_m, side * (half_m + shoulder_m + 1.6));
                stage.post(sign, 0.06, 2.2, metal);
                let board = looks::motley(draw);
                stage.cuboid(
                    Footprint::new(sign, axis.at(reached_m).yaw_rad, 0.06, 0.9),
                    2.8,
                    board,
                    board,
                );
            }
            _ if trees => stage.tree(draw, spot),
            _ => stage.bush(draw, spot),
        }
        reached_m += sparse_m * draw.uniform(0.5..1.5);
    }
}

/// The body on its springs: pitch, roll and heave, each a damped oscillator that answers acceleration and the road.
#[derive(Clone, Debug)]
struct Ride {
    /// Heading, kept apart from the vehicle's so that it turns on without jumps at ±π.
    yaw_rad: f64,
    pitch_rad: f64,
    pitch_radps: f64,
    roll_rad: f64,
    roll_radps: f64,
    heave_m: f64,
    heave_mps: f64,
    /// Natural angular frequencies of pitch, roll and heave, rad/s.
    stiffness_radps: [f64; 3],
    damping: f64,
    /// Pitch per forward and roll per lateral acceleration, rad/(m/s²).
    pitch_per_mps2: f64,
    roll_per_mps2: f64,
    /// Roughness of the road, rad/s² of pitch at 10 m/s.
    roughness: f64,
    draw: Draw,
}

impl Ride {
    fn draw(draw: &mut Draw, yaw_rad: f64) -> Self {
        Self {
            yaw_rad,
            pitch_rad: 0.0,
            pitch_radps: 0.0,
            roll_rad: 0.0,
            roll_radps: 0.0,
            heave_m: 0.0,
            heave_mps: 0.0,
            stiffness_radps: [
                TAU * draw.uniform(1.1..1.8),
                TAU * draw.uniform(1.0..1.6),
                TAU * draw.uniform(1.0..1.5),
            ],
            damping: draw.uniform(0.2..0.4),
            pitch_per_mps2: draw.uniform(2.0..4.5).to_radians() / 9.81,
            roll_per_mps2: draw.uniform(3.0..7.0).to_radians() / 9.81,
            roughness: draw.log_uniform(0.05..0.5),
            draw: draw.fork(),
        }
    }

    fn step(&mut self, vehicle: &Vehicle, step_s: f64) {
        let turn = (vehicle.yaw_rad - self.yaw_rad + PI).rem_euclid(TAU) - PI;
        self.yaw_rad += turn;
        let lateral = vehicle.speed_mps * vehicle.speed_mps * vehicle.curvature_per_m;
        // The nose dips when braking; the body leans out of the bend. Positive pitch looks down, positive roll is
        // clockwise seen from behind, which is to the right.
        let rest = [
            -self.pitch_per_mps2 * vehicle.acceleration_mps2,
            self.roll_per_mps2 * lateral,
            0.0,
        ];
        // Bumps come as white noise of the way, so their strength goes with the root of the speed.
        let bump = self.roughness * (vehicle.speed_mps / 10.0).sqrt() * (0.02 / step_s).sqrt();
        let mut kick = |scale: f64| self.draw.normal(0.0, 1.0, -3.0..3.0) * bump * scale;
        let kicks = [kick(1.0), kick(1.2), kick(1.5)];
        let mut axes = [
            (&mut self.pitch_rad, &mut self.pitch_radps),
            (&mut self.roll_rad, &mut self.roll_radps),
            (&mut self.heave_m, &mut self.heave_mps),
        ];
        for (index, (value, rate)) in axes.iter_mut().enumerate() {
            let stiffness = self.stiffness_radps[index];
            let pull = stiffness * stiffness * (rest[index] - **value) - 2.0 * self.damping * stiffness * **rate;
            **rate += (pull + kicks[index]) * step_s;
            **value += **rate * step_s;
        }
    }
}

struct Drive {
    fleet: Fleet,
    strollers: Strollers,
    ride: Ride,
    own_spot: Spot,
    solid: Vec<Footprint>,
    /// In the site's frame.
    parked: Vec<Actor>,
    ids: Ids,
    world_from_site: Isometry2<f64>,
    camera_from_own: Isometry3<f64>,
    /// The camera's place before the car's middle.
    ahead_m: f64,
    people: usize,
    vehicles: usize,
    next_s: f64,
    draw: Draw,
}

impl Drive {
    fn own(&self) -> Option<&Vehicle> {
        self.fleet.vehicles.iter().find(|vehicle| vehicle.id == OWN)
    }

    fn populate(&mut self) {
        for _ in 0..3 * self.vehicles {
            self.let_in(0.0);
        }
        let here = self.own_spot;
        for _ in 0..self.people {
            self.strollers.add(&mut self.ids, |spot| (spot - here).norm() < 110.0);
        }
    }

    /// A vehicle somewhere at least `near_m` away, when there is room.
    fn let_in(&mut self, near_m: f64) {
        if self.fleet.vehicles.len() > self.vehicles {
            return;
        }
        for _ in 0..40 {
            let lane = self.draw.below(self.fleet.network.lanes.len());
            let length_m = self.fleet.network.lanes[lane].length_m();
            if self.fleet.network.lanes[lane].gate.is_some() || length_m < 30.0 {
                continue;
            }
            let s = self.draw.uniform(10.0..length_m - 12.0);
            let distance_m = (self.fleet.network.lanes[lane].spot(s) - self.own_spot).norm();
            if distance_m < near_m || distance_m > WORLD_M - 10.0 {
                continue;
            }
            let vehicle = self.fleet.draw_vehicle();
            // No room: it stays away.
            self.fleet.admit(&mut self.ids, vehicle, lane, s);
            return;
        }
    }
}

impl Dynamics for Drive {
    fn step(&mut self, step_s: f64) {
        self.strollers.step(&mut self.fleet, &self.solid, step_s);
        self.fleet.step(step_s);
        if let Some(own) = self.fleet.vehicles.iter().find(|vehicle| vehicle.id == OWN) {
            self.ride.step(own, step_s);
            self.own_spot = own.spot;
        }
        if self.fleet.time_s >= self.next_s {
            self.next_s = self.fleet.time_s + 0.25;
            let here = self.own_spot;
            let stays: Vec<bool> = (self.fleet.vehicles.iter())
                .map(|vehicle| {
                    let away_m = (vehicle.spot - here).norm();
                    let stuck = vehicle.size.length_m > LONG_M && self.fleet.has_to_turn(vehicle);
                    vehicle.id == OWN || away_m < if stuck { 90.0 } else { WORLD_M }
                })
                .collect();
            let mut stays = stays.into_iter();
            self.fleet.vehicles.retain(|_| stays.next().unwrap_or(true));
            self.strollers
                .remove_where(&mut self.fleet, |spot| (spot - here).norm() > 120.0);
            self.let_in(WORLD_M - 35.0);
            if self.strollers.walkers.len() < self.people {
                self.strollers.add(&mut self.ids, |spot| {
                    let away_m = (spot - here).norm();
                    away_m > 70.0 && away_m < 115.0
                });
            }
        }
    }

    fn actors(&self, actors: &mut Vec<Actor>) {
        let first = actors.len();
        actors.extend(
            self.fleet
                .vehicles
                .iter()
                .filter(|vehicle| vehicle.id != OWN)
                .map(Vehicle::actor),
        );
        self.strollers.actors(actors);
        actors.extend(
            self.parked
                .iter()
                .filter(|parked| {
                    let spot: Point2<f64> = parked.base_in_world.xy();
                    (spot - self.own_spot).norm() < PARKED_M
                })
                .cloned(),
        );
        for actor in &mut actors[first..] {
            place(actor, &self.world_from_site);
        }
    }

    fn world_from_camera(&self) -> Isometry3<f64> {
        let Some(own) = self.own() else {
            return self.camera_from_own;
        };
        let spot = self.world_from_site * own.spot;
        let yaw_rad = self.ride.yaw_rad + self.world_from_site.rotation.angle();
        let heading = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad);
        // About the body's own axes: forward for roll, left for pitch.
        let pitch = UnitQuaternion::from_axis_angle(&Vector3::y_axis(), self.ride.pitch_rad);
        let roll = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), self.ride.roll_rad);
        let body = Isometry3::from_parts(
            Translation3::new(spot.x, spot.y, self.ride.heave_m),
            heading * pitch * roll,
        );
        body * Translation3::new(self.ahead_m, 0.0, 0.0) * self.camera_from_own
    }
}

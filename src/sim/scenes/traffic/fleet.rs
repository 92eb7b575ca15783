//! The fleet: all vehicles of a network, stepped together; those that come and those that go.

use super::gates::{self, CrossingUse, Lights};
use super::vehicle::{Grant, Shift, Vehicle};
use crate::sim::actor::{Actor, ActorClass};
use crate::sim::scenes::bodies;
use crate::sim::scenes::draw::Draw;
use crate::sim::scenes::road::Network;
use crate::sim::scenes::stage::Spot;
use crate::sim::scenes::walkers::Passerby;

/// How far a driver looks ahead, metres.
const HORIZON_M: f64 = 120.0;

/// Shares of the classes in traffic.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Mix(pub(in crate::sim::scenes) [(f64, ActorClass); 5]);

impl Mix {
    /// Town traffic, a little different in each world.
    pub(in crate::sim::scenes) fn town(draw: &mut Draw) -> Self {
        Self([
            (1.0, ActorClass::Car),
            (draw.uniform(0.05..0.25), ActorClass::Truck),
            (draw.uniform(0.03..0.18), ActorClass::Bus),
            (draw.uniform(0.03..0.2), ActorClass::Motorcycle),
            (draw.uniform(0.03..0.25), ActorClass::Bicycle),
        ])
    }

    /// Traffic on a motorway.
    pub(in crate::sim::scenes) fn motorway(draw: &mut Draw) -> Self {
        Self([
            (1.0, ActorClass::Car),
            (draw.uniform(0.1..0.5), ActorClass::Truck),
            (draw.uniform(0.0..0.06), ActorClass::Bus),
            (draw.uniform(0.0..0.08), ActorClass::Motorcycle),
            (0.0, ActorClass::Bicycle),
        ])
    }

    fn draw(&self, draw: &mut Draw) -> ActorClass {
        draw.weighted(&self.0, ActorClass::Car)
    }
}

/// Vehicles longer than this turn at junctions only where they have to: their ends would sweep the next lane.
pub(in crate::sim::scenes) const LONG_M: f64 = 7.5;

/// The number of a vehicle that has none yet.
const UNNUMBERED: u16 = u16::MAX;

/// Numbers that are given out once.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Ids(u16);

impl Ids {
    pub(in crate::sim::scenes) fn new() -> Self {
        Self(0)
    }

    /// The next number; `None` when all have been used.
    pub(in crate::sim::scenes) fn next(&mut self) -> Option<u16> {
        self.0 = self.0.checked_add(1)?;
        Some(self.0)
    }
}

/// Something that stands in a lane for a while.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Block {
    pub(in crate::sim::scenes) lane: usize,
    pub(in crate::sim::scenes) s: f64,
    pub(in crate::sim::scenes) half_length_m: f64,
}

/// All vehicles of a network.
pub(in crate::sim::scenes) struct Fleet {
    pub(in crate::sim::scenes) network: Network,
    pub(in crate::sim::scenes) vehicles: Vec<Vehicle>,
    pub(in crate::sim::scenes) lights: Vec<Option<Lights>>,
    pub(in crate::sim::scenes) crossings: Vec<CrossingUse>,
    /// People whom drivers see in front of them.
    pub(in crate::sim::scenes) people: Vec<Passerby>,
    pub(in crate::sim::scenes) blocks: Vec<Block>,
    pub(in crate::sim::scenes) time_s: f64,
    mix: Mix,
    draw: Draw,
    wanted_mps2: Vec<f64>,
}

impl Fleet {
    pub(in crate::sim::scenes) fn new(network: Network, lights: Vec<Option<Lights>>, mix: Mix, draw: Draw) -> Self {
        Self {
            crossings: vec![CrossingUse::default(); network.crossings.len()],
            network,
            vehicles: Vec::new(),
            lights,
            people: Vec::new(),
            blocks: Vec::new(),
            time_s: 0.0,
            mix,
            draw,
            wanted_mps2: Vec::new(),
        }
    }

    /// A vehicle of the mix, without a number yet.
    pub(in crate::sim::scenes) fn draw_vehicle(&mut self) -> Vehicle {
        let class = self.mix.draw(&mut self.draw);
        let size = bodies::extent(class, &mut self.draw);
        Vehicle::new(&mut self.draw, UNNUMBERED, class, size)
    }

    /// Puts a vehicle on a lane at `s`, at a speed that suits the place; `None` when there is no room.
    pub(in crate::sim::scenes) fn insert(&mut self, mut vehicle: Vehicle, lane: usize, s: f64) -> Option<usize> {
        vehicle.lane = lane;
        vehicle.s = s;
        vehicle.locate(&self.network.lanes[lane]);
        vehicle.route.clear();
        self.extend_route(&mut vehicle);
        if vehicle.size.length_m > LONG_M && self.has_to_turn(&vehicle) {
            return None;
        }
        let place = &self.network.lanes[lane];
        let mut speed_mps = (place.limit_mps * vehicle.driver.eagerness).min(vehicle.driver.top_mps);
        let to_end_m = (place.length_m() - s - vehicle.half_length_m() - 2.0).max(0.0);
        if vehicle.route.first().is_none_or(|next| *next != lane) && !place.next.is_empty() {
            speed_mps = speed_mps.min((2.0 * to_end_m).sqrt());
        }
        let length_m = place.length_m();
        for other in &self.vehicles {
            let shifting_from = other.shift.map(|shift| shift.from_lane);
            let on_lane = other.lane == lane || shifting_from == Some(lane);
            let half_lengths_m = other.half_length_m() + vehicle.half_length_m();
            if on_lane {
                let mut apart_m = other.s - s;
                if place.next.first() == Some(&lane) {
                    apart_m = (apart_m + 0.5 * length_m).rem_euclid(length_m) - 0.5 * length_m;
                }
                let gap_m = apart_m.abs() - half_lengths_m;
                let (behind_mps, ahead_mps) = if apart_m > 0.0 {
                    (speed_mps, other.speed_mps)
                } else {
                    (other.speed_mps, speed_mps)
                };
                let closing_mps = (behind_mps - ahead_mps).max(0.0);
                if gap_m < 4.0 + 1.2 * behind_mps + closing_mps * closing_mps / 3.0 {
                    return None;
                }
                continue;
            }
            let apart_m = (other.spot - vehicle.spot).norm();
            let its_way = other.route.contains(&lane);
            let own_way = vehicle.route.contains(&other.lane);
            let faster_mps = if its_way { other.speed_mps } else { speed_mps };
            let joins = (its_way || own_way) && apart_m < half_lengths_m + 5.0 + 2.5 * faster_mps;
            if joins || apart_m < half_lengths_m + 3.0 && other.footprint().grown(0.3).overlaps(&vehicle.footprint()) {
                return None;
            }
        }
        vehicle.speed_mps = speed_mps;
        self.vehicles.push(vehicle);
        Some(self.vehicles.len() - 1)
    }

    /// Puts a vehicle on a lane when there is room, and gives it a number of its own.
    pub(in crate::sim::scenes) fn admit(
        &mut self,
        ids: &mut Ids,
        vehicle: Vehicle,
        lane: usize,
        s: f64,
    ) -> Option<usize> {
        let index = self.insert(vehicle, lane, s)?;
        match ids.next() {
            Some(id) => self.vehicles[index].id = id,
            None => {
                self.vehicles.pop();
                return None;
            }
        }
        Some(index)
    }

    /// Takes in a vehicle that stands on a lane already.
    pub(in crate::sim::scenes) fn join(&mut self, mut vehicle: Vehicle, lane: usize, s: f64) {
        vehicle.lane = lane;
        vehicle.s = s;
        vehicle.route.clear();
        self.extend_route(&mut vehicle);
        vehicle.locate(&self.network.lanes[lane]);
        self.vehicles.push(vehicle);
    }

    /// Whether a vehicle's way turns at the next junction.
    pub(in crate::sim::scenes) fn has_to_turn(&self, vehicle: &Vehicle) -> bool {
        vehicle.route.first().is_some_and(|next| {
            let lane = &self.network.lanes[*next];
            lane.gate.is_some() && lane.turn_rad.abs() > 0.8
        })
    }

    /// Makes sure that a vehicle knows where to go for the next lanes.
    fn extend_route(&mut self, vehicle: &mut Vehicle) {
        while vehicle.route.len() < 4 {
            let last = *vehicle.route.last().unwrap_or(&vehicle.lane);
            let next = &self.network.lanes[last].next;
            if next.is_empty() {
                return;
            }
            let long = vehicle.size.length_m > LONG_M;
            let weight = |lane: &usize| {
                let turn_rad = self.network.lanes[*lane].turn_rad.abs();
                match () {
                    () if turn_rad < 0.8 => 2.0,
                    () if long => 1e-6,
                    () => 1.0,
                }
            };
            let choices: Vec<(f64, usize)> = next.iter().map(|lane| (weight(lane), *lane)).collect();
            let chosen = self.draw.weighted(&choices, next[0]);
            vehicle.route.push(chosen);
        }
    }

    /// Whether people may step onto a crossing now.
    pub(in crate::sim::scenes) fn may_walk(&self, crossing: usize) -> bool {
        gates::may_walk(&self.network, &self.vehicles, &self.lights, self.time_s, crossing)
    }

    /// Advances all vehicles.
    pub(in crate::sim::scenes) fn step(&mut self, step_s: f64) {
        self.time_s += step_s;
        for own in 0..self.vehicles.len() {
            self.ask_for_ways(own);
        }
        let mut wanted = std::mem::take(&mut self.wanted_mps2);
        wanted.clear();
        wanted.extend((0..self.vehicles.len()).map(|own| self.wanted(own)));
        for (own, wanted_mps2) in wanted.iter().enumerate() {
            let vehicle = &mut self.vehicles[own];
            vehicle.drive(*wanted_mps2, &self.network.lanes[vehicle.lane], step_s);
            self.hand_over(own);
            let vehicle = &mut self.vehicles[own];
            vehicle.locate(&self.network.lanes[vehicle.lane]);
        }
        self.wanted_mps2 = wanted;
        for own in 0..self.vehicles.len() {
            self.vehicles[own].settled_s -= step_s;
            if self.vehicles[own].settled_s <= 0.0 {
                self.vehicles[own].settled_s = 0.5;
                self.think_of_lane_change(own);
            }
        }
    }

    /// Passes a vehicle on to the next lane.
    fn hand_over(&mut self, own: usize) {
        let length_m = self.network.lanes[self.vehicles[own].lane].length_m();
        if self.vehicles[own].s >= length_m && !self.vehicles[own].route.is_empty() {
            let mut vehicle = self.vehicles[own].clone();
            vehicle.lane = vehicle.route.remove(0);
            vehicle.s -= length_m;
            if let Some(shift) = &mut vehicle.shift {
                shift.start_s -= length_m;
                shift.from_lane = *self.network.lanes[shift.from_lane]
                    .next
                    .first()
                    .unwrap_or(&vehicle.lane);
            }
            self.extend_route(&mut vehicle);
            self.vehicles[own] = vehicle;
        }
        let lanes = &self.network.lanes;
        let vehicle = &mut self.vehicles[own];
        let half_m = vehicle.half_length_m();
        vehicle
            .grants
            .retain(|grant| grant.s - half_m < lanes[grant.lane].length_m() + 0.5);
    }

    /// Asks for the gated lanes ahead as soon as the vehicle would have to brake for them.
    fn ask_for_ways(&mut self, own: usize) {
        let vehicle = &self.vehicles[own];
        let reach_m = 0.25 * vehicle.speed_mps * vehicle.speed_mps + 1.0 * vehicle.speed_mps + 6.0;
        let mut start_m = self.network.lanes[vehicle.lane].length_m() - vehicle.s;
        for index in 0..vehicle.route.len() {
            let vehicle = &self.vehicles[own];
            let lane = vehicle.route[index];
            if start_m - vehicle.half_length_m() > reach_m {
                return;
            }
            let has = vehicle.grants.iter().any(|grant| grant.lane == lane);
            if self.network.lanes[lane].gate.is_some() && !has {
                let is_first = !self.vehicles.iter().any(|other| {
                    other.lane == vehicle.lane && other.s > vehicle.s && !other.grants.iter().any(|grant| grant.s < 0.0)
                });
                let free = is_first
                    && vehicle.shift.is_none()
                    && gates::may_enter(
                        &self.network,
                        &self.vehicles,
                        &self.lights,
                        &self.crossings,
                        self.time_s,
                        own,
                        lane,
                    );
                if !free {
                    return;
                }
                self.vehicles[own].grants.push(Grant { lane, s: -start_m });
            }
            start_m += self.network.lanes[lane].length_m();
        }
    }

    /// The acceleration a driver wants.
    fn wanted(&self, own: usize) -> f64 {
        let vehicle = &self.vehicles[own];
        let lanes = &self.network.lanes;
        let driver = &vehicle.driver;
        let speed_mps = vehicle.speed_mps;
        let limit = |lane: usize| {
            let lane = &lanes[lane];
            let in_turn_mps = (driver.lateral_mps2 / lane.sharpest_per_m.max(1e-6)).sqrt();
            (lane.limit_mps * driver.eagerness).min(driver.top_mps).min(in_turn_mps)
        };
        let mut desired_mps = limit(vehicle.lane);
        let (mut gap_m, mut leader_mps) = (f64::INFINITY, 0.0);
        let mut wanted: f64 = f64::INFINITY;
        // The lanes ahead, and where they begin relative to the vehicle's middle.
        let mut start_m = -vehicle.s;
        let mut tail = Some(vehicle.lane);
        let mut ahead = 0;
        while let Some(number) = tail {
            if start_m > HORIZON_M {
                break;
            }
            if ahead > 0 {
                let front_m = start_m - vehicle.half_length_m();
                if lanes[number].gate.is_some() && !vehicle.grants.iter().any(|grant| grant.lane == number) {
                    // The stop line.
                    wanted = wanted.min(driver.follow(
                        speed_mps,
                        desired_mps,
                        (front_m + driver.gap_m - 0.5).max(0.05),
                        0.0,
                    ));
                    break;
                }
                let there_mps = limit(number);
                let allowed_mps = (there_mps * there_mps + 2.0 * driver.braking_mps2 * 0.8 * front_m.max(0.0)).sqrt();
                desired_mps = desired_mps.min(allowed_mps);
            }
            for (index, other) in self.vehicles.iter().enumerate() {
                let here = other.lane == number || other.shift.is_some_and(|shift| shift.from_lane == number);
                if index == own || !here {
                    continue;
                }
                let apart_m = start_m + other.s;
                if apart_m > 0.0 {
                    let its_gap_m = apart_m - vehicle.half_length_m() - other.half_length_m();
                    if its_gap_m < gap_m {
                        gap_m = its_gap_m;
                        leader_mps = other.speed_mps;
                    }
                }
            }
            for block in &self.blocks {
                let its_gap_m = start_m + block.s - block.half_length_m - vehicle.half_length_m();
                if block.lane == number && start_m + block.s > 0.0 && its_gap_m < gap_m {
                    gap_m = its_gap_m;
                    leader_mps = 0.0;
                }
            }
            if let Some((_, s, slow_mps)) = vehicle.slow_at.filter(|(lane, _, _)| *lane == number) {
                let left_m = (start_m + s).max(0.0);
                desired_mps = desired_mps.min((slow_mps * slow_mps + 2.0 * 0.8 * left_m).sqrt());
            }
            start_m += lanes[number].length_m();
            tail = vehicle.route.get(ahead).copied();
            ahead += 1;
        }
        if let Some(shift) = vehicle.shift {
            for (index, other) in self.vehicles.iter().enumerate() {
                if index != own && other.lane == shift.from_lane && other.s > vehicle.s {
                    let its_gap_m = other.s - vehicle.s - vehicle.half_length_m() - other.half_length_m();
                    if its_gap_m < gap_m {
                        gap_m = its_gap_m;
                        leader_mps = other.speed_mps;
                    }
                }
            }
        }
        if !self.people.is_empty()
            && let Some(person_m) = self.person_ahead(vehicle)
            && person_m < gap_m
        {
            gap_m = person_m;
            leader_mps = 0.0;
        }
        wanted = wanted.min(driver.follow(speed_mps, desired_mps, gap_m, leader_mps));
        if speed_mps > desired_mps {
            // Before a turn or a lower limit the model would brake too late.
            wanted = wanted.min((2.0 * (desired_mps - speed_mps)).max(-3.0));
        }
        wanted
    }

    /// Free metres before the nearest person in the vehicle's way.
    fn person_ahead(&self, vehicle: &Vehicle) -> Option<f64> {
        let reach_m = 3.0 + 0.3 * vehicle.speed_mps * vehicle.speed_mps + vehicle.half_length_m();
        let mut nearest: Option<f64> = None;
        for person in &self.people {
            let apart = person.spot - vehicle.spot;
            if apart.norm_squared() > (reach_m + 3.0) * (reach_m + 3.0) {
                continue;
            }
            // Where the vehicle passes at that distance: the path ahead, sampled.
            let clear_m = 0.5 * vehicle.size.width_m + person.radius_m + 0.35;
            let mut ahead_m = vehicle.half_length_m();
            while ahead_m < reach_m {
                let (place, _) = self.place_ahead(vehicle, ahead_m);
                // Where they are now, and where they will be when the vehicle gets there.
                let until_s = ((ahead_m - vehicle.half_length_m()) / vehicle.speed_mps.max(1.0)).min(2.0);
                let later = person.spot + person.velocity_mps * until_s;
                let clear = (place - person.spot).norm_squared().min((place - later).norm_squared());
                if clear < clear_m * clear_m {
                    let free_m = (ahead_m - vehicle.half_length_m() - 0.5).max(0.0);
                    nearest = Some(nearest.map_or(free_m, |nearest| nearest.min(free_m)));
                    break;
                }
                ahead_m += 0.7;
            }
        }
        nearest
    }

    /// The spot and direction `ahead_m` further on a vehicle's way.
    fn place_ahead(&self, vehicle: &Vehicle, ahead_m: f64) -> (Spot, f64) {
        let mut lane = vehicle.lane;
        let mut s = vehicle.s + ahead_m;
        for next in &vehicle.route {
            let length_m = self.network.lanes[lane].length_m();
            if s < length_m {
                break;
            }
            s -= length_m;
            lane = *next;
        }
        (self.network.lanes[lane].spot(s), self.network.lanes[lane].yaw_rad(s))
    }

    /// MOBIL: changes to a neighbouring lane when that pays and hurts nobody.
    fn think_of_lane_change(&mut self, own: usize) {
        let vehicle = &self.vehicles[own];
        let lane = &self.network.lanes[vehicle.lane];
        if vehicle.shift.is_some()
            || !vehicle.grants.is_empty()
            || vehicle.speed_mps < 4.0
            || vehicle.class == ActorClass::Bicycle
            || lane.beside == [None; 2]
        {
            return;
        }
        let change_m = (3.6 * vehicle.speed_mps).max(22.0);
        let is_loop = lane.next.first() == Some(&vehicle.lane);
        if (!is_loop || lane.length_m() - vehicle.s < 2.0 * change_m)
            && lane.length_m() - vehicle.s < change_m + 0.25 * vehicle.speed_mps * vehicle.speed_mps + 12.0
        {
            return;
        }
        let desired_mps = (lane.limit_mps * vehicle.driver.eagerness).min(vehicle.driver.top_mps);
        let now = self.acceleration_behind(own, vehicle.lane, desired_mps).0;
        let mut best: Option<(f64, usize)> = None;
        for (side, target) in lane.beside.iter().enumerate() {
            let Some(target) = *target else { continue };
            let Some((there, follower)) = self.safe_place(own, target, desired_mps) else {
                continue;
            };
            // One keeps to the right when nothing is lost by it.
            let bias = if side == 1 { 0.15 } else { -0.15 };
            let gain = there - now + bias - 0.3 * (-follower).max(0.0);
            if gain > 0.25 && best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, target));
            }
        }
        let Some((_, target)) = best else { return };
        let mut vehicle = self.vehicles[own].clone();
        vehicle.shift = Some(Shift {
            from_lane: vehicle.lane,
            start_s: vehicle.s,
            length_m: change_m,
            offset_m: self.network.lanes[vehicle.lane].offset_m - self.network.lanes[target].offset_m,
        });
        vehicle.lane = target;
        vehicle.settled_s = 8.0;
        vehicle.route.clear();
        self.extend_route(&mut vehicle);
        self.vehicles[own] = vehicle;
    }

    /// IDM acceleration behind whoever is ahead on a lane, and the gap.
    fn acceleration_behind(&self, own: usize, lane: usize, desired_mps: f64) -> (f64, f64) {
        let vehicle = &self.vehicles[own];
        let ahead = self
            .vehicles
            .iter()
            .filter(|other| other.id != vehicle.id && other.lane == lane && other.s > vehicle.s)
            .min_by(|one, other| one.s.total_cmp(&other.s));
        match ahead {
            Some(ahead) => {
                let gap_m = ahead.s - vehicle.s - ahead.half_length_m() - vehicle.half_length_m();
                let value = vehicle
                    .driver
                    .follow(vehicle.speed_mps, desired_mps, gap_m, ahead.speed_mps);
                (value, gap_m)
            }
            None => (
                vehicle
                    .driver
                    .follow(vehicle.speed_mps, desired_mps, f64::INFINITY, 0.0),
                f64::INFINITY,
            ),
        }
    }

    /// What a vehicle would gain on a lane, and what its new follower would have to do; `None` when it is not safe.
    fn safe_place(&self, own: usize, lane: usize, desired_mps: f64) -> Option<(f64, f64)> {
        let vehicle = &self.vehicles[own];
        let (there, gap_m) = self.acceleration_behind(own, lane, desired_mps);
        if gap_m < 3.0 + 0.5 * vehicle.speed_mps || there < -2.0 {
            return None;
        }
        let mut worst: f64 = 0.0;
        for other in &self.vehicles {
            let its_shift = other.shift.map(|shift| shift.from_lane);
            if other.id == vehicle.id || (other.lane != lane && its_shift != Some(lane)) {
                continue;
            }
            if other.shift.is_some() && (other.s - vehicle.s).abs() < 60.0 {
                return None;
            }
            let gap_m = (other.s - vehicle.s).abs() - other.half_length_m() - vehicle.half_length_m();
            if gap_m < 3.0 {
                return None;
            }
            if other.s < vehicle.s {
                let value = other
                    .driver
                    .follow(other.speed_mps, desired_mps, gap_m, vehicle.speed_mps);
                worst = worst.min(value);
            }
        }
        (worst > -2.5).then_some((there, worst))
    }

    /// Takes out those that left through an open end.
    pub(in crate::sim::scenes) fn remove_gone(&mut self) {
        let lanes = &self.network.lanes;
        self.vehicles.retain(|vehicle| {
            let lane = &lanes[vehicle.lane];
            !lane.next.is_empty() || vehicle.s < lane.length_m()
        });
    }

    pub(in crate::sim::scenes) fn actors(&self, actors: &mut Vec<Actor>) {
        actors.extend(self.vehicles.iter().map(Vehicle::actor));
    }
}

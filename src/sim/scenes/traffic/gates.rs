//! Who may enter a junction: lights, priority, and ways that are granted to one at a time.

use super::vehicle::Vehicle;
use crate::sim::scenes::road::{Lane, Network};

/// Seconds of amber.
const AMBER_S: f64 = 3.0;
/// Seconds in which all have red.
const CLEARING_S: f64 = 2.0;

/// The lights of one junction: its groups have green in turn.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Lights {
    pub(in crate::sim::scenes) groups: usize,
    pub(in crate::sim::scenes) green_s: f64,
    pub(in crate::sim::scenes) offset_s: f64,
}

impl Lights {
    /// The group whose turn it is, and the seconds of green that are left (not positive: amber or all red).
    fn turn(&self, time_s: f64) -> (usize, f64) {
        let slot_s = self.green_s + AMBER_S + CLEARING_S;
        let into_s = (time_s + self.offset_s).rem_euclid(slot_s * self.groups as f64);
        let group = (into_s / slot_s) as usize;
        (group, self.green_s - (into_s - group as f64 * slot_s))
    }

    /// Whether vehicles of a group may start to cross.
    pub(in crate::sim::scenes) fn is_green(&self, group: usize, time_s: f64) -> bool {
        let (turn, left_s) = self.turn(time_s);
        turn == group && left_s > 0.0
    }

    /// Whether people may start to walk across an arm of a group: another has green for long enough.
    pub(in crate::sim::scenes) fn may_walk(&self, group: usize, time_s: f64) -> bool {
        let (turn, left_s) = self.turn(time_s);
        turn != group && (left_s > 2.0 || self.groups == 1)
    }
}

/// What goes on at a crossing for pedestrians.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sim::scenes) struct CrossingUse {
    /// People on it.
    pub(in crate::sim::scenes) walking: usize,
    /// People who wait to get on it.
    pub(in crate::sim::scenes) waiting: usize,
}

/// Whether a vehicle still holds a way with regard to a stretch of it: it has not left the stretch.
fn holds(vehicle: &Vehicle, lane: usize, until_s: f64) -> bool {
    vehicle
        .grants
        .iter()
        .any(|grant| grant.lane == lane && grant.s - vehicle.half_length_m() < until_s)
}

/// Whether a vehicle is so long that it needs the junction for itself.
fn is_long(vehicle: &Vehicle, lane: &Lane) -> bool {
    vehicle.size.length_m > 7.0 && lane.sharpest_per_m > 0.02
}

/// Whether the vehicle may enter the lane with a gate now.
pub(super) fn may_enter(
    network: &Network,
    vehicles: &[Vehicle],
    lights: &[Option<Lights>],
    crossings: &[CrossingUse],
    time_s: f64,
    own: usize,
    lane: usize,
) -> bool {
    let Some(gate) = &network.lanes[lane].gate else {
        return true;
    };
    let light = lights.get(gate.node).copied().flatten();
    if light.is_some_and(|light| !light.is_green(gate.group, time_s)) {
        return false;
    }
    for (crossing, _) in &gate.crossings {
        let used = &crossings[*crossing];
        let gives_way = light.is_none() && used.waiting > 0;
        if used.walking > 0 || gives_way {
            return false;
        }
    }
    let vehicle = &vehicles[own];
    let own_is_long = is_long(vehicle, &network.lanes[lane]);
    for (index, other) in vehicles.iter().enumerate() {
        if index == own {
            continue;
        }
        for grant in &other.grants {
            if grant.lane == lane {
                continue;
            }
            let held = &network.lanes[grant.lane];
            let Some(its_gate) = held.gate.as_ref().filter(|its_gate| its_gate.node == gate.node) else {
                continue;
            };
            if own_is_long || is_long(other, held) {
                return false;
            }
            let shared = its_gate.conflicts.iter().find(|(conflict, _)| *conflict == lane);
            if shared.is_some_and(|(_, (_, until_s))| holds(other, grant.lane, *until_s)) {
                return false;
            }
        }
        // Those who go first and are about to come.
        if light.is_none()
            && let Some(&next) = other.route.first()
            && let Some(its_gate) = &network.lanes[next].gate
            && its_gate.node == gate.node
            && its_gate.rank < gate.rank
            && gate.conflicts.iter().any(|(conflict, _)| *conflict == next)
        {
            let left_m = network.lanes[other.lane].length_m() - other.s;
            if other.speed_mps > 1.0 && left_m / other.speed_mps < 5.0 {
                return false;
            }
        }
    }
    leaves_room(network, vehicles, own, lane)
}

/// Whether there is room behind the junction, so that nobody stops on it.
fn leaves_room(network: &Network, vehicles: &[Vehicle], own: usize, lane: usize) -> bool {
    let Some(&exit) = network.lanes[lane].next.first() else {
        return true;
    };
    if network.lanes[exit].gate.is_some() {
        return true;
    }
    let mut needed_m = vehicles[own].size.length_m + 3.0;
    for (index, other) in vehicles.iter().enumerate() {
        let on_the_way = other.grants.iter().any(|grant| {
            network.lanes[grant.lane].next.first() == Some(&exit) && grant.s < network.lanes[grant.lane].length_m()
        });
        if index != own && on_the_way {
            needed_m += other.size.length_m + 3.0;
        }
    }
    vehicles.iter().enumerate().all(|(index, other)| {
        index == own || other.lane != exit || other.speed_mps > 4.0 || other.s - other.half_length_m() > needed_m
    })
}

/// Whether people may step onto a crossing.
pub(super) fn may_walk(
    network: &Network,
    vehicles: &[Vehicle],
    lights: &[Option<Lights>],
    time_s: f64,
    crossing: usize,
) -> bool {
    let place = &network.crossings[crossing];
    if let Some(light) = lights.get(place.node).copied().flatten()
        && !light.may_walk(place.group, time_s)
    {
        return false;
    }
    !vehicles.iter().any(|vehicle| {
        vehicle.grants.iter().any(|grant| {
            let gate = network.lanes[grant.lane].gate.as_ref();
            gate.is_some_and(|gate| {
                gate.crossings
                    .iter()
                    .any(|(its, (_, until_s))| *its == crossing && grant.s - vehicle.half_length_m() < *until_s)
            })
        })
    })
}

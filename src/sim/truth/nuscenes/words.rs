//! nuScenes' words for classes, attributes and visibility.

use super::tables::{Named, Visibility};
use crate::sim::actor::ActorClass;

/// Below this an object counts as standing, m/s.
const STANDING_MPS: f64 = 0.2;

pub(super) const VISIBILITIES: [Visibility; 4] = [
    Visibility {
        token: "1",
        level: "v0-40",
        description: "up to 40 % of the object's silhouette is visible",
    },
    Visibility {
        token: "2",
        level: "v40-60",
        description: "40 to 60 % of the object's silhouette is visible",
    },
    Visibility {
        token: "3",
        level: "v60-80",
        description: "60 to 80 % of the object's silhouette is visible",
    },
    Visibility {
        token: "4",
        level: "v80-100",
        description: "80 to 100 % of the object's silhouette is visible",
    },
];

pub(super) fn visibility_token(visible_fraction: f64) -> &'static str {
    let index = [0.4, 0.6, 0.8]
        .iter()
        .filter(|&&least| visible_fraction > least)
        .count();
    VISIBILITIES[index].token
}

/// Name and description; nuScenes has no balls, so theirs is a name of our own.
pub(super) fn category(class: ActorClass) -> (&'static str, &'static str) {
    match class {
        ActorClass::Car => ("vehicle.car", "A passenger car, van or pick-up."),
        ActorClass::Truck => ("vehicle.truck", "A lorry."),
        ActorClass::Bus => ("vehicle.bus.rigid", "A bus."),
        ActorClass::Motorcycle => ("vehicle.motorcycle", "A motorcycle with its rider."),
        ActorClass::Bicycle => ("vehicle.bicycle", "A bicycle with its rider."),
        ActorClass::Person => ("human.pedestrian.adult", "A person on foot."),
        ActorClass::Ball => ("movable_object.ball", "A ball."),
    }
}

const ATTRIBUTES: [(&str, &str); 5] = [
    ("vehicle.moving", "The vehicle moves."),
    ("vehicle.stopped", "The vehicle stands."),
    ("cycle.with_rider", "Somebody rides the cycle."),
    ("pedestrian.moving", "The person moves."),
    ("pedestrian.standing", "The person stands."),
];

/// The name of an object's attribute, if objects of its class have one.
pub(super) fn attribute(class: ActorClass, speed_mps: f64) -> Option<&'static str> {
    let moves = speed_mps > STANDING_MPS;
    match class {
        ActorClass::Car | ActorClass::Truck | ActorClass::Bus if moves => Some("vehicle.moving"),
        ActorClass::Car | ActorClass::Truck | ActorClass::Bus => Some("vehicle.stopped"),
        ActorClass::Motorcycle | ActorClass::Bicycle => Some("cycle.with_rider"),
        ActorClass::Person if moves => Some("pedestrian.moving"),
        ActorClass::Person => Some("pedestrian.standing"),
        ActorClass::Ball => None,
    }
}

pub(super) fn categories(token: impl Fn(&str) -> String) -> Vec<Named> {
    ActorClass::ALL
        .into_iter()
        .map(|class| {
            let (name, description) = category(class);
            Named {
                token: token(name),
                name,
                description,
            }
        })
        .collect()
}

pub(super) fn attributes(token: impl Fn(&str) -> String) -> Vec<Named> {
    ATTRIBUTES
        .into_iter()
        .map(|(name, description)| Named {
            token: token(name),
            name,
            description,
        })
        .collect()
}

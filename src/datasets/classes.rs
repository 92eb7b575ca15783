//! What the classes of the data sets are in our words, and what kind of thing each is.

use crate::detection::ClassLabel;

/// What kind of thing an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// Cars, vans, trucks, buses.
    Vehicle,
    /// People on foot.
    Pedestrian,
    /// Bicycles and motorcycles with their riders, trams, animals: they move by themselves, too.
    OtherMoving,
    /// Signs, cones, barriers and what else does not move by itself.
    Still,
}

impl ObjectKind {
    /// Of a class that our own chain found.
    pub fn of(class: ClassLabel) -> Self {
        classify(class.as_str()).1
    }
}

/// Our class and the kind of a data set's class. Names that are not known keep their name, as things that do not move.
pub(super) fn classify(name: &str) -> (ClassLabel, ObjectKind) {
    let lower = name.to_ascii_lowercase();
    let (class, kind) = match lower.as_str() {
        // KITTI
        "car" | "regular_vehicle" | "vehicle" | "vehicle.car" => ("car", ObjectKind::Vehicle),
        "van" => ("van", ObjectKind::Vehicle),
        "truck" | "box_truck" | "large_vehicle" | "truck_cab" | "vehicle.truck" | "vehicle.construction" => {
            ("truck", ObjectKind::Vehicle)
        }
        "bus" | "school_bus" | "articulated_bus" | "vehicle.bus.bendy" | "vehicle.bus.rigid" => {
            ("bus", ObjectKind::Vehicle)
        }
        "vehicle.emergency.ambulance" | "vehicle.emergency.police" => ("car", ObjectKind::Vehicle),
        "vehicular_trailer" | "message_board_trailer" | "traffic_light_trailer" | "vehicle.trailer" => {
            ("trailer", ObjectKind::Vehicle)
        }
        "railed_vehicle" | "tram" => ("tram", ObjectKind::OtherMoving),
        "pedestrian" | "person" | "official_signaler" | "player" => ("person", ObjectKind::Pedestrian),
        "cyclist" | "bicyclist" | "motorcyclist" | "wheeled_rider" => ("cyclist", ObjectKind::OtherMoving),
        "bicycle" | "vehicle.bicycle" | "wheeled_device" => ("bicycle", ObjectKind::OtherMoving),
        "motorcycle" | "vehicle.motorcycle" => ("motorcycle", ObjectKind::OtherMoving),
        "dog" => ("dog", ObjectKind::OtherMoving),
        "animal" => ("animal", ObjectKind::OtherMoving),
        "stroller" | "wheelchair" => (lower.as_str(), ObjectKind::OtherMoving),
        // nuScenes: a person with or in something is a person, except where the thing is what carries them.
        "human.pedestrian.stroller" => ("stroller", ObjectKind::OtherMoving),
        "human.pedestrian.wheelchair" => ("wheelchair", ObjectKind::OtherMoving),
        "human.pedestrian.personal_mobility" => ("cyclist", ObjectKind::OtherMoving),
        _ if lower.starts_with("human.pedestrian") => ("person", ObjectKind::Pedestrian),
        _ => (lower.as_str(), ObjectKind::Still),
    };
    (ClassLabel::new(class), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_data_sets_meet_in_ours() {
        let class = |name: &str| {
            let (class, kind) = classify(name);
            (class.as_str(), kind)
        };
        assert_eq!(class("Car"), ("car", ObjectKind::Vehicle));
        assert_eq!(class("REGULAR_VEHICLE"), ("car", ObjectKind::Vehicle));
        assert_eq!(class("human.pedestrian.child"), ("person", ObjectKind::Pedestrian));
        assert_eq!(class("BOLLARD"), ("bollard", ObjectKind::Still));
        assert_eq!(
            class("movable_object.barrier"),
            ("movable_object.barrier", ObjectKind::Still)
        );
    }
}

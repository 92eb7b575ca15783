//! What a network of roads looks like: surfaces, kerbs, markings, and what stands beside the road.

use std::f64::consts::FRAC_PI_2;

use super::network::{Network, Section};
use crate::sim::actor::{Actor, ActorClass, Articulation, Size};
use crate::sim::environment::Material;
use crate::sim::scenes::bodies;
use crate::sim::scenes::draw::Draw;
use crate::sim::scenes::looks;
use crate::sim::scenes::stage::{Footprint, Spot, Stage, along, left_of};
use crate::sim::scenes::traffic::Ids;

/// What stands beside the roads of a town, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Roadside {
    /// Share of the frontage that is built.
    pub(in crate::sim::scenes) built: f64,
    /// Gap between pavement and houses, metres.
    pub(in crate::sim::scenes) front_m: f64,
    /// Storeys of a typical house.
    pub(in crate::sim::scenes) storeys: f64,
    /// Distance between trees along the pavement, metres; infinite for none.
    pub(in crate::sim::scenes) tree_m: f64,
    /// Distance between lamps, metres.
    pub(in crate::sim::scenes) lamp_m: f64,
    /// Share of the parking strips that is taken.
    pub(in crate::sim::scenes) parked: f64,
}

impl Roadside {
    pub(in crate::sim::scenes) fn draw(draw: &mut Draw) -> Self {
        Self {
            built: draw.uniform(0.3..0.97),
            front_m: if draw.chance(0.5) {
                draw.uniform(0.2..1.5)
            } else {
                draw.uniform(2.0..10.0)
            },
            storeys: draw.uniform(1.2..6.0),
            tree_m: if draw.chance(0.7) {
                draw.uniform(8.0..30.0)
            } else {
                f64::INFINITY
            },
            lamp_m: draw.uniform(22.0..45.0),
            parked: draw.uniform(0.25..0.9),
        }
    }
}

/// Paints the network and builds what stands beside it; `keeps_clear` says where nothing high may stand. Gives the cars
/// that are parked along it.
pub(in crate::sim::scenes) fn paint(
    stage: &mut Stage,
    network: &Network,
    roadside: &Roadside,
    draw: &mut Draw,
    ids: &mut Ids,
    keeps_clear: &dyn Fn(Spot, f64) -> bool,
) -> Vec<Actor> {
    let asphalt = looks::asphalt(draw);
    let paving = looks::paving(draw);
    let kerb = looks::kerb(draw);
    let line = looks::paint(draw);
    surfaces(stage, network, asphalt, paving, kerb, draw);
    for section in &network.sections {
        markings(stage, section, line, draw);
    }
    for crossing in &network.crossings {
        let [left, right] = crossing.ends;
        let across = (right - left).normalize();
        let mut reached_m = 0.3;
        let length_m = (right - left).norm();
        let pavement_m = network.junctions[crossing.node]
            .arms
            .iter()
            .find(|arm| arm.crossing.is_some())
            .map_or(2.0, |arm| network.sections[arm.section].plan.pavement_m);
        let edge_m = 0.5 * pavement_m;
        let stripe_m = 0.5;
        while reached_m + stripe_m < length_m - 2.0 * edge_m {
            let middle = left + across * (edge_m + reached_m + 0.5 * stripe_m);
            let yaw_rad = across.y.atan2(across.x);
            stage.rectangle(middle, stripe_m, crossing.width_m, yaw_rad, line);
            reached_m += 2.0 * stripe_m;
        }
    }
    let mut parked = Vec::new();
    for number in 0..network.sections.len() {
        parked_cars(&network.sections[number], roadside, draw, ids, &mut parked);
        furniture(stage, network, number, roadside, draw, keeps_clear);
    }
    parked
}

fn surfaces(
    stage: &mut Stage,
    network: &Network,
    asphalt: Material,
    paving: Material,
    kerb: Material,
    draw: &mut Draw,
) {
    let layers = [(None, paving), (Some(0.18), kerb), (Some(0.0), asphalt)];
    for (beyond_m, material) in layers {
        for section in &network.sections {
            let plan = &section.plan;
            let beyond_m = beyond_m.unwrap_or(plan.pavement_m);
            let [first, last] = section.mouths();
            stage.strip(first, last, 2.0 * (plan.half_width_m() + beyond_m), material);
        }
        for junction in &network.junctions {
            let mut corners: Vec<Spot> = Vec::new();
            for arm in &junction.arms {
                let section = &network.sections[arm.section];
                let half_m = section.plan.half_width_m() + beyond_m.unwrap_or(section.plan.pavement_m);
                let away = along(arm.yaw_rad);
                // The arm's mouth begins behind the crossing.
                let setback_m = section.setback_m[arm.end];
                let curve_m = arm.crossing.map_or(setback_m, |crossing| {
                    setback_m - network.crossings[crossing].width_m - 1.5
                });
                for along_m in [curve_m, setback_m + 0.05] {
                    let middle = junction.spot + away * along_m;
                    if along_m == curve_m {
                        corners.push(middle + left_of(away) * half_m);
                        corners.push(middle - left_of(away) * half_m);
                    }
                }
                stage.strip(
                    junction.spot + away * (curve_m - 0.1),
                    junction.spot + away * (setback_m + 0.1),
                    2.0 * half_m,
                    material,
                );
            }
            stage.polygon(convex_hull(corners), material);
        }
    }
    // Patches of mended road.
    for section in &network.sections {
        let [first, last] = section.mouths();
        for _ in 0..draw.below(4) {
            let way = last - first;
            let half_m = section.plan.half_width_m() - 1.0;
            let spot =
                first + way * draw.uniform(0.02..0.98) + left_of(way.normalize()) * draw.uniform(-half_m..half_m);
            let mended = looks::asphalt(draw);
            stage.rectangle(
                spot,
                draw.uniform(0.8..6.0),
                draw.uniform(0.5..1.6),
                section.yaw_rad(),
                mended,
            );
        }
    }
}

/// The convex hull of some points (Andrew's monotone chain).
fn convex_hull(mut points: Vec<Spot>) -> Vec<Spot> {
    points.sort_by(|one, other| one.x.total_cmp(&other.x).then(one.y.total_cmp(&other.y)));
    let mut hull: Vec<Spot> = Vec::with_capacity(2 * points.len());
    for pass in 0..2 {
        let start = hull.len();
        let mut add = |point: Spot| {
            while hull.len() >= start + 2 {
                let (last, before) = (hull[hull.len() - 1], hull[hull.len() - 2]);
                let (way, on) = (last - before, point - before);
                if way.x * on.y - way.y * on.x > 0.0 {
                    break;
                }
                hull.pop();
            }
            hull.push(point);
        };
        if pass == 0 {
            points.iter().for_each(|point| add(*point));
        } else {
            points.iter().rev().for_each(|point| add(*point));
        }
        hull.pop();
    }
    hull
}

fn markings(stage: &mut Stage, section: &Section, line: Material, draw: &mut Draw) {
    let plan = &section.plan;
    let [first, last] = section.mouths();
    let forward = along(section.yaw_rad());
    let left = left_of(forward);
    let width_m = draw.uniform(0.1..0.16);
    let dash = [(3.0, 3.0), (3.0, 6.0), (4.0, 8.0), (1.5, 3.0)][draw.below(4)];
    if plan.median_m > 0.0 {
        for side in [-1.0, 1.0] {
            let aside = left * (side * (0.5 * plan.median_m - 0.1));
            stage.strip(first + aside, last + aside, width_m, line);
        }
    } else if draw.chance(0.4) {
        stage.strip(first, last, width_m, line);
    } else {
        stage.dashes(first, last, width_m, dash, line);
    }
    for side in [-1.0, 1.0] {
        for lane in 1..plan.lanes {
            let aside = left * (side * (0.5 * plan.median_m + lane as f64 * plan.lane_width_m));
            stage.dashes(first + aside, last + aside, width_m, dash, line);
        }
        let edge_m = 0.5 * plan.median_m + plan.lanes as f64 * plan.lane_width_m;
        if plan.parking_m > 0.0 {
            let aside = left * (side * edge_m);
            stage.dashes(first + aside, last + aside, width_m, (1.0, 1.0), line);
        } else if draw.chance(0.3) {
            let aside = left * (side * (edge_m - 0.15));
            stage.strip(first + aside, last + aside, width_m, line);
        }
    }
    // Stop lines: traffic keeps to the right.
    for (end, node) in section.nodes.iter().enumerate() {
        if node.is_some() {
            let inwards = if end == 0 { forward } else { -forward };
            let mouth = if end == 0 { first } else { last };
            let lanes_m = plan.lanes as f64 * plan.lane_width_m;
            let right = left_of(inwards);
            let from = mouth + inwards * 0.3 + right * (0.5 * plan.median_m);
            stage.strip(from, from + right * lanes_m, 0.4, line);
        }
    }
}

fn parked_cars(section: &Section, roadside: &Roadside, draw: &mut Draw, ids: &mut Ids, parked: &mut Vec<Actor>) {
    let plan = &section.plan;
    if plan.parking_m <= 0.0 {
        return;
    }
    let [first, last] = section.mouths();
    let forward = along(section.yaw_rad());
    let length_m = (last - first).norm();
    for side in [-1.0, 1.0] {
        let offset_m = side * (plan.half_width_m() - 0.5 * plan.parking_m);
        let mut reached_m = draw.uniform(9.0..13.0);
        loop {
            let size: Size = bodies::car(draw);
            if reached_m + size.length_m > length_m - 10.0 {
                break;
            }
            if draw.chance(roadside.parked) {
                let spot = first
                    + forward * (reached_m + 0.5 * size.length_m)
                    + left_of(forward) * (offset_m + draw.uniform(-0.08..0.08));
                let against = if draw.chance(0.08) { std::f64::consts::PI } else { 0.0 };
                let flow_rad = section.yaw_rad() + if side > 0.0 { std::f64::consts::PI } else { 0.0 };
                if let Some(id) = ids.next() {
                    parked.push(Actor {
                        id,
                        class: ActorClass::Car,
                        size,
                        look: draw.seed(),
                        base_in_world: nalgebra::Point3::new(spot.x, spot.y, 0.0),
                        yaw_rad: flow_rad + against + draw.normal(0.0, 0.012, -0.03..0.03),
                        velocity_in_world_mps: nalgebra::Vector3::zeros(),
                        articulation: Articulation::default(),
                    });
                }
            }
            reached_m += size.length_m + draw.uniform(0.7..2.2);
        }
    }
}

/// Houses, trees, lamps along one section.
fn furniture(
    stage: &mut Stage,
    network: &Network,
    number: usize,
    roadside: &Roadside,
    draw: &mut Draw,
    keeps_clear: &dyn Fn(Spot, f64) -> bool,
) {
    let section = &network.sections[number];
    let plan = section.plan;
    let forward = along(section.yaw_rad());
    let left = left_of(forward);
    let [first, last] = section.mouths();
    let length_m = (last - first).norm();
    let kerb_m = plan.half_width_m();
    let clear_of_roads = |footprint: &Footprint, margin_m: f64| {
        network.sections.iter().enumerate().all(|(other, section)| {
            let road = Footprint::new(
                nalgebra::center(&section.ends[0], &section.ends[1]),
                section.yaw_rad(),
                (section.ends[1] - section.ends[0]).norm() + 8.0,
                2.0 * (section.plan.half_width_m() + section.plan.pavement_m + margin_m),
            );
            other == number || !road.overlaps(footprint)
        })
    };
    for side in [-1.0, 1.0] {
        let metal = looks::metal(draw);
        let mut reached_m = draw.uniform(8.0..8.0 + roadside.lamp_m);
        while reached_m < length_m - 6.0 {
            let spot = first + forward * reached_m + left * (side * (kerb_m + 0.45));
            let height_m = draw.uniform(4.5..8.5);
            if keeps_clear(spot, 0.3) && clear_of_roads(&Footprint::new(spot, 0.0, 0.5, 0.5), 0.0) {
                stage.post(spot, draw.uniform(0.06..0.12), height_m, metal);
            }
            reached_m += roadside.lamp_m;
        }
        if roadside.tree_m.is_finite() && plan.pavement_m > 1.0 {
            let mut reached_m = draw.uniform(6.0..6.0 + roadside.tree_m);
            while reached_m < length_m - 8.0 {
                let spot = first + forward * reached_m + left * (side * (kerb_m + plan.pavement_m + 0.5));
                if keeps_clear(spot, 3.5) && clear_of_roads(&Footprint::new(spot, 0.0, 3.0, 3.0), 0.0) {
                    stage.tree(draw, spot);
                }
                reached_m += roadside.tree_m * draw.uniform(0.8..1.3);
            }
        }
        let mut reached_m = -kerb_m;
        while reached_m < length_m + kerb_m {
            let (width_m, depth_m) = (draw.uniform(8.0..26.0), draw.uniform(8.0..15.0));
            let front_m = kerb_m + plan.pavement_m + 1.2 + roadside.front_m * draw.uniform(0.8..1.2);
            let spot = first + forward * (reached_m + 0.5 * width_m) + left * (side * (front_m + 0.5 * depth_m));
            let footprint = Footprint::new(spot, section.yaw_rad(), width_m, depth_m);
            let builds = draw.chance(roadside.built);
            if builds && keeps_clear(spot, 0.5 * width_m.hypot(depth_m)) && clear_of_roads(&footprint, 0.5) {
                let storeys = (roadside.storeys * draw.uniform(0.6..1.4)).round().max(1.0);
                let height_m = storeys * draw.uniform(2.8..3.4) + draw.uniform(0.0..2.0);
                let clear = stage.is_free(&footprint);
                if clear {
                    stage.house(draw, footprint, height_m);
                    if draw.chance(0.25) {
                        // A shop front.
                        let shop = Footprint::new(
                            spot - left * (side * (0.5 * depth_m)),
                            section.yaw_rad() + FRAC_PI_2,
                            0.3,
                            0.8 * width_m,
                        );
                        let (front, top) = (looks::motley(draw), looks::roof(draw));
                        stage.cuboid(shop, draw.uniform(2.5..3.5), front, top);
                    }
                }
            } else if !builds && draw.chance(0.6) {
                stage.bush(draw, first + forward * reached_m + left * (side * (front_m + 2.0)));
            }
            reached_m += width_m + if draw.chance(0.5) { 0.0 } else { draw.uniform(2.0..8.0) };
        }
    }
}

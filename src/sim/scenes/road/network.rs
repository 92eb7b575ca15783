//! The network: sections of road between nodes, their lanes, and at each node the ways across it with what conflicts.

use std::f64::consts::{PI, TAU};
use std::sync::Arc;

use super::path::Path;
use crate::sim::scenes::draw::Draw;
use crate::sim::scenes::stage::{Spot, along, left_of};

/// How a road is built.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct RoadPlan {
    /// Lanes each way.
    pub(in crate::sim::scenes) lanes: usize,
    pub(in crate::sim::scenes) lane_width_m: f64,
    /// Width of the strip for parked cars on each side; zero for none.
    pub(in crate::sim::scenes) parking_m: f64,
    pub(in crate::sim::scenes) pavement_m: f64,
    /// Width of the strip between the two directions.
    pub(in crate::sim::scenes) median_m: f64,
    pub(in crate::sim::scenes) limit_mps: f64,
}

impl RoadPlan {
    /// From the axis to the kerb, metres.
    pub(in crate::sim::scenes) fn half_width_m(&self) -> f64 {
        0.5 * self.median_m + self.lanes as f64 * self.lane_width_m + self.parking_m
    }

    /// Offset of a lane's middle from the axis, positive to the left: lane 0 is the innermost, and all lie on the right.
    pub(in crate::sim::scenes) fn lane_offset_m(&self, lane: usize) -> f64 {
        -(0.5 * self.median_m + (lane as f64 + 0.5) * self.lane_width_m)
    }
}

/// A straight road between two nodes or to an open end.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Section {
    /// The nodes' numbers; `None` is an open end.
    pub(in crate::sim::scenes) nodes: [Option<usize>; 2],
    /// The nodes' places or the open ends.
    pub(in crate::sim::scenes) ends: [Spot; 2],
    pub(in crate::sim::scenes) plan: RoadPlan,
    /// How far before each end the junction begins (stop lines), metres.
    pub(in crate::sim::scenes) setback_m: [f64; 2],
}

impl Section {
    pub(in crate::sim::scenes) fn yaw_rad(&self) -> f64 {
        let way = self.ends[1] - self.ends[0];
        way.y.atan2(way.x)
    }

    /// Where the section proper begins and ends on its axis.
    pub(in crate::sim::scenes) fn mouths(&self) -> [Spot; 2] {
        let forward = along(self.yaw_rad());
        [
            self.ends[0] + forward * self.setback_m[0],
            self.ends[1] - forward * self.setback_m[1],
        ]
    }
}

/// Who goes first at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim::scenes) enum NodeKind {
    /// Traffic lights.
    Lights,
    /// The road of the first arm and the one opposite to it go first.
    Priority,
    /// First come, first served.
    Equal,
}

/// A crossing for pedestrians.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Crossing {
    pub(in crate::sim::scenes) ends: [Spot; 2],
    pub(in crate::sim::scenes) width_m: f64,
    pub(in crate::sim::scenes) node: usize,
    /// The lights' group of the arm it crosses.
    pub(in crate::sim::scenes) group: usize,
}

/// A node's arm: a section that ends there.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Arm {
    pub(in crate::sim::scenes) section: usize,
    /// Which end of the section.
    pub(in crate::sim::scenes) end: usize,
    /// Direction away from the node.
    pub(in crate::sim::scenes) yaw_rad: f64,
    pub(in crate::sim::scenes) crossing: Option<usize>,
    pub(in crate::sim::scenes) group: usize,
}

/// Where sections meet.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Junction {
    pub(in crate::sim::scenes) spot: Spot,
    pub(in crate::sim::scenes) kind: NodeKind,
    /// Counter-clockwise.
    pub(in crate::sim::scenes) arms: Vec<Arm>,
    /// The lights' groups.
    pub(in crate::sim::scenes) groups: usize,
}

/// A stretch of a lane that another lane or a crossing also covers: from the first to the second, metres along the lane.
pub(in crate::sim::scenes) type Span = (f64, f64);

/// What must be granted before a lane may be entered.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Gate {
    pub(in crate::sim::scenes) node: usize,
    pub(in crate::sim::scenes) group: usize,
    /// Lower goes first.
    pub(in crate::sim::scenes) rank: u8,
    /// Lanes that cross or join this one, and the stretch of this lane that they share.
    pub(in crate::sim::scenes) conflicts: Vec<(usize, Span)>,
    /// Crossings on the way, and the stretch of this lane on them.
    pub(in crate::sim::scenes) crossings: Vec<(usize, Span)>,
}

/// A lane: a path with an offset, so that neighbours share their arc length.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Lane {
    pub(in crate::sim::scenes) axis: Arc<Path>,
    /// Of the lane's middle from the axis, positive to the left, metres.
    pub(in crate::sim::scenes) offset_m: f64,
    pub(in crate::sim::scenes) width_m: f64,
    pub(in crate::sim::scenes) limit_mps: f64,
    /// Where one can go on from its end; empty at an open end.
    pub(in crate::sim::scenes) next: Vec<usize>,
    /// Neighbours in the same direction, left and right.
    pub(in crate::sim::scenes) beside: [Option<usize>; 2],
    /// Largest curvature, 1/m.
    pub(in crate::sim::scenes) sharpest_per_m: f64,
    /// How far it turns in all, positive to the left.
    pub(in crate::sim::scenes) turn_rad: f64,
    pub(in crate::sim::scenes) gate: Option<Gate>,
    /// Whether traffic comes in here from outside.
    pub(in crate::sim::scenes) is_entry: bool,
    /// The section it belongs to; `None` on a junction.
    pub(in crate::sim::scenes) section: Option<usize>,
}

impl Lane {
    /// A lane that is a path.
    pub(in crate::sim::scenes) fn along_path(path: Path, width_m: f64, limit_mps: f64) -> Self {
        let length_m = path.length_m();
        Self {
            sharpest_per_m: path.sharpest_per_m(),
            turn_rad: path.at(length_m).yaw_rad - path.at(0.0).yaw_rad,
            axis: Arc::new(path),
            offset_m: 0.0,
            width_m,
            limit_mps,
            next: Vec::new(),
            beside: [None; 2],
            gate: None,
            is_entry: false,
            section: None,
        }
    }

    pub(in crate::sim::scenes) fn length_m(&self) -> f64 {
        self.axis.length_m()
    }

    /// The middle of the lane after `s` metres of its axis.
    pub(in crate::sim::scenes) fn spot(&self, s: f64) -> Spot {
        self.axis.beside(s, self.offset_m)
    }

    pub(in crate::sim::scenes) fn yaw_rad(&self, s: f64) -> f64 {
        self.axis.at(s).yaw_rad
    }
}

/// Roads, junctions, lanes.
#[derive(Clone, Debug, Default)]
pub(in crate::sim::scenes) struct Network {
    pub(in crate::sim::scenes) sections: Vec<Section>,
    pub(in crate::sim::scenes) junctions: Vec<Junction>,
    pub(in crate::sim::scenes) crossings: Vec<Crossing>,
    pub(in crate::sim::scenes) lanes: Vec<Lane>,
}

fn turned(from_rad: f64, to_rad: f64) -> f64 {
    (to_rad - from_rad + PI).rem_euclid(TAU) - PI
}

impl Network {
    /// The network of sections between nodes. `nodes` are places and kinds; of each section the setbacks are found here.
    /// `crossing_share` of the arms get a crossing for pedestrians.
    pub(in crate::sim::scenes) fn new(
        draw: &mut Draw,
        nodes: &[(Spot, NodeKind)],
        sections: Vec<Section>,
        crossing_share: f64,
    ) -> Self {
        let mut network = Self {
            sections,
            ..Self::default()
        };
        for (number, &(spot, kind)) in nodes.iter().enumerate() {
            let junction = network.join(draw, number, spot, kind, crossing_share);
            network.junctions.push(junction);
        }
        // The lanes of each section, both ways; `ends_at[section][end]` are those that come in at that end.
        let mut ends_at: Vec<[Vec<usize>; 2]> = Vec::new();
        let mut starts_at: Vec<[Vec<usize>; 2]> = Vec::new();
        for number in 0..network.sections.len() {
            let section = network.sections[number].clone();
            let [first, last] = section.mouths();
            let (mut coming, mut going) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
            for way in 0..2 {
                let path = if way == 0 {
                    Path::straight(first, last)
                } else {
                    Path::straight(last, first)
                };
                let axis = Arc::new(path);
                let start = network.lanes.len();
                for index in 0..section.plan.lanes {
                    network.lanes.push(Lane {
                        axis: Arc::clone(&axis),
                        offset_m: section.plan.lane_offset_m(index),
                        width_m: section.plan.lane_width_m,
                        limit_mps: section.plan.limit_mps,
                        next: Vec::new(),
                        beside: [
                            index.checked_sub(1).map(|left| start + left),
                            (index + 1 < section.plan.lanes).then_some(start + index + 1),
                        ],
                        sharpest_per_m: 0.0,
                        turn_rad: 0.0,
                        gate: None,
                        is_entry: section.nodes[way].is_none(),
                        section: Some(number),
                    });
                    going[way].push(start + index);
                    coming[1 - way].push(start + index);
                }
            }
            ends_at.push(coming);
            starts_at.push(going);
        }
        for node in 0..network.junctions.len() {
            network.connect(node, &ends_at, &starts_at);
        }
        network
    }

    /// Finds a node's arms, how far they are set back, and its crossings.
    fn join(&mut self, draw: &mut Draw, number: usize, spot: Spot, kind: NodeKind, crossing_share: f64) -> Junction {
        let mut arms = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            for end in 0..2 {
                if section.nodes[end] == Some(number) {
                    arms.push(Arm {
                        section: index,
                        end,
                        yaw_rad: section.yaw_rad() + if end == 0 { 0.0 } else { PI },
                        crossing: None,
                        group: 0,
                    });
                }
            }
        }
        arms.sort_by(|one, other| (one.yaw_rad.rem_euclid(TAU)).total_cmp(&other.yaw_rad.rem_euclid(TAU)));
        // Opposite arms share a group of lights.
        let mut groups = 0;
        for index in 0..arms.len() {
            let opposite = (0..index).find(|&other| turned(arms[other].yaw_rad, arms[index].yaw_rad).abs() > 2.6);
            arms[index].group = match opposite {
                Some(other) => arms[other].group,
                None => {
                    groups += 1;
                    groups - 1
                }
            };
        }
        let corner_m = draw.uniform(4.0..8.0);
        let crossing_m = draw.uniform(3.0..4.5);
        let has_crossings = draw.chance(crossing_share);
        for index in 0..arms.len() {
            let own_m = self.sections[arms[index].section].plan.half_width_m();
            let mut setback_m: f64 = 1.0;
            for (other, arm) in arms.iter().enumerate() {
                let angle_rad = turned(arms[index].yaw_rad, arm.yaw_rad).abs();
                if other != index && angle_rad < 2.8 {
                    let its_m = self.sections[arm.section].plan.half_width_m();
                    let meets_m = (its_m + own_m * angle_rad.cos()) / angle_rad.sin();
                    setback_m = setback_m.max(meets_m + corner_m);
                }
            }
            let arm = &mut arms[index];
            let section = &mut self.sections[arm.section];
            if has_crossings && section.plan.pavement_m > 0.0 {
                let away = along(arm.yaw_rad);
                let beyond_m = own_m + 0.5 * section.plan.pavement_m;
                let middle = spot + away * (setback_m + 0.5 + 0.5 * crossing_m);
                arm.crossing = Some(self.crossings.len());
                self.crossings.push(Crossing {
                    // Left and right, seen from the node.
                    ends: [middle + left_of(away) * beyond_m, middle - left_of(away) * beyond_m],
                    width_m: crossing_m,
                    node: number,
                    group: arm.group,
                });
                setback_m += crossing_m + 1.5;
            }
            section.setback_m[arm.end] = setback_m;
        }
        Junction {
            spot,
            kind,
            arms,
            groups,
        }
    }

    /// Lays the ways across a node and finds what conflicts.
    fn connect(&mut self, node: usize, ends_at: &[[Vec<usize>; 2]], starts_at: &[[Vec<usize>; 2]]) {
        let junction = self.junctions[node].clone();
        let first = self.lanes.len();
        for (from, arm) in junction.arms.iter().enumerate() {
            for (to, exit) in junction.arms.iter().enumerate() {
                if from == to {
                    continue;
                }
                let incoming = &ends_at[arm.section][arm.end];
                let outgoing = &starts_at[exit.section][exit.end];
                let turn_rad = turned(arm.yaw_rad + PI, exit.yaw_rad);
                let (Some(last_in), Some(last_out)) = (incoming.len().checked_sub(1), outgoing.len().checked_sub(1))
                else {
                    continue;
                };
                let straight = turn_rad.abs() < 0.8;
                let others_straight = junction
                    .arms
                    .iter()
                    .enumerate()
                    .any(|(other, exit)| other != from && turned(arm.yaw_rad + PI, exit.yaw_rad).abs() < 0.8);
                let pairs: Vec<(usize, usize)> = if straight {
                    (0..=last_in.min(last_out)).map(|lane| (lane, lane)).collect()
                } else if turn_rad > 0.0 {
                    let mut pairs = vec![(0, 0)];
                    if !others_straight && last_in > 0 && turn_rad.abs() > 0.8 {
                        pairs.push((1, 1.min(last_out)));
                    }
                    pairs
                } else {
                    vec![(last_in, last_out)]
                };
                for (lane_in, lane_out) in pairs {
                    let (source, target) = (incoming[lane_in], outgoing[lane_out]);
                    self.way_across(node, &junction, (from, to), (source, target), turn_rad);
                }
            }
        }
        self.find_conflicts(first);
    }

    fn way_across(
        &mut self,
        node: usize,
        junction: &Junction,
        (from, to): (usize, usize),
        (source, target): (usize, usize),
        turn_rad: f64,
    ) {
        let (start, end) = (&self.lanes[source], &self.lanes[target]);
        let path = Path::turn(
            start.spot(start.length_m()),
            start.yaw_rad(start.length_m()),
            end.spot(0.0),
            end.yaw_rad(0.0),
        );
        let length_m = path.length_m();
        let mut crossings = Vec::new();
        for (arm, span) in [
            (from, |width_m: f64, _: f64| (0.0, width_m + 1.5)),
            (to, |width_m: f64, length_m: f64| (length_m - width_m - 1.5, length_m)),
        ] as [(usize, fn(f64, f64) -> Span); 2]
        {
            if let Some(crossing) = junction.arms[arm].crossing {
                crossings.push((crossing, span(self.crossings[crossing].width_m, length_m)));
            }
        }
        let group = junction.arms[from].group;
        let major = junction.kind != NodeKind::Priority || group == 0;
        let mut lane = Lane::along_path(path, start.width_m, start.limit_mps.min(end.limit_mps));
        lane.next = vec![target];
        lane.gate = Some(Gate {
            node,
            group,
            rank: if major { 0 } else { 2 } + u8::from(turn_rad > 0.8),
            conflicts: Vec::new(),
            crossings,
        });
        let number = self.lanes.len();
        self.lanes.push(lane);
        self.lanes[source].next.push(number);
    }

    /// Finds which of the lanes from `first` on come too close to each other for two vehicles.
    pub(in crate::sim::scenes) fn find_conflicts(&mut self, first: usize) {
        const CLOSE_M: f64 = 2.8;
        let samples: Vec<Vec<(f64, Spot)>> = self.lanes[first..]
            .iter()
            .map(|lane| {
                let pieces = lane.length_m().ceil().max(1.0);
                let at = |piece: usize| piece as f64 * lane.length_m() / pieces;
                (0..=pieces as usize)
                    .map(|piece| (at(piece), lane.spot(at(piece))))
                    .collect()
            })
            .collect();
        for one in 0..samples.len() {
            for other in 0..samples.len() {
                if one == other {
                    continue;
                }
                let mut span: Option<Span> = None;
                for (s, spot) in &samples[one] {
                    let close = |(_, its): &(f64, Spot)| (its - spot).norm_squared() < CLOSE_M * CLOSE_M;
                    if samples[other].iter().any(close) {
                        span = Some((span.map_or(*s, |(from, _)| from), *s));
                    }
                }
                if let (Some((from, to)), Some(gate)) = (span, &mut self.lanes[first + one].gate) {
                    gate.conflicts.push((first + other, (from - 1.0, to + 1.0)));
                }
            }
        }
    }
}

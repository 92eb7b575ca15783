//! Paths: smooth curves in the ground plane, walked by arc length.

use std::f64::consts::{PI, TAU};

use nalgebra::Vector2;

use crate::sim::scenes::stage::{Spot, along, left_of};

/// Distance between samples of a curve, metres.
const SPACING_M: f64 = 0.5;

/// A point of a path.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim::scenes) struct Station {
    pub(in crate::sim::scenes) spot: Spot,
    /// Direction of the path; it runs on beyond ±π without a jump.
    pub(in crate::sim::scenes) yaw_rad: f64,
    /// Change of the direction per metre, positive to the left.
    pub(in crate::sim::scenes) curvature_per_m: f64,
}

/// A smooth curve by arc length: evenly spaced stations with cubic Hermite pieces between them.
#[derive(Clone, Debug)]
pub(in crate::sim::scenes) struct Path {
    stations: Vec<Station>,
    spacing_m: f64,
}

impl Path {
    /// The straight way from one spot to another.
    pub(in crate::sim::scenes) fn straight(from: Spot, to: Spot) -> Self {
        let way = to - from;
        let station = |spot| Station {
            spot,
            yaw_rad: way.y.atan2(way.x),
            curvature_per_m: 0.0,
        };
        Self {
            stations: vec![station(from), station(to)],
            spacing_m: way.norm().max(1e-6),
        }
    }

    /// The way from a spot and direction to another spot and direction: a cubic Bézier curve. Its handles are a little
    /// longer than those that approximate a circle, so that the curvature grows and fades instead of jumping.
    pub(in crate::sim::scenes) fn turn(from: Spot, from_yaw_rad: f64, to: Spot, to_yaw_rad: f64) -> Self {
        let (start, end) = (along(from_yaw_rad), along(to_yaw_rad));
        let way = to - from;
        let angle_rad = ((to_yaw_rad - from_yaw_rad + PI).rem_euclid(TAU) - PI).abs();
        let cross = start.x * end.y - start.y * end.x;
        // Distances from both ends to where the tangents meet, if they do so in between.
        let meet = (cross.abs() > 0.17).then(|| {
            (
                (way.x * end.y - way.y * end.x) / cross,
                (start.x * way.y - start.y * way.x) / cross,
            )
        });
        let (first_m, last_m) = match meet {
            Some((first_m, last_m)) if first_m > 0.5 && last_m > 0.5 => {
                let handle = (1.2 * 4.0 / 3.0 * (0.25 * angle_rad).tan() / (0.5 * angle_rad).tan()).min(0.9);
                (handle * first_m, handle * last_m)
            }
            _ => (0.4 * way.norm(), 0.4 * way.norm()),
        };
        let corners = [from, from + start * first_m, to - end * last_m, to];
        let at = |t: f64| {
            let u = 1.0 - t;
            let weights = [u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t];
            Spot::from(
                corners
                    .iter()
                    .zip(weights)
                    .map(|(corner, weight)| corner.coords * weight)
                    .sum::<Vector2<f64>>(),
            )
        };
        let pieces = (way.norm() * 8.0).ceil().clamp(32.0, 800.0) as usize;
        Self::through((0..=pieces).map(|piece| at(piece as f64 / pieces as f64)), from_yaw_rad)
    }

    /// A path through finely spaced points of a smooth curve.
    pub(in crate::sim::scenes) fn through(points: impl Iterator<Item = Spot>, start_yaw_rad: f64) -> Self {
        let points: Vec<Spot> = points.collect();
        let mut lengths_m = vec![0.0];
        let mut reached_m = 0.0;
        for pair in points.windows(2) {
            reached_m += (pair[1] - pair[0]).norm();
            lengths_m.push(reached_m);
        }
        let pieces = (reached_m / SPACING_M).ceil().max(2.0);
        let spacing_m = (reached_m / pieces).max(1e-6);
        let mut after = 1;
        let mut spots: Vec<Spot> = Vec::with_capacity(pieces as usize + 1);
        for piece in 0..=pieces as usize {
            let s = piece as f64 * spacing_m;
            while after + 1 < points.len() && lengths_m[after] < s {
                after += 1;
            }
            let share = (s - lengths_m[after - 1]) / (lengths_m[after] - lengths_m[after - 1]).max(1e-9);
            let (from, to) = (points[after - 1], points[after]);
            spots.push(from + (to - from) * share.clamp(0.0, 1.0));
        }
        let last = spots.len() - 1;
        let mut stations: Vec<Station> = Vec::with_capacity(spots.len());
        let mut before_rad = start_yaw_rad;
        for index in 0..=last {
            // Central differences; at the ends the parabola through three points.
            let way = match index {
                0 => (spots[1] - spots[0]) * 2.0 - (spots[2] - spots[0]) * 0.5,
                _ if index == last => (spots[last] - spots[last - 1]) * 2.0 - (spots[last] - spots[last - 2]) * 0.5,
                _ => spots[index + 1] - spots[index - 1],
            };
            let turn = (way.y.atan2(way.x) - before_rad + PI).rem_euclid(TAU) - PI;
            before_rad += turn;
            stations.push(Station {
                spot: spots[index],
                yaw_rad: before_rad,
                curvature_per_m: 0.0,
            });
        }
        for index in 0..=last {
            let (before, after) = (index.saturating_sub(1), (index + 1).min(last));
            let turn = stations[after].yaw_rad - stations[before].yaw_rad;
            stations[index].curvature_per_m = turn / ((after - before) as f64 * spacing_m);
        }
        Self { stations, spacing_m }
    }

    /// A closed path through finely spaced points whose last is the first: it ends as it begins.
    pub(in crate::sim::scenes) fn closed(points: impl Iterator<Item = Spot>, start_yaw_rad: f64) -> Self {
        let mut path = Self::through(points, start_yaw_rad);
        let last = path.stations.len() - 1;
        let turns = ((path.stations[last].yaw_rad - path.stations[0].yaw_rad) / TAU).round() * TAU;
        let yaw_rad = 0.5 * (path.stations[0].yaw_rad + path.stations[last].yaw_rad - turns);
        let curvature = 0.5 * (path.stations[1].curvature_per_m + path.stations[last - 1].curvature_per_m);
        for (index, yaw_rad) in [(0, yaw_rad), (last, yaw_rad + turns)] {
            path.stations[index].yaw_rad = yaw_rad;
            path.stations[index].curvature_per_m = curvature;
        }
        path.stations[last].spot = path.stations[0].spot;
        path
    }

    /// The same path, run backwards.
    pub(in crate::sim::scenes) fn reversed(&self) -> Self {
        let mut stations = self.stations.clone();
        stations.reverse();
        for station in &mut stations {
            station.yaw_rad += PI;
            station.curvature_per_m = -station.curvature_per_m;
        }
        Self {
            stations,
            spacing_m: self.spacing_m,
        }
    }

    /// Length, metres.
    pub(in crate::sim::scenes) fn length_m(&self) -> f64 {
        self.spacing_m * (self.stations.len() - 1) as f64
    }

    /// The largest curvature, 1/m.
    pub(in crate::sim::scenes) fn sharpest_per_m(&self) -> f64 {
        let curvatures = self.stations.iter().map(|station| station.curvature_per_m.abs());
        curvatures.fold(0.0, f64::max)
    }

    /// Where the path is after `s` metres; before its start and beyond its end it runs straight on.
    pub(in crate::sim::scenes) fn at(&self, s: f64) -> Station {
        let last = self.stations.len() - 1;
        let length_m = self.length_m();
        if s <= 0.0 || s >= length_m {
            let (end, beyond_m) = if s <= 0.0 {
                (self.stations[0], s)
            } else {
                (self.stations[last], s - length_m)
            };
            return Station {
                spot: end.spot + along(end.yaw_rad) * beyond_m,
                ..end
            };
        }
        let index = ((s / self.spacing_m) as usize).min(last - 1);
        let (from, to) = (self.stations[index], self.stations[index + 1]);
        let share = s / self.spacing_m - index as f64;
        let yaw_rad = from.yaw_rad + (to.yaw_rad - from.yaw_rad) * share;
        if from.curvature_per_m == 0.0 && to.curvature_per_m == 0.0 {
            return Station {
                spot: from.spot + (to.spot - from.spot) * share,
                yaw_rad,
                curvature_per_m: 0.0,
            };
        }
        let (square, cube) = (share * share, share * share * share);
        let bend = along(from.yaw_rad) * (cube - 2.0 * square + share) + along(to.yaw_rad) * (cube - square);
        let chord = (to.spot - from.spot) * (3.0 * square - 2.0 * cube);
        Station {
            spot: from.spot + chord + bend * self.spacing_m,
            yaw_rad,
            curvature_per_m: from.curvature_per_m + (to.curvature_per_m - from.curvature_per_m) * share,
        }
    }

    /// The spot beside the path: `left_m` to the left after `s` metres.
    pub(in crate::sim::scenes) fn beside(&self, s: f64, left_m: f64) -> Spot {
        let station = self.at(s);
        station.spot + left_of(along(station.yaw_rad)) * left_m
    }
}

//! What a question about a window costs on a full store: 60 s at 30 frames a second. The limit is 2 µs for a distance.
//!
//! Beside it stands the peer that the running sums replace: a pass over all samples.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kinestream::kinematics::{
    STANDSTILL_GATE_M, Sample, Trajectory, movement_direction, traveled_distance_m, traveling_speed_mps,
};
use nalgebra::{Matrix3, Point3, Vector3};

const HISTORY_S: f64 = 60.0;
const FRAME_S: f64 = 1.0 / 30.0;

/// A winding drive whose frames come a little late or early.
fn drive() -> Trajectory {
    let mut trajectory = Trajectory::with_capacity(2000);
    for k in 0..=(HISTORY_S / FRAME_S) as usize {
        let time_s = (k as f64 + 0.3 * (7.0 * k as f64).sin()) * FRAME_S;
        let sample = Sample {
            time_s,
            position_in_world: Point3::new(8.0 * time_s, 20.0 * (0.2 * time_s).sin(), 0.0),
            velocity_in_world_mps: Vector3::new(8.0, 4.0 * (0.2 * time_s).cos(), 0.0),
            position_covariance: Matrix3::identity() * 0.09,
            velocity_covariance: Matrix3::identity() * 0.04,
            standing: false,
            reliable: true,
        };
        if let Err(error) = trajectory.push(sample) {
            panic!("{error}");
        }
    }
    trajectory
}

/// Windows of all lengths and places, the whole store first.
fn windows(trajectory: &Trajectory) -> Vec<(f64, f64)> {
    let (Some(first_s), Some(last_s)) = (trajectory.start_s(), trajectory.end_s()) else {
        return Vec::new();
    };
    let share = |k: usize, factor: f64| (k as f64 * factor).fract();
    let any = (1..1000).map(|k| {
        let (a, b) = (share(k, 0.754_877_666), share(k, 0.569_840_291));
        let at = |share: f64| first_s + share * (last_s - first_s);
        (at(a.min(b)), at(a.max(b)))
    });
    [(first_s, last_s)].into_iter().chain(any).collect()
}

fn queries(criterion: &mut Criterion) {
    let trajectory = drive();
    let windows = windows(&trajectory);
    let mut group = criterion.benchmark_group("60 s at 30 Hz");
    let mut bench = |name: &str, query: &dyn Fn(f64, f64) -> f64| {
        group.bench_function(format!("{name}, any window"), |bencher| {
            let mut next = 0;
            bencher.iter(|| {
                next = (next + 1) % windows.len();
                let (start_s, end_s) = windows[next];
                query(black_box(start_s), black_box(end_s))
            });
        });
        group.bench_function(format!("{name}, whole store"), |bencher| {
            let (start_s, end_s) = windows[0];
            bencher.iter(|| query(black_box(start_s), black_box(end_s)));
        });
    };
    bench("path length", &|start_s, end_s| {
        trajectory.path_length_m(start_s, end_s).unwrap_or(f64::NAN)
    });
    bench("distance with sigma", &|start_s, end_s| {
        traveled_distance_m(&trajectory, start_s, end_s).map_or(f64::NAN, |measured| measured.value)
    });
    bench("speed with sigma", &|start_s, end_s| {
        traveling_speed_mps(&trajectory, start_s, end_s).map_or(f64::NAN, |measured| measured.value)
    });
    bench("direction", &|start_s, end_s| {
        movement_direction(&trajectory, start_s, end_s, STANDSTILL_GATE_M)
            .map_or(f64::NAN, |direction| direction.angle_rad)
    });
    bench("peer: a pass over the samples", &|start_s, end_s| {
        let inside = trajectory.samples().filter(|s| (start_s..=end_s).contains(&s.time_s));
        let steps = inside.scan(None, |last: &mut Option<Point3<f64>>, sample| {
            let from = last.replace(sample.position_in_world);
            Some(from.map_or(0.0, |from| (sample.position_in_world - from).norm()))
        });
        steps.sum()
    });
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);

//! Properties of trajectories and measures.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use nalgebra::{Matrix3, Point3, Rotation3, Vector3};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;

use super::*;

fn sample(time_s: f64, position: Point3<f64>) -> Sample {
    Sample {
        time_s,
        position_in_world: position,
        velocity_in_world_mps: Vector3::zeros(),
        position_covariance: Matrix3::identity() * 0.01,
        velocity_covariance: Matrix3::identity() * 0.04,
        standing: false,
        reliable: true,
    }
}

fn trajectory(samples: impl IntoIterator<Item = Sample>) -> Trajectory {
    let mut trajectory = Trajectory::new();
    for sample in samples {
        trajectory.push(sample).unwrap();
    }
    trajectory
}

/// A drive with random steps in time (5 to 300 ms), turns and speeds; with standing stretches now and then.
fn drive() -> impl Strategy<Value = Vec<Sample>> {
    let step = (0.005..0.3f64, -0.3..0.3f64, 0.0..15.0f64, prop::bool::weighted(0.1));
    (prop::collection::vec(step, 2..200), -PI..PI, 0.0..1000.0f64).prop_map(|(steps, heading, start_s)| {
        let (mut time_s, mut heading) = (start_s, heading);
        let mut position = Point3::new(3.0, -2.0, 0.5);
        let mut samples = vec![sample(time_s, position)];
        for (dt, turn, speed, standing) in steps {
            time_s += dt;
            heading += turn;
            position += Vector3::new(heading.cos(), heading.sin(), 0.02) * speed * dt;
            samples.push(Sample {
                standing,
                ..sample(time_s, position)
            });
        }
        samples
    })
}

/// A window inside a drive from two shares of its length.
fn window(trajectory: &Trajectory, a: f64, b: f64) -> (f64, f64) {
    let (start_s, end_s) = (trajectory.start_s().unwrap(), trajectory.end_s().unwrap());
    let at = |share: f64| start_s + share * (end_s - start_s);
    (at(a.min(b)), at(a.max(b)))
}

/// The length of the path, stretch by stretch.
fn brute_length_m(samples: &[Sample], start_s: f64, end_s: f64) -> f64 {
    samples
        .windows(2)
        .filter(|pair| !(pair[0].standing && pair[1].standing))
        .map(|pair| {
            let (from, to) = (pair[0].time_s, pair[1].time_s);
            let inside = (to.min(end_s) - from.max(start_s)).max(0.0);
            (pair[1].position_in_world - pair[0].position_in_world).norm() * inside / (to - from)
        })
        .sum()
}

/// Position by walking through all samples.
fn brute_position(samples: &[Sample], time_s: f64) -> Option<Point3<f64>> {
    samples.windows(2).find_map(|pair| {
        let (from, to) = (pair[0].time_s, pair[1].time_s);
        (from..=to).contains(&time_s).then(|| {
            let way = pair[1].position_in_world - pair[0].position_in_world;
            pair[0].position_in_world + way * ((time_s - from) / (to - from))
        })
    })
}

fn moved(samples: &[Sample], map: impl Fn(Point3<f64>) -> Point3<f64>) -> Trajectory {
    trajectory(samples.iter().map(|s| Sample {
        position_in_world: map(s.position_in_world),
        ..*s
    }))
}

proptest! {
    #[test]
    fn search_finds_what_a_walk_finds(samples in drive(), a in 0.0..1.0f64, b in 0.0..1.0f64) {
        let drive = trajectory(samples.iter().copied());
        let (start_s, end_s) = window(&drive, a, b);
        let fast = drive.path_length_m(start_s, end_s).unwrap();
        prop_assert!((fast - brute_length_m(&samples, start_s, end_s)).abs() < 1e-7);
        let found = drive.at(start_s).unwrap().position_in_world;
        prop_assert!((found - brute_position(&samples, start_s).unwrap()).norm() < 1e-7);
        for sample in &samples {
            prop_assert_eq!(drive.at(sample.time_s).unwrap().position_in_world, sample.position_in_world);
        }
    }

    #[test]
    fn lengths_add_up(samples in drive(), a in 0.0..1.0f64, b in 0.0..1.0f64, c in 0.0..1.0f64) {
        let drive = trajectory(samples);
        let (start_s, end_s) = window(&drive, a, b);
        let middle_s = start_s + c * (end_s - start_s);
        let whole = drive.path_length_m(start_s, end_s).unwrap();
        let parts = drive.path_length_m(start_s, middle_s).unwrap() + drive.path_length_m(middle_s, end_s).unwrap();
        prop_assert!((whole - parts).abs() < 1e-8);
    }

    #[test]
    fn distance_of_record_is_the_sum_of_half_second_steps(samples in drive(), a in 0.0..1.0f64, b in 0.0..1.0f64) {
        let samples: Vec<Sample> = samples.into_iter().map(|s| Sample { standing: false, ..s }).collect();
        let drive = trajectory(samples.iter().copied());
        let (start_s, end_s) = window(&drive, a, b);
        prop_assume!(end_s - start_s > 1e-3);
        prop_assume!(end_s - start_s <= 20.0);
        let mut times: Vec<f64> = (0..).map(|k| start_s + 0.5 * f64::from(k)).take_while(|t| *t < end_s - 1e-6).collect();
        times.push(end_s);
        let positions: Vec<_> = times.iter().map(|t| brute_position(&samples, *t).unwrap()).collect();
        let brute: f64 = positions.windows(2).map(|pair| (pair[1] - pair[0]).norm()).sum();
        let measured = traveled_distance_m(&drive, start_s, end_s).unwrap();
        prop_assert!((measured.value - brute).abs() < 1e-7, "{} {brute}", measured.value);
        prop_assert!(measured.value <= drive.path_length_m(start_s, end_s).unwrap() + 1e-9);
        prop_assert!(measured.sigma.is_finite() && measured.sigma > 0.0);
        let speed = traveling_speed_mps(&drive, start_s, end_s).unwrap();
        prop_assert!((speed.value * (end_s - start_s) - measured.value).abs() < 1e-9);
    }

    #[test]
    fn where_the_world_lies_does_not_matter(samples in drive(), yaw in -PI..PI, x in -1e3..1e3f64, y in -1e3..1e3f64) {
        let drive = trajectory(samples.iter().copied());
        let rotation = Rotation3::from_axis_angle(&Vector3::z_axis(), yaw);
        let elsewhere = moved(&samples, |p| rotation * p + Vector3::new(x, y, 7.0));
        let (start_s, end_s) = window(&drive, 0.0, 1.0);
        let here = traveled_distance_m(&drive, start_s, end_s).unwrap();
        let there = traveled_distance_m(&elsewhere, start_s, end_s).unwrap();
        prop_assert!((here.value - there.value).abs() < 1e-6);
        let turned_by = |a: f64, b: f64| (a - b + PI).rem_euclid(TAU) - PI;
        match (movement_direction(&drive, start_s, end_s, 0.25), movement_direction(&elsewhere, start_s, end_s, 0.25)) {
            (Ok(here), Ok(there)) => prop_assert!(turned_by(here.angle_rad, there.angle_rad).abs() < 1e-6),
            (Err(here), Err(there)) => prop_assert_eq!(here.to_string(), there.to_string()),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_mirror_exchanges_left_and_right(samples in drive()) {
        let drive = trajectory(samples.iter().copied());
        let mirrored = moved(&samples, |p| Point3::new(p.x, -p.y, p.z));
        let (start_s, end_s) = window(&drive, 0.0, 1.0);
        let Ok(seen) = movement_direction(&drive, start_s, end_s, 0.25) else { return Ok(()) };
        let in_mirror = movement_direction(&mirrored, start_s, end_s, 0.25).unwrap();
        prop_assert!((seen.angle_rad.sin() + in_mirror.angle_rad.sin()).abs() < 1e-9);
        prop_assert!((seen.angle_rad.cos() - in_mirror.angle_rad.cos()).abs() < 1e-9);
        if !seen.ambiguous {
            prop_assert_eq!(in_mirror.hour, seen.hour.mirrored());
            let expected = if seen.hour.get() == 12 { 12 } else { 12 - seen.hour.get() };
            prop_assert_eq!(in_mirror.hour.get(), expected);
        }
        for run in direction_runs(&drive, start_s, end_s, 0.25).unwrap().iter().filter(|run| !run.ambiguous) {
            let same_time = direction_runs(&mirrored, start_s, end_s, 0.25).unwrap();
            prop_assert!(same_time.iter().any(|other| other.hour == run.hour.mirrored() && other.start_s == run.start_s));
        }
    }

    #[test]
    fn neither_frame_rate_nor_dropped_frames_change_a_straight_drive(
        rate in 5.0..120.0f64, dropped in prop::collection::vec(any::<bool>(), 1200), speed in 1.0..40.0f64, heading in -PI..PI,
    ) {
        let at = |t: f64| sample(t, Point3::new(heading.cos() * speed * t, heading.sin() * speed * t, 0.0));
        let frames = (10.0 * rate) as usize;
        let kept = (1..frames).filter(|k| !dropped[*k]).map(|k| at(k as f64 / rate));
        let drive = trajectory([at(0.0)].into_iter().chain(kept).chain([at(10.0 + 1.0 / rate)]));
        let distance = traveled_distance_m(&drive, 1.3, 9.1).unwrap();
        prop_assert!((distance.value - 7.8 * speed).abs() < 1e-6);
        prop_assert!((drive.path_length_m(1.3, 9.1).unwrap() - 7.8 * speed).abs() < 1e-6);
        let direction = movement_direction(&drive, 1.3, 9.1, 0.25).unwrap();
        prop_assert!(direction.hour == ClockHour::TWELVE && !direction.ambiguous);
    }

    #[test]
    fn a_bend_is_nearly_the_same_at_any_frame_rate(rate in 10.0..60.0f64, radius in 8.0..50.0f64, right in any::<bool>()) {
        // 90° in 6 s after 2 s straight on, then 2 s straight.
        let side = if right { -1.0 } else { 1.0 };
        let speed = radius * FRAC_PI_2 / 6.0;
        let at = |t: f64| {
            let turned = ((t - 2.0) / 6.0).clamp(0.0, 1.0) * FRAC_PI_2;
            let (before, after) = (t.min(2.0) * speed, (t - 8.0).max(0.0) * speed);
            sample(t, Point3::new(before + radius * turned.sin(), side * (radius * (1.0 - turned.cos()) + after), 0.0))
        };
        let drive = trajectory((0..=(10.0 * rate) as usize + 1).map(|k| at(k as f64 / rate)));
        let distance = traveled_distance_m(&drive, 0.0, 10.0).unwrap();
        prop_assert!((distance.value / (10.0 * speed) - 1.0).abs() < 2e-3, "{} {}", distance.value, 10.0 * speed);
        let direction = movement_direction(&drive, 0.0, 10.0, 0.25).unwrap();
        prop_assert_eq!(direction.hour.get(), if right { 3 } else { 9 });
        // 1 o'clock lasts from 15° to 45°: 2 s, give or take a step at each end.
        let hour = ClockHour::new(if right { 1 } else { 11 }).unwrap();
        let (start_s, end_s) = direction_times(&drive, 0.0, 10.0, hour, 0.25).unwrap();
        prop_assert!((start_s - 3.0).abs() <= 0.51 && (end_s - 5.0).abs() <= 0.51, "{start_s} {end_s}");
    }

    #[test]
    fn forgetting_the_past_leaves_the_present(samples in drive(), a in 0.0..1.0f64, b in 0.0..1.0f64) {
        let whole = trajectory(samples);
        let (start_s, end_s) = window(&whole, a, b);
        let mut rest = whole.clone();
        rest.truncate_before(start_s);
        prop_assert!(rest.len() < 2 || rest.samples().nth(1).unwrap().time_s > start_s);
        let (expected, found) = (whole.path_length_m(start_s, end_s), rest.path_length_m(start_s, end_s));
        prop_assert!((expected.unwrap() - found.unwrap()).abs() < 1e-9);
        prop_assert_eq!(whole.is_reliable(start_s, end_s), rest.is_reliable(start_s, end_s));
    }

    #[test]
    fn comparisons_do_not_depend_on_the_order(a in drive(), b in drive()) {
        let rebased = |samples: Vec<Sample>| {
            let start_s = samples[0].time_s;
            trajectory(samples.into_iter().map(|s| Sample { time_s: s.time_s - start_s, ..s }))
        };
        let (a, b) = (rebased(a), rebased(b));
        let end_s = a.end_s().unwrap().min(b.end_s().unwrap());
        prop_assume!(end_s > 0.5);
        let (there, back) = (compare_distance(&a, &b, 0.0, end_s).unwrap(), compare_distance(&b, &a, 0.0, end_s).unwrap());
        prop_assert!(there.first_is_greater != back.first_is_greater || there.first.value == there.second.value);
        prop_assert_eq!(there.probability, back.probability);
        prop_assert!((0.5..=1.0).contains(&there.probability));
        if let (Ok(there), Ok(back)) = (compare_direction(&a, &b, 0.0, end_s, 0.25), compare_direction(&b, &a, 0.0, end_s, 0.25)) {
            prop_assert!(there.same == back.same || there.ambiguous);
            prop_assert!((there.angle_rad.cos() - back.angle_rad.cos()).abs() < 1e-9);
        }
    }

    #[test]
    fn no_number_makes_it_panic(values in prop::array::uniform4(prop::num::f64::ANY), samples in drive()) {
        let drive = trajectory(samples);
        let [a, b, c, d] = values;
        let _ = (drive.at(a), drive.path_length_m(a, b), drive.is_reliable(a, b), drive.overlap(a, b));
        let _ = (traveled_distance_m(&drive, a, b), movement_direction(&drive, a, b, c));
        let _ = direction_times(&drive, a, b, ClockHour::from_angle_rad(c), d);
        let _ = compare_direction(&drive, &drive, a, b, c);
        prop_assert!(ClockHour::new(ClockHour::from_angle_rad(c).get()).is_some());
        if c.abs() > 1e-3 {
            let _ = drive.resampled(a, b, c);
        }
        let mut drive = drive;
        let _ = drive.push(sample(a, Point3::new(b, c, d)));
        drive.truncate_before(d);
    }
}

#[test]
fn a_long_window_is_summed_as_a_short_one() {
    // A winding drive of 60 s with a stop, at an uneven frame rate, of which the beginning has been forgotten.
    let mut random = StdRng::seed_from_u64(3);
    let (mut time_s, mut driven_s) = (0.0f64, 0.0f64);
    let mut drive = Trajectory::new();
    while time_s < 70.0 {
        let standing = (30.0..37.0).contains(&time_s);
        let position = Point3::new(8.0 * driven_s, 20.0 * (0.3 * driven_s).sin(), 0.0);
        drive
            .push(Sample {
                standing,
                ..sample(time_s, position)
            })
            .unwrap();
        let dt = random.random_range(0.01..0.08);
        time_s += dt;
        driven_s += if standing { 0.0 } else { dt };
    }
    drive.truncate_before(9.3);
    for (start_s, end_s) in [(9.3, 69.0), (10.0, 31.0), (33.0, 60.2), (12.34, 45.67), (30.5, 50.6)] {
        let whole = traveled_distance_m(&drive, start_s, end_s).unwrap();
        let half_s = 0.5 * (end_s - start_s);
        let parts = [start_s, start_s + half_s].map(|from_s| {
            // Short enough for the steps of record, also where the window is 60 s.
            let third = |k: f64| from_s + half_s * k / 3.0;
            (0..3)
                .map(|k| {
                    traveled_distance_m(&drive, third(f64::from(k)), third(f64::from(k + 1)))
                        .unwrap()
                        .value
                })
                .sum::<f64>()
        });
        let sum = parts[0] + parts[1];
        assert!((whole.value / sum - 1.0).abs() < 5e-3, "{} {sum}", whole.value);
        assert!(whole.value <= drive.path_length_m(start_s, end_s).unwrap() + 1e-9);
        let shorter = traveled_distance_m(&drive, end_s - 20.0, end_s).unwrap();
        assert!(whole.sigma > 0.5 * shorter.sigma && whole.sigma < 2.0 * shorter.sigma.max(0.3));
    }
}

#[test]
fn samples_out_of_order_or_not_finite_are_refused() {
    let mut drive = trajectory([sample(1.0, Point3::origin())]);
    assert_eq!(
        drive.push(sample(1.0, Point3::origin())),
        Err(TrajectoryError::TimeNotIncreasing {
            last_s: 1.0,
            found_s: 1.0
        })
    );
    assert_eq!(
        drive.push(sample(2.0, Point3::new(0.0, f64::NAN, 0.0))),
        Err(TrajectoryError::NotFinite {
            field: "position_in_world"
        })
    );
    assert_eq!(drive.len(), 1);
    drive.truncate_before(2.0);
    assert!(drive.is_empty());
}

#[test]
fn resampling_keeps_to_the_grid_of_the_window() {
    let drive = trajectory((0..=20).map(|k| sample(f64::from(k) * 0.3, Point3::new(f64::from(k), 0.0, 0.0))));
    let times = |start_s, end_s, step_s| -> Vec<f64> {
        drive
            .resampled(start_s, end_s, step_s)
            .iter()
            .map(|s| s.time_s)
            .collect()
    };
    assert_eq!(times(1.0, 2.5, 0.5), [1.0, 1.5, 2.0, 2.5]);
    assert_eq!(times(-1.2, 0.4, 0.5), [-1.2 + 3.0 * 0.5]);
    assert_eq!(times(5.5, 99.0, 0.5), [5.5, 6.0]);
    assert!(times(7.0, 9.0, 0.5).is_empty());
    assert!(times(0.0, 6.0, 0.0).is_empty());
    assert!(times(0.0, 6.0, f64::NAN).is_empty());
}

/// Drives at 10 m/s to 2 s, stands (with jitter) to 6 s, drives on to 8 s.
fn stop_and_go() -> Trajectory {
    trajectory((0..=240).map(|k| {
        let t = f64::from(k) / 30.0;
        let standing = (2.0..=6.0).contains(&t);
        let jitter = if standing { 0.3 * f64::from(k % 2) } else { 0.0 };
        let x = 10.0 * (t.min(2.0) + (t - 6.0).max(0.0));
        Sample {
            standing,
            ..sample(t, Point3::new(x, jitter, 0.0))
        }
    }))
}

#[test]
fn who_stands_travels_nothing_and_has_no_direction() {
    let drive = stop_and_go();
    let standing = traveled_distance_m(&drive, 2.5, 5.5).unwrap();
    assert_eq!(standing.value, 0.0);
    assert!(standing.sigma > 0.0);
    assert!((traveled_distance_m(&drive, 0.0, 8.0).unwrap().value - 40.0).abs() < 0.2);
    assert_eq!(
        movement_direction(&drive, 2.5, 5.5, STANDSTILL_GATE_M),
        Err(MeasureError::NeverMoves {
            gate_m: STANDSTILL_GATE_M
        })
    );
    assert_eq!(
        movement_direction(&drive, 0.0, 5.0, STANDSTILL_GATE_M),
        Err(MeasureError::StandsAtEnd { last_moved_s: 2.0 })
    );
    let runs = direction_runs(&drive, 0.0, 8.0, STANDSTILL_GATE_M).unwrap();
    let times: Vec<_> = runs.iter().map(|run| (run.start_s, run.end_s)).collect();
    assert_eq!(times, [(0.0, 2.0), (6.0, 8.0)]);
    let longest = direction_times(&drive, 0.5, 8.0, ClockHour::TWELVE, STANDSTILL_GATE_M).unwrap();
    assert_eq!(longest, (6.0, 8.0));
    let never = ClockHour::new(3).unwrap();
    assert_eq!(
        direction_times(&drive, 0.0, 8.0, never, STANDSTILL_GATE_M),
        Err(MeasureError::NeverInDirection { hour: never })
    );
}

#[test]
fn windows_that_are_not_known_are_errors() {
    let drive = stop_and_go();
    assert!(matches!(
        traveled_distance_m(&drive, 5.0, 10.0),
        Err(MeasureError::NotCovered { .. })
    ));
    assert_eq!(drive.overlap(5.0, 10.0), Some((5.0, 8.0)));
    assert_eq!(drive.overlap(9.0, 10.0), None);
    assert!(matches!(
        traveled_distance_m(&drive, 5.0, 5.0),
        Err(MeasureError::InvalidWindow { .. })
    ));
    assert!(matches!(
        traveled_distance_m(&drive, f64::NAN, 5.0),
        Err(MeasureError::InvalidWindow { .. })
    ));
    assert_eq!(
        traveled_distance_m(&Trajectory::new(), 0.0, 1.0),
        Err(MeasureError::Empty)
    );
    assert!(matches!(
        movement_direction(&drive, 0.0, 0.4, STANDSTILL_GATE_M),
        Err(MeasureError::TooShort { .. })
    ));
}

#[test]
fn a_moment_of_doubt_does_not_spoil_a_window_but_a_long_one_does() {
    let doubtful = |until_s: f64| {
        trajectory((0..=300).map(|k| {
            let t = f64::from(k) / 30.0;
            Sample {
                reliable: !(3.0..until_s).contains(&t),
                ..sample(t, Point3::new(t, 0.0, 0.0))
            }
        }))
    };
    assert!(traveled_distance_m(&doubtful(3.5), 0.0, 10.0).unwrap().reliable);
    assert!(!traveled_distance_m(&doubtful(5.0), 0.0, 10.0).unwrap().reliable);
    assert!(!traveled_distance_m(&doubtful(3.5), 2.5, 4.0).unwrap().reliable);
    // A gap longer than an identity survives is bridged, but not trusted.
    let gap = trajectory([0.0, 1.0, 3.5, 4.0].map(|t| sample(t, Point3::new(t, 0.0, 0.0))));
    let bridged = traveled_distance_m(&gap, 0.0, 4.0).unwrap();
    assert!((bridged.value - 4.0).abs() < 1e-9 && !bridged.reliable);
    assert!(!gap.at(2.0).unwrap().reliable);
}

#[test]
fn an_error_of_scale_does_not_average_out() {
    let straight = || trajectory((0..=600).map(|k| sample(f64::from(k) / 30.0, Point3::new(f64::from(k), 0.0, 0.0))));
    let mut scaled = straight();
    scaled.set_relative_scale_sigma(0.1);
    let (exact, wide) = (
        traveled_distance_m(&straight(), 0.0, 20.0).unwrap(),
        traveled_distance_m(&scaled, 0.0, 20.0).unwrap(),
    );
    assert_eq!(exact.value, wide.value);
    assert!((wide.sigma.powi(2) - exact.sigma.powi(2) - 60f64.powi(2)).abs() < 1e-6);
    scaled.set_relative_scale_sigma(f64::NAN);
    assert_eq!(scaled.relative_scale_sigma(), 0.0);
}

/// Errors like a smoother's: white noise through two equal first-order filters, so that errors have a memory and a velocity.
/// The autocovariance is σ² (1 + t/τ) e^(−t/τ), the velocity's variance σ²/τ².
fn smooth_errors(random: &mut StdRng, count: usize, step_s: f64, sigma: f64, tau_s: f64) -> Vec<Vector3<f64>> {
    let keep = (-step_s / tau_s).exp();
    let sigma_of_cascade = (1.0 - keep) * (1.0 + keep * keep).sqrt() / (1.0 - keep * keep);
    let (mut inner, mut outer) = (Vector3::zeros(), Vector3::zeros());
    let settling = (20.0 * tau_s / step_s) as usize;
    let mut errors = Vec::with_capacity(settling + count);
    for _ in 0..settling + count {
        let white = Vector3::from_fn(|_, _| random.sample::<f64, _>(StandardNormal));
        inner = inner * keep + white * (1.0 - keep * keep).sqrt();
        outer = outer * keep + inner * (1.0 - keep);
        errors.push(outer * (sigma / sigma_of_cascade));
    }
    errors.split_off(settling)
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let mut random = StdRng::seed_from_u64(7);
    let (step_s, tau_s, trials) = (1.0 / 30.0, 0.5, 400);
    for (speed, sigma_m, window_s) in [(1.4, 0.1, 10.0), (10.0, 0.4, 10.0), (10.0, 0.4, 1.0), (25.0, 1.0, 20.0)] {
        let (mut held, mut mean_sigma, mut mean_square) = (0, 0.0, 0.0);
        for _ in 0..trials {
            let errors = smooth_errors(&mut random, (window_s / step_s) as usize + 2, step_s, sigma_m, tau_s);
            let drive = trajectory(errors.into_iter().enumerate().map(|(k, error)| {
                let time_s = k as f64 * step_s;
                Sample {
                    position_covariance: Matrix3::identity() * sigma_m.powi(2),
                    velocity_covariance: Matrix3::identity() * (sigma_m / tau_s).powi(2),
                    ..sample(time_s, Point3::from(Vector3::new(speed * time_s, 0.0, 0.0) + error))
                }
            }));
            let measured = traveled_distance_m(&drive, 0.0, window_s).unwrap();
            let (low, high) = measured.interval_95();
            held += usize::from((low..=high).contains(&(speed * window_s)));
            mean_sigma += measured.sigma / f64::from(trials);
            mean_square += (measured.value - speed * window_s).powi(2) / f64::from(trials);
        }
        let share = held as f64 / f64::from(trials);
        let error = mean_square.sqrt();

        assert!(share > 0.93, "{speed} m/s: {share}");
        assert!(
            mean_sigma < 3.0 * error,
            "{speed} m/s: sigma {mean_sigma}, error {error}"
        );
    }
}

#[test]
fn two_who_pass_each_other_do_not_move_the_same_way() {
    let way =
        |x: f64, y: f64| trajectory((0..=10).map(|k| sample(f64::from(k), Point3::new(x, y, 0.0) * f64::from(k))));
    let compare = |a: &Trajectory, b: &Trajectory| compare_direction(a, b, 0.0, 10.0, STANDSTILL_GATE_M).unwrap();
    let against = compare(&way(5.0, 0.0), &way(-5.0, 0.0));
    assert!(!against.same && against.probability > 0.999 && !against.ambiguous);
    let beside = compare(&way(5.0, 0.0), &way(8.0, 0.3));
    assert!(beside.same && beside.probability > 0.999);
    // 14° apart: the same by a hair.
    assert!(
        compare(
            &way(5.0, 0.0),
            &way(5.0 * 14f64.to_radians().cos(), 5.0 * 14f64.to_radians().sin())
        )
        .ambiguous
    );
    let faster = compare_speed(&way(5.0, 0.0), &way(8.0, 0.0), 0.0, 10.0).unwrap();
    assert!(!faster.first_is_greater && faster.probability > 0.999 && !faster.ambiguous);
    let even = compare_distance(&way(5.0, 0.0), &way(5.0, 0.0), 0.0, 10.0).unwrap();
    assert!(even.probability == 0.5 && even.ambiguous);
}

/// A walk along y at 1.2 m/s, 25 samples a second, of whose distance the estimator thinks better between 4 and 5 s: x shifts
/// by 1.5 m, while the velocity says what it said before.
fn revised_walk(mut into: Trajectory) -> Trajectory {
    for k in 0..=250 {
        let time_s = f64::from(k) * 0.04;
        let shift_m = 1.5 * (time_s - 4.0).clamp(0.0, 1.0);
        let state = Sample {
            velocity_in_world_mps: Vector3::y() * 1.2,
            position_covariance: Matrix3::identity() * 0.5,
            velocity_covariance: Matrix3::identity() * 0.01,
            ..sample(time_s, Point3::new(30.0 + shift_m, 1.2 * time_s, 0.9))
        };
        into.push(state).unwrap();
    }
    into
}

#[test]
fn second_thoughts_about_the_distance_are_no_movement() {
    let (labels, states) = (revised_walk(Trajectory::new()), revised_walk(Trajectory::estimated()));
    let turn_deg = |walk: &Trajectory| {
        let direction = movement_direction(walk, 3.0, 5.0, STANDSTILL_GATE_M).unwrap();
        direction.angle_rad.abs().to_degrees()
    };
    let length_m = |walk: &Trajectory| traveled_distance_m(walk, 3.0, 5.0).unwrap().value;
    assert!(turn_deg(&labels) > 45.0, "{}", turn_deg(&labels));
    assert!(turn_deg(&states) < 8.0, "{}", turn_deg(&states));
    assert!(length_m(&labels) > 2.9, "{}", length_m(&labels));
    assert!((length_m(&states) - 2.4).abs() < 0.05, "{}", length_m(&states));
    // What is said of the way agrees with what is said of the positions, and both with the estimates on average.
    let times_s: Vec<f64> = (0..=4).map(|k| 3.0 + 0.5 * f64::from(k)).collect();
    let points: Vec<Point3<f64>> = states.moved_through(&times_s).into_iter().flatten().collect();
    let chords_m: f64 = points.windows(2).map(|pair| (pair[1] - pair[0]).norm()).sum();
    assert!((chords_m - length_m(&states)).abs() < 1e-9);
    let off: f64 = points
        .iter()
        .zip(&times_s)
        .map(|(point, time_s)| point.x - states.at(*time_s).unwrap().position_in_world.x)
        .sum();
    assert!(off.abs() < 1e-9);
    let at: Vec<Point3<f64>> = labels.moved_through(&times_s).into_iter().flatten().collect();
    assert_eq!(at[2], labels.at(4.0).unwrap().position_in_world);
    assert_eq!(labels.moved_through(&[-1.0, 11.0]), [None, None]);
}

#[test]
fn a_path_of_states_comes_back_to_the_positions_in_the_end() {
    let mut states = Trajectory::estimated();
    for k in 0..=2000 {
        let time_s = f64::from(k) * 0.04;
        let state = Sample {
            // A tenth too slow all the while.
            velocity_in_world_mps: Vector3::x() * 9.0,
            position_covariance: Matrix3::identity(),
            velocity_covariance: Matrix3::identity(),
            ..sample(time_s, Point3::new(10.0 * time_s, 0.0, 0.8))
        };
        states.push(state).unwrap();
    }
    let length_m = traveled_distance_m(&states, 60.0, 70.0).unwrap().value;
    assert!((length_m - 100.0).abs() < 0.1, "{length_m}");
    // Where the covariances say that there is no error, positions and path are the same.
    let mut exact = Trajectory::estimated();
    for k in 0..=20 {
        let time_s = f64::from(k) * 0.1;
        let state = Sample {
            position_covariance: Matrix3::zeros(),
            velocity_covariance: Matrix3::zeros(),
            ..sample(time_s, Point3::new(2.0 * time_s, 0.0, 0.0))
        };
        exact.push(state).unwrap();
    }
    assert!((exact.path_length_m(0.0, 2.0).unwrap() - 4.0).abs() < 1e-9);
}

/// Frames come when they come: of something first seen 3 ms into a window and last seen 2 ms before its end, the last half
/// second counts all the same.
#[test]
fn a_window_that_begins_and_ends_between_frames_loses_no_step() {
    // East at 2 m/s for two seconds, then south.
    let walk = |time_s: f64| Point3::new(2.0 * time_s.min(2.0), -2.0 * (time_s - 2.0).max(0.0), 0.0);
    let mut seen = Trajectory::default();
    for k in 0..=50 {
        let time_s = 0.003 + f64::from(k) * 2.495 / 50.0;
        seen.push(sample(time_s, walk(time_s))).unwrap();
    }
    let (start_s, end_s) = (0.003, 2.498);
    let direction = movement_direction(&seen, start_s, end_s, STANDSTILL_GATE_M).unwrap();
    assert_eq!(direction.hour.get(), 3, "{direction:?}");
    let times = direction_times(&seen, start_s, end_s, direction.hour, STANDSTILL_GATE_M).unwrap();
    assert!(
        (times.0 - 2.003).abs() < 1e-9 && (times.1 - end_s).abs() < 1e-9,
        "{times:?}"
    );
    // What lacks more than two tenths of a second of a step is no step.
    let direction = movement_direction(&seen, start_s, 2.25, STANDSTILL_GATE_M).unwrap();
    assert_eq!(direction.hour.get(), 12, "{direction:?}");
}

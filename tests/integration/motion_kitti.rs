//! What the motion stage reaches on KITTI tracking with noise on true boxes and distances.

use std::path::PathBuf;

use kinestream::datasets::{self, DataSource};
use kinestream::motion::MotionSettings;
use kinestream::motion::evaluation::{NoiseSettings, Report, Scene, evaluate};

use crate::support::real_data;

fn report(memory_s: f64) -> Option<Report> {
    let recordings = datasets::open(DataSource::Kitti, &real_data("kitti-tracking")?)
        .unwrap()
        .range(0, 11);
    let scenes: Vec<Scene> = recordings
        .flat_map(|recording| Scene::from_recording(&recording.unwrap()))
        .collect();
    let noise = NoiseSettings {
        range: 0.10,
        lateral: 0.02,
        box_jitter: 0.03,
        memory_s,
    };
    Some(evaluate(
        &scenes,
        &noise,
        &MotionSettings::default(),
        &[1, 2, 3],
        |_, _| {},
    ))
}

#[test]
fn white_noise() {
    let Some(report) = report(0.0) else { return };
    let moving = &report.vehicle_moving;
    assert!(moving.settled.speed_mae_kmh.unwrap() <= 1.3, "{:?}", moving.settled);
    assert!(moving.settled.acc25.unwrap() >= 0.96, "{:?}", moving.settled);
    assert!(moving.live.speed_mae_kmh.unwrap() <= 2.3, "{:?}", moving.live);
    assert!(moving.live.acc25.unwrap() >= 0.89, "{:?}", moving.live);
    let parked = &report.vehicle_parked;
    assert!(parked.settled.speed_median_kmh.unwrap() <= 0.8, "{:?}", parked.settled);
    assert!(parked.live.speed_median_kmh.unwrap() <= 2.5, "{:?}", parked.live);
    let walking = &report.pedestrian_moving.settled;
    assert!(walking.speed_mae_kmh.unwrap() <= 0.6, "{walking:?}");
    assert!(walking.acc25.unwrap() >= 0.87, "{walking:?}");
    for state in [&moving.settled, &moving.live, &parked.settled, &parked.live] {
        assert!((0.90..=0.98).contains(&state.coverage95.unwrap()), "{state:?}");
    }
    for (_, states) in report.groups() {
        assert_eq!(states.live.missed + states.settled.missed, 0);
    }
}

#[test]
fn noise_with_a_memory_of_a_second() {
    let Some(report) = report(1.0) else { return };
    let (moving, parked) = (&report.vehicle_moving, &report.vehicle_parked);
    for state in [&moving.settled, &moving.live, &parked.settled, &parked.live] {
        assert!((0.90..=0.985).contains(&state.coverage95.unwrap()), "{state:?}");
    }
    assert!(report.vehicle_moving.settled.acc25.unwrap() >= 0.95);
}

#[test]
fn a_missing_folder_is_named() {
    let error = datasets::open(DataSource::Kitti, &PathBuf::from("no/such/folder"))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no/such/folder"), "{error}");
}

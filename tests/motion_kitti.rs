//! KITTI tracking with noise on true boxes and distances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::path::PathBuf;

use kinestream::motion::MotionSettings;
use kinestream::motion::evaluation::{NoiseSettings, evaluate, load_kitti};

#[test]
fn scores() {
    let root = std::env::var_os("KINESTREAM_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let root = root.join("kitti-tracking");
    if !root.is_dir() {
        println!("skipped: no data");
        return;
    }
    let scenes = load_kitti(&root, 0, 11).unwrap();
    for memory_s in [0.0, 1.0] {
        let k: f64 = std::env::var("K").ok().and_then(|v| v.parse().ok()).unwrap_or(1.0);
        let noise = NoiseSettings {
            range: 0.10 * k,
            lateral: 0.02 * k,
            box_jitter: 0.03 * k,
            memory_s,
        };
        let start = std::time::Instant::now();
        let report = evaluate(
            &scenes,
            &noise,
            &MotionSettings::default(),
            &(1..=std::env::var("SEEDS").ok().and_then(|v| v.parse().ok()).unwrap_or(3)).collect::<Vec<u64>>(),
            |_, _| {},
        );
        println!("memory {memory_s} ({:.1} s)", start.elapsed().as_secs_f64());
        for (state, scores) in [("live", &report.live), ("settled", &report.settled)] {
            for (group, s) in [
                ("moving", &scores.vehicle_moving),
                ("parked", &scores.vehicle_parked),
                ("person", &scores.pedestrian_moving),
            ] {
                println!(
                    "{state:8} {group:7} n {:5} missed {:4} mae {:6.2} bias {:6.2} median {:6.2} acc25 {:.3} mape {:.3} clock {:.3} cov {:.3} width {:5.2}",
                    s.windows,
                    s.missed,
                    s.speed_mae_kmh.unwrap_or(f64::NAN),
                    s.speed_bias_kmh.unwrap_or(f64::NAN),
                    s.speed_median_kmh.unwrap_or(f64::NAN),
                    s.acc25.unwrap_or(f64::NAN),
                    s.distance_mape.unwrap_or(f64::NAN),
                    s.clock_acc1.unwrap_or(f64::NAN),
                    s.coverage95.unwrap_or(f64::NAN),
                    s.interval_kmh.unwrap_or(f64::NAN)
                );
            }
        }
    }
}

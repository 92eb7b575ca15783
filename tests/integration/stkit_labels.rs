//! Labels against `tests/golden/stkit_labels.py`, which computes them with pandas straight from the data sets' tables.

use std::path::PathBuf;

use kinestream::datasets::{self, DataSource, ObjectTrack};
use kinestream::stkit::builder::LabelWindow;
use serde_json::Value;

use crate::support::real_data;

fn agree(source: DataSource, root: PathBuf, golden: &str) {
    let golden: Vec<Value> = serde_json::from_str(golden).unwrap();
    let recordings: Vec<_> = datasets::open(source, &root).unwrap().map(Result::unwrap).collect();
    let (mut singles, mut pairs) = (0, 0);
    for entry in &golden {
        let recording = recordings
            .iter()
            .find(|recording| recording.name == entry["recording"])
            .unwrap();
        let object = |name: &Value| -> &ObjectTrack {
            recording
                .objects
                .iter()
                .find(|object| object.name == name.as_str().unwrap())
                .unwrap()
        };
        let start_s = entry["start"].as_f64().unwrap() * 0.5;
        let steps = entry["steps"].as_u64().unwrap() as usize;
        let window = |name: &Value| LabelWindow::new(object(name), start_s, steps).unwrap_or_else(|| panic!("{entry}"));
        if let Some(names) = entry["tracks"].as_array() {
            let (a, b) = (window(&names[0]), window(&names[1]));
            let farther = if a.distance_m() > b.distance_m() {
                &names[0]
            } else {
                &names[1]
            };
            assert_eq!(farther, &entry["farther"], "{entry}");
            if let Some(angle) = entry["between_deg"].as_f64() {
                assert!((a.angle_to_deg(&b) - angle).abs() < 1e-4, "{entry}");
            }
            pairs += 1;
            continue;
        }
        let window = window(&entry["track"]);
        assert!(
            (window.distance_m() - entry["distance_m"].as_f64().unwrap()).abs() < 1e-6,
            "{entry}"
        );
        assert!(
            (window.speed_kmh() - entry["speed_kmh"].as_f64().unwrap()).abs() < 1e-6,
            "{entry}"
        );
        assert_eq!(window.hour().map(u64::from), entry["hour"].as_u64(), "{entry}");
        let runs: Vec<Vec<u64>> = serde_json::from_value(entry["runs"].clone()).unwrap();
        let found: Vec<Vec<u64>> = window
            .runs()
            .into_iter()
            .map(|(hour, start, end)| vec![u64::from(hour), start as u64, end as u64])
            .collect();
        assert_eq!(found, runs, "{entry}");
        singles += 1;
    }
    assert!(singles > 500 && pairs > 200, "{singles} {pairs}");
}

#[test]
fn labels_of_kitti_agree_with_pandas() {
    let Some(root) = real_data("kitti-tracking") else {
        return;
    };
    agree(DataSource::Kitti, root, include_str!("../data/stkit/kitti.json"));
}

#[test]
fn labels_of_argoverse_2_agree_with_pandas() {
    let Some(root) = real_data("argoverse2") else { return };
    agree(
        DataSource::Argoverse2,
        root,
        include_str!("../data/stkit/argoverse2.json"),
    );
}

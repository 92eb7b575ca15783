//! Readers against small data sets in the official schemas, written by `tests/golden/make_datasets.py`, which also computed
//! the trajectories that they hold.

use std::fs;
use std::path::{Path, PathBuf};

use kinestream::datasets::{self, DataSource, Domain, Recording};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/datasets")
        .join(name)
}

fn only(source: DataSource, root: &Path) -> Recording {
    let mut recordings = datasets::open(source, root).unwrap();
    assert_eq!(recordings.names().len(), 1);
    recordings.next().unwrap().unwrap()
}

/// Each object's way from its first place, and when, must be the written one.
fn agrees(recording: &Recording, name: &str) {
    let truth: Value = serde_json::from_str(&fs::read_to_string(fixture("truth.json")).unwrap()).unwrap();
    let truth = truth[name].as_object().unwrap();
    assert_eq!(recording.objects.len(), truth.len());
    for (object, points) in truth {
        let track = recording.objects.iter().find(|track| track.name == *object).unwrap();
        let points = points.as_array().unwrap();
        assert_eq!(track.samples.len(), points.len(), "{object}");
        let at = |index: usize, axis: usize| points[index][axis].as_f64().unwrap();
        let start = track.samples[0].center_in_world;
        for (index, sample) in track.samples.iter().enumerate() {
            assert!((sample.time_s - at(index, 0)).abs() < 1e-9, "{object} {index}");
            for axis in 0..3 {
                let way = sample.center_in_world[axis] - start[axis];
                let expected = at(index, axis + 1) - at(0, axis + 1);
                assert!(
                    (way - expected).abs() < 1e-9,
                    "{object} {index} {axis}: {way} {expected}"
                );
            }
        }
    }
}

#[test]
fn nuscenes_tables() {
    let recording = only(DataSource::NuScenes, &fixture("nuscenes"));
    agrees(&recording, "nuscenes");
    let camera = &recording.cameras[0];
    assert_eq!(camera.name, "CAM_FRONT");
    // The car ahead is in the picture, about where it is straight ahead.
    let car = recording
        .objects
        .iter()
        .find(|object| object.class.as_str() == "car")
        .unwrap();
    let seen = camera.box_of(&car.samples[0]).unwrap();
    let (x, _) = seen.bbox.center();
    assert!((x - 816.8).abs() < 60.0 && seen.truncation == 0.0, "{seen:?}");
}

#[test]
fn nuplan_logs() {
    let recording = only(DataSource::NuPlan, &fixture("nuplan"));
    agrees(&recording, "nuplan");
    assert_eq!(recording.cameras[0].camera.intrinsics.fx, 1545.0);
    assert_eq!(recording.label_times_s.len(), 81);
}

#[test]
fn ego_exo_takes() {
    let recording = only(DataSource::EgoExo4d, &fixture("egoexo4d"));
    agrees(&recording, "egoexo4d");
    assert_eq!(recording.domain, Domain::Sports);
    assert!(recording.cameras[0].shows(&recording.objects[0].samples[0]));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The error of reading a copy of a fixture in which `broken` changed something.
fn error_of(source: DataSource, name: &str, broken: impl Fn(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture(name), folder.path());
    broken(folder.path());
    match datasets::open(source, folder.path()) {
        Err(error) => error.to_string(),
        Ok(mut recordings) => recordings.next().unwrap().unwrap_err().to_string(),
    }
}

#[test]
fn broken_tables_are_named_with_their_column() {
    let rename = |path: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, text.replace(from, to)).unwrap();
    };
    let error = error_of(DataSource::NuScenes, "nuscenes", |root| {
        fs::remove_file(root.join("v1.0-mini/sample_annotation.json")).unwrap();
    });
    assert!(error.contains("sample_annotation.json"), "{error}");
    let error = error_of(DataSource::NuScenes, "nuscenes", |root| {
        rename(
            &root.join("v1.0-mini/sample_annotation.json"),
            "\"translation\"",
            "\"translated\"",
        );
    });
    assert!(
        error.contains("sample_annotation.json") && error.contains("translation"),
        "{error}"
    );
    let error = error_of(DataSource::NuScenes, "nuscenes", |root| {
        fs::write(root.join("v1.0-mini/instance.json"), "[]").unwrap();
    });
    assert!(error.contains("instance_token"), "{error}");
    let error = error_of(DataSource::EgoExo4d, "egoexo4d", |root| {
        let path = root.join("takes/uniandes_basketball_001_01/trajectory/closed_loop_trajectory.csv");
        rename(&path, "tz_world_device", "tz");
    });
    assert!(
        error.contains("closed_loop_trajectory.csv") && error.contains("tz_world_device"),
        "{error}"
    );
    let error = error_of(DataSource::NuPlan, "nuplan", |root| {
        let path = fs::read_dir(root).unwrap().next().unwrap().unwrap().path();
        fs::write(path, "no database").unwrap();
    });
    assert!(error.contains(".db"), "{error}");
}

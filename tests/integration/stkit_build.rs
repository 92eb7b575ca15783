//! The builder on real recordings.

use std::collections::HashMap;
use std::path::Path;

use kinestream::datasets::{self, DataSource, LabelSource};
use kinestream::sim::truth::{TruthFolder, TruthOptions};
use kinestream::sim::{Scene, SimulatedCamera, WorldSettings};
use kinestream::stkit::benchmark::{Constant, Geometry, Model, QuestionOnly, Scorer};
use kinestream::stkit::builder::{BuildReport, BuildSettings, Progress, build};
use kinestream::stkit::{Record, Task, read_records};
use nalgebra::Point3;

use crate::support::real_data;

fn built(source: DataSource, root: &Path, per_task: usize) -> (BuildReport, Vec<Record>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = BuildSettings {
        source,
        root: root.to_owned(),
        out: folder.path().join("qa.jsonl"),
        per_task,
        seed: 1,
    };
    let report = build(&settings, |_| {}).unwrap();
    let records: Vec<Record> = read_records(&settings.out).unwrap().map(Result::unwrap).collect();
    assert_eq!(records.len(), report.records);
    (report, records)
}

/// Accuracies in percent, by task.
fn accuracies(records: &[Record], model: &mut dyn Model) -> Vec<(Task, f64)> {
    let mut scorer = Scorer::default();
    for record in records {
        let answer = model.answer(record);
        let found = scorer.add(record, Some(&answer));
        if found.is_none() {
            println!("not read: {} | {answer}", record.question());
        }
    }
    let scores = scorer.scores();
    assert!(scores.parse_rate.unwrap() > 0.99, "{scores:?}");
    scores
        .tasks
        .iter()
        .map(|scores| (scores.task, scores.accuracy))
        .collect()
}

fn check(source: DataSource, root: &Path) {
    let (report, records) = built(source, root, 200);
    for task in &report.tasks {
        assert!(task.made >= 40, "{task:?}");
        assert_eq!(
            records.iter().filter(|record| record.task == task.task).count(),
            task.made
        );
    }
    let mut alone = Geometry;
    for record in &records {
        let answer = alone.answer(record);
        let mut scorer = Scorer::default();
        let found = scorer.add(record, Some(&answer));
        if scorer.scores().average != Some(100.0) {
            println!("{:?} {found:?}: {} | {answer}", record.answer, record.question());
        }
    }
    for (task, accuracy) in accuracies(&records, &mut Geometry) {
        assert_eq!(accuracy, 100.0, "geometry, {task:?}");
    }
    let (mut constant, mut question_only) = (Constant::default(), QuestionOnly::default());
    for record in &records {
        constant.fit(record);
        question_only.fit(record);
    }
    let models: [(&str, &mut dyn Model); 2] = [("constant", &mut constant), ("question-only", &mut question_only)];
    for (name, model) in models {
        for (task, accuracy) in accuracies(&records, model) {
            println!("{} {name} {}: {accuracy:.1}", source.as_str(), task.code());
            match task {
                Task::MovementDirection => assert!(accuracy <= 12.0, "{name}: {accuracy}"),
                task if task.subjects() == 2 => assert!((accuracy - 50.0).abs() <= 5.0, "{name}: {task:?} {accuracy}"),
                _ => {}
            }
        }
    }
    let ids: std::collections::HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids.len(), records.len());
}

#[test]
fn kitti_is_balanced_and_geometry_answers_all() {
    let Some(root) = real_data("kitti-tracking") else {
        return;
    };
    check(DataSource::Kitti, &root);
}

#[test]
fn argoverse_2_is_balanced_and_geometry_answers_all() {
    let Some(root) = real_data("argoverse2") else { return };
    check(DataSource::Argoverse2, &root);
}

/// Where an object was, and when.
type Way = Vec<(f64, Point3<f64>)>;

/// The ways of a run's objects.
type Ways = HashMap<u16, Way>;

/// Runs of the simulator at two pictures a second, as `kinestream sim render` writes them, and the true trajectories of each:
/// times and places by object.
fn simulated(root: &Path, runs: &[(Scene, u64)], seconds: f64) -> Vec<Ways> {
    let mut truths = Vec::new();
    for (scene, seed) in runs {
        let mut camera = SimulatedCamera::new(WorldSettings {
            width: 320,
            height: 192,
            frame_rate: Some(2.0),
            ..WorldSettings::new(*scene, *seed)
        })
        .unwrap();
        let options = TruthOptions {
            depth: false,
            instances: false,
            nuscenes: true,
        };
        let folder = root.join(format!("{}-{seed}", scene.name()));
        let mut written = TruthFolder::create(&folder, camera.world(), options).unwrap();
        let mut truth = Ways::new();
        let mut first_s = None;
        while camera.next_time_s() < seconds {
            let (rendered, frame) = camera.take_frame().unwrap();
            let since_s = frame.time_s - *first_s.get_or_insert(frame.time_s);
            for (object, _) in frame.in_picture() {
                truth
                    .entry(object.id)
                    .or_default()
                    .push((since_s, object.center_in_world));
            }
            written.write(&frame, rendered).unwrap();
        }
        written.finish().unwrap();
        truths.push(truth);
    }
    truths
}

#[test]
fn tables_of_the_simulator_give_its_trajectories_back() {
    let folder = tempfile::tempdir().unwrap();
    let runs = [(Scene::Plaza, 3), (Scene::StreetDrive, 4)];
    let truths = simulated(folder.path(), &runs, 10.0);
    let recordings: Vec<_> = datasets::open(DataSource::Sim, folder.path())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(recordings.len(), truths.len());
    for (recording, truth) in recordings.iter().zip(&truths) {
        assert_eq!(recording.objects.len(), truth.len(), "{}", recording.name);
        let mut left: Vec<&Way> = truth.values().collect();
        for object in &recording.objects {
            // The reader's world begins where the vehicle does.
            let origin = |way: &[(f64, Point3<f64>)]| way[0].1 - object.samples[0].center_in_world;
            let same = |way: &[(f64, Point3<f64>)]| {
                way.len() == object.samples.len()
                    && way.iter().zip(&object.samples).all(|((time_s, place), sample)| {
                        (time_s - sample.time_s).abs() < 2e-6
                            && (place - sample.center_in_world - origin(way)).norm() < 1e-6
                    })
            };
            let found = left
                .iter()
                .position(|way| same(way))
                .unwrap_or_else(|| panic!("{}", object.name));
            left.swap_remove(found);
        }
    }
}

#[test]
fn the_simulators_tables_are_built_from_and_geometry_answers_all() {
    let folder = tempfile::tempdir().unwrap();
    simulated(
        folder.path(),
        &[(Scene::Plaza, 5), (Scene::StreetFixed, 6), (Scene::Court, 7)],
        20.0,
    );
    let (report, records) = built(DataSource::Sim, folder.path(), 50);
    for task in &report.tasks {
        assert!(task.made >= 10, "{task:?}");
    }
    assert!(records.iter().all(|record| record.label_source == LabelSource::Sim));
    let directions = |record: &&Record| {
        matches!(
            record.task,
            Task::MovementDirection | Task::DirectionTimestamp | Task::MovementDirectionComparison
        )
    };
    let of_court = records
        .iter()
        .filter(|record| record.quality.provenance.recording.starts_with("court"));
    assert_eq!(of_court.filter(directions).count(), 0);
    for (task, accuracy) in accuracies(&records, &mut Geometry) {
        assert_eq!(accuracy, 100.0, "{task:?}");
    }
}

#[test]
fn a_killed_build_goes_on_to_the_same_file() {
    let Some(root) = real_data("kitti-tracking") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let settings = |name: &str| BuildSettings {
        source: DataSource::Kitti,
        root: root.clone(),
        out: folder.path().join(name),
        per_task: 30,
        seed: 5,
    };
    let whole = settings("whole.jsonl");
    build(&whole, |_| {}).unwrap();
    let killed = settings("killed.jsonl");
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        build(&killed, |progress| {
            if let Progress::Writing(done, _) = progress {
                assert!(done < 80, "killed");
            }
        })
    }));
    assert!(stopped.is_err() && !killed.out.exists());
    // As if the last line had been cut short.
    let part = folder.path().join("killed.jsonl.part");
    let written = std::fs::metadata(&part).unwrap().len();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&part)
        .unwrap()
        .set_len(written - 100)
        .unwrap();
    let report = build(&killed, |_| {}).unwrap();
    assert!(report.resumed > 0 && report.resumed < report.records);
    assert_eq!(std::fs::read(&whole.out).unwrap(), std::fs::read(&killed.out).unwrap());
    assert!(!part.exists());
}

#[test]
fn a_missing_or_broken_table_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |source| {
        datasets::open(source, folder.path())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(error(DataSource::Kitti).contains("label"));
    assert!(error(DataSource::Argoverse2).contains("annotations.feather"));
    let log = folder.path().join("log");
    std::fs::create_dir(&log).unwrap();
    std::fs::write(log.join("annotations.feather"), b"no feather").unwrap();
    std::fs::write(log.join("city_SE3_egovehicle.feather"), b"no feather").unwrap();
    let error = datasets::open(DataSource::Argoverse2, folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("city_SE3_egovehicle.feather") && error.contains("feather file"),
        "{error}"
    );
}

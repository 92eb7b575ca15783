//! The builder on real recordings.
#![cfg(feature = "datasets")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use kinestream::datasets::{self, DataSource};
use kinestream::stkit::benchmark::{Constant, Geometry, Model, QuestionOnly, Scorer};
use kinestream::stkit::builder::{BuildReport, BuildSettings, Progress, build};
use kinestream::stkit::{Record, Task, read_records};

/// A data set's folder, where there is one.
fn data(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("KINESTREAM_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let root = data.join(name);
    if !root.is_dir() {
        println!("skipped: no data");
    }
    root.is_dir().then_some(root)
}

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
    let Some(root) = data("kitti-tracking") else { return };
    check(DataSource::Kitti, &root);
}

#[test]
fn argoverse_2_is_balanced_and_geometry_answers_all() {
    let Some(root) = data("argoverse2") else { return };
    check(DataSource::Argoverse2, &root);
}

#[test]
fn a_killed_build_goes_on_to_the_same_file() {
    let Some(root) = data("kitti-tracking") else { return };
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

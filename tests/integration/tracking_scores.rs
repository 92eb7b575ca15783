//! Scores against TrackEval's on two MOT15 sequences.

use kinestream::tracking::TrackerSettings;
use kinestream::tracking::evaluation::{score_results, score_tracker};
use kinestream::tracking::scores::Summary;

use crate::support::real_data;

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "expected {expected}, found {found}"
    );
}

#[test]
fn one_trackers_result_scores_as_in_trackeval() {
    let Some(golden) = real_data("golden/mot15") else {
        return;
    };
    let report = score_results(&golden, &golden).unwrap();

    let Summary {
        hota,
        mota,
        idf1,
        idp,
        idsw,
        ..
    } = report.combined;
    assert_near(hota, 0.400, 5e-4);
    assert_near(mota, 0.555, 5e-4);
    assert_near(idf1, 0.624, 5e-4);
    assert_near(idp, 0.799, 5e-4);
    assert_eq!(idsw, 14);

    let campus = report.sequences["TUD-Campus"];
    assert_near(campus.hota, 0.3914, 5e-5);
    assert_near(campus.mota, 0.5265, 5e-5);
    assert_near(campus.idf1, 0.5577, 5e-5);
    assert_eq!(campus.idsw, 7);

    let stadtmitte = report.sequences["TUD-Stadtmitte"];
    assert_near(stadtmitte.hota, 0.3978, 5e-5);
    assert_near(stadtmitte.mota, 0.564, 5e-4);
    assert_near(stadtmitte.idf1, 0.6446, 1e-4);
    assert_eq!(stadtmitte.idsw, 7);
}

#[test]
fn our_tracker_is_at_least_as_good_as_its_peers_on_the_same_detections() {
    let Some(golden) = real_data("golden/mot15") else {
        return;
    };
    let report = score_tracker(&golden, &TrackerSettings::default()).unwrap();
    assert_eq!(report.sequences.len(), 2);
    let Summary { hota, idf1, .. } = report.combined;
    assert!(hota >= 0.54, "HOTA {hota}");
    assert!(idf1 >= 0.78, "IDF1 {idf1}");
    assert!(report.combined.us_per_frame.is_some());
}

#[test]
fn missing_results_are_named() {
    let truth = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::fs::create_dir(truth.path().join(name)).unwrap();
        std::fs::write(truth.path().join(name).join("gt.txt"), "1,1,0,0,10,10,1\n").unwrap();
    }
    let results = tempfile::tempdir().unwrap();
    std::fs::write(results.path().join("a.txt"), "1,1,0,0,10,10,1\n").unwrap();
    let message = score_results(truth.path(), results.path()).unwrap_err().to_string();
    assert!(message.ends_with("no result.txt for b"), "{message}");

    std::fs::write(results.path().join("b.txt"), "").unwrap();
    let report = score_results(truth.path(), results.path()).unwrap();
    assert_eq!(report.sequences["a"].idf1, 1.0);
    assert_eq!(report.sequences["b"].idf1, 0.0);
    assert!((report.combined.idr - 0.5).abs() < 1e-12);
}

#[test]
fn malformed_results_name_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("gt.txt"), "1,1,0,0,10,10,1\n").unwrap();
    std::fs::write(folder.join("result.txt"), "1,1,0,0,10,10,1\n1,1,5,5,10,10,1\n").unwrap();
    let message = score_results(dir.path(), dir.path()).unwrap_err().to_string();
    assert!(
        message.ends_with("result.txt:2: identity 1 is in frame 1 already"),
        "{message}"
    );
    let empty = tempfile::tempdir().unwrap();
    let message = score_results(empty.path(), empty.path()).unwrap_err().to_string();
    assert!(message.contains("expected folders <sequence>/gt.txt"), "{message}");
}

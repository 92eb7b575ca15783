//! Scores against TrackEval's on two MOT15 sequences.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;

use kinestream::tracking::evaluation::score_results;
use kinestream::tracking::scores::Summary;

/// The real data, where it is at hand.
fn golden() -> Option<PathBuf> {
    let data = std::env::var_os("KINESTREAM_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let golden = data.join("golden/mot15");
    if !golden.is_dir() {
        println!("skipped: no data");
        return None;
    }
    Some(golden)
}

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "expected {expected}, found {found}"
    );
}

#[test]
fn one_trackers_result_scores_as_in_trackeval() {
    let Some(golden) = golden() else { return };
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

//! `kinestream doctor`: what it says and its exit code agree.

use std::process::Command;

use serde_json::Value;

fn doctor(environment: &[(&str, &str)]) -> (bool, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_kinestream"))
        .args(["doctor", "--format", "json"])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap())
}

fn state<'a>(report: &'a Value, what: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    &findings.iter().find(|finding| finding["what"] == what).unwrap()["state"]
}

#[test]
fn where_the_tests_run_nothing_is_missing() {
    let (success, report) = doctor(&[]);
    assert!(success, "{report:#}");
    assert_eq!(report["ok"], true);
    for what in ["GStreamer", "RTSP cameras", "ONNX Runtime", "zenoh"] {
        assert_eq!(state(&report, what), "found", "{what}");
    }
}

#[test]
fn a_missing_library_fails_and_says_how_to_get_it() {
    let (success, report) = doctor(&[("ORT_DYLIB_PATH", "/nonexistent/libonnxruntime.so")]);
    assert!(!success);
    assert_eq!(report["ok"], false);
    assert_eq!(state(&report, "ONNX Runtime"), "missing");
    for finding in report["findings"].as_array().unwrap() {
        assert_eq!(finding["state"] == "found", finding["get"].is_null(), "{finding:#}");
    }
}

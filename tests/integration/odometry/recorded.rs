//! 7-Scenes: real pictures and depth with a true trajectory.

use kinestream::reconstruction::evaluation::evaluate_seven_scenes;

use crate::support::real_data;

#[test]
fn a_hand_held_camera_is_followed() {
    let Some(root) = real_data("seven-scenes") else { return };
    let report = evaluate_seven_scenes(&root, 0.0, 1, None, |_, _| {}).unwrap();
    println!("{report:?}");
    assert!(report.ate_rmse_m <= 0.05, "{report:?}");
    assert_eq!(report.lost_frames, 0, "{report:?}");
}

#[test]
fn the_map_holds_the_scale_while_the_depth_wanders() {
    let Some(root) = real_data("seven-scenes") else { return };
    let report = evaluate_seven_scenes(&root, 0.10, 1, None, |_, _| {}).unwrap();
    println!("{report:?}");
    assert!(report.scale_error <= 0.03, "{report:?}");
    assert!(report.ate_rmse_m <= 0.08, "{report:?}");
}

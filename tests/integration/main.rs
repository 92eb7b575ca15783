//! Kinestream from outside, a room a file: one program, as each that links the whole engine takes a hundred megabytes of disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod answers;
#[cfg(feature = "datasets")]
mod datasets;
#[cfg(feature = "cli")]
mod doctor;
#[cfg(feature = "gstreamer")]
mod ego_elements;
#[cfg(feature = "gstreamer")]
mod elements;
#[cfg(feature = "gstreamer")]
mod kinesimsrc;
#[cfg(feature = "gstreamer")]
mod kinevlm;
mod lifting;
#[cfg(feature = "burn")]
mod llava_onevision;
mod motion;
mod motion_from_boxes;
mod motion_kitti;
mod odometry;
mod perception;
#[cfg(feature = "cli")]
mod pipeline;
mod questions;
mod questions_geometry;
#[cfg(feature = "gstreamer")]
mod rtsp;
#[cfg(feature = "cli")]
mod sim;
#[cfg(feature = "datasets")]
mod stkit_build;
#[cfg(feature = "gstreamer")]
mod stkit_label;
#[cfg(feature = "datasets")]
mod stkit_labels;
mod support;
#[cfg(feature = "burn")]
mod tiny_live;
mod tracking;
mod tracking_scores;
#[cfg(all(feature = "cli", feature = "burn"))]
mod tuning;
#[cfg(all(feature = "zenoh", feature = "cli"))]
mod wire_clients;

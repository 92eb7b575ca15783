//! Kinestream tells, live and in metres, how things in front of a camera move, and answers questions about it.
//!
//! The stages are plain library types that need neither GStreamer nor zenoh: [`camera`] and [`kinematics`] at the base,
//! then [`perception`], [`tracking`], [`reconstruction`], [`motion`] and [`stkit`]. With the feature `gstreamer` each is
//! also an element of a pipeline ([`gst`]); with the feature `zenoh` states and answers leave over the network
//! ([`wire`]). `ARCHITECTURE.md` shows the way through the house.

pub mod camera;
pub mod datasets;
pub mod detection;
pub mod frame;
pub mod kinematics;
pub mod motion;
pub mod overlay;
pub mod perception;
pub mod reconstruction;
pub mod results;
pub mod settings;
pub mod sim;
pub mod stkit;
pub mod tracking;
pub mod vlm;
pub mod wire;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod evaluation;
#[cfg(feature = "gstreamer")]
pub mod gst;

//! How well motion is estimated: true boxes and distances, with noise put on them, against the truth.
//!
//! The protocol: windows of 2 s, read in steps of record (0.5 s), speed as the length of the path over the window.
//! Every object that is at least 25 pixels tall, hardly hidden and not cut by the picture's edge is observed: its box with
//! jitter, its distance with noise along the line of sight and across it. The camera's pose is true.

mod perturbation;
mod scene;
mod scores;
pub(crate) mod windows;

pub use perturbation::NoiseSettings;
pub use scene::{Group, Scene, SceneFrame, TrueObject};
pub use scores::{Report, evaluate};
pub use windows::{GroupScore, StateScores};

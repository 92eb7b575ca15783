//! Who is who from frame to frame: association, identities and their life cycle, and the scores that measure them.

mod assignment;
mod association;
mod camera_motion;
mod filter;
mod input;
mod settings;
mod track;
mod tracker;
mod tracklet;

pub use camera_motion::CameraMotion;
pub use input::{FrameInput, TrackerStats, WorldPosition};
pub use settings::TrackerSettings;
pub use track::{Track, TrackStatus};
pub use tracker::Tracker;

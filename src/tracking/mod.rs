//! Who is who from frame to frame: association, identities and their life cycle, and the scores that measure them.

mod assignment;
mod association;
mod camera_motion;
pub mod evaluation;
mod filter;
mod fronts;
mod input;
pub mod mot_challenge;
pub mod scores;
mod settings;
mod track;
mod tracker;
mod tracklet;

pub use camera_motion::CameraMotion;
pub use fronts::Fronts;
pub use input::{FrameInput, TrackerStats, WorldPosition};
pub use settings::TrackerSettings;
pub use track::{Track, TrackStatus};
pub use tracker::Tracker;

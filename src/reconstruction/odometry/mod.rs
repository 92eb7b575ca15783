//! Visual odometry: where the camera is, from picture to picture.

mod adjust;
mod corners;
mod driving;
mod flow;
mod gray;
mod keyframes;
mod lens;
mod locate;
mod map;
mod pivot;
mod pose;
mod road;
mod search;
mod standstill;
mod surface;
mod tracker;

pub(crate) use lens::GroundPrior;
pub use lens::MovableRegion;
pub(crate) use tracker::{Continuity, Input, Odometry, Outcome};

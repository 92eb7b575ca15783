//! Visual odometry: where the camera is, from picture to picture.

mod adjust;
mod corners;
mod flow;
mod gray;
mod lens;
mod map;
mod pose;
mod road;
mod search;
mod surface;
mod tracker;

pub(crate) use lens::GroundPrior;
pub use lens::MovableRegion;
pub(crate) use tracker::{Continuity, Input, Odometry, Outcome};

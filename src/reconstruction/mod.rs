//! From pixels to metres: the camera's pose and scale, and the lifting of tracked boxes into the world.

mod view;

pub use view::{DepthMap, PoseSource, ReconstructionHealth, View};

//! From pixels to metres: the camera's pose and scale, and the lifting of tracked boxes into the world.

mod observation;
mod priors;
mod view;

pub use observation::{CueKind, Observation, RangeCue};
pub use priors::{ClassPrior, ClassPriors};
pub use view::{DepthMap, PoseSource, ReconstructionHealth, View};

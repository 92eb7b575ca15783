//! From pixels to metres: the camera's pose and scale, and the lifting of tracked boxes into the world.

mod cuboid;
mod lifting;
mod observation;
mod priors;
mod reconstructor;
mod surface;
mod view;

pub use lifting::{Lifted, Lifter};
pub use observation::{CueKind, Observation, RangeCue};
pub use priors::{ClassPrior, ClassPriors};
pub use reconstructor::{Reconstructor, StaticReconstructor};
pub use view::{DepthMap, PoseSource, ReconstructionHealth, View};

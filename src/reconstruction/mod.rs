//! From pixels to metres: the camera's pose and scale, and the lifting of tracked boxes into the world.

mod completion;
mod cuboid;
pub mod evaluation;
mod external;
mod focal;
mod ground;
mod lifting;
mod observation;
mod odometry;
mod priors;
mod reconstructor;
mod scale;
mod surface;
mod view;
mod visual;

pub use cuboid::Heading;
pub use external::{EgoFileError, EgoMoment, EgoMotion, EgoSample, load_ego};
pub use lifting::{Lifted, Lifter, Seen};
pub use observation::{CueKind, Observation, RangeCue};
pub use odometry::MovableRegion;
pub use priors::{ClassPrior, ClassPriors};
pub use reconstructor::{Reconstructor, SceneFrame, StaticReconstructor};
pub use scale::{ScaleCue, ScaleFilter, ScaleMeasurement};
pub use view::{DepthMap, PoseSource, ReconstructionHealth, View};
pub use visual::VisualReconstructor;

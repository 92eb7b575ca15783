//! Live answering: sliding windows over the trajectories, standing questions, and the backends that answer.

pub mod live;
#[cfg(feature = "burn")]
pub mod llava_onevision;
pub mod pictures;
#[cfg(any(feature = "gstreamer", feature = "remote"))]
mod priority;
#[cfg(feature = "remote")]
pub mod remote;
mod shrink;
#[cfg(feature = "burn")]
pub mod tiny;
#[cfg(feature = "burn")]
pub mod training;

#[cfg(any(feature = "gstreamer", feature = "remote"))]
pub(crate) use priority::step_back;
pub use shrink::shrink_to;

//! Live answering: sliding windows over the trajectories, standing questions, and the backends that answer.

pub mod live;
#[cfg(feature = "burn")]
pub mod llava_onevision;
pub mod pictures;
#[cfg(feature = "remote")]
pub mod remote;
mod shrink;
#[cfg(feature = "burn")]
pub mod tiny;
#[cfg(feature = "burn")]
pub mod training;

pub use shrink::shrink_to;

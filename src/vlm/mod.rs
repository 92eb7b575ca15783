//! Live answering: sliding windows over the trajectories, standing questions, and the backends that answer.

pub mod live;
#[cfg(feature = "burn")]
pub mod llava_onevision;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "burn")]
pub mod tiny;

//! What is true of a frame, and how it is written down.

mod frame;

pub use frame::{FrameTruth, ObjectTruth};

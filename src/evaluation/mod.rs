//! The whole chain against truth: worlds of the simulator go in as a camera's frames would, and what comes out is compared.

pub mod live;
pub mod vlm;

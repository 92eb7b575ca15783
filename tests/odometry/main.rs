//! The camera's own motion: hard cases in rendered worlds, a recording with a true trajectory, and what the vehicle tells.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ego;
mod hard_cases;
mod recorded;
mod world;

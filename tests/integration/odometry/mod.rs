//! The camera's own motion: hard cases in rendered worlds, a recording with a true trajectory, and what the vehicle tells.

mod ego;
mod hard_cases;
mod recorded;
mod world;

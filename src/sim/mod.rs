//! Worlds whose truth is known: procedural scenes, their dynamics, a renderer, and the truth of every frame.
//!
//! A [`World`] is built from a [`Scene`] and a seed; the same two give the same pixels and the same truth. It is stepped
//! forward by stream time to a [`Snapshot`], which says where every [`Actor`] and the camera are. A
//! [`render::Renderer`] turns the snapshot into a picture with depth and instance masks.
//!
//! The sim's world frame is ISO 8855 (x forward, y left, z up; metres) with the ground at z = 0. What is varied, and over
//! what range, stands in `docs/sim.md`.

mod actor;
mod camera;
mod environment;
pub mod render;
pub mod samples;
pub mod scenes;
pub mod timing;
pub mod truth;
mod world;

pub use actor::{Actor, ActorClass, Articulation, Size};
pub use camera::SimulatedCamera;
pub use environment::{Environment, GroundPatch, Imaging, Light, Material, Prop, Texture};
pub use scenes::Scene;
pub use world::{Dynamics, Snapshot, World, WorldError, WorldSettings};

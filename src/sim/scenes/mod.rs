//! The scenes, one file each: what stands where, who moves how, where the camera hangs.

mod bodies;
mod court;
mod draw;
mod looks;
mod optics;
mod parking;
mod plaza;
mod road;
mod stage;
mod street_drive;
mod street_fixed;
#[cfg(test)]
mod tests;
mod traffic;
mod walkers;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::environment::Environment;
use super::world::{Dynamics, WorldSettings};
use crate::camera::Camera;

/// A kind of world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scene {
    /// A traffic camera on a pole over a junction.
    StreetFixed,
    /// A camera on a car in traffic.
    StreetDrive,
    /// Pedestrians and bicycles on a square.
    Plaza,
    /// Players and a ball; the camera stands or pans.
    Court,
    /// A car park from above.
    Parking,
}

impl Scene {
    /// All scenes.
    pub const ALL: [Self; 5] = [
        Self::StreetFixed,
        Self::StreetDrive,
        Self::Plaza,
        Self::Court,
        Self::Parking,
    ];

    /// The scene's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::StreetFixed => "street-fixed",
            Self::StreetDrive => "street-drive",
            Self::Plaza => "plaza",
            Self::Court => "court",
            Self::Parking => "parking",
        }
    }

    /// Whether the camera of the world with this seed moves: on a car always, at a court when it pans (odd seeds).
    pub fn camera_moves(self, seed: u64) -> bool {
        match self {
            Self::StreetDrive => true,
            Self::Court => !seed.is_multiple_of(2),
            Self::StreetFixed | Self::Plaza | Self::Parking => false,
        }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no scene's.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("no scene is named \"{0}\"; there are street-fixed, street-drive, plaza, court and parking")]
pub struct UnknownScene(String);

impl FromStr for Scene {
    type Err = UnknownScene;

    fn from_str(name: &str) -> Result<Self, UnknownScene> {
        let found = Self::ALL.into_iter().find(|scene| scene.name() == name);
        found.ok_or_else(|| UnknownScene(name.to_owned()))
    }
}

/// What a scene makes of a seed.
pub(super) struct Parts {
    pub(super) environment: Environment,
    pub(super) camera: Camera,
    pub(super) frame_rate: f64,
    pub(super) jitter: f64,
    pub(super) dynamics: Box<dyn Dynamics>,
}

pub(super) fn build(settings: &WorldSettings) -> Parts {
    match settings.scene {
        Scene::StreetFixed => street_fixed::build(settings),
        Scene::StreetDrive => street_drive::build(settings),
        Scene::Plaza => plaza::build(settings),
        Scene::Court => court::build(settings),
        Scene::Parking => parking::build(settings),
    }
}

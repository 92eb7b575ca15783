//! The arguments that describe one world.

use crate::sim::{Scene, WorldSettings};

/// One world and its camera's picture.
#[derive(Debug, clap::Args)]
pub(super) struct WorldArgs {
    /// The scene: street-fixed, street-drive, plaza, court or parking.
    #[arg(long)]
    scene: Scene,
    /// Everything random is drawn from this: the same scene and seed are the same world.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Picture width, pixels.
    #[arg(long, default_value_t = 640)]
    width: u32,
    /// Picture height, pixels.
    #[arg(long, default_value_t = 384)]
    height: u32,
    /// Frames a second instead of the scene's own.
    #[arg(long)]
    fps: Option<f64>,
    /// Horizontal field of view instead of the scene's own, degrees.
    #[arg(long)]
    fov: Option<f64>,
}

impl WorldArgs {
    pub(super) fn settings(&self) -> WorldSettings {
        WorldSettings {
            width: self.width,
            height: self.height,
            frame_rate: self.fps,
            horizontal_fov_deg: self.fov,
            ..WorldSettings::new(self.scene, self.seed)
        }
    }
}

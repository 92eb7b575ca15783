//! A camera in a world: one frame after the other, each with its truth.

use super::render::{Rendered, Renderer};
use super::timing::FrameTimes;
use super::truth::FrameTruth;
use super::world::{World, WorldError, WorldSettings};

/// Takes the pictures of a world at its camera's own times.
pub struct SimulatedCamera {
    world: World,
    renderer: Renderer,
    times: std::iter::Peekable<FrameTimes>,
    frame: u64,
}

impl SimulatedCamera {
    /// Builds the world, at time zero.
    pub fn new(settings: WorldSettings) -> Result<Self, WorldError> {
        let world = World::new(settings)?;
        Ok(Self {
            renderer: Renderer::new(&world),
            times: FrameTimes::of(&world).peekable(),
            world,
            frame: 0,
        })
    }

    /// The world as it is at the last frame.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// When the next frame is due, seconds since the world began.
    pub fn next_time_s(&mut self) -> f64 {
        self.times.peek().copied().unwrap_or(f64::INFINITY)
    }

    /// Lets the next frame pass without taking it.
    pub fn skip_frame(&mut self) {
        self.times.next();
        self.frame += 1;
    }

    /// Takes the next frame.
    pub fn take_frame(&mut self) -> Result<(&Rendered, FrameTruth), WorldError> {
        let time_s = self.next_time_s();
        let snapshot = self.world.at(time_s)?;
        let frame = self.frame;
        self.skip_frame();
        let rendered = self.renderer.render(&snapshot);
        let truth = FrameTruth::new(frame, &self.world.camera.intrinsics, &snapshot, rendered);
        Ok((rendered, truth))
    }
}

impl std::fmt::Debug for SimulatedCamera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedCamera")
            .field("world", &self.world)
            .field("frame", &self.frame)
            .finish_non_exhaustive()
    }
}

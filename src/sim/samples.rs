//! A stream of single pictures with their truth, for training.
//!
//! One record a picture: the length of the header in bytes (`u32`, little-endian), the header (one JSON object), then
//! row by row `rgb` (3 bytes a pixel), `depth` (16-bit float, metres along the optical axis, +∞ in the sky) and `instance`
//! (`u16`: the actor's id, 0 for what stands still). All little-endian, `width · height` pixels each.

use std::io::{self, Write};

use half::f16;
use half::slice::HalfFloatSliceExt;
use rand::Rng;
use rand_pcg::Pcg64;
use serde::Serialize;
use thiserror::Error;

use super::render::{Rendered, Renderer};
use super::scenes::Scene;
use super::truth::FrameTruth;
use super::world::{World, WorldError, WorldSettings};
use crate::camera::Distortion;

/// The pictures of a world are taken from its first seconds, so many.
pub const SPAN_S: f64 = 30.0;

/// Keeps these draws apart from those of the scenes, which start from the seed itself.
const STREAM: u64 = 0x0073_616d_706c_6573;

/// Which pictures of which worlds.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleSettings {
    /// The scenes; each seed is taken in each of them.
    pub scenes: Vec<Scene>,
    /// First seed.
    pub first_seed: u64,
    /// Last seed.
    pub last_seed: u64,
    /// Pictures of each world.
    pub per_seed: u32,
    /// Picture width, pixels.
    pub width: u32,
    /// Picture height, pixels.
    pub height: u32,
    /// Draws each world's horizontal field of view from this range, degrees, instead of the scene's own.
    pub horizontal_fov_deg: Option<(f64, f64)>,
    /// How often to go through all seeds, each time at other times and with other fields of view; `None` is for ever.
    pub passes: Option<u64>,
}

/// Why a stream of samples ended early.
#[derive(Debug, Error)]
pub enum SampleError {
    /// The settings make no world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The stream cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Serialize)]
struct Header<'a> {
    scene: &'a str,
    seed: u64,
    time_s: f64,
    width: u32,
    height: u32,
    fx: f64,
    fy: f64,
    cx: f64,
    cy: f64,
    distorted: bool,
    height_m: f64,
    actors: Vec<ActorHeader>,
}

#[derive(Serialize)]
struct ActorHeader {
    id: u16,
    class: &'static str,
    bbox: [f32; 4],
    visible: f64,
    truncated: bool,
    center_in_camera: [f64; 3],
    yaw_in_camera: f64,
    size: [f64; 3],
}

/// Writes the samples to `stream`, one picture in memory at a time.
pub fn write_samples(settings: &SampleSettings, stream: &mut impl Write) -> Result<(), SampleError> {
    let mut buffers = Buffers::default();
    let mut pass = 0;
    while settings.passes.is_none_or(|passes| pass < passes) {
        for seed in settings.first_seed..=settings.last_seed {
            for &scene in &settings.scenes {
                write_world(settings, scene, seed, pass, &mut buffers, stream)?;
            }
        }
        pass += 1;
    }
    Ok(stream.flush()?)
}

fn write_world(
    settings: &SampleSettings,
    scene: Scene,
    seed: u64,
    pass: u64,
    buffers: &mut Buffers,
    stream: &mut impl Write,
) -> Result<(), SampleError> {
    let mut random = Pcg64::new(u128::from(seed) << 64 | u128::from(pass), u128::from(STREAM));
    let mut world = World::new(WorldSettings {
        width: settings.width,
        height: settings.height,
        horizontal_fov_deg: settings
            .horizontal_fov_deg
            .map(|(least, most)| least + (most - least) * random.random::<f64>()),
        ..WorldSettings::new(scene, seed)
    })?;
    let mut renderer = Renderer::new(&world);
    let slot_s = SPAN_S / f64::from(settings.per_seed.max(1));
    for slot in 0..settings.per_seed {
        let snapshot = world.at(slot_s * (f64::from(slot) + random.random::<f64>()))?;
        let rendered = renderer.render(&snapshot);
        let truth = FrameTruth::new(u64::from(slot), &world.camera.intrinsics, &snapshot, rendered);
        buffers.write(scene, seed, &truth, rendered, stream)?;
    }
    Ok(())
}

/// Memory that is used again for every record.
#[derive(Default)]
struct Buffers {
    header: Vec<u8>,
    halves: Vec<f16>,
    bytes: Vec<u8>,
}

impl Buffers {
    fn write(
        &mut self,
        scene: Scene,
        seed: u64,
        truth: &FrameTruth,
        rendered: &Rendered,
        stream: &mut impl Write,
    ) -> io::Result<()> {
        let intrinsics = &truth.intrinsics;
        let header = Header {
            scene: scene.name(),
            seed,
            time_s: truth.time_s,
            width: rendered.width,
            height: rendered.height,
            fx: intrinsics.fx,
            fy: intrinsics.fy,
            cx: intrinsics.cx,
            cy: intrinsics.cy,
            distorted: intrinsics.distortion != Distortion::None,
            height_m: truth.world_from_camera.translation.z,
            actors: truth
                .in_picture()
                .map(|(object, sighting)| {
                    let (bbox, size) = (&sighting.bbox, &object.size);
                    ActorHeader {
                        id: object.id,
                        class: object.class.name(),
                        bbox: [bbox.x0, bbox.y0, bbox.x1, bbox.y1],
                        visible: sighting.visible_fraction(),
                        truncated: sighting.truncated,
                        center_in_camera: object.center_in_camera.into(),
                        yaw_in_camera: object.yaw_in_camera_rad,
                        size: [size.length_m, size.width_m, size.height_m],
                    }
                })
                .collect(),
        };
        self.header.clear();
        serde_json::to_writer(&mut self.header, &header)?;
        let length = u32::try_from(self.header.len()).map_err(io::Error::other)?;
        self.halves.resize(rendered.depth_m.len(), f16::ZERO);
        self.halves.convert_from_f32_slice(&rendered.depth_m);
        self.bytes.clear();
        self.bytes
            .extend(self.halves.iter().flat_map(|depth| depth.to_le_bytes()));
        self.bytes
            .extend(rendered.instance.iter().flat_map(|id| id.to_le_bytes()));
        stream.write_all(&length.to_le_bytes())?;
        stream.write_all(&self.header)?;
        stream.write_all(&rendered.rgb)?;
        stream.write_all(&self.bytes)?;
        stream.flush()
    }
}

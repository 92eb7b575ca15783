//! A folder with the truth of a recording: the open format, depth, masks, the camera file and nuScenes tables.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::TruthError;
use super::frame::FrameTruth;
use super::lines::{FrameRecord, MapsRecord, TruthWriter, WorldRecord};
use super::maps::{write_depth, write_instances};
use super::nuscenes::NuScenesWriter;
use crate::sim::render::Rendered;
use crate::sim::world::World;

const DEPTH: &str = "depth";
const INSTANCES: &str = "instances";

/// What to write beside the lines of the open format and the camera file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruthOptions {
    /// A depth picture a frame.
    pub depth: bool,
    /// A picture of instance masks a frame.
    pub instances: bool,
    /// nuScenes tables with two key frames a second.
    pub nuscenes: bool,
}

impl Default for TruthOptions {
    fn default() -> Self {
        Self {
            depth: true,
            instances: true,
            nuscenes: true,
        }
    }
}

/// Writes truth as it comes; what it keeps in memory does not grow with time.
#[derive(Debug)]
pub struct TruthFolder {
    root: PathBuf,
    options: TruthOptions,
    lines: TruthWriter,
    nuscenes: Option<NuScenesWriter>,
    scratch: Vec<u8>,
}

impl TruthFolder {
    /// Makes the folder, and writes the camera file and the first line of `truth.jsonl`.
    pub fn create(root: &Path, world: &World, options: TruthOptions) -> Result<Self, TruthError> {
        let folder = |name: &str, wanted: bool| -> Result<Option<String>, TruthError> {
            if !wanted {
                return Ok(None);
            }
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(TruthError::io(&path))?;
            Ok(Some(name.to_owned()))
        };
        fs::create_dir_all(root).map_err(TruthError::io(root))?;
        let camera = root.join("camera.toml");
        fs::write(&camera, world.camera.to_toml()).map_err(TruthError::io(&camera))?;
        let maps = MapsRecord::new(folder(DEPTH, options.depth)?, folder(INSTANCES, options.instances)?);
        let maps = (options.depth || options.instances).then_some(maps);
        Ok(Self {
            root: root.to_owned(),
            options,
            lines: TruthWriter::create(&root.join("truth.jsonl"), WorldRecord::new(world, maps))?,
            nuscenes: options
                .nuscenes
                .then(|| NuScenesWriter::create(&root.join("nuscenes"), world))
                .transpose()?,
            scratch: Vec::new(),
        })
    }

    /// Writes one frame.
    pub fn write(&mut self, truth: &FrameTruth, rendered: &Rendered) -> Result<(), TruthError> {
        let (width, height) = (rendered.width, rendered.height);
        let path = |folder: &str| self.root.join(folder).join(format!("{:06}.png", truth.frame));
        if self.options.depth {
            write_depth(&path(DEPTH), width, height, &rendered.depth_m, &mut self.scratch)?;
        }
        if self.options.instances {
            write_instances(&path(INSTANCES), width, height, &rendered.instance, &mut self.scratch)?;
        }
        if let Some(nuscenes) = &mut self.nuscenes {
            nuscenes.write(truth, rendered)?;
        }
        self.lines.write(FrameRecord::new(truth, None))
    }

    /// Completes the nuScenes tables.
    pub fn finish(self) -> Result<(), TruthError> {
        self.nuscenes.map_or(Ok(()), NuScenesWriter::finish)
    }
}

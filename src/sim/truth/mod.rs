//! What is true of a frame, and how it is written down: as an open format of our own and as nuScenes tables.
//!
//! `docs/sim.md` describes both.

mod error;
mod folder;
mod frame;
mod lines;
mod maps;
mod nuscenes;

pub use error::TruthError;
pub use folder::{TruthFolder, TruthOptions};
pub use frame::{FrameTruth, ObjectTruth};
pub use lines::{
    DistortionRecord, FrameRecord, IntrinsicsRecord, MapsRecord, ObjectRecord, PoseRecord, Record, TruthReader,
    TruthWriter, WorldRecord,
};
pub use maps::{METRES_PER_UNIT, write_depth, write_instances};
pub use nuscenes::NuScenesWriter;

//! What is in the picture: ONNX models by manifest, with the pre- and post-processing of each contract.
//!
//! A model is a TOML [`Manifest`] plus weights; a bare `.onnx` file is accepted when its inputs and outputs name a known
//! contract. [`Detector`] finds objects, [`DepthModel`] measures metric depth, [`Embedder`] describes looks. Each owns
//! one ONNX Runtime session and its buffers, which are reused from picture to picture. The path [`DEFAULT_MODEL`] stands for
//! the small detector and depth network that are built in. `docs/models.md` lists the contracts and the manifest's keys.

mod builtin;
mod contract;
mod depth;
mod detector;
mod device;
mod embedder;
mod error;
mod manifest;
mod model;
mod preprocess;
pub mod runtime;
mod session;

pub use builtin::{DEFAULT_MODEL, NO_MODEL};
pub use depth::{DepthMap, DepthModel, DepthSettings, DepthStats};
pub use detector::{Detector, DetectorSettings, DetectorStats, MAX_CANDIDATES, MAX_DETECTIONS};
pub use device::{Device, name_and_index};
pub use embedder::{Embedder, EmbedderSettings, MAX_EMBEDDINGS};
pub use error::PerceptionError;
pub use manifest::{
    ChannelOrder, Classes, DecodeFamily, DecodeSpec, FocalAxis, InputSpec, Layout, Manifest, Outputs, Padding,
    Provider, ScaleRule, ScaleSpec, SizeRule, SkySign, Task, Tiling, TilingMode, ValueRange,
};
pub use model::{Model, SessionSettings};
pub use preprocess::{Geometry, Preprocessor, Region, TensorBuffer};

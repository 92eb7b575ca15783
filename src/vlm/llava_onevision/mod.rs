//! LLaVA-OneVision: SigLIP, a projector and Qwen2, as Hugging Face and lmms-lab publish it, in burn.
//!
//! [`Model::load`] opens a folder with nothing but its own files; [`Model::answer`] answers a question about frames.
//! [`Model::frame_tokens`], [`Model::watch`] and [`Model::ask`] are its steps, of which the first two can be kept: a
//! frame's tokens for the next window, a watched window for the next question. [`Network`] is what is computed and
//! trained, [`lora`] the adapters beside its weights. `docs/vlm.md` has figures.

mod anyres;
mod cache;
mod chat;
mod config;
mod device;
mod error;
mod features;
mod generate;
mod kernels;
mod language;
mod linear;
pub mod lora;
mod model;
mod network;
mod ops;
mod preprocess;
mod resize;
pub mod training;
mod vision;
mod weights;

pub use anyres::Grid;
pub use cache::KvCache;
pub use chat::{ChatTemplate, ChatTokenizer, Part, Picture, Role, Turn};
pub use config::{Activation, Config, Newline, Origin, TextConfig, VisionConfig};
pub use device::Place;
pub use error::{Error, WeightFaults};
pub use features::Projector;
pub use generate::{Generation, Sampler};
pub use language::{DecoderLayer, LanguageModel};
pub use linear::{LoraLinear, LoraPair};
pub use model::{Model, Reply, Watched, load_network};
pub use network::{Network, PictureTokens};
pub use preprocess::{Pixels, Preprocessor, Rgb};
pub use vision::{VisionLayer, VisionTower};
pub use weights::{Progress, save as save_network};

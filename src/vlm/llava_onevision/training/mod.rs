//! Kinematic instruction tuning of LLaVA-OneVision folders: STKit records mixed with other conversations about pictures, all
//! weights or adapters beside them.

mod checkpoint;
mod config;
mod data;
mod error;
mod gradients;
mod mixture;
mod run;
mod validation;

pub use config::{DataSettings, Method, TuneSettings, ValidationSettings};
pub use data::{DataSet, Sample};
pub use error::TuneError;
pub use mixture::Mixture;
pub use run::{TuneLine, Tuned, tune};
pub use validation::Validated;

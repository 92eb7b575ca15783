//! Models behind an OpenAI-compatible server (`/chat/completions`): frames go as pictures with the boxes drawn in.
//!
//! [`RemoteModel`] answers the records of a benchmark one by one; [`RemoteBackend`] answers live, with time-outs, retries and a
//! circuit breaker, so that a server that is slow or gone costs answers and nothing else.

mod backend;
mod breaker;
mod chat;
mod marks;
mod patience;
mod pictures;
mod record_model;
mod sights;
#[cfg(test)]
mod tests;
mod workers;

pub use backend::{RemoteBackend, RemoteSettings};
pub use breaker::{Breaker, BreakerSettings};
pub use chat::{Chat, Endpoint, RemoteError};
pub use patience::{Patience, Told};
pub use pictures::data_url;
pub use record_model::RemoteModel;
pub use sights::{Sight, Sights};

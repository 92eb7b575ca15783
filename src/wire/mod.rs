//! States and answers on the network: the message types and, with the feature `zenoh`, the session that carries them.
//!
//! [`messages`] turns results into the messages of `proto/`, [`codec`] writes and reads them as JSON or protobuf,
//! [`keys`] names their keys, [`monitor`] measures what `status` and `metrics` tell. Only `session` touches zenoh:
//! its `Publisher` sends one camera's results and serves its queries, its `Client` reads and asks. `docs/wire.md` is the
//! reference for clients.

pub mod codec;
#[cfg(feature = "zenoh")]
mod geometry;
pub mod history;
pub mod keys;
pub mod messages;
pub mod monitor;
pub mod queue;
#[cfg(feature = "zenoh")]
pub mod session;

/// Messages of `kinestream.v1`, generated from `proto/`.
#[allow(missing_docs, unused_qualifications, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/kinestream.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/kinestream.v1.serde.rs"));
    include!(concat!(env!("OUT_DIR"), "/strict/kinestream.v1.serde.rs"));
}

pub use codec::{CodecError, Encoding};
pub use keys::{KeyError, Keys};
#[cfg(feature = "zenoh")]
pub use session::{Client, ForwardedAsk, Publisher, PublisherSettings, Services, SessionError, SessionSettings};

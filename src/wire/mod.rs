//! States and answers on the network: the message types and, with the feature `zenoh`, the session that carries them.

/// Messages of `kinestream.v1`, generated from `proto/`.
#[allow(missing_docs, unused_qualifications, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/kinestream.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/kinestream.v1.serde.rs"));
}

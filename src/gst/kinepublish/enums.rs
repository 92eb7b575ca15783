//! The properties of `kinepublish` that choose one of a few.

use ::gst::glib;

use crate::wire::Encoding;

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstKinePublishEncoding")]
pub enum KinePublishEncoding {
    /// proto3 JSON.
    #[default]
    #[enum_value(name = "proto3 JSON", nick = "json")]
    Json,
    /// Protobuf.
    #[enum_value(name = "Protobuf", nick = "protobuf")]
    Protobuf,
}

impl From<KinePublishEncoding> for Encoding {
    fn from(encoding: KinePublishEncoding) -> Self {
        match encoding {
            KinePublishEncoding::Json => Self::Json,
            KinePublishEncoding::Protobuf => Self::Protobuf,
        }
    }
}

/// How the zenoh session takes part in the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstKinePublishMode")]
pub enum KinePublishMode {
    /// As the configuration file says, else as a peer.
    #[default]
    #[enum_value(name = "As zenoh-config says, else peer", nick = "default")]
    Default,
    /// Connects to other peers and routers.
    #[enum_value(name = "Peer: talks to peers and routers", nick = "peer")]
    Peer,
    /// Connects to one router or peer.
    #[enum_value(name = "Client: talks through one router or peer", nick = "client")]
    Client,
    /// Routes for others.
    #[enum_value(name = "Router: routes for others", nick = "router")]
    Router,
}

impl KinePublishMode {
    /// Zenoh's name of the mode; `None` for the default.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Peer => Some("peer"),
            Self::Client => Some("client"),
            Self::Router => Some("router"),
        }
    }
}

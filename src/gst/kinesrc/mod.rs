//! `kinesrc`: raw video from a camera, a file or any URI, that comes back when the camera does.
//!
//! An RTSP camera or a device is watched: when frames stop, the connection is made anew with back-off, and stream time
//! goes on without a reset. The state is told by [`events::SourceState`](super::events::SourceState), downstream and on
//! the bus. Live, the newest frame wins and drops are counted; a file gives every frame.
//!
//! ```text
//! gst-launch-1.0 kinesrc uri=rtsp://127.0.0.1:8554/camera ! kinetrack model=yolox.toml ! kinepublish ! fakesink
//! ```

use ::gst::glib;
use ::gst::prelude::*;

mod imp;
mod location;
mod memory;
mod supervisor;
mod timeline;

pub use location::{Location, LocationError, redacted};

glib::wrapper! {
    /// Raw video from a camera, a file or any URI.
    pub struct KineSrc(ObjectSubclass<imp::KineSrc>) @extends ::gst::Bin, ::gst::Element, ::gst::Object,
        @implements ::gst::ChildProxy;
}

/// Which transports an RTSP camera is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "KineSrcProtocols")]
pub enum Protocols {
    /// Interleaved in the RTSP connection: passes firewalls, loses nothing.
    #[default]
    #[enum_value(name = "TCP: interleaved in the RTSP connection", nick = "tcp")]
    Tcp,
    /// RTP over UDP: lost packets stay lost, late ones do not hold up others.
    #[enum_value(name = "UDP", nick = "udp")]
    Udp,
    /// UDP first, TCP when nothing arrives.
    #[enum_value(name = "UDP first, then TCP", nick = "auto")]
    Auto,
}

pub(super) fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kinesrc", ::gst::Rank::NONE, KineSrc::static_type())
}

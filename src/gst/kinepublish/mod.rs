//! Element `kinepublish`: sends what the stages found over zenoh, and brings questions in.
//!
//! Tracks, answers and status leave under `kinestream/v1/<site>/<camera-name>/`, by a thread of their own: pictures pass
//! untouched and never wait for the network. `status` is sent every second, also when no pictures come. A question asked
//! on the key `ask` goes upstream as an event to `kinevlm`; without one, the trajectories of the newest frame answer it.
//! `docs/wire.md` describes keys and messages.
//!
//! ```text
//! gst-launch-1.0 kinesrc uri=rtsp://camera/stream ! kinerecon ! kinetrack model=detector.toml ! kinemotion ! kinevlm \
//!     ! kinepublish site=yard camera-name=north listen=tcp/0.0.0.0:7447 ! fakesink
//! ```

mod enums;
mod imp;
mod snapshot;

use ::gst::glib;
use ::gst::prelude::*;

pub use enums::{KinePublishEncoding, KinePublishMode};

glib::wrapper! {
    /// The element; see the [module's documentation](self).
    pub struct KinePublish(ObjectSubclass<imp::KinePublish>)
        @extends ::gst_base::BaseTransform, ::gst::Element, ::gst::Object;
}

/// Registers the element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kinepublish", ::gst::Rank::NONE, KinePublish::static_type())
}

#[cfg(test)]
mod tests;

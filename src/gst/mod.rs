//! GStreamer: the `kine*` elements, their metadata, the sources, and the builder of whole pipelines.

use ::gst::glib;

pub mod answering;
pub mod events;
pub mod frame_clock;
pub mod in_place;
pub mod kinemotion;
pub mod kineoverlay;
#[cfg(feature = "zenoh")]
pub mod kinepublish;
pub mod kinerecon;
pub mod kinesimsrc;
pub mod kinesrc;
pub mod kinetrack;
pub mod kinevlm;
pub mod labels;
pub mod metadata;
pub mod picture;
pub mod pipeline;
pub mod recorder;
pub mod regions;
pub mod rtsp_server;
pub mod sim_server;

/// Registers every element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    kinesrc::register(plugin)?;
    kinesimsrc::register(plugin)?;
    kinerecon::register(plugin)?;
    kinetrack::register(plugin)?;
    kinemotion::register(plugin)?;
    kinevlm::register(plugin)?;
    #[cfg(feature = "zenoh")]
    kinepublish::register(plugin)?;
    kineoverlay::register(plugin)?;
    Ok(())
}

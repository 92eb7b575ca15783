//! GStreamer: the `kine*` elements, their metadata, the sources, and the builder of whole pipelines.

use ::gst::glib;

pub mod events;
pub mod frame_clock;
pub mod in_place;
pub mod kineoverlay;
pub mod kinesrc;
pub mod metadata;
pub mod picture;

/// Registers every element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    kinesrc::register(plugin)?;
    kineoverlay::register(plugin)?;
    Ok(())
}

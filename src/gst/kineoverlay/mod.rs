//! Element `kineoverlay`: draws what the stages found into the pictures that pass.
//!
//! Boxes with a colour that stays with the identity (dashed where the metric state is not reliable, grey while the object
//! is lost), class, identity, distance, speed with its 95 % interval, a clock face of the movement, the trail on the
//! ground, the scene from above, and the newest answers. Pictures without results pass untouched.
//!
//! ```text
//! gst-launch-1.0 filesrc location=video.mp4 ! decodebin ! kinerecon ! kinetrack model=detector.toml ! kinemotion \
//!     ! kineoverlay show=boxes+labels+speeds ! videoconvert ! autovideosink
//! ```

mod imp;
mod show;

use ::gst::glib;
use ::gst::prelude::*;

pub use show::KineOverlayShow;

glib::wrapper! {
    /// The element; see the [module's documentation](self).
    pub struct KineOverlay(ObjectSubclass<imp::KineOverlay>)
        @extends ::gst_base::BaseTransform, ::gst::Element, ::gst::Object;
}

/// Registers the element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kineoverlay", ::gst::Rank::NONE, KineOverlay::static_type())
}

#[cfg(test)]
mod tests;

//! Element `kinerecon`: tells for every frame where the camera is and how far away things are.
//!
//! `camera` names a camera file (intrinsics, mounting); without one a field of view is assumed and everything measured is
//! marked unreliable. `depth-model` adds metric depth from a network, on every `depth-interval`-th frame.
//!
//! ```text
//! gst-launch-1.0 filesrc location=video.mp4 ! decodebin ! kinerecon camera=camera.toml ! kinetrack model=detector.toml \
//!     ! kinemotion ! fakesink
//! ```

mod imp;

use ::gst::glib;
use ::gst::prelude::*;

glib::wrapper! {
    /// The element; see the [module's documentation](self).
    pub struct KineRecon(ObjectSubclass<imp::KineRecon>)
        @extends ::gst_base::BaseTransform, ::gst::Element, ::gst::Object;
}

/// How the camera's own motion is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "KineReconEgo")]
pub enum Ego {
    /// The camera does not move.
    #[default]
    #[enum_value(name = "The camera does not move", nick = "static")]
    Static,
}

/// Registers the element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kinerecon", ::gst::Rank::NONE, KineRecon::static_type())
}

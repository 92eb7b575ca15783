//! Element `kinerecon`: tells for every frame where the camera is and how far away things are.
//!
//! `camera` names a camera file (intrinsics, mounting); without one a field of view is assumed and everything measured is
//! marked unreliable. A network (`depth-model`, the built-in one by default) measures metric depth on every
//! `depth-interval`-th frame.
//!
//! `ego` says how the camera's own motion is found: `static` (it does not move), `visual` (from the pictures), `external`
//! (told by the vehicle, and fused with the pictures). What the vehicle tells comes from the CSV file `ego-file` or as
//! [`Ego`](crate::gst::events::Ego) events from either side; `docs/odometry.md` has the fields.
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
    /// Found from the pictures.
    #[enum_value(name = "Found from the pictures (visual odometry)", nick = "visual")]
    Visual,
    /// Told by the vehicle, fused with the pictures.
    #[enum_value(
        name = "Told by the vehicle (ego-file, events), fused with the pictures",
        nick = "external"
    )]
    External,
}

/// Registers the element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kinerecon", ::gst::Rank::NONE, KineRecon::static_type())
}

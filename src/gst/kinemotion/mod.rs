//! Element `kinemotion`: turns tracks into metric states and keeps their trajectories.
//!
//! Needs tracks from `kinetrack` upstream, and the view from `kinerecon`; without the latter a field of view is assumed
//! and everything is marked unreliable.
//!
//! ```text
//! gst-launch-1.0 filesrc location=video.mp4 ! decodebin ! kinerecon camera=camera.toml ! kinetrack model=detector.toml \
//!     ! queue ! kinemotion settle-lag=1.0 ! fakesink
//! ```

mod imp;

use ::gst::glib;
use ::gst::prelude::*;

glib::wrapper! {
    /// The element; see the [module's documentation](self).
    pub struct KineMotion(ObjectSubclass<imp::KineMotion>)
        @extends ::gst_base::BaseTransform, ::gst::Element, ::gst::Object;
}

/// Registers the element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kinemotion", ::gst::Rank::NONE, KineMotion::static_type())
}

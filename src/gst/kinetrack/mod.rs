//! Element `kinetrack`: finds objects in every frame and keeps their identities.
//!
//! The detector runs on every `interval`-th frame, the tracker predicts between; with `reid-model` looks help to find
//! objects again. Tracks travel with the picture as our metadata and as region-of-interest metadata
//! ([`regions`](super::regions)). `model` may be changed while playing: the new one is loaded beside the old one.
//!
//! ```text
//! gst-launch-1.0 filesrc location=video.mp4 ! decodebin ! kinetrack model=detector.toml classes=car,person ! fakesink
//! ```

mod imp;
mod worker;

use ::gst::glib;
use ::gst::prelude::*;

glib::wrapper! {
    /// The element; see the [module's documentation](self).
    pub struct KineTrack(ObjectSubclass<imp::KineTrack>)
        @extends ::gst_base::BaseTransform, ::gst::Element, ::gst::Object;
}

/// Registers the element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kinetrack", ::gst::Rank::NONE, KineTrack::static_type())
}

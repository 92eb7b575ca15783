//! What the property `show` selects. The values' blurbs are their documentation: the macro drops doc comments.
#![allow(missing_docs)]

use ::gst::glib;

use crate::overlay::Show;

#[glib::flags(name = "GstKineOverlayShow")]
pub enum KineOverlayShow {
    #[flags_value(name = "A box around each object", nick = "boxes")]
    BOXES = 1,
    #[flags_value(name = "Class and identity of each object", nick = "labels")]
    LABELS = 1 << 1,
    #[flags_value(
        name = "Distance in metres and speed in km/h with its 95 % interval, in the labels",
        nick = "speeds"
    )]
    SPEEDS = 1 << 2,
    #[flags_value(
        name = "A clock face with the hour of movement (12 is the way the object first moved)",
        nick = "clocks"
    )]
    CLOCKS = 1 << 3,
    #[flags_value(name = "The scene from above", nick = "birdseye")]
    BIRDSEYE = 1 << 4,
    #[flags_value(name = "The newest answers", nick = "answers")]
    ANSWERS = 1 << 5,
    #[flags_value(
        name = "The way each object took over the ground in the last seconds",
        nick = "trails"
    )]
    TRAILS = 1 << 6,
}

impl From<KineOverlayShow> for Show {
    fn from(flags: KineOverlayShow) -> Self {
        Self {
            boxes: flags.contains(KineOverlayShow::BOXES),
            labels: flags.contains(KineOverlayShow::LABELS),
            speeds: flags.contains(KineOverlayShow::SPEEDS),
            clocks: flags.contains(KineOverlayShow::CLOCKS),
            birdseye: flags.contains(KineOverlayShow::BIRDSEYE),
            answers: flags.contains(KineOverlayShow::ANSWERS),
            trails: flags.contains(KineOverlayShow::TRAILS),
        }
    }
}

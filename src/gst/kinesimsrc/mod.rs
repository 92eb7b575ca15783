//! `kinesimsrc`: a live camera in a simulated world whose truth is known.
//!
//! Frames come when the world's camera takes them, with its jitter, and carry their capture time (UTC) as
//! reference-timestamp metadata. With `truth=true` each also carries what is true of it ([`truth`]). A frame that could
//! not be drawn in time is left out and counted, as by a camera; with `is-live=false` every frame comes, as fast as it is
//! taken. The same scene and seed give the same world, and without drops the same pixels.
//!
//! ```text
//! gst-launch-1.0 kinesimsrc scene=street-fixed seed=7 ! videoconvert ! autovideosink
//! ```
//!
//! `kinesim://street-fixed?seed=7&width=1280&height=720` is the same as a URI, for `kinesrc` and `kinestream run`.

use std::sync::{Arc, LazyLock};

use ::gst::glib;
use ::gst::prelude::*;

use crate::sim;
use crate::sim::truth::FrameTruth;

mod imp;
mod uri;

glib::wrapper! {
    /// A live camera in a simulated world.
    pub struct KineSimSrc(ObjectSubclass<imp::KineSimSrc>)
        @extends ::gst_base::PushSrc, ::gst_base::BaseSrc, ::gst::Element, ::gst::Object,
        @implements ::gst::URIHandler;
}

/// The kind of world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "KineSimSrcScene")]
pub enum Scene {
    /// A traffic camera on a pole over a junction.
    #[default]
    #[enum_value(name = "A traffic camera on a pole over a junction", nick = "street-fixed")]
    StreetFixed,
    /// A camera on a car in traffic.
    #[enum_value(name = "A camera on a car in traffic", nick = "street-drive")]
    StreetDrive,
    /// Pedestrians and bicycles on a square.
    #[enum_value(name = "Pedestrians and bicycles on a square", nick = "plaza")]
    Plaza,
    /// Players and a ball.
    #[enum_value(name = "Players and a ball", nick = "court")]
    Court,
    /// A car park from above.
    #[enum_value(name = "A car park from above", nick = "parking")]
    Parking,
}

impl From<Scene> for sim::Scene {
    fn from(scene: Scene) -> Self {
        match scene {
            Scene::StreetFixed => Self::StreetFixed,
            Scene::StreetDrive => Self::StreetDrive,
            Scene::Plaza => Self::Plaza,
            Scene::Court => Self::Court,
            Scene::Parking => Self::Parking,
        }
    }
}

impl From<sim::Scene> for Scene {
    fn from(scene: sim::Scene) -> Self {
        match scene {
            sim::Scene::StreetFixed => Self::StreetFixed,
            sim::Scene::StreetDrive => Self::StreetDrive,
            sim::Scene::Plaza => Self::Plaza,
            sim::Scene::Court => Self::Court,
            sim::Scene::Parking => Self::Parking,
        }
    }
}

const META_NAME: &str = "KinestreamSimulatedTruth";
const FIELD: &str = "truth";

#[derive(Clone, Debug, glib::Boxed)]
#[boxed_type(name = "KinestreamSimulatedTruthBox")]
struct TruthBox(Arc<FrameTruth>);

static REGISTERED: LazyLock<()> = LazyLock::new(|| {
    if !::gst::meta::CustomMeta::is_registered(META_NAME) {
        // What is true of a frame stays true of its copies, whatever their size and format.
        ::gst::meta::CustomMeta::register_with_transform(META_NAME, &[], |outbuf, meta, _, _| {
            let Ok(found) = meta.structure().get::<TruthBox>(FIELD) else {
                return false;
            };
            attach(outbuf, found.0).is_ok()
        });
    }
});

/// What is true of a frame of `kinesimsrc truth=true`.
pub fn truth(buffer: &::gst::BufferRef) -> Option<Arc<FrameTruth>> {
    LazyLock::force(&REGISTERED);
    let meta = ::gst::meta::CustomMeta::from_buffer(buffer, META_NAME).ok()?;
    meta.structure().get::<TruthBox>(FIELD).ok().map(|found| found.0)
}

fn attach(buffer: &mut ::gst::BufferRef, truth: Arc<FrameTruth>) -> Result<(), glib::BoolError> {
    LazyLock::force(&REGISTERED);
    ::gst::meta::CustomMeta::add(buffer, META_NAME)?
        .mut_structure()
        .set(FIELD, TruthBox(truth));
    Ok(())
}

pub(super) fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kinesimsrc", ::gst::Rank::NONE, KineSimSrc::static_type())
}

//! The subclass behind `kineoverlay`: an in-place transform around [`Overlay`].

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use ::gst::glib;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::prelude::*;

use super::KineOverlayShow;
use crate::gst::in_place::{self, InPlace, StreamChange};
use crate::gst::picture::MappedFrameMut;
use crate::overlay::Overlay;
use crate::results::Stage;

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new(
        "kineoverlay",
        ::gst::DebugColorFlags::empty(),
        Some("Kinestream overlay"),
    )
});

/// Instance of `kineoverlay`.
#[derive(Debug)]
pub struct KineOverlay {
    common: InPlace,
    show: Mutex<KineOverlayShow>,
    overlay: Mutex<Overlay>,
}

impl Default for KineOverlay {
    fn default() -> Self {
        Self {
            common: InPlace::default(),
            show: Mutex::new(KineOverlayShow::all()),
            overlay: Mutex::default(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for KineOverlay {
    const NAME: &'static str = "GstKineOverlay";
    type Type = super::KineOverlay;
    type ParentType = ::gst_base::BaseTransform;
}

impl ObjectImpl for KineOverlay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let show = glib::ParamSpecFlags::builder::<KineOverlayShow>("show")
                .nick("Show")
                .blurb("What to draw, e.g. boxes+labels+speeds")
                .default_value(KineOverlayShow::all())
                .mutable_playing()
                .build();
            [vec![show], in_place::properties()].concat()
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if pspec.name() == "show"
            && let Ok(show) = value.get::<KineOverlayShow>()
        {
            *locked(&self.show) = show;
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "show" {
            return locked(&self.show).to_value();
        }
        self.common
            .property(pspec.name())
            .unwrap_or_else(|| pspec.default_value().clone())
    }
}

impl GstObjectImpl for KineOverlay {}

impl ElementImpl for KineOverlay {
    fn metadata() -> Option<&'static ::gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<::gst::subclass::ElementMetadata> = LazyLock::new(|| {
            ::gst::subclass::ElementMetadata::new(
                "Kinestream overlay",
                "Filter/Effect/Video",
                "Draws boxes, identities, metric speeds, clock faces, trails, a bird's-eye inset and answers",
                "Kinestream authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [::gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<::gst::PadTemplate>> = LazyLock::new(in_place::pad_templates);
        &TEMPLATES
    }
}

impl BaseTransformImpl for KineOverlay {
    in_place::base_transform_glue!(caps, qos);

    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        self.common.start();
        locked(&self.overlay).reset();
        Ok(())
    }

    fn sink_event(&self, event: ::gst::Event) -> bool {
        if self.common.sink_event(&event) == StreamChange::Flushed {
            locked(&self.overlay).reset();
        }
        self.parent_sink_event(event)
    }

    fn transform_ip(&self, buffer: &mut ::gst::BufferRef) -> Result<::gst::FlowSuccess, ::gst::FlowError> {
        let Some(frame) = self.common.begin(&*self.obj(), buffer)? else {
            return Ok(::gst::FlowSuccess::Ok);
        };
        let show = *locked(&self.show);
        match MappedFrameMut::map(buffer, &frame.info) {
            Ok(mut mapped) => match mapped.picture() {
                Ok(mut picture) => {
                    let mut overlay = locked(&self.overlay);
                    overlay.set_show(show.into());
                    overlay.draw(&mut picture, &frame.results);
                }
                Err(error) => {
                    ::gst::warning!(CAT, imp = self, "a frame passes without overlay: {error}");
                    self.common.count_dropped();
                }
            },
            Err(error) => {
                ::gst::warning!(CAT, imp = self, "a frame passes without overlay: {error}");
                self.common.count_dropped();
            }
        }
        self.common.finish(&*self.obj(), buffer, frame, Stage::Overlay)
    }
}

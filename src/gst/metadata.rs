//! Results on buffers: each stage adds what it found to a [`FrameResults`] that travels with the picture.
//!
//! The metadata is a GStreamer custom meta (since 1.20) whose one field holds an `Arc`: copying a buffer copies a pointer,
//! scaling and converting keep it. Boxes refer to the picture size written in the results, not to the buffer's own.

use std::sync::{Arc, LazyLock};

use ::gst::glib;

use crate::results::FrameResults;

const META_NAME: &str = "KinestreamFrameResults";
const FIELD: &str = "results";

#[derive(Clone, Debug, glib::Boxed)]
#[boxed_type(name = "KinestreamFrameResultsBox")]
struct ResultsBox(Arc<FrameResults>);

static REGISTERED: LazyLock<()> = LazyLock::new(|| {
    if !::gst::meta::CustomMeta::is_registered(META_NAME) {
        ::gst::meta::CustomMeta::register_with_transform(META_NAME, &[], |outbuf, meta, _, _| {
            let Ok(found) = meta.structure().get::<ResultsBox>(FIELD) else {
                return false;
            };
            attach(outbuf, found.0).is_ok()
        });
    }
});

/// The results that travel with `buffer`, if any stage has added some.
pub fn results(buffer: &::gst::BufferRef) -> Option<Arc<FrameResults>> {
    LazyLock::force(&REGISTERED);
    let meta = ::gst::meta::CustomMeta::from_buffer(buffer, META_NAME).ok()?;
    meta.structure().get::<ResultsBox>(FIELD).ok().map(|found| found.0)
}

/// Replaces the results that travel with `buffer`.
pub fn attach(buffer: &mut ::gst::BufferRef, results: Arc<FrameResults>) -> Result<(), glib::BoolError> {
    LazyLock::force(&REGISTERED);
    if let Ok(mut meta) = ::gst::meta::CustomMeta::from_mut_buffer(buffer, META_NAME) {
        meta.mut_structure().set(FIELD, ResultsBox(results));
        return Ok(());
    }
    ::gst::meta::CustomMeta::add(buffer, META_NAME)?
        .mut_structure()
        .set(FIELD, ResultsBox(results));
    Ok(())
}

/// Takes the results off `buffer` to change them in place (no copy unless another buffer shares them), or starts new
/// ones with `start`; put them back with [`attach`].
pub fn take_or(buffer: &mut ::gst::BufferRef, start: impl FnOnce() -> FrameResults) -> Arc<FrameResults> {
    let found = results(buffer);
    if found.is_some()
        && let Ok(mut meta) = ::gst::meta::CustomMeta::from_mut_buffer(buffer, META_NAME)
    {
        meta.mut_structure().remove_field(FIELD);
    }
    found.unwrap_or_else(|| Arc::new(start()))
}

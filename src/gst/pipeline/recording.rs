//! Recording: a side branch that draws into the pictures and encodes them, without holding up the others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::gst::ElementFactory;
use ::gst::glib::BoolError;
use ::gst::prelude::*;

/// Frames that may wait for the encoder.
const WAITING_FRAMES: u32 = 25;
/// The quantizer of H.264: visually close to the original at a moderate size.
const QUANTIZER: u32 = 23;

/// The file format of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Mp4,
    Matroska,
}

impl Container {
    /// By the file's extension.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "mp4" => Some(Self::Mp4),
            "mkv" => Some(Self::Matroska),
            _ => None,
        }
    }

    fn muxer(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4mux",
            Self::Matroska => "matroskamux",
        }
    }
}

/// A recording that is being made.
#[derive(Debug)]
pub(super) struct Recording {
    entered: Arc<AtomicU64>,
    left: Arc<AtomicU64>,
    queue: ::gst::Element,
}

impl Recording {
    /// Hangs the branch on `tee`. Of a live source frames are left out when the encoder is slower; of a file none is.
    pub(super) fn attach(
        pipeline: &::gst::Pipeline,
        tee: &::gst::Element,
        path: &Path,
        live: bool,
    ) -> Result<Self, BoolError> {
        let queue = ElementFactory::make("queue")
            .property("max-size-buffers", WAITING_FRAMES)
            .property("max-size-bytes", 0u32)
            .property("max-size-time", 0u64)
            .property_from_str("leaky", if live { "downstream" } else { "no" })
            .build()?;
        let encoder = ElementFactory::make("x264enc")
            .property_from_str("speed-preset", "ultrafast")
            .property_from_str("pass", "quant")
            .property("quantizer", QUANTIZER)
            // One thread: the cores belong to the networks.
            .property("threads", 1u32)
            .property("key-int-max", 50u32)
            .property("bframes", 0u32)
            .property_from_str("tune", "zerolatency")
            .build()?;
        let muxer = Container::of(path).unwrap_or(Container::Matroska).muxer();
        let sink = ElementFactory::make("filesink")
            .property("location", path)
            .property("sync", false)
            // The pipeline starts without waiting for the first encoded picture.
            .property("async", false)
            .build()?;
        let branch = [
            queue.clone(),
            ElementFactory::make("videoconvert").build()?,
            ElementFactory::make("kineoverlay").build()?,
            ElementFactory::make("videoconvert").build()?,
            encoder,
            ElementFactory::make("h264parse").build()?,
            ElementFactory::make(muxer).build()?,
            sink,
        ];
        pipeline.add_many(&branch)?;
        ::gst::Element::link_many(&branch)?;
        tee.link(&queue)?;
        Ok(Self {
            entered: count_buffers(&queue, "sink"),
            left: count_buffers(&queue, "src"),
            queue,
        })
    }

    /// Frames that gave way because the encoder was slower.
    pub(super) fn dropped(&self) -> u64 {
        let waiting = u64::from(self.queue.property::<u32>("current-level-buffers"));
        let left = self.left.load(Ordering::Relaxed) + waiting;
        self.entered.load(Ordering::Relaxed).saturating_sub(left)
    }
}

fn count_buffers(element: &::gst::Element, pad: &str) -> Arc<AtomicU64> {
    let counter = Arc::new(AtomicU64::new(0));
    if let Some(pad) = element.static_pad(pad) {
        let counter = Arc::clone(&counter);
        pad.add_probe(::gst::PadProbeType::BUFFER, move |_, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            ::gst::PadProbeReturn::Ok
        });
    }
    counter
}

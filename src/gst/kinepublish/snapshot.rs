//! The next picture that passes, for whoever asks for a snapshot.
//!
//! No picture is held back for it: a decoder's pool may be small, and a stage further down may want to draw into it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::gst_video::VideoInfo;
use crossbeam::channel::{Sender, bounded};

use crate::gst::picture::MappedFrame;
use crate::overlay::{Overlay, SnapshotOptions, snapshot_jpeg};
use crate::results::FrameResults;

/// How long a snapshot waits for a picture.
const PATIENCE: Duration = Duration::from_secs(2);

struct Passing {
    buffer: ::gst::Buffer,
    info: VideoInfo,
    results: Arc<FrameResults>,
}

/// Whoever waits for the next picture.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    wanted: AtomicBool,
    waiting: Mutex<Vec<Sender<Passing>>>,
}

impl Snapshots {
    /// Hands the picture to whoever waits for one; otherwise costs one atomic load.
    pub fn offer(&self, buffer: &::gst::Buffer, info: &VideoInfo, results: &Arc<FrameResults>) {
        if !self.wanted.swap(false, Ordering::AcqRel) {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for asker in waiting {
            let passing = Passing {
                buffer: buffer.clone(),
                info: info.clone(),
                results: results.clone(),
            };
            // Whoever gave up waiting has hung up.
            let _ = asker.try_send(passing);
        }
    }

    /// The next picture with its overlay as JPEG; waits for it.
    pub fn take(&self) -> Result<Vec<u8>, String> {
        let (asker, passing) = bounded(1);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(asker);
        self.wanted.store(true, Ordering::Release);
        let passing = passing
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("no picture has passed within {} s", PATIENCE.as_secs()))?;
        let mapped = MappedFrame::map(&passing.buffer, &passing.info).map_err(|error| error.to_string())?;
        let picture = mapped.picture().map_err(|error| error.to_string())?;
        snapshot_jpeg(
            &mut Overlay::default(),
            &picture,
            &passing.results,
            SnapshotOptions::default(),
        )
        .map_err(|error| error.to_string())
    }
}

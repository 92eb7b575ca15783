//! Showing frames to a model that sees: of a live stream on a thread of its own, so that the stream does not notice; of a file
//! at once, so that every window is shown whole.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::gst_video::VideoInfo;
use crossbeam::channel::{Sender, bounded};

use crate::gst::in_place;
use crate::gst::picture::{FrameError, MappedFrame};
use crate::results::FrameResults;
use crate::vlm::live::{Look, Onlooker};
use crate::vlm::step_back;

/// Frames that wait to be looked at, at most: one half second's two, and two more.
const WAITING: usize = 4;

/// A frame to look at. It holds the picture's memory, not a copy.
struct Glance {
    buffer: ::gst::Buffer,
    info: VideoInfo,
    look: Look,
    time_s: f64,
    results: FrameResults,
    stream: u64,
}

/// Shows frames to an [`Onlooker`].
pub(super) struct Looker {
    onlooker: Arc<dyn Onlooker>,
    glances: Sender<Glance>,
    /// Counts up when the stream so far is over: frames of it that wait are passed over.
    stream: Arc<AtomicU64>,
    unseen: Arc<AtomicU64>,
}

impl Looker {
    /// Starts the thread `kine-look`, which ends when this is dropped.
    pub fn spawn(onlooker: Arc<dyn Onlooker>, unseen: Arc<AtomicU64>) -> io::Result<Self> {
        let (glances, receiver) = bounded::<Glance>(WAITING);
        let stream = Arc::new(AtomicU64::new(0));
        let (shown, current, missed) = (Arc::clone(&onlooker), Arc::clone(&stream), Arc::clone(&unseen));
        std::thread::Builder::new()
            .name("kine-look".to_owned())
            .spawn(move || {
                step_back();
                for glance in receiver {
                    if glance.stream != current.load(Ordering::Acquire) {
                        continue;
                    }
                    if let Err(error) = show(&*shown, &glance.buffer, &glance) {
                        missed.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!("a picture could not be looked at: {error}");
                    }
                }
            })?;
        Ok(Self {
            onlooker,
            glances,
            stream,
            unseen,
        })
    }

    /// Shows a frame where it is wanted. A live stream never waits: what comes while too many frames wait is not seen, and
    /// counted.
    pub fn see(&self, buffer: &::gst::BufferRef, frame: &in_place::Frame, live: bool) -> Result<(), FrameError> {
        if frame.new_scene {
            self.forget();
        }
        let time_s = frame.time().seconds();
        let Some(look) = self.onlooker.wanted(time_s) else {
            return Ok(());
        };
        if !live {
            let picture = MappedFrame::map(buffer, &frame.info)?;
            self.onlooker.look(look, time_s, &picture.picture()?, &frame.results);
            return Ok(());
        }
        let flags = ::gst::BufferCopyFlags::MEMORY | ::gst::BufferCopyFlags::META;
        let Ok(buffer) = buffer.copy_region(flags, ..) else {
            self.unseen.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let glance = Glance {
            buffer,
            info: frame.info.clone(),
            look,
            time_s,
            results: FrameResults {
                view: frame.results.view.clone(),
                tracks: frame.results.tracks.clone(),
                ..FrameResults::new(frame.time(), frame.results.width, frame.results.height)
            },
            stream: self.stream.load(Ordering::Acquire),
        };
        if self.glances.try_send(glance).is_err() {
            self.unseen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The stream so far is over.
    pub fn forget(&self) {
        self.stream.fetch_add(1, Ordering::AcqRel);
        self.onlooker.clear();
    }
}

fn show(onlooker: &dyn Onlooker, buffer: &::gst::BufferRef, glance: &Glance) -> Result<(), FrameError> {
    let picture = MappedFrame::map(buffer, &glance.info)?;
    onlooker.look(glance.look, glance.time_s, &picture.picture()?, &glance.results);
    Ok(())
}

//! The pad `answers`: pushes finished answers as JSON from a task of its own, so that whoever reads them slowly holds up
//! neither the pictures nor the answering.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::gst::prelude::*;
use ::gst::{ClockTime, glib};
use crossbeam::channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};

use crate::stkit::Answer;
use crate::wire::codec::WireMessage;
use crate::wire::{Encoding, messages};

/// Most answers that wait to be pushed.
const CAPACITY: usize = 256;

/// How long the end of the stream waits for room in a queue that nobody empties.
const END_PATIENCE: Duration = Duration::from_secs(1);

pub(super) const NAME: &str = "answers";

enum Item {
    Answer(Arc<Answer>, Option<ClockTime>),
    Eos,
}

/// The way to the pad's task; open while the pad is active.
#[derive(Debug, Default)]
pub(super) struct AnswersPad(Mutex<Option<Sender<Item>>>);

impl AnswersPad {
    fn sender(&self) -> MutexGuard<'_, Option<Sender<Item>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an answer. False when it had to be given up because the queue is full.
    pub fn push(&self, answer: &Arc<Answer>, pts: Option<ClockTime>) -> bool {
        let sender = self.sender().clone();
        sender.is_none_or(|sender| {
            let sent = sender.try_send(Item::Answer(Arc::clone(answer), pts));
            !matches!(sent, Err(TrySendError::Full(_)))
        })
    }

    /// Ends the pad's stream behind the answers that are queued.
    pub fn end(&self) {
        let sender = self.sender().clone();
        if let Some(sender) = sender
            && let Err(SendTimeoutError::Timeout(_)) = sender.send_timeout(Item::Eos, END_PATIENCE)
        {
            tracing::warn!("nobody takes answers from the pad: it gets no EOS");
        }
    }

    /// For the pad's activation: starts or stops the task.
    pub fn activate(&self, pad: &::gst::Pad, active: bool) -> Result<(), ::gst::LoggableError> {
        if !active {
            // Without a sender the task's next receive fails.
            self.sender().take();
            return pad.stop_task().map_err(Into::into);
        }
        let (sender, receiver) = bounded(CAPACITY);
        *self.sender() = Some(sender);
        let weak = pad.downgrade();
        let mut begun = false;
        pad.start_task(move || {
            if let Some(pad) = weak.upgrade() {
                if !begun {
                    begun = true;
                    begin(&pad);
                }
                step(&pad, &receiver);
            }
        })?;
        Ok(())
    }
}

/// The template: raw JSON, one answer a buffer.
pub(super) fn template() -> Result<::gst::PadTemplate, glib::BoolError> {
    ::gst::PadTemplate::new(
        NAME,
        ::gst::PadDirection::Src,
        ::gst::PadPresence::Request,
        &::gst::Caps::new_empty_simple("application/x-json"),
    )
}

fn begin(pad: &::gst::Pad) {
    let stream_id = pad.create_stream_id(
        &match pad.parent_element() {
            Some(element) => element,
            None => return,
        },
        Some(NAME),
    );
    let start = ::gst::event::StreamStart::builder(&stream_id)
        .flags(::gst::StreamFlags::SPARSE)
        .build();
    let caps = ::gst::Caps::new_empty_simple("application/x-json");
    let segment = ::gst::FormattedSegment::<ClockTime>::new();
    pad.push_event(start);
    pad.push_event(::gst::event::Caps::new(&caps));
    pad.push_event(::gst::event::Segment::new(&segment));
    // Answers are rare: a sink must not wait for the first one before the pipeline can play.
    pad.push_event(::gst::event::Gap::builder(ClockTime::ZERO).build());
}

fn step(pad: &::gst::Pad, receiver: &Receiver<Item>) {
    let Ok(item) = receiver.recv() else {
        let _ = pad.pause_task();
        return;
    };
    match item {
        Item::Answer(answer, pts) => match messages::answer(&answer).encode_as(Encoding::Json) {
            Ok(mut json) => {
                json.push(b'\n');
                let mut buffer = ::gst::Buffer::from_mut_slice(json);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(pts);
                }
                if let Err(error) = pad.push(buffer) {
                    tracing::debug!("an answer was not taken: {error}");
                }
            }
            Err(error) => tracing::warn!("an answer cannot be written: {error}"),
        },
        Item::Eos => {
            pad.push_event(::gst::event::Eos::new());
        }
    }
}

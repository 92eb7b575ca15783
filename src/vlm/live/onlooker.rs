//! What a model that sees keeps of the stream: a picture now and then.

use crate::frame::Picture;
use crate::results::FrameResults;

/// What a frame is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its brightness alone, as the moment before the next picture that is kept.
    Before,
    /// The picture with its boxes.
    Keep,
}

/// Keeps pictures of the stream. Shared by the thread that looks and the one that answers.
pub trait Onlooker: Send + Sync {
    /// What the frame at `time_s` is wanted for; that counts as looked at. Called for every frame on the streaming thread, so
    /// it returns at once.
    fn wanted(&self, time_s: f64) -> Option<Look>;

    /// Looks at a frame that was wanted. May take some milliseconds, of which the stream must not notice: where it is live,
    /// frames are looked at on a thread of their own.
    fn look(&self, look: Look, time_s: f64, picture: &Picture<'_>, results: &FrameResults);

    /// Forgets all: another stream, or another scene.
    fn clear(&self);
}

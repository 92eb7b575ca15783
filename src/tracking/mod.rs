//! Who is who from frame to frame: association, identities and their life cycle, and the scores that measure them.

mod track;

pub use track::{Track, TrackStatus};

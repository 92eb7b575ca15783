//! Pseudo-labels: questions and answers from what our own chain saw in a video or a camera's stream.
//!
//! An [`Observer`] takes what the stages found in each frame and cuts the stream into pieces; each piece becomes a
//! [`Recording`](crate::datasets::Recording) of those trajectories that are good enough, from which the builder draws questions as from any data set.
//! A label passes three filters:
//!
//! 1. **Rules** ([`Limits`]): the camera is known, the object was seen long enough and surely enough, it moves as such
//!    things can.
//! 2. **Agreement**: the cues for its distance agree, and the 95 % interval of the distance it travelled is narrow.
//! 3. **Task by task** ([`PieceJudge`]): the interval of the value asked for, the probability of the hour, of the order, or
//!    of the same direction.
//!
//! Settled states are used throughout, a fixed lag behind.

mod filters;
mod judge;
mod observer;
mod piece;

pub use filters::{Limits, Rejection};
pub use judge::PieceJudge;
pub use observer::{Observed, Observer, ObserverSettings};
pub use piece::{Piece, PseudoRecord, Verdict, balanced};

#[cfg(test)]
mod tests;

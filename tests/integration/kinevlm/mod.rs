//! The element `kinevlm`: standing questions at any frame rate, asks, flush, EOS, caps change, gaps, its four ways out, and the
//! models that it may be given.

mod file;
mod live;
#[cfg(feature = "remote")]
mod remote;
#[cfg(feature = "burn")]
mod small_model;
mod support;

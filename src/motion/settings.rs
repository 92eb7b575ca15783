//! Settings of the motion stage and of the lifting it stands on.

use std::sync::Arc;

use serde::Deserialize;

use crate::reconstruction::ClassPriors;

/// How motion is estimated and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MotionSettings {
    /// How far behind the frame the settled state is, seconds.
    pub settle_lag_s: f64,
    /// How much of each trajectory is kept, seconds.
    pub history_s: f64,
    /// Most objects that are followed and stored at a time; beyond it the ones unseen for longest are dropped, counted.
    pub max_objects: usize,
    /// Longest time an object is predicted without being seen, seconds.
    pub coast_s: f64,
    /// Correlation time of the part of the measurement noise that is not white, seconds.
    pub noise_memory_s: f64,
    /// Sizes and dynamics of the classes.
    #[serde(skip)]
    pub priors: Arc<ClassPriors>,
}

impl Default for MotionSettings {
    fn default() -> Self {
        Self {
            settle_lag_s: 1.0,
            history_s: 60.0,
            max_objects: 512,
            coast_s: 2.0,
            noise_memory_s: 1.0,
            priors: Arc::default(),
        }
    }
}

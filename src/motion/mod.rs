//! One estimator per object: filter, fixed-lag smoother, standstill test, and the rolling store of trajectories.

//! Roads: paths, the network of lanes with its junctions, and their paint.

mod network;
mod paint;
mod path;

pub(super) use network::{Lane, Network, NodeKind, RoadPlan, Section};
pub(super) use paint::{Roadside, paint};
pub(super) use path::Path;

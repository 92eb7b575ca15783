//! Traffic: vehicles on the lanes of a network.
//!
//! Along the lane: the Intelligent Driver Model (M. Treiber, A. Hennecke, D. Helbing, Phys. Rev. E 62, 2000). Between
//! lanes: MOBIL (A. Kesting, M. Treiber, D. Helbing, Transp. Res. Rec. 1999, 2007). Across a junction: a way is entered
//! only when it has been granted, which is when no other vehicle holds a conflicting one; see `gates.rs`.

mod fleet;
mod gates;
mod vehicle;

pub(super) use fleet::{Block, Fleet, Ids, LONG_M, Mix};
pub(super) use gates::Lights;
pub(super) use vehicle::Vehicle;

//! Mounting: where the camera hangs over the ground and how it is tilted.

/// How well the mounting is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MountingSource {
    /// Measured.
    Measured,
    /// Assumed or unknown.
    Assumed,
}

/// Pose of the camera over the ground plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mounting {
    /// Height of the optical centre over the ground, metres.
    pub height_m: f64,
    /// Downward tilt of the optical axis, radians; positive looks down.
    pub pitch_down_rad: f64,
    /// Roll about the optical axis, radians; positive is clockwise seen from behind the camera.
    pub roll_rad: f64,
}

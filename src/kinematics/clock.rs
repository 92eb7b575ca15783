//! Clock hours: directions as a person says them. 12 is the reference, 3 a turn to the right by 90°.

use std::f64::consts::{PI, TAU};
use std::fmt;

use nalgebra::Vector3;

/// An angle this close to the edge between two hours, in radians (5°), is ambiguous.
pub const AMBIGUITY_MARGIN_RAD: f64 = 5.0 * PI / 180.0;

const HOUR_RAD: f64 = TAU / 12.0;

/// An hour of the clock, 1 to 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct ClockHour(u8);

impl ClockHour {
    /// The reference direction.
    pub const TWELVE: Self = Self(12);

    /// `hour` from 1 to 12; `None` for any other number.
    pub fn new(hour: u8) -> Option<Self> {
        (1..=12).contains(&hour).then_some(Self(hour))
    }

    /// The number, 1 to 12.
    pub fn get(self) -> u8 {
        self.0
    }

    /// The hour nearest to an angle in radians, clockwise seen from above positive, 0 at 12 o'clock. An angle that is
    /// not finite gives 12; check before.
    pub fn from_angle_rad(clockwise_rad: f64) -> Self {
        let hour = (clockwise_rad / HOUR_RAD).round().rem_euclid(12.0) as u8;
        Self(if (1..=11).contains(&hour) { hour } else { 12 })
    }

    /// Whether an angle in radians lies within 5° of the edge between two hours.
    pub fn ambiguous(clockwise_rad: f64) -> bool {
        Self::edge_distance_rad(clockwise_rad) <= AMBIGUITY_MARGIN_RAD + 1e-12
    }

    /// How far an angle is from the nearest edge between two hours, radians, 0 to 15°.
    pub fn edge_distance_rad(clockwise_rad: f64) -> f64 {
        let from_center = clockwise_rad - (clockwise_rad / HOUR_RAD).round() * HOUR_RAD;
        0.5 * HOUR_RAD - from_center.abs()
    }

    /// The angle in the middle of the hour, radians, in (−π, π].
    pub fn angle_rad(self) -> f64 {
        let hours = f64::from(self.0 % 12);
        (if hours > 6.0 { hours - 12.0 } else { hours }) * HOUR_RAD
    }

    /// The hour with left and right exchanged: `h` becomes `12 − h`.
    pub fn mirrored(self) -> Self {
        Self(if self.0 == 12 { 12 } else { 12 - self.0 })
    }

    /// Hours between two hours the short way round, 0 to 6.
    pub fn hours_to(self, other: Self) -> u8 {
        let apart = self.0.abs_diff(other.0);
        apart.min(12 - apart)
    }
}

impl fmt::Display for ClockHour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<ClockHour> for u8 {
    fn from(hour: ClockHour) -> Self {
        hour.0
    }
}

impl TryFrom<u8> for ClockHour {
    type Error = String;

    fn try_from(hour: u8) -> Result<Self, Self::Error> {
        Self::new(hour).ok_or_else(|| format!("a clock hour is 1 to 12, found {hour}"))
    }
}

/// The signed angle about the world's up axis from `reference` to `direction`, radians in (−π, π], clockwise seen from
/// above positive; both in a frame with x forward, y left, z up. `None` when one of them has no horizontal part.
///
/// This replaces the arccos of the ST-VLM paper's equation 1, which cannot tell left from right.
pub fn clockwise_angle_rad(reference: &Vector3<f64>, direction: &Vector3<f64>) -> Option<f64> {
    let horizontal = |v: &Vector3<f64>| v.x.hypot(v.y);
    let has_direction = |length: f64| length > 0.0 && length.is_finite();
    if !has_direction(horizontal(reference)) || !has_direction(horizontal(direction)) {
        return None;
    }
    let cross = direction.x * reference.y - direction.y * reference.x;
    let dot = direction.x * reference.x + direction.y * reference.y;
    // −0.0 would turn straight back (π) into −π.
    Some((cross + 0.0).atan2(dot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_turn_is_three_and_a_left_turn_is_nine() {
        let ahead = Vector3::x();
        let hour = |v: Vector3<f64>| ClockHour::from_angle_rad(clockwise_angle_rad(&ahead, &v).unwrap()).get();
        assert_eq!(hour(Vector3::x()), 12);
        assert_eq!(hour(-Vector3::y()), 3);
        assert_eq!(hour(-Vector3::x()), 6);
        assert_eq!(hour(Vector3::y()), 9);
        assert_eq!(clockwise_angle_rad(&ahead, &Vector3::z()), None);
    }

    #[test]
    fn hours_lie_about_multiples_of_thirty_degrees() {
        for hour in 1..=12u8 {
            let clock = ClockHour::new(hour).unwrap();
            for offset in [-14.9f64, 0.0, 14.9] {
                let angle = clock.angle_rad() + offset.to_radians();
                assert_eq!(ClockHour::from_angle_rad(angle), clock);
                assert_eq!(ClockHour::from_angle_rad(angle + TAU), clock);
                assert_eq!(ClockHour::ambiguous(angle), offset != 0.0);
            }
            assert!(!ClockHour::ambiguous(clock.angle_rad() + 9.9f64.to_radians()));
            assert!(ClockHour::ambiguous(clock.angle_rad() + 10.1f64.to_radians()));
        }
        assert_eq!(ClockHour::new(0), None);
        assert_eq!(ClockHour::new(13), None);
    }

    #[test]
    fn distance_between_hours_goes_the_short_way() {
        let hour = |h| ClockHour::new(h).unwrap();
        assert_eq!(hour(11).hours_to(hour(1)), 2);
        assert_eq!(hour(12).hours_to(hour(6)), 6);
        assert_eq!(hour(5).hours_to(hour(5)), 0);
    }
}

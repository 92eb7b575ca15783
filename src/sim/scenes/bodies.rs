//! Bodies: how large the actors of a class are, and how their limbs move.

use std::f64::consts::TAU;

use super::draw::Draw;
use crate::sim::actor::{ActorClass, Size};

/// Gravity, m/s².
pub(super) const GRAVITY: f64 = 9.81;

fn size(length_m: f64, width_m: f64, height_m: f64) -> Size {
    Size {
        length_m,
        width_m,
        height_m,
    }
}

/// A passenger car: small, saloon, estate, off-roader or van.
pub(super) fn car(draw: &mut Draw) -> Size {
    match draw.below(10) {
        0..=2 => size(
            draw.normal(3.85, 0.15, 3.6..4.15),
            draw.normal(1.7, 0.04, 1.65..1.8),
            draw.normal(1.49, 0.04, 1.4..1.6),
        ),
        3..=6 => size(
            draw.normal(4.5, 0.2, 4.1..5.0),
            draw.normal(1.81, 0.04, 1.7..1.92),
            draw.normal(1.46, 0.04, 1.35..1.56),
        ),
        7 | 8 => size(
            draw.normal(4.6, 0.2, 4.15..5.2),
            draw.normal(1.88, 0.05, 1.78..2.0),
            draw.normal(1.69, 0.07, 1.56..1.95),
        ),
        _ => van(draw),
    }
}

/// A delivery van.
pub(super) fn van(draw: &mut Draw) -> Size {
    size(
        draw.normal(5.2, 0.35, 4.4..6.0),
        draw.normal(1.98, 0.04, 1.85..2.06),
        draw.normal(2.2, 0.25, 1.85..2.6),
    )
}

/// The extent of an actor of a class.
pub(super) fn extent(class: ActorClass, draw: &mut Draw) -> Size {
    match class {
        ActorClass::Car => car(draw),
        ActorClass::Truck => size(
            if draw.chance(0.7) {
                draw.uniform(6.0..9.5)
            } else {
                draw.uniform(9.5..16.0)
            },
            draw.uniform(2.3..2.55),
            draw.uniform(2.7..4.0),
        ),
        ActorClass::Bus => size(
            if draw.chance(0.85) {
                draw.uniform(9.0..12.5)
            } else {
                draw.uniform(12.5..18.0)
            },
            draw.uniform(2.45..2.55),
            draw.uniform(2.9..3.4),
        ),
        ActorClass::Motorcycle => size(draw.uniform(1.9..2.3), draw.uniform(0.7..0.9), draw.uniform(1.45..1.7)),
        ActorClass::Bicycle => size(
            draw.uniform(1.65..1.9),
            draw.uniform(0.5..0.65),
            draw.normal(1.74, 0.08, 1.5..1.9),
        ),
        ActorClass::Person => {
            let height_m = if draw.chance(0.08) {
                draw.uniform(1.2..1.55)
            } else {
                draw.normal(1.72, 0.09, 1.5..2.0)
            };
            size(
                height_m * draw.uniform(0.26..0.36),
                height_m * draw.uniform(0.27..0.35),
                height_m,
            )
        }
        ActorClass::Ball => {
            let diameter_m = draw.uniform(0.2..0.25);
            size(diameter_m, diameter_m, diameter_m)
        }
    }
}

/// Angular speed of the gait cycle (two steps) of a person of a height, rad/s. Relative stride length grows with the
/// Froude number to the power of 0.3 (R. McN. Alexander, Nature 261, 1976), with the hip at 0.53 of the height.
pub(super) fn gait_radps(height_m: f64, speed_mps: f64) -> f64 {
    if speed_mps <= 0.0 {
        return 0.0;
    }
    let hip_m = 0.53 * height_m;
    let stride_m = 2.3 * hip_m * (speed_mps * speed_mps / (GRAVITY * hip_m)).powf(0.3);
    TAU * speed_mps / stride_m
}

/// How far the limbs of a person swing at a speed, 0 to 1.
pub(super) fn swing(speed_mps: f64) -> f64 {
    if speed_mps <= 0.0 {
        0.0
    } else {
        (speed_mps / 8.0).powf(0.6).min(1.0)
    }
}

/// Angular speed of a bicycle's pedals, rad/s: one turn carries it 4.5 m.
pub(super) fn pedals_radps(speed_mps: f64) -> f64 {
    TAU * speed_mps / 4.5
}

/// Lean of a single-track vehicle in a turn, radians, positive to the right: tan = v² κ / g, with κ positive to the left.
pub(super) fn lean_rad(speed_mps: f64, curvature_per_m: f64) -> f64 {
    -(speed_mps * speed_mps * curvature_per_m / GRAVITY).atan()
}

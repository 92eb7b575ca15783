//! Sun, sky, and the camera's way of taking pictures.

use std::f64::consts::TAU;

use nalgebra::Vector3;

use crate::sim::environment::{Imaging, Light};
use crate::sim::scenes::draw::Draw;

/// Clear, overcast or dusk, with the sun anywhere.
pub(in crate::sim::scenes) fn light(draw: &mut Draw) -> Light {
    let azimuth_rad = draw.uniform(0.0..TAU);
    let (elevation_deg, sunshine, ambient) = match draw.below(20) {
        0..=10 => (
            draw.uniform(15.0..70.0),
            draw.uniform(0.6..1.2),
            draw.uniform(0.25..0.5),
        ),
        11..=16 => {
            let thin = draw.chance(0.4);
            let sunshine = if thin { draw.uniform(0.1..0.35) } else { 0.0 };
            (draw.uniform(20.0..65.0), sunshine, draw.uniform(0.45..0.8))
        }
        _ => (draw.uniform(5.0..14.0), draw.uniform(0.1..0.6), draw.uniform(0.15..0.3)),
    };
    let elevation_rad = elevation_deg.to_radians();
    // Low sun shines through more air and is redder.
    let red = (1.0 - elevation_deg / 35.0).clamp(0.0, 1.0);
    let sun = [1.0, 0.95 - 0.3 * red, 0.87 - 0.55 * red].map(|value| (sunshine * value) as f32);
    let overcast = sunshine < 0.1;
    let blue = if overcast {
        draw.uniform(0.0..0.1)
    } else {
        draw.uniform(0.1..0.4)
    };
    let ambient_color = [1.0 - 0.6 * blue, 1.0 - 0.2 * blue, 1.0 + 0.4 * blue].map(|value| (ambient * value) as f32);
    let glow = ambient * draw.uniform(0.8..1.7);
    let zenith = [1.0 - 1.8 * blue, 1.0 - 0.9 * blue, 1.0 + 0.3 * blue].map(|value| (glow * value * 0.8) as f32);
    let horizon = [1.0 + 0.3 * red, 1.0, 1.0 - 0.3 * red + 0.1 * blue].map(|value| (glow * value) as f32);
    let (sin, cos) = elevation_rad.sin_cos();
    Light {
        towards_sun: Vector3::new(cos * azimuth_rad.cos(), cos * azimuth_rad.sin(), sin),
        sun,
        ambient: ambient_color,
        zenith,
        horizon,
        clouds: if overcast {
            draw.uniform(0.6..1.0) as f32
        } else {
            draw.uniform(0.0..0.7) as f32
        },
    }
}

/// Exposure as an automatic one would choose it, more or less; the lens; the noise, which grows as the light fades.
pub(in crate::sim::scenes) fn imaging(draw: &mut Draw, light: &Light, frame_rate: f64) -> Imaging {
    let luminance = |[red, green, blue]: [f32; 3]| f64::from(0.21 * red + 0.72 * green + 0.07 * blue);
    let on_ground = luminance(light.sun) * light.towards_sun.z + luminance(light.ambient);
    let dark = (1.0 - on_ground / 0.6).clamp(0.0, 1.0);
    let stops = draw.normal(0.0, 0.35, -0.8..0.8);
    let longest_s = (0.8 / frame_rate).min(1.0 / 30.0);
    let shutter_s = if draw.chance(0.1) {
        0.0
    } else {
        draw.log_uniform(0.0005 + 0.004 * dark..(0.02 + 0.015 * dark).min(longest_s))
    };
    let haze_per_m = if draw.chance(0.35) {
        draw.log_uniform(0.0008..0.012)
    } else {
        draw.uniform(0.0..0.0008)
    };
    Imaging {
        exposure: (1.05 / on_ground.max(0.05) * stops.exp2()) as f32,
        gains: [draw.uniform(0.9..1.12) as f32, 1.0, draw.uniform(0.88..1.12) as f32],
        noise: draw.log_uniform(0.003 + 0.008 * dark..0.02 + 0.025 * dark) as f32,
        gamma: draw.uniform(1.9..2.4) as f32,
        shutter_s: shutter_s as f32,
        blur_px: draw.uniform(0.15..0.9) as f32,
        haze_per_m: haze_per_m as f32,
        vignette: draw.uniform(0.0..0.4) as f32,
    }
}

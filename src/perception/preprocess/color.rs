//! Y′CbCr to R′G′B′ after ITU-R BT.601 and BT.709.

use crate::frame::YuvColor;

/// The coefficients of R = y + rv·v, G = y + gu·u + gv·v, B = y + bu·u, with y = gain·(Y − black) and u, v around 128.
pub(super) struct ColorMatrix {
    black: f32,
    gain: f32,
    rv: f32,
    gu: f32,
    gv: f32,
    bu: f32,
}

impl ColorMatrix {
    pub fn new(color: YuvColor) -> Self {
        // Luma weights of red and blue: BT.601-7 section 2.5.1, BT.709-6 section 3.
        let (kr, kb) = match color {
            YuvColor::Bt601Limited | YuvColor::Bt601Full => (0.299, 0.114),
            YuvColor::Bt709Limited | YuvColor::Bt709Full => (0.2126, 0.0722),
        };
        let (black, gain, chroma) = match color {
            YuvColor::Bt601Limited | YuvColor::Bt709Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
            YuvColor::Bt601Full | YuvColor::Bt709Full => (0.0, 1.0, 1.0),
        };
        let kg = 1.0 - kr - kb;
        Self {
            black,
            gain,
            rv: 2.0 * (1.0 - kr) * chroma,
            gu: -2.0 * kb * (1.0 - kb) / kg * chroma,
            gv: -2.0 * kr * (1.0 - kr) / kg * chroma,
            bu: 2.0 * (1.0 - kb) * chroma,
        }
    }

    /// Turns rows of Y, Cb, Cr (0 to 255) into rows of R, G, B in place; values outside 0 to 255 are left to the caller.
    pub fn to_rgb(&self, first: &mut [f32], second: &mut [f32], third: &mut [f32]) {
        for ((first, second), third) in first.iter_mut().zip(second).zip(third) {
            let y = (*first - self.black) * self.gain;
            let (u, v) = (*second - 128.0, *third - 128.0);
            *first = y + self.rv * v;
            *second = y + self.gu * u + self.gv * v;
            *third = y + self.bu * u;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Primaries of the two standards in 8-bit Y′CbCr (rounded), as test patterns carry them.
    #[test]
    fn known_colors() {
        for (color, yuv, rgb) in [
            (YuvColor::Bt601Limited, [81.0, 90.0, 240.0], [255.0, 0.0, 0.0]),
            (YuvColor::Bt709Limited, [63.0, 102.0, 240.0], [255.0, 0.0, 0.0]),
            (YuvColor::Bt601Full, [150.0, 44.0, 21.0], [0.0, 255.0, 0.0]),
            (YuvColor::Bt709Limited, [32.0, 240.0, 118.0], [0.0, 0.0, 255.0]),
            (YuvColor::Bt709Limited, [235.0, 128.0, 128.0], [255.0, 255.0, 255.0]),
            (YuvColor::Bt709Limited, [16.0, 128.0, 128.0], [0.0, 0.0, 0.0]),
            (YuvColor::Bt709Full, [77.0, 128.0, 128.0], [77.0, 77.0, 77.0]),
        ] {
            let [mut r, mut g, mut b] = yuv.map(|value| [value]);
            ColorMatrix::new(color).to_rgb(&mut r, &mut g, &mut b);
            for (found, expected) in [r[0], g[0], b[0]].into_iter().zip(rgb) {
                assert!(
                    (found.clamp(0.0, 255.0) - expected).abs() < 2.0,
                    "{color:?}: {found} {expected}"
                );
            }
        }
    }
}

//! Text on pictures that plotters draws, which here has no fonts of its own.

use embedded_graphics::Drawable;
use embedded_graphics::geometry::Point;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{DrawTarget, OriginDimensions, Pixel, RgbColor, Size};
use embedded_graphics::text::{Alignment, Text};

/// Writes text in a font that knows ASCII.
pub fn write(canvas: &mut Canvas<'_>, text: &str, font: &MonoFont<'_>, at: (i32, i32), alignment: Alignment) {
    let style = MonoTextStyle::new(font, Rgb888::new(40, 40, 40));
    // Drawing into memory cannot fail.
    let _ = Text::with_alignment(text, Point::new(at.0, at.1), style, alignment).draw(canvas);
}

/// An RGB picture in memory.
pub struct Canvas<'a> {
    pixels: &'a mut [u8],
    width: i32,
    height: i32,
}

impl<'a> Canvas<'a> {
    /// Of `width · height · 3` bytes.
    pub fn new(pixels: &'a mut [u8], width: i32, height: i32) -> Self {
        Self { pixels, width, height }
    }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.width.unsigned_abs(), self.height.unsigned_abs())
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(at, color) in pixels {
            if (0..self.width).contains(&at.x) && (0..self.height).contains(&at.y) {
                let start = ((at.y * self.width + at.x) * 3) as usize;
                if let Some(pixel) = self.pixels.get_mut(start..start + 3) {
                    pixel.copy_from_slice(&[color.r(), color.g(), color.b()]);
                }
            }
        }
        Ok(())
    }
}

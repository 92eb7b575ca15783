//! Text in bitmap fonts that scale with the picture.

use embedded_graphics::Drawable;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle, iso_8859_1};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};

use super::canvas::{Area, Ink, OPAQUE, PictureMut};

/// A font and how many pixels each of its dots takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    glyphs: &'static MonoFont<'static>,
    zoom: i32,
}

impl Font {
    /// For labels in a picture `height` pixels high.
    pub fn for_height(height: u32) -> Self {
        let (glyphs, zoom) = match height {
            0..=300 => (&iso_8859_1::FONT_5X8, 1),
            301..=520 => (&iso_8859_1::FONT_7X13_BOLD, 1),
            521..=760 => (&iso_8859_1::FONT_8X13_BOLD, 1),
            761..=1300 => (&iso_8859_1::FONT_9X18_BOLD, 1),
            1301..=2000 => (&iso_8859_1::FONT_8X13_BOLD, 2),
            _ => (&iso_8859_1::FONT_9X18_BOLD, 2),
        };
        Self { glyphs, zoom }
    }

    /// Height of a line in pixels.
    pub fn line_height(&self) -> i32 {
        self.glyphs.character_size.height as i32 * self.zoom
    }

    /// Width of a character in pixels.
    pub fn char_width(&self) -> i32 {
        (self.glyphs.character_size.width + self.glyphs.character_spacing) as i32 * self.zoom
    }

    /// Width of one line of text in pixels.
    pub fn width(&self, text: &str) -> i32 {
        i32::try_from(text.chars().count())
            .unwrap_or(i32::MAX)
            .saturating_mul(self.char_width())
    }

    /// Draws one line of text with its top-left corner at (x, y).
    pub fn draw(&self, picture: &mut PictureMut, x: i32, y: i32, text: &str, ink: &Ink) {
        let text = latin(text);
        let style = MonoTextStyle::new(self.glyphs, BinaryColor::On);
        let mut target = Dots {
            picture,
            ink,
            zoom: self.zoom,
            origin: (x, y),
        };
        let Ok(_) = Text::with_baseline(&text, Point::zero(), style, Baseline::Top).draw(&mut target);
    }
}

/// Breaks `text` into lines of at most `columns` characters, at spaces where there are any.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() <= columns {
            used += 1 + word.len();
            if let Some(line) = lines.last_mut() {
                line.push(' ');
                line.extend(word);
            }
            continue;
        }
        while word.len() > columns {
            let rest = word.split_off(columns);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        used = word.len();
        lines.push(word.into_iter().collect());
    }
    lines
}

/// With characters that the fonts (ISO 8859-1) lack replaced by near ones.
fn latin(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{2013}' | '\u{2014}' | '\u{2212}' => '-',
            '\u{2018}' | '\u{2019}' => '\'',
            '\u{201c}' | '\u{201d}' => '"',
            '\u{2264}' => '<',
            '\u{2265}' => '>',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

/// Where embedded-graphics puts the dots of its glyphs.
struct Dots<'p, 'a> {
    picture: &'p mut PictureMut<'a>,
    ink: &'p Ink,
    zoom: i32,
    origin: (i32, i32),
}

impl OriginDimensions for Dots<'_, '_> {
    fn size(&self) -> Size {
        Size::new(self.picture.width(), self.picture.height())
    }
}

impl DrawTarget for Dots<'_, '_> {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = embedded_graphics::Pixel<Self::Color>>,
    {
        for embedded_graphics::Pixel(at, color) in pixels {
            if color == BinaryColor::On {
                let (x, y) = (self.origin.0 + at.x * self.zoom, self.origin.1 + at.y * self.zoom);
                let dot = Area::new(x, y, x + self.zoom, y + self.zoom);
                self.picture.fill(&dot, self.ink, OPAQUE);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrapped("the car drove on", 7), ["the car", "drove", "on"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert!(wrapped("  ", 5).is_empty());
    }
}

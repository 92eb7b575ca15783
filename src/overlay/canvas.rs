//! A picture that can be drawn into where it lies: blending of colours into NV12, I420 and packed RGB planes.

use crate::frame::{Picture, PictureError, PixelFormat, Plane, YuvColor};

/// Full opacity: alphas run from 0 (invisible) to this.
pub(super) const OPAQUE: u16 = 256;

/// One memory plane that may be written: `stride` bytes from one row to the next.
#[derive(Debug, Default)]
pub struct PlaneMut<'a> {
    /// The samples, at least `stride · (rows − 1) + row bytes` long.
    pub data: &'a mut [u8],
    /// Bytes from the start of one row to the start of the next.
    pub stride: usize,
}

/// A decoded picture, borrowed to be drawn into.
#[derive(Debug)]
pub struct PictureMut<'a> {
    format: PixelFormat,
    width: u32,
    height: u32,
    color: YuvColor,
    planes: [PlaneMut<'a>; 3],
    clip: Area,
}

/// A rectangle of whole pixels, right and bottom edges excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Area {
    pub x0: i32,
    pub y0: i32,
    pub x1: i32,
    pub y1: i32,
}

impl Area {
    pub fn new(x0: i32, y0: i32, x1: i32, y1: i32) -> Self {
        Self { x0, y0, x1, y1 }
    }

    pub fn width(&self) -> i32 {
        self.x1 - self.x0
    }

    pub fn height(&self) -> i32 {
        self.y1 - self.y0
    }

    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.x0 >= self.x1 || self.y0 >= self.y1
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// Moved as little as possible so that it lies inside `bounds`; its top-left corner wins where it is too big.
    pub fn moved_into(&self, bounds: &Self) -> Self {
        let dx = (bounds.x1 - self.x1).min(0).max(bounds.x0 - self.x0);
        let dy = (bounds.y1 - self.y1).min(0).max(bounds.y0 - self.y0);
        Self::new(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)
    }
}

/// A colour, ready for RGB and for YUV planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ink {
    rgb: [u8; 3],
    yuv: [u8; 3],
}

impl<'a> PictureMut<'a> {
    /// Checks that `planes` hold a `width`×`height` picture of `format`.
    pub fn new<const N: usize>(
        format: PixelFormat,
        width: u32,
        height: u32,
        color: YuvColor,
        planes: [PlaneMut<'a>; N],
    ) -> Result<Self, PictureError> {
        let borrowed: [Plane<'_>; N] = std::array::from_fn(|i| Plane {
            data: &*planes[i].data,
            stride: planes[i].stride,
        });
        Picture::new(format, width, height, color, &borrowed)?;
        let mut stored: [PlaneMut<'a>; 3] = Default::default();
        for (place, plane) in stored.iter_mut().zip(planes) {
            *place = plane;
        }
        let (right, bottom) = (i32::try_from(width), i32::try_from(height));
        Ok(Self {
            format,
            width,
            height,
            color,
            planes: stored,
            clip: Area::new(0, 0, right.unwrap_or(i32::MAX), bottom.unwrap_or(i32::MAX)),
        })
    }

    /// A tightly packed picture of a single-plane format (`Rgb`, `Bgr`, `Rgbx`, `Bgrx`, `Gray8`).
    pub fn packed(format: PixelFormat, width: u32, height: u32, data: &'a mut [u8]) -> Result<Self, PictureError> {
        let (stride, _) = format.plane_extent(0, width, height);
        Self::new(format, width, height, YuvColor::default(), [PlaneMut { data, stride }])
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The whole picture.
    pub(super) fn area(&self) -> Area {
        Area::new(0, 0, self.width as i32, self.height as i32)
    }

    /// Where drawing has an effect now.
    pub(super) fn clip(&self) -> Area {
        self.clip
    }

    /// Runs `draw` with drawing confined to `area`.
    pub(super) fn clipped(&mut self, area: &Area, draw: impl FnOnce(&mut Self)) {
        let before = self.clip;
        self.clip = before.intersection(area);
        draw(self);
        self.clip = before;
    }

    /// The ink that shows `rgb` in this picture.
    pub(super) fn ink(&self, rgb: [u8; 3]) -> Ink {
        Ink {
            rgb,
            yuv: rgb_to_yuv(rgb, self.color),
        }
    }

    /// Blends `ink` into one pixel; `alpha` from 0 to [`OPAQUE`].
    pub(super) fn blend(&mut self, x: i32, y: i32, ink: &Ink, alpha: u16) {
        self.blend_span(y, x, x.saturating_add(1), ink, alpha);
    }

    /// Blends `ink` into the pixels `x0..x1` of row `y`; `alpha` from 0 to [`OPAQUE`].
    ///
    /// Subsampled chroma takes the alpha of the pixel at its even column and row.
    pub(super) fn blend_span(&mut self, y: i32, x0: i32, x1: i32, ink: &Ink, alpha: u16) {
        let (x0, x1) = (x0.max(self.clip.x0), x1.min(self.clip.x1));
        if x0 >= x1 || y < self.clip.y0 || y >= self.clip.y1 || alpha == 0 {
            return;
        }
        let (y, x0, x1) = (y as usize, x0 as usize, x1 as usize);
        let [first, second, third] = &mut self.planes;
        let even = x0.div_ceil(2)..x1.div_ceil(2);
        match self.format {
            PixelFormat::Gray8 => mix_row(first.row(y, x0, x1), &[ink.yuv[0]], alpha),
            PixelFormat::Nv12 => {
                mix_row(first.row(y, x0, x1), &[ink.yuv[0]], alpha);
                if y.is_multiple_of(2) {
                    let chroma = second.row(y / 2, even.start * 2, even.end * 2);
                    mix_row(chroma, &[ink.yuv[1], ink.yuv[2]], alpha);
                }
            }
            PixelFormat::I420 => {
                mix_row(first.row(y, x0, x1), &[ink.yuv[0]], alpha);
                if y.is_multiple_of(2) {
                    mix_row(second.row(y / 2, even.start, even.end), &[ink.yuv[1]], alpha);
                    mix_row(third.row(y / 2, even.start, even.end), &[ink.yuv[2]], alpha);
                }
            }
            PixelFormat::Rgb | PixelFormat::Bgr => {
                mix_row(first.row(y, x0 * 3, x1 * 3), &ordered(ink, self.format), alpha);
            }
            PixelFormat::Rgbx | PixelFormat::Bgrx => {
                let [a, b, c] = ordered(ink, self.format);
                for pixel in first.row(y, x0 * 4, x1 * 4).as_chunks_mut::<4>().0 {
                    mix_row(&mut pixel[..3], &[a, b, c], alpha);
                }
            }
        }
    }

    /// Blends `ink` into a rectangle.
    pub(super) fn fill(&mut self, area: &Area, ink: &Ink, alpha: u16) {
        let area = area.intersection(&self.clip);
        for y in area.y0..area.y1 {
            self.blend_span(y, area.x0, area.x1, ink, alpha);
        }
    }
}

impl PlaneMut<'_> {
    /// Bytes `start..end` of a row; empty where the plane ends before.
    fn row(&mut self, y: usize, start: usize, end: usize) -> &mut [u8] {
        let offset = y * self.stride;
        self.data.get_mut(offset + start..offset + end).unwrap_or_default()
    }
}

fn ordered(ink: &Ink, format: PixelFormat) -> [u8; 3] {
    let [r, g, b] = ink.rgb;
    match format {
        PixelFormat::Bgr | PixelFormat::Bgrx => [b, g, r],
        _ => [r, g, b],
    }
}

fn mix_row<const N: usize>(row: &mut [u8], above: &[u8; N], alpha: u16) {
    let below = u32::from(OPAQUE.saturating_sub(alpha));
    let above = above.map(|sample| u32::from(sample) * u32::from(alpha.min(OPAQUE)) + 128);
    for pixel in row.as_chunks_mut::<N>().0 {
        for (sample, above) in pixel.iter_mut().zip(above) {
            *sample = ((u32::from(*sample) * below + above) >> 8) as u8;
        }
    }
}

/// Red and blue weights of the luma sum, and whether samples span 0–255.
pub(super) fn matrix_of(color: YuvColor) -> (f32, f32, bool) {
    match color {
        YuvColor::Bt601Limited => (0.299, 0.114, false),
        YuvColor::Bt601Full => (0.299, 0.114, true),
        YuvColor::Bt709Limited => (0.2126, 0.0722, false),
        YuvColor::Bt709Full => (0.2126, 0.0722, true),
    }
}

fn rgb_to_yuv(rgb: [u8; 3], color: YuvColor) -> [u8; 3] {
    let (kr, kb, full) = matrix_of(color);
    let [r, g, b] = rgb.map(|sample| f32::from(sample) / 255.0);
    let luma = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (blue, red) = ((b - luma) / (2.0 * (1.0 - kb)), (r - luma) / (2.0 * (1.0 - kr)));
    let (offset, luma_span, chroma_span) = if full {
        (0.0, 255.0, 255.0)
    } else {
        (16.0, 219.0, 224.0)
    };
    [
        (offset + luma_span * luma).round() as u8,
        (128.0 + chroma_span * blue).round() as u8,
        (128.0 + chroma_span * red).round() as u8,
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn primary_colours_have_the_standards_samples() {
        // ITU-R BT.709, table of 75 % colour bars scaled to 100 %: white, red, blue.
        assert_eq!(rgb_to_yuv([255, 255, 255], YuvColor::Bt709Limited), [235, 128, 128]);
        assert_eq!(rgb_to_yuv([255, 0, 0], YuvColor::Bt709Limited), [63, 102, 240]);
        assert_eq!(rgb_to_yuv([0, 0, 255], YuvColor::Bt601Full), [29, 255, 107]);
    }

    #[test]
    fn every_format_takes_ink_only_inside_the_area() {
        for format in [
            PixelFormat::Nv12,
            PixelFormat::I420,
            PixelFormat::Rgb,
            PixelFormat::Bgr,
            PixelFormat::Rgbx,
            PixelFormat::Bgrx,
            PixelFormat::Gray8,
        ] {
            let (width, height) = (7, 5);
            let extents: Vec<_> = (0..format.planes())
                .map(|plane| format.plane_extent(plane, width, height))
                .collect();
            let mut buffers: Vec<Vec<u8>> = extents.iter().map(|(row, rows)| vec![9; (row + 3) * rows]).collect();
            let mut planes = buffers
                .iter_mut()
                .zip(&extents)
                .map(|(data, (row, _))| PlaneMut { data, stride: row + 3 });
            let color = YuvColor::Bt709Full;
            let mut picture = match format.planes() {
                1 => PictureMut::new(format, width, height, color, [planes.next().unwrap()]),
                2 => PictureMut::new(
                    format,
                    width,
                    height,
                    color,
                    [planes.next().unwrap(), planes.next().unwrap()],
                ),
                _ => {
                    let all = [planes.next().unwrap(), planes.next().unwrap(), planes.next().unwrap()];
                    PictureMut::new(format, width, height, color, all)
                }
            }
            .unwrap();
            let ink = picture.ink([200, 100, 50]);
            picture.fill(&Area::new(-3, -3, 100, 2), &ink, OPAQUE);
            drop(planes);
            for (plane, ((row, rows), data)) in extents.iter().zip(&buffers).enumerate() {
                let painted = if plane == 0 { 2 } else { 1 };
                for (y, line) in data.chunks(row + 3).enumerate().take(*rows) {
                    let samples = if matches!(format, PixelFormat::Rgbx | PixelFormat::Bgrx) {
                        3
                    } else {
                        *row
                    };
                    let changed = line[..samples].iter().all(|sample| *sample != 9);
                    assert_eq!(changed, y < painted, "{format:?} plane {plane} row {y}");
                    assert!(
                        line[*row..].iter().all(|sample| *sample == 9),
                        "{format:?}: padding was written"
                    );
                }
            }
        }
    }

    #[test]
    fn an_area_moves_inside_with_its_top_left_first() {
        let bounds = Area::new(0, 0, 10, 10);
        assert_eq!(Area::new(8, -2, 12, 2).moved_into(&bounds), Area::new(6, 0, 10, 4));
        assert_eq!(Area::new(3, 3, 20, 5).moved_into(&bounds), Area::new(0, 3, 17, 5));
    }
}

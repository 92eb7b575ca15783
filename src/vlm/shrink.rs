//! Pictures shrunk to what a model sees, from any format that the stages read, where they lie.

use crate::frame::{Picture, PixelFormat, Plane, YuvColor};

/// Samples taken of one cell each way, at most: enough to average over, whatever the picture's size.
const MOST_SAMPLES: usize = 5;

/// Shrinks a picture to `width · height · 3` bytes of red, green and blue, by averaging samples spread over each cell. A
/// picture that is smaller is stretched.
pub fn shrink_to(picture: &Picture<'_>, width: usize, height: usize) -> Vec<u8> {
    let (columns, rows) = (picture.width() as usize, picture.height() as usize);
    let (across, down) = (Samples::new(columns, width), Samples::new(rows, height));
    let mut out = Vec::with_capacity(width * height * 3);
    let planes = picture.planes();
    let color = picture.color();
    let mut sums = vec![[0u32; 3]; width];
    for cell in 0..height {
        sums.fill([0; 3]);
        let rows = down.of(cell);
        for &row in rows {
            match picture.format() {
                PixelFormat::Nv12 => {
                    let (luma, chroma) = (line(planes.first(), row), line(planes.get(1), row / 2));
                    add(&mut sums, &across, |column| {
                        let pair = column / 2 * 2;
                        [at(luma, column), at(chroma, pair), at(chroma, pair + 1)]
                    });
                }
                PixelFormat::I420 => {
                    let (luma, u, v) = (
                        line(planes.first(), row),
                        line(planes.get(1), row / 2),
                        line(planes.get(2), row / 2),
                    );
                    add(&mut sums, &across, |column| {
                        [at(luma, column), at(u, column / 2), at(v, column / 2)]
                    });
                }
                PixelFormat::Rgb => packed(&mut sums, &across, line(planes.first(), row), 3, [0, 1, 2]),
                PixelFormat::Bgr => packed(&mut sums, &across, line(planes.first(), row), 3, [2, 1, 0]),
                PixelFormat::Rgbx => packed(&mut sums, &across, line(planes.first(), row), 4, [0, 1, 2]),
                PixelFormat::Bgrx => packed(&mut sums, &across, line(planes.first(), row), 4, [2, 1, 0]),
                PixelFormat::Gray8 => packed(&mut sums, &across, line(planes.first(), row), 1, [0, 0, 0]),
            }
        }
        for (column, sum) in sums.iter().enumerate() {
            let count = (rows.len() * across.of(column).len()) as u32;
            let mean = sum.map(|sum| ((sum + count / 2) / count.max(1)) as u8);
            out.extend(match picture.format() {
                PixelFormat::Nv12 | PixelFormat::I420 => rgb_of(mean, color),
                _ => mean,
            });
        }
    }
    out
}

/// Which rows or columns are looked at for each cell.
struct Samples {
    places: Vec<usize>,
    ends: Vec<usize>,
}

impl Samples {
    fn new(size: usize, cells: usize) -> Self {
        let (mut places, mut ends) = (Vec::new(), Vec::with_capacity(cells));
        for cell in 0..cells {
            let from = cell * size / cells;
            let to = ((cell + 1) * size).div_ceil(cells).clamp(from + 1, size.max(from + 1));
            let count = (to - from).min(MOST_SAMPLES);
            places.extend((0..count).map(|at| (from + (2 * at + 1) * (to - from) / (2 * count)).min(size - 1)));
            ends.push(places.len());
        }
        Self { places, ends }
    }

    fn of(&self, cell: usize) -> &[usize] {
        let start = cell.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.places[start..self.ends[cell]]
    }
}

/// A plane's row and what lies behind it; nothing where there is none.
fn line<'a>(plane: Option<&Plane<'a>>, row: usize) -> &'a [u8] {
    plane
        .and_then(|plane| plane.data.get(row * plane.stride..))
        .unwrap_or_default()
}

#[inline(always)]
fn at(line: &[u8], index: usize) -> u8 {
    line.get(index).copied().unwrap_or(0)
}

/// Adds one row's samples to the cells.
#[inline(always)]
fn add(sums: &mut [[u32; 3]], across: &Samples, pixel: impl Fn(usize) -> [u8; 3]) {
    let mut from = 0;
    for (sum, end) in sums.iter_mut().zip(&across.ends) {
        for &column in &across.places[from..*end] {
            let pixel = pixel(column);
            sum[0] += u32::from(pixel[0]);
            sum[1] += u32::from(pixel[1]);
            sum[2] += u32::from(pixel[2]);
        }
        from = *end;
    }
}

#[inline(always)]
fn packed(sums: &mut [[u32; 3]], across: &Samples, line: &[u8], step: usize, order: [usize; 3]) {
    add(sums, across, |column| {
        order.map(|channel| at(line, column * step + channel))
    });
}

/// From brightness and colour differences to red, green, blue (ITU-R BT.601 and BT.709).
fn rgb_of([y, u, v]: [u8; 3], color: YuvColor) -> [u8; 3] {
    let (red, green_u, green_v, blue) = match color {
        YuvColor::Bt601Limited | YuvColor::Bt601Full => (1.402, 0.344_136, 0.714_136, 1.772),
        YuvColor::Bt709Limited | YuvColor::Bt709Full => (1.5748, 0.187_324, 0.468_124, 1.8556),
    };
    let (y, scale) = match color {
        YuvColor::Bt601Limited | YuvColor::Bt709Limited => ((f32::from(y) - 16.0) * (255.0 / 219.0), 255.0 / 224.0),
        YuvColor::Bt601Full | YuvColor::Bt709Full => (f32::from(y), 1.0),
    };
    let (u, v) = ((f32::from(u) - 128.0) * scale, (f32::from(v) - 128.0) * scale);
    [y + red * v, y - green_u * u - green_v * v, y + blue * u].map(|value| value.round().clamp(0.0, 255.0) as u8)
}

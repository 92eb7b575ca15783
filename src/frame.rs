//! A picture and its time: what a camera delivers, before anything is understood.
//!
//! Pictures are borrowed: a stage reads the planes where the decoder left them.

use thiserror::Error;

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: f64 = 1e9;

/// How the samples of a picture lie in memory. Names follow GStreamer's `GstVideoFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Full-resolution luma plane, then one half-resolution plane of interleaved chroma (U, V).
    Nv12,
    /// Full-resolution luma plane, then half-resolution U and V planes.
    I420,
    /// Packed 8-bit R, G, B.
    Rgb,
    /// Packed 8-bit B, G, R.
    Bgr,
    /// Packed 8-bit R, G, B and one byte that is ignored (alpha or padding).
    Rgbx,
    /// Packed 8-bit B, G, R and one byte that is ignored (alpha or padding).
    Bgrx,
    /// One 8-bit luma plane.
    Gray8,
}

impl PixelFormat {
    /// Number of memory planes.
    pub fn planes(self) -> usize {
        match self {
            Self::Nv12 => 2,
            Self::I420 => 3,
            Self::Rgb | Self::Bgr | Self::Rgbx | Self::Bgrx | Self::Gray8 => 1,
        }
    }

    /// Bytes in one row of `plane` for a picture `width` pixels wide, and the number of rows for `height` pixels.
    /// Chroma of odd-sized pictures is rounded up.
    pub fn plane_extent(self, plane: usize, width: u32, height: u32) -> (usize, usize) {
        let (w, h) = (width as usize, height as usize);
        match (self, plane) {
            (Self::Nv12 | Self::I420 | Self::Gray8, 0) => (w, h),
            (Self::Nv12, _) => (w.div_ceil(2) * 2, h.div_ceil(2)),
            (Self::I420, _) => (w.div_ceil(2), h.div_ceil(2)),
            (Self::Gray8, _) => (0, 0),
            (Self::Rgb | Self::Bgr, _) => (w * 3, h),
            (Self::Rgbx | Self::Bgrx, _) => (w * 4, h),
        }
    }
}

/// Which YCbCr matrix and range the luma and chroma samples use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum YuvColor {
    /// ITU-R BT.601, luma 16–235 (standard-definition video).
    Bt601Limited,
    /// ITU-R BT.601, luma 0–255 (JPEG, many webcams).
    Bt601Full,
    /// ITU-R BT.709, luma 16–235 (high-definition video).
    #[default]
    Bt709Limited,
    /// ITU-R BT.709, luma 0–255.
    Bt709Full,
}

/// One memory plane: `stride` bytes from one row to the next.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The samples, at least `stride · (rows − 1) + row bytes` long.
    pub data: &'a [u8],
    /// Bytes from the start of one row to the start of the next.
    pub stride: usize,
}

/// A decoded picture, borrowed from whoever decoded it.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    format: PixelFormat,
    width: u32,
    height: u32,
    color: YuvColor,
    planes: [Plane<'a>; 3],
}

/// Why planes do not make a picture.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PictureError {
    /// Width or height is zero.
    #[error("a picture needs at least one pixel, found {width}×{height}")]
    Empty {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
    /// The number of planes is not the format's.
    #[error("{format:?} has {expected} planes, found {found}")]
    PlaneCount {
        /// The format asked for.
        format: PixelFormat,
        /// Planes the format has.
        expected: usize,
        /// Planes given.
        found: usize,
    },
    /// A plane is shorter than its rows.
    #[error("plane {plane} of {format:?} needs {expected} bytes with stride {stride}, found {found}")]
    PlaneTooShort {
        /// The format asked for.
        format: PixelFormat,
        /// Index of the plane.
        plane: usize,
        /// Stride given.
        stride: usize,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

impl<'a> Picture<'a> {
    /// Checks that `planes` hold a `width`×`height` picture of `format`.
    pub fn new(
        format: PixelFormat,
        width: u32,
        height: u32,
        color: YuvColor,
        planes: &[Plane<'a>],
    ) -> Result<Self, PictureError> {
        if width == 0 || height == 0 {
            return Err(PictureError::Empty { width, height });
        }
        if planes.len() != format.planes() {
            return Err(PictureError::PlaneCount {
                format,
                expected: format.planes(),
                found: planes.len(),
            });
        }
        let mut stored = [Plane { data: &[], stride: 0 }; 3];
        for (index, plane) in planes.iter().enumerate() {
            let (row, rows) = format.plane_extent(index, width, height);
            let expected = plane.stride.saturating_mul(rows - 1).saturating_add(row);
            if plane.stride < row || plane.data.len() < expected {
                return Err(PictureError::PlaneTooShort {
                    format,
                    plane: index,
                    stride: plane.stride,
                    expected: expected.max(row),
                    found: plane.data.len(),
                });
            }
            stored[index] = *plane;
        }
        Ok(Self {
            format,
            width,
            height,
            color,
            planes: stored,
        })
    }

    /// A tightly packed picture of a single-plane format (`Rgb`, `Bgr`, `Rgbx`, `Bgrx`, `Gray8`).
    pub fn packed(format: PixelFormat, width: u32, height: u32, data: &'a [u8]) -> Result<Self, PictureError> {
        let (stride, _) = format.plane_extent(0, width, height);
        Self::new(format, width, height, YuvColor::default(), &[Plane { data, stride }])
    }

    /// How the samples lie in memory.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Matrix and range of a YUV picture; meaningless for RGB formats.
    pub fn color(&self) -> YuvColor {
        self.color
    }

    /// The memory planes of the format.
    pub fn planes(&self) -> &[Plane<'a>] {
        &self.planes[..self.format.planes()]
    }
}

/// Where a frame's UTC time of capture comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CaptureClock {
    /// The camera's own clock, carried by RTCP sender reports or PTP (GStreamer's reference-timestamp metadata).
    Reference,
    /// This machine's clock when the frame entered the pipeline.
    Pipeline,
    /// No clock: a file has stream time only.
    #[default]
    None,
}

/// When a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FrameTime {
    /// Stream time in nanoseconds: what all kinematics runs on.
    pub pts_ns: u64,
    /// UTC of capture in nanoseconds since 1970, where known.
    pub capture_utc_ns: Option<i64>,
    /// Where `capture_utc_ns` comes from.
    pub clock: CaptureClock,
}

impl FrameTime {
    /// A frame with stream time only.
    pub fn from_pts_ns(pts_ns: u64) -> Self {
        Self {
            pts_ns,
            ..Self::default()
        }
    }

    /// Stream time in seconds.
    pub fn seconds(&self) -> f64 {
        self.pts_ns as f64 / NANOS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_round_chroma_up() {
        assert_eq!(PixelFormat::Nv12.plane_extent(1, 5, 3), (6, 2));
        assert_eq!(PixelFormat::I420.plane_extent(2, 5, 3), (3, 2));
    }

    #[test]
    fn short_planes_are_refused_with_what_was_expected() {
        let data = [0u8; 10];
        let error = Picture::packed(PixelFormat::Rgb, 2, 2, &data).unwrap_err();
        assert_eq!(
            error,
            PictureError::PlaneTooShort {
                format: PixelFormat::Rgb,
                plane: 0,
                stride: 6,
                expected: 12,
                found: 10
            }
        );
        assert!(Picture::packed(PixelFormat::Rgb, 0, 2, &data).is_err());
    }

    #[test]
    fn the_last_row_needs_no_padding() {
        let data = [0u8; 8 + 6];
        let plane = Plane { data: &data, stride: 8 };
        assert!(Picture::new(PixelFormat::Rgb, 2, 2, YuvColor::default(), &[plane]).is_ok());
    }
}

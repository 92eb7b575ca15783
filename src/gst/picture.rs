//! From a mapped GStreamer frame to the [`Picture`] that the stages read or draw into, without a copy.

use ::gst_video::prelude::*;
use ::gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo};
use thiserror::Error;

use crate::frame::{Picture, PictureError, PixelFormat, Plane, YuvColor};
use crate::overlay::{PictureMut, PlaneMut};

/// The raw formats that every stage reads where they lie, in order of preference: what decoders give comes first.
pub const FORMATS: [VideoFormat; 9] = [
    VideoFormat::Nv12,
    VideoFormat::I420,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Gray8,
];

/// Why a frame cannot be read as a picture.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The format is none of [`FORMATS`].
    #[error("expected one of NV12, I420, RGB, BGR, RGBx, BGRx, RGBA, BGRA, GRAY8, found {0}")]
    Format(VideoFormat),
    /// A plane runs upward in memory.
    #[error("plane {plane} has the stride {stride}, expected a positive one")]
    Stride {
        /// Index of the plane.
        plane: usize,
        /// The stride found, bytes.
        stride: i32,
    },
    /// The buffer cannot be mapped for reading.
    #[error("the buffer cannot be mapped for reading: {0}")]
    Map(::gst::glib::BoolError),
    /// The planes do not hold the picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// How samples of `format` lie in memory; `None` when no stage reads it.
pub fn pixel_format(format: VideoFormat) -> Option<PixelFormat> {
    Some(match format {
        VideoFormat::Nv12 => PixelFormat::Nv12,
        VideoFormat::I420 => PixelFormat::I420,
        VideoFormat::Rgb => PixelFormat::Rgb,
        VideoFormat::Bgr => PixelFormat::Bgr,
        VideoFormat::Rgbx | VideoFormat::Rgba => PixelFormat::Rgbx,
        VideoFormat::Bgrx | VideoFormat::Bgra => PixelFormat::Bgrx,
        VideoFormat::Gray8 => PixelFormat::Gray8,
        _ => return None,
    })
}

/// Matrix and range of the stream's YCbCr samples. BT.2020 is read as BT.709, the nearer of the two that the stages know;
/// an unsaid matrix follows the custom of the picture's size (BT.601 up to 576 lines).
pub fn yuv_color(info: &VideoInfo) -> YuvColor {
    let colorimetry = info.colorimetry();
    let standard_definition = match colorimetry.matrix() {
        VideoColorMatrix::Bt601 | VideoColorMatrix::Fcc => true,
        VideoColorMatrix::Bt709 | VideoColorMatrix::Bt2020 | VideoColorMatrix::Smpte240m => false,
        _ => info.height() <= 576,
    };
    match (standard_definition, colorimetry.range()) {
        (true, VideoColorRange::Range0_255) => YuvColor::Bt601Full,
        (true, _) => YuvColor::Bt601Limited,
        (false, VideoColorRange::Range0_255) => YuvColor::Bt709Full,
        (false, _) => YuvColor::Bt709Limited,
    }
}

/// A buffer mapped for reading; [`MappedFrame::picture`] borrows from it.
pub struct MappedFrame<'a> {
    frame: VideoFrameRef<&'a ::gst::BufferRef>,
}

impl<'a> MappedFrame<'a> {
    /// Maps `buffer`, which holds one frame of `info`.
    pub fn map(buffer: &'a ::gst::BufferRef, info: &VideoInfo) -> Result<Self, FrameError> {
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).map_err(FrameError::Map)?;
        Ok(Self { frame })
    }

    /// The picture, as the decoder left it.
    pub fn picture(&self) -> Result<Picture<'_>, FrameError> {
        let info = self.frame.info();
        let format = pixel_format(info.format()).ok_or(FrameError::Format(info.format()))?;
        let mut planes = [Plane { data: &[], stride: 0 }; 3];
        for (index, plane) in planes.iter_mut().take(format.planes()).enumerate() {
            let stride = self.frame.plane_stride().get(index).copied().unwrap_or(0);
            if stride <= 0 {
                return Err(FrameError::Stride { plane: index, stride });
            }
            plane.data = self.frame.plane_data(index as u32).map_err(FrameError::Map)?;
            plane.stride = stride as usize;
        }
        let (width, height) = (info.width(), info.height());
        Ok(Picture::new(
            format,
            width,
            height,
            yuv_color(info),
            &planes[..format.planes()],
        )?)
    }
}

/// A buffer mapped for reading and writing; [`MappedFrameMut::picture`] borrows from it.
pub struct MappedFrameMut<'a> {
    frame: VideoFrameRef<&'a mut ::gst::BufferRef>,
}

impl<'a> MappedFrameMut<'a> {
    /// Maps `buffer`, which holds one frame of `info`; memory that others share is copied.
    pub fn map(buffer: &'a mut ::gst::BufferRef, info: &VideoInfo) -> Result<Self, FrameError> {
        let frame = VideoFrameRef::from_buffer_ref_writable(buffer, info).map_err(FrameError::Map)?;
        Ok(Self { frame })
    }

    /// The picture, to be drawn into.
    pub fn picture(&mut self) -> Result<PictureMut<'_>, FrameError> {
        let info = self.frame.info().clone();
        let format = pixel_format(info.format()).ok_or(FrameError::Format(info.format()))?;
        let mut strides = [0; 4];
        for (plane, stride) in self.frame.plane_stride().iter().enumerate().take(format.planes()) {
            strides[plane] = usize::try_from(*stride).map_err(|_| FrameError::Stride { plane, stride: *stride })?;
        }
        let [first, second, third, _] = self.frame.planes_data_mut();
        let plane = |index: usize, data| PlaneMut {
            data,
            stride: strides[index],
        };
        let (width, height, color) = (info.width(), info.height(), yuv_color(&info));
        Ok(match format.planes() {
            1 => PictureMut::new(format, width, height, color, [plane(0, first)]),
            2 => PictureMut::new(format, width, height, color, [plane(0, first), plane(1, second)]),
            _ => {
                let planes = [plane(0, first), plane(1, second), plane(2, third)];
                PictureMut::new(format, width, height, color, planes)
            }
        }?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn every_accepted_format_becomes_a_picture_of_odd_size() {
        ::gst::init().unwrap();
        for format in FORMATS {
            let info = VideoInfo::builder(format, 35, 17).build().unwrap();
            let buffer = ::gst::Buffer::with_size(info.size()).unwrap();
            let mapped = MappedFrame::map(&buffer, &info).unwrap();
            let picture = mapped.picture().unwrap();
            assert_eq!((picture.width(), picture.height()), (35, 17), "{format}");
            assert_eq!(Some(picture.format()), pixel_format(format));
        }
    }

    #[test]
    fn a_short_buffer_is_an_error() {
        ::gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::Rgb, 32, 16).build().unwrap();
        let buffer = ::gst::Buffer::with_size(100).unwrap();
        assert!(MappedFrame::map(&buffer, &info).is_err());
    }

    #[test]
    fn the_colour_matrix_comes_from_the_caps() {
        ::gst::init().unwrap();
        for (text, expected) in [
            ("bt601", YuvColor::Bt601Limited),
            ("bt709", YuvColor::Bt709Limited),
            ("1:4:7:1", YuvColor::Bt601Full),
            ("1:3:5:1", YuvColor::Bt709Full),
        ] {
            let colorimetry: ::gst_video::VideoColorimetry = text.parse().unwrap();
            let info = VideoInfo::builder(VideoFormat::I420, 64, 64)
                .colorimetry(&colorimetry)
                .build()
                .unwrap();
            assert_eq!(yuv_color(&info), expected, "{text}");
        }
    }
}

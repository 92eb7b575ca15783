//! The app door: a program pushes its own frames into a camera whose `source` is `app`.

use std::sync::{Arc, Mutex, PoisonError};

use ::gst::{ClockTime, ReferenceTimestampMeta};
use ::gst_video::{VideoColorimetry, VideoFormat, VideoFrameRef, VideoInfo};
use thiserror::Error;

use crate::frame::{CaptureClock, FrameTime, Picture, PixelFormat, YuvColor};

/// Frames that may wait before pushing waits too.
const WAITING_FRAMES: u64 = 2;

/// Why a frame was not taken.
#[derive(Debug, Error)]
pub enum PushError {
    /// The pipeline has stopped or failed.
    #[error("the pipeline takes no more frames: {0}")]
    Stopped(::gst::FlowError),
    /// The picture cannot be handed over.
    #[error("the picture cannot be handed over: {0}")]
    Picture(#[from] ::gst::glib::BoolError),
}

/// Pushes frames into one camera's pipeline. Clones push into the same.
#[derive(Clone, Debug)]
pub struct FrameSender {
    source: ::gst_app::AppSrc,
    info: Arc<Mutex<Option<(VideoInfo, YuvColor)>>>,
}

impl FrameSender {
    pub(super) fn new() -> Self {
        let source = ::gst_app::AppSrc::builder()
            .name("frames")
            .format(::gst::Format::Time)
            .block(true)
            .max_buffers(WAITING_FRAMES)
            .max_bytes(0)
            .build();
        Self {
            source,
            info: Arc::default(),
        }
    }

    pub(super) fn element(&self) -> &::gst_app::AppSrc {
        &self.source
    }

    /// Copies a picture taken at `time` into the pipeline; waits while the pipeline is busy with earlier ones. Size, format
    /// and colour may change at any time.
    ///
    /// # Errors
    /// [`PushError::Stopped`] once the pipeline has stopped.
    pub fn push(&self, picture: &Picture<'_>, time: FrameTime) -> Result<(), PushError> {
        let info = self.info_for(picture)?;
        let mut buffer = ::gst::Buffer::with_size(info.size())?;
        if let Some(writable) = buffer.get_mut() {
            writable.set_pts(ClockTime::from_nseconds(time.pts_ns));
            copy_planes(picture, writable, &info)?;
            if let (Some(utc_ns), CaptureClock::Reference | CaptureClock::Pipeline) = (time.capture_utc_ns, time.clock)
                && let Ok(utc_ns) = u64::try_from(utc_ns)
            {
                let unix = ::gst::Caps::new_empty_simple("timestamp/x-unix");
                ReferenceTimestampMeta::add(writable, &unix, ClockTime::from_nseconds(utc_ns), ClockTime::NONE);
            }
        }
        self.source.push_buffer(buffer).map(drop).map_err(PushError::Stopped)
    }

    /// No more frames come: the pipeline finishes what it has and ends.
    pub fn end(&self) {
        // Refused only when the pipeline has stopped already.
        let _ = self.source.end_of_stream();
    }

    /// The layout of pictures like this one; announced to the pipeline when it changes.
    fn info_for(&self, picture: &Picture<'_>) -> Result<VideoInfo, ::gst::glib::BoolError> {
        let format = match picture.format() {
            PixelFormat::Nv12 => VideoFormat::Nv12,
            PixelFormat::I420 => VideoFormat::I420,
            PixelFormat::Rgb => VideoFormat::Rgb,
            PixelFormat::Bgr => VideoFormat::Bgr,
            PixelFormat::Rgbx => VideoFormat::Rgbx,
            PixelFormat::Bgrx => VideoFormat::Bgrx,
            PixelFormat::Gray8 => VideoFormat::Gray8,
        };
        let mut known = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((info, color)) = &*known
            && (info.format(), info.width(), info.height(), *color)
                == (format, picture.width(), picture.height(), picture.color())
        {
            return Ok(info.clone());
        }
        let mut builder = VideoInfo::builder(format, picture.width(), picture.height());
        let colorimetry = match picture.color() {
            YuvColor::Bt601Limited => "bt601",
            YuvColor::Bt601Full => "1:4:7:1",
            YuvColor::Bt709Limited => "bt709",
            YuvColor::Bt709Full => "1:3:5:1",
        };
        let colorimetry = colorimetry.parse::<VideoColorimetry>().ok();
        let is_yuv = matches!(picture.format(), PixelFormat::Nv12 | PixelFormat::I420);
        if let Some(colorimetry) = colorimetry.as_ref().filter(|_| is_yuv) {
            builder = builder.colorimetry(colorimetry);
        }
        let info = builder.build()?;
        self.source.set_caps(Some(&info.to_caps()?));
        *known = Some((info.clone(), picture.color()));
        Ok(info)
    }
}

fn copy_planes(
    picture: &Picture<'_>,
    buffer: &mut ::gst::BufferRef,
    info: &VideoInfo,
) -> Result<(), ::gst::glib::BoolError> {
    let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, info)?;
    for (index, plane) in picture.planes().iter().enumerate() {
        let (row, rows) = picture.format().plane_extent(index, picture.width(), picture.height());
        let stride = usize::try_from(info.stride()[index])
            .ok()
            .filter(|&stride| stride >= row)
            .ok_or_else(|| ::gst::glib::bool_error!("plane {index} has no usable stride"))?;
        let target = frame.plane_data_mut(index as u32)?;
        let lines = target.chunks_mut(stride).zip(plane.data.chunks(plane.stride));
        for (to, from) in lines.take(rows) {
            to[..row].copy_from_slice(&from[..row]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::frame::Plane;
    use crate::gst::picture::MappedFrame;

    #[test]
    fn pictures_of_any_stride_arrive_as_they_were() {
        ::gst::init().unwrap();
        let (width, height) = (7, 5);
        let luma: Vec<u8> = (0..10 * 5).map(|k| k as u8).collect();
        let chroma: Vec<u8> = (0..12 * 3).map(|k| 200 - k as u8).collect();
        let planes = [
            Plane {
                data: &luma,
                stride: 10,
            },
            Plane {
                data: &chroma,
                stride: 12,
            },
        ];
        let picture = Picture::new(PixelFormat::Nv12, width, height, YuvColor::Bt601Full, &planes).unwrap();
        let sender = FrameSender::new();
        let info = sender.info_for(&picture).unwrap();
        let mut buffer = ::gst::Buffer::with_size(info.size()).unwrap();
        copy_planes(&picture, buffer.get_mut().unwrap(), &info).unwrap();
        let mapped = MappedFrame::map(&buffer, &info).unwrap();
        let arrived = mapped.picture().unwrap();
        assert_eq!(arrived.color(), YuvColor::Bt601Full);
        for (index, (plane, original)) in arrived.planes().iter().zip(&planes).enumerate() {
            let (row, rows) = PixelFormat::Nv12.plane_extent(index, width, height);
            for line in 0..rows {
                assert_eq!(
                    plane.data[line * plane.stride..][..row],
                    original.data[line * original.stride..][..row]
                );
            }
        }
    }
}

//! Writes pictures as H.264 in an MP4 file, each at its own time.

use std::path::{Path, PathBuf};

use ::gst::ClockTime;
use ::gst::prelude::*;
use thiserror::Error;

/// Pictures that may wait for the encoder.
const WAITING: u64 = 4;

/// How a video is encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoSettings {
    /// Picture width, pixels; even.
    pub width: u32,
    /// Picture height, pixels; even.
    pub height: u32,
    /// Nominal frames a second, as the file states it.
    pub frame_rate: f64,
    /// H.264's quantizer, 0 (nothing is lost) to 51.
    pub quantizer: u32,
}

/// Why a video cannot be written.
#[derive(Debug, Error)]
pub enum VideoError {
    /// H.264 halves the chroma planes.
    #[error("H.264 needs an even width and height, found {width}×{height}")]
    OddSize {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
    /// GStreamer lacks something.
    #[error("GStreamer: {0}; install the base, good, bad and ugly plugins")]
    Gstreamer(#[from] ::gst::glib::Error),
    /// The encoder or the file failed.
    #[error("{}: {reason}", path.display())]
    Pipeline {
        /// The file.
        path: PathBuf,
        /// GStreamer's reason.
        reason: String,
    },
}

/// A video file that is being written.
#[derive(Debug)]
pub struct VideoRecorder {
    path: PathBuf,
    pipeline: ::gst::Pipeline,
    feed: ::gst_app::AppSrc,
    picture_bytes: usize,
    row_bytes: usize,
    stride: usize,
}

impl VideoRecorder {
    /// Starts a file.
    pub fn create(path: &Path, settings: &VideoSettings) -> Result<Self, VideoError> {
        let VideoSettings { width, height, .. } = *settings;
        if width % 2 != 0 || height % 2 != 0 {
            return Err(VideoError::OddSize { width, height });
        }
        ::gst::init()?;
        let failed = |reason: String| VideoError::Pipeline {
            path: path.to_owned(),
            reason,
        };
        let pipeline = ::gst::parse::launch(&format!(
            "appsrc name=feed format=time block=true max-buffers={WAITING} max-bytes=0 \
             ! videoconvert ! video/x-raw,format=I420 \
             ! x264enc speed-preset=veryfast pass=quant quantizer={} bframes=0 key-int-max=50 \
             ! h264parse ! mp4mux ! filesink name=file",
            settings.quantizer
        ))?
        .downcast::<::gst::Pipeline>()
        .map_err(|_| failed("not a pipeline".to_owned()))?;
        let info = ::gst_video::VideoInfo::builder(::gst_video::VideoFormat::Rgb, width, height)
            .fps(fraction(settings.frame_rate))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let feed = pipeline
            .by_name("feed")
            .and_then(|feed| feed.downcast::<::gst_app::AppSrc>().ok())
            .ok_or_else(|| failed("no appsrc".to_owned()))?;
        feed.set_caps(Some(&info.to_caps().map_err(|error| failed(error.to_string()))?));
        if let Some(file) = pipeline.by_name("file") {
            file.set_property("location", path);
        }
        let recorder = Self {
            path: path.to_owned(),
            pipeline,
            feed,
            picture_bytes: info.size(),
            row_bytes: 3 * width as usize,
            stride: info.stride()[0] as usize,
        };
        recorder
            .pipeline
            .set_state(::gst::State::Playing)
            .map_err(|error| recorder.failure(&error))?;
        Ok(recorder)
    }

    /// Appends one picture (packed RGB) that is shown from `time_s` on, for about `duration_s`; waits while the encoder is
    /// behind.
    pub fn write(&mut self, rgb: &[u8], time_s: f64, duration_s: f64) -> Result<(), VideoError> {
        let mut data = vec![0; self.picture_bytes];
        for (to, from) in data.chunks_mut(self.stride).zip(rgb.chunks(self.row_bytes)) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
            }
        }
        let mut buffer = ::gst::Buffer::from_mut_slice(data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(clock_time(time_s));
            buffer.set_duration(clock_time(duration_s));
        }
        self.feed
            .push_buffer(buffer)
            .map(drop)
            .map_err(|error| self.failure(&error))
    }

    /// Completes the file.
    pub fn finish(self) -> Result<(), VideoError> {
        self.feed.end_of_stream().map_err(|error| self.failure(&error))?;
        let bus = self.pipeline.bus();
        let last = bus.and_then(|bus| {
            bus.timed_pop_filtered(ClockTime::NONE, &[::gst::MessageType::Eos, ::gst::MessageType::Error])
        });
        match last {
            Some(message) if message.type_() == ::gst::MessageType::Error => Err(self.failure_in(&message)),
            _ => Ok(()),
        }
    }

    /// The bus's reason, else what the caller saw.
    fn failure(&self, seen: &dyn std::fmt::Display) -> VideoError {
        let message = self
            .pipeline
            .bus()
            .and_then(|bus| bus.pop_filtered(&[::gst::MessageType::Error]));
        match message {
            Some(message) => self.failure_in(&message),
            None => VideoError::Pipeline {
                path: self.path.clone(),
                reason: seen.to_string(),
            },
        }
    }

    fn failure_in(&self, message: &::gst::Message) -> VideoError {
        let reason = match message.view() {
            ::gst::MessageView::Error(error) => error.error().to_string(),
            _ => "failed".to_owned(),
        };
        VideoError::Pipeline {
            path: self.path.clone(),
            reason,
        }
    }
}

impl Drop for VideoRecorder {
    fn drop(&mut self) {
        // Stopping does not fail in a way that matters here.
        let _ = self.pipeline.set_state(::gst::State::Null);
    }
}

/// A frame rate as caps state it.
pub(super) fn fraction(frame_rate: f64) -> ::gst::Fraction {
    ::gst::Fraction::approximate_f64(frame_rate).unwrap_or_else(|| ::gst::Fraction::new(0, 1))
}

/// Seconds, from zero on, as GStreamer counts them.
pub(super) fn clock_time(seconds: f64) -> ClockTime {
    ClockTime::from_nseconds((seconds.max(0.0) * 1e9).round() as u64)
}

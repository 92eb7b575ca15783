//! When a buffer was taken: stream time from its PTS and segment, UTC of capture from reference-timestamp metadata (the
//! camera's clock), else from the pipeline clock when the source is live.

use std::time::{SystemTime, UNIX_EPOCH};

use ::gst::prelude::*;
use ::gst::{ClockTime, FormattedSegment, ReferenceTimestampMeta};

use crate::frame::{CaptureClock, FrameTime};

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const UNIX_FROM_NTP_S: u64 = 2_208_988_800;

/// A camera whose clock says an earlier UTC than this (2000-01-01) has a clock that was never set.
const EARLIEST_PLAUSIBLE_UTC_NS: i64 = 946_684_800_000_000_000;

/// Tells buffers' times; one for each pad.
#[derive(Debug, Default)]
pub struct FrameClock {
    segment: FormattedSegment<ClockTime>,
    nominal_frame: Option<ClockTime>,
    newest: Option<ClockTime>,
    untimed: u64,
}

impl FrameClock {
    /// Starts anew, as for a new stream.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Forgets where the stream was: after a flush.
    pub fn flush(&mut self) {
        self.newest = None;
        self.segment = FormattedSegment::default();
    }

    /// Takes the segment that the following buffers belong to; one that is not in time is ignored.
    pub fn set_segment(&mut self, segment: &::gst::Segment) {
        if let Some(segment) = segment.downcast_ref::<ClockTime>() {
            self.segment = segment.clone();
        }
    }

    /// Takes the nominal frame rate, for buffers without PTS.
    pub fn set_frame_rate(&mut self, fps: ::gst::Fraction) {
        self.nominal_frame = (fps.numer() > 0 && fps.denom() > 0)
            .then(|| ClockTime::SECOND.mul_div_floor(fps.denom() as u64, fps.numer() as u64))
            .flatten();
    }

    /// Buffers so far that carried neither PTS nor DTS, so that their time is counted from the frame rate (or, live, read
    /// off the pipeline clock).
    pub fn untimed(&self) -> u64 {
        self.untimed
    }

    /// Running time of `buffer`, which QoS and the pipeline clock speak of.
    pub fn running_time(&self, buffer: &::gst::BufferRef) -> Option<ClockTime> {
        self.segment.to_running_time(buffer.pts().or_else(|| buffer.dts())?)
    }

    /// When `buffer` was taken. `live` says whether the source is live, so that the pipeline clock tells its age.
    /// `None`: the buffer has no time stamp and nothing tells its time.
    pub fn time(&mut self, buffer: &::gst::BufferRef, element: &::gst::Element, live: bool) -> Option<FrameTime> {
        let now_running = || Some(element.clock()?.time().checked_sub(element.base_time()?)).flatten();
        let stream_time = match buffer.pts().or_else(|| buffer.dts()) {
            // Outside its segment (decoders clip, other elements may not) the PTS itself is the best that is known.
            Some(position) => self.segment.to_stream_time(position).unwrap_or(position),
            None => {
                self.untimed += 1;
                let step = buffer.duration().or(self.nominal_frame);
                match (live, self.newest, step) {
                    (true, _, _) => now_running()?,
                    (false, Some(newest), Some(step)) => newest + step,
                    (false, None, Some(_)) => ClockTime::ZERO,
                    (false, _, None) => return None,
                }
            }
        };
        self.newest = Some(stream_time);
        let mut time = FrameTime::from_pts_ns(stream_time.nseconds());
        if let Some(utc_ns) = reference_utc_ns(buffer) {
            time.capture_utc_ns = Some(utc_ns);
            time.clock = CaptureClock::Reference;
        } else if live && let (Some(now), Some(utc_ns)) = (now_running(), utc_now_ns()) {
            let running = self.running_time(buffer).unwrap_or(now);
            let age_ns = now.nseconds() as i64 - running.nseconds() as i64;
            time.capture_utc_ns = Some(utc_ns - age_ns);
            time.clock = CaptureClock::Pipeline;
        }
        Some(time)
    }
}

/// This machine's UTC in nanoseconds since 1970.
pub fn utc_now_ns() -> Option<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// UTC of capture in nanoseconds since 1970 from the buffer's reference-timestamp metadata, in NTP or Unix time. A time
/// from before the year 2000 is a clock that was never set, and counts as none.
pub fn reference_utc_ns(buffer: &::gst::BufferRef) -> Option<i64> {
    buffer
        .iter_meta::<ReferenceTimestampMeta>()
        .find_map(|meta| {
            let timestamp_ns = meta.timestamp().nseconds();
            let unix_ns = match meta.reference().structure(0)?.name().as_str() {
                "timestamp/x-unix" => timestamp_ns,
                "timestamp/x-ntp" => timestamp_ns.checked_sub(UNIX_FROM_NTP_S * 1_000_000_000)?,
                _ => return None,
            };
            i64::try_from(unix_ns).ok()
        })
        .filter(|&utc_ns| utc_ns >= EARLIEST_PLAUSIBLE_UTC_NS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn element() -> ::gst::Element {
        ::gst::init().unwrap();
        ::gst::ElementFactory::make("identity").build().unwrap()
    }

    #[test]
    fn ntp_and_unix_references_agree() {
        let element = element();
        let utc_ns = 1_700_000_000_123_456_789_u64;
        for (name, offset_s) in [("timestamp/x-unix", 0), ("timestamp/x-ntp", UNIX_FROM_NTP_S)] {
            let mut buffer = ::gst::Buffer::new();
            let buffer = buffer.get_mut().unwrap();
            buffer.set_pts(ClockTime::from_seconds(3));
            let stamp = ClockTime::from_nseconds(utc_ns + offset_s * 1_000_000_000);
            ReferenceTimestampMeta::add(buffer, &::gst::Caps::new_empty_simple(name), stamp, None);
            let time = FrameClock::default().time(buffer, &element, false).unwrap();
            assert_eq!(time.capture_utc_ns, Some(utc_ns as i64), "{name}");
            assert_eq!(time.clock, CaptureClock::Reference);
            assert_eq!(time.pts_ns, 3_000_000_000);
        }
    }

    #[test]
    fn a_clock_that_was_never_set_is_no_reference() {
        ::gst::init().unwrap();
        let mut buffer = ::gst::Buffer::new();
        let buffer = buffer.get_mut().unwrap();
        let stamp = ClockTime::from_seconds(UNIX_FROM_NTP_S + 3600);
        ReferenceTimestampMeta::add(buffer, &::gst::Caps::new_empty_simple("timestamp/x-ntp"), stamp, None);
        assert_eq!(reference_utc_ns(buffer), None);
    }

    #[test]
    fn stream_time_follows_the_segment() {
        let element = element();
        let mut clock = FrameClock::default();
        let mut segment = FormattedSegment::<ClockTime>::new();
        segment.set_start(ClockTime::from_seconds(100));
        segment.set_time(ClockTime::from_seconds(7));
        clock.set_segment(&segment.upcast());
        let mut buffer = ::gst::Buffer::new();
        buffer.get_mut().unwrap().set_pts(ClockTime::from_seconds(101));
        let time = clock.time(&buffer, &element, false).unwrap();
        assert_eq!(time.pts_ns, 8_000_000_000);
        assert_eq!((time.capture_utc_ns, time.clock), (None, CaptureClock::None));
    }

    #[test]
    fn buffers_without_time_stamps_are_counted_from_the_frame_rate() {
        let element = element();
        let buffer = ::gst::Buffer::new();
        let mut clock = FrameClock::default();
        assert_eq!(clock.time(&buffer, &element, false), None);
        clock.set_frame_rate(::gst::Fraction::new(25, 1));
        let times: Vec<_> = (0..3)
            .map(|_| clock.time(&buffer, &element, false).unwrap().pts_ns)
            .collect();
        assert_eq!(times, [0, 40_000_000, 80_000_000]);
        assert_eq!(clock.untimed(), 4);
    }
}

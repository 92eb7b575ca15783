//! One uninterrupted time axis over a camera's reconnects: every buffer is stamped with its running time in one segment
//! that never ends, so that a reconnect is a gap and never a reset.

use ::gst::{ClockTime, FormattedSegment};

/// A buffer whose running time lies this far ahead of or behind the pipeline clock is re-anchored to it.
const AHEAD: ClockTime = ClockTime::from_seconds(2);
const BEHIND: ClockTime = ClockTime::from_seconds(10);

/// Maps the time stamps of a series of connections onto one axis.
#[derive(Debug, Default)]
pub struct Timeline {
    segment: FormattedSegment<ClockTime>,
    shift_ns: i64,
    newest: Option<ClockTime>,
    first_of_connection: bool,
}

impl Timeline {
    /// A new connection begins: its first buffer is a discontinuity.
    pub fn reconnect(&mut self) {
        self.segment = FormattedSegment::default();
        self.shift_ns = 0;
        self.first_of_connection = true;
    }

    /// Takes the segment of the connection's buffers.
    pub fn set_segment(&mut self, segment: &::gst::Segment) {
        if let Some(segment) = segment.downcast_ref::<ClockTime>() {
            self.segment = segment.clone();
        }
    }

    /// The PTS that a buffer with `pts` gets, given the pipeline clock's running time; strictly growing.
    pub fn place(&mut self, pts: Option<ClockTime>, now: ClockTime) -> ClockTime {
        let own = pts
            .and_then(|pts| self.segment.to_running_time(pts).or(Some(pts)))
            .unwrap_or(now);
        let shifted = |shift_ns: i64| ClockTime::from_nseconds(own.nseconds().saturating_add_signed(shift_ns));
        let mut placed = shifted(self.shift_ns);
        let floor = self
            .newest
            .map_or(ClockTime::ZERO, |newest| newest + ClockTime::from_nseconds(1));
        let plausible = floor.max(now.saturating_sub(BEHIND))..=now.saturating_add(AHEAD).max(floor);
        if !plausible.contains(&placed) {
            let target = now.max(floor);
            self.shift_ns = target.nseconds() as i64 - own.nseconds() as i64;
            placed = shifted(self.shift_ns);
        }
        self.newest = Some(placed);
        placed
    }

    /// Whether the next buffer is the first of its connection; true once for each.
    pub fn take_first(&mut self) -> bool {
        std::mem::take(&mut self.first_of_connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GStreamer's types know their formats only after its start.
    fn timeline() -> Timeline {
        ::gst::init().unwrap();
        Timeline::default()
    }

    const fn ms(value: u64) -> ClockTime {
        ClockTime::from_mseconds(value)
    }

    #[test]
    fn a_steady_stream_keeps_its_stamps() {
        let mut timeline = timeline();
        for k in 0..100 {
            assert_eq!(timeline.place(Some(ms(40 * k)), ms(40 * k + 35)), ms(40 * k));
        }
    }

    #[test]
    fn a_connection_that_counts_from_zero_goes_on_where_the_clock_is() {
        let mut timeline = timeline();
        timeline.place(Some(ms(60_000)), ms(60_010));
        timeline.reconnect();
        assert_eq!(timeline.place(Some(ms(0)), ms(70_000)), ms(70_000));
        assert_eq!(timeline.place(Some(ms(40)), ms(70_050)), ms(70_040));
    }

    #[test]
    fn jumps_of_the_cameras_clock_are_taken_out() {
        let mut timeline = timeline();
        timeline.place(Some(ms(1000)), ms(1010));
        assert_eq!(timeline.place(Some(ms(3_601_000)), ms(1050)), ms(1050));
        assert_eq!(timeline.place(Some(ms(3_601_040)), ms(1090)), ms(1090));
        assert_eq!(timeline.place(Some(ms(5)), ms(1130)), ms(1130));
    }

    #[test]
    fn placed_stamps_grow_strictly_whatever_comes() {
        let mut timeline = timeline();
        let mut before = None;
        for k in 0..1000_u64 {
            let wild = (k * 7919) % 5000;
            let placed = timeline.place((k % 7 != 0).then(|| ms(wild * 1000)), ms(k));
            assert!(Some(placed) > before, "{k}");
            before = Some(placed);
        }
    }
}

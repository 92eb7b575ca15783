//! The element in a harness: what it draws and what it leaves, through flushes, gaps, caps changes and the end.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Once};

use ::gst::prelude::*;

use super::*;
use crate::detection::{BoundingBox, ClassLabel};
use crate::frame::FrameTime;
use crate::gst::metadata;
use crate::results::FrameResults;
use crate::tracking::{Track, TrackStatus};

const GREY: u8 = 90;

fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ::gst::init().unwrap();
        register(None).unwrap();
    });
}

fn caps(format: &str, width: i32, height: i32) -> ::gst::Caps {
    init();
    ::gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field("width", width)
        .field("height", height)
        .field("framerate", ::gst::Fraction::new(10, 1))
        .build()
}

fn harness(caps: &::gst::Caps) -> gst_check::Harness {
    let mut harness = gst_check::Harness::new("kineoverlay");
    harness.set_src_caps(caps.clone());
    harness
}

/// A grey frame; with a track when `boxed`.
fn frame(caps: &::gst::Caps, index: u64, boxed: bool) -> ::gst::Buffer {
    let info = ::gst_video::VideoInfo::from_caps(caps).unwrap();
    let mut buffer = ::gst::Buffer::from_mut_slice(vec![GREY; info.size()]);
    let pts = ::gst::ClockTime::from_mseconds(100 * index);
    let inner = buffer.get_mut().unwrap();
    inner.set_pts(pts);
    inner.set_duration(::gst::ClockTime::from_mseconds(100));
    if boxed {
        let time = FrameTime::from_pts_ns(pts.nseconds());
        // Boxes refer to a picture of another size than the buffer's.
        let mut results = FrameResults::new(time, 2 * info.width(), 2 * info.height());
        results.tracks.push(Track {
            id: 1,
            class: ClassLabel::new("car"),
            bbox: BoundingBox::new(40.0, 40.0, 120.0, 100.0),
            confidence: 0.9,
            existence_probability: 0.9,
            status: TrackStatus::Tracked,
            age_s: 1.0,
            unseen_s: 0.0,
            mask: None,
        });
        metadata::attach(inner, Arc::new(results)).unwrap();
    }
    buffer
}

fn is_untouched(buffer: &::gst::Buffer) -> bool {
    buffer.map_readable().unwrap().iter().all(|sample| *sample == GREY)
}

#[test]
fn only_pictures_with_results_change_in_every_format() {
    for format in ["NV12", "I420", "RGB", "BGR", "RGBx", "BGRx", "RGBA", "BGRA", "GRAY8"] {
        let caps = caps(format, 160, 120);
        let mut harness = harness(&caps);
        assert!(
            is_untouched(&harness.push_and_pull(frame(&caps, 0, false)).unwrap()),
            "{format}"
        );
        let drawn = harness.push_and_pull(frame(&caps, 1, true)).unwrap();
        assert!(!is_untouched(&drawn), "{format}");
        assert_eq!(metadata::results(&drawn).unwrap().tracks.len(), 1);
        assert_eq!(drawn.pts(), Some(::gst::ClockTime::from_mseconds(100)));
    }
}

#[test]
fn show_selects_while_playing() {
    let caps = caps("NV12", 160, 120);
    let mut harness = harness(&caps);
    let element = harness.element().unwrap();
    element.set_property_from_str("show", "answers+birdseye");
    assert!(is_untouched(&harness.push_and_pull(frame(&caps, 0, true)).unwrap()));
    element.set_property("show", KineOverlayShow::BOXES);
    assert!(!is_untouched(&harness.push_and_pull(frame(&caps, 1, true)).unwrap()));
}

#[test]
fn a_flush_and_a_jump_back_leave_it_working() {
    let caps = caps("NV12", 160, 120);
    let mut harness = harness(&caps);
    assert!(!is_untouched(&harness.push_and_pull(frame(&caps, 50, true)).unwrap()));
    assert!(harness.push_event(::gst::event::FlushStart::new()));
    assert!(harness.push_event(::gst::event::FlushStop::new(true)));
    let segment = ::gst::FormattedSegment::<::gst::ClockTime>::new();
    assert!(harness.push_event(::gst::event::Segment::new(&segment)));
    assert!(!is_untouched(&harness.push_and_pull(frame(&caps, 0, true)).unwrap()));
}

#[test]
fn the_end_passes_on() {
    let caps = caps("NV12", 160, 120);
    let mut harness = harness(&caps);
    harness.push_and_pull(frame(&caps, 0, true)).unwrap();
    assert!(harness.push_event(::gst::event::Eos::new()));
    let events: Vec<_> = std::iter::from_fn(|| harness.try_pull_event()).collect();
    assert_eq!(events.last().unwrap().type_(), ::gst::EventType::Eos);
}

#[test]
fn a_new_size_and_format_are_drawn_at_once() {
    let first = caps("NV12", 160, 120);
    let mut harness = harness(&first);
    harness.push_and_pull(frame(&first, 0, true)).unwrap();
    let second = caps("RGB", 321, 241);
    harness.push_event(::gst::event::Caps::new(&second));
    let drawn = harness.push_and_pull(frame(&second, 1, true)).unwrap();
    assert!(!is_untouched(&drawn));
}

#[test]
fn gaps_pass_as_they_are() {
    let caps = caps("NV12", 160, 120);
    let mut harness = harness(&caps);
    let mut gap = frame(&caps, 0, true);
    gap.get_mut().unwrap().set_flags(::gst::BufferFlags::GAP);
    assert!(is_untouched(&harness.push_and_pull(gap).unwrap()));
    let event = ::gst::event::Gap::new(
        ::gst::ClockTime::from_mseconds(100),
        ::gst::ClockTime::from_mseconds(100),
    );
    assert!(harness.push_event(event));
    assert!(!is_untouched(&harness.push_and_pull(frame(&caps, 2, true)).unwrap()));
    let element = harness.element().unwrap();
    assert_eq!(element.property::<u64>("processed"), 1);
    assert_eq!(element.property::<u64>("dropped"), 1);
}

#[test]
fn a_picture_shared_with_another_branch_is_not_drawn_into() {
    let caps = caps("NV12", 160, 120);
    let mut harness = harness(&caps);
    let shared = frame(&caps, 0, true);
    let drawn = harness.push_and_pull(shared.clone()).unwrap();
    assert!(!is_untouched(&drawn));
    assert!(is_untouched(&shared));
}

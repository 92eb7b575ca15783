//! What the tracker promises: identities that last, whatever the frame rate, the order of detections or the input.

use kinestream::detection::{BoundingBox, ClassLabel, Detection};
use kinestream::frame::FrameTime;
use kinestream::tracking::{CameraMotion, FrameInput, Track, TrackStatus, Tracker, TrackerSettings, WorldPosition};
use nalgebra::Point3;
use proptest::prelude::*;

fn detection(x: f32, y: f32, confidence: f32) -> Detection {
    of_class("person", x, y, confidence)
}

fn of_class(class: &str, x: f32, y: f32, confidence: f32) -> Detection {
    Detection {
        bbox: BoundingBox::from_xywh(x, y, 40.0, 100.0),
        class: ClassLabel::new(class),
        confidence,
        mask: None,
    }
}

fn at(seconds: f64) -> FrameTime {
    FrameTime::from_pts_ns((seconds * 1e9).round() as u64)
}

fn tracker() -> Tracker {
    Tracker::new(TrackerSettings::default())
}

fn seen(tracks: &[Track]) -> Vec<u64> {
    let seen = tracks.iter().filter(|track| track.status == TrackStatus::Tracked);
    seen.map(|track| track.id).collect()
}

/// One object at (x, y)(t), detected in each frame from `from_s` to `to_s`.
fn show(tracker: &mut Tracker, from_s: f64, to_s: f64, fps: f64, place: impl Fn(f64) -> (f32, f32)) -> Vec<u64> {
    let mut ids = Vec::new();
    let frames = ((to_s - from_s) * fps).round() as usize;
    for k in 0..=frames {
        let t = from_s + k as f64 / fps;
        let (x, y) = place(t);
        ids.extend(seen(tracker.update(at(t), &vec![detection(x, y, 0.9)])));
    }
    ids.dedup();
    ids
}

fn walk(t: f64) -> (f32, f32) {
    (100.0 + 50.0 * t as f32, 200.0)
}

#[test]
fn an_identity_survives_a_gap_of_two_seconds_at_any_frame_rate() {
    for fps in [5.0, 12.5, 25.0, 60.0] {
        let mut tracker = tracker();
        let before = show(&mut tracker, 0.0, 2.0, fps, walk);
        let mut t = 2.0 + 1.0 / fps;
        while t < 3.95 {
            let tracks = tracker.update(at(t), &Vec::new());
            assert_eq!(tracks.len(), 1, "{fps} fps, {t} s");
            assert_eq!(tracks[0].status, TrackStatus::Lost);
            assert!((f64::from(tracks[0].unseen_s) - (t - 2.0)).abs() < 1e-3);
            t += 1.0 / fps;
        }
        let after = show(&mut tracker, 4.0, 5.0, fps, walk);
        assert_eq!((before, after), (vec![1], vec![1]), "{fps} fps");
    }
}

#[test]
fn a_stall_without_frames_keeps_the_identity_too() {
    let mut tracker = tracker();
    let before = show(&mut tracker, 0.0, 2.0, 25.0, walk);
    let after = show(&mut tracker, 3.9, 5.0, 25.0, walk);
    assert_eq!((before, after), (vec![1], vec![1]));
}

#[test]
fn after_a_longer_gap_the_identity_is_a_new_one() {
    let mut tracker = tracker();
    show(&mut tracker, 0.0, 1.0, 25.0, |_| (100.0, 100.0));
    let after = show(&mut tracker, 3.2, 4.0, 25.0, |_| (100.0, 100.0));
    assert_eq!(after, [2]);
}

#[test]
fn the_frame_rate_may_change() {
    let mut tracker = tracker();
    let mut ids = show(&mut tracker, 0.0, 2.0, 30.0, walk);
    ids.extend(show(&mut tracker, 2.2, 4.2, 5.0, walk));
    ids.extend(show(&mut tracker, 4.3, 6.0, 60.0, walk));
    ids.dedup();
    assert_eq!(ids, [1]);
}

#[test]
fn time_running_backwards_ends_all_tracks_and_reuses_no_identity() {
    let mut tracker = tracker();
    show(&mut tracker, 100.0, 101.0, 25.0, walk);
    let after = show(&mut tracker, 0.0, 1.0, 25.0, |t| walk(t + 101.0));
    assert_eq!(after, [2]);
    assert_eq!(tracker.stats().resets, 1);
    // An hour forward is only a gap.
    let later = show(&mut tracker, 3600.0, 3601.0, 25.0, walk);
    assert_eq!(later, [3]);
    assert_eq!(tracker.stats().resets, 1);
}

#[test]
fn the_same_time_twice_is_allowed() {
    let mut tracker = tracker();
    for t in [0.0, 0.04, 0.04, 0.08, 0.08] {
        tracker.update(at(t), &vec![detection(10.0, 10.0, 0.9)]);
    }
    assert_eq!(seen(tracker.tracks()), [1]);
}

#[test]
fn nonsense_is_dropped_and_counted() {
    let mut tracker = tracker();
    let mut bad = vec![
        detection(f32::NAN, 0.0, 0.9),
        detection(0.0, f32::INFINITY, 0.9),
        detection(0.0, 0.0, f32::NAN),
    ];
    let mut flat = detection(0.0, 0.0, 0.9);
    flat.bbox.x1 = flat.bbox.x0;
    let mut inside_out = detection(0.0, 0.0, 0.9);
    inside_out.bbox.y1 = -50.0;
    let mut boundless = detection(0.0, 0.0, 0.9);
    boundless.bbox = BoundingBox::new(f32::MIN, f32::MIN, f32::MAX, f32::MAX);
    bad.extend([flat, inside_out, boundless]);
    for k in 0..20 {
        assert!(tracker.update(at(f64::from(k) * 0.04), &bad).is_empty());
    }
    assert_eq!(tracker.stats().invalid, 6 * 20);
}

#[test]
fn ten_thousand_detections_are_capped_and_counted() {
    let settings = TrackerSettings::default();
    let most = settings.max_detections;
    for spacing in [45.0, 0.5] {
        let mut tracker = Tracker::new(settings.clone());
        let many: Vec<Detection> = (0..10_000)
            .map(|k| {
                detection(
                    (k % 100) as f32 * spacing,
                    (k / 100) as f32 * spacing,
                    0.9 - 1e-5 * k as f32,
                )
            })
            .collect();
        for k in 0..3 {
            let tracks = tracker.update(at(f64::from(k) * 0.04), &many);
            assert!(tracks.len() <= most);
        }
        assert_eq!(tracker.stats().dropped, 3 * (10_000 - most as u64));
    }
}

#[test]
fn classes_flip_within_a_group_and_the_vote_decides() {
    let mut tracker = tracker();
    for k in 0..20 {
        let class = if k % 4 == 0 { "truck" } else { "car" };
        tracker.update(at(f64::from(k) * 0.04), &vec![of_class(class, 50.0, 50.0, 0.9)]);
    }
    assert_eq!(tracker.tracks().len(), 1);
    assert_eq!(tracker.tracks()[0].class.as_str(), "car");
}

#[test]
fn classes_of_different_groups_do_not_mix() {
    let mut tracker = tracker();
    for k in 0..20 {
        let both = vec![of_class("car", 50.0, 50.0, 0.9), of_class("person", 52.0, 50.0, 0.8)];
        tracker.update(at(f64::from(k) * 0.04), &both);
    }
    let classes: Vec<&str> = tracker.tracks().iter().map(|track| track.class.as_str()).collect();
    assert_eq!(classes, ["car", "person"]);
    tracker.update(at(0.8), &vec![of_class("dog", 50.0, 50.0, 0.9)]);
    assert!(seen(tracker.tracks()).iter().all(|id| *id > 2));
}

#[test]
fn the_cameras_motion_is_taken_out() {
    let pan = |dx: f64| CameraMotion::affine([[1.0, 0.0, dx], [0.0, 1.0, 0.0]]).unwrap();
    let mut tracker = tracker();
    let mut ids = Vec::new();
    for k in 0..20 {
        // Two people side by side; the camera swings by three body widths a frame and back.
        let shift = if k % 2 == 0 { 0.0 } else { 120.0 };
        let both = vec![detection(200.0 + shift, 50.0, 0.9), detection(320.0 + shift, 50.0, 0.8)];
        let input = FrameInput {
            detections: &both,
            camera_motion: (k > 0).then(|| pan(if k % 2 == 0 { -120.0 } else { 120.0 })),
            ..FrameInput::default()
        };
        let tracks = tracker.update(at(f64::from(k) * 0.04), input);
        ids.push(
            tracks
                .iter()
                .map(|track| (track.id, track.bbox.x0 - shift))
                .collect::<Vec<_>>(),
        );
    }
    let last = ids.last().unwrap();
    assert_eq!(last.len(), 2);
    assert!(ids[3..].iter().all(|frame| frame == last), "{ids:?}");
}

#[test]
fn appearance_tells_who_came_back() {
    let look = |angle: f32| Some(vec![angle.cos(), angle.sin()]);
    let mut tracker = tracker();
    let update = |tracker: &mut Tracker, t: f64, people: &[(f32, f32)]| {
        let detections: Vec<Detection> = people.iter().map(|(x, _)| detection(*x, 50.0, 0.9)).collect();
        let embeddings: Vec<_> = people.iter().map(|(_, angle)| look(*angle)).collect();
        let input = FrameInput {
            detections: &detections,
            embeddings: &embeddings,
            ..FrameInput::default()
        };
        let tracks = tracker.update(at(t), input);
        tracks
            .iter()
            .filter(|track| track.status == TrackStatus::Tracked)
            .map(|track| (track.id, track.bbox.x0.round()))
            .collect::<Vec<_>>()
    };
    for k in 0..25 {
        update(&mut tracker, 0.04 * f64::from(k), &[(100.0, 0.0), (160.0, 1.4)]);
    }
    // Hidden for a second, they come back in each other's place.
    let back = update(&mut tracker, 2.0, &[(100.0, 1.4), (160.0, 0.0)]);
    assert_eq!(back, [(1, 160.0), (2, 100.0)]);
}

#[test]
fn bad_embeddings_are_counted_and_do_no_harm() {
    let mut tracker = tracker();
    let one = vec![detection(100.0, 50.0, 0.9)];
    for (k, embedding) in [vec![1.0, 0.0], vec![f32::NAN, 0.0], vec![0.0, 0.0], vec![1.0], vec![]]
        .into_iter()
        .enumerate()
    {
        let embeddings = [Some(embedding)];
        let input = FrameInput {
            detections: &one,
            embeddings: &embeddings,
            ..FrameInput::default()
        };
        tracker.update(at(0.04 * k as f64), input);
    }
    assert_eq!(seen(tracker.tracks()), [1]);
    assert_eq!(tracker.stats().invalid_embeddings, 4);
}

#[test]
fn positions_in_metres_rule_out_leaps() {
    let mut tracker = tracker();
    let one = vec![detection(100.0, 50.0, 0.9)];
    for k in 0..30 {
        // Same place in the picture, but from frame 15 on it is 60 m farther away.
        let depth_m = if k < 15 { 10.0 } else { 70.0 };
        let positions = [Some(WorldPosition {
            position_in_world: Point3::new(depth_m, 0.0, 0.0),
            sigma_m: 0.5,
        })];
        let input = FrameInput {
            detections: &one,
            positions: &positions,
            ..FrameInput::default()
        };
        tracker.update(at(0.04 * f64::from(k)), input);
    }
    assert_eq!(seen(tracker.tracks()), [2]);
}

#[test]
fn a_glimpse_does_not_lend_its_identity_to_something_three_times_as_tall() {
    let car = |x: f32, y: f32, width: f32, height: f32| {
        let bbox = BoundingBox::from_xywh(x, y, width, height);
        vec![Detection {
            bbox,
            ..of_class("car", x, y, 0.7)
        }]
    };
    let mut tracker = tracker();
    tracker.update(at(0.0), &car(1.0, 300.0, 53.0, 28.0));
    assert_eq!(seen(tracker.update(at(0.04), &car(0.0, 298.0, 37.0, 24.0))), [1]);
    for k in 2..20 {
        tracker.update(at(0.04 * f64::from(k)), &Vec::new());
    }
    // What was glimpsed may be anywhere near by now, but not so near.
    for k in 20..23 {
        tracker.update(at(0.04 * f64::from(k)), &car(1.0, 326.0, 27.0, 70.0));
    }
    assert_eq!(seen(tracker.tracks()), [2]);
}

#[test]
fn existence_grows_with_sightings_and_falls_without() {
    let mut tracker = tracker();
    show(&mut tracker, 0.0, 1.0, 25.0, walk);
    let sure = tracker.tracks()[0].existence_probability;
    assert!(sure > 0.95 && sure <= 1.0);
    let later = tracker.update(at(1.5), &Vec::new())[0].existence_probability;
    let latest = tracker.update(at(2.5), &Vec::new())[0].existence_probability;
    assert!(latest < later && later < sure && latest > 0.0);
}

#[test]
fn an_unsure_detection_continues_a_track_and_starts_none() {
    let mut tracker = tracker();
    show(&mut tracker, 0.0, 1.0, 25.0, |_| (100.0, 100.0));
    let tracks = tracker.update(
        at(1.04),
        &vec![detection(101.0, 100.0, 0.3), detection(400.0, 100.0, 0.3)],
    );
    assert_eq!(seen(tracks), [1]);
    for k in 0..10 {
        tracker.update(at(1.08 + 0.04 * f64::from(k)), &vec![detection(400.0, 100.0, 0.3)]);
    }
    assert!(seen(tracker.tracks()).is_empty());
}

/// A crowd of random walkers, some frames of some of them missing.
fn crowd() -> impl Strategy<Value = Vec<Vec<Detection>>> {
    let walker = (0.0f32..600.0, 0.0f32..300.0, -6.0f32..6.0, -3.0f32..3.0);
    let walkers = proptest::collection::vec(walker, 1..12);
    (walkers, any::<u64>(), 5usize..30).prop_map(|(walkers, seed, frames)| {
        let mut state = seed | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32
        };
        (0..frames)
            .map(|k| {
                let mut found = Vec::new();
                for (x, y, vx, vy) in &walkers {
                    let (jitter, confidence, missed) = (random() * 4.0, random(), random() < 0.15);
                    if !missed {
                        let k = k as f32;
                        found.push(detection(x + vx * k + jitter, y + vy * k, 0.2 + 0.79 * confidence));
                    }
                }
                found
            })
            .collect()
    })
}

fn run(frames: &[Vec<Detection>], origin_s: f64) -> Vec<Vec<(u64, BoundingBox, f32)>> {
    let mut tracker = tracker();
    let mut all = Vec::new();
    for (k, frame) in frames.iter().enumerate() {
        let tracks = tracker.update(at(origin_s + 0.04 * k as f64), frame);
        all.push(
            tracks
                .iter()
                .map(|track| (track.id, track.bbox, track.existence_probability))
                .collect(),
        );
    }
    all
}

proptest! {
    #[test]
    fn the_order_of_detections_does_not_matter(frames in crowd(), turn in 0usize..12) {
        let mut other = frames.clone();
        for frame in &mut other {
            frame.reverse();
            let places = if frame.is_empty() { 0 } else { turn % frame.len() };
            frame.rotate_left(places);
        }
        prop_assert_eq!(run(&frames, 0.0), run(&other, 0.0));
    }

    #[test]
    fn the_origin_of_time_does_not_matter(frames in crowd(), origin_s in 0u32..100_000) {
        prop_assert_eq!(run(&frames, 0.0), run(&frames, f64::from(origin_s)));
    }

    #[test]
    fn no_identity_is_in_a_frame_twice_or_comes_back_after_its_end(frames in crowd()) {
        let mut tracker = tracker();
        let mut ended = std::collections::HashSet::new();
        let mut before: Vec<u64> = Vec::new();
        for (k, frame) in frames.iter().enumerate() {
            if k % 10 == 9 {
                tracker.reset();
            }
            let tracks = tracker.update(at(0.3 * k as f64), frame);
            let now: Vec<u64> = tracks.iter().map(|track| track.id).collect();
            prop_assert!(now.windows(2).all(|pair| pair[0] < pair[1]));
            ended.extend(before.iter().filter(|id| !now.contains(id)).copied());
            prop_assert!(now.iter().all(|id| !ended.contains(id)));
            for track in tracks {
                prop_assert!(track.bbox.is_valid());
                prop_assert!((0.0..=1.0).contains(&track.existence_probability));
            }
            before = now;
        }
    }

    #[test]
    fn anything_at_all_is_survived(
        values in proptest::collection::vec(
            (any::<f32>(), any::<f32>(), any::<f32>(), any::<f32>(), any::<f32>(), any::<u64>()), 1..60),
    ) {
        let mut tracker = tracker();
        for (x0, y0, x1, y1, confidence, pts_ns) in values {
            let found = vec![Detection {
                bbox: BoundingBox::new(x0, y0, x1, y1),
                class: ClassLabel::new("person"),
                confidence,
                mask: None,
            }];
            tracker.update(FrameTime::from_pts_ns(pts_ns), &found);
        }
    }
}

//! The stages in a program of your own, without GStreamer, zenoh or a network: tracker, metric reconstruction for a fixed
//! camera, motion, answers and overlay, over a street scene whose truth is known.
//!
//! ```text
//! cargo run --no-default-features --example embed_stages [picture.jpg]
//! ```
//!
//! Boxes come from the scene, with a detector's noise; in your program they come from `kinestream::perception` or a
//! detector that you have. Prints each object's estimated speed beside the true one, and draws the last frame.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::f64::consts::TAU;
use std::sync::Arc;

use kinestream::camera::{Camera, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use kinestream::detection::{BoundingBox, ClassLabel, Detection};
use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::motion::{MotionEngine, MotionSettings};
use kinestream::overlay::{Overlay, Show, SnapshotOptions, snapshot_jpeg};
use kinestream::reconstruction::{Reconstructor, StaticReconstructor, View};
use kinestream::results::FrameResults;
use kinestream::stkit;
use kinestream::tracking::{Tracker, TrackerSettings};
use nalgebra::{Point2, Point3, Vector3};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Normal};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const FRAME_RATE: f64 = 25.0;
const DURATION_S: f64 = 7.0;
/// Standard deviation of a box's edges, pixels.
const BOX_NOISE_PX: f64 = 1.0;

fn main() -> Result<(), Box<dyn Error>> {
    let camera = Camera {
        intrinsics: Intrinsics::from_horizontal_fov(70f64.to_radians(), WIDTH, HEIGHT)?,
        intrinsics_source: IntrinsicsSource::Calibrated,
        mounting: Some(Mounting {
            height_m: 6.0,
            pitch_down_rad: 14f64.to_radians(),
            roll_rad: 0.0,
        }),
        mounting_source: MountingSource::Measured,
    };
    let mut reconstructor = StaticReconstructor::new(Some(camera));
    let mut tracker = Tracker::new(TrackerSettings::default());
    let mut motion = MotionEngine::new(MotionSettings::default());
    let mut noise = StdRng::seed_from_u64(7);
    let edge_noise = Normal::new(0.0, BOX_NOISE_PX)?;

    let mut newest = None;
    for index in 0..=(DURATION_S * FRAME_RATE) as u64 {
        let time = FrameTime::from_pts_ns((index as f64 / FRAME_RATE * 1e9) as u64);
        let view = reconstructor.reconstruct(time, WIDTH, HEIGHT, None)?;
        let detections: Vec<Detection> = scene(time.seconds())
            .iter()
            .filter_map(|object| {
                let seen = object.bounding_box(&view)?;
                let mut jitter = |edge: f32| edge + edge_noise.sample(&mut noise) as f32;
                Some(Detection {
                    bbox: BoundingBox::new(jitter(seen.x0), jitter(seen.y0), jitter(seen.x1), jitter(seen.y1)),
                    class: ClassLabel::new(object.class),
                    confidence: 0.9,
                    mask: None,
                })
            })
            .collect();
        let mut results = FrameResults::new(time, WIDTH, HEIGHT);
        results.tracks = tracker.update(time, &detections).to_vec();
        results.objects = motion.update(time, &results.tracks, &view, WIDTH, HEIGHT);
        results.trajectories = Some(motion.trajectories());
        results.view = Some(Arc::new(view));
        newest = Some(results);
    }
    let mut results = newest.ok_or("the scene has no frame")?;

    let truth = scene(results.time.seconds());
    println!("object         distance (truth)      speed ± 95 % (truth)");
    let eye = results
        .view
        .as_ref()
        .ok_or("no view")?
        .world_from_camera
        .translation
        .vector;
    for state in &results.objects {
        let at = state.live.position_in_world;
        let velocity = state.settled.as_ref().unwrap_or(&state.live).velocity_in_world_mps;
        let sigma_mps = state.live.covariance.fixed_view::<2, 2>(3, 3).trace().sqrt();
        let overlap = |object: &Object| {
            let track = results.tracks.iter().find(|track| track.id == state.track_id)?;
            Some(object.bounding_box(results.view.as_ref()?)?.iou(&track.bbox))
        };
        let same = truth
            .iter()
            .max_by(|a, b| overlap(a).unwrap_or(0.0).total_cmp(&overlap(b).unwrap_or(0.0)))
            .ok_or("the scene is empty")?;
        println!(
            "{:<12} {:6.1} m ({:5.1})  {:6.1} ±{:4.1} km/h ({:5.1})",
            format!("{} {}", state.class, state.track_id),
            (at.coords - eye).norm(),
            (same.center().coords - eye).norm(),
            velocity.norm() * 3.6,
            1.96 * sigma_mps * 3.6,
            same.speed_mps * 3.6,
        );
    }

    let now_s = results.time.seconds();
    for (id, words) in [
        ("distance", "How far did the person travel in the last 5 seconds?"),
        ("speed", "How fast is each car moving?"),
    ] {
        let question = stkit::parse_question(words)?;
        let window = (now_s - 5.0, now_s);
        let answers = motion
            .trajectories()
            .read(|store| stkit::answer_from_geometry(id, &question, store, window));
        println!("\n{words}");
        for answer in answers {
            println!("  {}", answer.text);
            results.answers.push(Arc::new(answer));
        }
    }

    if let Some(path) = std::env::args().nth(1) {
        let view = results.view.as_ref().ok_or("no view")?;
        let pixels = paint(view, &truth);
        let picture = Picture::packed(PixelFormat::Rgb, WIDTH, HEIGHT, &pixels)?;
        let mut overlay = Overlay::new(Show::ALL);
        std::fs::write(
            &path,
            snapshot_jpeg(&mut overlay, &picture, &results, SnapshotOptions::default())?,
        )?;
        println!("\nwrote {path}");
    }
    Ok(())
}

/// A box on the ground that moves.
struct Object {
    class: &'static str,
    /// Centre of the footprint, metres.
    x: f64,
    y: f64,
    /// Direction in which it looks, counter-clockwise from the world's x.
    yaw_rad: f64,
    speed_mps: f64,
    /// Length, width, height, metres.
    size: [f64; 3],
    color: [u8; 3],
}

/// Where everything is after `t` seconds.
fn scene(t: f64) -> Vec<Object> {
    let car = |x, y, yaw_rad, speed_mps, color| Object {
        class: "car",
        x,
        y,
        yaw_rad,
        speed_mps,
        size: [4.3, 1.8, 1.5],
        color,
    };
    // A left turn: 14 km/h on a circle of 12 m.
    let turned = 3.9 * t / 12.0;
    vec![
        car(12.0 + 3.2 * t, -2.0, 0.0, 3.2, [178, 34, 40]),
        car(70.0 - 7.0 * t, 2.0, TAU / 2.0, 7.0, [220, 222, 226]),
        car(24.0, -6.2, 0.0, 0.0, [36, 72, 140]),
        car(
            28.0 + 12.0 * turned.sin(),
            -4.0 + 12.0 * (1.0 - turned.cos()),
            turned,
            3.9,
            [214, 158, 46],
        ),
        Object {
            class: "person",
            x: 19.0,
            y: 8.5 - 1.4 * t,
            yaw_rad: -TAU / 4.0,
            speed_mps: 1.4,
            size: [0.4, 0.5, 1.72],
            color: [58, 112, 84],
        },
    ]
}

impl Object {
    fn center(&self) -> Point3<f64> {
        Point3::new(self.x, self.y, self.size[2] / 2.0)
    }

    /// The eight corners; bit 0 is front, bit 1 left, bit 2 top.
    fn corners(&self) -> [Point3<f64>; 8] {
        let (sin, cos) = self.yaw_rad.sin_cos();
        std::array::from_fn(|corner| {
            let half = |bit: usize, size: f64| {
                if corner >> bit & 1 == 1 {
                    size / 2.0
                } else {
                    -size / 2.0
                }
            };
            let (ahead, left) = (half(0, self.size[0]), half(1, self.size[1]));
            let up = if corner >> 2 == 1 { self.size[2] } else { 0.0 };
            Point3::new(self.x + cos * ahead - sin * left, self.y + sin * ahead + cos * left, up)
        })
    }

    /// The box around all corners, when the whole object is in the picture.
    fn bounding_box(&self, view: &View) -> Option<BoundingBox> {
        let mut bounds = BoundingBox::new(f32::MAX, f32::MAX, f32::MIN, f32::MIN);
        for corner in self.corners() {
            let pixel = project(view, &corner)?;
            let (x, y) = (pixel.x as f32, pixel.y as f32);
            bounds = BoundingBox::new(bounds.x0.min(x), bounds.y0.min(y), bounds.x1.max(x), bounds.y1.max(y));
        }
        (bounds == bounds.clipped(WIDTH as f32, HEIGHT as f32)).then_some(bounds)
    }
}

fn project(view: &View, point_in_world: &Point3<f64>) -> Option<Point2<f64>> {
    let in_camera = view.world_from_camera.inverse_transform_point(point_in_world);
    view.camera.intrinsics.project(&in_camera)
}

/// Paints the street and the objects, packed RGB.
fn paint(view: &View, objects: &[Object]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for v in 0..HEIGHT {
        for u in 0..WIDTH {
            let pixel = Point2::new(f64::from(u) + 0.5, f64::from(v) + 0.5);
            pixels.extend(match view.camera.ground_point(&pixel) {
                Some(ground) if ground.x < 250.0 => ground_color(ground.x, ground.y),
                _ => [168, 192, 214],
            });
        }
    }
    let eye = view.world_from_camera.translation.vector;
    let mut far_first: Vec<&Object> = objects.iter().collect();
    far_first.sort_by(|a, b| {
        (b.center().coords - eye)
            .norm()
            .total_cmp(&(a.center().coords - eye).norm())
    });
    for object in far_first {
        let corners = object.corners();
        // Faces as corner indices, in order around the face, and how much light they get.
        let faces = [
            ([0, 2, 6, 4], 0.62),
            ([1, 3, 7, 5], 0.7),
            ([0, 1, 5, 4], 0.78),
            ([2, 3, 7, 6], 0.86),
            ([4, 5, 7, 6], 1.0),
        ];
        for (face, light) in faces {
            let middle = face.iter().map(|c| corners[*c].coords).sum::<Vector3<f64>>() / 4.0;
            let outward = middle - object.center().coords;
            if outward.dot(&(eye - middle)) <= 0.0 {
                continue;
            }
            let outline: Option<Vec<_>> = face.iter().map(|c| project(view, &corners[*c])).collect();
            if let Some(outline) = outline {
                let color = object.color.map(|channel| (f64::from(channel) * light) as u8);
                fill_convex(&mut pixels, &outline, color);
            }
        }
    }
    pixels
}

fn ground_color(x: f64, y: f64) -> [u8; 3] {
    let grain = ((x * 7.3).sin() * (y * 9.1).cos() * 4.0) as i32;
    let shade = |[r, g, b]: [i32; 3]| [r, g, b].map(|channel| (channel + grain).clamp(0, 255) as u8);
    let side_road = (x - 40.0).abs() < 4.0 && y > 0.0;
    let dashed = y.abs() < 0.08 && x.rem_euclid(6.0) < 3.0;
    let edge = (y.abs() - 4.0).abs() < 0.08 && !side_road;
    let crossing = (17.5..20.5).contains(&x) && y.abs() < 4.0 && y.rem_euclid(1.0) < 0.5;
    match () {
        () if dashed || edge || crossing => shade([212, 212, 208]),
        () if y.abs() < 4.0 || side_road => shade([88, 90, 94]),
        () if y.abs() < 8.0 => shade([142, 138, 130]),
        () => shade([104, 128, 88]),
    }
}

fn fill_convex(pixels: &mut [u8], outline: &[Point2<f64>], color: [u8; 3]) {
    let side = |a: &Point2<f64>, b: &Point2<f64>, x: f64, y: f64| (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x);
    let lowest = |value: fn(&Point2<f64>) -> f64| outline.iter().map(value).fold(f64::MAX, f64::min).max(0.0) as u32;
    let highest = |value: fn(&Point2<f64>) -> f64| outline.iter().map(value).fold(0.0, f64::max) as u32 + 1;
    for v in lowest(|p| p.y)..highest(|p| p.y).min(HEIGHT) {
        for u in lowest(|p| p.x)..highest(|p| p.x).min(WIDTH) {
            let (x, y) = (f64::from(u) + 0.5, f64::from(v) + 0.5);
            let sides = outline
                .iter()
                .zip(outline.iter().cycle().skip(1))
                .map(|(a, b)| side(a, b, x, y));
            if sides.clone().all(|s| s >= 0.0) || sides.clone().all(|s| s <= 0.0) {
                let at = ((v * WIDTH + u) * 3) as usize;
                pixels[at..at + 3].copy_from_slice(&color);
            }
        }
    }
}

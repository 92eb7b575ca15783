//! An hour of pictures through reconstruction and motion, as fast as they go, and how much memory the process holds meanwhile.
//!
//! ```text
//! cargo run --example memory_hour -- [HOURS] [WIDTH] [HEIGHT] > memory.csv
//! ```
//!
//! Ten seconds of a drive in a simulated street are rendered once and shown again and again: each time the pictures jump back,
//! which is a cut, and everything in them is new. Prints stream time, resident memory and what is held, once a minute of
//! stream time, as CSV.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use kinestream::detection::ClassLabel;
use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::motion::{MotionEngine, MotionSettings};
use kinestream::reconstruction::{
    ClassPriors, DepthMap, MovableRegion, Reconstructor, SceneFrame, VisualReconstructor,
};
use kinestream::sim::render::Renderer;
use kinestream::sim::{Scene, World, WorldSettings};
use kinestream::tracking::{Track, TrackStatus};

const FRAME_RATE: f64 = 25.0;
const CLIP_S: f64 = 10.0;
const SEED: u64 = 90_001;
/// Things of which less is seen are not given as tracks, pixels.
const LEAST_VISIBLE_PX: u32 = 60;

/// One rendered frame.
struct Shown {
    rgb: Vec<u8>,
    depth: Arc<DepthMap>,
    tracks: Vec<Track>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let hours: f64 = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let width: u32 = arguments.next().map_or(Ok(320), |text| text.parse())?;
    let height: u32 = arguments.next().map_or(Ok(192), |text| text.parse())?;
    let mut world = World::new(WorldSettings {
        width,
        height,
        frame_rate: Some(FRAME_RATE),
        ..WorldSettings::new(Scene::StreetDrive, SEED)
    })?;
    let clip = render(&mut world, width, height)?;
    let mut reconstructor = VisualReconstructor::new(Some(world.camera.clone()), Arc::new(ClassPriors::default()));
    let mut engine = MotionEngine::new(MotionSettings::default());
    let frames = (hours * 3600.0 * FRAME_RATE).round() as usize;
    let started = Instant::now();
    let mut objects = 0;
    println!("stream_s,wall_s,resident_kib,objects");
    for index in 0..=frames {
        let (round, within) = (index / clip.len(), index % clip.len());
        let Some(shown) = clip.get(within) else { continue };
        let time = FrameTime::from_pts_ns((index as f64 / FRAME_RATE * 1e9).round() as u64);
        let tracks: Vec<Track> = shown
            .tracks
            .iter()
            .map(|track| Track {
                // Whoever comes back after the cut is somebody else.
                id: track.id + round as u64 * 100_000,
                ..track.clone()
            })
            .collect();
        let movable = MovableRegion::of_tracks(&tracks);
        let view = reconstructor.reconstruct_frame(&SceneFrame {
            time,
            width,
            height,
            picture: Some(Picture::packed(PixelFormat::Rgb, width, height, &shown.rgb)?),
            depth: Some(shown.depth.clone()),
            movable: &movable,
        })?;
        objects = objects.max(engine.update(time, &tracks, &view, width, height).len());
        if index % (60.0 * FRAME_RATE) as usize == 0 {
            println!(
                "{:.0},{:.1},{},{objects}",
                time.seconds(),
                started.elapsed().as_secs_f64(),
                resident_kib().ok_or("expected VmRSS in /proc/self/status")?
            );
            objects = 0;
        }
    }
    Ok(())
}

/// The clip's pictures, true depths and true boxes.
fn render(world: &mut World, width: u32, height: u32) -> Result<Vec<Shown>, Box<dyn Error>> {
    let mut renderer = Renderer::new(world);
    let mut clip = Vec::new();
    for index in 0..(CLIP_S * FRAME_RATE) as usize {
        let snapshot = world.at(index as f64 / FRAME_RATE)?;
        let rendered = renderer.render(&snapshot);
        let known = |depth_m: &f32| if depth_m.is_finite() { *depth_m } else { f32::NAN };
        let tracks = rendered
            .sightings
            .iter()
            .filter(|seen| seen.visible_px >= LEAST_VISIBLE_PX);
        let tracks = tracks.filter_map(|seen| {
            let actor = snapshot.actors.iter().find(|actor| actor.id == seen.id)?;
            Some(Track {
                id: u64::from(seen.id),
                class: ClassLabel::new(actor.class.name()),
                bbox: seen.bbox,
                confidence: 0.9,
                existence_probability: 1.0,
                status: TrackStatus::Tracked,
                age_s: 1.0,
                unseen_s: 0.0,
                mask: None,
            })
        });
        clip.push(Shown {
            tracks: tracks.collect(),
            depth: Arc::new(DepthMap {
                width,
                height,
                depth_m: rendered.depth_m.iter().map(known).collect(),
                relative_sigma: 0.1,
            }),
            rgb: rendered.rgb.clone(),
        });
    }
    Ok(clip)
}

/// Resident memory of this process, KiB.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

//! What a detector sees of simulated worlds, with their truth, as MOT Challenge folders to tune and test a tracker on.
//!
//! `cargo run --example detect_worlds -- OUT MODEL SCENE,... FIRST-LAST SECONDS`
//!
//! MODEL is a manifest, an `.onnx` file or the word `default`. Makes OUT/SCENE-SEED-KIND/{det.txt, gt.txt, seqinfo.ini}
//! for the kinds `people` and `vehicles` where a world has them, for `kinestream eval track --dir OUT`. Confidences are
//! the detector's own, from 0.1 on. Truth are the whole silhouettes inside the picture from [`LEAST_HEIGHT_PX`] and
//! [`LEAST_VISIBLE`] on.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use kinestream::frame::{Picture, PixelFormat};
use kinestream::perception::{Detector, DetectorSettings};
use kinestream::sim::render::Renderer;
use kinestream::sim::timing::FrameTimes;
use kinestream::sim::{Scene, World, WorldSettings};

/// Shorter objects are not asked for.
const LEAST_HEIGHT_PX: f32 = 20.0;
/// Objects of which less is to be seen are not asked for.
const LEAST_VISIBLE: f64 = 0.1;
const KINDS: [(&str, &[&str]); 2] = [("people", &["person"]), ("vehicles", &["car", "truck", "bus"])];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, model, scenes, seeds, seconds] = &arguments[..] else {
        return Err("usage: detect_worlds OUT MODEL SCENE,... FIRST-LAST SECONDS".into());
    };
    let (first, last) = seeds.split_once('-').ok_or("seeds: expected FIRST-LAST")?;
    let settings = DetectorSettings {
        confidence: 0.1,
        ..DetectorSettings::default()
    };
    let mut detector = Detector::load(Path::new(model), &settings)?;
    for scene in scenes.split(',') {
        let scene: Scene = scene.parse()?;
        for seed in first.parse()?..=last.parse()? {
            write_world(Path::new(out), scene, seed, seconds.parse()?, &mut detector)?;
        }
    }
    Ok(())
}

/// Renders one world, detects in each picture and writes a folder for each kind of object.
fn write_world(
    out: &Path,
    scene: Scene,
    seed: u64,
    seconds: f64,
    detector: &mut Detector,
) -> Result<(), Box<dyn Error>> {
    let mut world = World::new(WorldSettings::new(scene, seed))?;
    let mut renderer = Renderer::new(&world);
    let times: Vec<f64> = FrameTimes::of(&world).take_while(|time_s| *time_s < seconds).collect();
    let mut files: Vec<(String, String, HashSet<u16>)> = vec![Default::default(); KINDS.len()];
    for (frame, time_s) in (1..).zip(&times) {
        let snapshot = world.at(*time_s)?;
        let rendered = renderer.render(&snapshot);
        for actor in &snapshot.actors {
            let Some(sighting) = rendered.sightings.iter().find(|sighting| sighting.id == actor.id) else {
                continue;
            };
            let kind = KINDS.iter().position(|(_, names)| names.contains(&actor.class.name()));
            let (Some(kind), bbox) = (kind, sighting.bbox) else {
                continue;
            };
            if bbox.height() >= LEAST_HEIGHT_PX && sighting.visible_fraction() >= LEAST_VISIBLE {
                let (_, truth, identities) = &mut files[kind];
                identities.insert(actor.id);
                let (x, y, w, h) = (bbox.x0, bbox.y0, bbox.width(), bbox.height());
                writeln!(truth, "{frame},{},{x:.2},{y:.2},{w:.2},{h:.2},1,-1,-1,-1", actor.id + 1)?;
            }
        }
        let picture = Picture::packed(PixelFormat::Rgb, rendered.width, rendered.height, &rendered.rgb)?;
        for detection in detector.detect(&picture)? {
            let kind = KINDS
                .iter()
                .position(|(_, names)| names.contains(&detection.class.as_str()));
            let (Some(kind), bbox) = (kind, detection.bbox) else {
                continue;
            };
            let (x, y, w, h) = (bbox.x0, bbox.y0, bbox.width(), bbox.height());
            let confidence = detection.confidence;
            writeln!(
                files[kind].0,
                "{frame},-1,{x:.2},{y:.2},{w:.2},{h:.2},{confidence:.4},-1,-1,-1"
            )?;
        }
    }
    for ((kind, _), (found, truth, _)) in KINDS.iter().zip(&files).filter(|(_, file)| !file.2.is_empty()) {
        let name = format!("{scene}-{seed}-{kind}");
        let folder = out.join(&name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("det.txt"), found)?;
        std::fs::write(folder.join("gt.txt"), truth)?;
        let (rate, length) = (world.frame_rate, times.len());
        let info = format!("[Sequence]\nname={name}\nframeRate={rate}\nseqLength={length}\n");
        std::fs::write(folder.join("seqinfo.ini"), info)?;
    }
    Ok(())
}

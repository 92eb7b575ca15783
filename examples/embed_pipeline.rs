//! A whole pipeline in a program that has its own frames: it pushes them in and is handed the results of each.
//!
//! ```text
//! cargo run --example embed_pipeline -- DETECTOR [FRAMES]
//! ```
//!
//! DETECTOR is a manifest or an ONNX file (docs/models.md). The frames here are painted: a bright disc that crosses the
//! picture; put your own where `paint` is called.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::gst::pipeline::{Engine, RunConfig};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;
const FRAME_RATE: f64 = 25.0;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let detector = arguments.next().ok_or("usage: embed_pipeline DETECTOR [FRAMES]")?;
    let frames: u64 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let config = format!(
        "zenoh.enabled = false
        [[camera]]
        name = \"mine\"
        source = \"app\"
        detector = {detector:?}"
    );
    let config = RunConfig::parse(&config, Path::new("run.toml"))?;

    // The callback runs on the pipeline's thread: hand the lines over and be quick.
    let (lines, printed) = mpsc::sync_channel(64);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    let mut engine = Engine::with_results(&config, move |camera, results| {
        let mut line = format!(
            "{camera} {:5.2} s: {} tracks",
            results.time.seconds(),
            results.tracks.len()
        );
        for state in &results.objects {
            let velocity = state.live.velocity_in_world_mps;
            line += &format!(
                "; {} {} at {:.1} km/h",
                state.class,
                state.track_id,
                velocity.norm() * 3.6
            );
        }
        if lines.try_send(line).is_err() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    engine.start()?;

    let sender = engine.frames("mine").ok_or("the camera takes no frames")?;
    let pushing = std::thread::Builder::new().name("frames".into()).spawn(move || {
        for index in 0..frames {
            let pixels = paint(index);
            let time = FrameTime::from_pts_ns((index as f64 / FRAME_RATE * 1e9) as u64);
            let pushed = Picture::packed(PixelFormat::Rgb, WIDTH, HEIGHT, &pixels)
                .map_err(|error| error.to_string())
                .and_then(|picture| sender.push(&picture, time).map_err(|error| error.to_string()));
            if let Err(error) = pushed {
                eprintln!("frame {index}: {error}");
                break;
            }
        }
        sender.end();
    })?;
    // The pipeline ends when it has worked through all frames.
    engine.wait_with(Some(Duration::from_secs(60)), |_| {
        printed.try_iter().for_each(|line| println!("{line}"));
    });
    engine.stop();
    pushing.join().map_err(|_| "the thread that pushes frames panicked")?;
    printed.try_iter().for_each(|line| println!("{line}"));
    if let Some(failure) = engine.failures().into_iter().next() {
        return Err(failure.into());
    }
    let report = engine.report();
    println!(
        "{} frames, {} lines not printed",
        report.frames,
        dropped.load(Ordering::Relaxed)
    );
    if report.frames != frames {
        return Err(format!("pushed {frames} frames, {} came through", report.frames).into());
    }
    Ok(())
}

/// Frame `index`: packed RGB.
fn paint(index: u64) -> Vec<u8> {
    let (x0, y0) = (40.0 + index as f32 * 4.0 % 560.0, 200.0);
    let inside = |x: u32, y: u32| (x as f32 - x0).hypot(y as f32 - y0) < 30.0;
    (0..HEIGHT)
        .flat_map(|y| (0..WIDTH).map(move |x| (x, y)))
        .flat_map(|(x, y)| if inside(x, y) { [230, 210, 60] } else { [70, 80, 90] })
        .collect()
}

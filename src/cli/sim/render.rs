//! `kinestream sim render`: a recording with its truth.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::ensure;
use indicatif::{ProgressBar, ProgressStyle};

use super::world::WorldArgs;
use crate::gst::recorder::{VideoRecorder, VideoSettings};
use crate::sim::SimulatedCamera;
use crate::sim::truth::{TruthFolder, TruthOptions};

/// Writes a recording with its truth.
///
/// The folder gets video.mp4, camera.toml (for --camera-file), truth.jsonl with a picture of depth and of instance masks
/// a frame, and nuScenes tables under nuscenes/. docs/sim.md describes them.
#[derive(Debug, clap::Args)]
pub(super) struct RenderArgs {
    #[command(flatten)]
    world: WorldArgs,
    /// Length, seconds.
    #[arg(long)]
    seconds: f64,
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write no video.
    #[arg(long)]
    no_video: bool,
    /// Write no depth pictures.
    #[arg(long)]
    no_depth: bool,
    /// Write no instance masks.
    #[arg(long)]
    no_masks: bool,
    /// Write no nuScenes tables.
    #[arg(long)]
    no_nuscenes: bool,
    /// The video's quantizer: 0 loses nothing, 51 nearly everything.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=51))]
    quantizer: u32,
}

pub(super) fn run(args: &RenderArgs) -> anyhow::Result<()> {
    ensure!(
        args.seconds.is_finite() && args.seconds > 0.0,
        "--seconds must be more than 0, found {}",
        args.seconds
    );
    let settings = args.world.settings();
    let mut camera = SimulatedCamera::new(settings)?;
    let options = TruthOptions {
        depth: !args.no_depth,
        instances: !args.no_masks,
        nuscenes: !args.no_nuscenes,
    };
    let mut truth_folder = TruthFolder::create(&args.out, camera.world(), options)?;
    let video = VideoSettings {
        width: settings.width,
        height: settings.height,
        frame_rate: camera.world().frame_rate,
        quantizer: args.quantizer,
    };
    let path = args.out.join("video.mp4");
    let mut video = (!args.no_video)
        .then(|| VideoRecorder::create(&path, &video))
        .transpose()?;
    let period_s = camera.world().frame_rate.recip();
    let progress = progress((args.seconds / period_s).ceil() as u64);
    while camera.next_time_s() < args.seconds {
        let (rendered, truth) = camera.take_frame()?;
        truth_folder.write(&truth, rendered)?;
        if let Some(video) = &mut video {
            video.write(&rendered.rgb, truth.time_s, period_s)?;
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    truth_folder.finish()?;
    video.map_or(Ok(()), VideoRecorder::finish)?;
    Ok(())
}

fn progress(frames: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} frames, {per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(frames).with_style(style)
}

//! `kinestream sim serve`: a simulated camera over RTSP.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::world::WorldArgs;
use crate::gst::sim_server::SimServer;
use crate::sim::World;

/// How often Ctrl-C and the camera are looked after.
const TICK: Duration = Duration::from_millis(200);

/// Serves a simulated camera over RTSP until Ctrl-C.
///
/// Its address is printed on standard output. The world runs whether anybody watches or not.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    world: WorldArgs,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 8554)]
    port: u16,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// Write the camera file (intrinsics, mounting) here.
    #[arg(long, value_name = "FILE")]
    camera_out: Option<PathBuf>,
    /// Write what is true of each frame here, a JSON object a line, with the time of its capture (UTC).
    #[arg(long, value_name = "FILE")]
    truth_out: Option<PathBuf>,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
}

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let limit = args
        .duration
        .map(|seconds| Duration::try_from_secs_f64(seconds).with_context(|| format!("--duration {seconds}")))
        .transpose()?;
    let settings = args.world.settings();
    if let Some(path) = &args.camera_out {
        let camera = World::new(settings)?.camera;
        std::fs::write(path, camera.to_toml()).with_context(|| path.display().to_string())?;
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    ctrlc::set_handler(move || stop.store(true, Ordering::Relaxed)).context("no handler for Ctrl-C")?;
    let server = SimServer::start(&settings, &args.address, args.port, args.truth_out.as_deref())?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", server.url())?;
    stdout.flush()?;
    let started = Instant::now();
    while !stopped.load(Ordering::Relaxed) && limit.is_none_or(|limit| started.elapsed() < limit) {
        if let Some(reason) = server.wait(TICK) {
            bail!("the simulated camera: {reason}");
        }
    }
    if server.dropped() > 0 {
        tracing::info!(
            "{} encoded frames were not sent to clients that were not ready",
            server.dropped()
        );
    }
    Ok(())
}

//! `kinestream run`: runs cameras from a configuration.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::gst::pipeline::{AnswerBackend, CameraConfig, CameraStatus, EgoMode, Engine, Report, RunConfig, Waited};

/// Without a terminal, progress is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs cameras from a configuration until they end, the time is up or Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run configuration (TOML); configs/run.toml shows every key.
    config: PathBuf,

    /// Another source for the only camera: rtsp://…, v4l2:///dev/video0, a file, any URI, or launch: and a pipeline
    /// fragment.
    #[arg(long)]
    source: Option<String>,

    /// Another detector for all cameras: manifest, ONNX file, or `default`.
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,

    /// Another metric depth network for all cameras: manifest, ONNX file, `default` or `none`.
    #[arg(long, value_name = "FILE")]
    depth: Option<PathBuf>,

    /// Look for these classes only, e.g. car,person, instead of the configuration's.
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    classes: Vec<String>,

    /// Another camera file (intrinsics, mounting) for the only camera.
    #[arg(long, value_name = "FILE")]
    camera_file: Option<PathBuf>,

    /// How the camera's own motion is found, for all cameras, instead of the configuration's.
    #[arg(long, value_enum, value_name = "MODE")]
    ego: Option<EgoMode>,

    /// Who answers, for all cameras, instead of the configuration's.
    #[arg(long, value_enum, value_name = "WHO")]
    backend: Option<AnswerBackend>,

    /// An OpenAI-compatible server that answers, for all cameras, e.g. http://localhost:8000/v1: as --backend remote.
    #[arg(long, value_name = "URL")]
    remote_url: Option<String>,

    /// The model's name on that server.
    #[arg(long, value_name = "NAME")]
    remote_model: Option<String>,

    /// Record the picture with everything drawn into it, for the only camera: an .mp4 or .mkv file.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Threads of each network; 0 takes one per core.
    #[arg(long)]
    threads: Option<u32>,

    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,

    /// Write what was measured to this file, as JSON; `-` writes it to standard output.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Publish nothing.
    #[arg(long)]
    no_publish: bool,

    /// Endpoints for zenoh to connect to, e.g. tcp/192.168.0.10:7447, instead of the configuration's.
    #[arg(short = 'e', long, value_name = "ENDPOINT")]
    connect: Vec<String>,

    /// Endpoints for zenoh to listen on, e.g. tcp/0.0.0.0:7447, instead of the configuration's.
    #[arg(short, long, value_name = "ENDPOINT")]
    listen: Vec<String>,

    /// Do not look for zenoh peers and routers by multicast.
    #[arg(long)]
    no_multicast_scouting: bool,
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = configured(&args)?;
    let limit = args
        .duration
        .map(|seconds| Duration::try_from_secs_f64(seconds).with_context(|| format!("--duration {seconds}")))
        .transpose()?;
    let mut engine = Engine::from_config(&config)?;
    let stop = engine.stop_handle();
    ctrlc::set_handler(move || stop.stop()).context("no handler for Ctrl-C")?;
    engine.start()?;
    let progress = Progress::new(&engine.status());
    let waited = engine.wait_with(limit, |engine| progress.show(&engine.status()));
    engine.stop();
    progress.finish(&engine.status());
    let report = engine.report();
    write_report(&args, &report)?;
    let failures = engine.failures();
    for failure in &failures {
        tracing::error!("{failure}");
    }
    if waited == Waited::AllEnded && failures.len() == report.cameras.len() {
        bail!("every camera failed");
    }
    ensure!(
        failures.is_empty(),
        "{} of {} cameras failed",
        failures.len(),
        report.cameras.len()
    );
    Ok(())
}

/// The configuration with the command line over it.
fn configured(args: &Args) -> anyhow::Result<RunConfig> {
    let mut config = RunConfig::load(&args.config)?;
    if args.source.is_some() || args.camera_file.is_some() || args.record.is_some() {
        let [camera] = config.cameras.as_mut_slice() else {
            bail!(
                "--source, --camera-file and --record need a configuration with one camera, {} has {}",
                args.config.display(),
                config.cameras.len()
            );
        };
        if let Some(source) = &args.source {
            camera.source.clone_from(source);
        }
        if let Some(file) = &args.camera_file {
            camera.camera_file = Some(file.clone());
        }
        if let Some(file) = &args.record {
            camera.record = Some(file.clone());
        }
    }
    for camera in &mut config.cameras {
        if let Some(detector) = &args.detector {
            camera.detector.clone_from(detector);
        }
        if let Some(depth) = &args.depth {
            camera.depth = Some(depth.clone());
        }
        if !args.classes.is_empty() {
            camera.classes.clone_from(&args.classes);
        }
        camera.ego = args.ego.unwrap_or(camera.ego);
        camera.threads = args.threads.or(camera.threads);
        answering(args, camera)?;
    }
    let zenoh = &mut config.zenoh;
    zenoh.enabled &= !args.no_publish;
    zenoh.multicast_scouting &= !args.no_multicast_scouting;
    if !args.connect.is_empty() {
        zenoh.connect.clone_from(&args.connect);
    }
    if !args.listen.is_empty() {
        zenoh.listen.clone_from(&args.listen);
    }
    Ok(config)
}

/// Who answers, by the command line.
fn answering(args: &Args, camera: &mut CameraConfig) -> anyhow::Result<()> {
    if args.remote_url.is_some() || args.remote_model.is_some() {
        let mut remote = camera.remote.take().unwrap_or_default();
        if let Some(url) = &args.remote_url {
            remote.url.clone_from(url);
            camera.backend = AnswerBackend::Remote;
        }
        remote.model = args.remote_model.clone().or(remote.model);
        camera.remote = Some(remote);
    }
    camera.backend = args.backend.unwrap_or(camera.backend);
    let reachable = camera.remote.as_ref().is_some_and(|remote| !remote.url.is_empty());
    ensure!(
        camera.backend != AnswerBackend::Remote || reachable,
        "camera `{}`: the backend remote needs --remote-url, or [camera.remote] in the configuration",
        camera.name
    );
    Ok(())
}

fn write_report(args: &Args, report: &Report) -> anyhow::Result<()> {
    let Some(path) = &args.report else { return Ok(()) };
    let json = serde_json::to_string_pretty(report)?;
    if path.as_os_str() == "-" {
        use std::io::Write;
        writeln!(std::io::stdout().lock(), "{json}")?;
        return Ok(());
    }
    std::fs::write(path, json).with_context(|| path.display().to_string())
}

/// A line for each camera: moving on a terminal, now and then in a log.
struct Progress {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    logged: std::cell::Cell<Instant>,
}

impl Progress {
    fn new(cameras: &[CameraStatus]) -> Self {
        let bars = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bars = cameras
                .iter()
                .map(|camera| {
                    let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()));
                    bar.set_prefix(camera.name.clone());
                    bar.enable_steady_tick(Duration::from_millis(250));
                    bar
                })
                .collect();
            (all, bars)
        });
        Self {
            bars,
            logged: std::cell::Cell::new(Instant::now()),
        }
    }

    fn show(&self, cameras: &[CameraStatus]) {
        match &self.bars {
            Some((_, bars)) => {
                for (bar, camera) in bars.iter().zip(cameras) {
                    bar.set_message(line(camera));
                }
            }
            None if self.logged.get().elapsed() >= LINE_EVERY => {
                self.logged.set(Instant::now());
                for camera in cameras {
                    tracing::info!(camera = %camera.name, "{}", line(camera));
                }
            }
            None => {}
        }
    }

    fn finish(&self, cameras: &[CameraStatus]) {
        if let Some((_, bars)) = &self.bars {
            for (bar, camera) in bars.iter().zip(cameras) {
                bar.finish_with_message(line(camera));
            }
        } else {
            for camera in cameras {
                tracing::info!(camera = %camera.name, "{}", line(camera));
            }
        }
    }
}

fn line(camera: &CameraStatus) -> String {
    let reason = if camera.message.is_empty() {
        String::new()
    } else {
        format!(" ({})", camera.message)
    };
    format!(
        "{}{reason}: {} frames, {:.1}/s, {} dropped",
        camera.state, camera.frames, camera.fps, camera.drops
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        let cameras = "[[camera]]\nname = \"a\"\nsource = \"app\"\n[[camera]]\nname = \"b\"\nsource = \"app\"\nego = \"visual\"\n";
        std::fs::write(&path, cameras).unwrap();
        let egos = |options: &[&str]| {
            let words = ["run", path.to_str().unwrap()]
                .into_iter()
                .chain(options.iter().copied());
            let Command { args } = Command::try_parse_from(words).map_err(|error| error.to_string())?;
            let config = configured(&args).map_err(|error| error.to_string())?;
            Ok::<_, String>(config.cameras.iter().map(|camera| camera.ego).collect::<Vec<_>>())
        };
        assert_eq!(egos(&[]).unwrap(), [EgoMode::Static, EgoMode::Visual]);
        assert_eq!(egos(&["--ego", "external"]).unwrap(), [EgoMode::External; 2]);
        let backend = |options: &[&str]| {
            let words = ["run", path.to_str().unwrap()]
                .into_iter()
                .chain(options.iter().copied());
            let Command { args } = Command::try_parse_from(words).map_err(|error| error.to_string())?;
            let config = configured(&args).map_err(|error| error.to_string())?;
            Ok::<_, String>(config.cameras[0].backend)
        };
        assert_eq!(backend(&["--backend", "burn"]).unwrap(), AnswerBackend::Burn);
        let url = ["--remote-url", "http://127.0.0.1:1/v1"];
        assert_eq!(backend(&url).unwrap(), AnswerBackend::Remote);
        assert!(backend(&["--backend", "remote"]).unwrap_err().contains("--remote-url"));
        let error = egos(&["--ego", "moving"]).unwrap_err();
        assert!(error.contains("static, visual, external"), "{error}");
    }
}

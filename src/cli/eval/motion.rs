//! `kinestream eval motion`: speeds, distances and clock hours from noisy true boxes and distances.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::ensure;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Format;
use crate::datasets::{self, DataSource};
use crate::motion::MotionSettings;
use crate::motion::evaluation::{GroupScore, NoiseSettings, Report, Scene, evaluate};

/// Puts noise on a data set's true boxes and distances, estimates motion, and scores 2 s windows.
#[derive(Debug, clap::Args)]
pub struct MotionArgs {
    /// Which data set.
    #[arg(long, value_enum)]
    dataset: Dataset,
    /// Its folder: for KITTI tracking the one that holds label/, calib/ and oxts/, for Argoverse 2 the one that holds logs.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Which sequences, first and last: KITTI's by number, Argoverse 2's logs counted from 0 in order of their names.
    #[arg(long, value_name = "A-B", default_value = "0-11")]
    sequences: Range,
    /// Standard deviation of the distance, relative.
    #[arg(long, value_name = "SHARE", default_value_t = 0.10, value_parser = share)]
    range_noise: f64,
    /// Standard deviation of the position across the line of sight, relative to the distance.
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = share)]
    lateral_noise: f64,
    /// Standard deviation of a box's centre and size, relative to its size.
    #[arg(long, value_name = "SHARE", default_value_t = 0.03, value_parser = share)]
    box_jitter: f64,
    /// Correlation time of the noise, seconds; 0 for white noise.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    noise_memory: f64,
    /// How far behind the settled state is, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    lag: f64,
    /// Seed of the noise; several, separated by commas, are scored together.
    #[arg(long, value_name = "N", default_value = "1", value_delimiter = ',')]
    seed: Vec<u64>,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Data sets with true 3D trajectories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Dataset {
    /// KITTI tracking, training sequences.
    Kitti,
    /// Argoverse 2 sensor logs, each ring camera for itself.
    Argoverse2,
}

/// First and last sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range(u32, u32);

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first, last)),
            _ => Err(format!("expected two numbers as in 0-11, found `{text}`")),
        }
    }
}

fn number(text: &str, what: &str, most: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=most).contains(&value) => Ok(value),
        _ => Err(format!("expected {what}, found `{text}`")),
    }
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    number(text, "a share from 0 to 1, say 0.1 for 10 %", 1.0)
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, "seconds from 0 to 60", 60.0)
}

/// Runs `eval motion`.
pub fn run_motion(args: MotionArgs) -> anyhow::Result<()> {
    let scenes = load(&args)?;
    let noise = NoiseSettings {
        range: args.range_noise,
        lateral: args.lateral_noise,
        box_jitter: args.box_jitter,
        memory_s: args.noise_memory,
    };
    let settings = MotionSettings {
        settle_lag_s: args.lag,
        ..MotionSettings::default()
    };
    let bar = ProgressBar::new((scenes.len() * args.seed.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
    let report = evaluate(&scenes, &noise, &settings, &args.seed, |scene: &Scene, seed| {
        bar.set_message(format!("sequence {}, seed {seed}", scene.name));
        bar.inc(1);
    });
    bar.finish_and_clear();
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&report)?,
        Format::Text => table(&report).to_string(),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn load(args: &MotionArgs) -> anyhow::Result<Vec<Scene>> {
    let source = match args.dataset {
        Dataset::Kitti => DataSource::Kitti,
        Dataset::Argoverse2 => DataSource::Argoverse2,
    };
    let Range(first, last) = args.sequences;
    let mut scenes = Vec::new();
    for recording in datasets::open(source, &args.root)?.range(first, last) {
        let recording = recording?;
        if recording.cameras.is_empty() {
            tracing::warn!("{} is left out: it has no camera calibration", recording.name);
        }
        scenes.extend(Scene::from_recording(&recording));
    }
    ensure!(
        !scenes.is_empty(),
        "{} has no sequence with a camera between {first} and {last}",
        args.root.display()
    );
    Ok(scenes)
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "group",
        "state",
        "windows",
        "MAE km/h",
        "median km/h",
        "acc25",
        "distance MAPE",
        "clock ±1",
        "coverage 95",
    ]);
    for (group, states) in report.groups() {
        for (state, score) in [("live", &states.live), ("settled", &states.settled)] {
            table.add_row(cells(group, state, score));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(group: &str, state: &str, score: &GroupScore) -> Vec<String> {
    let figure =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |value| format!("{value:.digits$}"));
    vec![
        group.to_owned(),
        state.to_owned(),
        score.windows.to_string(),
        figure(score.speed_mae_kmh, 2),
        figure(score.speed_median_kmh, 2),
        figure(score.acc25, 3),
        figure(score.distance_mape, 3),
        figure(score.clock_acc1, 3),
        figure(score.coverage95, 3),
    ]
}

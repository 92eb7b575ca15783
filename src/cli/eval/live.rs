//! `kinestream eval live`: the whole chain in simulated worlds, against their truth.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Format;
use crate::evaluation::live::{AnswersReport, ClassScores, LiveReport, LiveSettings, SceneReport, Scorer, run_clip};
use crate::sim::Scene;
use crate::stkit::Task;

/// Runs the whole chain over simulated clips and scores what it says against the truth.
#[derive(Debug, clap::Args)]
pub struct LiveArgs {
    /// Scenes, separated by commas.
    #[arg(
        long,
        value_name = "SCENE",
        value_delimiter = ',',
        default_value = "street-fixed,parking,plaza,court,street-drive"
    )]
    scene: Vec<Scene>,
    /// Seeds, first and last; the default models never saw those from 100000 on.
    #[arg(long, value_name = "A-B", default_value = "100000-100009")]
    seeds: SeedRange,
    /// Take every so many-th seed.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seed_step: u64,
    /// Length of a clip, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0)]
    seconds: f64,
    /// Picture width, pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 640)]
    width: u32,
    /// Picture height, pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 384)]
    height: u32,
    /// Frames a second; drawn by each world when not given.
    #[arg(long, value_name = "N")]
    fps: Option<f64>,
    /// Detector, manifest or ONNX file, in place of the built-in one.
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,
    /// Depth network, manifest or ONNX file, in place of the built-in one.
    #[arg(long, value_name = "FILE")]
    depth: Option<PathBuf>,
    /// Do not tell the chain the camera's intrinsics and mounting.
    #[arg(long)]
    camera_unknown: bool,
    /// TOML keys for the camera's section of the run configuration, such as `depth_interval = 2`.
    #[arg(long, value_name = "TOML", default_value = "")]
    set: String,
    /// Questions of each of the seven tasks that are answered, as far as balanced labels allow.
    #[arg(long, value_name = "N", default_value_t = 200)]
    per_task: usize,
    /// Write the questions to this file as records, and the answers beside it to FILE.answers.jsonl, for `eval stkit`.
    #[arg(long, value_name = "FILE.jsonl")]
    answers_out: Option<PathBuf>,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// First and last seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeedRange(pub u64, pub u64);

impl FromStr for SeedRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first, last)),
            _ => Err(format!("expected two numbers as in 100000-100009, found `{text}`")),
        }
    }
}

/// Runs `eval live`.
pub fn run_live(args: LiveArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.seconds.is_finite() && (3.0..=3600.0).contains(&args.seconds),
        "--seconds: expected 3 to 3600, found {}",
        args.seconds
    );
    let settings = LiveSettings {
        seconds: args.seconds,
        width: args.width,
        height: args.height,
        frame_rate: args.fps,
        detector: args.detector,
        depth: args.depth,
        camera_known: !args.camera_unknown,
        extra: args.set,
    };
    let SeedRange(first, last) = args.seeds;
    let seeds: Vec<u64> = (first..=last).step_by(args.seed_step as usize).collect();
    let folder = tempfile::tempdir().context("a folder for the camera files cannot be made")?;
    let bar = ProgressBar::new((args.scene.len() * seeds.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}")?);
    let mut scorer = Scorer::new(args.per_task);
    for &scene in &args.scene {
        for &seed in &seeds {
            bar.set_message(format!("{scene} {seed}"));
            let clip = run_clip(scene, seed, &settings, folder.path())
                .with_context(|| format!("scene {scene}, seed {seed}"))?;
            scorer.add(&clip);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let report = scorer.report();
    if let Some(path) = &args.answers_out {
        write_answers(&report.answers, path)?;
    }
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&report)?,
        Format::Text => tables(&report),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn write_answers(report: &AnswersReport, path: &Path) -> anyhow::Result<()> {
    let create = |path: &Path| File::create(path).with_context(|| path.display().to_string());
    let mut records = BufWriter::new(create(path)?);
    let mut answers = BufWriter::new(create(&path.with_extension("answers.jsonl"))?);
    for (record, answer) in &report.asked {
        writeln!(records, "{}", serde_json::to_string(record)?)?;
        let answer = serde_json::json!({ "id": record.id, "answer": answer });
        writeln!(answers, "{answer}")?;
    }
    records.flush()?;
    answers.flush()?;
    Ok(())
}

pub(super) fn tables(report: &LiveReport) -> String {
    let mut motion = Table::new();
    motion.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    motion.set_header([
        "scene",
        "group",
        "recall",
        "position error",
        "windows ≤ 40 m",
        "speed MAE km/h",
        "live MAE",
        "±25 %",
        "clock ±1",
        "cover 95",
        "standing reads km/h",
    ]);
    let mut finding = Table::new();
    finding.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    finding.set_header([
        "scene",
        "clips",
        "recall",
        "false tracks a frame",
        "id switches",
        "frames/s",
        "ego speed RMSE m/s",
        "drift",
        "focal error",
    ]);
    let scenes = report.scenes.iter().map(|(name, scene)| (*name, scene));
    for (name, scene) in scenes.chain([("all", &report.pooled)]) {
        for (group, scores) in [("vehicles", &scene.vehicles), ("people", &scene.people)] {
            motion.add_row(motion_row(name, group, scores));
        }
        finding.add_row(finding_row(name, scene));
    }
    for table in [&mut motion, &mut finding] {
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let answers = &report.answers;
    format!(
        "{}\n{motion}\n\n{finding}\n\n{}\n{}",
        report.note,
        answers.note,
        answers_table(answers)
    )
}

/// A line a scene: accuracy in percent, the error and the number of questions of each task.
fn answers_table(report: &AnswersReport) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    let mut header = vec!["answers".to_owned()];
    for task in Task::ALL {
        let error = match task {
            Task::TraveledDistance => " (MAE m)",
            Task::TravelingSpeed => " (MAE km/h)",
            Task::MovementDirection => " (MAE h)",
            Task::DirectionTimestamp => " (IoU)",
            _ => "",
        };
        header.push(format!("{}{error} of", task.code()));
    }
    header.extend(["average".to_owned(), "answered".to_owned(), "followed".to_owned()]);
    table.set_header(header);
    let scenes = report.scenes.iter().map(|(name, scores)| (*name, scores, None));
    let small_model = report
        .small_model
        .as_ref()
        .map(|scores| ("all, small ST-VLM", scores, None));
    let all = [("all", &report.pooled, report.followed)];
    for (name, scores, followed) in scenes.chain(all).chain(small_model) {
        let mut row = vec![name.to_owned()];
        for task in Task::ALL {
            row.push(scores.tasks.get(task.code()).map_or("–".to_owned(), |task| {
                let error = task.scores.error.filter(|_| task.scores.error_name().is_some());
                let error = error.map_or(String::new(), |error| format!(" ({error:.2})"));
                format!("{:.1}{error} {}", task.scores.accuracy, task.scores.n)
            }));
        }
        row.extend([
            figure(scores.average, 1),
            figure(scores.answered, 3),
            figure(followed, 3),
        ]);
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
}

fn motion_row(scene: &str, group: &str, scores: &ClassScores) -> Vec<String> {
    let near = &scores.moving_within_40m;
    vec![
        scene.to_owned(),
        group.to_owned(),
        figure(scores.recall, 3),
        figure(scores.position.median_relative, 3),
        near.settled.windows.to_string(),
        figure(near.settled.speed_mae_kmh, 2),
        figure(near.live.speed_mae_kmh, 2),
        figure(near.settled.acc25, 3),
        figure(near.settled.clock_acc1, 3),
        figure(near.settled.coverage95, 3),
        figure(scores.standing.settled.speed_median_kmh, 2),
    ]
}

fn finding_row(name: &str, scene: &SceneReport) -> Vec<String> {
    vec![
        name.to_owned(),
        scene.clips.to_string(),
        figure(scene.recall, 3),
        figure(scene.false_tracks_per_frame, 2),
        scene.identity_switches.to_string(),
        figure(scene.fps, 1),
        figure(scene.ego.speed_rmse_mps, 2),
        figure(scene.ego.drift, 3),
        figure(scene.ego.focal_error, 3),
    ]
}

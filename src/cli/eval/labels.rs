//! `kinestream eval labels`: pseudo-labels of rendered videos against their truth.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Format;
use crate::evaluation::live::{DistanceErrors, LabelScorer, LabelsReport, LabelsSettings};
use crate::stkit::pseudo::{Limits, ObserverSettings};

/// Labels videos of `kinestream sim render` as `kinestream stkit label` does, and compares with their truth.
#[derive(Debug, clap::Args)]
pub struct LabelsArgs {
    /// Folders that `sim render` wrote: video.mp4, camera.toml, truth.jsonl.
    #[arg(required = true, value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Detector, manifest or ONNX file, in place of the built-in one.
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,
    /// Depth network, manifest or ONNX file, in place of the built-in one; `none` for none.
    #[arg(long, value_name = "FILE")]
    depth: Option<PathBuf>,
    /// Half the 95 % interval of a distance, relative to it, at most.
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().most_half_width)]
    max_half_width: f64,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs `eval labels`.
pub fn run_labels(args: LabelsArgs) -> anyhow::Result<()> {
    ensure!(
        args.max_half_width > 0.0,
        "--max-half-width must be more than 0, found {}",
        args.max_half_width
    );
    let settings = LabelsSettings {
        observer: ObserverSettings {
            limits: Limits {
                most_half_width: args.max_half_width,
                ..Limits::default()
            },
            priors: Arc::default(),
            ..ObserverSettings::default()
        },
        detector: args.detector,
        depth: args.depth,
    };
    let bar = ProgressBar::new(args.runs.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}")?);
    let mut scorer = LabelScorer::default();
    for run in &args.runs {
        bar.set_message(run.display().to_string());
        scorer.add(run, &settings).with_context(|| run.display().to_string())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let reports = scorer.report();
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&reports)?,
        Format::Text => {
            let mut table = Table::new();
            table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
            table.set_header([
                "scene",
                "clips",
                "took s a video s",
                "trajectories",
                "kept",
                "error kept (n)",
                "error rejected (n)",
                "error of TD labels (n)",
                "moving ≥ 5 s",
                "kept of these",
            ]);
            for (name, report) in &reports {
                table.add_row(row(name, report));
            }
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            let all = reports.get("all");
            let rejected = all.into_iter().flat_map(|all| &all.rejected);
            let rejected = rejected.map(|(reason, count)| format!("{count} trajectories rejected, {reason}"));
            let refused = all.into_iter().flat_map(|all| &all.refused);
            let refused = refused.map(|(reason, count)| format!("{count} questions refused, {reason}"));
            let reasons: Vec<String> = rejected.chain(refused).collect();
            format!("{table}\n{}", reasons.join("\n"))
        }
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn row(name: &str, report: &LabelsReport) -> Vec<String> {
    let error = |errors: &DistanceErrors| match errors.mean {
        Some(mean) => format!("{:.1} % ({})", 100.0 * mean, errors.n),
        None => "–".to_owned(),
    };
    let ratio = (report.video_s > 0.0).then(|| report.took_s / report.video_s);
    vec![
        name.to_owned(),
        report.clips.to_string(),
        ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
        report.trajectories.to_string(),
        report.kept.to_string(),
        error(&report.distance_error_kept),
        error(&report.distance_error_rejected),
        error(&report.distance_error_labels),
        report.moving_actors.to_string(),
        report
            .moving_actors_kept
            .map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share)),
    ]
}

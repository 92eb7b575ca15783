//! `kinestream stkit build`: balanced questions and answers from a data set with known trajectories.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};

use super::histogram;
use crate::cli::Format;
use crate::datasets::DataSource;
use crate::stkit::builder::{BuildReport, BuildSettings, Progress, build};

/// Builds questions and answers of the seven tasks from a data set. An interrupted build goes on where it stopped.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// Which data set: kitti, argoverse2, nuscenes, nuplan, egoexo4d or sim.
    #[arg(long)]
    source: DataSource,
    /// Its folder.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The file to write, one record a line. Beside it stands a plot of the labels before and after balancing, FILE.png.
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// How many questions of each task, as far as balanced labels allow.
    #[arg(long, value_name = "N", default_value_t = 200)]
    per_task: usize,
    /// Decides which questions are taken.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How to print what was built.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs `stkit build`.
pub fn run(args: BuildArgs) -> anyhow::Result<()> {
    let settings = BuildSettings {
        source: args.source,
        root: args.root,
        out: args.out,
        per_task: args.per_task,
        seed: args.seed,
    };
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}")?);
    let report = build(&settings, |progress| {
        let (what, done, all) = match progress {
            Progress::Looking(done, all) => ("looking through recordings", done, all),
            Progress::Writing(done, all) => ("writing", done, all),
        };
        bar.set_message(what);
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let mut plot = settings.out.clone().into_os_string();
    plot.push(".png");
    let plot = PathBuf::from(plot);
    histogram::draw(&report, &plot).with_context(|| plot.display().to_string())?;
    for task in report.tasks.iter().filter(|task| task.made < settings.per_task) {
        tracing::warn!(
            "{}: {} of {} questions: the labels of this data set allow no more in balance",
            task.task.code(),
            task.made,
            settings.per_task
        );
    }
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&report)?,
        Format::Text => table(&report).to_string(),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn table(report: &BuildReport) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["task", "questions", "labels", "could be asked", "are asked"]);
    for task in &report.tasks {
        let column = |text: &dyn Fn(usize) -> String| (0..task.bins.len()).map(text).collect::<Vec<_>>().join("\n");
        table.add_row([
            task.task.code().to_owned(),
            task.made.to_string(),
            column(&|bin| task.bins[bin].name.to_owned()),
            column(&|bin| task.bins[bin].before.to_string()),
            column(&|bin| task.bins[bin].after.to_string()),
        ]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

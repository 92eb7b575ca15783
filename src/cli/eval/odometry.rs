//! `kinestream eval odometry`: visual odometry on recorded pictures and depth, against the true trajectory.

use std::io::Write;
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table};
use indicatif::ProgressBar;

use crate::cli::Format;
use crate::reconstruction::evaluation::{OdometryReport, evaluate_seven_scenes};

/// Runs visual odometry over a recording and scores the trajectory.
#[derive(Debug, clap::Args)]
pub struct OdometryArgs {
    /// Data set.
    #[arg(long, value_enum)]
    dataset: Dataset,
    /// Folder with the recording.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Greatest excursion of a slow random walk by which the depth is multiplied, 0.1 for 10 %; 0 for none.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = super::motion::share)]
    depth_wander: f64,
    /// Seed of the walk.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Frames to run at most.
    #[arg(long, value_name = "N")]
    frames: Option<usize>,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Recordings with true camera poses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Dataset {
    /// 7-Scenes.
    #[value(name = "7scenes")]
    SevenScenes,
}

/// Runs `eval odometry`.
pub fn run_odometry(args: OdometryArgs) -> anyhow::Result<()> {
    let bar = ProgressBar::new(0);
    let report = match args.dataset {
        Dataset::SevenScenes => {
            evaluate_seven_scenes(&args.root, args.depth_wander, args.seed, args.frames, |done, count| {
                bar.set_length(count as u64);
                bar.set_position(done as u64);
            })?
        }
    };
    bar.finish_and_clear();
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&report)?,
        Format::Text => table(&report).to_string(),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn table(report: &OdometryReport) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "frames",
        "path m",
        "ATE m",
        "RPE m/s",
        "RPE °/s",
        "scale error",
        "ms/frame",
        "lost",
    ]);
    table.add_row([
        report.frames.to_string(),
        format!("{:.2}", report.path_m),
        format!("{:.4}", report.ate_rmse_m),
        format!("{:.4}", report.rpe_trans_m),
        format!("{:.3}", report.rpe_rot_deg),
        format!("{:.4}", report.scale_error),
        format!("{:.2}", report.ms_per_frame),
        report.lost_frames.to_string(),
    ]);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

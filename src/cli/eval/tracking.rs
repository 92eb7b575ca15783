//! `kinestream eval mot` and `kinestream eval track`: HOTA, CLEAR MOT and identity scores of tracking results.

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use comfy_table::{CellAlignment, Table};

use crate::cli::Format;
use crate::settings;
use crate::tracking::TrackerSettings;
use crate::tracking::evaluation::{score_results, score_tracker};
use crate::tracking::scores::{Report, Summary};

/// Scores tracking results in MOT Challenge files as TrackEval does (HOTA, MOTA, IDF1).
#[derive(Debug, clap::Args)]
pub struct MotArgs {
    /// Folder with the truth, <sequence>/gt.txt.
    #[arg(long, value_name = "DIR")]
    gt: PathBuf,
    /// Folder with the results, <sequence>/result.txt or <sequence>.txt.
    #[arg(long, value_name = "DIR")]
    results: PathBuf,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs our tracker over given detections and scores it as TrackEval does.
#[derive(Debug, clap::Args)]
pub struct TrackArgs {
    /// Folder with <sequence>/det.txt, <sequence>/gt.txt and, for the frame rate, <sequence>/seqinfo.ini (else 25).
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// TOML file with settings of the tracker that differ from the defaults.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs `eval mot`.
pub fn run_mot(args: MotArgs) -> anyhow::Result<()> {
    print(&score_results(&args.gt, &args.results)?, args.format)
}

/// Runs `eval track`.
pub fn run_track(args: TrackArgs) -> anyhow::Result<()> {
    let settings = match &args.settings {
        Some(path) => {
            let settings: TrackerSettings = settings::load(path)?;
            settings
                .check()
                .map_err(|message| anyhow!("{}: {message}", path.display()))?;
            settings
        }
        None => TrackerSettings::default(),
    };
    print(&score_tracker(&args.dir, &settings)?, args.format)
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(report)?,
        Format::Text => table(report).to_string(),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn table(report: &Report) -> Table {
    let timed = report.combined.us_per_frame.is_some();
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    let mut header = vec!["sequence", "HOTA", "MOTA", "IDF1", "IDP", "IDR", "IDSW", "DetA", "AssA"];
    if timed {
        header.push("µs/frame");
    }
    table.set_header(header);
    let all = [("combined", &report.combined)];
    let sequences = report.sequences.iter().map(|(name, summary)| (name.as_str(), summary));
    for (name, summary) in sequences.chain(all) {
        table.add_row(cells(name, summary));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(name: &str, summary: &Summary) -> Vec<String> {
    let fraction = |value: f64| format!("{value:.3}");
    let mut cells = vec![name.to_owned()];
    cells.extend([summary.hota, summary.mota, summary.idf1, summary.idp, summary.idr].map(fraction));
    cells.push(summary.idsw.to_string());
    cells.extend([summary.deta, summary.assa].map(fraction));
    cells.extend(summary.us_per_frame.map(|us| format!("{us:.1}")));
    cells
}

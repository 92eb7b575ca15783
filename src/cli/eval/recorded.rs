//! `kinestream eval recorded`: what was published over the network against the truth of a served world.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::live::tables;
use crate::cli::Format;
use crate::evaluation::live::{Recording, Scorer, read_recording};
use crate::frame::PixelFormat;
use crate::overlay::{PathFamily, PictureMut, draw_plan};

/// Width and height of the plot, pixels.
const PLOT: (u32, u32) = (1100, 900);
const TRUE_RGB: [u8; 3] = [60, 150, 90];
const MEASURED_RGB: [u8; 3] = [214, 66, 57];

/// Scores messages that a subscriber wrote down against the truth that `kinestream sim serve` wrote.
#[derive(Debug, clap::Args)]
pub struct RecordedArgs {
    /// What `kinestream sim serve --truth-out` wrote.
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// What `kinestream watch --format json` printed.
    #[arg(long, value_name = "FILE")]
    tracks: PathBuf,
    /// Draw true and measured paths from above into this PNG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs `eval recorded`.
pub fn run_recorded(args: RecordedArgs) -> anyhow::Result<()> {
    let recording = read_recording(&args.truth, &args.tracks)?;
    if let Some(path) = &args.plot {
        plot(&recording, path)?;
    }
    let mut scorer = Scorer::default();
    scorer.add(&recording.clip);
    let report = scorer.report();
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&report)?,
        Format::Text => tables(&report),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn plot(recording: &Recording, path: &Path) -> anyhow::Result<()> {
    let (truth, measured) = recording.paths();
    let mut pixels = vec![0; (3 * PLOT.0 * PLOT.1) as usize];
    let mut picture = PictureMut::packed(PixelFormat::Rgb, PLOT.0, PLOT.1, &mut pixels)?;
    let families = [
        PathFamily {
            name: "true",
            paths: &truth,
            rgb: TRUE_RGB,
            thickness: 5.0,
        },
        PathFamily {
            name: "measured, settled",
            paths: &measured,
            rgb: MEASURED_RGB,
            thickness: 2.0,
        },
    ];
    let title = format!("{}, seed {}", recording.clip.scene, recording.clip.seed);
    draw_plan(&mut picture, &title, &families);
    image::save_buffer(path, &pixels, PLOT.0, PLOT.1, image::ExtendedColorType::Rgb8)
        .with_context(|| path.display().to_string())
}

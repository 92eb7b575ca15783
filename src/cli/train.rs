//! `kinestream train`: trains the small ST-VLM on simulated worlds.

use std::io::Write;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use crate::settings;
use crate::vlm::tiny::training::{TrainSettings, train};

/// Trains the small ST-VLM on simulated worlds, rendered as it goes. Interrupted, it goes on where it was when run again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Settings (TOML); see configs/train-tiny.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of checkpoints, log and weights, instead of the file's.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Ends after so many steps in all, instead of the file's number.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
}

/// Runs `train`.
pub fn run(args: Args) -> anyhow::Result<()> {
    let mut settings: TrainSettings = settings::load(&args.config)?;
    settings.out = args.out.unwrap_or(settings.out);
    settings.steps = args.steps.unwrap_or(settings.steps);
    let bar = ProgressBar::new(settings.steps);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {msg}")?);
    let mut out = std::io::stdout();
    let plain = bar.is_hidden();
    train(&settings, |line| {
        bar.set_position(line.step);
        bar.set_message(format!("loss {:.3}", line.loss));
        if plain {
            // Nobody watches a bar; a line each is what a log wants.
            let _ = writeln!(
                out,
                "step {} of {}: loss {:.3} (speed {:.3}, hours {:.3}, heading {:.3}), {:.0} rows a second, {:.0} min left",
                line.step,
                line.steps,
                line.loss,
                line.speed,
                line.hours,
                line.heading,
                line.rows_per_s,
                line.minutes_left
            );
        }
    })?;
    bar.finish_and_clear();
    writeln!(std::io::stdout(), "{}", settings.out.join("model.bpk").display())?;
    Ok(())
}

//! `kinestream train`: trains the small ST-VLM on simulated worlds, or tunes a LLaVA-OneVision folder on records.

mod curves;

use std::io::Write;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::settings;
use crate::vlm::llava_onevision::training::{TuneSettings, tune};
use crate::vlm::tiny::training::{TrainSettings, train};
use crate::vlm::training::Trained;

/// What is drawn of the small model's log.
const TINY_CURVES: &[(&str, &str)] = &[
    ("loss", "/loss"),
    ("speed", "/speed"),
    ("hours", "/hours"),
    ("heading", "/heading"),
    ("step speed", "/step_speed"),
    ("range", "/range"),
];

/// What is drawn of a tuning's log.
const TUNING_CURVES: &[(&str, &str)] = &[
    ("loss", "/loss"),
    ("gradient norm", "/norm"),
    ("learning rate", "/rate"),
    ("validation, average %", "/validation/average"),
];

/// Trains the small ST-VLM on simulated worlds, rendered as it goes, or tunes a LLaVA-OneVision folder on STKit records and
/// other conversations about pictures (`model = "llava-onevision"`). Interrupted, it goes on where it was when run again. Log
/// and curves are in the run's folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Settings (TOML); see configs/train-tiny.toml and configs/train-llava.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of checkpoints, log and weights, instead of the file's.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Ends after so many steps in all, instead of the file's number.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
}

/// Which model a file is about; the rest of it is read by that model's settings.
#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    model: Trained,
}

/// Runs `train`.
pub fn run(args: Args) -> anyhow::Result<()> {
    let text = settings::read(&args.config)?;
    match settings::parse::<Which>(&text, &args.config)?.model {
        Trained::Tiny => {
            let mut found: TrainSettings = settings::parse(&text, &args.config)?;
            found.out = args.out.unwrap_or(found.out);
            found.steps = args.steps.unwrap_or(found.steps);
            run_tiny(&found)
        }
        Trained::LlavaOnevision => {
            let mut found: TuneSettings = settings::parse(&text, &args.config)?;
            found.out = args.out.unwrap_or(found.out);
            found.steps = args.steps.unwrap_or(found.steps);
            run_tuning(&found)
        }
    }
}

/// A moving bar on a terminal; elsewhere nobody watches one, and a line each is what a log wants.
struct Shown {
    bar: ProgressBar,
    plain: bool,
}

impl Shown {
    fn new(steps: u64) -> anyhow::Result<Self> {
        let bar = ProgressBar::new(steps);
        bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {msg}")?);
        let plain = bar.is_hidden();
        Ok(Self { bar, plain })
    }

    fn line(&self, step: u64, short: String, long: impl FnOnce() -> String) {
        self.bar.set_position(step);
        self.bar.set_message(short);
        if self.plain {
            let _ = writeln!(std::io::stdout(), "{}", long());
        }
    }
}

/// Draws the curves so far; a run does not end because a picture could not be written.
fn draw(out: &Path, quantities: &[(&'static str, &str)]) {
    if let Err(error) = curves::draw(&out.join("log.jsonl"), quantities, &out.join("curves.png")) {
        tracing::warn!("no curves: {error:#}");
    }
}

fn run_tiny(settings: &TrainSettings) -> anyhow::Result<()> {
    let shown = Shown::new(settings.steps)?;
    train(settings, |line| {
        shown.line(line.step, format!("loss {:.3}", line.loss), || {
            format!(
                "step {} of {}: loss {:.3} (speed {:.3}, hours {:.3}, heading {:.3}), {:.0} rows a second, {:.0} min left",
                line.step,
                line.steps,
                line.loss,
                line.speed,
                line.hours,
                line.heading,
                line.rows_per_s,
                line.minutes_left
            )
        });
        if line.step.is_multiple_of(settings.checkpoint_every) || line.step == line.steps {
            draw(&settings.out, TINY_CURVES);
        }
    })?;
    shown.bar.finish_and_clear();
    writeln!(std::io::stdout(), "{}", settings.out.join("model.bpk").display())?;
    Ok(())
}

fn run_tuning(settings: &TuneSettings) -> anyhow::Result<()> {
    let shown = Shown::new(settings.steps)?;
    let tuned = tune(
        settings,
        |progress| {
            let percent = progress.done * 100 / progress.total.max(1);
            shown.bar.set_message(format!("weights: {percent} %"));
        },
        |line| {
            let validated = line.validation.as_ref().and_then(|validation| validation.average);
            let validated = validated.map_or(String::new(), |average| format!(", validation {average:.1} %"));
            shown.line(line.step, format!("loss {:.3}{validated}", line.loss), || {
                format!(
                    "step {} of {}: loss {:.4}, gradient norm {:.3}, rate {:.2e}{validated}, {:.0} tokens a second, {:.0} min left",
                    line.step, line.steps, line.loss, line.norm, line.rate, line.tokens_per_s, line.minutes_left
                )
            });
            draw(&settings.out, TUNING_CURVES);
        },
    )?;
    shown.bar.finish_and_clear();
    for folder in [tuned.adapter, tuned.model].into_iter().flatten() {
        writeln!(std::io::stdout(), "{}", folder.display())?;
    }
    Ok(())
}

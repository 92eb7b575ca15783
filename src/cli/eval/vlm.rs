//! `kinestream eval vlm`: the small ST-VLM by the STKit-Bench protocol, on simulated worlds.

use std::io::Write;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::live::SeedRange;
use super::stkit::comparison;
use crate::cli::Format;
use crate::evaluation::vlm::{Answerer, Settings, evaluate};
use crate::sim::Scene;
use crate::vlm::tiny::TinyVlm;

/// Asks the small ST-VLM about simulated worlds and scores its answers by the STKit-Bench protocol, beside a constant, the
/// question alone, the boxes alone and the true trajectories.
#[derive(Debug, clap::Args)]
pub struct VlmArgs {
    /// The scenes, separated by commas.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "street-fixed,street-drive,plaza,court,parking"
    )]
    scene: Vec<Scene>,
    /// Seeds, first and last; those below 100000 may have been trained on.
    #[arg(long, value_name = "A-B", default_value = "100000-100009")]
    seeds: SeedRange,
    /// Length of each recording.
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0)]
    seconds: f64,
    /// Questions of each task.
    #[arg(long, value_name = "N", default_value_t = 200)]
    per_task: usize,
    /// Field of view instead of the scenes' own, degrees: a camera that no training saw.
    #[arg(long, value_name = "DEGREES")]
    fov: Option<f64>,
    /// Weights, as `kinestream train` leaves them, instead of those built in.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Decides which questions are asked.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs `eval vlm`.
pub fn run_vlm(args: VlmArgs) -> anyhow::Result<()> {
    let model = match &args.weights {
        Some(path) => TinyVlm::load(path)?,
        None => TinyVlm::builtin()?,
    };
    let SeedRange(first_seed, last_seed) = args.seeds;
    let settings = Settings {
        scenes: args.scene,
        first_seed,
        last_seed,
        seconds: args.seconds,
        per_task: args.per_task,
        horizontal_fov_deg: args.fov,
        seed: args.seed,
    };
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}")?);
    let lines = evaluate(&settings, &model, |what, done, all| {
        bar.set_message(what.to_owned());
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let mut out = std::io::stdout();
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&lines)?)?,
        Format::Text => {
            writeln!(out, "STKit-Bench protocol on simulated scenes")?;
            let mut named = Vec::new();
            for line in &lines {
                let name = match line.answerer {
                    Answerer::Constant => "constant",
                    Answerer::QuestionOnly => "question only",
                    Answerer::BoxesOnly => "boxes only",
                    Answerer::Geometry => "true trajectories",
                    Answerer::TinyPixels => "small ST-VLM, pictures and boxes",
                    Answerer::TinyStates => "small ST-VLM, engine states",
                };
                named.push((name.to_owned(), &line.scores));
                if matches!(line.answerer, Answerer::TinyPixels | Answerer::TinyStates) {
                    named.extend(line.splits.iter().map(|(split, scores)| (format!("  {split}"), scores)));
                }
            }
            writeln!(out, "{}", comparison(&named))?;
            for line in &lines {
                if let Some(coverage) = line.coverage80 {
                    writeln!(
                        out,
                        "{:?}: 80 % intervals hold {:.1} % of distances and speeds",
                        line.answerer,
                        100.0 * coverage
                    )?;
                }
            }
        }
    }
    Ok(())
}

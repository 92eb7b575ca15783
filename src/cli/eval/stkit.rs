//! `kinestream eval stkit`: answers scored by the STKit-Bench protocol.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::cli::Format;
use crate::stkit::benchmark::{BoxesOnly, Constant, Geometry, Model, PUBLISHED, QuestionOnly, Scorer, Scores};
use crate::stkit::{Record, Task, read_records};
use crate::vlm::remote::{Endpoint, RemoteModel};

/// Scores answers to STKit records: those of a file, or those of a model that is asked now.
#[derive(Debug, clap::Args)]
pub struct StkitArgs {
    /// The records, as `kinestream stkit build` writes them.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Answers to score: one JSON object a line, {"id": the record's id, "answer": its text}. What is missing is wrong.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "model",
        required_unless_present = "model"
    )]
    answers: Option<PathBuf>,
    /// A model to ask: constant, question-only, boxes-only, geometry, or remote:URL of an OpenAI-compatible server.
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// Only records on this side of a split, e.g. random=test, camera=unseen, frame_rate=unseen, wording=paraphrase,
    /// ego=standing; may be given several times.
    #[arg(long, value_name = "SPLIT=SIDE")]
    split: Vec<Split>,
    /// The data set's folder, which the records' pictures are relative to (for remote models).
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// The model's name on the server.
    #[arg(long, value_name = "NAME", default_value = "default")]
    remote_model: String,
    /// Environment variable with the server's key.
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    key_variable: String,
    /// How long to wait for one answer of a server, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    timeout: f64,
    /// Write the model's answers to this file, in the form that --answers takes.
    #[arg(long, value_name = "FILE")]
    save_answers: Option<PathBuf>,
    /// How to print the scores.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ModelName {
    Constant,
    QuestionOnly,
    BoxesOnly,
    Geometry,
    Remote(String),
}

impl FromStr for ModelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "constant" => Self::Constant,
            "question-only" => Self::QuestionOnly,
            "boxes-only" => Self::BoxesOnly,
            "geometry" => Self::Geometry,
            _ => match text.strip_prefix("remote:") {
                Some(url) if url.starts_with("http://") || url.starts_with("https://") => Self::Remote(url.to_owned()),
                Some(url) => return Err(format!("expected remote:http://… or remote:https://…, found `{url}`")),
                None => {
                    return Err(format!(
                        "expected constant, question-only, boxes-only, geometry or remote:URL, found `{text}`"
                    ));
                }
            },
        })
    }
}

/// One side of one split.
#[derive(Clone, Debug)]
struct Split {
    name: String,
    side: String,
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const NAMES: [&str; 5] = ["random", "camera", "frame_rate", "wording", "ego"];
        match text.split_once('=') {
            Some((name, side)) if NAMES.contains(&name) => Ok(Self {
                name: name.to_owned(),
                side: side.to_owned(),
            }),
            _ => Err(format!(
                "expected one of {} with =SIDE, found `{text}`",
                NAMES.join(", ")
            )),
        }
    }
}

impl Split {
    fn holds(&self, record: &Record) -> bool {
        let splits = &record.quality.splits;
        let side = match self.name.as_str() {
            "random" => &splits.random,
            "camera" => &splits.camera,
            "frame_rate" => &splits.frame_rate,
            "wording" => &splits.wording,
            _ => &splits.ego,
        };
        *side == self.side
    }
}

#[derive(Deserialize)]
struct AnswerLine {
    id: String,
    answer: String,
}

/// Runs `eval stkit`.
pub fn run_stkit(args: StkitArgs) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} answers, {per_sec}")?);
    let scores = match (&args.answers, &args.model) {
        (Some(path), _) => score_file(&args, path)?,
        (None, Some(name)) => score_model(&args, name, &bar)?,
        (None, None) => bail!("--answers or --model is needed"),
    };
    bar.finish_and_clear();
    ensure!(
        !scores.tasks.is_empty(),
        "{} has no records to score",
        args.data.display()
    );
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&scores)?,
        Format::Text => table(&scores).to_string(),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// The records on the wanted sides.
fn records(args: &StkitArgs) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Record>>> {
    Ok(read_records(&args.data)?
        .filter(|record| match record {
            Ok(record) => args.split.iter().all(|split| split.holds(record)),
            Err(_) => true,
        })
        .map(|record| Ok(record?)))
}

fn score_file(args: &StkitArgs, path: &Path) -> anyhow::Result<Scores> {
    let mut answers: HashMap<String, String> = HashMap::new();
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let at = || format!("{}:{}", path.display(), index + 1);
        let line = line.with_context(at)?;
        if line.trim().is_empty() {
            continue;
        }
        let line: AnswerLine =
            serde_json::from_str(&line).with_context(|| format!("{}: expected {{\"id\": …, \"answer\": …}}", at()))?;
        if let Some(other) = answers.insert(line.id, line.answer) {
            bail!("{}: the same id was answered before, with `{other}`", at());
        }
    }
    let mut scorer = Scorer::default();
    let mut used = 0;
    for record in records(args)? {
        let record = record?;
        let answer = answers.get(&record.id);
        used += usize::from(answer.is_some());
        scorer.add(&record, answer.map(String::as_str));
    }
    ensure!(
        used > 0 || answers.is_empty(),
        "none of the ids in {} stands in {}",
        path.display(),
        args.data.display()
    );
    Ok(scorer.scores())
}

fn score_model(args: &StkitArgs, name: &ModelName, bar: &ProgressBar) -> anyhow::Result<Scores> {
    let mut model: Box<dyn Model> = match name {
        ModelName::Constant => {
            let mut model = Constant::default();
            for record in records(args)? {
                model.fit(&record?);
            }
            Box::new(model)
        }
        ModelName::QuestionOnly => {
            let mut model = QuestionOnly::default();
            for record in records(args)? {
                model.fit(&record?);
            }
            Box::new(model)
        }
        ModelName::BoxesOnly => Box::new(BoxesOnly::default()),
        ModelName::Geometry => Box::new(Geometry),
        ModelName::Remote(url) => {
            let endpoint = Endpoint {
                url: url.clone(),
                model: args.remote_model.clone(),
                key: std::env::var(&args.key_variable).ok(),
                max_tokens: None,
            };
            let timeout =
                Duration::try_from_secs_f64(args.timeout).with_context(|| format!("--timeout {}", args.timeout))?;
            Box::new(RemoteModel::new(endpoint, timeout, args.root.clone())?)
        }
    };
    let mut save = match &args.save_answers {
        Some(path) => Some(std::io::BufWriter::new(
            std::fs::File::create(path).with_context(|| path.display().to_string())?,
        )),
        None => None,
    };
    let mut scorer = Scorer::default();
    for record in records(args)? {
        let record = record?;
        let answer = model.answer(&record);
        scorer.add(&record, Some(&answer));
        if let Some(save) = &mut save {
            writeln!(save, "{}", serde_json::json!({ "id": record.id, "answer": answer }))?;
        }
        bar.inc(1);
    }
    if let Some(mut save) = save {
        save.flush()?;
    }
    Ok(scorer.scores())
}

fn table(scores: &Scores) -> Table {
    comparison(&[("the STKit-Bench protocol on our data".to_owned(), scores)])
}

/// Named scores with the numbers of questions of the first one, beside what the paper publishes.
pub(super) fn comparison(lines: &[(String, &Scores)]) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    let header = [
        "",
        "TD (MAE m)",
        "TS (km/h)",
        "MD (h)",
        "DT (IoU)",
        "TDC",
        "TSC",
        "MDC",
        "average",
    ];
    table.set_header(header);
    for (name, scores) in lines {
        table.add_row(row(name, scores));
    }
    if let Some((_, scores)) = lines.first() {
        let mut counts = vec!["questions".to_owned()];
        counts.extend(Task::ALL.iter().map(|task| {
            let found = scores.tasks.iter().find(|scores| scores.task == *task);
            found.map_or(0, |found| found.n).to_string()
        }));
        counts.push(
            scores
                .parse_rate
                .map_or("–".to_owned(), |rate| format!("{:.1} % read", 100.0 * rate)),
        );
        table.add_row(counts);
    }
    for published in PUBLISHED {
        let mut row = vec![format!("{}, published, on STKit-Bench", published.model)];
        for (index, accuracy) in published.accuracy.iter().enumerate() {
            row.push(match published.error.get(index) {
                Some(error) => format!("{accuracy:.1} ({error})"),
                None => format!("{accuracy:.1}"),
            });
        }
        row.push(format!("{:.1}", published.average));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(name: &str, scores: &Scores) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    row.extend(Task::ALL.iter().map(|task| {
        let found = scores.tasks.iter().find(|scores| scores.task == *task);
        found.map_or("–".to_owned(), |found| match found.error {
            Some(error) if found.error_name().is_some() => {
                let digits = if *task == Task::DirectionTimestamp { 2 } else { 1 };
                format!("{:.1} ({error:.digits$})", found.accuracy)
            }
            _ => format!("{:.1}", found.accuracy),
        })
    }));
    row.push(scores.average.map_or("–".to_owned(), |average| format!("{average:.1}")));
    row
}

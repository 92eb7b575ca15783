//! `kinestream stkit label`: questions and answers from raw video, by what our own chain sees in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use comfy_table::{CellAlignment, Table};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::cli::Format;
use crate::gst::labels::{VideoToLabel, label_video};
use crate::gst::pipeline::EgoMode;
use crate::stkit::Task;
use crate::stkit::pseudo::{Limits, ObserverSettings, PseudoRecord, balanced};

/// What is taken for a video in a folder.
const VIDEO_EXTENSIONS: [&str; 9] = ["mp4", "mkv", "mov", "avi", "webm", "m4v", "ts", "mpg", "mpeg"];
/// Questions of one bin of labels that a piece of 30 s gives at most, before those of all videos are balanced.
const PER_BIN: usize = 12;
/// Changes whenever the same video and settings would make other records.
const FORMAT: u32 = 1;

/// Makes questions and answers from raw video: the chain runs over each video, and trajectories that pass its filters become
/// labels.
///
/// What each video gave is kept beside the output, in FILE.jsonl.parts: an interrupted run goes on with the videos that are
/// missing, and a folder that grew is labelled where it grew.
#[derive(Debug, clap::Args)]
pub struct LabelArgs {
    /// Videos, or folders with videos.
    #[arg(required = true, value_name = "VIDEO")]
    videos: Vec<PathBuf>,
    /// The file to write, one record a line.
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// The camera file of all videos. Otherwise the one beside a video is taken: VIDEO.toml for VIDEO.mp4, or camera.toml.
    /// Without any the field of view is assumed, and no label is kept unless --assumed-camera says so.
    #[arg(long, value_name = "FILE")]
    camera: Option<PathBuf>,
    /// Keep labels of videos without a camera file; their scale is a guess.
    #[arg(long)]
    assumed_camera: bool,
    /// How the cameras' own motion is found: static or visual.
    #[arg(long, value_name = "MODE", default_value = "static", value_parser = parse_ego)]
    ego: EgoMode,
    /// Detector, manifest or ONNX file, in place of the built-in one.
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,
    /// Depth network, manifest or ONNX file, in place of the built-in one; `none` for none.
    #[arg(long, value_name = "FILE")]
    depth: Option<PathBuf>,
    /// Videos that are looked at side by side.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// How many questions of each task, as far as balanced labels allow.
    #[arg(long, value_name = "N", default_value_t = 200)]
    per_task: usize,
    /// Decides which questions are taken.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Half the 95 % interval of a distance, relative to it, at most.
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().most_half_width)]
    max_half_width: f64,
    /// How to print what was made.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn parse_ego(text: &str) -> Result<EgoMode, String> {
    match text {
        "static" => Ok(EgoMode::Static),
        "visual" => Ok(EgoMode::Visual),
        _ => Err(format!("expected static or visual, found `{text}`")),
    }
}

/// What one video gave: the first line of its part, before its records.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Summary {
    video: String,
    trajectories: u64,
    kept: u64,
    /// Trajectories by the filter that rejected them.
    rejected: BTreeMap<String, u64>,
    /// Questions that the third filter refused.
    refused: BTreeMap<String, u64>,
}

impl Summary {
    fn add(&mut self, other: &Self) {
        self.trajectories += other.trajectories;
        self.kept += other.kept;
        for (all, one) in [
            (&mut self.rejected, &other.rejected),
            (&mut self.refused, &other.refused),
        ] {
            for (reason, count) in one {
                *all.entry(reason.clone()).or_default() += count;
            }
        }
    }
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    videos: usize,
    resumed: usize,
    failed: Vec<String>,
    trajectories: u64,
    kept: u64,
    rejected: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    records: BTreeMap<&'static str, usize>,
}

/// Runs `stkit label`.
pub fn run(args: LabelArgs) -> anyhow::Result<()> {
    ensure!(
        args.max_half_width > 0.0,
        "--max-half-width must be more than 0, found {}",
        args.max_half_width
    );
    let videos = find_videos(&args.videos)?;
    let parts = beside(&args.out, ".parts");
    fs::create_dir_all(&parts).with_context(|| parts.display().to_string())?;
    let jobs = (args.jobs as usize).min(videos.len());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = Work {
        settings: ObserverSettings {
            limits: Limits {
                assumed_camera: args.assumed_camera,
                most_half_width: args.max_half_width,
                ..Limits::default()
            },
            ..ObserverSettings::default()
        },
        threads: if jobs > 1 { (cores / jobs).max(1) as u32 } else { 0 },
        args: &args,
        parts: &parts,
        next: AtomicUsize::new(0),
        resumed: AtomicUsize::new(0),
        failed: Mutex::new(Vec::new()),
    };
    let bars = MultiProgress::new();
    let all = bars.add(ProgressBar::new(videos.len() as u64));
    all.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} videos {eta}")?);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let bar = bars.add(ProgressBar::new_spinner());
            let (work, videos, all) = (&work, &videos, &all);
            scope.spawn(move || work.run(videos, all, &bar));
        }
    });
    all.finish_and_clear();
    let mut failed = work.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort();
    for reason in &failed {
        tracing::error!("{reason}");
    }
    if failed.len() == videos.len() {
        bail!("no video could be labelled: {}", failed.join("; "));
    }
    let done: Vec<PathBuf> = videos
        .iter()
        .filter_map(|video| part_of(&parts, video, &args).ok().filter(|part| part.is_file()))
        .collect();
    let (summary, records) = assemble(&args.out, &done, args.per_task)?;
    let made = Made {
        videos: videos.len(),
        resumed: work.resumed.load(Ordering::Relaxed),
        failed,
        trajectories: summary.trajectories,
        kept: summary.kept,
        rejected: summary.rejected,
        refused: summary.refused,
        records,
    };
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&made)?,
        Format::Text => made.table(),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

struct Work<'a> {
    settings: ObserverSettings,
    threads: u32,
    args: &'a LabelArgs,
    parts: &'a Path,
    next: AtomicUsize,
    resumed: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Work<'_> {
    /// One video after the other, until none is left.
    fn run(&self, videos: &[PathBuf], all: &ProgressBar, bar: &ProgressBar) {
        while let Some(video) = videos.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            match self.label(video, bar) {
                Ok(true) => {
                    self.resumed.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => {}
                Err(error) => {
                    let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.push(format!("{}: {error:#}", video.display()));
                }
            }
            all.inc(1);
        }
        bar.finish_and_clear();
    }

    /// Labels one video; true when that was done before.
    fn label(&self, path: &Path, bar: &ProgressBar) -> anyhow::Result<bool> {
        let part = part_of(self.parts, path, self.args)?;
        if part.is_file() {
            return Ok(true);
        }
        let video = VideoToLabel {
            path: path.to_owned(),
            name: path.to_string_lossy().into_owned(),
            camera_file: camera_of(path, self.args.camera.as_deref()),
            ego: self.args.ego,
            detector: self.args.detector.clone(),
            depth: self.args.depth.clone(),
            threads: self.threads,
        };
        type Found = (Summary, Vec<PseudoRecord>);
        let found: Arc<Mutex<Found>> = Arc::default();
        let (sink, seed, placed) = (Arc::clone(&found), self.args.seed, video.clone());
        let on_piece = move |piece: crate::stkit::pseudo::Piece| {
            let mut found = sink.lock().unwrap_or_else(PoisonError::into_inner);
            let (summary, all) = &mut *found;
            for verdict in &piece.verdicts {
                summary.trajectories += 1;
                match verdict.rejection {
                    None => summary.kept += 1,
                    Some(reason) => *summary.rejected.entry(reason.as_str().to_owned()).or_default() += 1,
                }
            }
            let (mut records, refused) = piece.records(PER_BIN, seed);
            for ((task, reason), count) in refused {
                let reason = format!("{}: {reason}", task.code());
                *summary.refused.entry(reason).or_default() += count;
            }
            placed.place(&piece, &mut records);
            all.append(&mut records);
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (shown, frames) = (bar.clone(), AtomicUsize::new(0));
        label_video(&video, self.settings.clone(), on_piece, move |results| {
            let frames = frames.fetch_add(1, Ordering::Relaxed) + 1;
            if frames.is_multiple_of(25) {
                shown.set_message(format!("{name}: {frames} frames, {:.1} s", results.time.seconds()));
                shown.tick();
            }
        })?;
        let (mut summary, records) = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        summary.video = video.name;
        write_part(&part, &summary, &records).with_context(|| part.display().to_string())?;
        Ok(false)
    }
}

/// Writes a part beside its place, and moves it there when it is whole.
fn write_part(part: &Path, summary: &Summary, records: &[PseudoRecord]) -> anyhow::Result<()> {
    let unfinished = beside(part, ".unfinished");
    let mut file = BufWriter::new(File::create(&unfinished)?);
    serde_json::to_writer(&mut file, summary)?;
    for record in records {
        file.write_all(b"\n")?;
        serde_json::to_writer(&mut file, record)?;
    }
    file.write_all(b"\n")?;
    file.into_inner()?.sync_all()?;
    fs::rename(&unfinished, part)?;
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// All videos, those of folders in order of their names.
fn find_videos(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut videos = Vec::new();
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in given {
        let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
        if metadata.is_dir() {
            folders.push(path.clone());
        } else {
            videos.push(path.clone());
        }
    }
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            let extension = path
                .extension()
                .map(|extension| extension.to_string_lossy().to_lowercase());
            if path.is_dir() {
                folders.push(path);
            } else if extension.is_some_and(|extension| VIDEO_EXTENSIONS.contains(&extension.as_str())) {
                found.push(path);
            }
        }
    }
    found.sort();
    videos.append(&mut found);
    let mut known = std::collections::HashSet::new();
    videos.retain(|video| known.insert(video.clone()));
    ensure!(
        !videos.is_empty(),
        "no video found; expected files that end in {}",
        VIDEO_EXTENSIONS.join(", ")
    );
    Ok(videos)
}

/// The camera file of a video: the one given, VIDEO.toml, or camera.toml in its folder.
fn camera_of(video: &Path, given: Option<&Path>) -> Option<PathBuf> {
    let own = [video.with_extension("toml"), video.with_file_name("camera.toml")];
    given
        .map(Path::to_owned)
        .or_else(|| own.into_iter().find(|path| path.is_file()))
}

/// Where a video's part lies: its name says which video and which settings.
fn part_of(parts: &Path, video: &Path, args: &LabelArgs) -> anyhow::Result<PathBuf> {
    let stamp = |path: &Path| -> anyhow::Result<(u64, Option<std::time::SystemTime>)> {
        let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
        Ok((metadata.len(), metadata.modified().ok()))
    };
    let mut hasher = DefaultHasher::new();
    let camera = camera_of(video, args.camera.as_deref());
    FORMAT.hash(&mut hasher);
    video.hash(&mut hasher);
    stamp(video)?.hash(&mut hasher);
    if let Some(camera) = &camera {
        camera.hash(&mut hasher);
        stamp(camera)?.hash(&mut hasher);
    }
    (args.ego.as_str(), &args.detector, &args.depth).hash(&mut hasher);
    (args.seed, args.assumed_camera, args.max_half_width.to_bits()).hash(&mut hasher);
    let stem = video.file_stem().unwrap_or_default().to_string_lossy();
    Ok(parts.join(format!("{stem}-{:016x}.jsonl", hasher.finish())))
}

/// Writes the balanced records of all parts, and says what is in them.
fn assemble(
    out: &Path,
    parts: &[PathBuf],
    per_task: usize,
) -> anyhow::Result<(Summary, BTreeMap<&'static str, usize>)> {
    let mut summary = Summary::default();
    // Where each record begins, so that only those taken are read.
    let mut bins: Vec<(Task, u8)> = Vec::new();
    for part in parts {
        let name = || part.display().to_string();
        let mut lines = BufReader::new(File::open(part).with_context(name)?).lines();
        if let Some(first) = lines.next() {
            summary.add(&serde_json::from_str::<Summary>(&first?).with_context(name)?);
        }
        for line in lines {
            let found: PseudoRecord = serde_json::from_str(&line?).with_context(name)?;
            bins.push((found.record.task, found.bin));
        }
    }
    let taken = spread(&bins, per_task);
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let unfinished = beside(out, ".part");
    let mut file = BufWriter::new(File::create(&unfinished).with_context(|| unfinished.display().to_string())?);
    let mut at = 0;
    for part in parts {
        for line in BufReader::new(File::open(part)?).lines().skip(1) {
            let line = line?;
            at += 1;
            if !taken[at - 1] {
                continue;
            }
            let mut record = serde_json::from_str::<PseudoRecord>(&line)?.record;
            let count = counts.entry(record.task.code()).or_default();
            record.id = format!("video-{}-{count:06}", record.task.code());
            *count += 1;
            serde_json::to_writer(&mut file, &record)?;
            file.write_all(b"\n")?;
        }
    }
    file.into_inner()?.sync_all()?;
    fs::rename(&unfinished, out).with_context(|| out.display().to_string())?;
    Ok((summary, counts))
}

/// The balanced choice, spread over all videos: asked in an order in which neighbours are from different ones.
fn spread(bins: &[(Task, u8)], per_task: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..bins.len()).collect();
    order.sort_by_key(|index| {
        let mut hasher = DefaultHasher::new();
        index.hash(&mut hasher);
        hasher.finish()
    });
    let shuffled: Vec<(Task, u8)> = order.iter().filter_map(|index| bins.get(*index).copied()).collect();
    let mut taken = vec![false; bins.len()];
    for (index, chosen) in order.into_iter().zip(balanced(&shuffled, per_task)) {
        taken[index] = chosen;
    }
    taken
}

impl Made {
    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["", "count"]);
        let mut row = |name: &str, count: u64| {
            table.add_row([name.to_owned(), count.to_string()]);
        };
        row("videos", self.videos as u64);
        row("… labelled before", self.resumed as u64);
        row("… failed", self.failed.len() as u64);
        row("trajectories", self.trajectories);
        row("… kept", self.kept);
        for (reason, count) in &self.rejected {
            row(&format!("… rejected, {reason}"), *count);
        }
        for (reason, count) in &self.refused {
            row(&format!("questions refused, {reason}"), *count);
        }
        for (task, count) in &self.records {
            row(&format!("records, {task}"), *count as u64);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

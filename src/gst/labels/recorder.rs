//! Labels of a camera while it runs: a thread of its own takes frames from a bounded queue, and writes records.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::{observed, place};
use crate::motion::SharedTrajectories;
use crate::results::FrameResults;
use crate::stkit::Task;
use crate::stkit::pseudo::{Observer, ObserverSettings, Piece, balanced};

/// Frames that may wait for the thread: two seconds, while it draws questions from a piece. They hold their depth maps.
const WAITING_FRAMES: usize = 64;
/// Questions of each task from one piece of a stream, at most.
const PER_TASK: usize = 10;
/// Decides which ones.
const SEED: u64 = 1;

/// Counters that the recorder's thread and its owner share.
#[derive(Debug, Default)]
struct Counters {
    dropped: AtomicU64,
    written: AtomicU64,
    failed: AtomicU64,
}

/// Writes labels of one stream into a file. Dropping it writes what is left, and closes the file.
#[derive(Debug)]
pub struct LabelRecorder {
    frames: Option<Sender<Arc<FrameResults>>>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl LabelRecorder {
    /// Appends to `path`; `name` says in records which camera it is.
    ///
    /// # Errors
    /// A file that cannot be opened, or no thread.
    pub fn start(path: &Path, name: &str, settings: ObserverSettings) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (frames, waiting) = bounded(WAITING_FRAMES);
        let counters = Arc::new(Counters::default());
        // Two runs of one camera are told apart by when they began.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut writer = Writer {
            file: BufWriter::new(file),
            name: format!("{name}@{}", since.as_secs()),
            counters: Arc::clone(&counters),
            number: 0,
        };
        let observer = Observer::new(&writer.name, settings);
        let thread = std::thread::Builder::new()
            .name("labels".to_owned())
            .spawn(move || writer.run(observer, &waiting))?;
        Ok(Self {
            frames: Some(frames),
            counters,
            thread: Some(thread),
        })
    }

    /// Takes a frame when there is room, else counts it as dropped. Never waits.
    pub fn offer(&self, results: &Arc<FrameResults>) {
        let Some(frames) = &self.frames else { return };
        if let Err(TrySendError::Full(_)) = frames.try_send(Arc::clone(results)) {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frames that found no room.
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }

    /// Records in the file that this recorder wrote.
    pub fn written(&self) -> u64 {
        self.counters.written.load(Ordering::Relaxed)
    }

    /// Records that could not be written.
    pub fn failed(&self) -> u64 {
        self.counters.failed.load(Ordering::Relaxed)
    }
}

impl Drop for LabelRecorder {
    fn drop(&mut self) {
        self.frames = None;
        if let Some(thread) = self.thread.take() {
            // It panics on nothing; if it did, what it wrote stays.
            let _ = thread.join();
        }
    }
}

struct Writer {
    file: BufWriter<File>,
    name: String,
    counters: Arc<Counters>,
    number: usize,
}

impl Writer {
    fn run(&mut self, mut observer: Observer, frames: &Receiver<Arc<FrameResults>>) {
        let mut trajectories: Option<SharedTrajectories> = None;
        for results in frames {
            let (Some(seen), Some(store)) = (observed(&results), &results.trajectories) else {
                continue;
            };
            let pieces = observer.frame(&seen, |read| store.read(|store| read(store)));
            self.write_all(&pieces);
            trajectories.get_or_insert_with(|| store.clone());
        }
        if let Some(store) = trajectories {
            let pieces = observer.finish(|read| store.read(|store| read(store)));
            self.write_all(&pieces);
        }
    }

    fn write_all(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            let (found, _) = piece.records(PER_TASK, SEED);
            let bins: Vec<(Task, u8)> = found.iter().map(|found| (found.record.task, found.bin)).collect();
            let taken = balanced(&bins, PER_TASK);
            for (mut found, _) in found.into_iter().zip(taken).filter(|(_, taken)| *taken) {
                place(&mut found.record, &self.name, piece.start_s, self.number);
                self.number += 1;
                let written = serde_json::to_writer(&mut self.file, &found.record)
                    .map_err(io::Error::from)
                    .and_then(|()| self.file.write_all(b"\n"));
                self.count(written, 1);
            }
            if let Err(error) = self.file.flush() {
                self.count(Err(error), 0);
            }
        }
    }

    fn count(&self, written: io::Result<()>, records: u64) {
        match written {
            Ok(()) => {
                self.counters.written.fetch_add(records, Ordering::Relaxed);
            }
            Err(error) => {
                if self.counters.failed.fetch_add(records.max(1), Ordering::Relaxed) == 0 {
                    tracing::error!(camera = %self.name, "labels cannot be written: {error}");
                }
            }
        }
    }
}

//! The builder: balanced questions and answers of the seven tasks from any data set.
//!
//! Twice through the recordings: first every question that could be asked is looked at and a few of each bin of labels are
//! kept ([`candidates`]), then the chosen ones are written in the order of the recordings. What is chosen depends on the
//! settings alone, so a build that was interrupted goes on where it stopped and gives the same file.

mod balance;
mod candidates;
mod grid;
mod judge;
mod memory;
mod render;
mod scene;
mod window;
mod wordings;
mod write;

use std::borrow::Borrow;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use super::Task;
use crate::datasets::{self, DataSource, DatasetError, Domain, Recording};
use candidates::{Bin, Pool, bins, gather};
pub use judge::{Judge, Judged};
pub use memory::{Built, build_records, draw_records, share_out};
use render::{Order, render};
use scene::{GridScene, phases};
pub use window::LabelWindow;
pub use wordings::{Asked, answer as answer_in_words};
use write::Output;

/// What to build.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuildSettings {
    /// The data set.
    pub source: DataSource,
    /// Its folder.
    pub root: PathBuf,
    /// The file to write.
    #[serde(skip)]
    pub out: PathBuf,
    /// How many questions of each task.
    pub per_task: usize,
    /// Decides which ones.
    pub seed: u64,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// So many of so many recordings have been looked through.
    Looking(usize, usize),
    /// So many of so many records are written.
    Writing(usize, usize),
}

/// Labels in one bin, before and after balancing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BinReport {
    /// Which labels.
    pub name: &'static str,
    /// How many could be asked about.
    pub before: u64,
    /// How many are.
    pub after: usize,
}

/// What became of one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskReport {
    /// The task.
    pub task: Task,
    /// How many questions were made.
    pub made: usize,
    /// Its labels.
    pub bins: Vec<BinReport>,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuildReport {
    /// By task.
    pub tasks: Vec<TaskReport>,
    /// Records in the file.
    pub records: usize,
    /// How many of them an earlier, interrupted build had written.
    pub resumed: usize,
}

/// Why nothing was built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The data set cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The output cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nothing can be asked.
    #[error("{}: no object is known and seen for 2 s or longer, so there is nothing to ask about", root.display())]
    Nothing {
        /// The data set's folder.
        root: PathBuf,
    },
}

/// Builds `settings.out`, or finishes building it.
pub fn build(settings: &BuildSettings, mut progress: impl FnMut(Progress)) -> Result<BuildReport, BuildError> {
    let mut recordings = datasets::open(settings.source, &settings.root)?;
    let mut pool = Pool::new(settings.per_task);
    let count = recordings.names().len();
    for index in 0..count {
        let Some(recording) = recordings.load(index) else { break };
        look_through(&recording?, index, settings.seed, None, &mut pool);
        progress(Progress::Looking(index + 1, count));
    }
    let (orders, tasks) = choose(pool, settings.per_task);
    if orders.is_empty() {
        return Err(BuildError::Nothing {
            root: settings.root.clone(),
        });
    }
    let mut output = Output::open(settings, orders.len()).map_err(|source| BuildError::Write {
        path: settings.out.clone(),
        source,
    })?;
    let resumed = output.written();
    let writing = Writing {
        orders: &orders,
        root: &settings.root,
        judge: None,
        from: resumed,
    };
    let mut written = resumed;
    writing.write_all(
        |index| recordings.load(index).transpose().map_err(BuildError::from),
        |_, record| {
            output.write(&record).map_err(|source| BuildError::Write {
                path: settings.out.clone(),
                source,
            })?;
            written += 1;
            progress(Progress::Writing(written, orders.len()));
            Ok(())
        },
    )?;
    output.finish().map_err(|source| BuildError::Write {
        path: settings.out.clone(),
        source,
    })?;
    Ok(BuildReport {
        tasks,
        records: orders.len(),
        resumed,
    })
}

/// Offers the pool all that a recording could be asked.
fn look_through(recording: &Recording, index: usize, seed: u64, judge: Option<&dyn Judge>, pool: &mut Pool) {
    let directions = recording.domain != Domain::Sports;
    for camera in 0..recording.cameras.len().max(1) {
        for phase in 0..phases(recording) {
            let scene = GridScene::new(recording, camera, phase);
            let identity = [index as u64, camera as u64, u64::from(phase)];
            gather(&scene, identity, seed, directions, judge, pool);
        }
    }
}

/// The balanced choice, in the order in which it is written.
fn choose(pool: Pool, per_task: usize) -> (Vec<Order>, Vec<TaskReport>) {
    choose_by(pool, |available, max_share| {
        balance::quotas(available, per_task, max_share)
    })
}

/// All that the pool kept.
fn choose_all(pool: Pool) -> (Vec<Order>, Vec<TaskReport>) {
    choose_by(pool, |available, _| available.to_vec())
}

fn choose_by(pool: Pool, quotas: impl Fn(&[usize], f64) -> Vec<usize>) -> (Vec<Order>, Vec<TaskReport>) {
    let mut orders = Vec::new();
    let mut reports = Vec::new();
    for (task, filled) in Task::ALL.into_iter().zip(pool.into_bins()) {
        let (names, max_share) = bins(task);
        let available: Vec<usize> = filled.iter().map(|bin| bin.kept.len()).collect();
        let quotas = quotas(&available, max_share);
        let mut number = 0;
        let mut report = TaskReport {
            task,
            made: quotas.iter().sum(),
            bins: Vec::with_capacity(names.len()),
        };
        for ((Bin { seen, kept }, quota), name) in filled.into_iter().zip(quotas).zip(names) {
            report.bins.push(BinReport {
                name,
                before: seen,
                after: quota,
            });
            for candidate in kept.into_sorted_vec().into_iter().take(quota) {
                // Which way a comparison is asked is free, so each way gets the same share.
                let way = if task.subjects() == 2 { number % 4 } else { 0 };
                orders.push(Order {
                    candidate,
                    number,
                    inverted: way % 2 == 1,
                    swapped: way / 2 == 1,
                });
                number += 1;
            }
        }
        reports.push(report);
    }
    orders.sort_by_key(|order| {
        let c = &order.candidate;
        (c.recording, c.camera, c.phase, c.priority, c.task)
    });
    (orders, reports)
}

/// Orders on their way to records.
struct Writing<'a> {
    orders: &'a [Order],
    root: &'a std::path::Path,
    judge: Option<&'a dyn Judge>,
    /// How many are written already.
    from: usize,
}

impl Writing<'_> {
    fn write_all<R: Borrow<Recording>, E>(
        &self,
        mut load: impl FnMut(usize) -> Result<Option<R>, E>,
        mut write: impl FnMut(&Order, crate::stkit::Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = self.from;
        while let Some(next) = self.orders.get(at) {
            let index = next.candidate.recording;
            let Some(recording) = load(index as usize)? else { break };
            let recording: &Recording = recording.borrow();
            while let Some(next) = self.orders.get(at).filter(|order| order.candidate.recording == index) {
                let (camera, phase) = (next.candidate.camera, next.candidate.phase);
                let scene = GridScene::new(recording, usize::from(camera), phase);
                let of_scene = |order: &&Order| {
                    let c = &order.candidate;
                    (c.recording, c.camera, c.phase) == (index, camera, phase)
                };
                while let Some(order) = self.orders.get(at).filter(of_scene) {
                    if let Some(record) = render(&scene, order, self.root, self.judge) {
                        write(order, record)?;
                    }
                    at += 1;
                }
            }
        }
        Ok(())
    }
}

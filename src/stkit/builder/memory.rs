//! Questions and answers from recordings that are in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use super::candidates::{Pool, bins};
use super::render::Order;
use super::{Judge, TaskReport, Writing, balance, choose, choose_all, look_through};
use crate::datasets::Recording;
use crate::stkit::{Record, Task};

/// What was made of recordings in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Built {
    /// The records, with the index of the recording that each is from, in the order of the recordings.
    pub records: Vec<(usize, Record)>,
    /// Of each record the number of its label's bin.
    pub bins: Vec<u8>,
    /// By task.
    pub tasks: Vec<TaskReport>,
    /// How many questions the judge refused, by task and reason.
    pub refused: BTreeMap<(Task, &'static str), u64>,
}

/// Balanced questions over all of `recordings` together, `per_task` of each task as far as their labels allow.
pub fn build_records(recordings: &[Recording], per_task: usize, seed: u64) -> Built {
    let mut pool = Pool::new(per_task);
    for (index, recording) in recordings.iter().enumerate() {
        look_through(recording, index, seed, None, &mut pool);
    }
    written(recordings, pool, None, |pool| choose(pool, per_task))
}

/// Questions from one recording, at most `per_bin` of each bin of labels and without balance: for whoever balances over
/// several recordings. Those that `judge` refuses are not asked.
pub fn draw_records(recording: &Recording, per_bin: usize, seed: u64, judge: &dyn Judge) -> Built {
    let mut pool = Pool::per_bin(per_bin);
    look_through(recording, 0, seed, Some(judge), &mut pool);
    written(std::slice::from_ref(recording), pool, Some(judge), choose_all)
}

/// Which of the questions whose tasks and bins are given are taken, so that the labels of each task are balanced, with at
/// most `per_task` of each; the first ones of a bin are.
pub fn share_out(found: &[(Task, u8)], per_task: usize) -> Vec<bool> {
    let mut taken = vec![false; found.len()];
    for task in Task::ALL {
        let (names, max_share) = bins(task);
        let mut available = vec![0; names.len()];
        for (_, bin) in found.iter().filter(|(other, _)| *other == task) {
            if let Some(count) = available.get_mut(usize::from(*bin)) {
                *count += 1;
            }
        }
        let mut quotas = balance::quotas(&available, per_task, max_share);
        for (taken, (_, bin)) in taken.iter_mut().zip(found).filter(|(_, (other, _))| *other == task) {
            if let Some(left) = quotas.get_mut(usize::from(*bin)).filter(|left| **left > 0) {
                *left -= 1;
                *taken = true;
            }
        }
    }
    taken
}

fn written(
    recordings: &[Recording],
    mut pool: Pool,
    judge: Option<&dyn Judge>,
    choose: impl FnOnce(Pool) -> (Vec<Order>, Vec<TaskReport>),
) -> Built {
    let refused = std::mem::take(&mut pool.refused);
    let (orders, tasks) = choose(pool);
    let mut built = Built {
        records: Vec::with_capacity(orders.len()),
        bins: Vec::with_capacity(orders.len()),
        tasks,
        refused,
    };
    let writing = Writing {
        orders: &orders,
        root: Path::new(""),
        judge,
        from: 0,
    };
    let finished: Result<(), Infallible> = writing.write_all(
        |index| Ok(recordings.get(index)),
        |order, record| {
            built.records.push((order.candidate.recording as usize, record));
            built.bins.push(order.candidate.bin);
            Ok(())
        },
    );
    match finished {
        Ok(()) => built,
        Err(never) => match never {},
    }
}

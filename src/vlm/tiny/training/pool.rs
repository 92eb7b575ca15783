//! Worlds that clips are drawn from: a window over an endless row of worlds, simulated on threads of their own.
//!
//! Which worlds are in the window depends on the step alone, so that a run that was interrupted goes on with the same ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, bounded};
use rand::Rng;
use rand_pcg::Pcg64;

use super::config::TrainSettings;
use super::worlds::Timeline;
use crate::sim::{Scene, WorldError};

/// Keeps these draws apart from those of the steps.
const STREAM: u128 = 0x776f_726c_6473;

/// The worlds of a run.
pub struct Pool {
    settings: TrainSettings,
    made: Receiver<(u64, Result<Timeline, WorldError>)>,
    kept: BTreeMap<u64, Arc<Timeline>>,
    _workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts simulating what is needed from `step` on.
    pub fn new(settings: &TrainSettings, step: u64) -> std::io::Result<Self> {
        let (send, made) = bounded(settings.workers * 2);
        let next = Arc::new(AtomicU64::new(first_of(settings, step)));
        let workers = (0..settings.workers)
            .map(|worker| {
                let (settings, send, next) = (settings.clone(), send.clone(), next.clone());
                std::thread::Builder::new()
                    .name(format!("worlds-{worker}"))
                    .spawn(move || {
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            // The pool is gone when nobody listens.
                            if send.send((index, world(&settings, index))).is_err() {
                                return;
                            }
                        }
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            settings: settings.clone(),
            made,
            kept: BTreeMap::new(),
            _workers: workers,
        })
    }

    /// The worlds that a step draws from; waits until they are there.
    pub fn at(&mut self, step: u64) -> Result<Vec<Arc<Timeline>>, WorldError> {
        let (first, end) = (first_of(&self.settings, step), end_of(&self.settings, step));
        self.kept = self.kept.split_off(&first);
        while (first..end).any(|index| !self.kept.contains_key(&index)) {
            let Ok((index, made)) = self.made.recv() else { break };
            self.kept.insert(index, Arc::new(made?));
        }
        Ok(self.kept.range(first..end).map(|(_, world)| world.clone()).collect())
    }
}

fn end_of(settings: &TrainSettings, step: u64) -> u64 {
    // A run starts with a few worlds, and gathers the rest as it goes.
    let start = (settings.worlds as u64).min(40);
    start + (step as f64 * settings.worlds_per_step) as u64
}

fn first_of(settings: &TrainSettings, step: u64) -> u64 {
    end_of(settings, step).saturating_sub(settings.worlds as u64)
}

/// The world of an index: any scene, any seed, now and then another field of view than the scene's own.
fn world(settings: &TrainSettings, index: u64) -> Result<Timeline, WorldError> {
    let mut random = Pcg64::new(u128::from(settings.seed) << 64 | u128::from(index), STREAM);
    let (first, last) = settings.world_seeds;
    let scene = Scene::ALL[(index % Scene::ALL.len() as u64) as usize];
    let seed = random.random_range(first..=last);
    let fov_deg = (random.random::<f64>() < 0.3).then(|| random.random_range(35.0..100.0));
    Timeline::new(scene, seed, fov_deg, &mut random)
}

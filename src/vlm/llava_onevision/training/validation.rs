//! How good a model is on held-out records, by the STKit-Bench protocol.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::config::ValidationSettings;
use super::data::record_frames;
use super::error::TuneError;
use crate::stkit::benchmark::Scorer;
use crate::stkit::{Record, read_records};
use crate::vlm::llava_onevision::{Generation, Model};

/// The longest answer that is read, tokens.
const MAX_TOKENS: usize = 96;

/// Scores on the records that are always asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    /// Mean accuracy over the tasks, percent; `None` without records.
    pub average: Option<f64>,
    /// Accuracy of each task by its abbreviation, percent.
    pub tasks: BTreeMap<String, f64>,
    /// Records asked.
    pub questions: usize,
}

/// The records that are asked: the same ones in every run with this seed.
#[derive(Debug)]
pub struct Validation {
    settings: ValidationSettings,
    records: Vec<Record>,
}

impl Validation {
    /// Reads them.
    pub fn read(settings: &ValidationSettings, seed: u64) -> Result<Self, TuneError> {
        let mut records: Vec<Record> = read_records(&settings.path)?.collect::<Result<_, _>>()?;
        records.retain(|record| record.frames.as_ref().is_some_and(|frames| !frames.is_empty()));
        if records.is_empty() {
            return Err(TuneError::file(
                &settings.path,
                "expected STKit records with pictures in `frames`, found none",
            ));
        }
        records.shuffle(&mut StdRng::seed_from_u64(seed));
        records.truncate(settings.questions);
        Ok(Self {
            settings: settings.clone(),
            records,
        })
    }

    /// Asks `model` about each.
    pub fn run(&self, model: &Model, frames: usize) -> Result<Validated, TuneError> {
        let generation = Generation {
            max_tokens: MAX_TOKENS,
            ..Generation::default()
        };
        let mut scorer = Scorer::default();
        for record in &self.records {
            let shown = record_frames(record, &self.settings.root, frames)?;
            let reply = model.answer(&shown, record.prompt(), &generation)?;
            scorer.add(record, Some(&reply.text));
        }
        let scores = scorer.scores();
        Ok(Validated {
            average: scores.average,
            tasks: scores
                .tasks
                .iter()
                .map(|task| (task.task.code().to_owned(), task.accuracy))
                .collect(),
            questions: self.records.len(),
        })
    }
}

//! Scores the tracker over folders of MOT Challenge files, without GStreamer or zenoh: the library at work.
//!
//! `cargo run --no-default-features --example score_tracker -- DIR [SETTINGS.toml]`
#![allow(clippy::print_stdout)]

use std::path::Path;

use kinestream::settings;
use kinestream::tracking::TrackerSettings;
use kinestream::tracking::evaluation::score_tracker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments
        .next()
        .ok_or("usage: score_tracker DIR [SETTINGS.toml], with DIR/<sequence>/det.txt and gt.txt")?;
    let settings: TrackerSettings = match arguments.next() {
        Some(path) => settings::load(Path::new(&path))?,
        None => TrackerSettings::default(),
    };
    settings.check()?;
    let report = score_tracker(Path::new(&dir), &settings)?;
    let every = report.sequences.iter().map(|(name, summary)| (name.as_str(), summary));
    for (name, summary) in every.chain([("combined", &report.combined)]) {
        println!(
            "{name:24} HOTA {:.3}  MOTA {:.3}  IDF1 {:.3}  IDSW {}",
            summary.hota, summary.mota, summary.idf1, summary.idsw
        );
    }
    Ok(())
}

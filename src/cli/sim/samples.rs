//! `kinestream sim samples`: single pictures with their truth on standard output.

use std::io::{self, IsTerminal, Write};
use std::str::FromStr;

use anyhow::ensure;

use super::Seeds;
use crate::sim::Scene;
use crate::sim::samples::{SampleError, SampleSettings, write_samples};

/// Writes pictures with their truth to standard output, for training.
///
/// A record is the length of a JSON header (u32), the header, then rgb (3 bytes a pixel), depth (16-bit float, metres)
/// and instance (u16) row by row, all little-endian. docs/sim.md describes it.
#[derive(Debug, clap::Args)]
pub struct SamplesArgs {
    /// Scenes, separated by commas: street-fixed, street-drive, plaza, court, parking.
    #[arg(long, value_delimiter = ',', required = true)]
    scene: Vec<Scene>,
    /// First and last seed; each is taken in each scene.
    #[arg(long, value_name = "A-B")]
    seeds: Seeds,
    /// Pictures of each world, spread over its first 30 s.
    #[arg(long, value_name = "K", default_value_t = 4)]
    per_seed: u32,
    /// Picture width, pixels.
    #[arg(long, default_value_t = 640)]
    width: u32,
    /// Picture height, pixels.
    #[arg(long, default_value_t = 384)]
    height: u32,
    /// Draw the horizontal field of view from this range, degrees, instead of the scene's own.
    #[arg(long, value_name = "MIN-MAX")]
    fov: Option<Fov>,
    /// Start over after the last seed, at other times and with other fields of view, until the reader goes.
    #[arg(long = "loop")]
    repeat: bool,
}

/// Least and most, degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fov(f64, f64);

impl FromStr for Fov {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        match (least.trim().parse(), most.trim().parse()) {
            (Ok(least), Ok(most)) if 0.0 < least && least <= most && most < 180.0 => Ok(Self(least, most)),
            _ => Err(format!("expected degrees or MIN-MAX, e.g. 40-100, found \"{text}\"")),
        }
    }
}

pub(super) fn run(args: &SamplesArgs) -> anyhow::Result<()> {
    let stdout = io::stdout();
    ensure!(
        !stdout.is_terminal(),
        "samples are binary: give them to a program, e.g. `kinestream sim samples ... | train.py`"
    );
    let settings = SampleSettings {
        scenes: args.scene.clone(),
        first_seed: args.seeds.first,
        last_seed: args.seeds.last,
        per_seed: args.per_seed,
        width: args.width,
        height: args.height,
        horizontal_fov_deg: args.fov.map(|Fov(least, most)| (least, most)),
        passes: (!args.repeat).then_some(1),
    };
    let mut stream = io::BufWriter::with_capacity(1 << 20, stdout.lock());
    let written = write_samples(&settings, &mut stream);
    // Whatever is left in the buffer nobody reads either.
    if written.is_err() {
        drop(stream.into_parts());
    } else {
        stream.flush()?;
    }
    match written {
        // The reader has enough.
        Err(SampleError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

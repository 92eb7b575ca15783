//! `kinestream sim`: worlds with known truth, as training samples, recordings and live cameras.

mod render;
mod samples;
mod serve;
mod world;

use std::str::FromStr;

use clap::Subcommand;

/// Worlds with known truth, as training samples, recordings and live cameras.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Render(render::RenderArgs),
    Samples(samples::SamplesArgs),
    Serve(serve::ServeArgs),
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Render(args) => render::run(&args),
        What::Samples(args) => samples::run(&args),
        What::Serve(args) => serve::run(&args),
    }
}

/// First and last seed, both taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub first: u64,
    pub last: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a seed or FIRST-LAST, e.g. 0-99, found \"{text}\"");
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| expected());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(expected());
        }
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn seeds_are_one_or_a_range() {
        let seeds = |text: &str| text.parse::<Seeds>();
        assert_eq!(seeds("3-9"), Ok(Seeds { first: 3, last: 9 }));
        assert_eq!(seeds("7"), Ok(Seeds { first: 7, last: 7 }));
        for text in ["9-3", "", "-", "a-b", "1-2-3", "-5"] {
            assert!(seeds(text).unwrap_err().contains("FIRST-LAST"), "{text}");
        }
    }
}

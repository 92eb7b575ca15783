//! `kinestream stkit`: questions and answers about motion, from data sets and from raw video.

mod build;
mod histogram;
mod label;

use clap::Subcommand;

/// Makes questions and answers about motion.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Build(build::BuildArgs),
    Label(label::LabelArgs),
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Build(args) => build::run(args),
        What::Label(args) => label::run(args),
    }
}

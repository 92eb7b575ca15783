//! `kinestream watch`: shows live objects and answers.

/// Shows live objects and answers.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}

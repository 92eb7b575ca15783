//! `kinestream eval`: scores results against truth.

/// Scores results against truth.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}

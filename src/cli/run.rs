//! `kinestream run`: runs cameras from a configuration.

/// Runs cameras from a configuration.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}

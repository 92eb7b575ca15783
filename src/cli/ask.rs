//! `kinestream ask`: asks a running camera a question.

/// Asks a running camera a question.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}

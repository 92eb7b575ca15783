//! `kinestream doctor`: checks what this machine has.

/// Checks what this machine has.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the subcommand.
pub fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}

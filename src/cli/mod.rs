//! The `kinestream` command, one file a subcommand.

mod ask;
mod canvas;
mod doctor;
mod eval;
mod network;
mod run;
mod sim;
mod stkit;
mod train;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tells, live and in metres, how things in front of a camera move, and answers questions about it.
#[derive(Debug, Parser)]
#[command(name = "kinestream", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Stkit(stkit::Args),
    Watch(watch::Args),
    Ask(ask::Args),
    Sim(sim::Args),
    Eval(eval::Args),
    Train(train::Args),
    Doctor(doctor::Args),
}

/// How a program reads results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Parses the command line and runs the subcommand.
pub fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("KINESTREAM_LOG")
                .unwrap_or_else(|_| "warn,kinestream=info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Stkit(args) => stkit::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Ask(args) => return ask::run(args),
        Command::Sim(args) => sim::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Train(args) => train::run(args),
        Command::Doctor(args) => doctor::run(args),
    }?;
    Ok(ExitCode::SUCCESS)
}

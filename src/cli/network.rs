//! The options by which a subcommand reaches the zenoh network: those of zenoh's own examples.

use std::path::PathBuf;

use crate::wire::{Client, SessionSettings};

/// How to reach the zenoh network.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// A zenoh configuration file (JSON5).
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The session's mode.
    #[arg(short, long, value_parser = ["peer", "client", "router"])]
    mode: Option<String>,

    /// Endpoints to connect to, e.g. tcp/192.168.0.10:7447.
    #[arg(short = 'e', long, value_name = "ENDPOINT")]
    connect: Vec<String>,

    /// Endpoints to listen on, e.g. tcp/0.0.0.0:7447.
    #[arg(short, long, value_name = "ENDPOINT")]
    listen: Vec<String>,

    /// Do not look for peers and routers by multicast.
    #[arg(long)]
    no_multicast_scouting: bool,

    /// A single setting of zenoh's configuration, e.g. transport/link/tx/lease:5000.
    #[arg(long, value_name = "KEY:VALUE")]
    cfg: Vec<String>,
}

impl NetworkArgs {
    /// Opens a session that reads and asks.
    pub fn open(self) -> anyhow::Result<Client> {
        let settings = SessionSettings {
            config: self.config,
            mode: self.mode,
            connect: self.connect,
            listen: self.listen,
            multicast_scouting: self.no_multicast_scouting.then_some(false),
            cfg: self.cfg,
        };
        Ok(Client::open(&settings)?)
    }
}

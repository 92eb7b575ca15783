//! `kinestream eval`: scores results against truth.

mod labels;
mod live;
mod motion;
mod odometry;
mod recorded;
mod stkit;
mod tracking;
mod vlm;

use clap::Subcommand;

/// Scores results against truth.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Labels(labels::LabelsArgs),
    Live(live::LiveArgs),
    Recorded(recorded::RecordedArgs),
    Motion(motion::MotionArgs),
    Odometry(odometry::OdometryArgs),
    Stkit(stkit::StkitArgs),
    Vlm(vlm::VlmArgs),
    Mot(tracking::MotArgs),
    Track(tracking::TrackArgs),
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Labels(args) => labels::run_labels(args),
        What::Live(args) => live::run_live(args),
        What::Recorded(args) => recorded::run_recorded(args),
        What::Motion(args) => motion::run_motion(args),
        What::Odometry(args) => odometry::run_odometry(args),
        What::Stkit(args) => stkit::run_stkit(args),
        What::Vlm(args) => vlm::run_vlm(args),
        What::Mot(args) => tracking::run_mot(args),
        What::Track(args) => tracking::run_track(args),
    }
}

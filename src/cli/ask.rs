//! `kinestream ask`: asks a running camera a question.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use super::Format;
use super::network::NetworkArgs;
use crate::wire::proto;

/// Exit code when there is an answer, but none with a value, or no camera answers.
const NO_ANSWER: u8 = 2;

/// Asks a running camera a question about motion.
///
/// Example: kinestream ask north "How far did object 3 travel in the last 10 seconds?"
///
/// Exit code 0: at least one answer has a value. 2: none has, or no camera answers; the reason is on standard error.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The camera: CAMERA, or SITE/CAMERA; "*" stands for all.
    camera: String,

    /// The question in words.
    question: String,

    /// How long the camera may take, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 8.0, value_parser = seconds)]
    timeout: f64,

    /// How answers are printed; json is one AskReply a line (docs/wire.md).
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    network: NetworkArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 300.0 => Ok(seconds),
        _ => Err("expected seconds above 0 and up to 300".to_owned()),
    }
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (site, camera) = match args.camera.split_once('/') {
        Some((site, camera)) => (some(site), some(camera)),
        None => (None, some(&args.camera)),
    };
    let request = proto::AskRequest {
        text: args.question,
        ..Default::default()
    };
    let client = args.network.open()?;
    let replies = match client.ask(site, camera, &request, Duration::from_secs_f64(args.timeout)) {
        Ok(replies) => replies,
        Err(error) => {
            tracing::debug!(?error, "no reply");
            writeln!(std::io::stderr(), "kinestream ask: {error}")?;
            return Ok(ExitCode::from(NO_ANSWER));
        }
    };
    let mut out = std::io::stdout().lock();
    let several = replies.len() > 1;
    let mut answered = false;
    for reply in &replies {
        answered |= reply.answers.iter().any(|answer| answer.value.is_some());
        match args.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(reply)?)?,
            Format::Text => {
                let place = reply
                    .header
                    .as_ref()
                    .map(|header| format!("{}/{}: ", header.site, header.camera));
                for answer in &reply.answers {
                    let place = place.as_deref().filter(|_| several).unwrap_or_default();
                    if answer.value.is_some() {
                        writeln!(out, "{place}{}", sentence(answer))?;
                    } else {
                        writeln!(std::io::stderr(), "{place}{}", sentence(answer))?;
                    }
                }
            }
        }
    }
    Ok(if answered {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO_ANSWER)
    })
}

fn some(name: &str) -> Option<&str> {
    (name != "*").then_some(name)
}

/// The answer in words, with what makes it doubtful.
fn sentence(answer: &proto::Answer) -> String {
    let mut notes = Vec::new();
    if answer.value.is_some() {
        if !answer.reliable {
            let reason = if answer.reason.is_empty() {
                "no reason given"
            } else {
                &answer.reason
            };
            notes.push(format!("not reliable: {reason}"));
        }
        if answer.ambiguous {
            notes.push("ambiguous: within 5° of the next clock hour".to_owned());
        }
    }
    if notes.is_empty() {
        answer.text.clone()
    } else {
        format!("{} ({})", answer.text, notes.join("; "))
    }
}

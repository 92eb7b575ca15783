//! `kinestream watch`: a live table of what cameras publish.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};

use super::Format;
use super::network::NetworkArgs;
use crate::wire::monitor::state_name;
use crate::wire::proto;
use crate::wire::session::{Received, ReceivedMessage};

/// Time between two drawings of the table.
const REDRAW: Duration = Duration::from_millis(200);

/// Answers shown for each camera.
const ANSWERS_SHOWN: usize = 5;

/// Objects shown for each camera.
const OBJECTS_SHOWN: usize = 30;

/// Shows live objects, answers and status of running cameras.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this site.
    #[arg(long)]
    site: Option<String>,

    /// Only this camera.
    #[arg(long)]
    camera: Option<String>,

    /// A live table, or one JSON object a line: {"key": …, and "tracks", "answer", "status" or "alive"}.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<f64>,

    #[command(flatten)]
    network: NetworkArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e9 => Ok(seconds),
        _ => Err("expected seconds above 0".to_owned()),
    }
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    let client = args.network.open()?;
    let subscription = client.subscribe(args.site.as_deref(), args.camera.as_deref())?;
    let until = args
        .duration
        .map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    let mut screen = Screen::new();
    let mut drawn = Instant::now();
    while until.is_none_or(|until| Instant::now() < until) {
        let received = subscription.next(REDRAW);
        match args.format {
            Format::Json => {
                if let Some(received) = received
                    && !print_line(&received)?
                {
                    return Ok(());
                }
            }
            Format::Text => {
                if let Some(received) = received {
                    screen.take(received);
                }
                if drawn.elapsed() >= REDRAW {
                    drawn = Instant::now();
                    if !screen.draw(subscription.dropped())? {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// Prints one message as a line; false when nobody reads any more.
fn print_line(received: &Received) -> anyhow::Result<bool> {
    let (name, value) = match &received.message {
        Ok(ReceivedMessage::Tracks(tracks)) => ("tracks", serde_json::to_value(tracks)?),
        Ok(ReceivedMessage::Answer(answer)) => ("answer", serde_json::to_value(answer)?),
        Ok(ReceivedMessage::Status(status)) => ("status", serde_json::to_value(status)?),
        Ok(ReceivedMessage::Alive(alive)) => ("alive", serde_json::Value::from(*alive)),
        Err(error) => {
            tracing::warn!(key = received.key, %error, "a message is passed over");
            return Ok(true);
        }
    };
    let line = serde_json::json!({"key": received.key, name: value});
    written(writeln!(std::io::stdout(), "{line}").and_then(|()| std::io::stdout().flush()))
}

/// Whether somebody still reads: a pipe that was closed is a normal end.
fn written(result: std::io::Result<()>) -> anyhow::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What is known of one camera.
#[derive(Debug, Default)]
struct Camera {
    alive: bool,
    tracks: Option<proto::Tracks>,
    status: Option<proto::Status>,
    answers: VecDeque<proto::Answer>,
}

/// The table, redrawn in place on a terminal, printed anew elsewhere.
struct Screen {
    cameras: BTreeMap<(String, String), Camera>,
    in_place: bool,
    /// Messages that are not ours, or from another version.
    unread: u64,
}

impl Screen {
    fn new() -> Self {
        Self {
            cameras: BTreeMap::new(),
            in_place: std::io::stdout().is_terminal(),
            unread: 0,
        }
    }

    fn take(&mut self, received: Received) {
        let camera = self.cameras.entry((received.site, received.camera)).or_default();
        match received.message {
            Ok(ReceivedMessage::Tracks(tracks)) => {
                camera.alive = true;
                let same_frame = camera.tracks.as_mut().filter(|shown| {
                    tracks.part > 0
                        && shown.header.as_ref().map(|header| header.seq)
                            == tracks.header.as_ref().map(|header| header.seq)
                });
                match same_frame {
                    Some(shown) => shown.objects.extend(tracks.objects),
                    None => camera.tracks = Some(tracks),
                }
            }
            Ok(ReceivedMessage::Answer(answer)) => {
                camera.answers.push_back(answer);
                if camera.answers.len() > ANSWERS_SHOWN {
                    camera.answers.pop_front();
                }
            }
            Ok(ReceivedMessage::Status(status)) => camera.status = Some(status),
            Ok(ReceivedMessage::Alive(alive)) => camera.alive = alive,
            Err(_) => self.unread += 1,
        }
    }

    /// False when nobody reads any more.
    fn draw(&self, dropped: u64) -> anyhow::Result<bool> {
        let mut text = String::new();
        if self.in_place {
            text.push_str("\x1b[H\x1b[J");
        }
        if self.cameras.is_empty() {
            text.push_str("waiting for a camera …\n");
        }
        for ((site, name), camera) in &self.cameras {
            describe(&mut text, site, name, camera)?;
        }
        if dropped + self.unread > 0 {
            writeln!(text, "{dropped} messages dropped, {} not understood", self.unread)?;
        }
        let mut out = std::io::stdout().lock();
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }
}

fn describe(text: &mut String, site: &str, name: &str, camera: &Camera) -> std::fmt::Result {
    write!(text, "{site}/{name}  ")?;
    match (&camera.status, camera.alive) {
        (_, false) => writeln!(text, "gone")?,
        (None, true) => writeln!(text, "no status yet")?,
        (Some(status), true) => {
            let latency = status
                .latencies
                .iter()
                .find(|latency| latency.name == "capture_to_publish")
                .or_else(|| {
                    status
                        .latencies
                        .iter()
                        .find(|latency| latency.name == "enter_to_publish")
                });
            write!(text, "{}  {:.1} frames/s", state_name(status.state()), status.fps)?;
            if let Some(latency) = latency {
                write!(text, "  {:.0} ms (95 %)", latency.p95_s * 1e3)?;
            }
            // What nobody listened to is no loss.
            let lost = status.drops.iter().filter(|drop| drop.name != "unheard");
            let drops: u64 = lost.map(|drop| drop.count).sum();
            write!(text, "  {drops} drops")?;
            if !status.message.is_empty() {
                write!(text, "  {}", status.message)?;
            }
            let troubled = |answering: &&proto::Answering| answering.circuit() != proto::CircuitState::Closed;
            if let Some(answering) = status.answering.as_ref().filter(troubled) {
                write!(text, "  {} is not asked: {}", answering.backend, answering.message)?;
            }
            writeln!(text)?;
        }
    }
    if let Some(tracks) = camera.tracks.as_ref().filter(|tracks| !tracks.objects.is_empty()) {
        writeln!(text, "{}", objects(tracks))?;
        let hidden = tracks.objects.len().saturating_sub(OBJECTS_SHOWN) as u64 + u64::from(tracks.objects_left_out);
        if hidden > 0 {
            writeln!(text, "and {hidden} more objects")?;
        }
    }
    for answer in &camera.answers {
        let doubt = if answer.reliable || answer.value.is_none() {
            ""
        } else {
            " (not reliable)"
        };
        let beside = match &answer.geometry {
            Some(geometry) => format!(" | by geometry: {}", geometry.text),
            None => String::new(),
        };
        writeln!(text, "  {}: {}{beside}{doubt}", answer.question_id, answer.text)?;
    }
    writeln!(text)
}

fn objects(tracks: &proto::Tracks) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "id", "class", "km/h", "± km/h", "x m", "y m", "moves", "seen at", "exists", "reliable",
    ]);
    for column in [0, 2, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let clock = |hour: Option<u32>| hour.map_or_else(String::new, |hour| format!("{hour} o'clock"));
    let mut shown: Vec<_> = tracks.objects.iter().take(OBJECTS_SHOWN).collect();
    shown.sort_by_key(|object| object.id);
    for object in shown {
        let state = object.live.as_ref();
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1}"));
        let position = state.and_then(|state| state.position_in_world_m);
        let spread = state
            .and_then(|state| state.speed_interval_mps)
            .map(|interval| (interval.high - interval.low) / 2.0);
        table.add_row([
            object.id.to_string(),
            object.class_name.clone(),
            number(state.map(|state| state.speed_mps * 3.6)),
            number(spread.map(|spread| spread * 3.6)),
            number(position.map(|position| position.x)),
            number(position.map(|position| position.y)),
            clock(object.movement_clock_hour),
            clock(object.bearing_clock_hour),
            format!("{:.0} %", object.existence_probability * 100.0),
            if object.reliable {
                "yes".to_owned()
            } else {
                object.unreliable_reason.clone()
            },
        ]);
    }
    table
}

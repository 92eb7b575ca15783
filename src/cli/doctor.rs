//! `kinestream doctor`: checks what this machine has.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::Format;
use crate::perception;

/// Says what Kinestream finds on this machine, and how to get what is missing.
///
/// The exit code is 1 when something is missing that `kinestream run` needs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Found,
    /// `kinestream run` works without it.
    OptionalMissing,
    Missing,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    /// What was found, or what its absence means.
    detail: String,
    /// How to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    get: Option<String>,
}

impl Finding {
    fn found(what: &str, detail: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            state: State::Found,
            detail: detail.into(),
            get: None,
        }
    }

    fn missing(what: &str, detail: impl Into<String>, get: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            state: State::Missing,
            detail: detail.into(),
            get: Some(get.into()),
        }
    }

    fn optional(self) -> Self {
        let state = match self.state {
            State::Missing => State::OptionalMissing,
            state => state,
        };
        Self { state, ..self }
    }
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    let mut findings = gstreamer();
    findings.extend(onnx_runtime());
    findings.push(gpu());
    findings.push(zenoh_session());
    let missing: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.state == State::Missing)
        .map(|finding| finding.what.as_str())
        .collect();
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => {
            let report = serde_json::json!({ "ok": missing.is_empty(), "findings": findings });
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        }
        Format::Text => {
            for finding in &findings {
                let mark = match finding.state {
                    State::Found => "found   ",
                    State::OptionalMissing => "optional",
                    State::Missing => "MISSING ",
                };
                writeln!(out, "{mark}  {:<24} {}", finding.what, finding.detail)?;
                if let Some(get) = &finding.get {
                    writeln!(out, "{:<35}get it: {get}", "")?;
                }
            }
        }
    }
    anyhow::ensure!(missing.is_empty(), "needed, but missing: {}", missing.join(", "));
    Ok(())
}

/// What the elements do for us, their names (one of them suffices), whether they are needed, and the Debian package.
const ELEMENTS: [(&str, &[&str], bool, &str); 12] = [
    (
        "decoding of any source",
        &["uridecodebin"],
        true,
        "gstreamer1.0-plugins-base",
    ),
    ("conversion", &["videoconvert"], true, "gstreamer1.0-plugins-base"),
    ("app sources and sinks", &["appsink"], true, "gstreamer1.0-plugins-base"),
    ("RTSP cameras", &["rtspsrc"], true, "gstreamer1.0-plugins-good"),
    ("H.264 over RTP", &["rtph264depay"], true, "gstreamer1.0-plugins-good"),
    ("H.264 parsing", &["h264parse"], true, "gstreamer1.0-plugins-bad"),
    (
        "H.264 decoding",
        &["avdec_h264", "openh264dec", "vah264dec", "nvh264dec", "v4l2slh264dec"],
        true,
        "gstreamer1.0-libav",
    ),
    ("MP4 files", &["qtdemux"], true, "gstreamer1.0-plugins-good"),
    ("H.265 parsing", &["h265parse"], false, "gstreamer1.0-plugins-bad"),
    ("USB cameras", &["v4l2src"], false, "gstreamer1.0-plugins-good"),
    (
        "H.264 encoding (demo)",
        &["x264enc", "openh264enc", "vah264enc", "nvh264enc"],
        false,
        "gstreamer1.0-plugins-ugly",
    ),
    ("MJPEG cameras", &["jpegdec"], false, "gstreamer1.0-plugins-good"),
];

fn gstreamer() -> Vec<Finding> {
    if let Err(error) = ::gst::init() {
        let get = "sudo apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base (or: make setup)";
        return vec![Finding::missing("GStreamer", format!("cannot start: {error}"), get)];
    }
    let (major, minor, _, _) = ::gst::version();
    let version = ::gst::version_string().to_string();
    let mut findings = vec![if (major, minor) >= (1, 22) {
        Finding::found("GStreamer", version)
    } else {
        let get = "a distribution with GStreamer 1.22 or newer: Debian 12, Ubuntu 24.04";
        Finding::missing("GStreamer", format!("{version}, need 1.22 or newer"), get)
    }];
    for (purpose, names, needed, package) in ELEMENTS {
        let found = names.iter().find(|name| ::gst::ElementFactory::find(name).is_some());
        let finding = match found {
            Some(name) => Finding::found(purpose, *name),
            None => {
                let get = format!("sudo apt-get install {package} (or: make setup)");
                Finding::missing(purpose, format!("no {}", names.join(", no ")), get)
            }
        };
        findings.push(if needed { finding } else { finding.optional() });
    }
    // The command brings its own elements along; gst-launch-1.0 and other programs need the plugin.
    findings.push(match ::gst::Registry::get().find_plugin("kinestream") {
        Some(plugin) => {
            let file = plugin.filename().unwrap_or_default();
            let detail = format!("{} {}", file.display(), plugin.version());
            Finding::found("plugin for gst-launch-1.0", detail)
        }
        None => {
            let get = "make install; or make build, then: . scripts/env.sh (sets GST_PLUGIN_PATH)";
            Finding::missing("plugin for gst-launch-1.0", "not in GStreamer's registry", get).optional()
        }
    });
    findings
}

fn onnx_runtime() -> Vec<Finding> {
    const WHAT: &str = "ONNX Runtime";
    let runtime = match perception::runtime::load() {
        Ok(runtime) => runtime,
        Err(error) => {
            let get = "make setup, then: . scripts/env.sh (sets ORT_DYLIB_PATH)";
            return vec![Finding::missing(WHAT, error.to_string(), get)];
        }
    };
    let mut findings = vec![Finding::found(
        WHAT,
        format!("{} ({})", runtime.library.display(), runtime.build),
    )];
    for (what, device) in [
        ("TensorRT provider", perception::Device::TensorRt(0)),
        ("CUDA provider", perception::Device::Cuda(0)),
    ] {
        findings.push(match device.missing() {
            None => Finding::found(what, "in this program and this ONNX Runtime"),
            Some(why) => {
                let get = "cargo build --features cuda,tensorrt, and an ONNX Runtime built for GPUs in ORT_DYLIB_PATH";
                Finding::missing(what, format!("{why}; networks run on the processor"), get).optional()
            }
        });
    }
    findings
}

fn gpu() -> Finding {
    const WHAT: &str = "NVIDIA GPU";
    match std::fs::read_to_string("/proc/driver/nvidia/version") {
        Ok(version) if Path::new("/dev/nvidia0").exists() => {
            Finding::found(WHAT, version.lines().next().unwrap_or_default().trim())
        }
        Ok(_) => Finding::missing(
            WHAT,
            "the driver runs, but there is no /dev/nvidia0",
            "check nvidia-smi",
        )
        .optional(),
        Err(_) => {
            let get = "a GPU with NVIDIA's driver; without one networks run on the processor";
            Finding::missing(WHAT, "no NVIDIA driver", get).optional()
        }
    }
}

fn zenoh_session() -> Finding {
    const WHAT: &str = "zenoh";
    match zenoh_round_trip() {
        Ok(()) => Finding::found(WHAT, "two sessions exchanged a message over 127.0.0.1"),
        Err(error) => {
            let get = "check that programs may listen on 127.0.0.1 (firewall, container)";
            Finding::missing(WHAT, format!("{error:#}"), get)
        }
    }
}

/// Opens two sessions that know nothing but each other, and sends a message from one to the other.
fn zenoh_round_trip() -> anyhow::Result<()> {
    use zenoh::Wait;

    const TIMEOUT: Duration = Duration::from_secs(3);
    let failed = |error: zenoh::Error| anyhow::anyhow!("{error}");
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .context("cannot listen on 127.0.0.1")?
        .port();
    let config = |key: &str| {
        let mut config = zenoh::Config::default();
        config.insert_json5("mode", r#""peer""#)?;
        config.insert_json5("scouting/multicast/enabled", "false")?;
        // The default is to listen on all interfaces.
        config.insert_json5("listen/endpoints", "[]")?;
        config.insert_json5(key, &format!(r#"["tcp/127.0.0.1:{port}"]"#))?;
        zenoh::Result::Ok(config)
    };
    let here = zenoh::open(config("listen/endpoints").map_err(failed)?)
        .wait()
        .map_err(failed)?;
    let heard = here.declare_subscriber("kinestream/doctor").wait().map_err(failed)?;
    let there = zenoh::open(config("connect/endpoints").map_err(failed)?)
        .wait()
        .map_err(failed)?;
    // The subscription takes a moment to reach the other side.
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        there.put("kinestream/doctor", "ping").wait().map_err(failed)?;
        if heard.recv_timeout(Duration::from_millis(50)).map_err(failed)?.is_some() {
            return Ok(());
        }
        anyhow::ensure!(
            std::time::Instant::now() < deadline,
            "sessions opened on 127.0.0.1, but no message arrived in {} s",
            TIMEOUT.as_secs()
        );
    }
}

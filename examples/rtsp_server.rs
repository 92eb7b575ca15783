//! Serves a video file as an RTSP camera, over and over at its own rate.
//!
//! ```text
//! cargo run --example rtsp_server -- video.mp4 8554
//! ```

use std::path::PathBuf;

use kinestream::gst::rtsp_server::RtspServer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = PathBuf::from(args.next().ok_or("usage: rtsp_server FILE [PORT]")?);
    let port = args.next().map_or(Ok(8554), |port| port.parse())?;
    let server = RtspServer::start(&file, "127.0.0.1", port)?;
    eprintln!("serving {} at {}", file.display(), server.url());
    loop {
        std::thread::park();
    }
}

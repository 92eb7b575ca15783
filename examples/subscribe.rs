//! Prints what moves in front of Kinestream's cameras, with a plain zenoh subscriber and the crate's message types.
//!
//! `cargo run --example subscribe -- tcp/127.0.0.1:7447` (without an endpoint it looks for peers by multicast); a second
//! argument ends it after so many messages.
#![allow(clippy::print_stdout)]

use std::error::Error;

use kinestream::wire::codec::WireMessage;
use kinestream::wire::{Encoding, proto};
use zenoh::Wait;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let mut config = zenoh::Config::default();
    if let Some(endpoint) = arguments.next() {
        config.insert_json5("connect/endpoints", &format!("[{endpoint:?}]"))?;
        config.insert_json5("scouting/multicast/enabled", "false")?;
    }
    let count: usize = arguments.next().map_or(Ok(usize::MAX), |text| text.parse())?;

    let session = zenoh::open(config).wait()?;
    // Newest wins: a slow reader misses frames, and never holds up the camera.
    let ring = zenoh::handlers::RingChannel::new(16);
    let subscriber = session
        .declare_subscriber("kinestream/v1/*/*/tracks")
        .with(ring)
        .wait()?;
    for _ in 0..count {
        let sample = subscriber.recv()?;
        let encoding = match sample.encoding().to_string().split(';').next() {
            Some("application/protobuf") => Encoding::Protobuf,
            _ => Encoding::Json,
        };
        let tracks = proto::Tracks::decode_as(encoding, &sample.payload().to_bytes())?;
        let header = tracks.header.unwrap_or_default();
        println!(
            "{} frame {}: {} objects",
            sample.key_expr(),
            header.seq,
            tracks.objects.len()
        );
        for object in &tracks.objects {
            let Some(live) = &object.live else { continue };
            let trust = if object.reliable { "" } else { &object.unreliable_reason };
            println!(
                "  {:>5} {:<10} {:5.1} km/h {trust}",
                object.id,
                object.class_name,
                live.speed_mps * 3.6
            );
        }
    }
    Ok(())
}

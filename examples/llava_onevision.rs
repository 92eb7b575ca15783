//! Asks a LLaVA-OneVision folder about pictures, taken as the frames of a video in the order given.
//!
//!     cargo run --example llava_onevision -- FOLDER [--device cpu] [--tokens 64] QUESTION FRAME.jpg...
//!
//! `FOLDER` is what Hugging Face (llava-hf) or lmms-lab publish: `config.json`, `tokenizer.json`, the weights.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use kinestream::vlm::llava_onevision::{Generation, Model, Place, Rgb};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llava_onevision: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (mut place, mut settings, mut words) = (Place::Auto, Generation::default(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--device" => place = arguments.next().unwrap_or_default().parse()?,
            "--tokens" => settings.max_tokens = arguments.next().unwrap_or_default().parse()?,
            _ => words.push(argument),
        }
    }
    let [folder, question, files @ ..] = words.as_slice() else {
        return Err("expected FOLDER QUESTION FRAME.jpg...".into());
    };
    let mut percent = 0;
    let model = Model::load(Path::new(folder), place, |progress| {
        let now = progress.done * 100 / progress.total.max(1);
        if now >= percent + 10 {
            percent = now;
            eprintln!("weights: {percent} %");
        }
    })?;
    let mut frames = Vec::new();
    for file in files {
        let picture = image::open(file)?.to_rgb8();
        frames.push(Rgb::new(
            picture.height() as usize,
            picture.width() as usize,
            picture.into_raw(),
        )?);
    }
    let reply = model.answer(&frames, question, &settings)?;
    println!("{}", reply.text);
    eprintln!(
        "{} tokens, first after {:.2} s, then {:.0} ms a token",
        reply.tokens.len(),
        reply.prefill.as_secs_f64(),
        1e3 * reply.decode.as_secs_f64() / reply.tokens.len().saturating_sub(1).max(1) as f64
    );
    Ok(())
}

//! LLaVA-OneVision in full size against what transformers wrote into a folder: `scripts/parity.sh` makes the folder and
//! calls this. `parity FOLDER` prints how far every layer is from transformers', `time FOLDER` the times of vision,
//! prefill and decoding.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{DType, Distribution, FloatDType, Tensor};
use kinestream::vlm::llava_onevision::{
    Config, KvCache, LanguageModel, Network, Part, Picture, PictureTokens, Pixels, Place, load_network,
};
use safetensors::{Dtype, SafeTensors};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["parity", folder] => parity(Path::new(folder)),
        ["time", folder, rest @ ..] => time(Path::new(folder), rest),
        _ => println!("skipped: scripts/parity.sh makes the folder this needs"),
    }
}

fn open(folder: &Path) -> (Config, Network) {
    let config = Config::read(folder).unwrap();
    let place: Place = std::env::var("KINESTREAM_VLM_DEVICE")
        .unwrap_or_else(|_| "cpu".to_owned())
        .parse()
        .unwrap();
    let (device, dtype) = place.open().unwrap();
    let start = Instant::now();
    let network = load_network(folder, &config, &device, dtype, &mut |_| {}).unwrap();
    println!("loaded in {:.1} s, {place}, {dtype:?}", start.elapsed().as_secs_f64());
    (config, network)
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F32, "{name}");
    view.data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn ids(file: &SafeTensors<'_>, name: &str) -> Vec<u32> {
    let view = file.tensor(name).unwrap();
    view.data()
        .chunks_exact(8)
        .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as u32)
        .collect()
}

/// One line of the table: the largest difference, and the root mean square of what is compared.
fn line(name: &str, found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "{name}");
    let apart = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    let square: f64 = expected.iter().map(|value| f64::from(*value).powi(2)).sum();
    let rms = (square / expected.len() as f64).sqrt();
    println!("| {name} | {apart:.2e} | {rms:.3} | {:.1e} |", f64::from(apart) / rms);
    apart
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).try_into_vec_as::<f32>().unwrap()
}

fn parity(folder: &Path) {
    let (config, network) = open(folder);
    let bytes = std::fs::read(folder.join("expected.st")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let side = config.vision.image_size;
    let frames: Vec<Pixels> = floats(&file, "pixels")
        .chunks_exact(3 * side * side)
        .map(|values| Pixels::new(side, values.to_vec()).unwrap())
        .collect();
    println!("| after | largest difference | root mean square | ratio |\n|---|---|---|---|");
    let compare = |name: &str, per_frame: &dyn Fn(&Pixels) -> Tensor<2>| {
        let found: Vec<f32> = frames.iter().flat_map(|frame| values(per_frame(frame))).collect();
        line(name, &found, &floats(&file, name))
    };
    compare("vision.embeddings", &|frame| network.vision.embed(frame));
    let mut states: Vec<Tensor<2>> = frames.iter().map(|frame| network.vision.embed(frame)).collect();
    for (index, layer) in network.vision.layers.iter().enumerate() {
        states = states.into_iter().map(|x| layer.forward(x)).collect();
        let found: Vec<f32> = states.iter().cloned().flat_map(values).collect();
        let name = format!("vision.{index}");
        line(&name, &found, &floats(&file, &name));
    }
    compare("projector", &|frame| {
        network.projector.forward(network.vision.forward(frame))
    });
    let pooled = states
        .into_iter()
        .map(|x| network.projector.pool(network.projector.forward(x)))
        .collect();
    let video = network.video_tokens(pooled, config.video_newline);
    let pictures = PictureTokens {
        images: vec![],
        videos: vec![video],
    };
    let ids_in = ids(&file, "input_ids");
    let mut texts = ids_in
        .split(|id| *id == config.video_token)
        .filter(|part| !part.is_empty());
    let mut text = || Part::Text {
        tokens: texts.next().unwrap().to_vec(),
        spoken: false,
    };
    let parts = [text(), Part::Picture(Picture::Video(0)), text()];
    let x = network.embed(&parts, &pictures).unwrap();
    network.language.forward_uncached(x.clone(), |index, x| {
        let name = format!("language.{index}");
        line(&name, &values(x.clone()), &floats(&file, &name));
    });
    let mut cache = KvCache::new();
    let mut logits = network.advance(x, &mut cache).unwrap();
    line("logits", &logits, &floats(&file, "logits"));
    let expected = ids(&file, "answer");
    let mut tokens = Vec::new();
    for _ in 0..expected.len() {
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
        tokens.push(best);
        logits = network.advance(network.language.embed(&[best]), &mut cache).unwrap();
    }
    println!(
        "\ngreedy tokens: {}",
        if tokens == expected { "the same" } else { "others" }
    );
    println!("transformers: {expected:?}\nkinestream:   {tokens:?}");
}

/// Processor time of this process so far, seconds: what a busy machine does not distort. 0 where /proc is missing.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// The least wall-clock and the least processor time of several runs of the same.
struct Times {
    wall_s: f64,
    processor_s: f64,
}

/// Runs `prepare` and then, timed, `work` on what it made.
fn best<T>(count: usize, mut prepare: impl FnMut() -> T, mut work: impl FnMut(T)) -> Times {
    let mut times = Times {
        wall_s: f64::INFINITY,
        processor_s: f64::INFINITY,
    };
    for _ in 0..count {
        let prepared = prepare();
        let (start, processor) = (Instant::now(), processor_time());
        work(prepared);
        times.wall_s = times.wall_s.min(start.elapsed().as_secs_f64());
        times.processor_s = times.processor_s.min(processor_time() - processor);
    }
    times
}

fn time(folder: &Path, rest: &[&str]) {
    let number = |index: usize, default: usize| rest.get(index).map_or(default, |text| text.parse().unwrap());
    let (frames, text_tokens, answer, repeats) = (number(0, 8), number(1, 48), number(2, 16), number(3, 3));
    let (config, network) = open(folder);
    let side = config.vision.image_size;
    let pixels = Pixels::new(
        side,
        (0..3 * side * side).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect(),
    )
    .unwrap();
    let read = |x: Tensor<2>| black_box(values(x.narrow(0, 0, 1)));
    let vision = best(repeats, || (), |()| drop(read(network.frame_tokens(&pixels))));
    let tokens = frames * config.vision.side().div_ceil(2).pow(2) + 1 + text_tokens / 2 * 2;
    let language: &LanguageModel = &network.language;
    let device = language.device();
    let dtype: DType = language.embed(&[0]).dtype();
    let x = Tensor::<2>::random(
        [tokens, config.text.hidden_size],
        Distribution::Normal(0.0, 0.1),
        &device,
    )
    .cast(dtype);
    let prompt = || {
        let mut cache = KvCache::new();
        drop(read(language.forward(x.clone(), &mut cache)));
        cache
    };
    let prefill = best(repeats, || (), |()| drop(prompt()));
    let decode = best(repeats, prompt, |mut cache| {
        let mut token = 5;
        for _ in 0..answer {
            let logits = network.advance(language.embed(&[token]), &mut cache).unwrap();
            token = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
        }
    });
    for (name, times, count) in [
        ("vision, one frame", vision, 1),
        ("prefill", prefill, 1),
        ("decode, one token", decode, answer),
    ] {
        let Times { wall_s, processor_s } = times;
        let per = 1e3 / count as f64;
        println!(
            "{name}: {:.1} ms, {:.1} ms of processor time",
            wall_s * per,
            processor_s * per
        );
    }
    println!("prompt of {tokens} tokens");
}

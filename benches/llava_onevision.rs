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
    let mut cache = KvCache::new(config.text.layers);
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

/// The quickest of `count` runs, in seconds.
fn best(count: usize, mut work: impl FnMut() -> f64) -> f64 {
    (0..count).map(|_| work()).fold(f64::INFINITY, f64::min)
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
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
    let vision = best(repeats, || seconds(|| drop(read(network.frame_tokens(&pixels)))));
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
    let prefill = best(repeats, || {
        seconds(|| drop(read(language.forward(x.clone(), &mut KvCache::new(config.text.layers)))))
    });
    let decode = best(repeats, || {
        let mut cache = KvCache::new(config.text.layers);
        drop(read(language.forward(x.clone(), &mut cache)));
        let mut token = 5;
        seconds(|| {
            for _ in 0..answer {
                let logits = network.advance(language.embed(&[token]), &mut cache).unwrap();
                token = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
            }
        }) / answer as f64
    });
    println!(
        "{{\"vision_s\": {vision:.4}, \"prefill_s\": {prefill:.4}, \"prompt_tokens\": {tokens}, \
         \"decode_s_per_token\": {decode:.5}}}"
    );
}

//! LLaVA-OneVision against transformers: a tiny model with random weights, written by
//! `tests/golden/make_llava_onevision.py` together with what transformers computes with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, FloatDType, Tensor};
use half::{bf16, f16};
use kinestream::vlm::llava_onevision::{
    Config, Generation, Grid, KvCache, Model, Network, Newline, Part, Picture, PictureTokens, Pixels, Place, Rgb, Turn,
    load_network, lora,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize_to_file};

const LOGITS: f32 = 2e-4;
const QUESTION: &str = "How far did the red car travel between 2.5 s and 12 s? Très loin, 10 m.";

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llava_onevision")
}

fn model() -> Model {
    Model::load(&data().join("model"), Place::Cpu, |_| {}).unwrap()
}

/// What transformers computed.
struct Expected(Vec<u8>);

impl Expected {
    fn read() -> Self {
        Self(std::fs::read(data().join("expected.safetensors")).unwrap())
    }

    fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let values = view
            .data()
            .chunks_exact(8)
            .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as u32);
        values.collect()
    }

    fn picture(&self, name: &str) -> Rgb {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        Rgb::new(view.shape()[0], view.shape()[1], view.data().to_vec()).unwrap()
    }

    /// `[pictures, 3, side, side]`
    fn pixels(&self, name: &str) -> Vec<Pixels> {
        let (shape, values) = self.floats(name);
        let one = |chunk: &[f32]| Pixels::new(shape[2], chunk.to_vec()).unwrap();
        values.chunks_exact(shape[1..].iter().product()).map(one).collect()
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

fn apart(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

fn assert_close(name: &str, found: &[f32], expected: &[f32], bound: f32) {
    let apart = apart(found, expected);
    assert!(apart <= bound, "{name}: {apart} apart, more than {bound}");
}

/// The conversation of a case with transformers' own pixels.
fn case(model: &Model, expected: &Expected, name: &str) -> (Vec<Part>, PictureTokens) {
    case_with(&model.network, model, expected, name)
}

fn case_with(network: &Network, model: &Model, expected: &Expected, name: &str) -> (Vec<Part>, PictureTokens) {
    let mut pictures = PictureTokens::default();
    let placed = match name {
        "text" => vec![],
        "video" => {
            let frames = expected.pixels("video.pixels");
            let frames = frames.iter().map(|frame| network.frame_tokens(frame)).collect();
            pictures
                .videos
                .push(network.video_tokens(frames, model.config.video_newline));
            vec![Picture::Video(0)]
        }
        "single" => {
            let pixels = expected.pixels("single.pixels");
            let image = expected.picture("single");
            let grid = Grid::new(image.height(), image.width(), &model.config);
            assert_eq!(pixels.len(), 1 + grid.tiles.0 * grid.tiles.1);
            pictures
                .images
                .push(network.image_tokens(&pixels[0], &pixels[1..], &grid));
            vec![Picture::Image(0)]
        }
        _ => {
            let pixels = expected.pixels("several.pixels");
            pictures
                .images
                .extend(pixels.iter().map(|pixels| network.image_tokens_of_several(pixels)));
            vec![Picture::Image(0), Picture::Image(1)]
        }
    };
    let turns = [Turn::question(placed, QUESTION)];
    (model.tokenizer.parts(&model.template, &turns, true).unwrap(), pictures)
}

/// The parts as transformers' processor writes them: a picture is as many placeholders as it has tokens.
fn expanded(model: &Model, parts: &[Part], pictures: &PictureTokens) -> Vec<u32> {
    let repeat = |id: u32, tensor: &Tensor<2>| vec![id; tensor.dims()[0]];
    let one = |part: &Part| match part {
        Part::Text { tokens, .. } => tokens.clone(),
        Part::Picture(Picture::Image(index)) => repeat(model.config.image_token, &pictures.images[*index]),
        Part::Picture(Picture::Video(index)) => repeat(model.config.video_token, &pictures.videos[*index]),
    };
    parts.iter().flat_map(one).collect()
}

/// Greedy tokens through the cache, whatever they are.
fn greedy(network: &Network, prompt: Tensor<2>, mut cache: KvCache, count: usize) -> Vec<u32> {
    let mut tokens = Vec::new();
    let mut logits = network.advance(prompt, &mut cache).unwrap();
    loop {
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
        tokens.push(best);
        if tokens.len() == count {
            return tokens;
        }
        logits = network.advance(network.language.embed(&[best]), &mut cache).unwrap();
    }
}

#[test]
fn prompts_logits_and_answers_are_those_of_transformers() {
    let (model, expected) = (model(), Expected::read());
    for name in ["text", "video", "single", "several"] {
        let (parts, pictures) = case(&model, &expected, name);
        assert_eq!(
            expanded(&model, &parts, &pictures),
            expected.ids(&format!("{name}.input_ids")),
            "{name}"
        );
        let x = model.network.embed(&parts, &pictures).unwrap();
        let hidden = model.network.language.forward_uncached(x.clone(), |_, _| {});
        let logits = values(model.network.language.logits(hidden));
        assert_close(name, &logits, &expected.floats(&format!("{name}.logits")).1, LOGITS);
        let tokens = greedy(&model.network, x, KvCache::new(), 16);
        assert_eq!(tokens, expected.ids(&format!("{name}.answer")), "{name}");
    }
}

#[test]
fn a_long_prompt_has_the_logits_of_transformers() {
    let (model, expected) = (model(), Expected::read());
    let (_, wanted) = expected.floats("long.logits");
    let ids = expected.ids("long.input_ids");
    let (network, count) = (&model.network, wanted.len() / 2);
    // In one go, and the last token through the cache.
    let hidden = network
        .language
        .forward_uncached(network.language.embed(&ids), |_, _| {});
    let logits = values(network.language.logits(hidden.narrow(0, ids.len() - 2, 2)));
    assert_close("in one go", &logits, &wanted, LOGITS);
    let mut cache = KvCache::new();
    for part in ids[..ids.len() - 1].chunks(700) {
        network.language.forward(network.language.embed(part), &mut cache);
    }
    let last = network
        .advance(network.language.embed(&ids[ids.len() - 1..]), &mut cache)
        .unwrap();
    assert_close("in parts", &last, &wanted[count..], LOGITS);
}

#[test]
fn the_operations_that_are_trained_give_the_same() {
    let (model, expected) = (model(), Expected::read());
    let network = model.network.clone().train();
    for name in ["video", "single"] {
        let (parts, pictures) = case_with(&network, &model, &expected, name);
        let x = network.embed(&parts, &pictures).unwrap();
        let hidden = network.language.forward_uncached(x, |_, _| {});
        let logits = values(network.language.logits(hidden));
        assert_close(name, &logits, &expected.floats(&format!("{name}.logits")).1, LOGITS);
    }
}

#[test]
fn every_layer_is_that_of_transformers() {
    let (model, expected) = (model(), Expected::read());
    let network = &model.network;
    let frames = expected.pixels("video.pixels");
    let (_, embedded) = expected.floats("video.vision.embeddings");
    let (_, projected) = expected.floats("video.projector");
    let per_frame = |values: &[f32], frame: usize| {
        let count = values.len() / frames.len();
        values[frame * count..(frame + 1) * count].to_vec()
    };
    for (index, frame) in frames.iter().enumerate() {
        let mut x = network.vision.embed(frame);
        assert_close("embeddings", &values(x.clone()), &per_frame(&embedded, index), LOGITS);
        for (number, layer) in network.vision.layers.iter().enumerate() {
            x = layer.forward(x);
            let (_, after) = expected.floats(&format!("video.vision.{number}"));
            assert_close("vision layer", &values(x.clone()), &per_frame(&after, index), LOGITS);
        }
        let x = values(network.projector.forward(x));
        assert_close("projector", &x, &per_frame(&projected, index), LOGITS);
    }
    let (parts, pictures) = case(&model, &expected, "video");
    let x = network.embed(&parts, &pictures).unwrap();
    network.language.forward_uncached(x, |number, x| {
        let (_, after) = expected.floats(&format!("video.language.{number}"));
        assert_close("language layer", &values(x.clone()), &after, LOGITS);
    });
}

#[test]
fn pictures_are_prepared_as_transformers_prepares_them() {
    let (model, expected) = (model(), Expected::read());
    let preprocessor = &model.preprocessor;
    // One step of a byte, in the normalised picture.
    let check = |name: &str, found: &Pixels, wanted: &Pixels| {
        let count = found.values().len() / 3;
        for channel in 0..3 {
            let part = channel * count..(channel + 1) * count;
            let bound = 1.001 / 255.0 / preprocessor.std[channel];
            assert_close(name, &found.values()[part.clone()], &wanted.values()[part], bound);
        }
    };
    for (index, wanted) in expected.pixels("video.pixels").iter().enumerate() {
        check(
            "frame",
            &preprocessor.frame(&expected.picture(&format!("frame.{index}"))),
            wanted,
        );
    }
    for (index, wanted) in expected.pixels("several.pixels").iter().enumerate() {
        check(
            "several",
            &preprocessor.image_of_several(&expected.picture(&format!("several.{index}"))),
            wanted,
        );
    }
    let wanted = expected.pixels("single.pixels");
    let (whole, tiles, _) = preprocessor.image(&expected.picture("single"), &model.config);
    assert_eq!(tiles.len() + 1, wanted.len());
    for (found, wanted) in std::iter::once(&whole).chain(&tiles).zip(&wanted) {
        check("tile", found, wanted);
    }
}

#[test]
fn a_watched_video_answers_every_question_as_from_scratch() {
    let (model, expected) = (model(), Expected::read());
    let frames: Vec<Rgb> = (0..3)
        .map(|index| expected.picture(&format!("frame.{index}")))
        .collect();
    let settings = Generation {
        max_tokens: 12,
        ..Default::default()
    };
    let mut watched = model
        .watch(frames.iter().map(|frame| model.frame_tokens(frame)).collect())
        .unwrap();
    for question in [QUESTION, "Which way?", "Hm", QUESTION] {
        let reply = model.ask(&mut watched, question, &settings).unwrap();
        let turns = [Turn::question(vec![Picture::Video(0)], question)];
        let tokens = frames.iter().map(|frame| model.frame_tokens(frame)).collect();
        let video = model.network.video_tokens(tokens, model.config.video_newline);
        let pictures = PictureTokens {
            images: vec![],
            videos: vec![video],
        };
        let scratch = model.chat(&turns, &pictures, &settings).unwrap();
        assert_eq!(
            (&reply.text, &reply.tokens),
            (&scratch.text, &scratch.tokens),
            "{question}"
        );
        assert_eq!(reply.tokens, model.answer(&frames, question, &settings).unwrap().tokens);
    }
}

#[test]
fn a_long_answer_outgrows_the_caches_first_room() {
    let (model, expected) = (model(), Expected::read());
    let (parts, pictures) = case(&model, &expected, "text");
    let x = model.network.embed(&parts, &pictures).unwrap();
    let mut cache = KvCache::new();
    let network = &model.network;
    let tokens: Vec<u32> = (0..600_u32).map(|index| index * 7 % 256).collect();
    let mut last = network.advance(x.clone(), &mut cache).unwrap();
    for (index, token) in tokens.iter().enumerate() {
        if index == 300 {
            // A fork in the middle must not disturb what follows.
            network
                .advance(network.language.embed(&[1, 2, 3]), &mut cache.fork())
                .unwrap();
        }
        last = network.advance(network.language.embed(&[*token]), &mut cache).unwrap();
    }
    let whole = Tensor::cat(vec![x, network.language.embed(&tokens)], 0);
    let scratch = network.advance(whole, &mut KvCache::new()).unwrap();
    assert_close("the last logits", &last, &scratch, LOGITS);
}

#[test]
fn newlines_stand_where_the_mode_wants_them() {
    let (model, expected) = (model(), Expected::read());
    let network = &model.network;
    let frames: Vec<Tensor<2>> = expected
        .pixels("video.pixels")
        .iter()
        .map(|x| network.frame_tokens(x))
        .collect();
    let width = model.config.text.hidden_size;
    let tokens = |mode| values(network.video_tokens(frames.clone(), mode));
    let bare = tokens(Newline::None);
    let newline = tokens(Newline::OneToken)[bare.len()..].to_vec();
    // 3 frames of 3 by 3 tokens.
    for (mode, every, count) in [
        (Newline::None, 27, 27),
        (Newline::OneToken, 27, 28),
        (Newline::Frame, 9, 30),
        (Newline::Grid, 3, 36),
    ] {
        let found = tokens(mode);
        assert_eq!(found.len(), count * width, "{mode:?}");
        let mut wanted = Vec::new();
        for part in bare.chunks(every * width) {
            wanted.extend_from_slice(part);
            if mode != Newline::None {
                wanted.extend_from_slice(&newline);
            }
        }
        assert_eq!(found, wanted, "{mode:?}");
    }
}

#[test]
fn adapters_go_into_the_vision_tower_when_asked() {
    let mut network = model().network;
    let settings = lora::LoraSettings {
        vision: true,
        targets: vec!["q_proj".into(), "fc1".into()],
        ..Default::default()
    };
    assert_eq!(lora::attach(&mut network, &settings, 1).unwrap(), 2 + 2 + 2);
    let nowhere = lora::LoraSettings {
        targets: vec!["c_attn".into()],
        ..Default::default()
    };
    assert!(
        lora::attach(&mut network, &nowhere, 1)
            .unwrap_err()
            .to_string()
            .contains("c_attn")
    );
}

#[test]
fn a_model_may_move_to_a_worker() {
    fn moves<T: Send + 'static>() {}
    moves::<Model>();
    let model = model();
    let parts = [Part::Text {
        tokens: vec![400],
        spoken: false,
    }];
    let error = model
        .network
        .embed(&parts, &PictureTokens::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("token 400, but the model knows 308"), "{error}");
}

#[derive(serde::Deserialize)]
struct Names {
    disk: String,
    module: String,
    original: String,
}

/// The tiny model's tensors under other names and in another type, in `shards` files.
fn rewrite(folder: &Path, rename: impl Fn(&str) -> String, dtype: Dtype, shards: usize) {
    let source = data().join("model");
    for name in ["config.json", "preprocessor_config.json", "tokenizer.json"] {
        std::fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let bytes = std::fs::read(source.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let convert = |view: &TensorView<'_>| -> Vec<u8> {
        let values = view
            .data()
            .chunks_exact(2)
            .map(|bytes| bf16::from_le_bytes(bytes.try_into().unwrap()).to_f32());
        match dtype {
            Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
            Dtype::F16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
            _ => view.data().to_vec(),
        }
    };
    let tensors: Vec<_> = file
        .tensors()
        .iter()
        .map(|(name, view)| (rename(name), view.shape().to_vec(), convert(view)))
        .collect();
    let mut index = BTreeMap::new();
    for shard in 0..shards {
        let name = if shards == 1 {
            "model.safetensors".to_owned()
        } else {
            format!("model-{:05}-of-{shards:05}.safetensors", shard + 1)
        };
        let part: Vec<_> = tensors.iter().skip(shard).step_by(shards).collect();
        index.extend(part.iter().map(|(tensor, ..)| (tensor.clone(), name.clone())));
        let views = part
            .iter()
            .map(|(tensor, shape, bytes)| (tensor.clone(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
        serialize_to_file(views, None, &folder.join(&name)).unwrap();
    }
    if shards > 1 {
        let json = serde_json::json!({"metadata": {}, "weight_map": index});
        std::fs::write(folder.join("model.safetensors.index.json"), json.to_string()).unwrap();
    }
}

fn logits_of_folder(folder: &Path) -> Vec<f32> {
    let config = Config::read(folder).unwrap();
    let network = load_network(folder, &config, &Device::flex(), FloatDType::F32, &mut |_| {}).unwrap();
    let frame = Pixels::new(
        44,
        (0..3 * 44 * 44).map(|index| (index % 97) as f32 / 48.0 - 1.0).collect(),
    )
    .unwrap();
    let video = network.video_tokens(vec![network.frame_tokens(&frame)], config.video_newline);
    let x = Tensor::cat(vec![network.language.embed(&[1, 2, 3]), video], 0);
    network.advance(x, &mut KvCache::new()).unwrap()
}

#[test]
fn all_layouts_types_and_shards_load_to_the_same_weights() {
    let names: Vec<Names> =
        serde_json::from_str(&std::fs::read_to_string(data().join("layouts.json")).unwrap()).unwrap();
    let module: HashMap<_, _> = names
        .iter()
        .map(|names| (names.disk.clone(), names.module.clone()))
        .collect();
    let original: HashMap<_, _> = names
        .iter()
        .map(|names| (names.disk.clone(), names.original.clone()))
        .collect();
    let expected = logits_of_folder(&data().join("model"));
    let folder = tempfile::tempdir().unwrap();
    rewrite(folder.path(), |name| module[name].clone(), Dtype::F32, 1);
    assert_eq!(logits_of_folder(folder.path()), expected, "newer transformers, f32");
    let folder = tempfile::tempdir().unwrap();
    rewrite(folder.path(), |name| original[name].clone(), Dtype::BF16, 3);
    assert_eq!(logits_of_folder(folder.path()), expected, "lmms-lab, three shards");
    // f16 keeps these bf16 values to about 2e-7 near zero.
    let folder = tempfile::tempdir().unwrap();
    rewrite(folder.path(), str::to_owned, Dtype::F16, 2);
    assert_close("f16", &logits_of_folder(folder.path()), &expected, 1e-4);
}

fn load_error(folder: &Path) -> String {
    Model::load(folder, Place::Cpu, |_| {})
        .expect_err("the folder is damaged")
        .to_string()
}

#[test]
fn one_error_lists_everything_that_is_wrong_with_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let rename = |name: &str| match name {
        "image_newline" => "image_oldline".to_owned(),
        "language_model.model.norm.weight" => "language_model.model.layers.0.input_layernorm.weight".to_owned(),
        "language_model.model.layers.0.input_layernorm.weight" => "language_model.model.norms.weight".to_owned(),
        "multi_modal_projector.linear_1.bias" => "language_model.model.layers.1.self_attn.k_proj.bias".to_owned(),
        "language_model.model.layers.1.self_attn.k_proj.bias" => "multi_modal_projector.linear_1.bias".to_owned(),
        other => other.to_owned(),
    };
    rewrite(folder.path(), rename, Dtype::BF16, 1);
    let error = load_error(folder.path());
    for part in [
        "missing tensors (2)",
        "image_newline",
        "language.norm.weight",
        "unexpected tensors (2)",
        "image_oldline",
        "language.norms.weight",
        "tensors of another shape or type (2)",
        "projector.linear_1.bias: expected [48] of F32, F16 or BF16, found [16] of BF16",
    ] {
        assert!(error.contains(part), "{part} is not in:\n{error}");
    }
}

#[test]
fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    rewrite(folder.path(), str::to_owned, Dtype::BF16, 3);
    let second = folder.path().join("model-00002-of-00003.safetensors");
    let bytes = std::fs::read(&second).unwrap();
    std::fs::write(&second, &bytes[..bytes.len() - 100]).unwrap();
    std::fs::write(folder.path().join("model-00001-of-00003.safetensors"), [255; 64]).unwrap();
    std::fs::remove_file(folder.path().join("model-00003-of-00003.safetensors")).unwrap();
    let error = load_error(folder.path());
    assert!(error.contains("damaged files (3)"), "{error}");
    for number in 1..=3 {
        assert!(
            error.contains(&format!("model-0000{number}-of-00003.safetensors: ")),
            "{error}"
        );
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(load_error(empty.path()).contains("config.json"));
    std::fs::copy(data().join("model/config.json"), empty.path().join("config.json")).unwrap();
    std::fs::copy(data().join("model/tokenizer.json"), empty.path().join("tokenizer.json")).unwrap();
    assert!(load_error(empty.path()).contains("expected model.safetensors"));
}

fn sample(model: &Model) -> (Vec<Part>, PictureTokens) {
    let expected = Expected::read();
    let frames = (0..2)
        .map(|index| model.frame_tokens(&expected.picture(&format!("frame.{index}"))))
        .collect();
    let video = model.network.video_tokens(frames, model.config.video_newline);
    let turns = [
        Turn::question(vec![Picture::Video(0)], "How far did the red car travel?"),
        Turn::answer("10.5 m in 2 s"),
    ];
    (
        model.tokenizer.parts(&model.template, &turns, false).unwrap(),
        PictureTokens {
            images: vec![],
            videos: vec![video],
        },
    )
}

#[test]
fn adapters_learn_and_survive_saving_and_merging() {
    let mut model = model();
    let (parts, pictures) = sample(&model);
    let before = values(model.network.loss(&parts, &pictures).unwrap())[0];
    let settings = lora::LoraSettings {
        rank: 4,
        alpha: 8.0,
        ..Default::default()
    };
    assert_eq!(lora::attach(&mut model.network, &settings, 1).unwrap(), 14);
    assert_eq!(
        values(model.network.loss(&parts, &pictures).unwrap())[0],
        before,
        "a fresh adapter changes nothing"
    );

    let mut network = model.network.clone().train();
    let tracked = pictures.clone().for_training();
    let mut optimizer = AdamWConfig::new().init();
    for _ in 0..20 {
        let loss = network.loss(&parts, &tracked).unwrap();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        assert_eq!(gradients.len(), 28, "A and B of 14 layers and nothing else");
        network = optimizer.step(1e-2, network, gradients);
    }
    let mut tuned = network.valid();
    let after = values(tuned.loss(&parts, &pictures).unwrap())[0];
    assert!(after < 0.5 * before, "the loss fell from {before} to {after} only");

    let folder = tempfile::tempdir().unwrap();
    lora::save(&mut tuned, &settings, folder.path()).unwrap();
    let mut loaded = Model::load(&data().join("model"), Place::Cpu, |_| {}).unwrap().network;
    assert_eq!(lora::load(&mut loaded, folder.path()).unwrap(), settings);
    let logits = |network: &Network| {
        let x = network.embed(&parts, &pictures).unwrap();
        values(network.language.logits(network.language.forward_uncached(x, |_, _| {})))
    };
    let adapted = logits(&tuned);
    assert_eq!(logits(&loaded), adapted);
    lora::merge(&mut loaded);
    assert_close("merged", &logits(&loaded), &adapted, 1e-4);

    // What PEFT can write, but is computed otherwise, is refused; so is a file cut off.
    let config = folder.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen('{', "{\"use_rslora\": true,", 1)).unwrap();
    assert!(
        lora::load(&mut loaded, folder.path())
            .unwrap_err()
            .to_string()
            .contains("`use_rslora` is not supported")
    );
    std::fs::write(&config, text).unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
    assert!(
        lora::load(&mut loaded, folder.path())
            .unwrap_err()
            .to_string()
            .contains("damaged files (1)")
    );
}

#[test]
fn the_whole_network_can_be_trained() {
    let model = model();
    let (parts, pictures) = sample(&model);
    let mut network = model.network.clone().set_require_grad(true).train();
    let tracked = pictures.clone().for_training();
    let mut optimizer = AdamWConfig::new().init();
    let first = values(network.loss(&parts, &tracked).unwrap())[0];
    for _ in 0..5 {
        let gradients = network.loss(&parts, &tracked).unwrap().backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        network = optimizer.step(1e-3, network, gradients);
    }
    let last = values(network.valid().loss(&parts, &pictures).unwrap())[0];
    assert!(last < 0.9 * first, "the loss fell from {first} to {last} only");
}

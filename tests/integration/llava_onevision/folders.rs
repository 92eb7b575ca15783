//! Folders: three key layouts, types, shards, and what is damaged.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{Device, FloatDType, Tensor};
use half::{bf16, f16};
use kinestream::vlm::llava_onevision::{Config, KvCache, Model, Pixels, Place, load_network};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize_to_file};

use super::support::*;

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

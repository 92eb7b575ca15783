//! The parts of a `config.json`: sizes of both towers, and the keys that need more than a number.

use serde_json::Value;

use super::section::Section;
use super::{Activation, Newline, TextConfig, VisionConfig};
use crate::vlm::llava_onevision::Error;

/// All grids from `first` to `last` (rows, columns), in pixels.
fn grids(first: (usize, usize), last: (usize, usize), tile: usize) -> Vec<(usize, usize)> {
    let row = |rows| (first.1..=last.1).map(move |columns| (rows * tile, columns * tile));
    (first.0..=last.0).flat_map(row).collect()
}

/// SigLIP-so400m/14-384 without its last layer.
pub fn so400m() -> VisionConfig {
    VisionConfig {
        hidden_size: 1152,
        intermediate_size: 4304,
        layers: 26,
        heads: 16,
        image_size: 384,
        patch_size: 14,
        channels: 3,
        layer_norm_eps: 1e-6,
        activation: Activation::GeluTanh,
    }
}

/// Defaults are those of `SiglipVisionConfig`.
pub fn vision(section: &Section<'_>) -> Result<VisionConfig, Error> {
    Ok(VisionConfig {
        hidden_size: section.size("hidden_size", 768)?,
        intermediate_size: section.size("intermediate_size", 3072)?,
        layers: section.size("num_hidden_layers", 12)?,
        heads: section.size("num_attention_heads", 12)?,
        image_size: section.size("image_size", 224)?,
        patch_size: section.size("patch_size", 16)?,
        channels: section.size("num_channels", 3)?,
        layer_norm_eps: section.number("layer_norm_eps", 1e-6)?,
        activation: section.activation("hidden_act", Activation::GeluTanh)?,
    })
}

/// Defaults are those of `Qwen2Config`; the sizes must be there.
pub fn qwen2(section: &Section<'_>) -> Result<TextConfig, Error> {
    if section.activation("hidden_act", Activation::Silu)? != Activation::Silu {
        return Err(section.wrong("hidden_act", "silu"));
    }
    if section.flag("use_sliding_window", false)? {
        return Err(section.wrong("use_sliding_window", "false"));
    }
    let (hidden_size, heads) = (
        section.size("hidden_size", None)?,
        section.size("num_attention_heads", None)?,
    );
    if section.get("head_dim").is_none() && !hidden_size.is_multiple_of(heads) {
        return Err(section.wrong("num_attention_heads", "a divisor of hidden_size"));
    }
    // transformers 5 moved the base into `rope_parameters`; older files with scaling have `rope_scaling`.
    let mut rope_theta = section.number("rope_theta", 10_000.0)?;
    for name in ["rope_parameters", "rope_scaling"] {
        let Some(value) = section.get(name) else { continue };
        let rope = Section {
            value,
            name,
            path: section.path,
        };
        let kind = rope
            .text("rope_type")
            .or_else(|| rope.text("type"))
            .unwrap_or("default");
        if kind != "default" {
            return Err(section.wrong(name, "absent or of the type `default`"));
        }
        rope_theta = rope.number("rope_theta", rope_theta)?;
    }
    Ok(TextConfig {
        hidden_size,
        heads,
        intermediate_size: section.size("intermediate_size", None)?,
        layers: section.size("num_hidden_layers", None)?,
        kv_heads: section.size("num_key_value_heads", heads)?,
        head_dim: section.size("head_dim", hidden_size / heads)?,
        vocab_size: section.size("vocab_size", None)?,
        rope_theta,
        rms_norm_eps: section.number("rms_norm_eps", 1e-6)?,
        tied_embeddings: false,
        max_positions: section.size("max_position_embeddings", 32_768)?,
    })
}

/// Python's index into the list of hidden states, of which the first is the embedding.
pub fn feature_layer(root: &Section<'_>, key: &str, layers: usize) -> Result<usize, Error> {
    let Some(value) = root.get(key) else { return Ok(layers) };
    let states = layers as i64 + 1;
    value
        .as_i64()
        .map(|index| if index < 0 { index + states } else { index })
        .filter(|index| (0..states).contains(index))
        .and_then(|index| usize::try_from(index).ok())
        .ok_or_else(|| root.wrong(key, &format!("an index from -{states} to {layers}")))
}

pub fn token(root: &Section<'_>, keys: &[&str], default: u32) -> Result<u32, Error> {
    for key in keys {
        if let Some(value) = root.get(key) {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            return id.ok_or_else(|| root.wrong(key, "a token's number"));
        }
    }
    Ok(default)
}

/// A list of `[height, width]`; the original's files may also say `(1x1),...,(6x6)` in tiles.
pub fn pinpoints(root: &Section<'_>, tile: usize) -> Result<Vec<(usize, usize)>, Error> {
    const KEY: &str = "image_grid_pinpoints";
    let wrong = || root.wrong(KEY, "a list of [height, width]");
    match root.get(KEY) {
        None => Ok(grids((1, 1), (6, 6), tile)),
        Some(Value::String(text)) => {
            let pair = |text: &str| {
                let (rows, columns) = text.trim_matches(['(', ')', ',', ' ', '.']).split_once('x')?;
                Some((rows.parse::<usize>().ok()?, columns.parse::<usize>().ok()?))
            };
            let first = text.split(')').next().and_then(pair);
            let last = text.rsplit('(').next().and_then(pair);
            match (first, last) {
                (Some(first), Some(last)) if first.0 > 0 && first.1 > 0 && last.0 <= 64 && last.1 <= 64 => {
                    Ok(grids(first, last, tile))
                }
                _ => Err(root.wrong(KEY, "a list of [height, width], or (1x1),...,(6x6)")),
            }
        }
        Some(Value::Array(list)) if !list.is_empty() => list
            .iter()
            .map(|pair| {
                let side = |index: usize| {
                    let value = pair.as_array().filter(|pair| pair.len() == 2)?.get(index)?.as_u64()?;
                    usize::try_from(value)
                        .ok()
                        .filter(|value| (1..=1 << 16).contains(value))
                };
                side(0).zip(side(1)).ok_or_else(wrong)
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

pub fn max_tiles(root: &Section<'_>, key: &str) -> Result<usize, Error> {
    match root.text(key) {
        None => Ok(9),
        // Without a bound features are never shrunk.
        Some("anyres") => Ok(usize::MAX >> 16),
        Some(text) => text
            .strip_prefix("anyres_max_")
            .and_then(|number| number.parse().ok())
            .filter(|number| (1..=1024).contains(number))
            .ok_or_else(|| root.wrong(key, "anyres or anyres_max_N")),
    }
}

pub fn newline(root: &Section<'_>) -> Result<Newline, Error> {
    match root.text("mm_newline_position") {
        None | Some("one_token") => Ok(Newline::OneToken),
        Some("frame") => Ok(Newline::Frame),
        Some("grid") => Ok(Newline::Grid),
        Some("no_token") => Ok(Newline::None),
        Some(_) => Err(root.wrong("mm_newline_position", "one_token, frame, grid or no_token")),
    }
}

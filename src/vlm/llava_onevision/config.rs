//! The model's sizes and settings, read from `config.json` as Hugging Face and as lmms-lab write it.

use std::path::Path;

use serde_json::Value;

use super::Error;

/// Everything that `config.json` says about the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The vision tower.
    pub vision: VisionConfig,
    /// The language model.
    pub text: TextConfig,
    /// The projector's activation.
    pub projector_activation: Activation,
    /// Whether the projector's layers have a bias.
    pub projector_bias: bool,
    /// How many of the vision tower's layers run before its features are taken.
    pub feature_layer: usize,
    /// The token that stands for an image in `tokenizer.json`, if it has one.
    pub image_token: u32,
    /// The token that stands for a video in `tokenizer.json`, if it has one.
    pub video_token: u32,
    /// The sizes (height, width) in pixels among which a single image chooses.
    pub grid_pinpoints: Vec<(usize, usize)>,
    /// From how many tiles on an image's features are shrunk (the number in `anyres_max_9`).
    pub max_tiles: usize,
    /// Where the newline vector stands in a video.
    pub video_newline: Newline,
    /// Who wrote the folder.
    pub origin: Origin,
}

/// SigLIP's sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Side of a patch, pixels.
    pub patch_size: usize,
    /// Number of colours.
    pub channels: usize,
    /// Added to the variance in the norms.
    pub layer_norm_eps: f64,
    /// The MLP's activation.
    pub activation: Activation,
}

impl VisionConfig {
    /// Patches along one side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Tokens of one picture.
    pub fn tokens(&self) -> usize {
        self.side() * self.side()
    }
}

/// Qwen2's sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f64,
    /// Whether the output layer is the embedding table.
    pub tied_embeddings: bool,
    /// The longest sequence the model was made for, tokens.
    pub max_positions: usize,
}

/// An activation function by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)`, exact.
    Gelu,
    /// The tanh form of GELU.
    GeluTanh,
    /// `x σ(x)`.
    Silu,
}

/// Where the newline vector stands among the tokens of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Newline {
    /// Once, after the last frame: LLaVA-OneVision.
    #[default]
    OneToken,
    /// After every frame.
    Frame,
    /// After every row of every frame.
    Grid,
    /// Nowhere.
    None,
}

/// Who wrote the folder, which decides the chat template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Hugging Face's conversion (llava-hf).
    HuggingFace,
    /// The original training code (lmms-lab).
    Original,
}

/// All grids from `first` to `last` (rows, columns), in pixels.
fn grids(first: (usize, usize), last: (usize, usize), tile: usize) -> Vec<(usize, usize)> {
    let row = |rows| (first.1..=last.1).map(move |columns| (rows * tile, columns * tile));
    (first.0..=last.0).flat_map(row).collect()
}

/// A JSON object with its name for messages.
struct Section<'a> {
    value: &'a Value,
    name: &'a str,
    path: &'a Path,
}

impl<'a> Section<'a> {
    fn wrong(&self, key: &str, expected: &str) -> Error {
        let found = self
            .value
            .get(key)
            .map_or_else(|| "nothing".to_owned(), Value::to_string);
        let dot = if self.name.is_empty() { "" } else { "." };
        Error::file(
            self.path,
            format!("`{}{dot}{key}` should be {expected}, found {found}", self.name),
        )
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str, default: impl Into<Option<usize>>) -> Result<usize, Error> {
        match (self.get(key), default.into()) {
            (None, Some(default)) => Ok(default),
            (found, _) => found
                .and_then(Value::as_u64)
                .and_then(|value| usize::try_from(value).ok())
                .filter(|value| (1..=1 << 24).contains(value))
                .ok_or_else(|| self.wrong(key, "a whole number from 1 to 16777216")),
        }
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, Error> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|value| value.is_finite() && *value > 0.0)
                .ok_or_else(|| self.wrong(key, "a positive number")),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        self.get(key).map_or(Ok(default), |value| {
            value.as_bool().ok_or_else(|| self.wrong(key, "true or false"))
        })
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Value::as_str)
    }

    fn activation(&self, key: &str, default: Activation) -> Result<Activation, Error> {
        match self.get(key).map(Value::as_str) {
            None => Ok(default),
            Some(Some("gelu")) => Ok(Activation::Gelu),
            Some(Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_tanh")) => Ok(Activation::GeluTanh),
            Some(Some("silu" | "swish")) => Ok(Activation::Silu),
            Some(_) => Err(self.wrong(key, "gelu, gelu_pytorch_tanh or silu")),
        }
    }
}

impl Config {
    /// Reads `config.json` in `folder`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no JSON, describes another model, or has a value out of range.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        Self::parse(&text, &path)
    }

    /// Parses the text of a `config.json`; `path` names it in messages. What is absent has the default that the class
    /// in transformers has, since Hugging Face leaves defaults out.
    ///
    /// # Errors
    ///
    /// As [`Config::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let json: Value = serde_json::from_str(text).map_err(|error| Error::file(path, error))?;
        let root = Section {
            value: &json,
            name: "",
            path,
        };
        let config = if json.get("text_config").is_some() {
            Self::hugging_face(&root)?
        } else if json.get("mm_vision_tower").is_some() || json.get("mm_projector_type").is_some() {
            Self::original(&root)?
        } else {
            return Err(Error::file(
                path,
                "expected LLaVA-OneVision's configuration: `text_config` (Hugging Face) or `mm_vision_tower` (lmms-lab)",
            ));
        };
        config.check(path)?;
        Ok(config)
    }

    fn hugging_face(root: &Section<'_>) -> Result<Self, Error> {
        let section = |name| Section {
            value: root.value.get(name).unwrap_or(&Value::Null),
            name,
            path: root.path,
        };
        let text = section("text_config");
        if let Some(other) = text.text("model_type").filter(|name| *name != "qwen2") {
            return Err(Error::file(
                root.path,
                format!("`text_config.model_type` should be qwen2, found {other}"),
            ));
        }
        let vision_section = section("vision_config");
        if let Some(other) = vision_section
            .text("model_type")
            .filter(|name| *name != "siglip_vision_model")
        {
            let message = format!("`vision_config.model_type` should be siglip_vision_model, found {other}");
            return Err(Error::file(root.path, message));
        }
        if let Some(other) = root
            .text("vision_feature_select_strategy")
            .filter(|name| *name != "full")
        {
            let message = format!("`vision_feature_select_strategy` should be full, found {other}");
            return Err(Error::file(root.path, message));
        }
        let vision = if vision_section.value.is_null() {
            so400m()
        } else {
            vision(&vision_section)?
        };
        let tied = text.flag("tie_word_embeddings", false)? || root.flag("tie_word_embeddings", false)?;
        Ok(Self {
            feature_layer: feature_layer(root, "vision_feature_layer", vision.layers)?,
            grid_pinpoints: pinpoints(root, vision.image_size)?,
            max_tiles: max_tiles(root, "vision_aspect_ratio")?,
            vision,
            text: TextConfig {
                tied_embeddings: tied,
                ..qwen2(&text)?
            },
            projector_activation: root.activation("projector_hidden_act", Activation::Gelu)?,
            projector_bias: root.flag("multimodal_projector_bias", true)?,
            image_token: token(root, &["image_token_index", "image_token_id"], 151_646)?,
            video_token: token(root, &["video_token_index", "video_token_id"], 151_647)?,
            video_newline: newline(root)?,
            origin: Origin::HuggingFace,
        })
    }

    /// The original's file is Qwen2's own configuration with `mm_` keys beside it.
    fn original(root: &Section<'_>) -> Result<Self, Error> {
        let vision = match root.value.get("vision_config") {
            Some(value) if value.is_object() => vision(&Section {
                value,
                name: "vision_config",
                path: root.path,
            })?,
            _ => {
                let tower = root
                    .text("mm_vision_tower")
                    .unwrap_or("google/siglip-so400m-patch14-384");
                if !tower.ends_with("siglip-so400m-patch14-384") {
                    return Err(root.wrong("mm_vision_tower", "google/siglip-so400m-patch14-384"));
                }
                so400m()
            }
        };
        if let Some(other) = root.text("mm_projector_type").filter(|name| *name != "mlp2x_gelu") {
            return Err(Error::file(
                root.path,
                format!("`mm_projector_type` should be mlp2x_gelu, found {other}"),
            ));
        }
        Ok(Self {
            // The original drops the tower's last layer when it builds it, and takes what is then the last output.
            feature_layer: vision.layers,
            grid_pinpoints: pinpoints(root, vision.image_size)?,
            max_tiles: max_tiles(root, "image_aspect_ratio")?,
            vision,
            text: TextConfig {
                tied_embeddings: root.flag("tie_word_embeddings", false)?,
                ..qwen2(root)?
            },
            projector_activation: Activation::Gelu,
            projector_bias: true,
            image_token: token(root, &["image_token_index"], 151_646)?,
            video_token: 151_647,
            video_newline: newline(root)?,
            origin: Origin::Original,
        })
    }

    fn check(&self, path: &Path) -> Result<(), Error> {
        let (text, vision) = (&self.text, &self.vision);
        let wrong = |message: String| Err(Error::file(path, message));
        if !text.heads.is_multiple_of(text.kv_heads) {
            return wrong(format!("{} heads cannot share {} key heads", text.heads, text.kv_heads));
        }
        if !text.head_dim.is_multiple_of(2) {
            return wrong(format!("a head's width must be even, found {}", text.head_dim));
        }
        if !vision.hidden_size.is_multiple_of(vision.heads) {
            return wrong(format!(
                "{} heads cannot share a width of {}",
                vision.heads, vision.hidden_size
            ));
        }
        if vision.side() == 0 {
            let (patch, image) = (vision.patch_size, vision.image_size);
            return wrong(format!(
                "patches of {patch} pixels do not fit into a picture of {image}"
            ));
        }
        if self
            .grid_pinpoints
            .iter()
            .any(|&(h, w)| h % vision.image_size != 0 || w % vision.image_size != 0)
        {
            return wrong(format!(
                "`image_grid_pinpoints` must be multiples of {}",
                vision.image_size
            ));
        }
        Ok(())
    }
}

/// SigLIP-so400m/14-384 without its last layer.
fn so400m() -> VisionConfig {
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
fn vision(section: &Section<'_>) -> Result<VisionConfig, Error> {
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
fn qwen2(section: &Section<'_>) -> Result<TextConfig, Error> {
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
fn feature_layer(root: &Section<'_>, key: &str, layers: usize) -> Result<usize, Error> {
    let Some(value) = root.get(key) else { return Ok(layers) };
    let states = layers as i64 + 1;
    value
        .as_i64()
        .map(|index| if index < 0 { index + states } else { index })
        .filter(|index| (0..states).contains(index))
        .and_then(|index| usize::try_from(index).ok())
        .ok_or_else(|| root.wrong(key, &format!("an index from -{states} to {layers}")))
}

fn token(root: &Section<'_>, keys: &[&str], default: u32) -> Result<u32, Error> {
    for key in keys {
        if let Some(value) = root.get(key) {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            return id.ok_or_else(|| root.wrong(key, "a token's number"));
        }
    }
    Ok(default)
}

/// A list of `[height, width]`; the original's files may also say `(1x1),...,(6x6)` in tiles.
fn pinpoints(root: &Section<'_>, tile: usize) -> Result<Vec<(usize, usize)>, Error> {
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

fn max_tiles(root: &Section<'_>, key: &str) -> Result<usize, Error> {
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

fn newline(root: &Section<'_>) -> Result<Newline, Error> {
    match root.text("mm_newline_position") {
        None | Some("one_token") => Ok(Newline::OneToken),
        Some("frame") => Ok(Newline::Frame),
        Some("grid") => Ok(Newline::Grid),
        Some("no_token") => Ok(Newline::None),
        Some(_) => Err(root.wrong("mm_newline_position", "one_token, frame, grid or no_token")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<Config, Error> {
        Config::parse(text, Path::new("config.json"))
    }

    /// As llava-hf published it: nested, with the defaults of the classes left out.
    const HUGGING_FACE: &str = r#"{
        "image_token_index": 151646, "video_token_index": 151647, "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full", "vision_aspect_ratio": "anyres_max_9", "tie_word_embeddings": false,
        "image_grid_pinpoints": [[384, 384], [384, 768]],
        "text_config": {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
            "num_attention_heads": 14, "num_key_value_heads": 2, "rope_theta": 1000000.0, "vocab_size": 152000,
            "tie_word_embeddings": true},
        "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 1152, "image_size": 384,
            "intermediate_size": 4304, "num_attention_heads": 16, "num_hidden_layers": 26, "patch_size": 14}
    }"#;

    /// As lmms-lab published it: Qwen2's own keys with `mm_` keys beside them.
    const ORIGINAL: &str = r#"{
        "architectures": ["LlavaQwenForCausalLM"], "hidden_size": 3584, "intermediate_size": 18944,
        "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4, "rope_theta": 1000000.0,
        "vocab_size": 152064, "tie_word_embeddings": false, "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "mm_projector_type": "mlp2x_gelu", "image_aspect_ratio": "anyres_max_9", "mm_vision_select_layer": -2,
        "image_grid_pinpoints": "(1x1),...,(6x6)", "mm_newline_position": "grid"
    }"#;

    #[test]
    fn both_kinds_of_file_are_read() {
        let config = parse(HUGGING_FACE).unwrap();
        assert_eq!((config.vision.tokens(), config.feature_layer), (729, 26));
        assert_eq!(
            (config.text.head_dim, config.text.kv_heads, config.text.tied_embeddings),
            (64, 2, true)
        );
        assert_eq!(config.grid_pinpoints, [(384, 384), (384, 768)]);
        let config = parse(ORIGINAL).unwrap();
        assert_eq!(
            (
                config.text.head_dim,
                config.text.vocab_size,
                config.text.tied_embeddings
            ),
            (128, 152_064, false)
        );
        assert_eq!(
            (config.vision.layers, config.video_newline, config.origin),
            (26, Newline::Grid, Origin::Original)
        );
        assert_eq!(
            (config.grid_pinpoints.len(), config.grid_pinpoints[35]),
            (36, (2304, 2304))
        );
    }

    #[test]
    fn the_base_of_the_angles_may_stand_in_either_place() {
        let moved = HUGGING_FACE.replace(
            r#""rope_theta": 1000000.0"#,
            r#""rope_parameters": {"rope_type": "default", "rope_theta": 5e5}"#,
        );
        assert_eq!(parse(&moved).unwrap().text.rope_theta, 5e5);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, message) in [
            (
                r#""hidden_size": 896"#,
                r#""hidden_size": "big""#,
                "`text_config.hidden_size` should be a whole number",
            ),
            (
                r#""qwen2""#,
                r#""llama""#,
                "`text_config.model_type` should be qwen2, found llama",
            ),
            (
                r#""num_key_value_heads": 2"#,
                r#""num_key_value_heads": 4"#,
                "14 heads cannot share 4 key heads",
            ),
            (
                r#""vision_feature_layer": -1"#,
                r#""vision_feature_layer": -28"#,
                "an index from -27 to 26",
            ),
            (
                "anyres_max_9",
                "pad",
                "`vision_aspect_ratio` should be anyres or anyres_max_N",
            ),
            ("[384, 768]", "[384, 700]", "must be multiples of 384"),
        ] {
            let error = parse(&HUGGING_FACE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(
            parse("{}")
                .unwrap_err()
                .to_string()
                .contains("expected LLaVA-OneVision's configuration")
        );
        assert!(parse("{").is_err());
    }
}

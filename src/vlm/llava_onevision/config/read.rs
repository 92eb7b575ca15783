//! Reading a whole `config.json`, of either author.

use std::path::Path;

use serde_json::Value;

use super::parts::{feature_layer, max_tiles, newline, pinpoints, qwen2, so400m, token, vision};
use super::section::Section;
use super::{Activation, Config, Origin, TextConfig};
use crate::vlm::llava_onevision::Error;

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

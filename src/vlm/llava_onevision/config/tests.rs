//! Both kinds of file, and what is wrong with one.
#![allow(clippy::unwrap_used)]
use std::path::Path;

use super::*;
use crate::vlm::llava_onevision::Error;

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

//! One name for each tensor, whichever of the three key layouts a folder has.
//!
//! | layout | vision tower | projector | language model |
//! |---|---|---|---|
//! | llava-hf on disk | `vision_tower.vision_model.` | `multi_modal_projector.linear_1.` | `language_model.model.` |
//! | newer transformers | `model.vision_tower.` | `model.multi_modal_projector.linear_1.` | `model.language_model.` |
//! | lmms-lab | `model.vision_tower.vision_tower.vision_model.` | `model.mm_projector.0.` | `model.` |

/// What the names of a layout begin with, and what they begin with here. The first that fits counts, so longer ones
/// stand first.
const PREFIXES: &[(&str, &str)] = &[
    ("model.vision_tower.vision_tower.vision_model.", "vision."),
    ("model.vision_tower.vision_tower.", "vision."),
    ("model.vision_tower.vision_model.", "vision."),
    ("model.vision_tower.", "vision."),
    ("vision_tower.vision_model.", "vision."),
    ("vision_tower.", "vision."),
    ("model.multi_modal_projector.", "projector."),
    ("multi_modal_projector.", "projector."),
    ("model.mm_projector.0.", "projector.linear_1."),
    ("model.mm_projector.2.", "projector.linear_2."),
    ("model.image_newline", "image_newline"),
    ("image_newline", "image_newline"),
    ("language_model.lm_head.", "lm_head."),
    ("model.lm_head.", "lm_head."),
    ("lm_head.", "lm_head."),
    ("model.language_model.", "language."),
    ("language_model.model.", "language."),
    ("model.embed_tokens.", "language.embed_tokens."),
    ("model.layers.", "language.layers."),
    ("model.norm.", "language.norm."),
];

/// The name used here for a tensor's name in a file; `None` for a tensor of no layout.
pub fn canonical(name: &str) -> Option<String> {
    let (prefix, own) = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    Some(format!("{own}{}", name.get(prefix.len()..)?))
}

/// Whether a tensor (by its canonical name) belongs to the published checkpoints, but is never used: the norm and the
/// pooling head behind the vision tower's last layer, layers dropped from it, and tables that are computed.
pub fn is_unused(name: &str, vision_layers: usize, tied_embeddings: bool) -> bool {
    let dropped_layer = || {
        let rest = name.strip_prefix("vision.encoder.layers.")?;
        Some(rest.split('.').next()?.parse::<usize>().ok()? >= vision_layers)
    };
    name.starts_with("vision.post_layernorm.")
        || name.starts_with("vision.head.")
        || name.ends_with(".position_ids")
        || name.ends_with("rotary_emb.inv_freq")
        || (tied_embeddings && name == "lm_head.weight")
        || dropped_layer().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_three_layouts_have_one_name() {
        let cases = [
            (
                [
                    "vision_tower.vision_model.encoder.layers.3.mlp.fc1.bias",
                    "model.vision_tower.encoder.layers.3.mlp.fc1.bias",
                    "model.vision_tower.vision_tower.vision_model.encoder.layers.3.mlp.fc1.bias",
                ],
                "vision.encoder.layers.3.mlp.fc1.bias",
            ),
            (
                [
                    "multi_modal_projector.linear_2.weight",
                    "model.multi_modal_projector.linear_2.weight",
                    "model.mm_projector.2.weight",
                ],
                "projector.linear_2.weight",
            ),
            (
                [
                    "language_model.model.layers.0.self_attn.q_proj.bias",
                    "model.language_model.layers.0.self_attn.q_proj.bias",
                    "model.layers.0.self_attn.q_proj.bias",
                ],
                "language.layers.0.self_attn.q_proj.bias",
            ),
            (
                ["image_newline", "model.image_newline", "model.image_newline"],
                "image_newline",
            ),
            (
                ["language_model.lm_head.weight", "lm_head.weight", "lm_head.weight"],
                "lm_head.weight",
            ),
        ];
        for (names, own) in cases {
            for name in names {
                assert_eq!(canonical(name).as_deref(), Some(own), "{name}");
            }
        }
        assert_eq!(canonical("model.vision_resampler.x"), None);
    }

    #[test]
    fn only_what_is_known_to_be_left_over_is_left_over() {
        assert!(is_unused("vision.encoder.layers.26.mlp.fc1.bias", 26, false));
        assert!(!is_unused("vision.encoder.layers.25.mlp.fc1.bias", 26, false));
        assert!(is_unused("vision.post_layernorm.weight", 26, false));
        assert!(is_unused("lm_head.weight", 26, true));
        assert!(!is_unused("lm_head.weight", 26, false));
    }
}

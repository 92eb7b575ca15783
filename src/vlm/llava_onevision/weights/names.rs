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

/// The name in a file for a canonical one: lmms-lab's (`original`), or that of llava-hf on disk.
pub fn original(own: &str, original: bool) -> String {
    // Longer beginnings stand first.
    let names: &[(&str, &str)] = if original {
        &[
            ("vision.", "model.vision_tower.vision_tower.vision_model."),
            ("projector.linear_1.", "model.mm_projector.0."),
            ("projector.linear_2.", "model.mm_projector.2."),
            ("image_newline", "model.image_newline"),
            ("lm_head.", "lm_head."),
            ("language.", "model."),
        ]
    } else {
        &[
            ("vision.", "vision_tower.vision_model."),
            ("projector.", "multi_modal_projector."),
            ("image_newline", "image_newline"),
            ("lm_head.", "language_model.lm_head."),
            ("language.", "language_model.model."),
        ]
    };
    let found = names
        .iter()
        .find_map(|(begin, name)| Some((name, own.strip_prefix(begin)?)));
    found.map_or_else(|| own.to_owned(), |(name, rest)| format!("{name}{rest}"))
}

/// The canonical name of a weight by its place in [`Network`](crate::vlm::llava_onevision::Network), such as
/// `language.layers.0.q.weight`; `None` for what no folder holds (adapters).
pub fn own_name(path: &str) -> Option<String> {
    let layer = |rest: &str, parts: &[(&str, &str)]| {
        let (index, rest) = rest.split_once('.')?;
        let (part, leaf) = match rest.split_once('.') {
            Some((part, leaf)) => (part, leaf),
            None => (rest, "weight"),
        };
        let (_, name) = parts.iter().find(|(known, _)| *known == part)?;
        matches!(leaf, "weight" | "bias").then(|| format!("{index}.{name}.{leaf}"))
    };
    const VISION: &[(&str, &str)] = &[
        ("norm1", "layer_norm1"),
        ("norm2", "layer_norm2"),
        ("q", "self_attn.q_proj"),
        ("k", "self_attn.k_proj"),
        ("v", "self_attn.v_proj"),
        ("out", "self_attn.out_proj"),
        ("fc1", "mlp.fc1"),
        ("fc2", "mlp.fc2"),
    ];
    const LANGUAGE: &[(&str, &str)] = &[
        ("norm1", "input_layernorm"),
        ("norm2", "post_attention_layernorm"),
        ("q", "self_attn.q_proj"),
        ("k", "self_attn.k_proj"),
        ("v", "self_attn.v_proj"),
        ("o", "self_attn.o_proj"),
        ("gate", "mlp.gate_proj"),
        ("up", "mlp.up_proj"),
        ("down", "mlp.down_proj"),
    ];
    if let Some(rest) = path.strip_prefix("vision.layers.") {
        return Some(format!("vision.encoder.layers.{}", layer(rest, VISION)?));
    }
    if let Some(rest) = path.strip_prefix("language.layers.") {
        return Some(format!("language.layers.{}", layer(rest, LANGUAGE)?));
    }
    Some(
        match path {
            "vision.patch_embedding.weight" => "vision.embeddings.patch_embedding.weight",
            "vision.patch_embedding.bias" => "vision.embeddings.patch_embedding.bias",
            "vision.positions" => "vision.embeddings.position_embedding.weight",
            "projector.linear_1.weight"
            | "projector.linear_1.bias"
            | "projector.linear_2.weight"
            | "projector.linear_2.bias" => path,
            "projector.newline" => "image_newline",
            "language.embeddings" => "language.embed_tokens.weight",
            "language.norm" => "language.norm.weight",
            "language.head.weight" => "lm_head.weight",
            _ => return None,
        }
        .to_owned(),
    )
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
    fn names_go_back_to_either_layout() {
        for own in [
            "vision.encoder.layers.3.mlp.fc1.bias",
            "projector.linear_1.weight",
            "projector.linear_2.bias",
            "image_newline",
            "language.layers.0.self_attn.q_proj.bias",
            "language.embed_tokens.weight",
            "lm_head.weight",
        ] {
            for kind in [false, true] {
                assert_eq!(canonical(&original(own, kind)).as_deref(), Some(own), "{kind}");
            }
        }
        assert_eq!(
            own_name("language.layers.12.o.weight").as_deref(),
            Some("language.layers.12.self_attn.o_proj.weight")
        );
        assert_eq!(own_name("language.layers.12.q.lora.a"), None);
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

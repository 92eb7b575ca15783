//! Prompts, logits, answers, layers and pictures against transformers.

use burn::module::Module;
use burn::tensor::Tensor;
use kinestream::vlm::llava_onevision::{KvCache, Model, Network, Part, Picture, PictureTokens, Pixels};

use super::support::*;

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

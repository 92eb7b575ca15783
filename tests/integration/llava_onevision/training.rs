//! Adapters and all weights, trained.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use kinestream::vlm::llava_onevision::{Model, Network, Part, Picture, PictureTokens, Place, Turn, lora};

use super::support::*;

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

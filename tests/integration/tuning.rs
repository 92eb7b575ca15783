//! `kinestream train` on a tiny random LLaVA-OneVision folder: STKit records mixed with another set, adapters and all weights,
//! killed and resumed, end to end through the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use kinestream::vlm::llava_onevision::training::TuneLine;
use kinestream::vlm::llava_onevision::{Model, Network, Picture, PictureTokens, Place, Rgb, Turn, lora};

fn base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llava_onevision/model")
}

/// A folder with pictures, STKit records about them, and LLaVA-style lines.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..4_u8 {
        let picture = image::RgbImage::from_fn(60, 40, |x, y| {
            image::Rgb([(x * 4) as u8, (y * 6) as u8, index.wrapping_mul(60)])
        });
        picture.save(folder.path().join(format!("{index}.png"))).unwrap();
    }
    let record = |id: &str, color: &str, metres: f64| {
        serde_json::json!({
            "id": id, "frames": ["0.png", "1.png", "2.png"], "fps": 2.0, "timestamps": [0.0, 0.5, 1.0],
            "data_source": "sim",
            "camera": {"fx": 60.0, "fy": 60.0, "cx": 30.0, "cy": 20.0, "width": 60, "height": 40},
            "ego": null,
            "objects": [{
                "color": color, "track_id": 1, "class": "car",
                "boxes": [[0.0, 5.0, 5.0, 20.0, 20.0], [0.5, 10.0, 5.0, 25.0, 20.0], [1.0, 15.0, 5.0, 30.0, 20.0]],
                "centers_m": [[0.0, 0.0, 0.0, 0.0], [0.5, 2.0, 0.0, 0.0], [1.0, 4.0, 0.0, 0.0]],
            }],
            "task": "TD", "span": [0.0, 1.0], "answer": {"distance_m": metres},
            "conversations": [
                {"from": "human", "value": format!("<image>\nThe video lasts for 1.00 seconds. How far did the {color} car travel?")},
                {"from": "gpt", "value": format!("{metres:.2} meters")},
            ],
            "label_source": "sim",
            "quality": {
                "smoothed": null, "margin_deg": null, "ratio": null, "visible_share": 1.0,
                "splits": {"random": "train", "camera": "seen", "frame_rate": "seen", "wording": "standard", "ego": "standing"},
                "provenance": {"recording": "r", "camera": "c", "start_s": 0.0},
            },
        })
        .to_string()
    };
    let records = [record("a", "red", 4.0), record("b", "blue", 12.0)].join("\n");
    std::fs::write(folder.path().join("stkit.jsonl"), records).unwrap();
    let talk = serde_json::json!([
        {"image": "3.png", "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A car."}]},
        {"frames": ["0.png", "3.png"], "conversations": [
            {"from": "human", "value": "<video>\nWhich way?"}, {"from": "gpt", "value": "Ahead."}]},
    ]);
    std::fs::write(folder.path().join("talk.json"), talk.to_string()).unwrap();
    folder
}

fn config(folder: &Path, name: &str, rest: &str) -> PathBuf {
    let here = folder.display();
    let text = format!(
        "model = \"llava-onevision\"\ncheckpoint = \"{}\"\nout = \"{here}/{name}\"\ndevice = \"cpu\"\nsamples = 3\nwarm_up = 2\n\
         frames = 2\nlog_every = 1\n{rest}\n[[data]]\npath = \"{here}/stkit.jsonl\"\nroot = \"{here}\"\nshare = 2.0\n\
         [[data]]\npath = \"{here}/talk.json\"\nroot = \"{here}\"\n",
        base().display()
    );
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    path
}

fn train(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinestream"));
    command.args(["train", "--config"]).arg(config).stdout(Stdio::null());
    command
}

fn log(out: &Path) -> Vec<TuneLine> {
    let text = std::fs::read_to_string(out.join("log.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn logits(model: &Model, network: &Network) -> Vec<f32> {
    let frame = Rgb::new(40, 60, (0..40 * 60 * 3).map(|index| (index % 251) as u8).collect()).unwrap();
    let tokens = network.frame_tokens(&model.preprocessor.frame(&frame));
    let video = network.video_tokens(vec![tokens], model.config.video_newline);
    let pictures = PictureTokens {
        images: Vec::new(),
        videos: vec![video],
    };
    let turns = [Turn::question(
        vec![Picture::Video(0)],
        "How far did the red car travel?",
    )];
    let parts = model.tokenizer.parts(&model.template, &turns, true).unwrap();
    let x: Tensor<2> = network.embed(&parts, &pictures).unwrap();
    let hidden = network.language.forward_uncached(x, |_, _| {});
    network.language.logits(hidden).try_into_vec_as::<f32>().unwrap()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn adapters_lower_the_loss_and_merging_them_changes_nothing() {
    let folder = workplace();
    let here = folder.path().display();
    let rest = format!(
        "steps = 20\nrate = 1e-2\nmerge = true\ncheckpoint_every = 10\n[lora]\nrank = 4\nalpha = 8.0\n\
         [validation]\npath = \"{here}/stkit.jsonl\"\nroot = \"{here}\"\nevery = 10\n"
    );
    let config = config(folder.path(), "lora", &rest);
    assert!(train(&config).status().unwrap().success());
    let out = folder.path().join("lora");
    let lines = log(&out);
    assert_eq!(
        lines.iter().map(|line| line.step).collect::<Vec<_>>(),
        (1..=20).collect::<Vec<_>>()
    );
    let (first, last) = (lines[0].loss, lines[19].loss);
    assert!(last < 0.5 * first, "the loss fell from {first} to {last} only");
    let validated: Vec<u64> = lines
        .iter()
        .filter(|line| line.validation.is_some())
        .map(|line| line.step)
        .collect();
    assert_eq!(validated, [10, 20]);
    assert_eq!(lines[19].validation.as_ref().unwrap().questions, 2);
    assert!(image::open(out.join("curves.png")).is_ok());

    let plain = Model::load(&base(), Place::Cpu, |_| {}).unwrap();
    let mut adapted = plain.network.clone();
    lora::load(&mut adapted, &out.join("adapter")).unwrap();
    let merged = Model::load(&out.join("model"), Place::Cpu, |_| {}).unwrap();
    let with_adapter = logits(&plain, &adapted);
    assert!(
        apart(&with_adapter, &logits(&plain, &plain.network)) > 0.1,
        "it learned something"
    );
    let off = apart(&with_adapter, &logits(&merged, &merged.network));
    assert!(off <= 1e-4, "{off}");
}

#[test]
fn a_run_killed_and_resumed_ends_in_the_same_weights() {
    let folder = workplace();
    for (method, left) in [
        ("lora", "adapter/adapter_model.safetensors"),
        ("full", "model/model.safetensors"),
    ] {
        let rest = format!("steps = 24\nrate = 3e-3\nmethod = \"{method}\"\ncheckpoint_every = 4\n");
        let whole = config(folder.path(), &format!("{method}-whole"), &rest);
        assert!(train(&whole).status().unwrap().success(), "{method}");
        let name = format!("{method}-parts");
        let parts = config(folder.path(), &name, &rest);
        let mut killed = train(&parts).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(120);
        // After a checkpoint, and before the next one is likely to be whole.
        while log(&folder.path().join(&name)).iter().all(|line| line.step < 5) {
            assert!(Instant::now() < limit);
            std::thread::sleep(Duration::from_millis(5));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert!(train(&parts).status().unwrap().success(), "{method}");
        let read = |name: &str| std::fs::read(folder.path().join(name).join(left)).unwrap();
        let (whole, parts) = (read(&format!("{method}-whole")), read(&name));
        assert!(whole == parts, "{method}");
        let lines = log(&folder.path().join(&name));
        assert!(lines.first().unwrap().loss > lines.last().unwrap().loss, "{method}");
    }
}

#[test]
fn all_weights_are_trained_and_the_vision_tower_when_asked() {
    let folder = workplace();
    let plain = Model::load(&base(), Place::Cpu, |_| {}).unwrap();
    let features = |model: &Model| {
        let frame = Rgb::new(40, 60, vec![99; 40 * 60 * 3]).unwrap();
        let pixels = model.preprocessor.frame(&frame);
        let seen = model.network.vision.forward(&pixels);
        let projected = model.network.projector.forward(seen.clone());
        [seen, projected].map(|tensor| tensor.try_into_vec_as::<f32>().unwrap())
    };
    let before = features(&plain);
    for vision in [false, true] {
        let name = format!("vision-{vision}");
        let rest = format!("steps = 2\nrate = 1e-2\nmethod = \"full\"\ntrain_vision = {vision}\n");
        assert!(train(&config(folder.path(), &name, &rest)).status().unwrap().success());
        let model = Model::load(&folder.path().join(&name).join("model"), Place::Cpu, |_| {}).unwrap();
        let after = features(&model);
        assert_eq!(apart(&before[0], &after[0]) > 1e-3, vision, "the vision tower");
        assert!(apart(&before[1], &after[1]) > 1e-3, "the projector");
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_trained() {
    let folder = workplace();
    let said = |config: &Path| {
        let output = train(config).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let typo = config(folder.path(), "typo", "stepz = 3\n");
    let error = said(&typo);
    assert!(error.contains("typo.toml:9:1") && error.contains("`steps`"), "{error}");
    let absent = config(folder.path(), "absent", "steps = 1\n");
    std::fs::remove_file(folder.path().join("talk.json")).unwrap();
    let error = said(&absent);
    assert!(error.contains("talk.json"), "{error}");
}

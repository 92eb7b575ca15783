//! The tiny model, and what transformers computes with it.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use kinestream::vlm::llava_onevision::{Grid, Model, Network, Part, Picture, PictureTokens, Pixels, Place, Rgb, Turn};
use safetensors::{Dtype, SafeTensors};

pub const LOGITS: f32 = 2e-4;
pub const QUESTION: &str = "How far did the red car travel between 2.5 s and 12 s? Très loin, 10 m.";

pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llava_onevision")
}

pub fn model() -> Model {
    Model::load(&data().join("model"), Place::Cpu, |_| {}).unwrap()
}

/// What transformers computed.
pub struct Expected(Vec<u8>);

impl Expected {
    pub fn read() -> Self {
        Self(std::fs::read(data().join("expected.safetensors")).unwrap())
    }

    pub fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let values = view
            .data()
            .chunks_exact(8)
            .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as u32);
        values.collect()
    }

    pub fn picture(&self, name: &str) -> Rgb {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        Rgb::new(view.shape()[0], view.shape()[1], view.data().to_vec()).unwrap()
    }

    /// `[pictures, 3, side, side]`
    pub fn pixels(&self, name: &str) -> Vec<Pixels> {
        let (shape, values) = self.floats(name);
        let one = |chunk: &[f32]| Pixels::new(shape[2], chunk.to_vec()).unwrap();
        values.chunks_exact(shape[1..].iter().product()).map(one).collect()
    }
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

pub fn apart(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

pub fn assert_close(name: &str, found: &[f32], expected: &[f32], bound: f32) {
    let apart = apart(found, expected);
    assert!(apart <= bound, "{name}: {apart} apart, more than {bound}");
}

/// The conversation of a case with transformers' own pixels.
pub fn case(model: &Model, expected: &Expected, name: &str) -> (Vec<Part>, PictureTokens) {
    case_with(&model.network, model, expected, name)
}

pub fn case_with(network: &Network, model: &Model, expected: &Expected, name: &str) -> (Vec<Part>, PictureTokens) {
    let mut pictures = PictureTokens::default();
    let placed = match name {
        "text" => vec![],
        "video" => {
            let frames = expected.pixels("video.pixels");
            let frames = frames.iter().map(|frame| network.frame_tokens(frame)).collect();
            pictures
                .videos
                .push(network.video_tokens(frames, model.config.video_newline));
            vec![Picture::Video(0)]
        }
        "single" => {
            let pixels = expected.pixels("single.pixels");
            let image = expected.picture("single");
            let grid = Grid::new(image.height(), image.width(), &model.config);
            assert_eq!(pixels.len(), 1 + grid.tiles.0 * grid.tiles.1);
            pictures
                .images
                .push(network.image_tokens(&pixels[0], &pixels[1..], &grid));
            vec![Picture::Image(0)]
        }
        _ => {
            let pixels = expected.pixels("several.pixels");
            pictures
                .images
                .extend(pixels.iter().map(|pixels| network.image_tokens_of_several(pixels)));
            vec![Picture::Image(0), Picture::Image(1)]
        }
    };
    let turns = [Turn::question(placed, QUESTION)];
    (model.tokenizer.parts(&model.template, &turns, true).unwrap(), pictures)
}

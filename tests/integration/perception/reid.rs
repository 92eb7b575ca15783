//! ReID: the right pixels, in the right order, as unit vectors.

use kinestream::detection::BoundingBox;
use kinestream::perception::{Embedder, EmbedderSettings, MAX_EMBEDDINGS};

use super::support::{Rgb, onnx, session};
use crate::support::real_data;

fn settings() -> EmbedderSettings {
    EmbedderSettings { session: session() }
}

/// What the network answers for a box with one colour above and another below.
fn expected(above: [f64; 3], below: [f64; 3]) -> Vec<f64> {
    let mut row = Vec::new();
    for channel in 0..3 {
        for color in [above, below] {
            row.push((color[channel] / 255.0 - [0.485, 0.456, 0.406][channel]) / [0.229, 0.224, 0.225][channel]);
        }
    }
    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.iter().map(|value| value / length).collect()
}

#[test]
fn each_box_gets_the_vector_of_its_own_pixels() {
    let (red, green, blue) = ([220.0, 10.0, 30.0], [20.0, 200.0, 60.0], [10.0, 20.0, 230.0]);
    let picture = Rgb::new(400, 400, |u, v| match (u < 0.5, v < 0.5) {
        (true, true) => red,
        (true, false) => green,
        (false, true) => blue,
        (false, false) => [128.0; 3],
    });
    let boxes = [
        BoundingBox::new(20.0, 100.0, 120.0, 300.0),
        BoundingBox::new(-900.0, 0.0, -500.0, 100.0),
        BoundingBox::new(250.0, 100.0, 350.0, 300.0),
        // Half outside: what is inside counts.
        BoundingBox::new(-100.0, 150.0, 100.0, 250.0),
    ];
    for name in ["reid", "reid_batch"] {
        let mut embedder = Embedder::load(&onnx(name), &settings()).unwrap();
        let found = embedder.embed(&picture.picture(), &boxes).unwrap();
        assert!(found[1].is_none());
        for (index, (above, below)) in [(0, (red, green)), (2, (blue, [128.0; 3])), (3, (red, green))] {
            let found = found[index].as_ref().unwrap();
            for (found, expected) in found.iter().zip(expected(above, below)) {
                // The line between the halves is blurred over one pixel of the network's 256.
                assert!(
                    (f64::from(*found) - expected).abs() < 0.02,
                    "{name} {index}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn boxes_beyond_the_limit_are_counted() {
    let mut embedder = Embedder::load(&onnx("reid_batch"), &settings()).unwrap();
    let picture = Rgb::plain(64, 64, [90, 80, 70]);
    let boxes = vec![BoundingBox::new(5.0, 5.0, 40.0, 60.0); MAX_EMBEDDINGS + 7];
    let found = embedder.embed(&picture.picture(), &boxes).unwrap();
    assert_eq!(found.iter().filter(|vector| vector.is_some()).count(), MAX_EMBEDDINGS);
    assert_eq!(embedder.dropped_boxes(), 7);
}

#[test]
fn osnet_tells_two_looks_apart() {
    let Some(path) = real_data("models/osnet_x0_25_msmt17.onnx") else {
        return;
    };
    let mut embedder = Embedder::load(&path, &settings()).unwrap();
    let person = |shirt: [f64; 3], noise: f64| {
        Rgb::new(128, 256, move |u, v| {
            let wave = noise * ((u * 40.0).sin() + (v * 60.0).cos());
            let inside = (u - 0.5).abs() < 0.25;
            let color = match (inside, v < 0.5) {
                (true, true) => shirt,
                (true, false) => [30.0, 30.0, 60.0],
                (false, _) => [140.0, 140.0, 135.0],
            };
            color.map(|value| value + wave)
        })
    };
    let whole = [BoundingBox::new(0.0, 0.0, 128.0, 256.0)];
    let mut embed = |picture: &Rgb| embedder.embed(&picture.picture(), &whole).unwrap()[0].clone().unwrap();
    let (red, red_again) = (
        embed(&person([200.0, 30.0, 30.0], 2.0)),
        embed(&person([195.0, 35.0, 30.0], 5.0)),
    );
    let green = embed(&person([30.0, 160.0, 40.0], 2.0));
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert_eq!(red.len(), 512);
    assert!((cosine(&red, &red) - 1.0).abs() < 1e-5);
    assert!(cosine(&red, &red_again) > cosine(&red, &green) + 0.05);
}

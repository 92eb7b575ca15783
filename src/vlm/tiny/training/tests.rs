//! The loop as a whole: it learns, and an interruption changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use rand_pcg::Pcg64;

use super::*;
use crate::sim::Scene;
use crate::vlm::tiny::network::Network;

fn small(out: &std::path::Path) -> TrainSettings {
    TrainSettings {
        out: out.to_owned(),
        steps: 6,
        clips: 1,
        worlds: 3,
        worlds_per_step: 0.5,
        checkpoint_every: 3,
        log_every: 1,
        ..TrainSettings::default()
    }
}

#[test]
fn a_run_that_was_interrupted_ends_in_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let weights = |out: &std::path::Path, steps: &[u64]| {
        for last in steps {
            // The schedule is that of six steps in all; a run that is killed stops short of it.
            let told = std::cell::Cell::new(0);
            let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                train(&small(out), |line| {
                    told.set(line.step);
                    if line.step > *last && *last < 6 {
                        panic!("killed");
                    }
                })
                .unwrap();
            }));
            assert_eq!(killed.is_ok(), *last == 6);
        }
        std::fs::read(out.join("model.bpk")).unwrap()
    };
    let whole = weights(&whole, &[6]);
    // Killed after the checkpoint of step 3, in step 5.
    let parts = weights(&parts, &[4, 6]);
    assert!(whole.len() > 1_000_000);
    let device = Device::flex();
    let read = |bytes: Vec<u8>| {
        let record = burn::store::ModuleRecord::from_bytes(burn::tensor::Bytes::from_bytes_vec(bytes)).unwrap();
        Network::new(&device).load_record(record.cast_to_module_dtype())
    };
    let (whole, parts) = (values(&read(whole)), values(&read(parts)));
    assert_eq!(whole, parts);
}

/// All weights of a network, in order.
fn values(network: &Network) -> Vec<f32> {
    struct Values(Vec<f32>);
    impl burn::module::ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<burn::tensor::Tensor<D>>) {
            let data = param.val().into_data().convert::<f32>();
            self.0.extend_from_slice(data.as_slice::<f32>().unwrap());
        }
    }
    let mut values = Values(Vec::new());
    network.visit(&mut values);
    values.0
}

#[test]
fn sixteen_samples_are_learned_by_heart() {
    let mut random = Pcg64::new(7, 11);
    let world = Timeline::new(Scene::StreetFixed, 5, None, &mut random).unwrap();
    let mut groups = Vec::new();
    for states in [true, false] {
        let senses = Senses { views: true, states };
        groups.push((0..50).find_map(|_| draw(&world, senses, &mut random)).unwrap());
    }
    assert_eq!(groups.iter().map(|group| group.rows.len()).sum::<usize>(), 16);
    let device = Device::flex().autodiff();
    device.seed(3);
    let mut network = Network::new(&device);
    let mut optimizer = AdamWConfig::new().init();
    let mut losses = Vec::new();
    for _ in 0..160 {
        let found = loss(&network, &groups, &device);
        losses.push(found.parts.clone().map(|part| part.into_scalar::<f32>()));
        let gradients = GradientsParams::from_grads(found.total.backward(), &network);
        network = optimizer.step(1e-3, network, gradients);
    }
    let (first, last) = (losses.first().unwrap(), losses.last().unwrap());
    // The speeds within some percent, the hours and headings nearly certain.
    assert!(
        last[0] < first[0] - 1.5 && last[0] < -1.0,
        "speed {first:?} -> {last:?}"
    );
    assert!(last[1] < 0.25 * first[1], "hours {first:?} -> {last:?}");
    assert!(last[2] < 0.1 * first[2].max(0.5), "heading {first:?} -> {last:?}");
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let wrong = TrainSettings {
        states_share: 1.5,
        ..TrainSettings::default()
    };
    assert_eq!(wrong.check().unwrap_err(), "states_share: expected 0 to 1, found 1.5");
    for text in [
        include_str!("../../../../configs/train-tiny.toml"),
        include_str!("../../../../configs/train-tiny-2.toml"),
        include_str!("../../../../configs/train-tiny-3.toml"),
        include_str!("../../../../configs/train-tiny-4.toml"),
        include_str!("../../../../configs/train-tiny-5.toml"),
    ] {
        let settings: TrainSettings = toml::from_str(text).unwrap();
        settings.check().unwrap();
    }
}

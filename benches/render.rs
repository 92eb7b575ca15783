//! How fast worlds are drawn: the limits are 150 pictures a second at 640×384 and 1000 at 128×128, on one core.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kinestream::sim::render::Renderer;
use kinestream::sim::{Scene, World, WorldSettings};

/// Pictures drawn in one measurement: 2 s of a camera, from 5 s on, when traffic has spread.
const FRAMES: u64 = 50;

fn pictures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render");
    group.throughput(Throughput::Elements(FRAMES)).sample_size(10);
    for (width, height) in [(640, 384), (128, 128)] {
        for scene in Scene::ALL {
            let settings = WorldSettings {
                width,
                height,
                ..WorldSettings::new(scene, 1)
            };
            let Ok(mut world) = World::new(settings) else { continue };
            let snapshots: Vec<_> = (0..FRAMES)
                .filter_map(|frame| world.at(5.0 + frame as f64 * 0.04).ok())
                .collect();
            let mut renderer = Renderer::new(&world);
            let id = BenchmarkId::new(scene.name(), format!("{width}x{height}"));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    for snapshot in &snapshots {
                        std::hint::black_box(renderer.render(snapshot));
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pictures);
criterion_main!(benches);

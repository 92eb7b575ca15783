//! What a frame costs the reconstruction of a moving camera, without the networks: 640×384, a drive along a textured
//! street, with a depth map and without.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use kinestream::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::reconstruction::{ClassPriors, DepthMap, Reconstructor, SceneFrame, VisualReconstructor};
use nalgebra::{Point2, Vector3};

const SIZE: (u32, u32) = (640, 384);
const FRAMES: usize = 90;
const FRAME_S: f64 = 1.0 / 30.0;
const SPEED_MPS: f64 = 8.0;

fn camera() -> Camera {
    Camera {
        intrinsics: Intrinsics {
            fx: 460.0,
            fy: 460.0,
            cx: 320.0,
            cy: 192.0,
            width: SIZE.0,
            height: SIZE.1,
            distortion: Distortion::None,
        },
        intrinsics_source: IntrinsicsSource::Calibrated,
        mounting: Some(Mounting::level(1.5)),
        mounting_source: MountingSource::Measured,
    }
}

/// A road, two walls and a far end with noise on them, seen from x along the road: grey and depth.
fn render(camera: &Camera, x: f64) -> (Vec<u8>, Vec<f32>) {
    let hash = |a: i32, b: i32, c: u32| {
        let mut value = (a as u32).wrapping_mul(0x27d4_eb2d) ^ (b as u32).wrapping_mul(0x1656_67b1) ^ c;
        value = (value ^ (value >> 15)).wrapping_mul(0x2c1b_3c6d);
        f64::from((value ^ (value >> 12)) & 0xff)
    };
    let noise = |u: f64, v: f64, c: u32| {
        let (i, j) = (u.floor() as i32, v.floor() as i32);
        let (a, b) = (u - u.floor(), v - v.floor());
        let above = hash(i, j, c) * (1.0 - a) + hash(i + 1, j, c) * a;
        let below = hash(i, j + 1, c) * (1.0 - a) + hash(i + 1, j + 1, c) * a;
        above * (1.0 - b) + below * b
    };
    let pose = camera.world_from_camera();
    let mut gray = Vec::new();
    let mut depth = Vec::new();
    for row in 0..SIZE.1 {
        for column in 0..SIZE.0 {
            let pixel = Point2::new(f64::from(column) + 0.5, f64::from(row) + 0.5);
            let ray = camera
                .intrinsics
                .unproject(&pixel)
                .map_or_else(|_| Vector3::z(), |ray| ray.into_inner() / ray.z);
            let toward = pose.rotation * ray;
            let surfaces = [
                (-1.5 / toward.z, 0),
                (7.0 / toward.y, 1),
                (-7.0 / toward.y, 2),
                (150.0 / toward.x, 3),
            ];
            let (far, surface) =
                surfaces
                    .into_iter()
                    .filter(|(far, _)| *far > 0.0)
                    .fold(
                        (f64::INFINITY, 0),
                        |best, next| if next.0 < best.0 { next } else { best },
                    );
            let at = toward * far + Vector3::new(if surface == 3 { 0.0 } else { x }, 0.0, 0.0);
            let (u, v) = match surface {
                0 => (at.x, at.y),
                3 => (at.y, at.z),
                _ => (at.x, at.z),
            };
            let fine = (1.0 - far / 40.0).max(0.0);
            let value = 60.0 + 0.25 * noise(u / 1.5, v / 1.5, surface) + 0.35 * fine * noise(u * 4.0, v * 4.0, surface);
            gray.push(value as u8);
            depth.push(far as f32);
        }
    }
    (gray, depth)
}

fn bench(criterion: &mut Criterion) {
    let camera = camera();
    let frames: Vec<_> = (0..FRAMES)
        .map(|index| {
            let (gray, depth_m) = render(&camera, SPEED_MPS * FRAME_S * index as f64);
            let depth = DepthMap {
                width: SIZE.0,
                height: SIZE.1,
                depth_m,
                relative_sigma: 0.1,
            };
            (gray, Arc::new(depth))
        })
        .collect();
    let mut group = criterion.benchmark_group("reconstruction");
    group
        .sample_size(10)
        .throughput(criterion::Throughput::Elements(FRAMES as u64));
    for (name, with_depth) in [("640x384 with depth", true), ("640x384 without depth", false)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut odometry = VisualReconstructor::new(Some(camera.clone()), Arc::new(ClassPriors::default()));
                for (index, (gray, depth)) in frames.iter().enumerate() {
                    let picture = Picture::packed(PixelFormat::Gray8, SIZE.0, SIZE.1, gray).ok();
                    let view = odometry.reconstruct_frame(&SceneFrame {
                        time: FrameTime::from_pts_ns((index as f64 * FRAME_S * 1e9) as u64),
                        width: SIZE.0,
                        height: SIZE.1,
                        picture,
                        depth: with_depth.then(|| depth.clone()),
                        movable: &[],
                    });
                    assert!(black_box(view).is_ok_and(|view| !view.health.lost));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

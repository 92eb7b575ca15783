//! A 1080p picture into a 416×416 tensor, on one core: the limit is 2 ms.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kinestream::frame::{Picture, PixelFormat, Plane, YuvColor};
use kinestream::perception::{
    ChannelOrder, InputSpec, Layout, Padding, Preprocessor, Region, SizeRule, TensorBuffer, ValueRange,
};

fn spec(side: [u32; 2], padding: Padding) -> InputSpec {
    InputSpec {
        name: "images".into(),
        layout: Layout::Nchw,
        size: SizeRule::Fixed(side),
        padding,
        pad: [114.0; 3],
        color: ChannelOrder::Bgr,
        range: ValueRange::Byte,
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("preprocess");
    for (name, format, (width, height), side) in [
        ("nv12 1080p to 416", PixelFormat::Nv12, (1920, 1080), [416, 416]),
        ("i420 1080p to 416", PixelFormat::I420, (1920, 1080), [416, 416]),
        ("bgrx 1080p to 416", PixelFormat::Bgrx, (1920, 1080), [416, 416]),
        ("nv12 1080p to 640", PixelFormat::Nv12, (1920, 1080), [640, 640]),
        ("nv12 768x432 to 416", PixelFormat::Nv12, (768, 432), [416, 416]),
        ("nv12 1080p to 1064x616", PixelFormat::Nv12, (1920, 1080), [1064, 616]),
    ] {
        let planes: Vec<(Vec<u8>, usize)> = (0..format.planes())
            .map(|plane| {
                let (row, rows) = format.plane_extent(plane, width, height);
                (noise(row * rows), row)
            })
            .collect();
        let planes: Vec<Plane<'_>> = planes
            .iter()
            .map(|(data, stride)| Plane { data, stride: *stride })
            .collect();
        let picture = Picture::new(format, width, height, YuvColor::default(), &planes).unwrap();
        let mut preprocessor = Preprocessor::new(spec(side, Padding::TopLeft), TensorBuffer::F32(Vec::new()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| preprocessor.fill(black_box(&picture), Region::whole(width, height)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

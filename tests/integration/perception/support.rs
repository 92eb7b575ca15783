//! Where fixtures lie, and pictures to test with.

use std::path::{Path, PathBuf};

use kinestream::camera::{Distortion, Intrinsics};
use kinestream::frame::{Picture, PixelFormat};
use kinestream::perception::{Device, SessionSettings, runtime};

/// One thread on the processor; panics with what to do when ONNX Runtime is not there.
pub fn session() -> SessionSettings {
    if let Err(error) = runtime::load() {
        panic!("these tests need ONNX Runtime: {error}");
    }
    SessionSettings {
        device: Device::Cpu,
        threads: 1,
        spin: false,
    }
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub fn onnx(name: &str) -> PathBuf {
    fixture(&format!("onnx/{name}.onnx"))
}

/// A manifest written beside nothing: `weights` is an absolute path.
pub fn manifest(folder: &Path, weights: &Path, text: &str) -> PathBuf {
    let path = folder.join("model.toml");
    let head = format!("name = \"test\"\nfile = \"{}\"\n", weights.display());
    std::fs::write(&path, head + text).unwrap();
    path
}

/// An RGB picture from a function of column and row.
pub struct Rgb {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
}

impl Rgb {
    pub fn new(width: u32, height: u32, color: impl Fn(f64, f64) -> [f64; 3]) -> Self {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (
                    (f64::from(x) + 0.5) / f64::from(width),
                    (f64::from(y) + 0.5) / f64::from(height),
                );
                data.extend(color(u, v).map(|value| value.round().clamp(0.0, 255.0) as u8));
            }
        }
        Self { width, height, data }
    }

    pub fn plain(width: u32, height: u32, color: [u8; 3]) -> Self {
        Self::new(width, height, |_, _| color.map(f64::from))
    }

    pub fn picture(&self) -> Picture<'_> {
        Picture::packed(PixelFormat::Rgb, self.width, self.height, &self.data).unwrap()
    }
}

pub fn intrinsics(width: u32, height: u32, fx: f64, fy: f64) -> Intrinsics {
    Intrinsics {
        fx,
        fy,
        cx: 0.5 * f64::from(width) - 0.5,
        cy: 0.5 * f64::from(height) - 0.5,
        width,
        height,
        distortion: Distortion::None,
    }
}

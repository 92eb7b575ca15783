//! The default models, small nets trained in the simulator (`tools/train`), built into the program.

use std::path::Path;

use super::PerceptionError;
use super::manifest::{Manifest, Task};

/// Where a model is asked for, this word stands for the default one.
pub const DEFAULT_MODEL: &str = "default";
/// Where a model is optional, this word leaves it out.
pub const NO_MODEL: &str = "none";

/// A model that needs no file.
pub(super) struct Builtin {
    /// What it is called in errors and logs.
    pub name: &'static str,
    manifest: &'static str,
    /// The ONNX file.
    pub weights: &'static [u8],
}

static DETECTOR: Builtin = Builtin {
    name: "built-in kinestream-detector",
    manifest: include_str!("../../models/kinestream-detector.toml"),
    weights: include_bytes!("../../models/kinestream-detector.onnx"),
};

static DEPTH: Builtin = Builtin {
    name: "built-in kinestream-depth",
    manifest: include_str!("../../models/kinestream-depth.toml"),
    weights: include_bytes!("../../models/kinestream-depth.onnx"),
};

impl Builtin {
    /// The default model of a task; none for looks.
    pub fn of(task: Task) -> Option<&'static Self> {
        match task {
            Task::Detector => Some(&DETECTOR),
            Task::Depth => Some(&DEPTH),
            Task::Reid => None,
        }
    }

    /// Its manifest; `file` is its name.
    pub fn manifest(&self) -> Result<Manifest, PerceptionError> {
        let path = Path::new(self.name);
        let mut manifest: Manifest = crate::settings::parse(self.manifest, path)?;
        manifest.check(path)?;
        manifest.file = path.to_owned();
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fmt::Write as _;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::frame::{Picture, PixelFormat};
    use crate::perception::{DepthModel, DepthSettings, Detector, DetectorSettings};

    #[test]
    fn manifests_tell_the_hash_of_what_is_built_in() {
        for task in [Task::Detector, Task::Depth] {
            let builtin = Builtin::of(task).unwrap();
            let manifest = builtin.manifest().unwrap();
            assert_eq!(manifest.task, task);
            assert!(builtin.weights.len() <= 4 << 20, "{}", builtin.weights.len());
            let mut found = String::new();
            for byte in Sha256::digest(builtin.weights) {
                write!(found, "{byte:02x}").unwrap();
            }
            assert_eq!(manifest.sha256, Some(found), "{}", builtin.name);
        }
    }

    #[test]
    fn the_default_detector_knows_what_moves_in_the_simulator() {
        let detector = Detector::load(Path::new(DEFAULT_MODEL), &DetectorSettings::default()).unwrap();
        let names: Vec<&str> = detector.classes().iter().map(|class| class.as_str()).collect();
        assert_eq!(names, crate::sim::ActorClass::ALL.map(crate::sim::ActorClass::name));
    }

    #[test]
    fn the_default_depth_takes_the_focal_length_into_account() {
        let mut depth = DepthModel::load(Path::new(DEFAULT_MODEL), &DepthSettings::default()).unwrap();
        // A road under a horizon: any picture will do, it is the answer's scale that is looked at.
        let pixels: Vec<u8> = (0..384u32 * 640)
            .map(|pixel| if pixel < 150 * 640 { 220 } else { 90 + (pixel % 7) as u8 })
            .collect();
        let picture = Picture::packed(PixelFormat::Gray8, 640, 384, &pixels).unwrap();
        let mut median = |focal: f64| {
            let intrinsics = crate::camera::Intrinsics {
                fx: focal,
                fy: focal,
                cx: 319.5,
                cy: 191.5,
                width: 640,
                height: 384,
                distortion: crate::camera::Distortion::None,
            };
            let map = depth.estimate(&picture, &intrinsics).unwrap();
            assert_eq!((map.width, map.height), (320, 192));
            let mut known: Vec<f32> = map.depth_m.into_iter().filter(|depth| depth.is_finite()).collect();
            assert!(known.len() > 320 * 192 / 4, "{}", known.len());
            known.sort_by(f32::total_cmp);
            known[known.len() / 2]
        };
        let (near, far) = (median(400.0), median(800.0));
        assert!(far > 1.2 * near, "{near} m, {far} m");
    }
}

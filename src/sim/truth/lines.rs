//! The open format: one JSON object a line, first what holds for the whole recording, then one a frame.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use nalgebra::{Isometry3, Quaternion, UnitQuaternion};
use serde::{Deserialize, Serialize};

use super::error::TruthError;
use super::frame::{FrameTruth, ObjectTruth};
use super::maps::METRES_PER_UNIT;
use crate::camera::{Distortion, Intrinsics};
use crate::sim::render::Sighting;
use crate::sim::world::World;

/// What `format` says in the first line.
const FORMAT: &str = "kinestream-truth";
const VERSION: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// The first line.
    World(WorldRecord),
    /// Every other line.
    Frame(FrameRecord),
}

/// What holds for the whole recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorldRecord {
    /// `kinestream-truth`.
    pub format: String,
    /// 1; fields may be added within a version.
    pub version: u32,
    /// The scene's name.
    pub scene: String,
    /// The world's seed.
    pub seed: u64,
    /// Nominal frames a second.
    pub frame_rate_hz: f64,
    /// Standard deviation of the time between frames, of the nominal time.
    pub jitter: f64,
    /// How points become pixels.
    pub intrinsics: IntrinsicsRecord,
    /// Where the depth and the masks of each frame are; absent when they were not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maps: Option<MapsRecord>,
}

/// Pinhole with distortion, as in a camera file. Pixels count from the picture's top-left corner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntrinsicsRecord {
    /// Picture width, pixels.
    pub width: u32,
    /// Picture height, pixels.
    pub height: u32,
    /// Focal length across, pixels.
    pub fx: f64,
    /// Focal length down, pixels.
    pub fy: f64,
    /// Principal point, pixels from the left edge.
    pub cx: f64,
    /// Principal point, pixels from the top edge.
    pub cy: f64,
    /// Lens distortion; absent for a pinhole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distortion: Option<DistortionRecord>,
}

/// Lens distortion with OpenCV's coefficients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum DistortionRecord {
    /// Radial k1, k2, k3 and tangential p1, p2.
    BrownConrady {
        /// Radial.
        k: [f64; 3],
        /// Tangential.
        p: [f64; 2],
    },
    /// Equidistant fisheye, k1 to k4.
    Fisheye {
        /// Radial.
        k: [f64; 4],
    },
}

/// Where the depth and the masks of each frame are, relative to the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapsRecord {
    /// Depth of frame N: this folder, then N in six digits and `.png`; 16-bit grey, 0 in the sky and out of range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_folder: Option<String>,
    /// What one step of a depth picture stands for, metres.
    pub depth_metres_per_unit: f64,
    /// Masks of frame N likewise; the value is the object's id, 0 for what stands still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_folder: Option<String>,
}

/// A pose: rotates, then translates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoseRecord {
    /// Metres.
    pub translation_m: [f64; 3],
    /// Unit quaternion.
    pub rotation_wxyz: [f64; 4],
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameRecord {
    /// Number of the frame, from 0; live, frames that were left out are missing.
    pub frame: u64,
    /// Seconds since the world began.
    pub time_s: f64,
    /// When a live camera took the frame: nanoseconds since 1970, UTC, on the clock that its RTCP sender reports carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_utc_ns: Option<i64>,
    /// The camera's pose.
    pub world_from_camera: PoseRecord,
    /// The camera's velocity in the world, m/s.
    pub camera_velocity_mps: [f64; 3],
    /// All objects of the world, also those out of the picture.
    pub objects: Vec<ObjectRecord>,
}

/// One object in one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Identity within the world, from 1; its value in the masks.
    pub id: u16,
    /// Its class, as COCO names it.
    pub class: String,
    /// Length, width, height of the box that holds it, metres.
    pub size_m: [f64; 3],
    /// The box's centre, metres.
    pub center_in_world_m: [f64; 3],
    /// Heading about the world's up axis, radians, counter-clockwise from x.
    pub yaw_rad: f64,
    /// Velocity in the world, m/s.
    pub velocity_in_world_mps: [f64; 3],
    /// The box's centre in the camera frame (x right, y down, z forward), metres.
    pub center_in_camera_m: [f64; 3],
    /// Heading about the camera's y axis, radians: 0 points along the picture's right, π/2 towards the camera.
    pub yaw_in_camera_rad: f64,
    /// Left, top, right and bottom edge of the silhouette inside the picture, hidden parts included, pixels; `null` when
    /// the object is out of the picture.
    pub bbox_px: Option<[f32; 4]>,
    /// Share of the silhouette inside the picture that nothing hides.
    pub visible_fraction: f64,
    /// Pixels that show the object.
    pub visible_px: u32,
    /// Whether the silhouette touches the picture's edge.
    pub truncated: bool,
}

impl WorldRecord {
    /// Of a world.
    pub fn new(world: &World, maps: Option<MapsRecord>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            scene: world.settings.scene.name().to_owned(),
            seed: world.settings.seed,
            frame_rate_hz: world.frame_rate,
            jitter: world.jitter,
            intrinsics: (&world.camera.intrinsics).into(),
            maps,
        }
    }
}

impl MapsRecord {
    /// Depth and masks in these folders.
    pub fn new(depth_folder: Option<String>, instance_folder: Option<String>) -> Self {
        Self {
            depth_folder,
            depth_metres_per_unit: METRES_PER_UNIT,
            instance_folder,
        }
    }
}

impl From<&Intrinsics> for IntrinsicsRecord {
    fn from(intrinsics: &Intrinsics) -> Self {
        Self {
            width: intrinsics.width,
            height: intrinsics.height,
            fx: intrinsics.fx,
            fy: intrinsics.fy,
            cx: intrinsics.cx,
            cy: intrinsics.cy,
            distortion: match intrinsics.distortion {
                Distortion::None => None,
                Distortion::BrownConrady { k, p } => Some(DistortionRecord::BrownConrady { k, p }),
                Distortion::Fisheye { k } => Some(DistortionRecord::Fisheye { k }),
            },
        }
    }
}

impl From<&IntrinsicsRecord> for Intrinsics {
    fn from(record: &IntrinsicsRecord) -> Self {
        Self {
            fx: record.fx,
            fy: record.fy,
            cx: record.cx,
            cy: record.cy,
            width: record.width,
            height: record.height,
            distortion: match record.distortion {
                None => Distortion::None,
                Some(DistortionRecord::BrownConrady { k, p }) => Distortion::BrownConrady { k, p },
                Some(DistortionRecord::Fisheye { k }) => Distortion::Fisheye { k },
            },
        }
    }
}

impl From<&Isometry3<f64>> for PoseRecord {
    fn from(pose: &Isometry3<f64>) -> Self {
        let rotation = pose.rotation.quaternion();
        Self {
            translation_m: micro(pose.translation.vector.into()),
            rotation_wxyz: [rotation.w, rotation.i, rotation.j, rotation.k].map(|part| rounded(part, NANO)),
        }
    }
}

impl From<&PoseRecord> for Isometry3<f64> {
    fn from(record: &PoseRecord) -> Self {
        let [w, x, y, z] = record.rotation_wxyz;
        Self::from_parts(
            record.translation_m.into(),
            UnitQuaternion::from_quaternion(Quaternion::new(w, x, y, z)),
        )
    }
}

impl FrameRecord {
    /// Of a frame; `capture_utc_ns` is when a live camera took it.
    pub fn new(truth: &FrameTruth, capture_utc_ns: Option<i64>) -> Self {
        Self {
            frame: truth.frame,
            time_s: rounded(truth.time_s, NANO),
            capture_utc_ns,
            world_from_camera: (&truth.world_from_camera).into(),
            camera_velocity_mps: micro(truth.camera_velocity_mps.into()),
            objects: truth.objects.iter().map(ObjectRecord::from).collect(),
        }
    }
}

impl From<&ObjectTruth> for ObjectRecord {
    fn from(object: &ObjectTruth) -> Self {
        let (size, sighting) = (&object.size, &object.sighting);
        Self {
            id: object.id,
            class: object.class.name().to_owned(),
            size_m: micro([size.length_m, size.width_m, size.height_m]),
            center_in_world_m: micro(object.center_in_world.into()),
            yaw_rad: rounded(object.yaw_rad, MICRO),
            velocity_in_world_mps: micro(object.velocity_in_world_mps.into()),
            center_in_camera_m: micro(object.center_in_camera.into()),
            yaw_in_camera_rad: rounded(object.yaw_in_camera_rad, MICRO),
            bbox_px: sighting.map(|Sighting { bbox, .. }| [bbox.x0, bbox.y0, bbox.x1, bbox.y1]),
            visible_fraction: rounded(sighting.map_or(0.0, |sighting| sighting.visible_fraction()), MICRO),
            visible_px: sighting.map_or(0, |sighting| sighting.visible_px),
            truncated: sighting.is_some_and(|sighting| sighting.truncated),
        }
    }
}

const MICRO: f64 = 1e6;
const NANO: f64 = 1e9;

/// Rounded to one part in `steps`: more digits only make lines long.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// In whole micrometres, or micrometres per second.
fn micro(values: [f64; 3]) -> [f64; 3] {
    values.map(|value| rounded(value, MICRO))
}

/// Writes the format, a line at a time.
#[derive(Debug)]
pub struct TruthWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl TruthWriter {
    /// Creates the file and writes its first line.
    pub fn create(path: &Path, world: WorldRecord) -> Result<Self, TruthError> {
        let file = File::create(path).map_err(TruthError::io(path))?;
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        };
        writer.line(&Record::World(world))?;
        Ok(writer)
    }

    /// Writes one frame; a reader sees it at once.
    pub fn write(&mut self, frame: FrameRecord) -> Result<(), TruthError> {
        self.line(&Record::Frame(frame))
    }

    fn line(&mut self, record: &Record) -> Result<(), TruthError> {
        serde_json::to_writer(&mut self.file, record)
            .map_err(Into::into)
            .and_then(|()| self.file.write_all(b"\n"))
            .and_then(|()| self.file.flush())
            .map_err(TruthError::io(&self.path))
    }
}

/// Reads the format, a frame at a time.
#[derive(Debug)]
pub struct TruthReader {
    path: PathBuf,
    world: WorldRecord,
    file: BufReader<File>,
    line: usize,
    text: String,
}

impl TruthReader {
    /// Opens a file and reads its first line.
    pub fn open(path: &Path) -> Result<Self, TruthError> {
        let file = File::open(path).map_err(TruthError::io(path))?;
        let mut reader = BufReader::new(file);
        let mut text = String::new();
        reader.read_line(&mut text).map_err(TruthError::io(path))?;
        let wrong = |reason: String| TruthError::Line {
            path: path.to_owned(),
            line: 1,
            reason,
        };
        let world = match serde_json::from_str(&text) {
            Ok(Record::World(world)) if world.format == FORMAT && world.version == VERSION => world,
            Ok(Record::World(world)) => {
                return Err(wrong(format!(
                    "expected {FORMAT} version {VERSION}, found {} version {}",
                    world.format, world.version
                )));
            }
            Ok(Record::Frame(_)) => return Err(wrong("expected the world first, found a frame".to_owned())),
            Err(error) => return Err(wrong(error.to_string())),
        };
        Ok(Self {
            path: path.to_owned(),
            world,
            file: reader,
            line: 1,
            text,
        })
    }

    /// What holds for the whole recording.
    pub fn world(&self) -> &WorldRecord {
        &self.world
    }
}

impl Iterator for TruthReader {
    type Item = Result<FrameRecord, TruthError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.text.clear();
        self.line += 1;
        match self.file.read_line(&mut self.text) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(source) => return Some(Err(TruthError::io(&self.path)(source))),
        }
        let reason = match serde_json::from_str(&self.text) {
            Ok(Record::Frame(frame)) => return Some(Ok(frame)),
            Ok(Record::World(_)) => "expected a frame, found a second world".to_owned(),
            Err(error) => error.to_string(),
        };
        Some(Err(TruthError::Line {
            path: self.path.clone(),
            line: self.line,
            reason,
        }))
    }
}

//! A world's truth as nuScenes tables: one camera, one scene, two key frames a second.
//!
//! The folder is a nuScenes data root of version [`VERSION`]: `NuScenes(version="v1.0-sim", dataroot=...)`. Rows that
//! name their successor are held back until it is known, one an object; everything else is written as it comes.

mod tables;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::ExtendedColorType;
use nalgebra::Isometry3;
use sha2::{Digest, Sha256};

use self::tables::{
    Annotation, CalibratedSensor, EgoPose, Instance, Log, Map, Sample, SampleData, Scene, Sensor, Table, write_table,
};
use super::error::TruthError;
use super::frame::{FrameTruth, ObjectTruth};
use super::lines::{DistortionRecord, IntrinsicsRecord, PoseRecord};
use super::maps::write_grey;
use crate::sim::render::{Rendered, Sighting};
use crate::sim::world::World;

/// The name of the folder with the tables.
pub const VERSION: &str = "v1.0-sim";

/// Time between key frames, seconds.
const KEY_FRAME_S: f64 = 0.5;

const CHANNEL: &str = "CAM_FRONT";

/// World time zero, microseconds since 1970 (2020-09-13 12:26:40 UTC): any will do, but the same every time.
const EPOCH_US: i64 = 1_600_000_000_000_000;
const EPOCH_DATE: &str = "2020-09-13";

const JPEG_QUALITY: u8 = 92;

/// An object's last annotation, which does not know its successor yet.
#[derive(Debug)]
struct Seen {
    annotation: Annotation,
    first_annotation_token: String,
    category: &'static str,
    annotations: u64,
}

/// Writes the tables.
#[derive(Debug)]
pub struct NuScenesWriter {
    root: PathBuf,
    tables: PathBuf,
    /// What sets this world's tokens apart from another's.
    world: String,
    description: String,
    camera_from_ego: Isometry3<f64>,
    sample: Table,
    sample_data: Table,
    ego_pose: Table,
    sample_annotation: Table,
    last: Option<(Sample, SampleData)>,
    seen: BTreeMap<u16, Seen>,
    first_sample_token: String,
    samples: u64,
    next_key_frame: u64,
    early_s: f64,
}

impl NuScenesWriter {
    /// Makes the data root and writes the tables that do not depend on frames.
    pub fn create(root: &Path, world: &World) -> Result<Self, TruthError> {
        let tables = root.join(VERSION);
        for folder in [&tables, &root.join("samples").join(CHANNEL), &root.join("maps")] {
            fs::create_dir_all(folder).map_err(TruthError::io(folder))?;
        }
        let settings = &world.settings;
        let name = format!("{}-{}", settings.scene, settings.seed);
        let ego_from_camera = world.camera.world_from_camera();
        let writer = Self {
            root: root.to_owned(),
            world: name.clone(),
            description: format!(
                "simulated: scene {}, seed {}, {}×{} at {:.3} frames/s",
                settings.scene, settings.seed, settings.width, settings.height, world.frame_rate
            ),
            camera_from_ego: ego_from_camera.inverse(),
            sample: Table::create(&tables, "sample")?,
            sample_data: Table::create(&tables, "sample_data")?,
            ego_pose: Table::create(&tables, "ego_pose")?,
            sample_annotation: Table::create(&tables, "sample_annotation")?,
            last: None,
            seen: BTreeMap::new(),
            first_sample_token: String::new(),
            samples: 0,
            next_key_frame: 0,
            // Slower cameras than two frames a second have a key frame in every picture.
            early_s: (0.5 / world.frame_rate).min(0.5 * KEY_FRAME_S),
            tables,
        };
        writer.write_fixed(&ego_from_camera, &(&world.camera.intrinsics).into())?;
        Ok(writer)
    }

    fn write_fixed(&self, ego_from_camera: &Isometry3<f64>, intrinsics: &IntrinsicsRecord) -> Result<(), TruthError> {
        let folder = &self.tables;
        write_table(folder, "category", &words::categories(|name| token("category", name)))?;
        write_table(folder, "attribute", &words::attributes(|name| token("attribute", name)))?;
        write_table(folder, "visibility", &words::VISIBILITIES)?;
        let sensor = Sensor {
            token: token("sensor", CHANNEL),
            channel: CHANNEL,
            modality: "camera",
        };
        let pose = PoseRecord::from(ego_from_camera);
        // OpenCV, and so nuScenes, counts pixels from the centre of the first.
        let (cx, cy) = (intrinsics.cx - 0.5, intrinsics.cy - 0.5);
        let calibrated = CalibratedSensor::<DistortionRecord> {
            token: self.token("calibrated_sensor"),
            sensor_token: sensor.token.clone(),
            translation: pose.translation_m,
            rotation: pose.rotation_wxyz,
            camera_intrinsic: [[intrinsics.fx, 0.0, cx], [0.0, intrinsics.fy, cy], [0.0, 0.0, 1.0]],
            camera_distortion: intrinsics.distortion.clone(),
        };
        write_table(folder, "sensor", &[sensor])?;
        write_table(folder, "calibrated_sensor", &[calibrated])?;
        let log = Log {
            token: self.token("log"),
            logfile: self.world.clone(),
            vehicle: "simulated",
            date_captured: EPOCH_DATE,
            location: self.world.clone(),
        };
        let map = Map {
            token: self.token("map"),
            log_tokens: vec![log.token.clone()],
            category: "semantic_prior",
            filename: format!("maps/{}.png", self.world),
        };
        // Readers want a map of each log; this one says of no place that it can be driven on.
        const MAP_PX: u32 = 64;
        let nothing = [0; (MAP_PX * MAP_PX) as usize];
        let map_path = self.root.join(&map.filename);
        write_grey(&map_path, MAP_PX, MAP_PX, ExtendedColorType::L8, &nothing)?;
        write_table(folder, "log", &[log])?;
        write_table(folder, "map", &[map])
    }

    /// Takes a frame; it is written if it is the first at or after the next multiple of half a second.
    pub fn write(&mut self, truth: &FrameTruth, rendered: &Rendered) -> Result<(), TruthError> {
        // A frame that is half a period early is on time: so key frames are as even as the camera's jitter allows.
        let slot = ((truth.time_s + self.early_s) / KEY_FRAME_S).floor() as u64;
        if slot < self.next_key_frame {
            return Ok(());
        }
        self.next_key_frame = slot + 1;
        self.write_sample(truth, rendered)?;
        for (object, sighting) in truth.in_picture() {
            self.write_annotation(truth.frame, object, sighting)?;
        }
        Ok(())
    }

    fn write_sample(&mut self, truth: &FrameTruth, rendered: &Rendered) -> Result<(), TruthError> {
        let timestamp = EPOCH_US + (truth.time_s * 1e6).round() as i64;
        let filename = format!("samples/{CHANNEL}/{}__{CHANNEL}__{timestamp}.jpg", self.world);
        write_jpeg(&self.root.join(&filename), rendered)?;
        let mut sample = Sample {
            token: self.frame_token("sample", truth.frame),
            timestamp,
            scene_token: self.token("scene"),
            prev: String::new(),
            next: String::new(),
        };
        let mut data = SampleData {
            token: self.frame_token("sample_data", truth.frame),
            sample_token: sample.token.clone(),
            ego_pose_token: self.frame_token("sample_data", truth.frame),
            calibrated_sensor_token: self.token("calibrated_sensor"),
            filename,
            fileformat: "jpg",
            width: rendered.width,
            height: rendered.height,
            timestamp,
            is_key_frame: true,
            prev: String::new(),
            next: String::new(),
        };
        let pose = PoseRecord::from(&(truth.world_from_camera * self.camera_from_ego));
        self.ego_pose.push(&EgoPose {
            token: data.ego_pose_token.clone(),
            timestamp,
            rotation: pose.rotation_wxyz,
            translation: pose.translation_m,
        })?;
        if let Some((mut last_sample, mut last_data)) = self.last.take() {
            sample.prev.clone_from(&last_sample.token);
            data.prev.clone_from(&last_data.token);
            last_sample.next.clone_from(&sample.token);
            last_data.next.clone_from(&data.token);
            self.sample.push(&last_sample)?;
            self.sample_data.push(&last_data)?;
        } else {
            self.first_sample_token.clone_from(&sample.token);
        }
        self.samples += 1;
        self.last = Some((sample, data));
        Ok(())
    }

    fn write_annotation(&mut self, frame: u64, object: &ObjectTruth, sighting: &Sighting) -> Result<(), TruthError> {
        let (sin, cos) = (0.5 * object.yaw_rad).sin_cos();
        let size = &object.size;
        let attribute = words::attribute(object.class, object.velocity_in_world_mps.norm());
        let mut annotation = Annotation {
            token: token("sample_annotation", &format!("{}/{frame}/{}", self.world, object.id)),
            sample_token: self.frame_token("sample", frame),
            instance_token: self.instance_token(object.id),
            visibility_token: words::visibility_token(sighting.visible_fraction()),
            attribute_tokens: attribute.map(|name| token("attribute", name)).into_iter().collect(),
            translation: object.center_in_world.into(),
            size: [size.width_m, size.length_m, size.height_m],
            rotation: [cos, 0.0, 0.0, sin],
            // Depth is known of every pixel, so these are the range measurements that hit the object; readers leave
            // boxes without any out.
            num_lidar_pts: sighting.visible_px,
            num_radar_pts: 0,
            prev: String::new(),
            next: String::new(),
        };
        let seen = self.seen.remove(&object.id);
        let (first_annotation_token, annotations) = match seen {
            Some(mut seen) => {
                annotation.prev.clone_from(&seen.annotation.token);
                seen.annotation.next.clone_from(&annotation.token);
                self.sample_annotation.push(&seen.annotation)?;
                (seen.first_annotation_token, seen.annotations + 1)
            }
            None => (annotation.token.clone(), 1),
        };
        self.seen.insert(
            object.id,
            Seen {
                annotation,
                first_annotation_token,
                category: words::category(object.class).0,
                annotations,
            },
        );
        Ok(())
    }

    /// Writes what was held back, and the tables that need the end.
    pub fn finish(mut self) -> Result<(), TruthError> {
        let mut instances = Table::create(&self.tables, "instance")?;
        for (id, seen) in &self.seen {
            self.sample_annotation.push(&seen.annotation)?;
            instances.push(&Instance {
                token: self.instance_token(*id),
                category_token: token("category", seen.category),
                nbr_annotations: seen.annotations,
                first_annotation_token: seen.first_annotation_token.clone(),
                last_annotation_token: seen.annotation.token.clone(),
            })?;
        }
        instances.finish()?;
        let mut scenes = Table::create(&self.tables, "scene")?;
        if let Some((sample, data)) = &self.last {
            self.sample.push(sample)?;
            self.sample_data.push(data)?;
            scenes.push(&Scene {
                token: self.token("scene"),
                log_token: self.token("log"),
                nbr_samples: self.samples,
                first_sample_token: self.first_sample_token.clone(),
                last_sample_token: sample.token.clone(),
                name: self.world.clone(),
                description: self.description.clone(),
            })?;
        }
        scenes.finish()?;
        for table in [self.sample, self.sample_data, self.ego_pose, self.sample_annotation] {
            table.finish()?;
        }
        Ok(())
    }

    /// The token of the one row that this world has of a kind.
    fn token(&self, kind: &str) -> String {
        token(kind, &self.world)
    }

    fn frame_token(&self, kind: &str, frame: u64) -> String {
        token(kind, &format!("{}/{frame}", self.world))
    }

    fn instance_token(&self, id: u16) -> String {
        token("instance", &format!("{}/{id}", self.world))
    }
}

/// 32 hexadecimal digits, the same for the same thing.
fn token(kind: &str, name: &str) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(format!("{kind}/{name}"));
    digest
        .iter()
        .take(16)
        .fold(String::with_capacity(32), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn write_jpeg(path: &Path, rendered: &Rendered) -> Result<(), TruthError> {
    let failed = |reason: String| TruthError::Picture {
        path: path.to_owned(),
        reason,
    };
    let side = |pixels: u32| u16::try_from(pixels).map_err(|error| failed(error.to_string()));
    let (width, height) = (side(rendered.width)?, side(rendered.height)?);
    jpeg_encoder::Encoder::new_file(path, JPEG_QUALITY)
        .and_then(|encoder| encoder.encode(&rendered.rgb, width, height, jpeg_encoder::ColorType::Rgb))
        .map_err(|error| failed(error.to_string()))
}

//! nuScenes: the JSON tables of the data set's schema (Caesar et al., "nuScenes", 2020), one recording a scene.
//!
//! Tables are read row by row. What is kept is an index of key frames and annotations (about 100 bytes an annotation); of
//! `sample_data` and `ego_pose` only what key frames refer to. Boxes are those of the key frames, at 2 Hz, with the camera's
//! pose at its own picture, as the official reader projects them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use serde::Deserialize;

use super::DataSource;
use super::classes::classify;
use super::error::{DatasetError, entries};
use super::recording::{CameraTrack, Domain, LabelSource, ObjectSample, ObjectTrack, Picture, Recording, TimedPose};
use super::rows::for_each_row;
use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, MountingSource};

/// The version that our simulator writes.
const SIM_VERSION: &str = "v1.0-sim";
/// Annotations seen less than this (visibility levels 1 to 4: up to 40, 60, 80, 100 %) count as hidden.
const MIN_VISIBILITY: u8 = 2;

#[derive(Deserialize)]
struct SceneRow {
    token: String,
    name: String,
}

#[derive(Deserialize)]
struct SampleRow {
    token: String,
    timestamp: i64,
    scene_token: String,
}

#[derive(Deserialize)]
struct SensorRow {
    token: String,
    channel: String,
    modality: String,
}

#[derive(Deserialize)]
struct CalibratedRow {
    token: String,
    sensor_token: String,
    translation: [f64; 3],
    rotation: [f64; 4],
    camera_intrinsic: Vec<[f64; 3]>,
}

#[derive(Deserialize)]
struct DataRow {
    sample_token: String,
    ego_pose_token: String,
    calibrated_sensor_token: String,
    filename: String,
    width: Option<u32>,
    height: Option<u32>,
    is_key_frame: bool,
}

#[derive(Deserialize)]
struct PoseRow {
    token: String,
    translation: [f64; 3],
    rotation: [f64; 4],
}

#[derive(Deserialize)]
struct NamedRow {
    token: String,
    name: String,
}

#[derive(Deserialize)]
struct InstanceRow {
    token: String,
    category_token: String,
}

#[derive(Deserialize)]
struct AnnotationRow {
    sample_token: String,
    instance_token: String,
    visibility_token: Option<String>,
    translation: [f64; 3],
    size: [f64; 3],
    rotation: [f64; 4],
}

struct KeyFrame {
    pose: u32,
    calibrated: u32,
    picture: (u32, u32),
    filename: String,
}

struct Calibrated {
    channel: String,
    camera: bool,
    ego_from_sensor: Isometry3<f64>,
    intrinsic: Vec<[f64; 3]>,
}

struct Sample {
    time_us: i64,
    frames: Vec<KeyFrame>,
}

struct Annotation {
    sample: u32,
    instance: u32,
    center: [f64; 3],
    rotation: [f64; 4],
    size: [f32; 3],
    seen: bool,
}

/// All tables of one data root, indexed by scene.
pub(super) struct NuScenes {
    root: PathBuf,
    tables: PathBuf,
    source: DataSource,
    scenes: BTreeMap<String, usize>,
    /// Samples and annotations of each scene.
    samples: Vec<Vec<Sample>>,
    annotations: Vec<Vec<Annotation>>,
    calibrated: Vec<Calibrated>,
    poses: Vec<Option<Isometry3<f64>>>,
    /// Token and category of each instance.
    instances: Vec<(String, String)>,
}

/// The folder with the tables below a data root: the root itself or its `v1.0-…`.
fn tables_folder(root: &Path) -> Result<PathBuf, DatasetError> {
    let holds = |folder: &Path| folder.join("sample_annotation.json").is_file() || folder.join("scene.json").is_file();
    if holds(root) {
        return Ok(root.to_owned());
    }
    let versions = entries(root)?.into_iter().map(|name| root.join(name));
    let mut found: Vec<PathBuf> = versions.filter(|folder| holds(folder)).collect();
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(DatasetError::empty(
            root,
            "expected a folder v1.0-… with scene.json, found none",
        )),
        _ => {
            let names: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
            Err(DatasetError::empty(
                root,
                format!("expected one version, found {}; name one of them", names.join(", ")),
            ))
        }
    }
}

fn isometry(path: &Path, translation: [f64; 3], rotation: [f64; 4]) -> Result<Isometry3<f64>, DatasetError> {
    let [w, x, y, z] = rotation;
    let finite = translation.iter().chain(&rotation).all(|value| value.is_finite());
    let turn = UnitQuaternion::try_new(Quaternion::new(w, x, y, z), 1e-6).filter(|_| finite);
    let turn = turn
        .ok_or_else(|| DatasetError::column(path, "rotation", format!("expected a quaternion, found {rotation:?}")))?;
    let [x, y, z] = translation;
    Ok(Isometry3::from_parts(Translation3::new(x, y, z), turn))
}

impl NuScenes {
    pub fn load(root: &Path, source: DataSource) -> Result<Self, DatasetError> {
        let tables = tables_folder(root)?;
        let data_root = if tables == root {
            root.parent().unwrap_or(root)
        } else {
            root
        };
        let table = |name: &str| tables.join(format!("{name}.json"));
        let (mut scene_of, mut scenes) = (HashMap::new(), BTreeMap::new());
        for_each_row(&table("scene"), |row: SceneRow| {
            let index = scene_of.len();
            scenes.insert(row.name, index);
            scene_of.insert(row.token, index);
            Ok(())
        })?;
        let mut samples: Vec<Vec<Sample>> = scenes.iter().map(|_| Vec::new()).collect();
        let mut sample_of: HashMap<String, (u32, u32)> = HashMap::new();
        let path = table("sample");
        for_each_row(&path, |row: SampleRow| {
            let scene = *scene_of
                .get(&row.scene_token)
                .ok_or_else(|| unknown(&path, "scene_token", &row.scene_token))?;
            sample_of.insert(row.token, (scene as u32, samples[scene].len() as u32));
            samples[scene].push(Sample {
                time_us: row.timestamp,
                frames: Vec::new(),
            });
            Ok(())
        })?;
        let (calibrated, calibrated_of) = calibrated(&tables)?;
        let mut pose_of: HashMap<String, u32> = HashMap::new();
        let path = table("sample_data");
        for_each_row(&path, |row: DataRow| {
            if !row.is_key_frame {
                return Ok(());
            }
            let (scene, sample) = *sample_of
                .get(&row.sample_token)
                .ok_or_else(|| unknown(&path, "sample_token", &row.sample_token))?;
            let calibrated = *calibrated_of
                .get(&row.calibrated_sensor_token)
                .ok_or_else(|| unknown(&path, "calibrated_sensor_token", &row.calibrated_sensor_token))?;
            let next = pose_of.len() as u32;
            samples[scene as usize][sample as usize].frames.push(KeyFrame {
                pose: *pose_of.entry(row.ego_pose_token).or_insert(next),
                calibrated,
                picture: (row.width.unwrap_or(0), row.height.unwrap_or(0)),
                filename: row.filename,
            });
            Ok(())
        })?;
        let mut poses = vec![None; pose_of.len()];
        let path = table("ego_pose");
        for_each_row(&path, |row: PoseRow| {
            if let Some(index) = pose_of.get(&row.token) {
                poses[*index as usize] = Some(isometry(&path, row.translation, row.rotation)?);
            }
            Ok(())
        })?;
        let (instances, instance_of) = instances(&tables)?;
        let mut annotations: Vec<Vec<Annotation>> = samples.iter().map(|_| Vec::new()).collect();
        let path = table("sample_annotation");
        for_each_row(&path, |row: AnnotationRow| {
            let (scene, sample) = *sample_of
                .get(&row.sample_token)
                .ok_or_else(|| unknown(&path, "sample_token", &row.sample_token))?;
            let instance = *instance_of
                .get(&row.instance_token)
                .ok_or_else(|| unknown(&path, "instance_token", &row.instance_token))?;
            isometry(&path, row.translation, row.rotation)?;
            let level: Option<u8> = row.visibility_token.and_then(|token| token.parse().ok());
            annotations[scene as usize].push(Annotation {
                sample,
                instance,
                center: row.translation,
                rotation: row.rotation,
                size: row.size.map(|side| side as f32),
                seen: level.is_none_or(|level| level >= MIN_VISIBILITY),
            });
            Ok(())
        })?;
        let sim = source == DataSource::Sim || tables.file_name().is_some_and(|name| name == SIM_VERSION);
        Ok(Self {
            root: data_root.to_owned(),
            source: if sim { DataSource::Sim } else { source },
            tables,
            scenes,
            samples,
            annotations,
            calibrated,
            poses,
            instances,
        })
    }

    /// Names of the scenes.
    pub fn names(&self) -> Vec<String> {
        self.scenes.keys().cloned().collect()
    }

    /// One scene; `name` as it is called in the result.
    pub fn scene(&self, scene: &str, name: &str) -> Result<Recording, DatasetError> {
        let Some(index) = self.scenes.get(scene).copied() else {
            return Err(DatasetError::empty(
                &self.tables,
                format!("expected a scene {scene}, found none"),
            ));
        };
        let samples = &self.samples[index];
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|sample| samples[*sample].time_us);
        let first_us = order.first().map_or(0, |sample| samples[*sample].time_us);
        let time_s = |sample: usize| (samples[sample].time_us - first_us) as f64 / 1e6;
        let pose = |frame: &KeyFrame| {
            self.poses[frame.pose as usize].ok_or_else(|| {
                let message = "expected the poses that sample_data refers to, one is missing";
                DatasetError::column(&self.tables.join("ego_pose.json"), "token", message)
            })
        };
        // The lidar's pose is that of the labels; without one any sensor's.
        let mut ego = Vec::new();
        for sample in &order {
            let frames = &samples[*sample].frames;
            let lidar = frames
                .iter()
                .find(|frame| self.calibrated[frame.calibrated as usize].channel == "LIDAR_TOP");
            if let Some(frame) = lidar.or(frames.first()) {
                ego.push(TimedPose {
                    time_s: time_s(*sample),
                    world_from_body: pose(frame)?,
                });
            }
        }
        let origin = ego
            .first()
            .map_or(Vector3::zeros(), |pose| pose.world_from_body.translation.vector);
        let moved =
            |pose: Isometry3<f64>| Isometry3::from_parts((pose.translation.vector - origin).into(), pose.rotation);
        for pose in &mut ego {
            pose.world_from_body = moved(pose.world_from_body);
        }
        let mut cameras: BTreeMap<&str, CameraTrack> = BTreeMap::new();
        for sample in &order {
            for frame in &samples[*sample].frames {
                let calibrated = &self.calibrated[frame.calibrated as usize];
                if !calibrated.camera {
                    continue;
                }
                let track = match cameras.entry(&calibrated.channel) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => entry.insert(self.camera(calibrated, frame)?),
                };
                track.poses.push(TimedPose {
                    time_s: time_s(*sample),
                    world_from_body: moved(pose(frame)?) * calibrated.ego_from_sensor,
                });
                track.pictures.push(Picture {
                    time_s: time_s(*sample),
                    path: self.root.join(&frame.filename),
                });
            }
        }
        for camera in cameras.values_mut() {
            camera.pictures.retain(|picture| picture.path.is_file());
        }
        Ok(Recording {
            name: name.to_owned(),
            source: self.source,
            label_source: if self.source == DataSource::Sim {
                LabelSource::Sim
            } else {
                LabelSource::Lidar
            },
            domain: if scene.starts_with("court") {
                Domain::Sports
            } else {
                Domain::Driving
            },
            label_times_s: order.iter().map(|sample| time_s(*sample)).collect(),
            ego,
            cameras: cameras.into_values().collect(),
            objects: self.objects(index, origin, time_s),
        })
    }

    fn camera(&self, calibrated: &Calibrated, frame: &KeyFrame) -> Result<CameraTrack, DatasetError> {
        let path = self.tables.join("calibrated_sensor.json");
        let [[fx, _, cx], [_, fy, cy], _] = calibrated.intrinsic[..] else {
            let message = format!(
                "expected three rows for {}, found {}",
                calibrated.channel,
                calibrated.intrinsic.len()
            );
            return Err(DatasetError::column(&path, "camera_intrinsic", message));
        };
        let (width, height) = frame.picture;
        if !(fx > 0.0 && fy > 0.0 && cx.is_finite() && cy.is_finite()) || width == 0 || height == 0 {
            let message = format!(
                "expected a positive focal length and picture size for {}",
                calibrated.channel
            );
            return Err(DatasetError::column(&path, "camera_intrinsic", message));
        }
        Ok(CameraTrack {
            name: calibrated.channel.clone(),
            camera: Arc::new(Camera {
                intrinsics: Intrinsics {
                    fx,
                    fy,
                    // The data set counts pixels from the centre of the first one.
                    cx: cx + 0.5,
                    cy: cy + 0.5,
                    width,
                    height,
                    distortion: Distortion::None,
                },
                intrinsics_source: IntrinsicsSource::Calibrated,
                mounting: None,
                mounting_source: MountingSource::Assumed,
            }),
            poses: Vec::new(),
            pictures: Vec::new(),
        })
    }

    fn objects(&self, scene: usize, origin: Vector3<f64>, time_s: impl Fn(usize) -> f64) -> Vec<ObjectTrack> {
        let mut tracks: BTreeMap<u32, ObjectTrack> = BTreeMap::new();
        for annotation in &self.annotations[scene] {
            let track = tracks.entry(annotation.instance).or_insert_with(|| {
                let (token, category) = &self.instances[annotation.instance as usize];
                let (class, kind) = classify(category);
                ObjectTrack {
                    id: u64::from(annotation.instance),
                    name: token.clone(),
                    class,
                    kind,
                    samples: Vec::new(),
                }
            });
            let [w, x, y, z] = annotation.rotation;
            let [width, length, height] = annotation.size.map(f64::from);
            track.samples.push(ObjectSample {
                time_s: time_s(annotation.sample as usize),
                center_in_world: Point3::from(Vector3::from(annotation.center) - origin),
                world_from_object: UnitQuaternion::from_quaternion(Quaternion::new(w, x, y, z)),
                size_m: Some(Vector3::new(length, width, height)),
                seen: annotation.seen,
                labelled_box: None,
            });
        }
        let mut tracks: Vec<ObjectTrack> = tracks.into_values().collect();
        for track in &mut tracks {
            track.samples.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
            track.samples.dedup_by(|a, b| a.time_s <= b.time_s);
        }
        tracks
    }
}

fn unknown(path: &Path, column: &str, token: &str) -> DatasetError {
    DatasetError::column(
        path,
        column,
        format!("expected a token of the table it refers to, found `{token}`"),
    )
}

fn calibrated(tables: &Path) -> Result<(Vec<Calibrated>, HashMap<String, u32>), DatasetError> {
    let mut sensors: HashMap<String, (String, bool)> = HashMap::new();
    for_each_row(&tables.join("sensor.json"), |row: SensorRow| {
        sensors.insert(row.token, (row.channel, row.modality == "camera"));
        Ok(())
    })?;
    let path = tables.join("calibrated_sensor.json");
    let (mut calibrated, mut index) = (Vec::new(), HashMap::new());
    for_each_row(&path, |row: CalibratedRow| {
        let (channel, camera) = sensors
            .get(&row.sensor_token)
            .cloned()
            .ok_or_else(|| unknown(&path, "sensor_token", &row.sensor_token))?;
        index.insert(row.token, calibrated.len() as u32);
        calibrated.push(Calibrated {
            channel,
            camera,
            ego_from_sensor: isometry(&path, row.translation, row.rotation)?,
            intrinsic: row.camera_intrinsic,
        });
        Ok(())
    })?;
    Ok((calibrated, index))
}

type Instances = (Vec<(String, String)>, HashMap<String, u32>);

fn instances(tables: &Path) -> Result<Instances, DatasetError> {
    let mut categories: HashMap<String, String> = HashMap::new();
    for_each_row(&tables.join("category.json"), |row: NamedRow| {
        categories.insert(row.token, row.name);
        Ok(())
    })?;
    let path = tables.join("instance.json");
    let (mut instances, mut index) = (Vec::new(), HashMap::new());
    for_each_row(&path, |row: InstanceRow| {
        let category = categories
            .get(&row.category_token)
            .cloned()
            .ok_or_else(|| unknown(&path, "category_token", &row.category_token))?;
        index.insert(row.token.clone(), instances.len() as u32);
        instances.push((row.token, category));
        Ok(())
    })?;
    Ok((instances, index))
}

/// The data root of one run of our simulator: a folder that holds `v1.0-sim`, or `nuscenes/v1.0-sim`.
fn sim_root(folder: &Path) -> Option<PathBuf> {
    [folder.to_owned(), folder.join("nuscenes")]
        .into_iter()
        .find(|folder| folder.join(SIM_VERSION).is_dir())
}

/// Names of the runs of our simulator at or below `root`, each with its scene: `RUN/SCENE`, or the scene alone.
pub(super) fn sim_names(root: &Path) -> Result<Vec<String>, DatasetError> {
    let scenes = |folder: &Path| -> Result<Vec<String>, DatasetError> {
        let mut names = Vec::new();
        for_each_row(&folder.join(SIM_VERSION).join("scene.json"), |row: SceneRow| {
            names.push(row.name);
            Ok(())
        })?;
        names.sort_unstable();
        Ok(names)
    };
    if let Some(found) = sim_root(root) {
        return scenes(&found);
    }
    let mut names = Vec::new();
    for run in entries(root)? {
        if let Some(found) = sim_root(&root.join(&run)) {
            names.extend(scenes(&found)?.into_iter().map(|scene| format!("{run}/{scene}")));
        }
    }
    if names.is_empty() {
        let message = format!("expected runs of the simulator, that is folders with {SIM_VERSION}, found none");
        return Err(DatasetError::empty(root, message));
    }
    Ok(names)
}

/// Reads one scene of one run.
pub(super) fn load_sim(root: &Path, name: &str) -> Result<Recording, DatasetError> {
    let (folder, scene) = match name.rsplit_once('/') {
        Some((run, scene)) => (root.join(run), scene),
        None => (root.to_owned(), name),
    };
    let found = sim_root(&folder)
        .ok_or_else(|| DatasetError::empty(&folder, format!("expected a folder {SIM_VERSION}, found none")))?;
    NuScenes::load(&found, DataSource::Sim)?.scene(scene, name)
}

/// Opens a table for [`for_each_row`].
pub(super) fn open_table(path: &Path) -> Result<BufReader<File>, DatasetError> {
    let file = File::open(path).map_err(|source| DatasetError::read(path, source))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

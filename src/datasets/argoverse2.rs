//! Argoverse 2, sensor data set: cuboids in the vehicle's frame at 10 Hz, poses of the vehicle in the city, calibration.
//!
//! Format: the data set's user guide (Wilson et al., "Argoverse 2", 2023): `annotations.feather`,
//! `city_SE3_egovehicle.feather`, `calibration/intrinsics.feather`, `calibration/egovehicle_SE3_sensor.feather` and
//! `sensors/cameras/<camera>/<timestamp_ns>.jpg`. The city's frame is kept, moved to the place of the first pose.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};

use super::DataSource;
use super::classes::classify;
use super::error::{DatasetError, entries};
use super::feather::{Rows, Table};
use super::recording::{
    CameraTrack, Domain, LabelSource, ObjectSample, ObjectTrack, Picture, Recording, TimedPose, pose_at,
};
use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};

const ANNOTATIONS: &str = "annotations.feather";
const POSES: &str = "city_SE3_egovehicle.feather";
/// Of the cameras only the ring is read: the two stereo cameras look where the front one looks.
const RING: &str = "ring_";
/// The origin of the vehicle's frame is the middle of the rear axle, this high over the road, metres.
const AXLE_HEIGHT_M: f64 = 0.33;
/// An object is seen with at least so many lidar points.
const MIN_POINTS: i64 = 5;

/// Names of the logs below `root`, which may be a log itself, hold logs, or hold splits (`train`, `val`) of logs.
pub(super) fn names(root: &Path) -> Result<Vec<String>, DatasetError> {
    let is_log = |folder: &Path| folder.join(ANNOTATIONS).is_file();
    if is_log(root) {
        let name = root.canonicalize().map_err(|source| DatasetError::read(root, source))?;
        return Ok(vec![
            name.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        ]);
    }
    let mut names = Vec::new();
    for name in entries(root)? {
        let folder = root.join(&name);
        if is_log(&folder) {
            names.push(name);
        } else if folder.is_dir() {
            let inner = entries(&folder)?.into_iter();
            names.extend(
                inner
                    .filter(|log| is_log(&folder.join(log)))
                    .map(|log| format!("{name}/{log}")),
            );
        }
    }
    if names.is_empty() {
        return Err(DatasetError::empty(
            root,
            format!("expected logs, that is folders with {ANNOTATIONS}, found none"),
        ));
    }
    Ok(names)
}

/// Reads one log.
pub(super) fn load(root: &Path, name: &str) -> Result<Recording, DatasetError> {
    let folder = if root.join(ANNOTATIONS).is_file() {
        root.to_owned()
    } else {
        root.join(name)
    };
    let poses = Poses::load(&folder.join(POSES))?;
    let (label_times_ns, objects) = Labels::load(&folder.join(ANNOTATIONS))?.objects(&poses)?;
    let first_ns = label_times_ns.first().copied().unwrap_or_default();
    let ego = label_times_ns
        .iter()
        .map(|time_ns| {
            Ok(TimedPose {
                time_s: seconds(time_ns - first_ns),
                world_from_body: poses.at(*time_ns)?,
            })
        })
        .collect::<Result<Vec<TimedPose>, DatasetError>>()?;
    let calibration = folder.join("calibration");
    let cameras = if calibration.is_dir() {
        cameras(&calibration, &ego, &folder.join("sensors/cameras"), first_ns)?
    } else {
        Vec::new()
    };
    Ok(Recording {
        name: name.to_owned(),
        source: DataSource::Argoverse2,
        label_source: LabelSource::Lidar,
        domain: Domain::Driving,
        label_times_s: ego.iter().map(|pose| pose.time_s).collect(),
        ego,
        cameras,
        objects,
    })
}

fn seconds(time_ns: i64) -> f64 {
    time_ns as f64 / 1e9
}

/// Rigid transforms from the columns qw … tz_m.
fn transforms(path: &Path, rows: &Rows<'_>) -> Result<Vec<Isometry3<f64>>, DatasetError> {
    let column = |name: &str| rows.floats(name);
    let (qw, qx, qy, qz) = (column("qw")?, column("qx")?, column("qy")?, column("qz")?);
    let (x, y, z) = (column("tx_m")?, column("ty_m")?, column("tz_m")?);
    (0..rows.len())
        .map(|row| {
            let turn = UnitQuaternion::try_new(Quaternion::new(qw[row], qx[row], qy[row], qz[row]), 1e-6);
            let turn =
                turn.ok_or_else(|| DatasetError::column(path, "qw", "expected a unit quaternion, found zeros"))?;
            Ok(Isometry3::from_parts(Translation3::new(x[row], y[row], z[row]), turn))
        })
        .collect()
}

const TRANSFORM: [&str; 7] = ["qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m"];

fn columns<'a>(more: &[&'a str]) -> Vec<&'a str> {
    more.iter().chain(&TRANSFORM).copied().collect()
}

/// Poses of the vehicle, in order of time, about the place of the first.
struct Poses {
    path: PathBuf,
    first_ns: i64,
    poses: Vec<TimedPose>,
    exact: HashMap<i64, usize>,
}

impl Poses {
    fn load(path: &Path) -> Result<Self, DatasetError> {
        let mut table = Table::open(path, &columns(&["timestamp_ns"]))?;
        let mut timed: Vec<(i64, Isometry3<f64>)> = Vec::new();
        while let Some(rows) = table.next_rows()? {
            timed.extend(rows.integers("timestamp_ns")?.into_iter().zip(transforms(path, &rows)?));
        }
        timed.sort_by_key(|(time_ns, _)| *time_ns);
        let Some((first_ns, start)) = timed.first().map(|(time_ns, pose)| (*time_ns, pose.translation.vector)) else {
            return Err(DatasetError::empty(path, "expected poses, found no rows"));
        };
        let exact = timed
            .iter()
            .enumerate()
            .map(|(index, (time_ns, _))| (*time_ns, index))
            .collect();
        let poses = timed.iter().map(|(time_ns, pose)| TimedPose {
            time_s: seconds(time_ns - first_ns),
            world_from_body: Isometry3::from_parts((pose.translation.vector - start).into(), pose.rotation),
        });
        Ok(Self {
            path: path.to_owned(),
            first_ns,
            poses: poses.collect(),
            exact,
        })
    }

    fn at(&self, time_ns: i64) -> Result<Isometry3<f64>, DatasetError> {
        if let Some(pose) = self.exact.get(&time_ns).and_then(|index| self.poses.get(*index)) {
            return Ok(pose.world_from_body);
        }
        pose_at(&self.poses, seconds(time_ns - self.first_ns)).ok_or_else(|| {
            DatasetError::column(
                &self.path,
                "timestamp_ns",
                format!("expected poses that reach over all annotations, found none about {time_ns}"),
            )
        })
    }
}

/// One row of the annotations.
struct Label {
    time_ns: i64,
    vehicle_from_object: Isometry3<f64>,
    size_m: Vector3<f64>,
    points: i64,
}

/// The annotations by track: its name, category and rows.
struct Labels {
    path: PathBuf,
    tracks: BTreeMap<String, (String, Vec<Label>)>,
}

impl Labels {
    fn load(path: &Path) -> Result<Self, DatasetError> {
        let wanted = [
            "timestamp_ns",
            "track_uuid",
            "category",
            "length_m",
            "width_m",
            "height_m",
            "num_interior_pts",
        ];
        let mut table = Table::open(path, &columns(&wanted))?;
        let mut tracks: BTreeMap<String, (String, Vec<Label>)> = BTreeMap::new();
        while let Some(rows) = table.next_rows()? {
            let times_ns = rows.integers("timestamp_ns")?;
            let (names, categories) = (rows.strings("track_uuid")?, rows.strings("category")?);
            let (length, width, height) = (
                rows.floats("length_m")?,
                rows.floats("width_m")?,
                rows.floats("height_m")?,
            );
            let points = rows.integers("num_interior_pts")?;
            for (row, vehicle_from_object) in transforms(path, &rows)?.into_iter().enumerate() {
                let label = Label {
                    time_ns: times_ns[row],
                    vehicle_from_object,
                    size_m: Vector3::new(length[row], width[row], height[row]),
                    points: points[row],
                };
                match tracks.get_mut(names[row]) {
                    Some((_, labels)) => labels.push(label),
                    None => {
                        tracks.insert(names[row].to_owned(), (categories[row].to_owned(), vec![label]));
                    }
                }
            }
        }
        Ok(Self {
            path: path.to_owned(),
            tracks,
        })
    }

    /// All times of labels, and the objects in the world.
    fn objects(self, poses: &Poses) -> Result<(Vec<i64>, Vec<ObjectTrack>), DatasetError> {
        let mut times_ns: Vec<i64> = self
            .tracks
            .values()
            .flat_map(|(_, labels)| labels)
            .map(|label| label.time_ns)
            .collect();
        times_ns.sort_unstable();
        times_ns.dedup();
        let Some(first_ns) = times_ns.first().copied() else {
            return Err(DatasetError::empty(&self.path, "expected annotations, found no rows"));
        };
        let mut objects = Vec::with_capacity(self.tracks.len());
        for (index, (name, (category, mut labels))) in self.tracks.into_iter().enumerate() {
            labels.sort_by_key(|label| label.time_ns);
            if labels.windows(2).any(|pair| pair[0].time_ns == pair[1].time_ns) {
                let message = format!("track {name} stands twice at the same time");
                return Err(DatasetError::column(&self.path, "timestamp_ns", message));
            }
            let (class, kind) = classify(&category);
            let samples = labels.iter().map(|label| {
                let world_from_object = poses.at(label.time_ns)? * label.vehicle_from_object;
                Ok(ObjectSample {
                    time_s: seconds(label.time_ns - first_ns),
                    center_in_world: Point3::from(world_from_object.translation.vector),
                    world_from_object: world_from_object.rotation,
                    size_m: Some(label.size_m),
                    seen: label.points >= MIN_POINTS,
                    labelled_box: None,
                })
            });
            objects.push(ObjectTrack {
                id: index as u64,
                name,
                class,
                kind,
                samples: samples.collect::<Result<_, DatasetError>>()?,
            });
        }
        Ok((times_ns, objects))
    }
}

/// The ring cameras.
fn cameras(folder: &Path, ego: &[TimedPose], pictures: &Path, first_ns: i64) -> Result<Vec<CameraTrack>, DatasetError> {
    let path = folder.join("egovehicle_SE3_sensor.feather");
    let mut places: HashMap<String, Isometry3<f64>> = HashMap::new();
    let mut table = Table::open(&path, &columns(&["sensor_name"]))?;
    while let Some(rows) = table.next_rows()? {
        let names = rows.strings("sensor_name")?.into_iter().map(str::to_owned);
        places.extend(names.zip(transforms(&path, &rows)?));
    }
    let sensors = path;
    let path = folder.join("intrinsics.feather");
    let numbers = [
        "fx_px",
        "fy_px",
        "cx_px",
        "cy_px",
        "k1",
        "k2",
        "k3",
        "width_px",
        "height_px",
    ];
    let wanted: Vec<&str> = std::iter::once("sensor_name").chain(numbers).collect();
    let mut table = Table::open(&path, &wanted)?;
    let mut cameras = Vec::new();
    while let Some(rows) = table.next_rows()? {
        let names = rows.strings("sensor_name")?;
        let columns = numbers
            .iter()
            .map(|name| rows.floats(name))
            .collect::<Result<Vec<_>, _>>()?;
        for (row, name) in names.into_iter().enumerate().filter(|(_, name)| name.starts_with(RING)) {
            let vehicle_from_camera = *places.get(name).ok_or_else(|| {
                DatasetError::column(&sensors, "sensor_name", format!("expected a row `{name}`, found none"))
            })?;
            let value = |column: usize| columns[column][row];
            if value(0) <= 0.0 || value(1) <= 0.0 || value(7) < 1.0 || value(8) < 1.0 {
                return Err(DatasetError::column(
                    &path,
                    "fx_px",
                    format!("expected positive numbers for `{name}`"),
                ));
            }
            let intrinsics = Intrinsics {
                fx: value(0),
                fy: value(1),
                // The data set counts pixels from the centre of the first one.
                cx: value(2) + 0.5,
                cy: value(3) + 0.5,
                width: value(7) as u32,
                height: value(8) as u32,
                distortion: Distortion::BrownConrady {
                    k: [value(4), value(5), value(6)],
                    p: [0.0, 0.0],
                },
            };
            cameras.push(CameraTrack {
                name: name.to_owned(),
                camera: Arc::new(Camera {
                    intrinsics,
                    intrinsics_source: IntrinsicsSource::Calibrated,
                    mounting: Some(Mounting::level(vehicle_from_camera.translation.z + AXLE_HEIGHT_M)),
                    mounting_source: MountingSource::Measured,
                }),
                poses: ego
                    .iter()
                    .map(|pose| TimedPose {
                        world_from_body: pose.world_from_body * vehicle_from_camera,
                        ..*pose
                    })
                    .collect(),
                pictures: list_pictures(&pictures.join(name), first_ns)?,
            });
        }
    }
    cameras.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cameras)
}

fn list_pictures(folder: &Path, first_ns: i64) -> Result<Vec<Picture>, DatasetError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut pictures: Vec<(i64, PathBuf)> = entries(folder)?
        .into_iter()
        .filter_map(|name| Some((name.strip_suffix(".jpg")?.parse().ok()?, folder.join(&name))))
        .collect();
    pictures.sort_unstable();
    Ok(pictures
        .into_iter()
        .map(|(time_ns, path)| Picture {
            time_s: seconds(time_ns - first_ns),
            path,
        })
        .collect())
}

//! nuPlan: SQLite logs (tables `scene`, `lidar_pc`, `lidar_box`, `track`, `category`, `ego_pose`, `camera`, `image`), one
//! recording a scene.
//!
//! Schema: nuplan-devkit, `docs/nuplan_schema.md`. Boxes and poses are in the map's frame. Labels come at 20 Hz; every other
//! one is read. A camera's translation, rotation and intrinsics are pickled lists of numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use rusqlite::{Connection, OpenFlags, Row, params};

use super::DataSource;
use super::classes::classify;
use super::error::{DatasetError, entries};
use super::pickle;
use super::recording::{CameraTrack, Domain, LabelSource, ObjectSample, ObjectTrack, Picture, Recording, TimedPose};
use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, MountingSource};

/// Labels closer than this to the last one read are passed over, µs.
const MIN_INTERVAL_US: i64 = 90_000;
/// Boxes less sure than this are left out.
const MIN_CONFIDENCE: f64 = 0.3;

/// One log file.
struct Log {
    path: PathBuf,
    connection: Connection,
}

impl Log {
    fn open(path: &Path) -> Result<Self, DatasetError> {
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
                .map_err(|error| DatasetError::format(path, format!("expected an SQLite log: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// Hands every row of a query to `take`. SQLite's message names the table or column that is missing.
    fn rows(
        &self,
        table: &str,
        query: &str,
        scene: Option<&[u8]>,
        mut take: impl FnMut(&Row<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), DatasetError> {
        let bad = |error: rusqlite::Error| DatasetError::column(&self.path, table, error.to_string());
        let mut statement = self.connection.prepare(query).map_err(bad)?;
        let mut rows = match scene {
            Some(token) => statement.query(params![token]),
            None => statement.query([]),
        }
        .map_err(bad)?;
        while let Some(row) = rows.next().map_err(bad)? {
            take(row).map_err(bad)?;
        }
        Ok(())
    }
}

/// Log files at or below `root`.
fn files(root: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if root.is_file() {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    for name in entries(root)? {
        let path = root.join(&name);
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if name.ends_with(".db") {
            found.push(path);
        }
    }
    Ok(found)
}

fn hex(token: &[u8]) -> String {
    token.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Names of the scenes: the log file below `root`, and the scene's token.
pub(super) fn names(root: &Path) -> Result<Vec<String>, DatasetError> {
    let mut names = Vec::new();
    for path in files(root)? {
        let log = Log::open(&path)?;
        let file = path.strip_prefix(root).ok().filter(|rest| !rest.as_os_str().is_empty());
        let file = file.unwrap_or(Path::new("")).to_string_lossy().into_owned();
        log.rows(
            "lidar_pc",
            "SELECT scene_token, MIN(timestamp) FROM lidar_pc GROUP BY scene_token ORDER BY 2",
            None,
            |row| {
                let token: Vec<u8> = row.get(0)?;
                names.push(format!("{file}#{}", hex(&token)));
                Ok(())
            },
        )?;
    }
    if names.is_empty() {
        return Err(DatasetError::empty(
            root,
            "expected SQLite logs (*.db) with lidar_pc, found none",
        ));
    }
    Ok(names)
}

/// Reads one scene.
pub(super) fn load(root: &Path, name: &str) -> Result<Recording, DatasetError> {
    let missing = || DatasetError::empty(root, format!("expected FILE#SCENE, found {name}"));
    let (file, token) = name.split_once('#').ok_or_else(missing)?;
    let scene = unhex(token).ok_or_else(missing)?;
    let log = Log::open(&if file.is_empty() {
        root.to_owned()
    } else {
        root.join(file)
    })?;
    let Times {
        first_us,
        origin,
        times,
        ego,
    } = times(&log, &scene)?;
    let objects = objects(&log, &scene, &times, first_us, origin)?;
    Ok(Recording {
        name: name.to_owned(),
        source: DataSource::NuPlan,
        label_source: LabelSource::Lidar,
        domain: Domain::Driving,
        label_times_s: ego.iter().map(|pose| pose.time_s).collect(),
        cameras: cameras(&log, root, &scene, first_us, &ego)?,
        ego,
        objects,
    })
}

/// When labels are read, and where the vehicle is then.
struct Times {
    first_us: i64,
    origin: Vector3<f64>,
    times: Vec<i64>,
    ego: Vec<TimedPose>,
}

fn seconds(time_us: i64) -> f64 {
    time_us as f64 / 1e6
}

fn times(log: &Log, scene: &[u8]) -> Result<Times, DatasetError> {
    let query = "SELECT pc.timestamp, e.x, e.y, e.z, e.qw, e.qx, e.qy, e.qz FROM lidar_pc pc \
                 JOIN ego_pose e ON e.token = pc.ego_pose_token WHERE pc.scene_token = ?1 ORDER BY pc.timestamp";
    let mut found: Vec<(i64, Isometry3<f64>)> = Vec::new();
    log.rows("ego_pose", query, Some(scene), |row| {
        let time_us: i64 = row.get(0)?;
        if found
            .last()
            .is_some_and(|(last_us, _)| time_us - last_us < MIN_INTERVAL_US)
        {
            return Ok(());
        }
        let value = |column: usize| row.get::<_, f64>(column);
        let turn = UnitQuaternion::from_quaternion(Quaternion::new(value(4)?, value(5)?, value(6)?, value(7)?));
        found.push((
            time_us,
            Isometry3::from_parts(Translation3::new(value(1)?, value(2)?, value(3)?), turn),
        ));
        Ok(())
    })?;
    let Some((first_us, start)) = found.first().map(|(time_us, pose)| (*time_us, pose.translation.vector)) else {
        return Err(DatasetError::column(
            &log.path,
            "lidar_pc",
            "expected frames with poses in the scene, found none",
        ));
    };
    Ok(Times {
        first_us,
        origin: start,
        times: found.iter().map(|(time_us, _)| *time_us).collect(),
        ego: found
            .iter()
            .map(|(time_us, pose)| TimedPose {
                time_s: seconds(time_us - first_us),
                world_from_body: Isometry3::from_parts((pose.translation.vector - start).into(), pose.rotation),
            })
            .collect(),
    })
}

fn objects(
    log: &Log,
    scene: &[u8],
    times: &[i64],
    first_us: i64,
    origin: Vector3<f64>,
) -> Result<Vec<ObjectTrack>, DatasetError> {
    let query = "SELECT pc.timestamp, b.track_token, c.name, b.x, b.y, b.z, b.yaw, b.length, b.width, b.height, b.confidence \
                 FROM lidar_pc pc JOIN lidar_box b ON b.lidar_pc_token = pc.token JOIN track t ON t.token = b.track_token \
                 JOIN category c ON c.token = t.category_token WHERE pc.scene_token = ?1 ORDER BY pc.timestamp";
    let mut tracks: BTreeMap<Vec<u8>, ObjectTrack> = BTreeMap::new();
    log.rows("lidar_box", query, Some(scene), |row| {
        let time_us: i64 = row.get(0)?;
        let value = |column: usize| row.get::<_, f64>(column);
        if times.binary_search(&time_us).is_err() || value(10)? < MIN_CONFIDENCE {
            return Ok(());
        }
        let token: Vec<u8> = row.get(1)?;
        let category: String = row.get(2)?;
        let sample = ObjectSample {
            time_s: seconds(time_us - first_us),
            center_in_world: Point3::from(Vector3::new(value(3)?, value(4)?, value(5)?) - origin),
            world_from_object: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), value(6)?),
            size_m: Some(Vector3::new(value(7)?, value(8)?, value(9)?)),
            seen: true,
            labelled_box: None,
        };
        let finite = sample.center_in_world.iter().all(|value| value.is_finite());
        let track = tracks.entry(token).or_insert_with_key(|token| {
            let (class, kind) = classify(&category);
            ObjectTrack {
                id: 0,
                name: hex(token),
                class,
                kind,
                samples: Vec::new(),
            }
        });
        if finite && track.samples.last().is_none_or(|last| last.time_s < sample.time_s) {
            track.samples.push(sample);
        }
        Ok(())
    })?;
    let tracks = tracks.into_values().enumerate();
    Ok(tracks
        .map(|(index, track)| ObjectTrack {
            id: index as u64,
            ..track
        })
        .collect())
}

/// Token, channel, four pickled columns, width and height.
type CameraRow = (Vec<u8>, String, [Vec<u8>; 4], u32, u32);

fn cameras(
    log: &Log,
    root: &Path,
    scene: &[u8],
    first_us: i64,
    ego: &[TimedPose],
) -> Result<Vec<CameraTrack>, DatasetError> {
    let mut found: Vec<CameraRow> = Vec::new();
    let query = "SELECT token, channel, translation, rotation, intrinsic, distortion, width, height FROM camera ORDER BY channel";
    log.rows("camera", query, None, |row| {
        let blobs = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
        found.push((row.get(0)?, row.get(1)?, blobs, row.get(6)?, row.get(7)?));
        Ok(())
    })?;
    let mut cameras = Vec::new();
    for (token, channel, [translation, rotation, intrinsic, distortion], width, height) in found {
        let numbers = |column: &str, blob: &[u8], count: usize| {
            let read = pickle::numbers(blob).map_err(|message| format!("{channel}: {message}"));
            read.and_then(|values| match values.len() == count {
                true => Ok(values),
                false => Err(format!("{channel}: expected {count} numbers, found {}", values.len())),
            })
            .map_err(|message| DatasetError::column(&log.path, &format!("camera.{column}"), message))
        };
        let place = numbers("translation", &translation, 3)?;
        let turn = numbers("rotation", &rotation, 4)?;
        let matrix = numbers("intrinsic", &intrinsic, 9)?;
        let bends = numbers("distortion", &distortion, 5)?;
        if !(matrix[0] > 0.0 && matrix[4] > 0.0) || width == 0 || height == 0 {
            let message = format!("{channel}: expected a positive focal length and picture size");
            return Err(DatasetError::column(&log.path, "camera.intrinsic", message));
        }
        let turn =
            UnitQuaternion::try_new(Quaternion::new(turn[0], turn[1], turn[2], turn[3]), 1e-6).ok_or_else(|| {
                DatasetError::column(
                    &log.path,
                    "camera.rotation",
                    format!("{channel}: expected a quaternion"),
                )
            })?;
        let vehicle_from_camera = Isometry3::from_parts(Translation3::new(place[0], place[1], place[2]), turn);
        cameras.push(CameraTrack {
            name: channel.clone(),
            camera: Arc::new(Camera {
                intrinsics: Intrinsics {
                    fx: matrix[0],
                    fy: matrix[4],
                    // The data set counts pixels from the centre of the first one.
                    cx: matrix[2] + 0.5,
                    cy: matrix[5] + 0.5,
                    width,
                    height,
                    distortion: Distortion::BrownConrady {
                        k: [bends[0], bends[1], bends[4]],
                        p: [bends[2], bends[3]],
                    },
                },
                intrinsics_source: IntrinsicsSource::Calibrated,
                mounting: None,
                mounting_source: MountingSource::Assumed,
            }),
            poses: ego
                .iter()
                .map(|pose| TimedPose {
                    world_from_body: pose.world_from_body * vehicle_from_camera,
                    ..*pose
                })
                .collect(),
            pictures: pictures(log, root, &token, scene, first_us)?,
        });
    }
    Ok(cameras)
}

/// Pictures that exist beside the log, below `sensor_blobs` of the data set's folder or of the root.
fn pictures(log: &Log, root: &Path, camera: &[u8], scene: &[u8], first_us: i64) -> Result<Vec<Picture>, DatasetError> {
    let folder = root.join("sensor_blobs");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut range = (i64::MAX, i64::MIN);
    log.rows(
        "lidar_pc",
        "SELECT MIN(timestamp), MAX(timestamp) FROM lidar_pc WHERE scene_token = ?1",
        Some(scene),
        |row| {
            range = (row.get(0)?, row.get(1)?);
            Ok(())
        },
    )?;
    let mut pictures = Vec::new();
    log.rows(
        "image",
        "SELECT timestamp, filename_jpg FROM image WHERE camera_token = ?1 ORDER BY timestamp",
        Some(camera),
        |row| {
            let time_us: i64 = row.get(0)?;
            let path = folder.join(row.get::<_, String>(1)?);
            if (range.0..=range.1).contains(&time_us) && path.is_file() {
                pictures.push(Picture {
                    time_s: seconds(time_us - first_us),
                    path,
                });
            }
            Ok(())
        },
    )?;
    Ok(pictures)
}

//! Ego-Exo4D: the wearer's way from Aria's machine-perception service, and the exo cameras, one recording a take.
//!
//! Formats: `takes/<take>/trajectory/closed_loop_trajectory.csv` (MPS, 1 kHz) and `gopro_calibs.csv` (Ego-Exo4D
//! documentation), `takes.json` for what is done in a take. The world is gravity-aligned with z up, as MPS gives it. The only
//! object is the wearer (where the device is); its size is not known, so there are no boxes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion};
use serde::Deserialize;

use super::csv::Csv;
use super::error::{DatasetError, entries};
use super::recording::{CameraTrack, Domain, LabelSource, ObjectSample, ObjectTrack, Recording, TimedPose};
use super::rows::for_each_row;
use super::{DataSource, ObjectKind};
use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, MountingSource};
use crate::detection::ClassLabel;

const TRAJECTORY: &str = "trajectory/closed_loop_trajectory.csv";
const CALIBRATION: &str = "trajectory/gopro_calibs.csv";
/// The trajectory is read this often, µs.
const INTERVAL_US: i64 = 100_000;
/// The tasks that are sports, as `takes.json` names them.
const SPORTS: [&str; 4] = ["soccer", "basketball", "dance", "bouldering"];

#[derive(Deserialize)]
struct TakeRow {
    take_name: String,
    #[serde(default)]
    parent_task_name: Option<String>,
    #[serde(default)]
    task_name: Option<String>,
}

fn takes_folder(root: &Path) -> PathBuf {
    let takes = root.join("takes");
    if takes.is_dir() { takes } else { root.to_owned() }
}

/// Names of the takes below `root`.
pub(super) fn names(root: &Path) -> Result<Vec<String>, DatasetError> {
    let folder = takes_folder(root);
    let names: Vec<String> = entries(&folder)?
        .into_iter()
        .filter(|name| folder.join(name).join(TRAJECTORY).is_file())
        .collect();
    if names.is_empty() {
        return Err(DatasetError::empty(
            &folder,
            format!("expected takes with {TRAJECTORY}, found none"),
        ));
    }
    Ok(names)
}

/// Reads one take.
pub(super) fn load(root: &Path, name: &str) -> Result<Recording, DatasetError> {
    let folder = takes_folder(root).join(name);
    let poses = trajectory(&folder.join(TRAJECTORY))?;
    let samples: Vec<ObjectSample> = poses
        .iter()
        .map(|pose| ObjectSample {
            time_s: pose.time_s,
            center_in_world: Point3::from(pose.world_from_body.translation.vector),
            world_from_object: pose.world_from_body.rotation,
            size_m: None,
            seen: true,
            labelled_box: None,
        })
        .collect();
    let calibration = folder.join(CALIBRATION);
    let cameras = if calibration.is_file() {
        cameras(&calibration, &poses)?
    } else {
        Vec::new()
    };
    Ok(Recording {
        name: name.to_owned(),
        source: DataSource::EgoExo4d,
        label_source: LabelSource::Vio,
        domain: domain(root, name)?,
        label_times_s: poses.iter().map(|pose| pose.time_s).collect(),
        ego: poses,
        cameras,
        objects: vec![ObjectTrack {
            id: 0,
            name: "wearer".to_owned(),
            class: ClassLabel::new("person"),
            kind: ObjectKind::Pedestrian,
            samples,
        }],
    })
}

/// What is done in a take: sports, unless `takes.json` says that it is something else.
fn domain(root: &Path, name: &str) -> Result<Domain, DatasetError> {
    let path = root.join("takes.json");
    if !path.is_file() {
        return Ok(Domain::Sports);
    }
    let mut domain = Domain::Sports;
    for_each_row(&path, |row: TakeRow| {
        if row.take_name == name {
            let words = [row.parent_task_name, row.task_name]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>();
            let words = words.join(" ").to_lowercase();
            let sports = words.is_empty() || SPORTS.iter().any(|sport| words.contains(sport));
            domain = if sports { Domain::Sports } else { Domain::General };
        }
        Ok(())
    })?;
    Ok(domain)
}

fn pose(row: &[f64]) -> Option<Isometry3<f64>> {
    let [x, y, z, qx, qy, qz, qw] = row else { return None };
    let turn = UnitQuaternion::try_new(Quaternion::new(*qw, *qx, *qy, *qz), 1e-6)?;
    Some(Isometry3::from_parts(Translation3::new(*x, *y, *z), turn))
}

fn trajectory(path: &Path) -> Result<Vec<TimedPose>, DatasetError> {
    const COLUMNS: [&str; 8] = [
        "tracking_timestamp_us",
        "tx_world_device",
        "ty_world_device",
        "tz_world_device",
        "qx_world_device",
        "qy_world_device",
        "qz_world_device",
        "qw_world_device",
    ];
    let mut poses: Vec<TimedPose> = Vec::new();
    let mut first_us: Option<i64> = None;
    let mut next_us = i64::MIN;
    let mut csv = Csv::open(path)?;
    let columns = csv.columns(&COLUMNS)?;
    while let Some(row) = csv.next_row()? {
        let time_us = row.integer(columns[0])?;
        if time_us < next_us {
            continue;
        }
        let values = columns[1..]
            .iter()
            .map(|column| row.float(*column))
            .collect::<Result<Vec<f64>, _>>()?;
        let world_from_body = pose(&values)
            .ok_or_else(|| DatasetError::column(path, "qw_world_device", "expected a unit quaternion, found zeros"))?;
        let first_us = *first_us.get_or_insert(time_us);
        poses.push(TimedPose {
            time_s: (time_us - first_us) as f64 / 1e6,
            world_from_body,
        });
        // Keeps to the interval's grid, so that a late row does not delay all after it.
        next_us = first_us + ((time_us - first_us) / INTERVAL_US + 1) * INTERVAL_US;
    }
    if poses.is_empty() {
        return Err(DatasetError::empty(path, "expected poses, found no rows"));
    }
    Ok(poses)
}

fn cameras(path: &Path, poses: &[TimedPose]) -> Result<Vec<CameraTrack>, DatasetError> {
    const POSE: [&str; 7] = [
        "tx_world_cam",
        "ty_world_cam",
        "tz_world_cam",
        "qx_world_cam",
        "qy_world_cam",
        "qz_world_cam",
        "qw_world_cam",
    ];
    const LENS: [&str; 8] = [
        "intrinsics_0",
        "intrinsics_1",
        "intrinsics_2",
        "intrinsics_3",
        "intrinsics_4",
        "intrinsics_5",
        "intrinsics_6",
        "intrinsics_7",
    ];
    let mut csv = Csv::open(path)?;
    let named = csv.columns(&["cam_uid", "image_width", "image_height", "intrinsics_type"])?;
    let (place, lens) = (csv.columns(&POSE)?, csv.columns(&LENS)?);
    let ends = [poses.first(), poses.last()];
    let mut cameras = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    while let Some(row) = csv.next_row()? {
        let name = row.text(named[0]).to_owned();
        let kind = row.text(named[3]).to_owned();
        if kind != "KANNALABRANDTK3" {
            let message = format!("expected KANNALABRANDTK3, found {kind}");
            return Err(DatasetError::column(path, "intrinsics_type", message));
        }
        let values = place
            .iter()
            .map(|column| row.float(*column))
            .collect::<Result<Vec<f64>, _>>()?;
        let world_from_body =
            pose(&values).ok_or_else(|| DatasetError::column(path, "qw_world_cam", "expected a unit quaternion"))?;
        let lens = lens
            .iter()
            .map(|column| row.float(*column))
            .collect::<Result<Vec<f64>, _>>()?;
        let (width, height) = (row.integer(named[1])?, row.integer(named[2])?);
        if width < 1 || height < 1 || lens[0] <= 0.0 || lens[1] <= 0.0 {
            return Err(DatasetError::column(
                path,
                "intrinsics_0",
                "expected a positive focal length and picture size",
            ));
        }
        if !seen.insert(name.clone()) {
            continue;
        }
        cameras.push(CameraTrack {
            name,
            camera: Arc::new(Camera {
                intrinsics: Intrinsics {
                    fx: lens[0],
                    fy: lens[1],
                    cx: lens[2] + 0.5,
                    cy: lens[3] + 0.5,
                    width: width as u32,
                    height: height as u32,
                    distortion: Distortion::Fisheye {
                        k: [lens[4], lens[5], lens[6], lens[7]],
                    },
                },
                intrinsics_source: IntrinsicsSource::Calibrated,
                mounting: None,
                mounting_source: MountingSource::Assumed,
            }),
            // Exo cameras stand.
            poses: ends
                .into_iter()
                .flatten()
                .map(|end| TimedPose {
                    time_s: end.time_s,
                    world_from_body,
                })
                .collect(),
            pictures: Vec::new(),
        });
    }
    Ok(cameras)
}

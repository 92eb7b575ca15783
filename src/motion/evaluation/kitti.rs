//! KITTI tracking: labels with identities, camera calibration, GPS/IMU (oxts).
//!
//! Formats: the object-tracking development kit (labels), the raw-data development kit (oxts; `convertOxtsToPose.m` for
//! the Mercator projection of Geiger et al., "Vision meets Robotics", 2013). Frames are 0.1 s apart.

use std::path::Path;
use std::sync::Arc;

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};

use super::scene::{DatasetError, Group, Scene, SceneFrame, TrueObject, read};
use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use crate::detection::{BoundingBox, ClassLabel};

const FRAME_S: f64 = 0.1;
const EARTH_RADIUS_M: f64 = 6_378_137.0;
const PICTURE: (u32, u32) = (1242, 375);
/// Height of the colour camera over the road, metres.
const CAMERA_HEIGHT_M: f64 = 1.65;
/// What is observed: boxes at least so tall, pixels, …
const MIN_HEIGHT_PX: f32 = 25.0;
/// … and at most partly hidden.
const MAX_OCCLUSION: i32 = 1;

/// Reads sequences `first` to `last` below `root` (folders `label`, `calib`, `oxts`).
pub fn load_kitti(root: &Path, first: u32, last: u32) -> Result<Vec<Scene>, DatasetError> {
    (first..=last).map(|sequence| load_sequence(root, sequence)).collect()
}

fn load_sequence(root: &Path, sequence: u32) -> Result<Scene, DatasetError> {
    let name = format!("{sequence:04}");
    let file = |folder: &str| root.join(folder).join(format!("{name}.txt"));
    let calibration = Calibration::load(&file("calib"))?;
    let poses = load_poses(&file("oxts"))?;
    let mut frames: Vec<SceneFrame> = poses
        .iter()
        .enumerate()
        .map(|(index, world_from_imu)| SceneFrame {
            time_s: index as f64 * FRAME_S,
            world_from_camera: world_from_imu * calibration.imu_from_camera,
            objects: Vec::new(),
        })
        .collect();
    load_labels(&file("label"), &calibration, &mut frames)?;
    Ok(Scene {
        name,
        camera: Arc::new(calibration.camera),
        frames,
    })
}

struct Calibration {
    camera: Camera,
    /// Pose of the left colour camera on the vehicle.
    imu_from_camera: Isometry3<f64>,
    /// Where the labels' origin (camera 0) lies from the left colour camera.
    camera_from_labels: Vector3<f64>,
}

impl Calibration {
    fn load(path: &Path) -> Result<Self, DatasetError> {
        let text = read(path)?;
        let matrix = |keys: &[&str], count: usize| -> Result<Vec<f64>, DatasetError> {
            for (index, line) in text.lines().enumerate() {
                let mut words = line.split_whitespace();
                let key = words.next().unwrap_or_default().trim_end_matches(':');
                if keys.contains(&key) {
                    return numbers(words, count).map_err(|message| DatasetError::Malformed {
                        path: path.to_owned(),
                        line: index + 1,
                        message,
                    });
                }
            }
            Err(DatasetError::Malformed {
                path: path.to_owned(),
                line: text.lines().count(),
                message: format!("expected a line `{}`, found none", keys[0]),
            })
        };
        let p2 = matrix(&["P2"], 12)?;
        let rectify = matrix(&["R_rect", "R0_rect"], 9)?;
        let camera_from_velo = rigid(&matrix(&["Tr_velo_cam", "Tr_velo_to_cam"], 12)?);
        let velo_from_imu = rigid(&matrix(&["Tr_imu_velo", "Tr_imu_to_velo"], 12)?);
        let rectified = Isometry3::from_parts(Translation3::identity(), rotation(&Matrix3::from_row_slice(&rectify)));
        let labels_from_imu = rectified * camera_from_velo * velo_from_imu;
        let (fx, fy, cx, cy) = (p2[0], p2[5], p2[2], p2[6]);
        let camera_from_labels = Vector3::new((p2[3] - cx * p2[11]) / fx, (p2[7] - cy * p2[11]) / fy, p2[11]);
        let camera_from_imu = Translation3::from(camera_from_labels) * labels_from_imu;
        Ok(Self {
            camera: Camera {
                intrinsics: Intrinsics {
                    fx,
                    fy,
                    cx,
                    cy,
                    width: PICTURE.0,
                    height: PICTURE.1,
                    distortion: Distortion::None,
                },
                intrinsics_source: IntrinsicsSource::Calibrated,
                mounting: Some(Mounting::level(CAMERA_HEIGHT_M)),
                mounting_source: MountingSource::Measured,
            },
            imu_from_camera: camera_from_imu.inverse(),
            camera_from_labels,
        })
    }
}

fn rigid(rows: &[f64]) -> Isometry3<f64> {
    let m = Matrix3::new(
        rows[0], rows[1], rows[2], rows[4], rows[5], rows[6], rows[8], rows[9], rows[10],
    );
    Isometry3::from_parts(Translation3::new(rows[3], rows[7], rows[11]), rotation(&m))
}

fn rotation(matrix: &Matrix3<f64>) -> UnitQuaternion<f64> {
    UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix(matrix))
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>, count: usize) -> Result<Vec<f64>, String> {
    let values: Result<Vec<f64>, String> = words
        .map(|word| word.parse().map_err(|_| format!("expected a number, found `{word}`")))
        .collect();
    let values = values?;
    if values.len() < count || values.iter().any(|value| !value.is_finite()) {
        return Err(format!("expected {count} finite numbers, found {}", values.len()));
    }
    Ok(values)
}

/// Poses of the vehicle in a world whose origin is the first one's place.
fn load_poses(path: &Path) -> Result<Vec<Isometry3<f64>>, DatasetError> {
    let text = read(path)?;
    let mut poses = Vec::new();
    let mut origin: Option<(f64, Vector3<f64>)> = None;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let values = numbers(line.split_whitespace(), 6).map_err(|message| DatasetError::Malformed {
            path: path.to_owned(),
            line: index + 1,
            message,
        })?;
        let (latitude, longitude) = (values[0].to_radians(), values[1].to_radians());
        let scale = origin.map_or(latitude.cos(), |(scale, _)| scale);
        let place = Vector3::new(
            scale * EARTH_RADIUS_M * longitude,
            scale * EARTH_RADIUS_M * (std::f64::consts::FRAC_PI_4 + 0.5 * latitude).tan().ln(),
            values[2],
        );
        let (_, start) = *origin.get_or_insert((scale, place));
        let attitude = UnitQuaternion::from_euler_angles(values[3], values[4], values[5]);
        poses.push(Isometry3::from_parts(Translation3::from(place - start), attitude));
    }
    Ok(poses)
}

fn load_labels(path: &Path, calibration: &Calibration, frames: &mut [SceneFrame]) -> Result<(), DatasetError> {
    let text = read(path)?;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let malformed = |message: String| DatasetError::Malformed {
            path: path.to_owned(),
            line: index + 1,
            message,
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [frame, id, class, ..] = words.as_slice() else {
            return Err(malformed(format!("expected 17 words, found {}", words.len())));
        };
        let Some((class, group)) = class_and_group(class) else {
            continue;
        };
        let (Ok(frame), Ok(id)) = (frame.parse::<usize>(), id.parse::<u64>()) else {
            return Err(malformed(format!(
                "expected a frame and an identity, found `{frame} {id}`"
            )));
        };
        let values = numbers(words[3..].iter().copied(), 14).map_err(malformed)?;
        let count = frames.len();
        let Some(scene_frame) = frames.get_mut(frame) else {
            return Err(malformed(format!("frame {frame} is beyond the {count} poses")));
        };
        let (truncated, occluded) = (values[0], values[1]);
        let bbox = BoundingBox::new(values[3] as f32, values[4] as f32, values[5] as f32, values[6] as f32);
        let height_m = values[7];
        let center = Point3::new(values[10], values[11] - 0.5 * height_m, values[12]) + calibration.camera_from_labels;
        scene_frame.objects.push(TrueObject {
            id,
            class,
            group,
            position_in_world: scene_frame.world_from_camera * center,
            bbox: Some(bbox),
            observable: truncated <= 0.0 && occluded as i32 <= MAX_OCCLUSION && bbox.height() >= MIN_HEIGHT_PX,
        });
    }
    Ok(())
}

fn class_and_group(name: &str) -> Option<(ClassLabel, Group)> {
    let (class, group) = match name {
        "Car" => ("car", Group::Vehicle),
        "Van" => ("van", Group::Vehicle),
        "Truck" => ("truck", Group::Vehicle),
        "Pedestrian" => ("person", Group::Pedestrian),
        "Cyclist" => ("cyclist", Group::Other),
        "Tram" => ("tram", Group::Other),
        _ => return None,
    };
    Some((ClassLabel::new(class), group))
}

//! KITTI tracking: labels with identities, camera calibration, GPS/IMU (oxts).
//!
//! Formats: the object-tracking development kit (labels), the raw-data development kit (oxts; `convertOxtsToPose.m` for
//! the Mercator projection of Geiger et al., "Vision meets Robotics", 2013). Frames are 0.1 s apart. The folders are
//! `label` (or `label_02`), `calib`, `oxts` and, where there are pictures, `image_02`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nalgebra::{Isometry3, Matrix3, Matrix4, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};

use super::classes::classify;
use super::error::{DatasetError, entries, read_text as read};
use super::recording::{
    CameraTrack, Domain, LabelSource, LabelledBox, ObjectSample, ObjectTrack, Picture, Recording, TimedPose,
};
use super::{DataSource, ObjectKind};
use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use crate::detection::BoundingBox;

const FRAMES_PER_S: f64 = 10.0;
const EARTH_RADIUS_M: f64 = 6_378_137.0;
const PICTURE: (u32, u32) = (1242, 375);
/// Height of the colour camera over the road, metres.
const CAMERA_HEIGHT_M: f64 = 1.65;
/// What has a 3D box and moves by itself.
const CLASSES: [&str; 6] = ["Car", "Van", "Truck", "Pedestrian", "Cyclist", "Tram"];

/// Names of the sequences below `root`.
pub(super) fn names(root: &Path) -> Result<Vec<String>, DatasetError> {
    let folder = label_folder(root);
    let files = entries(&folder)?.into_iter();
    let names: Vec<String> = files
        .filter_map(|name| Some(name.strip_suffix(".txt")?.to_owned()))
        .collect();
    if names.is_empty() {
        return Err(DatasetError::empty(
            &folder,
            "expected label files such as 0000.txt, found none",
        ));
    }
    Ok(names)
}

fn label_folder(root: &Path) -> PathBuf {
    let official = root.join("label_02");
    if official.is_dir() {
        official
    } else {
        root.join("label")
    }
}

/// Reads one sequence.
pub(super) fn load(root: &Path, name: &str) -> Result<Recording, DatasetError> {
    let file = |folder: PathBuf| folder.join(format!("{name}.txt"));
    let calibration = Calibration::load(&file(root.join("calib")))?;
    let ego: Vec<TimedPose> = load_poses(&file(root.join("oxts")))?
        .into_iter()
        .enumerate()
        .map(|(frame, world_from_body)| TimedPose {
            time_s: frame as f64 / FRAMES_PER_S,
            world_from_body,
        })
        .collect();
    let poses: Vec<TimedPose> = ego
        .iter()
        .map(|pose| TimedPose {
            world_from_body: pose.world_from_body * calibration.imu_from_camera,
            ..*pose
        })
        .collect();
    let objects = load_labels(&file(label_folder(root)), &calibration, &ego)?;
    Ok(Recording {
        name: name.to_owned(),
        source: DataSource::Kitti,
        label_source: LabelSource::Lidar,
        domain: Domain::Driving,
        label_times_s: ego.iter().map(|pose| pose.time_s).collect(),
        ego,
        cameras: vec![CameraTrack {
            name: "image_02".to_owned(),
            camera: Arc::new(calibration.camera),
            pictures: pictures(&root.join("image_02").join(name), poses.len())?,
            poses,
        }],
        objects,
    })
}

fn pictures(folder: &Path, frames: usize) -> Result<Vec<Picture>, DatasetError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let files = entries(folder)?.into_iter().filter_map(|name| {
        let frame: usize = name.strip_suffix(".png")?.parse().ok()?;
        (frame < frames).then(|| Picture {
            time_s: frame as f64 / FRAMES_PER_S,
            path: folder.join(&name),
        })
    });
    Ok(files.collect())
}

struct Calibration {
    camera: Camera,
    /// Pose of the left colour camera on the vehicle.
    imu_from_camera: Isometry3<f64>,
    /// From the labels' frame (rectified camera 0) to the vehicle's, as the matrices are given: their rotations are rounded,
    /// and making them orthonormal would move what is far away by some micrometres.
    imu_from_labels: Matrix4<f64>,
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
        let velo_cam = matrix(&["Tr_velo_cam", "Tr_velo_to_cam"], 12)?;
        let imu_velo = matrix(&["Tr_imu_velo", "Tr_imu_to_velo"], 12)?;
        let (camera_from_velo, velo_from_imu) = (rigid(&velo_cam), rigid(&imu_velo));
        let exact = affine(&rectify_rows(&rectify)) * affine(&velo_cam) * affine(&imu_velo);
        let imu_from_labels = exact.try_inverse().ok_or_else(|| DatasetError::Format {
            path: path.to_owned(),
            message: "expected rotations in `R_rect`, `Tr_velo_cam` and `Tr_imu_velo`, found a singular matrix"
                .to_owned(),
        })?;
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
            imu_from_labels,
        })
    }
}

/// Three rows of four numbers, and below them 0 0 0 1.
fn affine(rows: &[f64]) -> Matrix4<f64> {
    Matrix4::from_fn(|row, column| match row {
        3 => f64::from(u8::from(column == 3)),
        _ => rows[4 * row + column],
    })
}

/// A rotation's nine numbers as three rows of four.
fn rectify_rows(rotation: &[f64]) -> Vec<f64> {
    rotation
        .chunks(3)
        .flat_map(|row| row.iter().copied().chain([0.0]))
        .collect()
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

fn load_labels(path: &Path, calibration: &Calibration, poses: &[TimedPose]) -> Result<Vec<ObjectTrack>, DatasetError> {
    let text = read(path)?;
    let mut tracks: BTreeMap<u64, ObjectTrack> = BTreeMap::new();
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
        if !CLASSES.contains(class) {
            continue;
        }
        let (Ok(frame), Ok(id)) = (frame.parse::<usize>(), id.parse::<u64>()) else {
            return Err(malformed(format!(
                "expected a frame and an identity, found `{frame} {id}`"
            )));
        };
        let values = numbers(words[3..].iter().copied(), 14).map_err(malformed)?;
        let Some(pose) = poses.get(frame) else {
            return Err(malformed(format!("frame {frame} is beyond the {} poses", poses.len())));
        };
        let sample = sample(&values, pose, calibration);
        let track = tracks.entry(id).or_insert_with(|| {
            let (class, kind) = classify(class);
            ObjectTrack {
                id,
                name: id.to_string(),
                class,
                kind,
                samples: Vec::new(),
            }
        });
        if track.samples.last().is_some_and(|last| last.time_s >= sample.time_s) {
            return Err(malformed(format!(
                "object {id} stands twice in frame {frame}, or frames go back"
            )));
        }
        debug_assert!(track.kind != ObjectKind::Still);
        track.samples.push(sample);
    }
    Ok(tracks.into_values().collect())
}

/// From the numbers after the class: truncation, occlusion, alpha, the box's four edges, height, width, length, the place
/// of the bottom's centre, and the turn about the camera's y axis.
fn sample(values: &[f64], pose: &TimedPose, calibration: &Calibration) -> ObjectSample {
    let world_from_imu = pose.world_from_body;
    let (height_m, width_m, length_m) = (values[7], values[8], values[9]);
    let center = Point3::new(values[10], values[11] - 0.5 * height_m, values[12]);
    let center = calibration.imu_from_labels.transform_point(&center);
    // At turn 0 the object's front points along the camera's x, its left side along z, its top along −y.
    #[rustfmt::skip]
    let camera_from_object = Rotation3::from_matrix_unchecked(Matrix3::new(
        1.0, 0.0,  0.0,
        0.0, 0.0, -1.0,
        0.0, 1.0,  0.0,
    ));
    let turn = Rotation3::from_axis_angle(&Vector3::y_axis(), values[13]) * camera_from_object;
    ObjectSample {
        time_s: pose.time_s,
        center_in_world: world_from_imu * center,
        world_from_object: world_from_imu.rotation
            * calibration.imu_from_camera.rotation
            * UnitQuaternion::from_rotation_matrix(&turn),
        size_m: Some(Vector3::new(length_m, width_m, height_m)),
        seen: true,
        labelled_box: Some(LabelledBox {
            bbox: BoundingBox::new(values[3] as f32, values[4] as f32, values[5] as f32, values[6] as f32),
            truncation: values[0] as f32,
            occlusion: values[1].clamp(0.0, 3.0) as u8,
        }),
    }
}

//! nuScenes' tables: their rows (https://github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md) and files that are
//! written a row at a time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::sim::truth::TruthError;

/// A file with one JSON array.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    file: BufWriter<File>,
    rows: u64,
}

impl Table {
    pub fn create(folder: &Path, name: &str) -> Result<Self, TruthError> {
        let path = folder.join(name).with_extension("json");
        let file = File::create(&path).map_err(TruthError::io(&path))?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
            rows: 0,
        })
    }

    pub fn push(&mut self, row: &impl Serialize) -> Result<(), TruthError> {
        let before = if self.rows == 0 { "[\n" } else { ",\n" };
        self.rows += 1;
        self.file
            .write_all(before.as_bytes())
            .and_then(|()| serde_json::to_writer(&mut self.file, row).map_err(Into::into))
            .map_err(TruthError::io(&self.path))
    }

    pub fn finish(mut self) -> Result<(), TruthError> {
        let end = if self.rows == 0 { "[]\n" } else { "\n]\n" };
        self.file
            .write_all(end.as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(TruthError::io(&self.path))
    }
}

/// Writes a table whose rows are all known.
pub(super) fn write_table<Row: Serialize>(folder: &Path, name: &str, rows: &[Row]) -> Result<(), TruthError> {
    let mut table = Table::create(folder, name)?;
    for row in rows {
        table.push(row)?;
    }
    table.finish()
}

/// `category` and `attribute`.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub token: String,
    pub name: &'static str,
    pub description: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Visibility {
    pub token: &'static str,
    pub level: &'static str,
    pub description: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Sensor {
    pub token: String,
    pub channel: &'static str,
    pub modality: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct CalibratedSensor<Distortion> {
    pub token: String,
    pub sensor_token: String,
    pub translation: [f64; 3],
    pub rotation: [f64; 4],
    pub camera_intrinsic: [[f64; 3]; 3],
    /// Not of nuScenes, whose pictures are rectified; readers pass over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera_distortion: Option<Distortion>,
}

#[derive(Debug, Serialize)]
pub(super) struct Log {
    pub token: String,
    pub logfile: String,
    pub vehicle: &'static str,
    pub date_captured: &'static str,
    pub location: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Map {
    pub token: String,
    pub log_tokens: Vec<String>,
    pub category: &'static str,
    pub filename: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Scene {
    pub token: String,
    pub log_token: String,
    pub nbr_samples: u64,
    pub first_sample_token: String,
    pub last_sample_token: String,
    pub name: String,
    pub description: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Instance {
    pub token: String,
    pub category_token: String,
    pub nbr_annotations: u64,
    pub first_annotation_token: String,
    pub last_annotation_token: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub token: String,
    pub timestamp: i64,
    pub scene_token: String,
    pub prev: String,
    pub next: String,
}

#[derive(Debug, Serialize)]
pub(super) struct SampleData {
    pub token: String,
    pub sample_token: String,
    pub ego_pose_token: String,
    pub calibrated_sensor_token: String,
    pub filename: String,
    pub fileformat: &'static str,
    pub width: u32,
    pub height: u32,
    pub timestamp: i64,
    pub is_key_frame: bool,
    pub prev: String,
    pub next: String,
}

#[derive(Debug, Serialize)]
pub(super) struct EgoPose {
    pub token: String,
    pub timestamp: i64,
    pub rotation: [f64; 4],
    pub translation: [f64; 3],
}

#[derive(Debug, Serialize)]
pub(super) struct Annotation {
    pub token: String,
    pub sample_token: String,
    pub instance_token: String,
    pub visibility_token: &'static str,
    pub attribute_tokens: Vec<String>,
    pub translation: [f64; 3],
    pub size: [f64; 3],
    pub rotation: [f64; 4],
    pub num_lidar_pts: u32,
    pub num_radar_pts: u32,
    pub prev: String,
    pub next: String,
}

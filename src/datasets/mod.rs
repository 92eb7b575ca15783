//! Data sets with known trajectories, read into one type: [`Recording`].
//!
//! | source | what is read | truth |
//! |---|---|---|
//! | [`DataSource::Kitti`] | `label/`, `calib/`, `oxts/` of KITTI tracking | labels at 10 Hz |
//! | [`DataSource::Argoverse2`] | feather files of the sensor data set | cuboids at 10 Hz |
//! | [`DataSource::NuScenes`] | the JSON tables | cuboids of key frames at 2 Hz |
//! | [`DataSource::NuPlan`] | SQLite logs | boxes at 20 Hz, of which every other one is read |
//! | [`DataSource::EgoExo4d`] | trajectories of Aria's machine-perception service, `gopro_calibs.csv` | the wearer's way |
//! | [`DataSource::Sim`] | the nuScenes tables that our simulator writes | exact, at 2 Hz |
//!
//! Readers are iterators over recordings: one is in memory at a time. All positions are in a world that is gravity-aligned
//! with z up, metres, and all times are seconds from the recording's first label. A table that is missing or broken is a
//! [`DatasetError`] that names the file, and the column or line.

#[cfg(feature = "datasets")]
mod argoverse2;
mod classes;
mod csv;
mod ego_exo;
mod error;
#[cfg(feature = "datasets")]
mod feather;
mod kitti;
#[cfg(feature = "datasets")]
mod nuplan;
mod nuscenes;
#[cfg(feature = "datasets")]
mod pickle;
mod recording;
mod rows;

use std::path::Path;
use std::str::FromStr;

pub use classes::ObjectKind;
pub use error::DatasetError;
pub use recording::{
    CameraTrack, Domain, LabelSource, LabelledBox, ObjectSample, ObjectTrack, Picture, Recording, TimedPose, pose_at,
};

/// Which data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataSource {
    /// KITTI tracking.
    Kitti,
    /// Argoverse 2, sensor data set.
    Argoverse2,
    /// nuScenes.
    NuScenes,
    /// nuPlan.
    NuPlan,
    /// Ego-Exo4D.
    EgoExo4d,
    /// Our simulator.
    Sim,
    /// Any video, as our own chain saw it: made by `kinestream stkit label`, and not to be opened.
    Video,
}

impl DataSource {
    /// All that can be opened.
    pub const ALL: [Self; 6] = [
        Self::Kitti,
        Self::Argoverse2,
        Self::NuScenes,
        Self::NuPlan,
        Self::EgoExo4d,
        Self::Sim,
    ];

    /// As it is written on the command line and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kitti => "kitti",
            Self::Argoverse2 => "argoverse2",
            Self::NuScenes => "nuscenes",
            Self::NuPlan => "nuplan",
            Self::EgoExo4d => "egoexo4d",
            Self::Sim => "sim",
            Self::Video => "video",
        }
    }
}

impl FromStr for DataSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|source| source.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|source| source.as_str()).collect();
                format!("expected a source, one of {}, found `{text}`", known.join(", "))
            })
    }
}

/// The recordings of one data set, in order of their names; as an iterator it reads one after the other.
pub struct Recordings {
    reader: Box<dyn Reader + Send>,
    source: DataSource,
    names: Vec<String>,
    next: usize,
}

/// Reads the recordings of one data set by name.
trait Reader {
    fn load(&mut self, name: &str) -> Result<Recording, DatasetError>;
}

impl<F: FnMut(&str) -> Result<Recording, DatasetError>> Reader for F {
    fn load(&mut self, name: &str) -> Result<Recording, DatasetError> {
        self(name)
    }
}

/// Looks for the recordings of `source` below `root`; they are read one by one.
pub fn open(source: DataSource, root: &Path) -> Result<Recordings, DatasetError> {
    let folder = root.to_owned();
    let (names, reader): (Vec<String>, Box<dyn Reader + Send>) = match source {
        DataSource::Kitti => (
            kitti::names(root)?,
            Box::new(move |name: &str| kitti::load(&folder, name)),
        ),
        #[cfg(feature = "datasets")]
        DataSource::Argoverse2 => (
            argoverse2::names(root)?,
            Box::new(move |name: &str| argoverse2::load(&folder, name)),
        ),
        #[cfg(feature = "datasets")]
        DataSource::NuPlan => (
            nuplan::names(root)?,
            Box::new(move |name: &str| nuplan::load(&folder, name)),
        ),
        DataSource::NuScenes => {
            let tables = nuscenes::NuScenes::load(root, source)?;
            (tables.names(), Box::new(move |name: &str| tables.scene(name, name)))
        }
        DataSource::EgoExo4d => (
            ego_exo::names(root)?,
            Box::new(move |name: &str| ego_exo::load(&folder, name)),
        ),
        DataSource::Sim => (
            nuscenes::sim_names(root)?,
            Box::new(move |name: &str| nuscenes::load_sim(&folder, name)),
        ),
        DataSource::Video => {
            return Err(DatasetError::Format {
                path: root.to_owned(),
                message: "videos have no labels; `kinestream stkit label` makes them".to_owned(),
            });
        }
        #[cfg(not(feature = "datasets"))]
        source => return Err(DatasetError::NotBuilt { name: source.as_str() }),
    };
    Ok(Recordings {
        reader,
        source,
        names,
        next: 0,
    })
}

impl Recordings {
    /// The names of all of them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Reads the recording at `index` of [`Recordings::names`]; `None` beyond the last.
    pub fn load(&mut self, index: usize) -> Option<Result<Recording, DatasetError>> {
        let name = self.names.get(index)?;
        Some(self.reader.load(name))
    }

    /// Only those from `first` to `last`: KITTI's sequences by their number, others counted from 0 in order of names.
    pub fn range(mut self, first: u32, last: u32) -> Self {
        let mut index = 0;
        let source = self.source;
        self.names.retain(|name| {
            let number = match source {
                DataSource::Kitti => name.parse().ok(),
                _ => Some(index),
            };
            index += 1;
            number.is_some_and(|number| (first..=last).contains(&number))
        });
        self
    }
}

impl Iterator for Recordings {
    type Item = Result<Recording, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next += 1;
        self.load(self.next - 1)
    }
}

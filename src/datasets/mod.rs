//! Data sets with known trajectories, read into one type: [`Recording`].
//!
//! | source | what is read | truth |
//! |---|---|---|
//! | [`DataSource::Kitti`] | `label/`, `calib/`, `oxts/` of KITTI tracking | labels at 10 Hz |
//! | [`DataSource::Argoverse2`] | feather files of the sensor data set | cuboids at 10 Hz |
//!
//! Readers are iterators over recordings: one is in memory at a time. All positions are in a world that is gravity-aligned
//! with z up, metres, and all times are seconds from the recording's first label. A table that is missing or broken is a
//! [`DatasetError`] that names the file, and the column or line.

#[cfg(feature = "datasets")]
mod argoverse2;
mod classes;
mod error;
#[cfg(feature = "datasets")]
mod feather;
mod kitti;
mod recording;

use std::path::{Path, PathBuf};
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
}

impl DataSource {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Kitti, Self::Argoverse2];

    /// As it is written on the command line and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kitti => "kitti",
            Self::Argoverse2 => "argoverse2",
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

/// The recordings of one data set, in order of their names.
pub struct Recordings {
    source: DataSource,
    root: PathBuf,
    names: std::vec::IntoIter<String>,
}

/// Looks for the recordings of `source` below `root`; they are read one by one while iterating.
pub fn open(source: DataSource, root: &Path) -> Result<Recordings, DatasetError> {
    let names = match source {
        DataSource::Kitti => kitti::names(root)?,
        #[cfg(feature = "datasets")]
        DataSource::Argoverse2 => argoverse2::names(root)?,
        #[cfg(not(feature = "datasets"))]
        DataSource::Argoverse2 => return Err(DatasetError::NotBuilt { name: source.as_str() }),
    };
    Ok(Recordings {
        source,
        root: root.to_owned(),
        names: names.into_iter(),
    })
}

impl Recordings {
    /// The names of those not yet read.
    pub fn names(&self) -> &[String] {
        self.names.as_slice()
    }

    /// Reads only those from `first` to `last`: KITTI's sequences by their number, others counted from 0 in order of names.
    pub fn range(self, first: u32, last: u32) -> Self {
        let wanted = |(index, name): (usize, String)| {
            let number = match self.source {
                DataSource::Kitti => name.parse().ok()?,
                _ => u32::try_from(index).ok()?,
            };
            (first..=last).contains(&number).then_some(name)
        };
        let names: Vec<String> = self.names.enumerate().filter_map(wanted).collect();
        Self {
            names: names.into_iter(),
            ..self
        }
    }
}

impl Iterator for Recordings {
    type Item = Result<Recording, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.names.next()?;
        Some(match self.source {
            DataSource::Kitti => kitti::load(&self.root, &name),
            #[cfg(feature = "datasets")]
            DataSource::Argoverse2 => argoverse2::load(&self.root, &name),
            #[cfg(not(feature = "datasets"))]
            source => Err(DatasetError::NotBuilt { name: source.as_str() }),
        })
    }
}

//! What is known of a class before it is seen: how large its objects are and how they move.
//!
//! Sizes: means of the annotated boxes of KITTI (Car 1.53 × 1.63 × 3.88, Van 2.2 × 1.9 × 5.1, Truck 3.2 × 2.6 × 10.1,
//! Pedestrian 1.76, Cyclist 1.74 × 0.60 × 1.76; height × width × length in metres) and nuScenes (bus 3.47 × 2.94 × 11.1,
//! motorcycle with rider 1.47 × 0.77 × 2.11, bicycle 1.28 × 0.6 × 1.7); people: adults of all countries, 1.65 m ± 0.09 m
//! (NCD-RisC 2016), in shoes; balls: FIFA (0.22 m), FIBA (0.24 m), FIVB (0.21 m). Sigmas hold the spread inside the class.
//! Shares of roofs and wheelbases are those of drawings: a saloon of 4.5 m has a wheelbase of 2.7 m and a roof of 2.2 m.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::detection::ClassLabel;
use crate::settings::{self, SettingsError};

/// Length over width from which it matters which way an object lies.
const LONG: f64 = 1.3;

/// Size and dynamics of one class. Sizes are those of an upright box around the object.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassPrior {
    /// Mean height, metres.
    pub height_m: f64,
    /// Standard deviation of the height inside the class, metres.
    pub height_sigma_m: f64,
    /// Mean width (across its own forward direction), metres.
    pub width_m: f64,
    /// Mean length (along its own forward direction), metres.
    pub length_m: f64,
    /// Shares of length and width that its upper end has: a roof is smaller than the car under it. Seen from above, the far
    /// edge of the upper end is the upper edge of its box.
    #[serde(default = "upright")]
    pub upper_shares: [f64; 2],
    /// Shares of length and width over which it touches the ground: between the feet, between the wheels. Their near edge
    /// is the lower edge of its box.
    #[serde(default = "upright")]
    pub lower_shares: [f64; 2],
    /// Whether it stands on the ground.
    #[serde(default = "stands")]
    pub on_ground: bool,
    /// Standard deviation of the speed when first seen and moving, m/s.
    pub speed_mps: f64,
    /// Standard deviation of the acceleration over one second, m/s².
    pub acceleration_mps2: f64,
    /// Probability that an object of the class stands still when first seen.
    #[serde(default = "one_half")]
    pub standing_share: f64,
}

fn upright() -> [f64; 2] {
    [1.0, 1.0]
}

fn stands() -> bool {
    true
}

fn one_half() -> f64 {
    0.5
}

impl ClassPrior {
    /// Whether it is so much longer than wide that it matters which way it lies.
    pub(super) fn is_long(&self) -> bool {
        self.length_m > LONG * self.width_m
    }

    /// Half of its extent over the ground, whichever way it lies, metres.
    pub(super) fn mean_half_extent_m(&self) -> f64 {
        0.25 * (self.length_m + self.width_m)
    }

    /// Which values make no sense, if any.
    fn check(&self) -> Result<(), String> {
        let positive = [
            ("height_m", self.height_m),
            ("height_sigma_m", self.height_sigma_m),
            ("width_m", self.width_m),
            ("length_m", self.length_m),
            ("speed_mps", self.speed_mps),
            ("acceleration_mps2", self.acceleration_mps2),
        ];
        for (key, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("`{key}` must be a positive number, found {value}"));
            }
        }
        for (key, shares) in [("upper_shares", self.upper_shares), ("lower_shares", self.lower_shares)] {
            if let Some(share) = shares.into_iter().find(|share| !(*share > 0.0 && *share <= 1.0)) {
                return Err(format!("`{key}` must lie between 0 and 1, found {share}"));
            }
        }
        if !(self.standing_share > 0.0 && self.standing_share < 1.0) {
            return Err(format!(
                "`standing_share` must lie between 0 and 1, found {}",
                self.standing_share
            ));
        }
        Ok(())
    }
}

/// A class of the table: names, height, its sigma, width, length, upper and lower shares, on ground, speed, acceleration,
/// standing share.
type Row = (&'static [&'static str], [f64; 4], [[f64; 2]; 2], bool, [f64; 3]);

const TABLE: &[Row] = &[
    (
        &["person", "pedestrian"],
        [1.70, 0.10, 0.55, 0.55],
        [[0.4, 0.4], [0.3, 0.3]],
        true,
        [1.5, 0.3, 0.05],
    ),
    (
        &["cyclist", "rider"],
        [1.72, 0.12, 0.6, 1.75],
        [[0.2, 0.5], [0.6, 0.3]],
        true,
        [5.0, 1.2, 0.15],
    ),
    (
        &["bicycle"],
        [1.10, 0.10, 0.55, 1.75],
        [[0.6, 0.6], [0.6, 0.3]],
        true,
        [4.0, 1.2, 0.5],
    ),
    (
        &["motorcycle", "motorcyclist"],
        [1.30, 0.20, 0.8, 2.1],
        [[0.3, 0.6], [0.65, 0.4]],
        true,
        [8.0, 2.5, 0.5],
    ),
    (
        &["car"],
        [1.50, 0.15, 1.75, 4.3],
        [[0.5, 0.75], [0.65, 1.0]],
        true,
        [10.0, 0.85, 0.5],
    ),
    (
        &["van"],
        [2.1, 0.25, 1.95, 5.1],
        [[0.75, 0.85], [0.7, 1.0]],
        true,
        [10.0, 0.85, 0.5],
    ),
    (
        &["truck"],
        [3.1, 0.6, 2.5, 8.0],
        [[1.0, 1.0], [0.8, 1.0]],
        true,
        [10.0, 0.7, 0.5],
    ),
    (
        &["bus"],
        [3.2, 0.3, 2.7, 11.5],
        [[1.0, 1.0], [0.75, 1.0]],
        true,
        [8.0, 0.7, 0.4],
    ),
    (
        &["train", "tram"],
        [3.7, 0.3, 2.7, 30.0],
        [[1.0, 1.0], [1.0, 1.0]],
        true,
        [10.0, 1.0, 0.3],
    ),
    (
        &["sports ball", "ball"],
        [0.225, 0.015, 0.225, 0.225],
        [[1.0, 1.0], [1.0, 1.0]],
        false,
        [8.0, 15.0, 0.1],
    ),
    (
        &["dog"],
        [0.55, 0.18, 0.3, 0.8],
        [[0.6, 0.6], [0.7, 0.7]],
        true,
        [2.0, 2.5, 0.3],
    ),
    (
        &["cat"],
        [0.30, 0.05, 0.2, 0.5],
        [[0.6, 0.6], [0.7, 0.7]],
        true,
        [1.0, 2.5, 0.4],
    ),
    (
        &["horse"],
        [1.7, 0.2, 0.6, 2.4],
        [[0.6, 0.6], [0.6, 0.7]],
        true,
        [3.0, 2.0, 0.4],
    ),
    (
        &["cow"],
        [1.45, 0.15, 0.7, 2.3],
        [[0.8, 0.8], [0.6, 0.7]],
        true,
        [1.0, 1.0, 0.6],
    ),
    (
        &["sheep"],
        [0.85, 0.12, 0.4, 1.2],
        [[0.8, 0.8], [0.6, 0.7]],
        true,
        [1.0, 1.5, 0.6],
    ),
];

/// The classes with a prior.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassPriors {
    by_class: BTreeMap<&'static str, ClassPrior>,
}

impl Default for ClassPriors {
    fn default() -> Self {
        let rows = TABLE.iter().flat_map(|(names, size, shares, on_ground, motion)| {
            let [height_m, height_sigma_m, width_m, length_m] = *size;
            let [upper_shares, lower_shares] = *shares;
            let [speed_mps, acceleration_mps2, standing_share] = *motion;
            let prior = ClassPrior {
                height_m,
                height_sigma_m,
                width_m,
                length_m,
                upper_shares,
                lower_shares,
                on_ground: *on_ground,
                speed_mps,
                acceleration_mps2,
                standing_share,
            };
            names.iter().map(move |name| (*name, prior))
        });
        Self {
            by_class: rows.collect(),
        }
    }
}

impl ClassPriors {
    /// The table with the classes of a TOML file put over it: one table a class, named as the detector names it.
    ///
    /// ```toml
    /// ["forklift"]
    /// height_m = 2.1
    /// height_sigma_m = 0.15
    /// width_m = 1.2
    /// length_m = 2.6
    /// speed_mps = 3.0
    /// acceleration_mps2 = 1.5
    /// ```
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        Self::default().with(settings::load(path)?, path)
    }

    /// Like [`ClassPriors::load`], from text; `path` names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        Self::default().with(settings::parse(text, path)?, path)
    }

    fn with(mut self, classes: BTreeMap<String, ClassPrior>, path: &Path) -> Result<Self, SettingsError> {
        for (name, prior) in classes {
            prior.check().map_err(|message| SettingsError::Invalid {
                path: path.to_owned(),
                message: format!("[{name}]: {message}"),
            })?;
            self.by_class.insert(ClassLabel::new(&name).as_str(), prior);
        }
        Ok(self)
    }

    /// The prior of a class, if it has one.
    pub fn get(&self, class: ClassLabel) -> Option<&ClassPrior> {
        self.by_class.get(class.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_overrides_and_adds_classes() {
        let text = "[car]\nheight_m = 1.6\nheight_sigma_m = 0.2\nwidth_m = 1.8\nlength_m = 4.5\nspeed_mps = 9.0\nacceleration_mps2 = 2.0\n";
        let priors = ClassPriors::parse(text, Path::new("priors.toml")).unwrap();
        assert_eq!(priors.get(ClassLabel::new("car")).unwrap().height_m, 1.6);
        assert!(priors.get(ClassLabel::new("person")).is_some());
        assert!(priors.get(ClassLabel::new("cloud")).is_none());
    }

    #[test]
    fn senseless_values_are_refused() {
        let text = "[car]\nheight_m = -1.6\nheight_sigma_m = 0.2\nwidth_m = 1.8\nlength_m = 4.5\nspeed_mps = 9.0\nacceleration_mps2 = 2.0\n";
        let error = ClassPriors::parse(text, Path::new("priors.toml"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("[car]") && error.contains("height_m"), "{error}");
    }
}

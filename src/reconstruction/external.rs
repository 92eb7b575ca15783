//! What something outside the picture tells of the camera's motion: a vehicle's pose or speed, on its own clock.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion, Vector3};
use thiserror::Error;

/// How much of the past is kept, seconds.
const KEPT_S: f64 = 30.0;
/// Samples further apart than this are not interpolated, seconds.
const MAX_GAP_S: f64 = 1.0;
/// A pose is extrapolated by this much at most, seconds.
const MAX_AHEAD_S: f64 = 0.25;
/// Clock offsets between plus and minus this are looked for, seconds …
const MAX_OFFSET_S: f64 = 0.5;
/// … in steps of this.
const OFFSET_STEP_S: f64 = 0.01;
/// Rotation rates that are compared to find the clock offset: so many at least, with at least this spread, rad/s.
const MIN_RATES: usize = 90;
const MIN_SPREAD_RADPS: f64 = 0.03;
/// Half the time over which the turning of told poses is taken, seconds.
const TURNING_HALF_S: f64 = 0.05;
/// Standard deviations of a pose whose sender says nothing of them: metres, radians.
const POSE_SIGMA: (f64, f64) = (0.1, 0.01);
/// … and of a speed: metres per second, and relative to the speed.
const SPEED_SIGMA: (f64, f64) = (0.1, 0.01);

/// What is known of the ego motion at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EgoMotion {
    /// The pose of the ground point under the camera: x forward, y left, z up (ISO 8855). Where the camera hangs over it
    /// says the mounting.
    Pose {
        /// Maps points of the ego frame to the world.
        world_from_ego: Isometry3<f64>,
    },
    /// Speed alone.
    Speed {
        /// Forward speed, metres per second; negative in reverse.
        speed_mps: f64,
        /// Turning to the left, radians per second.
        yaw_rate_radps: Option<f64>,
    },
}

/// A moment on the clock of whoever tells the ego motion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EgoMoment {
    /// Stream time, seconds.
    Stream(f64),
    /// UTC, nanoseconds since 1970.
    Utc(i64),
}

/// The ego motion at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EgoSample {
    /// Time on the sender's clock, seconds: stream time up to an offset that is estimated.
    pub time_s: f64,
    /// What is known.
    pub motion: EgoMotion,
}

impl EgoSample {
    /// Whether all numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.time_s.is_finite()
            && match &self.motion {
                EgoMotion::Pose { world_from_ego } => {
                    world_from_ego.translation.vector.iter().all(|value| value.is_finite())
                        && world_from_ego.rotation.coords.iter().all(|value| value.is_finite())
                }
                EgoMotion::Speed {
                    speed_mps,
                    yaw_rate_radps,
                } => speed_mps.is_finite() && yaw_rate_radps.is_none_or(f64::is_finite),
            }
    }
}

/// Why a file does not tell the ego motion.
#[derive(Debug, Error)]
pub enum EgoFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its first line does not name the columns.
    #[error(
        "{path}, line 1: expected the columns time_s,x_m,y_m,z_m,qw,qx,qy,qz or time_s,speed_mps or \
         time_s,speed_mps,yaw_rate_radps, found `{found}`"
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// A line is not numbers.
    #[error("{path}, line {line}: expected {expected} finite numbers, found `{found}`")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Columns.
        expected: usize,
        /// What stands there.
        found: String,
    },
    /// Time does not run forward.
    #[error("{path}, line {line}: expected a time after {before_s} s, found {found_s} s")]
    Order {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Time of the line before.
        before_s: f64,
        /// Time found.
        found_s: f64,
    },
}

/// Reads a CSV file of ego motion. The first line names the columns: `time_s,x_m,y_m,z_m,qw,qx,qy,qz` for poses (the
/// quaternion is that of `world_from_ego` and is normalised), `time_s,speed_mps` or `time_s,speed_mps,yaw_rate_radps` for
/// speeds. Empty lines and lines that begin with `#` are passed over.
pub fn load_ego(path: &Path) -> Result<Vec<EgoSample>, EgoFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| EgoFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse_ego(&text, path)
}

fn parse_ego(text: &str, path: &Path) -> Result<Vec<EgoSample>, EgoFileError> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let header = lines.next().map_or("", |(_, line)| line);
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let is_pose = names == ["time_s", "x_m", "y_m", "z_m", "qw", "qx", "qy", "qz"];
    if !is_pose && names != ["time_s", "speed_mps"] && names != ["time_s", "speed_mps", "yaw_rate_radps"] {
        return Err(EgoFileError::Columns {
            path: path.to_owned(),
            found: header.to_owned(),
        });
    }
    let mut samples: Vec<EgoSample> = Vec::new();
    for (line, text) in lines {
        let values: Option<Vec<f64>> = text
            .split(',')
            .map(|field| field.trim().parse::<f64>().ok().filter(|value| value.is_finite()))
            .collect();
        let wrong = || EgoFileError::Line {
            path: path.to_owned(),
            line,
            expected: names.len(),
            found: text.to_owned(),
        };
        let values = values.filter(|values| values.len() == names.len()).ok_or_else(wrong)?;
        let motion = match values[..] {
            [_, x, y, z, qw, qx, qy, qz] => {
                let rotation = UnitQuaternion::try_new(Quaternion::new(qw, qx, qy, qz), 1e-6).ok_or_else(wrong)?;
                EgoMotion::Pose {
                    world_from_ego: Isometry3::from_parts(Translation3::new(x, y, z), rotation),
                }
            }
            [_, speed_mps, ref rest @ ..] => EgoMotion::Speed {
                speed_mps,
                yaw_rate_radps: rest.first().copied(),
            },
            _ => return Err(wrong()),
        };
        let time_s = values[0];
        if let Some(before) = samples.last().filter(|before| time_s <= before.time_s) {
            return Err(EgoFileError::Order {
                path: path.to_owned(),
                line,
                before_s: before.time_s,
                found_s: time_s,
            });
        }
        samples.push(EgoSample { time_s, motion });
    }
    Ok(samples)
}

/// The ego motion as told so far, with the offset of its clock.
#[derive(Clone, Debug, Default)]
pub(super) struct EgoTrack {
    samples: VecDeque<EgoSample>,
    /// What is added to stream time to get the sender's.
    offset_s: f64,
    /// Stream time and turning as seen in the pictures, radians per second.
    seen_rates: VecDeque<(f64, f64)>,
    since_search: usize,
}

/// What is told of a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub world_from_ego: Option<Isometry3<f64>>,
    pub speed_mps: Option<f64>,
    pub yaw_rate_radps: Option<f64>,
}

impl EgoTrack {
    /// Takes a sample; those that are not finite, or older than the newest, are passed over.
    pub fn push(&mut self, sample: &EgoSample) {
        if !sample.is_finite() || self.samples.back().is_some_and(|newest| sample.time_s <= newest.time_s) {
            return;
        }
        self.samples.push_back(*sample);
    }

    /// Forgets what is long past at a stream time; samples of the future stay.
    pub fn forget_before(&mut self, time_s: f64) {
        let oldest_s = time_s - KEPT_S;
        while self.samples.front().is_some_and(|sample| sample.time_s < oldest_s) {
            self.samples.pop_front();
        }
        while self.seen_rates.front().is_some_and(|(then_s, _)| *then_s < oldest_s) {
            self.seen_rates.pop_front();
        }
    }

    /// Offset of the sender's clock against stream time, seconds.
    pub fn offset_s(&self) -> f64 {
        self.offset_s
    }

    /// What is told of a stream time, interpolated.
    pub fn at(&self, stream_s: f64) -> Told {
        self.at_sender(stream_s + self.offset_s)
    }

    fn at_sender(&self, time_s: f64) -> Told {
        let after = self.samples.partition_point(|sample| sample.time_s <= time_s);
        let before = after.checked_sub(1).and_then(|index| self.samples.get(index));
        let (Some(before), after) = (before, self.samples.get(after)) else {
            return Told::default();
        };
        match after {
            Some(after) if after.time_s - before.time_s <= MAX_GAP_S => {
                between(before, after, (time_s - before.time_s) / (after.time_s - before.time_s))
            }
            _ if time_s - before.time_s <= MAX_AHEAD_S => {
                let earlier = self
                    .samples
                    .partition_point(|sample| sample.time_s < before.time_s)
                    .checked_sub(1)
                    .and_then(|index| self.samples.get(index))
                    .filter(|earlier| before.time_s - earlier.time_s <= MAX_GAP_S);
                match earlier {
                    Some(earlier) => between(
                        earlier,
                        before,
                        (time_s - earlier.time_s) / (before.time_s - earlier.time_s),
                    ),
                    None => between(before, before, 0.0),
                }
            }
            _ => Told::default(),
        }
    }

    /// Notes how fast the camera was seen to turn about the vertical, and now and then looks for the clock offset at which
    /// what is told fits best.
    pub fn note_turning(&mut self, stream_s: f64, yaw_rate_radps: f64) {
        if !yaw_rate_radps.is_finite() || self.samples.is_empty() {
            return;
        }
        self.seen_rates.push_back((stream_s, yaw_rate_radps));
        self.since_search += 1;
        if self.since_search >= 30 && self.seen_rates.len() >= MIN_RATES {
            self.since_search = 0;
            if let Some(offset_s) = self.search_offset() {
                self.offset_s = offset_s;
            }
        }
    }

    /// Turning to the left as told, radians per second, without the steps that the difference of two samples has.
    fn turning(&self, time_s: f64) -> Option<f64> {
        let (before, after) = (
            self.at_sender(time_s - TURNING_HALF_S),
            self.at_sender(time_s + TURNING_HALF_S),
        );
        match (before.world_from_ego, after.world_from_ego) {
            (Some(before), Some(after)) => {
                Some((before.rotation.inverse() * after.rotation).scaled_axis().z / (2.0 * TURNING_HALF_S))
            }
            _ => self.at_sender(time_s).yaw_rate_radps,
        }
    }

    fn search_offset(&self) -> Option<f64> {
        let count = self.seen_rates.len() as f64;
        let mean = self.seen_rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let spread = (self
            .seen_rates
            .iter()
            .map(|(_, rate)| (rate - mean).powi(2))
            .sum::<f64>()
            / count)
            .sqrt();
        if spread < MIN_SPREAD_RADPS {
            return None;
        }
        let steps = (MAX_OFFSET_S / OFFSET_STEP_S) as i32;
        let costs: Vec<Option<f64>> = (-steps..=steps)
            .map(|step| {
                let offset_s = f64::from(step) * OFFSET_STEP_S;
                let mut off: Vec<f64> = self
                    .seen_rates
                    .iter()
                    .filter_map(|(stream_s, seen)| Some((self.turning(stream_s + offset_s)? - seen).abs()))
                    .collect();
                if off.len() * 10 < self.seen_rates.len() * 7 {
                    return None;
                }
                // A mean without the worst tenth.
                off.sort_unstable_by(f64::total_cmp);
                let kept = &off[..off.len() * 9 / 10];
                Some(kept.iter().map(|off| off * off).sum::<f64>() / kept.len() as f64)
            })
            .collect();
        let (best, least) = costs
            .iter()
            .enumerate()
            .filter_map(|(index, cost)| Some((index, (*cost)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))?;
        // It must explain what is seen, or it says nothing.
        if least > (0.5 * spread).powi(2) {
            return None;
        }
        let at = |index: usize| costs.get(index).copied().flatten();
        let fraction = match (best.checked_sub(1).and_then(at), at(best + 1)) {
            (Some(left), Some(right)) if left + right - 2.0 * least > 0.0 => {
                0.5 * (left - right) / (left + right - 2.0 * least)
            }
            _ => 0.0,
        };
        Some((best as f64 - f64::from(steps) + fraction) * OFFSET_STEP_S)
    }
}

/// Standard deviation of a told speed, metres per second.
pub(super) fn speed_sigma_mps(speed_mps: f64) -> f64 {
    SPEED_SIGMA.0.hypot(SPEED_SIGMA.1 * speed_mps)
}

/// Standard deviations of a told pose: metres, radians.
pub(super) fn pose_sigma() -> (f64, f64) {
    POSE_SIGMA
}

fn between(before: &EgoSample, after: &EgoSample, share: f64) -> Told {
    match (&before.motion, &after.motion) {
        (EgoMotion::Pose { world_from_ego: a }, EgoMotion::Pose { world_from_ego: b }) => {
            let turn = (a.rotation.inverse() * b.rotation).scaled_axis();
            let rotation = a.rotation * UnitQuaternion::from_scaled_axis(turn * share);
            let shift: Vector3<f64> = b.translation.vector - a.translation.vector;
            let dt = after.time_s - before.time_s;
            Told {
                world_from_ego: Some(Isometry3::from_parts(
                    Translation3::from(a.translation.vector + shift * share),
                    rotation,
                )),
                speed_mps: (dt > 0.0).then(|| (rotation.inverse() * shift).x / dt),
                yaw_rate_radps: (dt > 0.0).then(|| turn.z / dt),
            }
        }
        (
            EgoMotion::Speed {
                speed_mps: a,
                yaw_rate_radps: yaw_a,
            },
            EgoMotion::Speed {
                speed_mps: b,
                yaw_rate_radps: yaw_b,
            },
        ) => Told {
            world_from_ego: None,
            speed_mps: Some(a + (b - a) * share),
            yaw_rate_radps: yaw_a.zip(*yaw_b).map(|(a, b)| a + (b - a) * share),
        },
        _ => Told::default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn files_are_read_and_wrong_ones_are_refused_with_the_line() {
        let path = Path::new("ego.csv");
        let speeds = parse_ego("time_s,speed_mps\n0.0,3.5\n# a comment\n0.1,3.6\n", path).unwrap();
        assert_eq!(speeds.len(), 2);
        let poses = parse_ego("time_s,x_m,y_m,z_m,qw,qx,qy,qz\n1,2,3,4,2,0,0,0\n", path).unwrap();
        assert_eq!(
            poses[0].motion,
            EgoMotion::Pose {
                world_from_ego: Isometry3::translation(2.0, 3.0, 4.0)
            }
        );
        let message = |text: &str| parse_ego(text, path).unwrap_err().to_string();
        assert!(message("").contains("found ``"));
        assert!(message("t,v\n").contains("`t,v`"));
        assert!(message("time_s,speed_mps\n0,NaN\n").contains("line 2: expected 2 finite numbers"));
        assert!(message("time_s,speed_mps\n0,1,2\n").contains("line 2"));
        assert!(message("time_s,speed_mps\n1,1\n0,1\n").contains("line 3: expected a time after 1 s"));
        assert!(message("time_s,x_m,y_m,z_m,qw,qx,qy,qz\n1,2,3,4,0,0,0,0\n").contains("line 2"));
    }

    #[test]
    fn the_clock_offset_is_found_from_turning() {
        for offset_s in [-0.23, 0.0, 0.117] {
            let yaw_rate = |t: f64| 0.2 * (0.9 * t).sin() + 0.1 * (2.3 * t + 1.0).sin();
            let mut track = EgoTrack::default();
            for index in 0..300 {
                let time_s = f64::from(index) * 0.05;
                track.push(&EgoSample {
                    time_s,
                    motion: EgoMotion::Speed {
                        speed_mps: 8.0,
                        yaw_rate_radps: Some(yaw_rate(time_s - offset_s)),
                    },
                });
            }
            for index in 0..400 {
                let stream_s = 0.6 + f64::from(index) / 30.0;
                track.note_turning(stream_s, yaw_rate(stream_s) + 0.005 * f64::from(index % 5 - 2));
            }
            assert!(
                (track.offset_s() - offset_s).abs() < 0.01,
                "{} for {offset_s}",
                track.offset_s()
            );
        }
    }

    #[test]
    fn the_clock_offset_is_found_between_coarse_poses() {
        let yaw = |t: f64| 0.3 * (0.9 * t).sin() + 0.1 * (2.3 * t).sin();
        let offset_s = 0.117;
        let mut track = EgoTrack::default();
        for index in 0..300 {
            let time_s = f64::from(index) * 0.05;
            let turn = Vector3::z() * yaw(time_s - offset_s);
            track.push(&EgoSample {
                time_s,
                motion: EgoMotion::Pose {
                    world_from_ego: Isometry3::new(Vector3::zeros(), turn),
                },
            });
        }
        for index in 0..260 {
            let stream_s = 0.6 + f64::from(index) / 20.0;
            track.note_turning(stream_s, (yaw(stream_s + 0.025) - yaw(stream_s - 0.025)) / 0.05);
        }
        assert!((track.offset_s() - offset_s).abs() < 0.01, "{}", track.offset_s());
    }

    #[test]
    fn poses_are_interpolated_but_not_over_gaps() {
        let mut track = EgoTrack::default();
        for time_s in [0.0, 0.1, 5.0] {
            track.push(&EgoSample {
                time_s,
                motion: EgoMotion::Pose {
                    world_from_ego: Isometry3::translation(10.0 * time_s, 0.0, 0.0),
                },
            });
        }
        let x = |time_s: f64| track.at(time_s).world_from_ego.map(|pose| pose.translation.x);
        assert!((x(0.05).unwrap() - 0.5).abs() < 1e-9);
        assert!((x(0.2).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(x(1.0), None);
        assert_eq!(x(-1.0), None);
    }
}

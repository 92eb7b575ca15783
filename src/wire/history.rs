//! The `history` query: stored trajectories of a span of time, at a step that keeps the reply short enough.

use thiserror::Error;

use super::proto;
use crate::kinematics::{Sample, Trajectory};
use crate::motion::{SharedTrajectories, StoredTrajectory};

/// Time between samples when the query says nothing: the step of STKit's trajectories of record.
pub const DEFAULT_STEP_S: f64 = crate::kinematics::RECORD_STEP_S;

/// Shortest step; 0 stands for the samples as stored.
const MIN_STEP_S: f64 = 0.01;

/// Most samples in a reply: about 10 MB of JSON.
const MAX_SAMPLES: usize = 20_000;

/// What a query on `history` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryQuery {
    /// Start, stream time in seconds; below zero: before the newest frame. `None`: everything stored.
    pub since_s: Option<f64>,
    /// End, likewise; `None`: now.
    pub until_s: Option<f64>,
    /// Only these objects; empty: all.
    pub ids: Vec<u64>,
    /// Time between samples; 0: as stored.
    pub step_s: f64,
}

/// Why a query on `history` is not understood.
#[derive(Debug, Error, PartialEq)]
pub enum HistoryError {
    /// A value that is not what the parameter takes.
    #[error("{name}: expected {expected}, found {found:?}")]
    Value {
        /// The parameter.
        name: String,
        /// What it takes.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A parameter that there is not.
    #[error("unknown parameter {0:?}; known are since, until, id, step, encoding")]
    Unknown(String),
    /// The span ends before it starts.
    #[error("expected since before until, found {since_s} to {until_s}")]
    Span {
        /// Start, stream time.
        since_s: f64,
        /// End, stream time.
        until_s: f64,
    },
}

impl HistoryQuery {
    /// Reads the selector's parameters, e.g. `since=-10;id=3,4`. Those that start with `_` are zenoh's own; `encoding` is
    /// the session's.
    pub fn parse<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, HistoryError> {
        let mut query = Self {
            since_s: None,
            until_s: None,
            ids: Vec::new(),
            step_s: DEFAULT_STEP_S,
        };
        for (name, value) in parameters {
            match name {
                "since" => query.since_s = Some(seconds(name, value)?),
                "until" => query.until_s = Some(seconds(name, value)?),
                "step" => {
                    let step_s = seconds(name, value)?;
                    if step_s != 0.0 && step_s < MIN_STEP_S {
                        return Err(HistoryError::Value {
                            name: name.to_owned(),
                            expected: "0 (as stored) or at least 0.01 seconds",
                            found: value.to_owned(),
                        });
                    }
                    query.step_s = step_s;
                }
                "id" => {
                    for id in value.split([',', '|']).filter(|id| !id.is_empty()) {
                        query.ids.push(id.trim().parse().map_err(|_| HistoryError::Value {
                            name: name.to_owned(),
                            expected: "ids of objects, such as 3 or 3,4",
                            found: value.to_owned(),
                        })?);
                    }
                }
                "encoding" => {}
                _ if name.is_empty() || name.starts_with('_') => {}
                _ => return Err(HistoryError::Unknown(name.to_owned())),
            }
        }
        Ok(query)
    }
}

fn seconds(name: &str, value: &str) -> Result<f64, HistoryError> {
    let number: Option<f64> = value.trim().parse().ok();
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| HistoryError::Value {
            name: name.to_owned(),
            expected: "a number of seconds",
            found: value.to_owned(),
        })
}

/// The trajectories that `query` asks for, without a header; `now_s` is the stream time of the newest frame.
///
/// When the reply would hold more than 20,000 samples the step grows (and the reply says it); what is still too long is
/// left out whole, oldest identities first, and counted.
pub fn history(
    trajectories: &SharedTrajectories,
    query: &HistoryQuery,
    now_s: f64,
) -> Result<proto::History, HistoryError> {
    let absolute = |time_s: f64| if time_s < 0.0 { now_s + time_s } else { time_s };
    let (ids, oldest_s, history_s) = trajectories.read(|store| {
        let wanted = |id: &u64| query.ids.is_empty() || query.ids.contains(id);
        let ids: Vec<u64> = store.iter().map(|stored| stored.track_id).filter(wanted).collect();
        let oldest_s = store
            .iter()
            .filter_map(|stored| {
                [stored.settled.start_s(), stored.live.start_s()]
                    .into_iter()
                    .flatten()
                    .reduce(f64::min)
            })
            .reduce(f64::min);
        (ids, oldest_s, store.history_s())
    });
    let stored_since_s = oldest_s.unwrap_or(now_s - history_s).min(now_s);
    let since_s = query.since_s.map_or(stored_since_s, absolute);
    let until_s = query.until_s.map_or(now_s, absolute);
    if since_s > until_s {
        return Err(HistoryError::Span { since_s, until_s });
    }

    let mut step_s = query.step_s;
    let mut objects = collect(trajectories, &ids, since_s, until_s, step_s);
    if samples(&objects) > MAX_SAMPLES {
        let per_object = (MAX_SAMPLES / ids.len().max(1)).max(2) as f64;
        step_s = step_s.max((until_s - since_s) / (per_object - 1.0)).max(MIN_STEP_S);
        objects = collect(trajectories, &ids, since_s, until_s, step_s);
    }
    let mut left_out = 0;
    while samples(&objects) > MAX_SAMPLES && !objects.is_empty() {
        objects.remove(0);
        left_out += 1;
    }
    Ok(proto::History {
        header: None,
        window: Some(proto::TimeRange {
            start_s: since_s,
            end_s: until_s,
        }),
        step_s,
        objects,
        objects_left_out: left_out,
    })
}

fn samples(objects: &[proto::ObjectTrajectory]) -> usize {
    objects
        .iter()
        .map(|object| object.settled.len() + object.live.len())
        .sum()
}

/// One object at a time, so that the motion stage never waits for more than one to be copied.
fn collect(
    trajectories: &SharedTrajectories,
    ids: &[u64],
    since_s: f64,
    until_s: f64,
    step_s: f64,
) -> Vec<proto::ObjectTrajectory> {
    ids.iter()
        .filter_map(|id| {
            trajectories.read(|store| store.get(*id).map(|stored| object(stored, since_s, until_s, step_s)))
        })
        .filter(|object| !object.settled.is_empty() || !object.live.is_empty())
        .collect()
}

fn object(stored: &StoredTrajectory, since_s: f64, until_s: f64, step_s: f64) -> proto::ObjectTrajectory {
    let settled = span(&stored.settled, since_s, until_s, step_s, false);
    let settled_until = stored.settled.end_s().map_or(since_s, |end_s| end_s.max(since_s));
    let live = span(&stored.live, settled_until, until_s, step_s, !settled.is_empty());
    let path_length_m = stored
        .settled
        .overlap(since_s, until_s)
        .and_then(|(start_s, end_s)| stored.settled.path_length_m(start_s, end_s));
    let reason = stored.reliability.reason().map_or("", |reason| reason.as_str());
    proto::ObjectTrajectory {
        id: stored.track_id,
        class_name: stored.class.as_str().to_owned(),
        settled,
        live,
        path_length_m,
        reliable: stored.reliability.is_reliable(),
        unreliable_reason: reason.to_owned(),
    }
}

/// Samples in [since, until], or after `since` where `exclusive`.
fn span(
    trajectory: &Trajectory,
    since_s: f64,
    until_s: f64,
    step_s: f64,
    exclusive: bool,
) -> Vec<proto::TrajectorySample> {
    let inside = |sample: &Sample| {
        sample.time_s <= until_s && (sample.time_s > since_s || (!exclusive && sample.time_s == since_s))
    };
    if step_s == 0.0 {
        return trajectory.samples().filter(|s| inside(s)).map(sample).collect();
    }
    let Some((start_s, end_s)) = trajectory.overlap(since_s, until_s) else {
        return Vec::new();
    };
    let resampled = trajectory.resampled(start_s, end_s, step_s);
    resampled.iter().filter(|s| inside(s)).map(sample).collect()
}

fn sample(sample: &Sample) -> proto::TrajectorySample {
    let sigma = |covariance: &nalgebra::Matrix3<f64>| proto::Vector3 {
        x: covariance[(0, 0)].max(0.0).sqrt(),
        y: covariance[(1, 1)].max(0.0).sqrt(),
        z: covariance[(2, 2)].max(0.0).sqrt(),
    };
    proto::TrajectorySample {
        time_s: sample.time_s,
        position_in_world_m: Some(proto::Vector3 {
            x: sample.position_in_world.x,
            y: sample.position_in_world.y,
            z: sample.position_in_world.z,
        }),
        velocity_in_world_mps: Some(proto::Vector3 {
            x: sample.velocity_in_world_mps.x,
            y: sample.velocity_in_world_mps.y,
            z: sample.velocity_in_world_mps.z,
        }),
        position_sigma_m: Some(sigma(&sample.position_covariance)),
        velocity_sigma_mps: Some(sigma(&sample.velocity_covariance)),
        standing: sample.standing,
        reliable: sample.reliable,
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::{Matrix3, Point3, Vector3};

    use super::*;
    use crate::detection::ClassLabel;
    use crate::motion::TrajectoryStore;

    /// Objects that drive along x at 1 m/s from 0 s to 10 s, at 10 samples a second; settled ends at 9 s.
    fn stored(objects: u64) -> SharedTrajectories {
        let mut store = TrajectoryStore::new(60.0, 10_000);
        for id in 1..=objects {
            let object = store.entry(id, ClassLabel::new("car"));
            for step in 0..=100 {
                let time_s = f64::from(step) * 0.1;
                let sample = Sample {
                    time_s,
                    position_in_world: Point3::new(time_s, 0.0, 0.0),
                    velocity_in_world_mps: Vector3::x(),
                    position_covariance: Matrix3::identity() * 0.04,
                    velocity_covariance: Matrix3::identity() * 0.01,
                    standing: false,
                    reliable: true,
                };
                object.live.push(sample).unwrap();
                if step <= 90 {
                    object.settled.push(sample).unwrap();
                }
            }
        }
        SharedTrajectories::new(store)
    }

    fn parse(parameters: &[(&'static str, &'static str)]) -> Result<HistoryQuery, HistoryError> {
        HistoryQuery::parse(parameters.iter().copied())
    }

    #[test]
    fn a_span_relative_to_now_of_one_object() {
        let query = parse(&[("since", "-4"), ("id", "2")]).unwrap();
        let reply = history(&stored(3), &query, 10.0).unwrap();
        assert_eq!(
            reply.window,
            Some(proto::TimeRange {
                start_s: 6.0,
                end_s: 10.0
            })
        );
        assert_eq!(reply.objects.len(), 1);
        let object = &reply.objects[0];
        assert_eq!(object.id, 2);
        assert!((object.path_length_m.unwrap() - 3.0).abs() < 1e-9);
        let times: Vec<f64> = object.settled.iter().map(|s| s.time_s).collect();
        assert_eq!(times.first().copied(), Some(6.0));
        assert!(
            times.windows(2).all(|pair| (pair[1] - pair[0] - 0.5).abs() < 1e-9),
            "{times:?}"
        );
        assert!(object.live.iter().all(|s| s.time_s > 9.0 && s.time_s <= 10.0));
        assert!((object.settled[0].position_sigma_m.unwrap().x - 0.2).abs() < 1e-9);
    }

    #[test]
    fn step_zero_gives_the_samples_as_stored() {
        let query = parse(&[("since", "0"), ("until", "1"), ("step", "0")]).unwrap();
        let reply = history(&stored(1), &query, 10.0).unwrap();
        assert_eq!(reply.objects[0].settled.len(), 11);
        assert!(reply.objects[0].live.is_empty());
    }

    #[test]
    fn too_long_a_reply_gets_a_longer_step_and_says_so() {
        let query = parse(&[("step", "0")]).unwrap();
        let reply = history(&stored(400), &query, 10.0).unwrap();
        assert!(reply.step_s > 0.0);
        assert!(samples(&reply.objects) <= MAX_SAMPLES);
        assert_eq!(reply.objects.len() + reply.objects_left_out as usize, 400);
    }

    #[test]
    fn what_is_not_understood_says_what_was_expected() {
        let error = |parameters| parse(parameters).unwrap_err().to_string();
        assert_eq!(
            error(&[("since", "soon")]),
            "since: expected a number of seconds, found \"soon\""
        );
        assert!(error(&[("step", "-1")]).contains("at least 0.01"));
        assert!(error(&[("id", "car")]).contains("ids of objects"));
        assert!(error(&[("untill", "3")]).contains("known are since"));
        assert!(parse(&[("_time", "[now(-1s)..]")]).is_ok());
        let backwards = parse(&[("since", "5"), ("until", "3")]).unwrap();
        assert!(history(&stored(1), &backwards, 10.0).is_err());
    }
}

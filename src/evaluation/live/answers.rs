//! Answers by the STKit protocol: questions drawn from the true trajectories, answered from the settled ones.
//!
//! The truth of a clip becomes a [`Recording`] in which every pair of an actor and a track that followed it is an object,
//! visible while that track covers it: so the builder's rules choose the windows that a tracked object can be asked about,
//! by the same definitions, gates and balance as for any data set. A question is then put in words, and answered from the
//! stored trajectory of the track alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use nalgebra::{Isometry3, UnitQuaternion, Vector3};

use super::clip::Clip;
use super::matching::{MatchedFrame, is_asked_for};
use super::report::{AnswerScores, AnswersReport, TaskAnswers};
use super::small_model::SmallModel;
use crate::datasets::{
    CameraTrack, DataSource, Domain, LabelSource, LabelledBox, ObjectKind, ObjectSample, ObjectTrack, Recording,
    TimedPose,
};
use crate::motion::TrajectoryStore;
use crate::sim::{ActorClass, Scene};
use crate::stkit::benchmark::{Scorer, answer_from};
use crate::stkit::builder::{Built, build_records};
use crate::stkit::{Record, RecordObject, Task, TrackId};

/// Decides which questions are drawn.
const SEED: u64 = 1;
/// Questions of each task, as in STKit-Bench.
const PER_TASK: usize = 200;
/// A trajectory is handed over with so much more at both ends than the window, seconds: a frame or so.
pub(super) const MARGIN_S: f64 = 0.1;

const NOTE: &str = "the STKit-Bench protocol on simulated scenes, never STKit-Bench; labels from true trajectories, \
                    answers from settled ones";

/// Gathers clips, and asks when all are there.
#[derive(Debug)]
pub(super) struct AnswerScorer {
    per_task: usize,
    clips: Vec<Gathered>,
    /// Truth of what is followed, and of all that is visible.
    followed: Vec<Recording>,
    visible: Vec<Recording>,
}

#[derive(Debug)]
pub(super) struct Gathered {
    scene: Scene,
    pub(super) store: TrajectoryStore,
    /// Stream time of the recordings' first label, seconds.
    first_s: f64,
    /// The camera by stream time, in the world of the trajectories.
    pub(super) poses: Vec<(f64, Isometry3<f64>)>,
}

impl Default for AnswerScorer {
    fn default() -> Self {
        Self::new(PER_TASK)
    }
}

impl AnswerScorer {
    pub fn new(per_task: usize) -> Self {
        Self {
            per_task,
            clips: Vec::new(),
            followed: Vec::new(),
            visible: Vec::new(),
        }
    }

    pub fn add(&mut self, clip: &Clip, frames: &[MatchedFrame<'_>]) {
        let (Some(store), Some(first)) = (&clip.trajectories, frames.first()) else {
            return;
        };
        self.clips.push(Gathered {
            scene: clip.scene,
            store: store.clone(),
            first_s: first.truth.time_s,
            poses: frames
                .iter()
                .filter_map(|frame| Some((frame.seen.time_s, frame.seen.world_from_camera?)))
                .collect(),
        });
        self.followed.push(recording(clip, frames, true));
        self.visible.push(recording(clip, frames, false));
    }

    pub fn report(&self) -> AnswersReport {
        let built = build_records(&self.followed, self.per_task, SEED);
        let mut scenes: BTreeMap<&'static str, Scorer> = BTreeMap::new();
        let mut pooled = Scorer::default();
        let mut small_model = SmallModel::builtin();
        let mut asked = Vec::with_capacity(built.records.len());
        for (index, record) in &built.records {
            let Some(clip) = self.clips.get(*index) else { continue };
            let start_s = clip.first_s + record.quality.provenance.start_s;
            let answer = answer(record, &clip.store, start_s);
            if let Some(model) = &mut small_model {
                model.ask(record, clip, start_s);
            }
            scenes.entry(clip.scene.name()).or_default().add(record, Some(&answer));
            pooled.add(record, Some(&answer));
            asked.push((record.clone(), answer));
        }
        let windows = |built: &Built| -> u64 {
            let tasks = built.tasks.iter().filter(|task| task.task == Task::TraveledDistance);
            tasks.flat_map(|task| &task.bins).map(|bin| bin.before).sum()
        };
        let visible = windows(&build_records(&self.visible, 1, SEED));
        AnswersReport {
            note: NOTE,
            followed: (visible > 0).then(|| windows(&built) as f64 / visible as f64),
            scenes: scenes.iter().map(|(name, scorer)| (*name, scores(scorer))).collect(),
            pooled: scores(&pooled),
            small_model: small_model.map(|model| scores(model.scorer())),
            asked,
        }
    }
}

fn scores(scorer: &Scorer) -> AnswerScores {
    let scores = scorer.scores();
    let of_task = scores.tasks.iter().map(|task| {
        let answers = TaskAnswers {
            scores: *task,
            answered: task.parsed as f64 / task.n.max(1) as f64,
        };
        (task.task.code(), answers)
    });
    AnswerScores {
        tasks: of_task.collect(),
        average: scores.average,
        answered: scores.parse_rate,
    }
}

/// The answer of the engine, from the trajectory of the track that each object stands for.
fn answer(record: &Record, store: &TrajectoryStore, start_s: f64) -> String {
    let end_s = start_s + record.duration_s();
    answer_from(record, |object: &RecordObject| {
        let stored = store.get(track_of(object)?)?;
        Some(stored.settled.between(start_s - MARGIN_S, end_s + MARGIN_S, -start_s))
    })
}

/// Name of the object that stands for an actor while a track follows it.
fn object_name(actor: u16, track: u64) -> String {
    format!("actor {actor} track {track}")
}

pub(super) fn track_of(object: &RecordObject) -> Option<u64> {
    match &object.track_id {
        TrackId::Number(_) => None,
        TrackId::Token(name) => name.rsplit(' ').next()?.parse().ok(),
    }
}

/// The truth of a clip. With `followed` an object is an actor while one track follows it, otherwise while it is big and
/// visible enough.
fn recording(clip: &Clip, frames: &[MatchedFrame<'_>], followed: bool) -> Recording {
    let first_s = frames.first().map_or(0.0, |frame| frame.truth.time_s);
    let mut tracks_of: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
    for frame in frames {
        for &(actor, track) in &frame.pairs {
            let (actor, track) = (frame.truth.actors[actor].id, frame.seen.tracks[track].0);
            let tracks = tracks_of.entry(actor).or_default();
            if !tracks.contains(&track) {
                tracks.push(track);
            }
        }
    }
    let poses = frames.iter().map(|frame| TimedPose {
        time_s: frame.truth.time_s - first_s,
        world_from_body: frame.truth.world_from_camera,
    });
    let camera = CameraTrack {
        name: "camera".to_owned(),
        camera: Arc::clone(&clip.camera),
        poses: poses.collect(),
        pictures: Vec::new(),
    };
    let mut objects: BTreeMap<String, ObjectTrack> = BTreeMap::new();
    for frame in frames {
        for (index, actor) in frame.truth.actors.iter().enumerate() {
            if actor.class == ActorClass::Ball {
                continue;
            }
            let pair = frame.pairs.iter().find(|pair| pair.0 == index);
            let following = pair.map(|(_, track)| frame.seen.tracks[*track].0);
            let cuboid = ObjectSample {
                time_s: frame.truth.time_s - first_s,
                center_in_world: actor.center_in_world,
                world_from_object: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), actor.yaw_rad),
                size_m: Some(actor.size_m),
                seen: is_asked_for(actor),
                labelled_box: None,
            };
            let truncation = match actor.truncated {
                true => camera.appearance(&cuboid).map_or(1.0, |whole| whole.truncation),
                false => 0.0,
            };
            let sample = |seen: bool| ObjectSample {
                seen: seen && cuboid.seen,
                labelled_box: Some(LabelledBox {
                    bbox: actor.bbox,
                    truncation,
                    occlusion: 0,
                }),
                ..cuboid
            };
            let mut push = |name: String, seen: bool| {
                let id = objects.len() as u64;
                let object = objects.entry(name.clone()).or_insert_with(|| ObjectTrack {
                    id,
                    name,
                    class: actor.class.label(),
                    kind: kind(actor.class),
                    samples: Vec::new(),
                });
                object.samples.push(sample(seen));
            };
            if followed {
                for track in tracks_of.get(&actor.id).into_iter().flatten() {
                    push(object_name(actor.id, *track), following == Some(*track));
                }
            } else {
                push(actor.id.to_string(), true);
            }
        }
    }
    Recording {
        name: format!("{} {}", clip.scene.name(), clip.seed),
        source: DataSource::Sim,
        label_source: LabelSource::Sim,
        domain: if clip.scene == Scene::Court {
            Domain::Sports
        } else {
            Domain::General
        },
        label_times_s: frames.iter().map(|frame| frame.truth.time_s - first_s).collect(),
        ego: Vec::new(),
        cameras: vec![camera],
        objects: objects.into_values().collect(),
    }
}

fn kind(class: ActorClass) -> ObjectKind {
    match class {
        ActorClass::Person => ObjectKind::Pedestrian,
        ActorClass::Bicycle | ActorClass::Motorcycle => ObjectKind::OtherMoving,
        ActorClass::Ball => ObjectKind::Still,
        ActorClass::Car | ActorClass::Truck | ActorClass::Bus => ObjectKind::Vehicle,
    }
}

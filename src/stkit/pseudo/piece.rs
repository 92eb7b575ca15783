//! A piece of a stream: the trajectories that pass the filters as a recording, and the questions drawn from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nalgebra::UnitQuaternion;
use serde::{Deserialize, Serialize};

use super::filters::{Examined, Limits, Rejection};
use super::judge::{PieceJudge, relative_half_width};
use super::observer::{Gathered, Note, ObserverSettings};
use crate::camera::Camera;
use crate::datasets::{
    CameraTrack, DataSource, Domain, LabelSource, LabelledBox, ObjectKind, ObjectSample, ObjectTrack, Recording,
    TimedPose,
};
use crate::detection::ClassLabel;
use crate::kinematics::{Trajectory, traveled_distance_m};
use crate::stkit::builder::{Built, draw_records, share_out};
use crate::stkit::{Record, Task};

/// What the filters say of one trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The tracker's identity.
    pub track_id: u64,
    /// What it is.
    pub class: ClassLabel,
    /// When it was seen whole, seconds from the piece's first frame.
    pub span_s: (f64, f64),
    /// Distance travelled over that, metres.
    pub distance_m: f64,
    /// Half its 95 % interval, relative to it.
    pub relative_half_width: f64,
    /// Why it gives no labels, if it does not.
    pub rejection: Option<Rejection>,
}

/// A piece of a stream.
#[derive(Debug)]
pub struct Piece {
    /// Those trajectories that give labels, in seconds from the piece's first frame.
    pub recording: Recording,
    /// Stream time of the piece's first frame, seconds.
    pub start_s: f64,
    /// All trajectories, whether they give labels or not.
    pub verdicts: Vec<Verdict>,
    settled: Vec<Trajectory>,
    limits: Limits,
}

impl Piece {
    pub(super) fn new(
        name: &str,
        gathered: &Gathered,
        mut settled: BTreeMap<u64, Trajectory>,
        settings: &ObserverSettings,
    ) -> Option<Self> {
        let (start_s, camera) = (*gathered.times_s.first()?, gathered.camera.as_ref()?);
        let mut piece = Self {
            recording: recording(name, gathered, start_s, camera),
            start_s,
            verdicts: Vec::new(),
            settled: Vec::new(),
            limits: settings.limits,
        };
        for (track_id, notes) in &gathered.notes {
            let Some(settled) = settled.remove(track_id) else {
                continue;
            };
            piece.add(*track_id, notes, settled, settings);
        }
        Some(piece)
    }

    fn add(&mut self, track_id: u64, notes: &[Note], settled: Trajectory, settings: &ObserverSettings) {
        let whole = |note: &Note| note.confidence.is_some() && !note.cut;
        let (Some(first), Some(last)) = (notes.iter().position(whole), notes.iter().rposition(whole)) else {
            return;
        };
        let (Some(notes), Some(class)) = (notes.get(first..=last), notes.last().map(|note| note.class)) else {
            return;
        };
        let known = settled.start_s().zip(settled.end_s());
        let seen = notes.first().zip(notes.last());
        let (Some((known_start_s, known_end_s)), Some((first, last))) = (known, seen) else {
            return;
        };
        let span_s = (
            (first.time_s - self.start_s).max(known_start_s),
            (last.time_s - self.start_s).min(known_end_s),
        );
        let settled = settled.between(span_s.0, span_s.1, 0.0);
        let Ok(traveled) = traveled_distance_m(&settled, span_s.0, span_s.1) else {
            return;
        };
        let examined = Examined {
            class,
            notes,
            settled: &settled,
        };
        let rejection = examined.rejection(&settings.limits, &settings.priors);
        self.verdicts.push(Verdict {
            track_id,
            class,
            span_s,
            distance_m: traveled.value,
            relative_half_width: relative_half_width(&traveled),
            rejection,
        });
        if rejection.is_some() {
            return;
        }
        let times_s: Vec<f64> = notes.iter().map(|note| note.time_s - self.start_s).collect();
        // What is said of a record's movement must be what its positions show.
        let centers = settled.moved_through(&times_s);
        let samples = notes
            .iter()
            .zip(times_s)
            .zip(centers)
            .filter_map(|((note, time_s), center)| {
                Some(ObjectSample {
                    time_s,
                    center_in_world: center?,
                    world_from_object: UnitQuaternion::identity(),
                    size_m: None,
                    seen: whole(note),
                    labelled_box: Some(LabelledBox {
                        bbox: note.bbox,
                        truncation: 0.0,
                        occlusion: 0,
                    }),
                })
            });
        self.recording.objects.push(ObjectTrack {
            id: track_id,
            name: track_id.to_string(),
            class,
            kind: match ObjectKind::of(class) {
                // Any class may be followed; whether it moves is seen.
                ObjectKind::Still => ObjectKind::OtherMoving,
                kind => kind,
            },
            samples: samples.collect(),
        });
        self.settled.push(settled);
    }

    /// Questions with their bins, at most `per_bin` of each bin of labels, and how many the third filter refused.
    pub fn records(&self, per_bin: usize, seed: u64) -> (Vec<PseudoRecord>, BTreeMap<(Task, &'static str), u64>) {
        let judge = PieceJudge::new(&self.limits, &self.settled);
        let Built {
            records, bins, refused, ..
        } = draw_records(&self.recording, per_bin, seed, &judge);
        let records = records
            .into_iter()
            .zip(bins)
            .map(|((_, record), bin)| PseudoRecord { bin, record });
        (records.collect(), refused)
    }
}

/// A record with the number of its label's bin, to be balanced with those of other videos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PseudoRecord {
    /// The bin.
    pub bin: u8,
    /// The record.
    pub record: Record,
}

/// Which of the questions whose tasks and bins are given are taken, so that the labels of each task are balanced, with at
/// most `per_task` of each.
pub fn balanced(found: &[(Task, u8)], per_task: usize) -> Vec<bool> {
    share_out(found, per_task)
}

fn recording(name: &str, gathered: &Gathered, start_s: f64, camera: &Arc<Camera>) -> Recording {
    let poses = gathered.times_s.iter().zip(&gathered.poses);
    Recording {
        name: name.to_owned(),
        source: DataSource::Video,
        label_source: LabelSource::Pseudo,
        domain: Domain::General,
        label_times_s: gathered.times_s.iter().map(|time_s| time_s - start_s).collect(),
        ego: Vec::new(),
        cameras: vec![CameraTrack {
            name: "camera".to_owned(),
            camera: Arc::clone(camera),
            poses: poses
                .map(|(time_s, pose)| TimedPose {
                    time_s: time_s - start_s,
                    world_from_body: *pose,
                })
                .collect(),
            pictures: Vec::new(),
        }],
        objects: Vec::new(),
    }
}

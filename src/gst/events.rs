//! The custom events that our elements send one another, as Rust types over their GStreamer structures.
//!
//! Programs in other languages may send and read them too: all fields are plain strings and numbers.

use std::sync::Arc;

use ::gst::prelude::*;
use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};

use crate::detection::{BoundingBox, ClassLabel};
use crate::frame::NANOS_PER_SECOND;
use crate::reconstruction::{EgoMoment, EgoMotion, EgoSample, MovableRegion};
use crate::stkit::{Answer, Question};

const ANSWERS: &str = "kinestream-answers";
const ASK: &str = "kinestream-ask";
const SOURCE_STATE: &str = "kinestream-source-state";
const MODEL: &str = "kinestream-model";
const MOVABLE: &str = "kinestream-movable";
const EGO: &str = "kinestream-ego";

/// Upstream: a question about the stream, from `kinepublish` (or an application) to `kinevlm`. The answer comes down the
/// pipeline with `question_id` equal to `id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Comes back as the answer's `question_id`.
    pub id: String,
    /// The question in words; may be empty when `question` is given.
    pub text: String,
    /// The question as understood by the sender; `None` leaves the understanding to the receiver.
    pub question: Option<Question>,
}

impl Ask {
    /// The event that carries the question upstream.
    pub fn to_event(&self) -> ::gst::Event {
        let mut fields = ::gst::Structure::builder(ASK)
            .field("id", &self.id)
            .field("text", &self.text);
        if let Some(question) = self.question.as_ref().and_then(|q| serde_json::to_string(q).ok()) {
            fields = fields.field("question", question);
        }
        ::gst::event::CustomUpstream::new(fields.build())
    }

    /// The question in `event`; `None` when the event is another one. A `question` field that is not valid JSON of a
    /// [`Question`] is left to the receiver's reading of `text`.
    pub fn from_event(event: &::gst::EventRef) -> Option<Self> {
        let fields = event.structure().filter(|fields| fields.name() == ASK)?;
        Some(Self {
            id: fields.get("id").unwrap_or_default(),
            text: fields.get("text").unwrap_or_default(),
            question: fields
                .get::<String>("question")
                .ok()
                .and_then(|json| serde_json::from_str(&json).ok()),
        })
    }
}

/// Downstream: answers that no frame carries, from `kinevlm`: out of band while no frames come (a camera that stalls), and
/// in order before the end of the stream. All others travel in the frames' results.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers(pub Vec<Arc<Answer>>);

impl Answers {
    /// The event, in order with the frames or (out of band) past full queues.
    pub fn to_event(&self, out_of_band: bool) -> ::gst::Event {
        let json = serde_json::to_string(&self.0).unwrap_or_else(|_| "[]".to_owned());
        let fields = ::gst::Structure::builder(ANSWERS).field("answers", json).build();
        if out_of_band {
            ::gst::event::CustomDownstreamOob::new(fields)
        } else {
            ::gst::event::CustomDownstream::new(fields)
        }
    }

    /// The answers in `event`; `None` when the event is another one, or does not hold valid JSON of answers.
    pub fn from_event(event: &::gst::EventRef) -> Option<Self> {
        let fields = event.structure().filter(|fields| fields.name() == ANSWERS)?;
        serde_json::from_str(fields.get::<&str>("answers").ok()?).ok().map(Self)
    }
}

/// What a camera does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceStatus {
    /// The first connection is being made.
    Connecting,
    /// Frames arrive.
    Playing,
    /// Frames stopped arriving.
    Stalled,
    /// The connection was given up; waiting or trying again.
    Retrying,
    /// The stream is over.
    Ended,
}

impl SourceStatus {
    const ALL: [Self; 5] = [
        Self::Connecting,
        Self::Playing,
        Self::Stalled,
        Self::Retrying,
        Self::Ended,
    ];

    /// The status as it stands in events and messages, e.g. `stalled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Playing => "playing",
            Self::Stalled => "stalled",
            Self::Retrying => "retrying",
            Self::Ended => "ended",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Downstream, out of band: what the camera does, from `kinesrc` to `kinepublish`. The same structure is posted on the bus
/// as an element message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// What it does now.
    pub status: SourceStatus,
    /// Attempts to connect since frames last arrived.
    pub attempts: u32,
    /// Times that frames came back after they had stopped.
    pub reconnects: u64,
    /// Frames given up by the source's newest-wins queue since the start.
    pub dropped: u64,
    /// Why, in words; empty while playing.
    pub message: String,
    /// When this status began, UTC in nanoseconds since 1970.
    pub since_utc_ns: i64,
}

impl SourceState {
    /// The structure that events and bus messages carry.
    pub fn to_structure(&self) -> ::gst::Structure {
        ::gst::Structure::builder(SOURCE_STATE)
            .field("state", self.status.as_str())
            .field("attempts", self.attempts)
            .field("reconnects", self.reconnects)
            .field("dropped", self.dropped)
            .field("message", &self.message)
            .field("since-utc-ns", self.since_utc_ns)
            .build()
    }

    /// The state in `structure`; `None` when it is another one.
    pub fn from_structure(structure: &::gst::StructureRef) -> Option<Self> {
        if structure.name() != SOURCE_STATE {
            return None;
        }
        Some(Self {
            status: SourceStatus::from_name(structure.get("state").ok()?)?,
            attempts: structure.get("attempts").unwrap_or_default(),
            reconnects: structure.get("reconnects").unwrap_or_default(),
            dropped: structure.get("dropped").unwrap_or_default(),
            message: structure.get("message").unwrap_or_default(),
            since_utc_ns: structure.get("since-utc-ns").unwrap_or_default(),
        })
    }

    /// The event that carries the state downstream, past full queues.
    pub fn to_event(&self) -> ::gst::Event {
        ::gst::event::CustomDownstreamOob::new(self.to_structure())
    }

    /// The state in `event`; `None` when the event is another one.
    pub fn from_event(event: &::gst::EventRef) -> Option<Self> {
        Self::from_structure(event.structure()?)
    }

    /// The bus message that tells the application.
    pub fn to_message(&self, source: &impl IsA<::gst::Object>) -> ::gst::Message {
        ::gst::message::Element::builder(self.to_structure())
            .src(source)
            .build()
    }

    /// The state in a bus message; `None` when the message is another one.
    pub fn from_message(message: &::gst::MessageRef) -> Option<Self> {
        match message.view() {
            ::gst::MessageView::Element(element) => Self::from_structure(element.structure()?),
            _ => None,
        }
    }
}

/// Downstream and sticky: the model that serves a stage, from that stage to `kinepublish`. A later one for the same stage
/// replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The stage, e.g. `detection`.
    pub stage: String,
    /// The model's name, e.g. `yolox-nano`.
    pub name: String,
    /// Where it runs, e.g. `cpu`; empty when unknown.
    pub device: String,
}

impl Model {
    /// The event that carries it downstream.
    pub fn to_event(&self) -> ::gst::Event {
        // Sticky custom events are kept by name: each stage needs its own.
        let fields = ::gst::Structure::builder(format!("{MODEL}-{}", self.stage))
            .field("stage", &self.stage)
            .field("name", &self.name)
            .field("device", &self.device)
            .build();
        ::gst::event::CustomDownstreamSticky::new(fields)
    }

    /// The model in `event`; `None` when the event is another one.
    pub fn from_event(event: &::gst::EventRef) -> Option<Self> {
        let fields = event.structure().filter(|fields| fields.name().starts_with(MODEL))?;
        Some(Self {
            stage: fields.get("stage").ok()?,
            name: fields.get("name").ok()?,
            device: fields.get("device").unwrap_or_default(),
        })
    }
}

/// Upstream: where the newest frame shows things that may move, from `kinetrack` to `kinerecon`, which stands before it
/// and leaves those parts of the next pictures out when it looks for the camera's motion.
#[derive(Clone, Debug)]
pub struct Movable {
    /// Width of the picture that the boxes refer to, pixels.
    pub width: u32,
    /// Height of that picture, pixels.
    pub height: u32,
    /// The boxes; masks do not travel.
    pub regions: Vec<MovableRegion>,
}

impl Movable {
    /// The event that carries the boxes upstream: `boxes` holds one line for each, x0, y0, x1, y1 and the class, separated
    /// by blanks.
    pub fn to_event(&self) -> ::gst::Event {
        let line = |region: &MovableRegion| {
            let BoundingBox { x0, y0, x1, y1 } = region.bbox;
            format!("{x0} {y0} {x1} {y1} {}", region.class)
        };
        let boxes = self.regions.iter().map(line).collect::<Vec<_>>().join("\n");
        let fields = ::gst::Structure::builder(MOVABLE)
            .field("width", self.width)
            .field("height", self.height)
            .field("boxes", boxes)
            .build();
        ::gst::event::CustomUpstream::new(fields)
    }

    /// The boxes in `event`; `None` when the event is another one. Lines that are no box are passed over.
    pub fn from_event(event: &::gst::EventRef) -> Option<Self> {
        let fields = event.structure().filter(|fields| fields.name() == MOVABLE)?;
        let region = |line: &str| {
            let mut words = line.splitn(5, ' ');
            let mut number = || words.next()?.parse::<f32>().ok();
            let bbox = BoundingBox::new(number()?, number()?, number()?, number()?);
            let class = ClassLabel::new(words.next()?);
            bbox.is_valid().then_some(MovableRegion {
                bbox,
                mask: None,
                class,
            })
        };
        Some(Self {
            width: fields.get("width").ok()?,
            height: fields.get("height").ok()?,
            regions: fields.get::<&str>("boxes").ok()?.lines().filter_map(region).collect(),
        })
    }
}

/// To `kinerecon`, from either side: the vehicle's pose or speed at one moment.
///
/// Fields: `time-s` (stream time) or `utc-ns`; then `x-m`, `y-m`, `z-m`, `qw`, `qx`, `qy`, `qz` for a pose
/// (`world_from_ego`), or `speed-mps` and, where known, `yaw-rate-radps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ego {
    /// When.
    pub time: EgoMoment,
    /// What is known.
    pub motion: EgoMotion,
}

impl Ego {
    fn to_structure(self) -> ::gst::Structure {
        let fields = ::gst::Structure::builder(EGO);
        let fields = match self.time {
            EgoMoment::Stream(time_s) => fields.field("time-s", time_s),
            EgoMoment::Utc(utc_ns) => fields.field("utc-ns", utc_ns),
        };
        let fields = match self.motion {
            EgoMotion::Pose { world_from_ego } => {
                let (at, turn) = (world_from_ego.translation.vector, world_from_ego.rotation);
                let fields = fields.field("x-m", at.x).field("y-m", at.y).field("z-m", at.z);
                fields
                    .field("qw", turn.w)
                    .field("qx", turn.i)
                    .field("qy", turn.j)
                    .field("qz", turn.k)
            }
            EgoMotion::Speed {
                speed_mps,
                yaw_rate_radps,
            } => {
                let fields = fields.field("speed-mps", speed_mps);
                match yaw_rate_radps {
                    Some(rate) => fields.field("yaw-rate-radps", rate),
                    None => fields,
                }
            }
        };
        fields.build()
    }

    /// The event that carries it up the pipeline.
    pub fn to_upstream_event(self) -> ::gst::Event {
        ::gst::event::CustomUpstream::new(self.to_structure())
    }

    /// The event that carries it down the pipeline, in order with the frames.
    pub fn to_downstream_event(self) -> ::gst::Event {
        ::gst::event::CustomDownstream::new(self.to_structure())
    }

    /// The motion in `event`; `None` when the event is another one, or its numbers are missing or not finite.
    pub fn from_event(event: &::gst::EventRef) -> Option<Self> {
        let fields = event.structure().filter(|fields| fields.name() == EGO)?;
        let number = |name: &str| fields.get::<f64>(name).ok();
        let time = match fields.get::<i64>("utc-ns") {
            Ok(utc_ns) => EgoMoment::Utc(utc_ns),
            Err(_) => EgoMoment::Stream(number("time-s")?),
        };
        let motion = match number("speed-mps") {
            Some(speed_mps) => EgoMotion::Speed {
                speed_mps,
                yaw_rate_radps: number("yaw-rate-radps"),
            },
            None => {
                let turn = Quaternion::new(number("qw")?, number("qx")?, number("qy")?, number("qz")?);
                let at = Translation3::new(number("x-m")?, number("y-m")?, number("z-m")?);
                EgoMotion::Pose {
                    world_from_ego: Isometry3::from_parts(at, UnitQuaternion::try_new(turn, 1e-6)?),
                }
            }
        };
        let ego = Self { time, motion };
        ego.sample(None).is_none_or(|sample| sample.is_finite()).then_some(ego)
    }

    /// As the reconstruction takes it, given how far UTC is ahead of stream time, nanoseconds; `None` for a UTC time when
    /// that is not known.
    pub fn sample(&self, utc_ahead_ns: Option<i128>) -> Option<EgoSample> {
        let time_s = match self.time {
            EgoMoment::Stream(time_s) => time_s,
            EgoMoment::Utc(utc_ns) => (i128::from(utc_ns) - utc_ahead_ns?) as f64 / NANOS_PER_SECOND,
        };
        Some(EgoSample {
            time_s,
            motion: self.motion,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::stkit::{Span, Subject, Task};

    #[test]
    fn a_question_survives_the_event() {
        ::gst::init().unwrap();
        let ask = Ask {
            id: "q-7".to_owned(),
            text: "How far did object 3 travel?".to_owned(),
            question: Some(Question {
                text: "How far did object 3 travel?".to_owned(),
                task: Some(Task::TraveledDistance),
                subjects: vec![Subject::Id(3)],
                span: Span::LastSeconds(10.0),
                clock_hour: None,
                inverted: false,
            }),
        };
        let event = ask.to_event();
        assert!(event.is_upstream());
        assert_eq!(Ask::from_event(&event), Some(ask));
        assert_eq!(SourceState::from_event(&event), None);
    }

    #[test]
    fn a_source_state_survives_event_and_structure() {
        ::gst::init().unwrap();
        let state = SourceState {
            status: SourceStatus::Retrying,
            attempts: 3,
            reconnects: 1,
            dropped: 12,
            message: "connection refused".to_owned(),
            since_utc_ns: 1_700_000_000_000_000_000,
        };
        let event = state.to_event();
        assert!(event.is_downstream() && !event.is_serialized());
        assert_eq!(SourceState::from_event(&event), Some(state.clone()));
        assert_eq!(Ask::from_event(&event), None);
        for status in SourceStatus::ALL {
            assert_eq!(SourceStatus::from_name(status.as_str()), Some(status));
        }
    }

    #[test]
    fn a_model_survives_the_event() {
        ::gst::init().unwrap();
        let model = Model {
            stage: "detection".to_owned(),
            name: "yolox-nano".to_owned(),
            device: "cpu".to_owned(),
        };
        let event = model.to_event();
        assert!(event.is_downstream() && event.is_sticky());
        assert_eq!(Model::from_event(&event), Some(model));
        assert_eq!(SourceState::from_event(&event), None);
    }

    #[test]
    fn boxes_and_ego_motion_survive_the_event() {
        ::gst::init().unwrap();
        let movable = Movable {
            width: 640,
            height: 480,
            regions: vec![MovableRegion {
                bbox: BoundingBox::new(1.5, 2.0, 30.25, 40.0),
                mask: None,
                class: ClassLabel::new("traffic cone"),
            }],
        };
        let read = Movable::from_event(&movable.to_event()).unwrap();
        assert_eq!((read.width, read.height, read.regions.len()), (640, 480, 1));
        assert_eq!(read.regions[0].bbox, movable.regions[0].bbox);
        assert_eq!(read.regions[0].class, movable.regions[0].class);
        let pose = Isometry3::new([1.0, 2.0, 3.0].into(), [0.1, 0.2, 0.3].into());
        for ego in [
            Ego {
                time: EgoMoment::Stream(1.25),
                motion: EgoMotion::Speed {
                    speed_mps: 3.5,
                    yaw_rate_radps: None,
                },
            },
            Ego {
                time: EgoMoment::Utc(1_700_000_000_000_000_000),
                motion: EgoMotion::Pose { world_from_ego: pose },
            },
        ] {
            let read = Ego::from_event(&ego.to_upstream_event()).unwrap();
            assert_eq!(read.time, ego.time);
            match (read.motion, ego.motion) {
                (EgoMotion::Pose { world_from_ego: a }, EgoMotion::Pose { world_from_ego: b }) => {
                    assert!((a.to_homogeneous() - b.to_homogeneous()).norm() < 1e-12);
                }
                (a, b) => assert_eq!(a, b),
            }
        }
        let bad = Ego {
            time: EgoMoment::Stream(0.0),
            motion: EgoMotion::Speed {
                speed_mps: f64::NAN,
                yaw_rate_radps: None,
            },
        };
        assert_eq!(Ego::from_event(&bad.to_downstream_event()), None);
        assert_eq!(bad.sample(None).map(|sample| sample.time_s), Some(0.0));
    }
}

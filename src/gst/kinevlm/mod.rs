//! Element `kinevlm`: sliding windows in, answers out.
//!
//! Asks the standing questions of every window and the questions that come upstream (`kinestream-ask` events), and answers
//! them on a thread of its own from the trajectories that `kinemotion` keeps. Pictures pass untouched.
//!
//! An answer leaves on four ways: in the results of the next frame that passes, as an element message
//! `kinestream-answer` on the bus, through the signal `answer`, and, where the request pad `answers` is linked, as a
//! buffer with the JSON of the wire's `Answer`. Message and signal come from the answering thread. While no frames come,
//! and at the end of the stream, answers that no frame carries go downstream in an event ([`crate::gst::events::Answers`]).
//!
//! With `backend=burn` the small ST-VLM answers, from a small picture with its boxes every half second and the states of
//! each object; the geometric answer stands beside each of its own.
//!
//! With `backend=remote` a model behind an OpenAI-compatible server answers (`remote-url`, `remote-model`). It is shown pictures
//! of the window with the boxes drawn in, each object in a colour of its own, and its words are read back into typed answers;
//! where none come in time, the geometric answer stands alone. A server that fails again and again is left alone for a while:
//! that circuit (`closed`, `open`, `half-open`) is the property `circuit`, a message `kinestream-answering` on the bus, and part
//! of `status`.
//!
//! A live source is never held up: a standing question that has not been begun gives way to its newer window. A file waits
//! at the end of each window until its questions are answered, so every window is, whatever the speed.
//!
//! ```text
//! gst-launch-1.0 filesrc location=video.mp4 ! decodebin ! kinerecon ! kinetrack model=detector.toml ! kinemotion \
//!     ! kinevlm questions=questions.toml window=10 stride=1 name=v ! fakesink  v.answers ! filesink location=answers.json
//! ```

mod answers_pad;
mod imp;
mod looking;
mod settings;

use ::gst::glib;
use ::gst::prelude::*;

use crate::stkit::{Answer, AnswerValue};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstKineVlmBackend")]
#[repr(i32)]
pub enum KineVlmBackend {
    /// The trajectory store.
    #[default]
    #[enum_value(name = "From the settled trajectories, exact given the states", nick = "geometry")]
    Geometry = 0,
    /// The small ST-VLM.
    #[cfg(feature = "burn")]
    #[enum_value(name = "The small ST-VLM, from frames, boxes and states", nick = "burn")]
    Burn = 1,
    /// A model behind a server.
    #[cfg(feature = "remote")]
    #[enum_value(
        name = "A model behind an OpenAI-compatible server, from frames with boxes",
        nick = "remote"
    )]
    Remote = 2,
}

glib::wrapper! {
    /// The element; see the [module's documentation](self).
    pub struct KineVlm(ObjectSubclass<imp::KineVlm>)
        @extends ::gst_base::BaseTransform, ::gst::Element, ::gst::Object;
}

/// Registers the element, for a plugin or (with `None`) for this process only.
pub fn register(plugin: Option<&::gst::Plugin>) -> Result<(), glib::BoolError> {
    ::gst::Element::register(plugin, "kinevlm", ::gst::Rank::NONE, KineVlm::static_type())
}

/// Name of the structure in bus messages and in the signal `answer`.
pub const ANSWER: &str = "kinestream-answer";

/// An answer as bus message and signal carry it: the main fields for any language, and all of it as JSON of
/// [`Answer`] in `json`. Without a value the fields `value…` are absent.
pub fn answer_structure(answer: &Answer) -> ::gst::Structure {
    let mut fields = ::gst::Structure::builder(ANSWER)
        .field("question-id", &answer.question_id)
        .field("question", &answer.question.text)
        .field("text", &answer.text)
        .field("start-s", answer.start_s)
        .field("end-s", answer.end_s)
        .field("confidence", answer.confidence)
        .field("reliable", answer.reliable)
        .field("ambiguous", answer.ambiguous)
        .field("json", serde_json::to_string(answer).unwrap_or_default())
        .field_if_some("task", answer.question.task.map(crate::stkit::Task::code))
        .field_if_some("reason", answer.reason.as_deref());
    fields = match answer.value {
        Some(AnswerValue::DistanceM(value)) => fields.field("value-distance-m", value),
        Some(AnswerValue::SpeedMps(value)) => fields.field("value-speed-mps", value),
        Some(AnswerValue::ClockHour(hour)) => fields.field("value-clock-hour", u32::from(hour)),
        Some(AnswerValue::TimeRangeS(start_s, end_s)) => {
            fields.field("value-start-s", start_s).field("value-end-s", end_s)
        }
        Some(AnswerValue::ObjectId(id)) => fields.field("value-object-id", id),
        Some(AnswerValue::YesNo(yes)) => fields.field("value-yes", yes),
        None => fields,
    };
    fields.build()
}

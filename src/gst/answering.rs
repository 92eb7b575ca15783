//! How the model that answers does, where it may fail: an event downstream and a message on the bus.

use std::time::Duration;

use ::gst::prelude::*;

use crate::vlm::live::{Circuit, Health};

const ANSWERING: &str = "kinestream-answering";

/// Downstream, out of band, from `kinevlm` to `kinepublish`: how the backend does. The same structure is posted on the bus as
/// an element message.
#[derive(Clone, Debug, PartialEq)]
pub struct Answering {
    /// The backend, e.g. `remote`.
    pub backend: String,
    /// How it does.
    pub health: Health,
}

impl Answering {
    /// The structure that events and bus messages carry.
    pub fn to_structure(&self) -> ::gst::Structure {
        ::gst::Structure::builder(ANSWERING)
            .field("backend", &self.backend)
            .field("circuit", self.health.circuit.as_str())
            .field("wait-s", self.health.wait.as_secs_f64())
            .field("message", &self.health.message)
            .field("requests", self.health.requests)
            .field("failures", self.health.failures)
            .build()
    }

    /// What `structure` says; `None` when it is another one.
    pub fn from_structure(structure: &::gst::StructureRef) -> Option<Self> {
        if structure.name() != ANSWERING {
            return None;
        }
        Some(Self {
            backend: structure.get("backend").unwrap_or_default(),
            health: Health {
                circuit: Circuit::from_name(structure.get("circuit").ok()?)?,
                wait: Duration::try_from_secs_f64(structure.get("wait-s").unwrap_or_default()).unwrap_or_default(),
                message: structure.get("message").unwrap_or_default(),
                requests: structure.get("requests").unwrap_or_default(),
                failures: structure.get("failures").unwrap_or_default(),
            },
        })
    }

    /// The event that carries it downstream, past full queues.
    pub fn to_event(&self) -> ::gst::Event {
        ::gst::event::CustomDownstreamOob::new(self.to_structure())
    }

    /// What `event` says; `None` when it is another one.
    pub fn from_event(event: &::gst::EventRef) -> Option<Self> {
        Self::from_structure(event.structure()?)
    }

    /// The bus message that tells the application.
    pub fn to_message(&self, source: &impl IsA<::gst::Object>) -> ::gst::Message {
        ::gst::message::Element::builder(self.to_structure())
            .src(source)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_the_way() {
        let _ = ::gst::init();
        let answering = Answering {
            backend: "remote".to_owned(),
            health: Health {
                circuit: Circuit::HalfOpen,
                wait: Duration::from_millis(1500),
                message: "no answer within 3.0 s".to_owned(),
                requests: 7,
                failures: 3,
            },
        };
        assert_eq!(Answering::from_event(&answering.to_event()), Some(answering));
    }
}

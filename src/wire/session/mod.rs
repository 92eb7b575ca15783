//! The zenoh session: how it is configured and opened, and what publisher and client share. Only this module and those
//! under it touch zenoh.

mod client;
mod network;
mod publisher;
mod queries;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use thiserror::Error;
use zenoh::Wait;
use zenoh::config::WhatAmI;

use super::codec::{CodecError, Encoding};
use super::keys::KeyError;

pub use client::{AskFailure, Client, Received, ReceivedMessage, Subscription};
pub use publisher::{Publisher, PublisherSettings};
pub use queries::{AskForwarder, EgoForwarder, ForwardedAsk, Services, SnapshotProvider};

/// How to reach the zenoh network. Defaults are zenoh's: a peer that finds others by multicast.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// A zenoh configuration file (JSON5); what is set below goes over it.
    pub config: Option<PathBuf>,
    /// `peer`, `client` or `router`.
    pub mode: Option<String>,
    /// Endpoints to connect to, such as `tcp/192.168.0.10:7447`.
    pub connect: Vec<String>,
    /// Endpoints to listen on, such as `tcp/0.0.0.0:7447`.
    pub listen: Vec<String>,
    /// Whether to find others by multicast; `None` leaves it to the file or zenoh's default (yes).
    pub multicast_scouting: Option<bool>,
    /// Single settings of zenoh's configuration as `KEY:VALUE` (value in JSON5), such as `transport/link/tx/lease:5000`.
    pub cfg: Vec<String>,
}

/// Why there is no session, or something cannot be sent or asked through it.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The configuration file cannot be read or is not one.
    #[error("zenoh configuration {}: {reason}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// Zenoh's reason.
        reason: String,
    },
    /// A setting that zenoh does not take.
    #[error("zenoh setting {name}: {reason}, found {value:?}")]
    Setting {
        /// The setting.
        name: String,
        /// What was found.
        value: String,
        /// What was expected.
        reason: String,
    },
    /// A client that has nowhere to go.
    #[error("zenoh mode client needs an endpoint to connect to, such as tcp/192.168.0.10:7447, or multicast scouting")]
    NowhereToConnect,
    /// The session cannot be opened.
    #[error("cannot open a zenoh session: {0}")]
    Open(String),
    /// A name that cannot be part of a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A message that cannot be written or read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A declaration or a query that zenoh refuses.
    #[error("zenoh refuses {what}: {reason}")]
    Refused {
        /// What was to be declared or asked.
        what: String,
        /// Zenoh's reason.
        reason: String,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl SessionSettings {
    /// Zenoh's configuration for a publisher. It has the admin space on, where its drops are counted, unless a file says what
    /// the session has.
    fn to_publisher_config(&self) -> Result<zenoh::Config, SessionError> {
        if self.config.is_some() {
            return self.to_config();
        }
        let mut settings = self.clone();
        settings.cfg.insert(0, "adminspace/enabled:true".to_owned());
        settings.to_config()
    }

    /// Zenoh's configuration: the file's, then the settings.
    fn to_config(&self) -> Result<zenoh::Config, SessionError> {
        let mut config = match &self.config {
            Some(path) => zenoh::Config::from_file(path).map_err(|error| SessionError::ConfigFile {
                path: path.clone(),
                reason: error.to_string(),
            })?,
            None => zenoh::Config::default(),
        };
        let mut insert = |name: &str, value: &str, reason: &str| {
            config.insert_json5(name, value).map_err(|error| SessionError::Setting {
                name: name.to_owned(),
                value: value.to_owned(),
                reason: format!("{reason} ({error})"),
            })
        };
        if let Some(mode) = &self.mode {
            insert("mode", &quoted(mode), "expected peer, client or router")?;
        }
        for (name, endpoints) in [("connect/endpoints", &self.connect), ("listen/endpoints", &self.listen)] {
            if !endpoints.is_empty() {
                let list: Vec<String> = endpoints.iter().map(|endpoint| quoted(endpoint)).collect();
                insert(
                    name,
                    &format!("[{}]", list.join(",")),
                    "expected endpoints such as tcp/192.168.0.10:7447",
                )?;
            }
        }
        if let Some(enabled) = self.multicast_scouting {
            insert(
                "scouting/multicast/enabled",
                &enabled.to_string(),
                "expected true or false",
            )?;
        }
        for setting in &self.cfg {
            let (key, value) = setting.split_once(':').ok_or_else(|| SessionError::Setting {
                name: "cfg".to_owned(),
                value: setting.clone(),
                reason: "expected KEY:VALUE".to_owned(),
            })?;
            insert(key, value, "expected a key and a value of zenoh's configuration")?;
        }
        let scouting = config
            .get_json("scouting/multicast/enabled")
            .is_ok_and(|json| json != "false");
        let endpoints = config.get_json("connect/endpoints").unwrap_or_default();
        let nowhere = !endpoints.contains('/') && !scouting;
        if *config.mode() == Some(WhatAmI::Client) && nowhere {
            return Err(SessionError::NowhereToConnect);
        }
        Ok(config)
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Opens a session, or joins the one that this process has with the same configuration: several cameras of one process
/// can then listen on one endpoint. The session closes when the last holder drops it.
fn open_shared(config: zenoh::Config) -> Result<Arc<zenoh::Session>, SessionError> {
    static OPEN: Mutex<Vec<(String, Weak<zenoh::Session>)>> = Mutex::new(Vec::new());
    let key = config.to_string();
    // Held while opening, so that two cameras that start together do not both open.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, session)| session.strong_count() > 0);
    let known = open.iter().find(|(known, _)| *known == key);
    if let Some(session) = known.and_then(|(_, session)| session.upgrade()) {
        return Ok(session);
    }
    let session = zenoh::open(config)
        .wait()
        .map_err(|error| SessionError::Open(error.to_string()))?;
    let session = Arc::new(session);
    open.push((key, Arc::downgrade(&session)));
    Ok(session)
}

/// Zenoh's name of an encoding, with the message's name as schema.
fn zenoh_encoding(encoding: Encoding, schema: &str) -> zenoh::bytes::Encoding {
    match encoding {
        Encoding::Json => zenoh::bytes::Encoding::APPLICATION_JSON.with_schema(schema),
        Encoding::Protobuf => zenoh::bytes::Encoding::APPLICATION_PROTOBUF.with_schema(schema),
    }
}

/// Ours from zenoh's; `None` when it is neither.
fn encoding_of(encoding: &zenoh::bytes::Encoding) -> Option<Encoding> {
    let name = encoding.to_string();
    match name.split(';').next()? {
        "application/json" | "text/json" => Some(Encoding::Json),
        "application/protobuf" => Some(Encoding::Protobuf),
        _ => None,
    }
}

fn refused(what: impl Into<String>) -> impl FnOnce(zenoh::Error) -> SessionError {
    let what = what.into();
    move |error| SessionError::Refused {
        what,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod settings_tests {
    use super::*;

    #[test]
    fn settings_become_zenohs_configuration() {
        let settings = SessionSettings {
            mode: Some("client".into()),
            connect: vec!["tcp/127.0.0.1:7447".into()],
            multicast_scouting: Some(false),
            cfg: vec!["transport/link/tx/lease:5000".into()],
            ..Default::default()
        };
        let config = settings.to_config().unwrap();
        assert_eq!(config.get_json("mode").unwrap(), "\"client\"");
        assert_eq!(config.get_json("transport/link/tx/lease").unwrap(), "5000");
        assert_eq!(config.get_json("scouting/multicast/enabled").unwrap(), "false");
        assert!(
            config
                .get_json("connect/endpoints")
                .unwrap()
                .contains("tcp/127.0.0.1:7447")
        );
    }

    #[test]
    fn what_zenoh_does_not_take_is_named() {
        let error = |settings: SessionSettings| settings.to_config().unwrap_err().to_string();
        let mode = error(SessionSettings {
            mode: Some("pear".into()),
            ..Default::default()
        });
        assert!(mode.contains("mode") && mode.contains("pear"), "{mode}");
        let endpoint = error(SessionSettings {
            connect: vec!["127.0.0.1".into()],
            ..Default::default()
        });
        assert!(endpoint.contains("connect/endpoints"), "{endpoint}");
        let cfg = error(SessionSettings {
            cfg: vec!["nothing".into()],
            ..Default::default()
        });
        assert!(cfg.contains("KEY:VALUE"), "{cfg}");
        let file = error(SessionSettings {
            config: Some("/nonexistent.json5".into()),
            ..Default::default()
        });
        assert!(file.contains("/nonexistent.json5"), "{file}");
        let nowhere = error(SessionSettings {
            mode: Some("client".into()),
            multicast_scouting: Some(false),
            ..Default::default()
        });
        assert!(nowhere.contains("needs an endpoint"), "{nowhere}");
    }
}

//! Messages as bytes: proto3 JSON or protobuf, and how a `Tracks` message is kept under zenoh's batch size.

use std::fmt;
use std::str::FromStr;

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::proto;

/// Longest message of state, bytes: below the 64 KiB of a zenoh batch, so that none is fragmented.
pub const MAX_STATE_BYTES: usize = 60_000;

/// Most messages that one frame's tracks are spread over.
pub const MAX_PARTS: usize = 4;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// proto3 JSON with the field names of the `.proto`.
    #[default]
    Json,
    /// Protobuf.
    Protobuf,
}

impl Encoding {
    /// Its name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Encoding {
    type Err = CodecError;

    fn from_str(name: &str) -> Result<Self, CodecError> {
        match name {
            "json" => Ok(Self::Json),
            "protobuf" => Ok(Self::Protobuf),
            _ => Err(CodecError::UnknownEncoding(name.to_owned())),
        }
    }
}

/// Why bytes are not a message, or a message cannot be written.
#[derive(Debug, Error)]
pub enum CodecError {
    /// Not proto3 JSON of this message.
    #[error("expected {schema} as JSON: {source}")]
    Json {
        /// The message's name.
        schema: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Not protobuf of this message.
    #[error("expected {schema} as protobuf: {source}")]
    Protobuf {
        /// The message's name.
        schema: &'static str,
        /// Why.
        source: prost::DecodeError,
    },
    /// Neither of the encodings.
    #[error("expected the encoding json or protobuf, found {0:?}")]
    UnknownEncoding(String),
}

/// A message of `kinestream.v1`.
pub trait WireMessage: Message + Default + Serialize + DeserializeOwned {
    /// Its full name, the schema in zenoh's `Encoding`.
    const SCHEMA: &'static str;

    /// Writes the message.
    fn encode_as(&self, encoding: Encoding) -> Result<Vec<u8>, CodecError> {
        match encoding {
            Encoding::Json => serde_json::to_vec(self).map_err(|source| CodecError::Json {
                schema: Self::SCHEMA,
                source,
            }),
            Encoding::Protobuf => Ok(self.encode_to_vec()),
        }
    }

    /// Reads the message.
    fn decode_as(encoding: Encoding, bytes: &[u8]) -> Result<Self, CodecError> {
        match encoding {
            Encoding::Json => serde_json::from_slice(bytes).map_err(|source| CodecError::Json {
                schema: Self::SCHEMA,
                source,
            }),
            Encoding::Protobuf => Self::decode(bytes).map_err(|source| CodecError::Protobuf {
                schema: Self::SCHEMA,
                source,
            }),
        }
    }
}

macro_rules! schemas {
    ($($message:ident),*) => {
        $(impl WireMessage for proto::$message {
            const SCHEMA: &'static str = concat!("kinestream.v1.", stringify!($message));
        })*
    };
}

schemas!(Tracks, Answer, Status, AskRequest, AskReply, History, Ego);

/// Writes one frame's tracks in messages of at most [`MAX_STATE_BYTES`]: one where they fit, else up to [`MAX_PARTS`].
/// What does not fit into those is left out, least existence probability first, and counted in `objects_left_out`.
///
/// `tracks.objects` is expected with the highest existence probability first.
pub fn encode_tracks(mut tracks: proto::Tracks, encoding: Encoding) -> Result<Vec<Vec<u8>>, CodecError> {
    tracks.part = 0;
    tracks.parts = 1;
    tracks.objects_left_out = 0;
    tracks.objects_total = u32::try_from(tracks.objects.len()).unwrap_or(u32::MAX);
    let whole = tracks.encode_as(encoding)?;
    if whole.len() <= MAX_STATE_BYTES {
        return Ok(vec![whole]);
    }

    let objects = std::mem::take(&mut tracks.objects);
    // The widest values that the counters can take, so that filling them in later cannot lengthen the message.
    tracks.part = MAX_PARTS as u32;
    tracks.parts = MAX_PARTS as u32;
    tracks.objects_left_out = tracks.objects_total;
    let envelope = tracks.encode_as(encoding)?.len();
    let room = MAX_STATE_BYTES.saturating_sub(envelope);
    let mut parts: Vec<Vec<proto::TrackedObject>> = vec![Vec::new()];
    let mut used = 0;
    let mut left_out = 0u32;
    let mut objects = objects.into_iter();
    for object in objects.by_ref() {
        let length = object_length(&object, encoding)?;
        if length > room {
            left_out += 1;
            continue;
        }
        if used + length > room {
            if parts.len() == MAX_PARTS {
                left_out += 1;
                break;
            }
            parts.push(Vec::new());
            used = 0;
        }
        used += length;
        if let Some(part) = parts.last_mut() {
            part.push(object);
        }
    }
    left_out += u32::try_from(objects.len()).unwrap_or(u32::MAX);

    tracks.parts = parts.len() as u32;
    tracks.objects_left_out = left_out;
    let mut messages = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        tracks.part = index as u32;
        tracks.objects = part;
        messages.push(tracks.encode_as(encoding)?);
    }
    Ok(messages)
}

/// Bytes that an object takes within its list: with its comma in JSON, with tag and length in protobuf.
fn object_length(object: &proto::TrackedObject, encoding: Encoding) -> Result<usize, CodecError> {
    Ok(match encoding {
        Encoding::Json => {
            1 + serde_json::to_vec(object)
                .map_err(|source| CodecError::Json {
                    schema: proto::Tracks::SCHEMA,
                    source,
                })?
                .len()
        }
        Encoding::Protobuf => {
            let body = object.encoded_len();
            1 + prost::length_delimiter_len(body) + body
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(objects: usize) -> proto::Tracks {
        let object = |id: usize| proto::TrackedObject {
            id: id as u64,
            class_name: "person".into(),
            existence_probability: 1.0 - id as f32 / objects as f32,
            live: Some(proto::KinematicState {
                covariance: vec![0.123_456_7; 21],
                ..Default::default()
            }),
            ..Default::default()
        };
        proto::Tracks {
            objects: (0..objects).map(object).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn few_objects_fit_one_message() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let messages = encode_tracks(crowd(10), encoding).unwrap();
            assert_eq!(messages.len(), 1);
            let read = proto::Tracks::decode_as(encoding, &messages[0]).unwrap();
            assert_eq!((read.parts, read.objects_total, read.objects_left_out), (1, 10, 0));
            assert_eq!(read.objects.len(), 10);
        }
    }

    #[test]
    fn a_crowd_is_split_and_nobody_is_lost() {
        for (encoding, objects) in [(Encoding::Json, 150), (Encoding::Protobuf, 800)] {
            let messages = encode_tracks(crowd(objects), encoding).unwrap();
            assert!((2..=MAX_PARTS).contains(&messages.len()), "{}", messages.len());
            let mut ids = Vec::new();
            for (index, bytes) in messages.iter().enumerate() {
                assert!(bytes.len() <= MAX_STATE_BYTES, "{}", bytes.len());
                let read = proto::Tracks::decode_as(encoding, bytes).unwrap();
                assert_eq!(read.part as usize, index);
                assert_eq!(read.parts as usize, messages.len());
                assert_eq!(read.objects_left_out, 0);
                ids.extend(read.objects.iter().map(|object| object.id as usize));
            }
            assert_eq!(ids, (0..objects).collect::<Vec<_>>());
        }
    }

    #[test]
    fn beyond_the_last_part_the_least_certain_are_left_out_and_counted() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let messages = encode_tracks(crowd(10_000), encoding).unwrap();
            assert_eq!(messages.len(), MAX_PARTS);
            let mut kept = 0;
            let mut left_out = 0;
            for bytes in &messages {
                assert!(bytes.len() <= MAX_STATE_BYTES, "{}", bytes.len());
                let read = proto::Tracks::decode_as(encoding, bytes).unwrap();
                kept += read.objects.len();
                left_out = read.objects_left_out as usize;
                assert_eq!(read.objects_total, 10_000);
            }
            assert!(kept > 100);
            assert_eq!(kept + left_out, 10_000);
        }
    }

    #[test]
    fn an_unknown_field_is_an_error_only_where_people_write() {
        assert!(proto::Status::decode_as(Encoding::Json, br#"{"from_the_future": 1}"#).is_ok());
        let error = proto::AskRequest::decode_as(Encoding::Json, br#"{"txt": "?"}"#).unwrap_err();
        assert!(error.to_string().contains("txt"), "{error}");
    }
}

//! The other side: reading what cameras publish, and asking them. What `kinestream watch` and `kinestream ask` stand on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use zenoh::Wait;
use zenoh::query::{ConsolidationMode, QueryTarget};
use zenoh::sample::{Sample, SampleKind};
use zenoh_ext::{AdvancedSubscriber, AdvancedSubscriberBuilderExt, HistoryConfig, RecoveryConfig};

use super::{SessionError, SessionSettings, encoding_of, open_shared, refused, zenoh_encoding};
use crate::wire::codec::{CodecError, Encoding, WireMessage};
use crate::wire::keys::{Keys, PREFIX};
use crate::wire::proto;
use crate::wire::queue::NewestQueue;

/// Messages that wait to be read; then the oldest make room.
const MESSAGES_WAITING: usize = 256;

/// What is added to the time that the camera may take, for the way there and back.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// A session that reads and asks.
#[derive(Debug)]
pub struct Client {
    session: Arc<zenoh::Session>,
}

/// A message as received.
#[derive(Debug)]
pub struct Received {
    /// Its whole key.
    pub key: String,
    /// The place.
    pub site: String,
    /// The camera.
    pub camera: String,
    /// What it says.
    pub message: Result<ReceivedMessage, CodecError>,
}

/// What a received message says.
#[derive(Clone, Debug, PartialEq)]
pub enum ReceivedMessage {
    /// On `tracks`.
    Tracks(proto::Tracks),
    /// On `answers`.
    Answer(proto::Answer),
    /// On `status`.
    Status(proto::Status),
    /// The camera's engine is up, or is gone.
    Alive(bool),
}

/// One reply, as sent, or why it was refused.
type Reply = Result<(Option<Encoding>, Vec<u8>), String>;

/// Messages of the cameras subscribed to, newest first to survive: a slow reader misses old ones, and never holds up the
/// network.
pub struct Subscription {
    queue: Arc<NewestQueue<Received>>,
    _subscribers: Vec<AdvancedSubscriber<()>>,
    _liveliness: zenoh::pubsub::Subscriber<()>,
}

/// Why a camera gave no answer.
#[derive(Debug, Error)]
pub enum AskFailure {
    /// Nobody serves the key.
    #[error("no camera answers at {0}: is it running, and can it be reached?")]
    Nobody(String),
    /// The camera refused the question.
    #[error("{0}")]
    Refused(String),
    /// The session.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Client {
    /// Opens a session.
    pub fn open(settings: &SessionSettings) -> Result<Self, SessionError> {
        Ok(Self {
            session: open_shared(settings.to_config()?)?,
        })
    }

    /// Subscribes to tracks, answers, status and liveliness. `None` stands for every site or camera. What the cameras
    /// published last comes first.
    pub fn subscribe(&self, site: Option<&str>, camera: Option<&str>) -> Result<Subscription, SessionError> {
        let base = base(site, camera)?;
        let queue = Arc::new(NewestQueue::new(MESSAGES_WAITING));
        let mut subscribers = Vec::new();
        for leaf in ["tracks", "answers", "status"] {
            let key = format!("{base}/{leaf}");
            let queue = queue.clone();
            subscribers.push(
                self.session
                    .declare_subscriber(key.clone())
                    .callback(move |sample: Sample| {
                        if let Some(received) = receive(&sample) {
                            queue.push(received);
                        }
                    })
                    .history(HistoryConfig::default().detect_late_publishers())
                    .recovery(RecoveryConfig::default().heartbeat())
                    .wait()
                    .map_err(refused(format!("a subscriber on {key}")))?,
            );
        }
        let liveliness = self
            .session
            .liveliness()
            .declare_subscriber(base.clone())
            .history(true)
            .callback({
                let queue = queue.clone();
                move |sample: Sample| {
                    let key = sample.key_expr().as_str();
                    if let Some((site, camera, _)) = segments(key) {
                        queue.push(Received {
                            key: key.to_owned(),
                            site,
                            camera,
                            message: Ok(ReceivedMessage::Alive(sample.kind() == SampleKind::Put)),
                        });
                    }
                }
            })
            .wait()
            .map_err(refused(format!("liveliness of {base}")))?;
        Ok(Subscription {
            queue,
            _subscribers: subscribers,
            _liveliness: liveliness,
        })
    }

    /// Asks a camera (or, with `None` for site or camera, all that match) and waits for the replies.
    pub fn ask(
        &self,
        site: Option<&str>,
        camera: Option<&str>,
        request: &proto::AskRequest,
        timeout: Duration,
    ) -> Result<Vec<proto::AskReply>, AskFailure> {
        let selector = format!("{}/ask?timeout={}", base(site, camera)?, timeout.as_secs_f64());
        let payload = request.encode_as(Encoding::Protobuf).map_err(SessionError::from)?;
        let replies = self.get(&selector, Some((payload, proto::AskRequest::SCHEMA)), timeout)?;
        let mut answers = Vec::new();
        let mut refusals = Vec::new();
        for reply in replies {
            match reply {
                Ok((encoding, bytes)) => {
                    let encoding = encoding.unwrap_or(Encoding::Json);
                    answers.push(proto::AskReply::decode_as(encoding, &bytes).map_err(SessionError::from)?);
                }
                Err(reason) => refusals.push(reason),
            }
        }
        match (answers.is_empty(), refusals.is_empty()) {
            (true, true) => Err(AskFailure::Nobody(selector)),
            (true, false) => Err(AskFailure::Refused(refusals.join("; "))),
            _ => Ok(answers),
        }
    }

    /// The replies of one camera's `history`; `parameters` such as `since=-10;id=3`.
    pub fn history(&self, site: &str, camera: &str, parameters: &str) -> Result<proto::History, AskFailure> {
        let keys = Keys::new(site, camera).map_err(SessionError::from)?;
        let selector = format!("{}?encoding=protobuf;{parameters}", keys.leaf("history"));
        match self.get(&selector, None, ROUND_TRIP)?.into_iter().next() {
            Some(Ok((_, bytes))) => {
                Ok(proto::History::decode_as(Encoding::Protobuf, &bytes).map_err(SessionError::from)?)
            }
            Some(Err(reason)) => Err(AskFailure::Refused(reason)),
            None => Err(AskFailure::Nobody(selector)),
        }
    }

    /// The reply to a plain get of one of a camera's keys (`snapshot`, `metrics`, `tracks`, `status`), as sent.
    pub fn fetch(&self, site: &str, camera: &str, leaf: &str) -> Result<Vec<u8>, AskFailure> {
        let keys = Keys::new(site, camera).map_err(SessionError::from)?;
        let selector = keys.leaf(leaf);
        match self.get(&selector, None, ROUND_TRIP * 2)?.into_iter().next() {
            Some(Ok((_, bytes))) => Ok(bytes),
            Some(Err(reason)) => Err(AskFailure::Refused(reason)),
            None => Err(AskFailure::Nobody(selector)),
        }
    }

    fn get(
        &self,
        selector: &str,
        payload: Option<(Vec<u8>, &str)>,
        timeout: Duration,
    ) -> Result<Vec<Reply>, SessionError> {
        let mut get = self
            .session
            .get(selector)
            .target(QueryTarget::All)
            // Every part of a split message is wanted, not only the last on a key.
            .consolidation(ConsolidationMode::None)
            .timeout(timeout + ROUND_TRIP);
        if let Some((bytes, schema)) = payload {
            get = get.payload(bytes).encoding(zenoh_encoding(Encoding::Protobuf, schema));
        }
        let replies = get.wait().map_err(refused(selector))?;
        let mut received = Vec::new();
        while let Ok(reply) = replies.recv() {
            received.push(match reply.into_result() {
                Ok(sample) => Ok((encoding_of(sample.encoding()), sample.payload().to_bytes().into_owned())),
                Err(error) => Err(String::from_utf8_lossy(&error.payload().to_bytes()).into_owned()),
            });
        }
        Ok(received)
    }
}

impl Subscription {
    /// The next message, waiting for at most `timeout`.
    pub fn next(&self, timeout: Duration) -> Option<Received> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(received) = self.queue.pop() {
                return Some(received);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.queue.wait(left);
        }
    }

    /// Messages that were dropped because they were not read in time.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("dropped", &self.dropped())
            .finish()
    }
}

/// `kinestream/v1/<site>/<camera>` with `*` for what is not given.
fn base(site: Option<&str>, camera: Option<&str>) -> Result<String, SessionError> {
    // The other name only stands in for the check.
    let keys = Keys::new(site.unwrap_or("any"), camera.unwrap_or("any"))?;
    let site = site.map_or("*", |_| keys.site());
    let camera = camera.map_or("*", |_| keys.camera());
    Ok(format!("{PREFIX}/{site}/{camera}"))
}

/// Site, camera and leaf of a key.
fn segments(key: &str) -> Option<(String, String, &str)> {
    let mut rest = key.strip_prefix(PREFIX)?.strip_prefix('/')?.split('/');
    let site = rest.next()?.to_owned();
    let camera = rest.next()?.to_owned();
    Some((site, camera, rest.next().unwrap_or_default()))
}

fn receive(sample: &Sample) -> Option<Received> {
    let key = sample.key_expr().as_str();
    let (site, camera, leaf) = segments(key)?;
    let bytes = sample.payload().to_bytes();
    let encoding = encoding_of(sample.encoding()).unwrap_or_default();
    let message = match leaf {
        "tracks" => proto::Tracks::decode_as(encoding, &bytes).map(ReceivedMessage::Tracks),
        "answers" => proto::Answer::decode_as(encoding, &bytes).map(ReceivedMessage::Answer),
        "status" => proto::Status::decode_as(encoding, &bytes).map(ReceivedMessage::Status),
        _ => return None,
    };
    Some(Received {
        key: key.to_owned(),
        site,
        camera,
        message,
    })
}

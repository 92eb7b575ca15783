//! The publisher of one camera: a thread that writes and sends, behind queues in which the newest wins.
//!
//! Whoever hands results over never waits for the network: it counts, and pushes into a bounded queue. When nobody
//! subscribes to `tracks`, frames are not encoded one by one; the newest is, once a second, so that a late joiner finds
//! a recent state in the cache.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, Sender, bounded};
use zenoh::Wait;
use zenoh::config::WhatAmI;
use zenoh::qos::{CongestionControl, Priority};
use zenoh_ext::{
    AdvancedPublisher, AdvancedPublisherBuilderExt, CacheConfig, MissDetectionConfig, RepliesConfig, z_serialize,
};

use super::network::NetworkDrops;
use super::queries::{self, Job, Services};
use super::{SessionError, SessionSettings, open_shared, refused, zenoh_encoding};
use crate::frame::FrameTime;
use crate::results::FrameResults;
use crate::stkit::Answer;
use crate::wire::codec::{Encoding, WireMessage, encode_tracks};
use crate::wire::keys::Keys;
use crate::wire::messages;
use crate::wire::monitor::{Monitor, SourceReport};
use crate::wire::proto;
use crate::wire::queue::NewestQueue;

/// Frames that wait for the publisher's thread: half a second at 30 frames a second.
const FRAMES_WAITING: usize = 16;

/// Hand-overs of answers that wait for the publisher's thread.
const ANSWERS_WAITING: usize = 64;

/// Answers kept for late joiners.
const ANSWERS_CACHED: usize = 16;

/// How often the thread looks at the state when nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// Time between two `status` messages, and between two refreshes of an unheard `tracks`.
const EVERY_SECOND: Duration = Duration::from_secs(1);

/// Time between two tries to open a client's session: doubles from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// How long [`Publisher`] waits for its threads when it is dropped.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a camera publishes as, and over what.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublisherSettings {
    /// First segment of its keys: the place.
    pub site: String,
    /// Second segment of its keys: the camera.
    pub camera: String,
    /// How messages are written.
    pub encoding: Encoding,
    /// How to reach the network.
    pub session: SessionSettings,
}

/// Publishes one camera's results, status and answers, and serves its queries.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Disconnects when the thread is through.
    finished: Receiver<()>,
}

/// A frame on its way to the network.
#[derive(Clone, Debug)]
struct Frame {
    seq: u64,
    results: Arc<FrameResults>,
    arrived: Instant,
}

/// Answers on their way to the network, with the time of the frame that they came with. They stay together, so that an ask
/// about several objects gets one reply.
#[derive(Clone, Debug)]
struct Said {
    time: FrameTime,
    answers: Vec<Arc<Answer>>,
}

/// What the caller, the publisher's thread and the queries' threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub keys: Keys,
    pub encoding: Encoding,
    pub monitor: Monitor,
    /// Asks that wait for their answer; answers are passed to the queries' thread only when there are some.
    pub asks_waiting: AtomicUsize,
    pub stop: AtomicBool,
    /// Queries refused because too many were waiting.
    pub queries_dropped: AtomicU64,
    frames: NewestQueue<Frame>,
    answers: NewestQueue<Said>,
    answers_dropped: AtomicU64,
    /// Frames that were not encoded because nobody subscribed.
    unheard: AtomicU64,
    network: NetworkDrops,
    newest: Mutex<Option<Frame>>,
}

impl Shared {
    /// The newest results and their number.
    pub fn newest(&self) -> Option<(u64, Arc<FrameResults>)> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().map(|frame| (frame.seq, frame.results.clone()))
    }

    /// What the publisher itself has dropped, and what zenoh has, where that is known.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        let mut drops = vec![
            ("publish_queue", self.frames.dropped()),
            ("answer_queue", self.answers_dropped.load(Ordering::Relaxed)),
            ("query_queue", self.queries_dropped.load(Ordering::Relaxed)),
            ("unheard", self.unheard.load(Ordering::Relaxed)),
        ];
        drops.extend(self.network.count().map(|count| ("network", count)));
        drops
    }

    /// Header of a message that is written now.
    pub fn header(&self, seq: u64, time: FrameTime) -> proto::Header {
        messages::header(&self.keys, seq, time, now_utc_ns())
    }
}

/// UTC in nanoseconds since 1970, by this machine's clock.
pub(super) fn now_utc_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

impl Publisher {
    /// Checks the settings, opens the session and starts the publisher's threads.
    ///
    /// A peer or router that cannot be opened is an error here. A client opens in the background, again and again until
    /// its router is there; until then the newest frame and status wait.
    pub fn start(settings: &PublisherSettings, services: Services) -> Result<Self, SessionError> {
        let keys = Keys::new(&settings.site, &settings.camera)?;
        let config = settings.session.to_publisher_config()?;
        let session = match config.mode() {
            Some(WhatAmI::Client) => None,
            _ => Some(open_shared(config.clone())?),
        };
        let shared = Arc::new(Shared {
            keys,
            encoding: settings.encoding,
            monitor: Monitor::new(),
            asks_waiting: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            queries_dropped: AtomicU64::new(0),
            frames: NewestQueue::new(FRAMES_WAITING),
            answers: NewestQueue::new(ANSWERS_WAITING),
            answers_dropped: AtomicU64::new(0),
            unheard: AtomicU64::new(0),
            network: NetworkDrops::default(),
            newest: Mutex::new(None),
        });
        let (done, finished) = bounded::<()>(0);
        let thread = std::thread::Builder::new().name("kine-publish".to_owned()).spawn({
            let shared = shared.clone();
            move || {
                let _done = done;
                let session = match session {
                    Some(session) => session,
                    None => match open_patiently(&config, &shared) {
                        Some(session) => session,
                        None => return,
                    },
                };
                if let Err(error) = serve(&shared, &session, services) {
                    tracing::error!(keys = shared.keys.base(), %error, "nothing is published");
                }
            }
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
            finished,
        })
    }

    /// Hands over a frame's results. Never blocks: when the publisher is behind, the oldest waiting frame is dropped and
    /// counted. Answers have their own queue, so that they outlive their frame.
    pub fn publish(&self, results: Arc<FrameResults>) {
        let seq = self.shared.monitor.count_frame();
        self.push_answers(results.time, &results.answers);
        self.shared.frames.push(Frame {
            seq,
            results,
            arrived: Instant::now(),
        });
    }

    /// Hands over answers that come without a frame: the camera stalls, or has ended. Never blocks.
    pub fn publish_answers(&self, answers: &[Arc<Answer>]) {
        self.push_answers(self.shared.monitor.newest_time(), answers);
        self.shared.frames.wake();
    }

    fn push_answers(&self, time: FrameTime, answers: &[Arc<Answer>]) {
        if answers.is_empty() {
            return;
        }
        let answers = answers.to_vec();
        if let Some(given_up) = self.shared.answers.push(Said { time, answers }) {
            let count = given_up.answers.len() as u64;
            self.shared.answers_dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Notes what the source says of itself; the status follows at once when its state changes.
    pub fn note_source(&self, report: SourceReport) {
        self.shared.monitor.note_source(report);
        self.shared.frames.wake();
    }

    /// Notes the model at work for a stage.
    pub fn note_model(&self, model: proto::Model) {
        self.shared.monitor.note_model(model);
    }

    /// Notes how the model that answers does.
    pub fn note_answering(&self, answering: proto::Answering) {
        self.shared.monitor.note_answering(answering);
    }

    /// Frames handed over so far.
    pub fn frames(&self) -> u64 {
        self.shared.monitor.frames()
    }

    /// Frames whose tracks were handed to the network.
    pub fn published(&self) -> u64 {
        self.shared.monitor.published()
    }

    /// Frames dropped because the publisher was behind.
    pub fn dropped(&self) -> u64 {
        self.shared.frames.dropped()
    }

    /// What was dropped so far, by where: the names and numbers of `drops` in `status`.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        self.shared.drops()
    }

    /// Messages that zenoh itself dropped because a subscriber or router did not keep up, since its session was opened; `None`
    /// where the session has no admin space. Cameras that share a session share the number.
    pub fn network_dropped(&self) -> Option<u64> {
        self.shared.network.count()
    }

    /// The newest results that were handed over.
    pub fn newest(&self) -> Option<Arc<FrameResults>> {
        self.shared.newest().map(|(_, results)| results)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.frames.wake();
        let Some(thread) = self.thread.take() else { return };
        // A session with a dead network may take its time to close: then it closes without us.
        if let Err(crossbeam::channel::RecvTimeoutError::Timeout) = self.finished.recv_timeout(GOODBYE) {
            tracing::warn!(
                keys = self.shared.keys.base(),
                "the zenoh session is still closing; not waiting for it"
            );
            return;
        }
        if thread.join().is_err() {
            tracing::error!(keys = self.shared.keys.base(), "the publisher's thread has panicked");
        }
    }
}

/// Opens a client's session, again and again; `None` when told to stop.
fn open_patiently(config: &zenoh::Config, shared: &Shared) -> Option<Arc<zenoh::Session>> {
    let mut pause = RETRY_FIRST;
    while !shared.stop.load(Ordering::Acquire) {
        match open_shared(config.clone()) {
            Ok(session) => return Some(session),
            Err(error) => {
                tracing::warn!(keys = shared.keys.base(), %error, "trying again in {} s", pause.as_secs_f64());
            }
        }
        let until = Instant::now() + pause;
        while Instant::now() < until && !shared.stop.load(Ordering::Acquire) {
            shared.frames.wait(until.saturating_duration_since(Instant::now()));
        }
        pause = (pause * 2).min(RETRY_LAST);
    }
    None
}

/// One key with its publisher.
struct Outlet<'a> {
    publisher: AdvancedPublisher<'a>,
    next_seq: u64,
}

impl Outlet<'_> {
    fn declare<M: WireMessage>(
        session: &zenoh::Session,
        shared: &Shared,
        leaf: &str,
        cached: usize,
        live: bool,
    ) -> Result<Self, SessionError> {
        let key = shared.keys.leaf(leaf);
        // A cache that answers with Block could hold up, and in the end close, the session.
        let replies = RepliesConfig::default().congestion_control(CongestionControl::Drop);
        let publisher = session
            .declare_publisher(key.clone())
            .encoding(zenoh_encoding(shared.encoding, M::SCHEMA))
            .congestion_control(CongestionControl::Drop)
            // Its own priority gives `tracks` its own queue: a long reply to a query does not delay it.
            .priority(if live {
                Priority::InteractiveHigh
            } else {
                Priority::Data
            })
            .express(live)
            .cache(CacheConfig::default().max_samples(cached).replies_config(replies))
            .sample_miss_detection(MissDetectionConfig::default().heartbeat(EVERY_SECOND))
            .publisher_detection()
            .wait()
            .map_err(refused(format!("a publisher on {key}")))?;
        Ok(Self { publisher, next_seq: 0 })
    }

    fn put(&self, bytes: Vec<u8>, seq: u64, time: FrameTime) {
        // Three 64-bit little-endian integers; no capture time is 0.
        let attachment = z_serialize(&(seq, time.capture_utc_ns.unwrap_or(0), time.pts_ns));
        if let Err(error) = self.publisher.put(bytes).attachment(attachment).wait() {
            tracing::debug!(key = %self.publisher.key_expr(), %error, "not sent");
        }
    }

    fn put_next<M: WireMessage>(&mut self, shared: &Shared, time: FrameTime, message: impl FnOnce(proto::Header) -> M) {
        let seq = self.next_seq;
        self.next_seq += 1;
        match message(shared.header(seq, time)).encode_as(shared.encoding) {
            Ok(bytes) => self.put(bytes, seq, time),
            Err(error) => tracing::error!(%error, "a message cannot be written"),
        }
    }
}

/// Declares everything and publishes until told to stop.
fn serve(shared: &Arc<Shared>, session: &zenoh::Session, services: Services) -> Result<(), SessionError> {
    let tracks = Outlet::declare::<proto::Tracks>(session, shared, "tracks", crate::wire::codec::MAX_PARTS, true)?;
    let answers = Outlet::declare::<proto::Answer>(session, shared, "answers", ANSWERS_CACHED, false)?;
    let status = Outlet::declare::<proto::Status>(session, shared, "status", 1, false)?;
    let heard = Arc::new(AtomicBool::new(false));
    tracks
        .publisher
        .matching_listener()
        .callback({
            let heard = heard.clone();
            let shared = shared.clone();
            move |matching| {
                heard.store(matching.matching(), Ordering::Relaxed);
                shared.frames.wake();
            }
        })
        .background()
        .wait()
        .map_err(refused("a matching listener"))?;
    // The listener tells of changes only.
    if tracks
        .publisher
        .matching_status()
        .wait()
        .is_ok_and(|status| status.matching())
    {
        heard.store(true, Ordering::Relaxed);
    }
    let queries = queries::serve(session, shared, services)?;
    let base = shared.keys.base();
    let _alive = session
        .liveliness()
        .declare_token(base.clone())
        .wait()
        .map_err(refused(format!("a liveliness token on {base}")))?;
    tracing::info!(keys = base, encoding = %shared.encoding, "publishing");

    shared.network.look(session);
    Loop {
        shared,
        session,
        tracks,
        answers,
        status,
        heard,
        jobs: queries.jobs(),
        waiting: None,
        tracks_sent: None,
        status_sent: None,
        state_sent: proto::EngineState::Unspecified,
        arrived_before: None,
    }
    .run();
    drop(queries);
    Ok(())
}

/// The publisher's thread.
struct Loop<'a> {
    shared: &'a Arc<Shared>,
    session: &'a zenoh::Session,
    tracks: Outlet<'a>,
    answers: Outlet<'a>,
    status: Outlet<'a>,
    heard: Arc<AtomicBool>,
    jobs: Sender<Job>,
    /// The newest frame, not encoded yet because nobody listened.
    waiting: Option<Frame>,
    tracks_sent: Option<Instant>,
    status_sent: Option<Instant>,
    state_sent: proto::EngineState,
    arrived_before: Option<Instant>,
}

impl Loop<'_> {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            self.shared.frames.wait(TICK);
            self.send_answers();
            while let Some(frame) = self.shared.frames.pop() {
                self.take(frame);
                self.send_status_when_due();
            }
            if is_due(self.tracks_sent) || self.heard.load(Ordering::Relaxed) {
                self.send_waiting();
            }
            self.send_status_when_due();
        }
        self.send_answers();
        self.send_waiting();
        self.shared.monitor.note_source(SourceReport {
            state: proto::EngineState::Ended,
            attempts: 0,
            reconnects: 0,
            dropped: 0,
            message: "the publisher has stopped".to_owned(),
        });
        self.send_status();
    }

    fn take(&mut self, frame: Frame) {
        self.shared.monitor.note_frame(
            &frame.results,
            frame.arrived,
            self.arrived_before.replace(frame.arrived),
        );
        *self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(frame.clone());
        if self.waiting.replace(frame).is_some() {
            self.shared.unheard.fetch_add(1, Ordering::Relaxed);
        }
        if self.heard.load(Ordering::Relaxed) {
            self.send_waiting();
        }
    }

    fn send_waiting(&mut self) {
        let Some(frame) = self.waiting.take() else { return };
        self.tracks_sent = Some(Instant::now());
        let mut message = messages::tracks(&frame.results);
        message.header = Some(self.shared.header(frame.seq, frame.results.time));
        match encode_tracks(message, self.shared.encoding) {
            Ok(parts) => {
                for bytes in parts {
                    self.tracks.put(bytes, frame.seq, frame.results.time);
                }
                self.shared.monitor.count_published();
                self.shared.monitor.note_published(&frame.results, now_utc_ns());
            }
            Err(error) => tracing::error!(%error, "tracks cannot be written"),
        }
    }

    fn send_answers(&mut self) {
        let mut said = Vec::new();
        while let Some(Said { time, answers }) = self.shared.answers.pop() {
            for answer in &answers {
                self.answers.put_next(self.shared, time, |header| proto::Answer {
                    header: Some(header),
                    ..messages::answer(answer)
                });
            }
            said.extend(answers);
        }
        if !said.is_empty()
            && self.shared.asks_waiting.load(Ordering::Acquire) > 0
            && self.jobs.try_send(Job::Said(said)).is_err()
        {
            // The asker is told after its time-out; the answer itself was published.
            self.shared.queries_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send_status_when_due(&mut self) {
        if is_due(self.status_sent) || self.shared.monitor.state() != self.state_sent {
            self.send_status();
        }
    }

    fn send_status(&mut self) {
        let message = self.shared.monitor.status(&self.shared.drops());
        let time = self.shared.monitor.newest_time();
        self.state_sent = message.state();
        self.status_sent = Some(Instant::now());
        self.status.put_next(self.shared, time, |header| proto::Status {
            header: Some(header),
            ..message
        });
        self.shared.network.look(self.session);
    }
}

fn is_due(last: Option<Instant>) -> bool {
    last.is_none_or(|at| at.elapsed() >= EVERY_SECOND)
}

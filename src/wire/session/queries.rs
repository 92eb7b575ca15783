//! The queries of one camera: `ask`, `history`, `snapshot`, `metrics`, and plain gets of the newest `tracks` and
//! `status`.
//!
//! zenoh's callbacks only pass a query on; two threads of ours answer, so that neither zenoh nor the publisher waits for
//! an answer, a picture, or an asker that does not read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use zenoh::Wait;
use zenoh::bytes::Encoding as ZenohEncoding;
use zenoh::pubsub::Subscriber;
use zenoh::query::{Query, Queryable};
use zenoh::sample::Sample;

use super::publisher::Shared;
use super::{SessionError, encoding_of, refused, zenoh_encoding};
use crate::reconstruction::{EgoMoment, EgoMotion};
use crate::stkit::{Answer, Question};
use crate::wire::codec::{Encoding, WireMessage, encode_tracks};
use crate::wire::history::{HistoryQuery, history};
use crate::wire::proto;
use crate::wire::{geometry, messages};

/// Queries that wait for our threads; more are refused.
const QUERIES_WAITING: usize = 64;

/// Asks that wait for their answers at once; more are refused.
const ASKS_WAITING: usize = 64;

/// How long an ask waits for its answer when it does not say: less than the 10 s after which zenoh gives up a query.
const ASK_TIMEOUT: Duration = Duration::from_secs(8);

/// Longest time that an ask may wait.
const ASK_TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// Longest question, bytes.
const MAX_QUESTION_BYTES: usize = 4096;

/// How often the thread looks for asks whose time is up.
const SWEEP: Duration = Duration::from_millis(100);

/// A question on its way to the stage that answers.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardedAsk {
    /// Comes back as the answer's `question_id`.
    pub id: String,
    /// The question in words.
    pub text: String,
    /// The question by task, when it was asked that way.
    pub question: Option<Question>,
}

/// Passes a question to the stage that answers; `false` when there is none. The answer comes with a later frame.
pub type AskForwarder = Box<dyn Fn(&ForwardedAsk) -> bool + Send + Sync>;

/// Gives a JPEG picture of the newest frame, or says why there is none. May take a while.
pub type SnapshotProvider = Box<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>;

/// Takes the vehicle's motion that came on the key `ego`. Called on zenoh's thread: it must not block.
pub type EgoForwarder = Box<dyn Fn(EgoMoment, EgoMotion) + Send + Sync>;

/// What the publisher's owner does for queries.
#[derive(Default)]
pub struct Services {
    /// Without it, and when no answer comes in time, the newest frame's trajectories answer.
    pub ask: Option<AskForwarder>,
    /// Without it, there is no `snapshot`.
    pub snapshot: Option<SnapshotProvider>,
    /// Without it, nobody listens to `ego`.
    pub ego: Option<EgoForwarder>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services")
            .field("ask", &self.ask.is_some())
            .field("snapshot", &self.snapshot.is_some())
            .field("ego", &self.ego.is_some())
            .finish()
    }
}

/// What the queries' thread is to do.
pub(super) enum Job {
    Ask(Query),
    History(Query),
    Metrics(Query),
    Tracks(Query),
    Status(Query),
    /// Answers that came with a frame.
    Said(Vec<Arc<Answer>>),
}

impl Job {
    fn into_query(self) -> Option<Query> {
        match self {
            Self::Ask(query)
            | Self::History(query)
            | Self::Metrics(query)
            | Self::Tracks(query)
            | Self::Status(query) => Some(query),
            Self::Said(_) => None,
        }
    }
}

/// How a query becomes a job.
type ToJob = fn(Query) -> Job;

/// The declared queryables and their threads; stops when dropped.
pub(super) struct Queries {
    jobs: Sender<Job>,
    _queryables: Vec<Queryable<()>>,
    _ego: Option<Subscriber<()>>,
    _threads: Vec<JoinHandle<()>>,
}

impl Queries {
    pub fn jobs(&self) -> Sender<Job> {
        self.jobs.clone()
    }
}

/// Declares the queryables and starts their threads, which end when the queryables are gone.
pub(super) fn serve(
    session: &zenoh::Session,
    shared: &Arc<Shared>,
    services: Services,
) -> Result<Queries, SessionError> {
    let (jobs, waiting) = bounded(QUERIES_WAITING);
    let mut queryables = Vec::new();
    let leaves: [(&str, ToJob); 5] = [
        ("ask", Job::Ask),
        ("history", Job::History),
        ("metrics", Job::Metrics),
        ("tracks", Job::Tracks),
        ("status", Job::Status),
    ];
    for (leaf, job) in leaves {
        let jobs = jobs.clone();
        let passing = pass_on(shared.clone(), move |query| {
            let refused = jobs.try_send(job(query)).err()?;
            refused.into_inner().into_query()
        });
        queryables.push(declare(session, shared, leaf, passing)?);
    }
    let mut threads = vec![std::thread::Builder::new().name("kine-ask".to_owned()).spawn({
        let shared = shared.clone();
        let ask = services.ask;
        move || Desk::new(&shared, ask).run(&waiting)
    })?];
    if let Some(snapshot) = services.snapshot {
        let (pictures, wanted) = bounded::<Query>(4);
        let passing = pass_on(shared.clone(), move |query| {
            pictures.try_send(query).err().map(|refused| refused.into_inner())
        });
        queryables.push(declare(session, shared, "snapshot", passing)?);
        let key = shared.keys.leaf("snapshot");
        threads.push(
            std::thread::Builder::new()
                .name("kine-snapshot".to_owned())
                .spawn(move || {
                    for query in wanted {
                        match snapshot() {
                            Ok(jpeg) => reply(&query, &key, jpeg, ZenohEncoding::IMAGE_JPEG),
                            Err(reason) => reply_error(&query, &reason),
                        }
                    }
                })?,
        );
    }
    let ego = services
        .ego
        .map(|forward| {
            let key = shared.keys.leaf("ego");
            session
                .declare_subscriber(key.clone())
                .callback(move |sample| hear_ego(&sample, &forward))
                .wait()
                .map_err(refused(format!("a subscriber on {key}")))
        })
        .transpose()?;
    Ok(Queries {
        jobs,
        _queryables: queryables,
        _ego: ego,
        _threads: threads,
    })
}

/// Passes a message of the vehicle on; one that cannot be read is told in the log.
fn hear_ego(sample: &Sample, forward: &EgoForwarder) {
    let payload = sample.payload().to_bytes();
    let encoding = encoding_of(sample.encoding()).unwrap_or(match payload.first() {
        Some(b'{') => Encoding::Json,
        _ => Encoding::Protobuf,
    });
    let read = proto::Ego::decode_as(encoding, &payload)
        .map_err(|error| error.to_string())
        .and_then(|ego| messages::ego_motion(&ego));
    match read {
        Ok((moment, motion)) => forward(moment, motion),
        Err(error) => tracing::warn!(key = %sample.key_expr(), %error, "a message on ego is passed over"),
    }
}

fn declare(
    session: &zenoh::Session,
    shared: &Shared,
    leaf: &str,
    callback: impl Fn(Query) + Send + Sync + 'static,
) -> Result<Queryable<()>, SessionError> {
    let key = shared.keys.leaf(leaf);
    session
        .declare_queryable(key.clone())
        .callback(callback)
        .wait()
        .map_err(refused(format!("a queryable on {key}")))
}

/// A callback that hands the query over, or, where `hand_over` gives it back, tells the asker that too many wait.
fn pass_on(
    shared: Arc<Shared>,
    hand_over: impl Fn(Query) -> Option<Query> + Send + Sync + 'static,
) -> impl Fn(Query) + Send + Sync + 'static {
    move |query| {
        if let Some(refused) = hand_over(query) {
            shared.queries_dropped.fetch_add(1, Ordering::Relaxed);
            reply_error(&refused, "too many queries are waiting; try again");
        }
    }
}

fn reply(query: &Query, key: &str, bytes: Vec<u8>, encoding: ZenohEncoding) {
    if let Err(error) = query.reply(key, bytes).encoding(encoding).wait() {
        tracing::debug!(key, %error, "a reply was not sent");
    }
}

fn reply_message<M: WireMessage>(query: &Query, key: &str, message: &M, encoding: Encoding) {
    match message.encode_as(encoding) {
        Ok(bytes) => reply(query, key, bytes, zenoh_encoding(encoding, M::SCHEMA)),
        Err(error) => reply_error(query, &error.to_string()),
    }
}

fn reply_error(query: &Query, reason: &str) {
    if let Err(error) = query.reply_err(reason).encoding(ZenohEncoding::TEXT_PLAIN).wait() {
        tracing::debug!(%error, "an error reply was not sent");
    }
}

/// An ask that waits for its answer.
struct Waiting {
    query: Query,
    text: String,
    question: Option<Question>,
    encoding: Encoding,
    timeout: Duration,
    deadline: Instant,
}

/// The thread that answers all queries but pictures.
struct Desk<'a> {
    shared: &'a Shared,
    ask: Option<AskForwarder>,
    asked: u64,
    waiting: HashMap<String, Waiting>,
}

impl<'a> Desk<'a> {
    fn new(shared: &'a Shared, ask: Option<AskForwarder>) -> Self {
        Self {
            shared,
            ask,
            asked: 0,
            waiting: HashMap::new(),
        }
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        while !self.shared.stop.load(Ordering::Acquire) {
            match jobs.recv_timeout(SWEEP) {
                Ok(job) => self.handle(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.give_up_the_late();
        }
        for (id, waiting) in self.waiting.drain() {
            let answer = messages::no_answer(&id, &waiting.text, "the camera's publisher has stopped");
            reply_answers(self.shared, &waiting.query, &id, vec![answer], waiting.encoding);
        }
    }

    fn handle(&mut self, job: Job) {
        match job {
            Job::Ask(query) => {
                if let Err(reason) = self.ask(&query) {
                    reply_error(&query, &reason);
                }
            }
            Job::Said(answers) => self.deliver(&answers),
            Job::History(query) => self.answer_with(&query, Self::history),
            Job::Metrics(query) => {
                let keys = &self.shared.keys;
                let drops = self.shared.drops();
                let text = self.shared.monitor.open_metrics(keys.site(), keys.camera(), &drops);
                let encoding = ZenohEncoding::APPLICATION_OPENMETRICS_TEXT;
                reply(&query, &keys.leaf("metrics"), text.into_bytes(), encoding);
            }
            Job::Tracks(query) => self.answer_with(&query, Self::tracks),
            Job::Status(query) => self.answer_with(&query, Self::status),
        }
    }

    fn answer_with(&self, query: &Query, answer: impl FnOnce(&Self, &Query, Encoding) -> Result<(), String>) {
        let result = reply_encoding(self.shared, query).and_then(|encoding| answer(self, query, encoding));
        if let Err(reason) = result {
            reply_error(query, &reason);
        }
    }

    fn history(&self, query: &Query, encoding: Encoding) -> Result<(), String> {
        let wanted = HistoryQuery::parse(query.parameters().iter()).map_err(|error| error.to_string())?;
        let (seq, results) = self.shared.newest().ok_or("no frame has come yet")?;
        let trajectories = results
            .trajectories
            .as_ref()
            .ok_or("there are no trajectories: the pipeline has no kinemotion")?;
        let mut message = history(trajectories, &wanted, results.time.seconds()).map_err(|error| error.to_string())?;
        message.header = Some(self.shared.header(seq, results.time));
        reply_message(query, &self.shared.keys.leaf("history"), &message, encoding);
        Ok(())
    }

    fn tracks(&self, query: &Query, encoding: Encoding) -> Result<(), String> {
        let (seq, results) = self.shared.newest().ok_or("no frame has come yet")?;
        let mut message = messages::tracks(&results);
        message.header = Some(self.shared.header(seq, results.time));
        let parts = encode_tracks(message, encoding).map_err(|error| error.to_string())?;
        for bytes in parts {
            let schema = zenoh_encoding(encoding, proto::Tracks::SCHEMA);
            reply(query, &self.shared.keys.leaf("tracks"), bytes, schema);
        }
        Ok(())
    }

    fn status(&self, query: &Query, encoding: Encoding) -> Result<(), String> {
        let mut message = self.shared.monitor.status(&self.shared.drops());
        message.header = Some(self.shared.header(0, self.shared.monitor.newest_time()));
        reply_message(query, &self.shared.keys.leaf("status"), &message, encoding);
        Ok(())
    }

    fn ask(&mut self, query: &Query) -> Result<(), String> {
        let encoding = reply_encoding(self.shared, query)?;
        let timeout = ask_timeout(query)?;
        let request = ask_request(query)?;
        let question = messages::question(&request).map_err(|error| error.to_string())?;
        if self.waiting.len() >= ASKS_WAITING {
            self.shared.queries_dropped.fetch_add(1, Ordering::Relaxed);
            return Err("too many questions are waiting for answers; try again".to_owned());
        }
        let ask = ForwardedAsk {
            id: format!("ask-{}", self.asked),
            text: question
                .as_ref()
                .map_or_else(|| request.text.trim().to_owned(), |question| question.text.clone()),
            question,
        };
        self.asked += 1;
        // Counted before the question goes out, so that no answer can overtake it.
        self.shared.asks_waiting.fetch_add(1, Ordering::AcqRel);
        // Before the first frame there is nothing that could be asked about.
        let newest = self.shared.newest().map(|(_, results)| results);
        let forwarded = newest.is_some() && self.ask.as_ref().is_some_and(|forward| forward(&ask));
        if forwarded {
            let waiting = Waiting {
                query: query.clone(),
                text: ask.text,
                question: ask.question,
                encoding,
                timeout,
                deadline: Instant::now() + timeout,
            };
            self.waiting.insert(ask.id, waiting);
        } else {
            self.shared.asks_waiting.fetch_sub(1, Ordering::AcqRel);
            let answers = geometry::answers(&ask.id, &ask.text, ask.question, newest.as_deref());
            reply_answers(self.shared, query, &ask.id, answers, encoding);
        }
        Ok(())
    }

    /// Replies to the asks whose answers came with a frame: all answers with one id are one reply.
    fn deliver(&mut self, answers: &[Arc<Answer>]) {
        for answer in answers {
            let id = &answer.question_id;
            let Some(waiting) = self.waiting.remove(id) else {
                continue;
            };
            self.shared.asks_waiting.fetch_sub(1, Ordering::AcqRel);
            let answers = answers
                .iter()
                .filter(|answer| answer.question_id == *id)
                .map(|answer| messages::answer(answer))
                .collect();
            reply_answers(self.shared, &waiting.query, id, answers, waiting.encoding);
        }
    }

    fn give_up_the_late(&mut self) {
        let now = Instant::now();
        let late: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.deadline <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            let Some(waiting) = self.waiting.remove(&id) else {
                continue;
            };
            self.shared.asks_waiting.fetch_sub(1, Ordering::AcqRel);
            // Trajectories may know what the answering stage had no time for.
            let newest = self.shared.newest().map(|(_, results)| results);
            let mut answers = geometry::answers(&id, &waiting.text, waiting.question, newest.as_deref());
            if answers.iter().all(|answer| answer.value.is_none()) {
                let reason = format!("no answer within {} s", waiting.timeout.as_secs_f64());
                answers = vec![messages::no_answer(&id, &waiting.text, &reason)];
            }
            reply_answers(self.shared, &waiting.query, &id, answers, waiting.encoding);
        }
    }
}

fn reply_answers(shared: &Shared, query: &Query, id: &str, answers: Vec<proto::Answer>, encoding: Encoding) {
    let message = proto::AskReply {
        header: Some(shared.header(0, shared.monitor.newest_time())),
        question_id: id.to_owned(),
        answers,
    };
    reply_message(query, &shared.keys.leaf("ask"), &message, encoding);
}

/// The encoding that `?encoding=` asks for, else that of the payload, else the publisher's.
fn reply_encoding(shared: &Shared, query: &Query) -> Result<Encoding, String> {
    if let Some(name) = query.parameters().get("encoding") {
        return name
            .parse()
            .map_err(|error: crate::wire::codec::CodecError| error.to_string());
    }
    Ok(query.encoding().and_then(encoding_of).unwrap_or(shared.encoding))
}

fn ask_timeout(query: &Query) -> Result<Duration, String> {
    let Some(value) = query.parameters().get("timeout") else {
        return Ok(ASK_TIMEOUT);
    };
    let seconds: Option<f64> = value.trim().parse().ok();
    match seconds {
        Some(seconds) if seconds > 0.0 && seconds <= ASK_TIMEOUT_MAX.as_secs_f64() => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!(
            "timeout: expected seconds above 0 and up to {}, found {value:?}",
            ASK_TIMEOUT_MAX.as_secs()
        )),
    }
}

/// The request in the payload: by its encoding where that is named, else JSON when it starts like it, else words.
fn ask_request(query: &Query) -> Result<proto::AskRequest, String> {
    let bytes = query.payload().map(|payload| payload.to_bytes()).unwrap_or_default();
    if bytes.len() > MAX_QUESTION_BYTES {
        return Err(format!(
            "expected a question of at most {MAX_QUESTION_BYTES} bytes, found {}",
            bytes.len()
        ));
    }
    let named = query.encoding().and_then(encoding_of);
    let guessed = || bytes.trim_ascii_start().starts_with(b"{").then_some(Encoding::Json);
    if let Some(encoding) = named.or_else(guessed) {
        return proto::AskRequest::decode_as(encoding, &bytes).map_err(|error| error.to_string());
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.trim().is_empty() => Ok(proto::AskRequest {
            text: text.trim().to_owned(),
            ..Default::default()
        }),
        Ok(_) => {
            Err("expected a question as payload: words, or an AskRequest as JSON or protobuf; found nothing".into())
        }
        Err(_) => {
            Err("expected a question as payload: words in UTF-8, or an AskRequest with its encoding named".into())
        }
    }
}

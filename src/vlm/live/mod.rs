//! The answerer: a worker thread that answers standing questions and asks while the stream goes on.
//!
//! The streaming thread hands over what is due and goes on; it takes finished answers with a later frame. Everything in
//! between is bounded: a standing question that waits gives way to its newer window, at most [`MAX_ASKS`] asks wait, and at
//! most [`MAX_BATCHES`] batches of answers wait to be taken. What is given up is counted.

mod backend;
mod onlooker;
mod windows;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use backend::{Backend, Circuit, Geometry, Health, Posed, Stopper};
pub use onlooker::{Look, Onlooker};
pub use windows::{Due, Windows};

use crate::motion::SharedTrajectories;
use crate::stkit::{Answer, Question, Span, Timings, parse_ask};

/// Most asks that wait.
pub const MAX_ASKS: usize = 32;

/// Most batches of finished answers that wait to be taken; the answers to one ask, or to what was due at one time.
pub const MAX_BATCHES: usize = 64;

/// What is known of the stream at its newest frame.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Stream time of the newest frame, seconds.
    pub now_s: f64,
    /// Stream time of the first frame since the stream (re)started, seconds.
    pub stream_start_s: f64,
    /// The rolling store; `None` when nothing before the answerer measures motion.
    pub trajectories: Option<SharedTrajectories>,
}

/// Questions and answers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Questions posed: standing questions once a window, and asks.
    pub asked: u64,
    /// Answers delivered; a question about several objects has several.
    pub answered: u64,
    /// Questions given up (replaced by a newer window, flushed, or one too many), and answers that nobody took.
    pub dropped: u64,
}

/// Called on the worker thread with every finished answer.
pub type Deliver = Box<dyn Fn(&Arc<Answer>) + Send + Sync>;

/// Answers questions about a stream on its own thread; see the [module's documentation](self).
pub struct Answerer {
    shared: Arc<Shared>,
    stopper: Option<Stopper>,
    worker: Option<JoinHandle<()>>,
}

struct Shared {
    inbox: Mutex<Inbox>,
    /// Work has come, or the worker shall stop.
    work: Condvar,
    /// The worker has finished something, or waiting is over.
    done: Condvar,
    deliver: Deliver,
}

#[derive(Default)]
struct Inbox {
    moment: Option<Moment>,
    windows: Vec<Standing>,
    asks: VecDeque<Asked>,
    batches: VecDeque<Vec<Arc<Answer>>>,
    counters: Counters,
    /// Changes when the stream is flushed: what began before is not delivered.
    generation: u64,
    flushing: bool,
    working: bool,
    stopped: bool,
}

struct Standing {
    due: Due,
    arrived: Instant,
}

struct Asked {
    id: String,
    question: Question,
    arrived: Instant,
}

impl Answerer {
    /// Starts the thread `kine-answers`. `deliver` is called on it with every answer.
    pub fn spawn(backend: Box<dyn Backend>, deliver: Deliver) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            deliver,
        });
        let stopper = backend.stopper();
        let worker = Arc::clone(&shared);
        let worker = std::thread::Builder::new()
            .name("kine-answers".to_owned())
            .spawn(move || worker.run(backend))?;
        Ok(Self {
            shared,
            stopper,
            worker: Some(worker),
        })
    }

    /// Tells of a new frame.
    pub fn observe(&self, moment: Moment) {
        self.shared.inbox().moment = Some(moment);
    }

    /// Hands over what is due and returns at once. A question that waits with an older window is replaced, and counted as
    /// dropped.
    pub fn submit(&self, due: Vec<Due>) {
        if due.is_empty() {
            return;
        }
        let mut inbox = self.shared.inbox();
        for due in due {
            let before = inbox.windows.len();
            inbox
                .windows
                .retain(|waiting| waiting.due.question.id != due.question.id);
            inbox.counters.dropped += (before - inbox.windows.len()) as u64;
            inbox.push(due);
        }
        self.shared.work.notify_one();
    }

    /// Hands over what is due and waits until all of it is answered. False when a flush or the end of the answerer came
    /// first.
    pub fn submit_and_wait(&self, due: Vec<Due>) -> bool {
        if due.is_empty() {
            return true;
        }
        let mut inbox = self.shared.inbox();
        if inbox.flushing || inbox.stopped {
            inbox.counters.dropped += due.len() as u64;
            return false;
        }
        for due in due {
            inbox.push(due);
        }
        self.shared.work.notify_one();
        let generation = inbox.generation;
        let going_on = |inbox: &mut Inbox| {
            (inbox.working || !inbox.windows.is_empty())
                && inbox.generation == generation
                && !inbox.flushing
                && !inbox.stopped
        };
        let waited = self.shared.done.wait_while(inbox, going_on);
        let inbox = waited.unwrap_or_else(PoisonError::into_inner);
        inbox.generation == generation && !inbox.flushing && !inbox.stopped
    }

    /// Asks a question in words or typed (see [`parse_ask`]). What cannot be understood, or is one too many, is answered at
    /// once with the reason.
    pub fn ask(&self, id: &str, text: &str) {
        match parse_ask(text) {
            Ok(question) => self.ask_question(id, question),
            Err(error) => {
                self.shared.inbox().counters.asked += 1;
                self.refuse(id, unread(text), error.to_string());
            }
        }
    }

    /// Asks a question that is understood already.
    pub fn ask_question(&self, id: &str, question: Question) {
        let mut inbox = self.shared.inbox();
        inbox.counters.asked += 1;
        if inbox.asks.len() >= MAX_ASKS || inbox.stopped {
            inbox.counters.dropped += 1;
            drop(inbox);
            return self.refuse(id, question, format!("busy, {MAX_ASKS} questions are waiting"));
        }
        inbox.asks.push_back(Asked {
            id: id.to_owned(),
            question,
            arrived: Instant::now(),
        });
        self.shared.work.notify_one();
    }

    fn refuse(&self, id: &str, question: Question, reason: String) {
        let answer = Arc::new(Answer::without_value(id, &question, (0.0, 0.0), reason));
        self.shared.inbox().finish(vec![Arc::clone(&answer)]);
        (self.shared.deliver)(&answer);
    }

    /// Takes all finished answers. The answers to one ask, or to one question and window, come together.
    pub fn take(&self) -> Vec<Arc<Answer>> {
        let mut inbox = self.shared.inbox();
        if inbox.batches.is_empty() {
            return Vec::new();
        }
        inbox.batches.drain(..).flatten().collect()
    }

    /// Waits until everything handed over is answered, at most for `limit`. False when time ran out or a flush came.
    pub fn drain(&self, limit: Duration) -> bool {
        let busy = |inbox: &mut Inbox| {
            (inbox.working || !inbox.windows.is_empty() || !inbox.asks.is_empty()) && !inbox.flushing && !inbox.stopped
        };
        let waited = self.shared.done.wait_timeout_while(self.shared.inbox(), limit, busy);
        let (inbox, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out() && !inbox.flushing && !inbox.stopped
    }

    /// Throws away standing questions and answers that are in flight: the stream that they are about is over. Asks stay, and
    /// are answered about what comes.
    pub fn flush(&self) {
        let mut inbox = self.shared.inbox();
        inbox.generation += 1;
        let waiting: usize = inbox.windows.len() + inbox.batches.iter().map(Vec::len).sum::<usize>();
        inbox.counters.dropped += waiting as u64;
        inbox.windows.clear();
        inbox.batches.clear();
        inbox.moment = None;
        self.shared.done.notify_all();
    }

    /// While flushing, nobody waits in [`Answerer::submit_and_wait`] or [`Answerer::drain`].
    pub fn set_flushing(&self, flushing: bool) {
        self.shared.inbox().flushing = flushing;
        self.shared.done.notify_all();
    }

    /// Questions and answers so far.
    pub fn counters(&self) -> Counters {
        self.shared.inbox().counters
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.shared.inbox().stopped = true;
        self.shared.work.notify_all();
        self.shared.done.notify_all();
        if let Some(stopper) = &self.stopper {
            stopper();
        }
        if let Some(worker) = self.worker.take()
            && worker.thread().id() != std::thread::current().id()
        {
            // It catches its panics; there is nothing to be told.
            let _ = worker.join();
        }
    }
}

impl Inbox {
    fn push(&mut self, due: Due) {
        self.counters.asked += 1;
        self.windows.push(Standing {
            due,
            arrived: Instant::now(),
        });
    }

    fn finish(&mut self, answers: Vec<Arc<Answer>>) {
        self.counters.answered += answers.len() as u64;
        self.batches.push_back(answers);
        while self.batches.len() > MAX_BATCHES {
            let given_up = self.batches.pop_front().map_or(0, |batch| batch.len());
            self.counters.dropped += given_up as u64;
        }
    }
}

/// What the worker takes from the inbox at a time.
enum Work {
    Windows(Vec<Standing>),
    Ask(Asked),
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut backend: Box<dyn Backend>) {
        let mut ask_next = true;
        while let Some((work, moment, generation)) = self.wait_for_work(&mut ask_next) {
            let (answers, standing) = match work {
                Work::Windows(windows) => (answer_windows(&mut *backend, &windows, moment.as_ref()), windows.len()),
                Work::Ask(ask) => (answer_ask(&mut *backend, &ask, moment.as_ref()), 0),
            };
            self.hand_over(answers, standing, generation);
        }
    }

    /// Asks and windows take turns. `None`: the worker shall stop.
    fn wait_for_work(&self, ask_next: &mut bool) -> Option<(Work, Option<Moment>, u64)> {
        let idle = |inbox: &mut Inbox| inbox.windows.is_empty() && inbox.asks.is_empty() && !inbox.stopped;
        let waited = self.work.wait_while(self.inbox(), idle);
        let mut inbox = waited.unwrap_or_else(PoisonError::into_inner);
        if inbox.stopped {
            return None;
        }
        inbox.working = true;
        let ask = if *ask_next || inbox.windows.is_empty() {
            inbox.asks.pop_front()
        } else {
            None
        };
        *ask_next = ask.is_none();
        let work = ask.map_or_else(|| Work::Windows(std::mem::take(&mut inbox.windows)), Work::Ask);
        Some((work, inbox.moment.clone(), inbox.generation))
    }

    /// Delivers `answers`, unless they are to `standing` questions of a stream that was flushed meanwhile.
    fn hand_over(&self, mut answers: Vec<Answer>, standing: usize, generation: u64) {
        let mut inbox = self.inbox();
        let stale = standing > 0 && inbox.generation != generation;
        let mut delivered: Vec<Arc<Answer>> = Vec::new();
        if stale {
            inbox.counters.dropped += standing as u64;
        } else {
            let now_s = inbox.moment.as_ref().map(|moment| moment.now_s);
            for answer in &mut answers {
                answer.timings.age_s = now_s.map_or(0.0, |now_s| (now_s - answer.end_s).max(0.0));
            }
            delivered = answers.into_iter().map(Arc::new).collect();
            inbox.finish(delivered.clone());
        }
        drop(inbox);
        for answer in &delivered {
            (self.deliver)(answer);
        }
        self.inbox().working = false;
        self.done.notify_all();
    }
}

fn answer_windows(backend: &mut dyn Backend, windows: &[Standing], moment: Option<&Moment>) -> Vec<Answer> {
    let posed: Vec<Posed<'_>> = windows
        .iter()
        .map(|standing| Posed {
            id: &standing.due.question.id,
            question: &standing.due.question.question,
            window: (standing.due.start_s, standing.due.end_s),
        })
        .collect();
    let arrived: Vec<Instant> = windows.iter().map(|standing| standing.arrived).collect();
    answer(backend, &posed, &arrived, moment)
}

fn answer_ask(backend: &mut dyn Backend, ask: &Asked, moment: Option<&Moment>) -> Vec<Answer> {
    let window = moment.map_or((0.0, 0.0), |moment| {
        let (history_s, settle_lag_s) = moment.trajectories.as_ref().map_or((0.0, 0.0), |shared| {
            shared.read(|store| (store.history_s(), store.settle_lag_s()))
        });
        let end_s = moment.now_s - settle_lag_s;
        (moment.stream_start_s.max(moment.now_s - history_s), end_s)
    });
    let posed = Posed {
        id: &ask.id,
        question: &ask.question,
        window,
    };
    answer(backend, &[posed], &[ask.arrived], moment)
}

fn answer(backend: &mut dyn Backend, posed: &[Posed<'_>], arrived: &[Instant], moment: Option<&Moment>) -> Vec<Answer> {
    let started = Instant::now();
    let refuse_all = |reason: &str| {
        let one = |posed: &Posed<'_>| {
            vec![Answer::without_value(
                posed.id,
                posed.question,
                posed.window,
                reason.to_owned(),
            )]
        };
        posed.iter().map(one).collect::<Vec<_>>()
    };
    let answers = match moment.map(|moment| moment.trajectories.as_ref()) {
        None => refuse_all("no frame has come yet"),
        Some(None) => refuse_all("nothing measures motion here (the pipeline has no kinemotion before kinevlm)"),
        // A backend that panics must not take the pipeline with it.
        Some(Some(trajectories)) => catch_unwind(AssertUnwindSafe(|| backend.answer(trajectories, posed)))
            .unwrap_or_else(|_| {
                tracing::error!(backend = backend.name(), "the backend panicked");
                refuse_all("the backend failed")
            }),
    };
    let compute_s = started.elapsed().as_secs_f64() / posed.len().max(1) as f64;
    let timed = answers.into_iter().zip(arrived).flat_map(|(answers, arrived)| {
        let queued_s = started.duration_since(*arrived).as_secs_f64();
        answers.into_iter().map(move |mut answer| {
            answer.timings = Timings {
                queued_s,
                compute_s,
                ..answer.timings
            };
            answer
        })
    });
    timed.collect()
}

/// Stands for a question that could not be understood.
fn unread(text: &str) -> Question {
    Question {
        text: text.chars().take(crate::stkit::MAX_QUESTION_BYTES).collect(),
        task: None,
        subjects: Vec::new(),
        span: Span::Window,
        clock_hour: None,
        inverted: false,
    }
}

#[cfg(test)]
mod tests;

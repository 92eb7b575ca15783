//! The watchdog of a camera: notices within two seconds that frames stopped or never came, says so, and connects again
//! with back-off until told to stop. Runs on its own thread, because a source cannot be torn down from its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::gst::events::SourceStatus;

/// How patient the watchdog is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Frames are missed after this long, or after four of their usual intervals if that is longer.
    pub stall: Duration,
    /// A camera that says nothing at all is given up after this long.
    pub answer: Duration,
    /// A camera that answers but sends no frame is given up after this long.
    pub first_frame: Duration,
    /// Longest pause between two attempts.
    pub longest_pause: Duration,
}

/// A connecting camera that sent no frame yet is reported as not answering after this long.
const REPORT_AFTER: Duration = Duration::from_millis(1500);
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(100);

/// What the watchdog does to the camera. Called from the watchdog's thread only.
pub trait Camera: Send + 'static {
    /// Starts a connection; frames, answers and failures are told to the watchdog's [`Pulse`].
    fn connect(&mut self) -> Result<(), String>;
    /// Ends it.
    fn disconnect(&mut self);
    /// Halts or resumes it.
    fn set_playing(&mut self, playing: bool);
    /// Tells the world.
    fn report(&mut self, status: SourceStatus, attempts: u32, message: String);
}

#[derive(Debug, Default)]
struct Told {
    playing: bool,
    stop: bool,
    answered: bool,
    failure: Option<String>,
}

/// What the camera's streaming threads tell the watchdog. The frame path takes no lock.
#[derive(Debug)]
pub struct Pulse {
    born: Instant,
    newest_ns: AtomicU64,
    interval_ns: AtomicU64,
    seen: AtomicBool,
    told: Mutex<Told>,
    wake: Condvar,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            newest_ns: AtomicU64::new(0),
            interval_ns: AtomicU64::new(0),
            seen: AtomicBool::new(false),
            told: Mutex::default(),
            wake: Condvar::new(),
        }
    }
}

impl Pulse {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A frame arrived.
    pub fn frame(&self) {
        let now = self.now_ns();
        let before = self.newest_ns.swap(now, Ordering::Relaxed);
        if self.seen.swap(true, Ordering::AcqRel) {
            let interval = now.saturating_sub(before);
            let smoothed = self.interval_ns.load(Ordering::Relaxed);
            let smoothed = if smoothed == 0 {
                interval
            } else {
                smoothed - smoothed / 8 + interval / 8
            };
            self.interval_ns.store(smoothed, Ordering::Relaxed);
        } else {
            let _told = self.told();
            self.wake.notify_all();
        }
    }

    /// The camera answered: a connection stands, frames should follow.
    pub fn answered(&self) {
        self.told().answered = true;
    }

    /// The connection failed.
    pub fn failed(&self, reason: String) {
        self.told().failure.get_or_insert(reason);
        self.wake.notify_all();
    }

    /// Whether frames should flow.
    pub fn set_playing(&self, playing: bool) {
        self.told().playing = playing;
        self.wake.notify_all();
    }

    fn stop(&self) {
        self.told().stop = true;
        self.wake.notify_all();
    }

    fn begin_attempt(&self) {
        let mut told = self.told();
        told.answered = false;
        told.failure = None;
        self.interval_ns.store(0, Ordering::Relaxed);
        self.seen.store(false, Ordering::Release);
    }

    /// How long no frame has come; `None` when none came since the connection was made.
    fn silence(&self) -> Option<Duration> {
        self.seen
            .load(Ordering::Acquire)
            .then(|| Duration::from_nanos(self.now_ns().saturating_sub(self.newest_ns.load(Ordering::Relaxed))))
    }

    fn usual_interval(&self) -> Duration {
        Duration::from_nanos(self.interval_ns.load(Ordering::Relaxed))
    }

    fn wait(&self) {
        let told = self.told();
        if !told.stop && told.failure.is_none() {
            drop(self.wake.wait_timeout(told, TICK));
        }
    }
}

/// A running watchdog; dropping it disconnects the camera and ends the thread.
#[derive(Debug)]
pub struct Supervisor {
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts watching over `camera`; nothing connects before [`Pulse::set_playing`].
    pub fn start(
        name: &str,
        place: String,
        patience: Patience,
        pulse: Arc<Pulse>,
        camera: impl Camera,
    ) -> std::io::Result<Self> {
        let watch = Watch {
            place,
            patience,
            pulse: Arc::clone(&pulse),
            camera,
            phase: Phase::Off,
            attempts: 0,
            has_played: false,
            pause: Duration::ZERO,
            next_attempt: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("{name}-watchdog"))
            .spawn(move || watch.run())?;
        Ok(Self {
            pulse,
            thread: Some(thread),
        })
    }

    /// What the camera's threads report to.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.pulse.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// No connection.
    Off,
    /// Connected, no frame yet.
    Connecting { since: Instant, reported: bool },
    /// Frames flow.
    Playing,
    /// Halted by the pipeline.
    Paused { since: Instant, frames: bool },
}

struct Watch<C> {
    place: String,
    patience: Patience,
    pulse: Arc<Pulse>,
    camera: C,
    phase: Phase,
    attempts: u32,
    has_played: bool,
    pause: Duration,
    next_attempt: Instant,
}

impl<C: Camera> Watch<C> {
    fn run(mut self) {
        self.camera
            .report(SourceStatus::Connecting, 0, format!("connecting to {}", self.place));
        loop {
            let (playing, stop, failure) = {
                let mut told = self.pulse.told();
                (told.playing, told.stop, told.failure.take())
            };
            if stop {
                self.disconnect();
                return;
            }
            if let Some(reason) = failure.filter(|_| self.phase != Phase::Off) {
                self.give_up(&reason);
            } else if playing {
                self.watch();
            } else {
                self.halt();
            }
            self.pulse.wait();
        }
    }

    fn halt(&mut self) {
        let frames = match self.phase {
            Phase::Off | Phase::Paused { .. } => return,
            Phase::Connecting { .. } => false,
            Phase::Playing => true,
        };
        self.camera.set_playing(false);
        self.phase = Phase::Paused {
            since: Instant::now(),
            frames,
        };
    }

    fn watch(&mut self) {
        match self.phase {
            Phase::Off if Instant::now() >= self.next_attempt => self.connect(),
            Phase::Off => {}
            Phase::Paused { .. } => {
                // Some servers forget a paused session: a resumed camera has to prove itself like a new one.
                self.camera.set_playing(true);
                self.pulse.begin_attempt();
                self.pulse.answered();
                self.phase = Phase::Connecting {
                    since: Instant::now(),
                    reported: false,
                };
            }
            Phase::Connecting { since, reported } => self.watch_connecting(since, reported),
            Phase::Playing => {
                let silence = self.pulse.silence().unwrap_or_default();
                let limit = self.patience.stall.max(self.pulse.usual_interval() * 4);
                if silence > limit {
                    let message = format!("no frame from {} for {:.1} s", self.place, silence.as_secs_f64());
                    self.camera
                        .report(SourceStatus::Stalled, self.attempts, message.clone());
                    self.give_up(&message);
                }
            }
        }
    }

    fn watch_connecting(&mut self, since: Instant, reported: bool) {
        if self.pulse.silence().is_some() {
            self.attempts = 0;
            self.has_played = true;
            self.pause = Duration::ZERO;
            self.phase = Phase::Playing;
            self.camera.report(SourceStatus::Playing, 0, String::new());
            return;
        }
        let waited = since.elapsed();
        let answered = self.pulse.told().answered;
        let (limit, what) = if answered {
            (self.patience.first_frame, "answers but sends no frame")
        } else {
            (self.patience.answer, "does not answer")
        };
        let message = || format!("{} {what} ({:.1} s)", self.place, waited.as_secs_f64());
        if waited > limit {
            let message = message();
            self.give_up(&message);
        } else if waited > REPORT_AFTER && !reported {
            let status = if self.attempts > 1 || self.has_played {
                SourceStatus::Retrying
            } else {
                SourceStatus::Connecting
            };
            let message = message();
            self.camera.report(status, self.attempts, message);
            self.phase = Phase::Connecting { since, reported: true };
        }
    }

    fn connect(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        self.pulse.begin_attempt();
        self.phase = Phase::Connecting {
            since: Instant::now(),
            reported: false,
        };
        if let Err(reason) = self.camera.connect() {
            self.give_up(&reason);
        }
    }

    fn give_up(&mut self, reason: &str) {
        self.camera
            .report(SourceStatus::Retrying, self.attempts, reason.to_owned());
        self.disconnect();
        self.next_attempt = Instant::now() + self.pause;
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, self.patience.longest_pause.max(SHORTEST_PAUSE));
    }

    fn disconnect(&mut self) {
        if self.phase != Phase::Off {
            self.phase = Phase::Off;
            self.camera.disconnect();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::mpsc;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Act {
        Connect,
        Disconnect,
        Report(SourceStatus, u32, String),
    }

    struct Scripted(mpsc::SyncSender<Act>);

    impl Camera for Scripted {
        fn connect(&mut self) -> Result<(), String> {
            self.0.send(Act::Connect).unwrap();
            Ok(())
        }
        fn disconnect(&mut self) {
            self.0.send(Act::Disconnect).unwrap();
        }
        fn set_playing(&mut self, _playing: bool) {}
        fn report(&mut self, status: SourceStatus, attempts: u32, message: String) {
            self.0.send(Act::Report(status, attempts, message)).unwrap();
        }
    }

    fn start(patience: Patience) -> (Supervisor, mpsc::Receiver<Act>) {
        let (acts, seen) = mpsc::sync_channel(100);
        let supervisor = Supervisor::start("test", "cam".to_owned(), patience, Arc::default(), Scripted(acts)).unwrap();
        (supervisor, seen)
    }

    const QUICK: Patience = Patience {
        stall: Duration::from_millis(200),
        answer: Duration::from_millis(300),
        first_frame: Duration::from_secs(60),
        longest_pause: Duration::from_millis(200),
    };

    fn next_status(seen: &mpsc::Receiver<Act>) -> (SourceStatus, u32, String) {
        loop {
            if let Act::Report(status, attempts, message) = seen.recv_timeout(Duration::from_secs(30)).unwrap() {
                return (status, attempts, message);
            }
        }
    }

    #[test]
    fn a_camera_that_never_answers_is_tried_again_and_again() {
        let (supervisor, seen) = start(QUICK);
        supervisor.pulse().set_playing(true);
        assert_eq!(next_status(&seen).0, SourceStatus::Connecting);
        for attempt in 1..4 {
            let (status, attempts, message) = next_status(&seen);
            assert_eq!((status, attempts), (SourceStatus::Retrying, attempt));
            assert!(message.starts_with("cam does not answer"), "{message}");
        }
        drop(supervisor);
        let acts: Vec<_> = seen.try_iter().collect();
        assert!(
            !acts.contains(&Act::Report(SourceStatus::Playing, 0, String::new())),
            "{acts:?}"
        );
        // Whatever was connected last is disconnected at the end.
        assert_ne!(acts.last(), Some(&Act::Connect), "{acts:?}");
    }

    #[test]
    fn silence_is_a_stall_and_a_failure_is_told() {
        let (supervisor, seen) = start(QUICK);
        supervisor.pulse().set_playing(true);
        assert_eq!(next_status(&seen).0, SourceStatus::Connecting);
        assert_eq!(seen.recv_timeout(Duration::from_secs(30)).unwrap(), Act::Connect);
        supervisor.pulse().frame();
        assert_eq!(next_status(&seen).0, SourceStatus::Playing);
        assert_eq!(next_status(&seen).0, SourceStatus::Stalled);
        assert_eq!(next_status(&seen).0, SourceStatus::Retrying);
        assert_eq!(seen.recv_timeout(Duration::from_secs(30)).unwrap(), Act::Disconnect);
        assert_eq!(seen.recv_timeout(Duration::from_secs(30)).unwrap(), Act::Connect);
        supervisor.pulse().failed("connection refused".to_owned());
        let (status, _, message) = next_status(&seen);
        assert_eq!(
            (status, message.as_str()),
            (SourceStatus::Retrying, "connection refused")
        );
    }
}

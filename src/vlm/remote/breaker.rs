//! A circuit breaker: a server that fails again and again is left alone for a while, then tried with one request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::vlm::live::Circuit;

/// When the circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open at first; twice as long each time the trial fails.
    pub wait: Duration,
    /// The longest it stays open, unless the server asks for more.
    pub longest_wait: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 3,
            wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// Lets requests pass, or not. Time is given by the caller.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        wait: Duration,
    },
    /// One request is on its way to see.
    Trying {
        wait: Duration,
    },
}

impl Breaker {
    /// Closed.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to send a request, whose outcome is to be told by [`Self::succeeded`], [`Self::failed`] or
    /// [`Self::abandoned`].
    ///
    /// # Errors
    /// The circuit is open, for so long; zero while a trial is on its way.
    pub fn pass(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => Ok(()),
            State::Open { until, wait } if now >= until => {
                *state = State::Trying { wait };
                Ok(())
            }
            State::Open { until, .. } => Err(until - now),
            State::Trying { .. } => Err(Duration::ZERO),
        }
    }

    /// A request was answered.
    pub fn succeeded(&self) {
        *self.state() = State::Closed { failures: 0 };
    }

    /// A request failed; the server may have asked to be left alone for so long.
    pub fn failed(&self, now: Instant, asked: Option<Duration>) {
        let mut state = self.state();
        let open = |wait: Duration| State::Open {
            until: now + wait.max(asked.unwrap_or_default()),
            wait,
        };
        *state = match *state {
            State::Closed { failures } if failures + 1 < self.settings.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => open(self.settings.wait),
            State::Trying { wait } => open((wait * 2).min(self.settings.longest_wait)),
            // Sent before the circuit opened.
            State::Open { until, wait } => State::Open {
                until: until.max(now + asked.unwrap_or_default()),
                wait,
            },
        };
    }

    /// A request was given up before its outcome was known.
    pub fn abandoned(&self, now: Instant) {
        let mut state = self.state();
        if let State::Trying { wait } = *state {
            *state = State::Open { until: now, wait };
        }
    }

    /// The state at `now`, and, while open, how long it stays so.
    pub fn look(&self, now: Instant) -> (Circuit, Duration) {
        match *self.state() {
            State::Closed { .. } => (Circuit::Closed, Duration::ZERO),
            State::Open { until, .. } => (Circuit::Open, until.saturating_duration_since(now)),
            State::Trying { .. } => (Circuit::HalfOpen, Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 2,
        wait: Duration::from_secs(2),
        longest_wait: Duration::from_secs(5),
    };

    #[test]
    fn it_opens_tries_once_and_closes() {
        let breaker = Breaker::new(SETTINGS);
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        breaker.failed(at(0.0), None);
        breaker.succeeded();
        breaker.failed(at(0.0), None);
        assert_eq!(
            breaker.pass(at(0.0)),
            Ok(()),
            "failures with a success between do not add up"
        );
        breaker.failed(at(0.0), None);
        assert_eq!(breaker.look(at(0.5)), (Circuit::Open, Duration::from_millis(1500)));
        assert_eq!(breaker.pass(at(1.0)), Err(Duration::from_secs(1)));
        assert_eq!(breaker.pass(at(2.0)), Ok(()));
        assert_eq!(breaker.look(at(2.0)).0, Circuit::HalfOpen);
        assert_eq!(breaker.pass(at(2.0)), Err(Duration::ZERO), "one trial at a time");
        breaker.failed(at(2.5), None);
        assert_eq!(breaker.look(at(2.5)), (Circuit::Open, Duration::from_secs(4)));
        assert_eq!(breaker.pass(at(6.5)), Ok(()));
        breaker.abandoned(at(6.6));
        assert_eq!(breaker.pass(at(6.6)), Ok(()), "a trial that was given up tells nothing");
        breaker.failed(at(7.0), None);
        assert_eq!(
            breaker.look(at(7.0)).1,
            Duration::from_secs(5),
            "no longer than the longest"
        );
        assert_eq!(breaker.pass(at(12.0)), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.look(at(12.0)), (Circuit::Closed, Duration::ZERO));
    }

    #[test]
    fn it_stays_open_as_long_as_the_server_asks() {
        let breaker = Breaker::new(SETTINGS);
        let now = Instant::now();
        breaker.failed(now, None);
        breaker.failed(now, Some(Duration::from_secs(30)));
        assert_eq!(breaker.look(now).1, Duration::from_secs(30));
        breaker.failed(now, Some(Duration::from_secs(40)));
        assert_eq!(breaker.pass(now + Duration::from_secs(39)), Err(Duration::from_secs(1)));
    }
}

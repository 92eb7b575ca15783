//! Asking again: with pauses that grow and are drawn at random, so that many cameras do not come back at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::breaker::Breaker;
use super::chat::{Chat, RemoteError};
use crate::vlm::live::{Circuit, Health};

/// How often a question is asked, and how long is waited between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Requests for one answer at most.
    pub attempts: u32,
    /// The longest first pause; twice as long each time.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 3,
            pause: Duration::from_millis(300),
            longest_pause: Duration::from_secs(5),
        }
    }
}

impl Patience {
    /// The pause after so many failed requests: anything up to the bound, which doubles ("full jitter"), and not less than the
    /// server asks for.
    pub fn pause_after(&self, failed: u32, asked: Option<Duration>, random: &mut StdRng) -> Duration {
        let bound = self
            .pause
            .saturating_mul(1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(self.longest_pause);
        bound.mul_f64(random.random::<f64>()) + asked.unwrap_or_default()
    }
}

/// Whether answers are still wanted; wakes those who pause when they are not.
#[derive(Debug, Default)]
pub struct Wish {
    over: AtomicBool,
    lock: Mutex<()>,
    woken: Condvar,
}

impl Wish {
    /// No answer is wanted any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.woken.notify_all();
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits; false when it ended meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.woken.wait_timeout_while(guard, pause, |()| !self.is_over());
        drop(waited);
        !self.is_over()
    }
}

/// Requests since the start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Sent.
    pub requests: AtomicU64,
    /// Of these: not answered.
    pub failures: AtomicU64,
    /// The last failure; empty after a success.
    pub last: Mutex<String>,
}

impl Tally {
    fn note(&self, failure: Option<&RemoteError>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                *last = error.to_string();
            }
            None => last.clear(),
        }
    }

    /// How the last request failed; empty when it did not.
    pub fn last(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Hears of every change of the circuit, and once after each window.
pub type Told = Box<dyn Fn(Health) + Send + Sync>;

/// What asking needs, shared by the threads that ask.
pub struct Asker {
    /// The server.
    pub chat: Chat,
    /// Whether it may be asked.
    pub breaker: Breaker,
    /// How often.
    pub patience: Patience,
    /// What came of it.
    pub tally: Tally,
    /// Whether anybody still waits.
    pub wish: Wish,
    /// Who hears how it goes.
    pub told: Told,
    /// The circuit as it was told last.
    pub known: Mutex<Circuit>,
}

impl Asker {
    /// Tells how it goes.
    pub fn tell(&self) {
        let (circuit, wait) = self.breaker.look(Instant::now());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = circuit;
        (self.told)(Health {
            circuit,
            wait,
            message: self.tally.last(),
            requests: self.tally.requests.load(Ordering::Relaxed),
            failures: self.tally.failures.load(Ordering::Relaxed),
        });
    }

    fn tell_changes(&self) {
        let (circuit, _) = self.breaker.look(Instant::now());
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if circuit != known {
            tracing::warn!(circuit = circuit.as_str(), "{}: {}", self.chat.url(), self.tally.last());
            self.tell();
        }
    }

    /// Asks until there is an answer, `attempts` are used up, or another would come after `deadline`.
    pub fn ask<T: AsRef<str>>(&self, pictures: &[T], text: &str, deadline: Instant) -> Result<String, RemoteError> {
        let mut random = StdRng::seed_from_u64(seed());
        let mut failed = 0;
        loop {
            if self.wish.is_over() {
                return Err(RemoteError::GivenUp);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RemoteError::Late {
                    url: self.chat.url().to_owned(),
                    limit: Duration::ZERO,
                });
            }
            self.breaker.pass(Instant::now()).map_err(|wait| RemoteError::Open {
                url: self.chat.url().to_owned(),
                last: self.tally.last(),
                wait,
            })?;
            self.tell_changes();
            let outcome = self.chat.ask(pictures, text, left);
            let now = Instant::now();
            let error = match outcome {
                Ok(answer) => {
                    self.breaker.succeeded();
                    self.tally.note(None);
                    self.tell_changes();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if self.wish.is_over() {
                self.breaker.abandoned(now);
                return Err(RemoteError::GivenUp);
            }
            self.breaker.failed(now, error.retry_after());
            self.tally.note(Some(&error));
            self.tell_changes();
            failed += 1;
            let pause = self.patience.pause_after(failed, error.retry_after(), &mut random);
            if !error.is_passing() || failed >= self.patience.attempts || now + pause >= deadline {
                return Err(error);
            }
            if !self.wish.pause(pause) {
                return Err(RemoteError::GivenUp);
            }
        }
    }
}

/// Another number each time and in each process.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_vary_and_respect_the_server() {
        let patience = Patience {
            attempts: 9,
            pause: Duration::from_millis(100),
            longest_pause: Duration::from_millis(1000),
        };
        let mut random = StdRng::seed_from_u64(3);
        for (failed, bound_ms) in [(1, 100), (2, 200), (3, 400), (5, 1000), (60, 1000)] {
            let bound = Duration::from_millis(bound_ms);
            let pauses: Vec<Duration> = (0..200)
                .map(|_| patience.pause_after(failed, None, &mut random))
                .collect();
            assert!(pauses.iter().all(|pause| *pause <= bound), "{failed}");
            // Drawn over the whole range.
            assert!(
                pauses.iter().any(|pause| *pause < bound / 10) && pauses.iter().any(|pause| *pause > bound * 9 / 10)
            );
        }
        let asked = Duration::from_secs(7);
        assert!(patience.pause_after(1, Some(asked), &mut random) >= asked);
    }
}

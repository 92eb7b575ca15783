//! Threads that ask a server, so that many questions about a window are on their way at once and none is waited for longer
//! than it is wanted.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::chat::RemoteError;
use super::patience::Asker;
use crate::vlm::step_back;

/// How often it is looked whether answers are still wanted.
const TICK: Duration = Duration::from_millis(50);

/// One question to ask.
#[derive(Clone, Debug)]
pub struct Job {
    /// Data URLs, shown before the text.
    pub pictures: Vec<Arc<str>>,
    /// The prompt.
    pub text: String,
}

struct Task {
    job: Job,
    index: usize,
    deadline: Instant,
    done: Sender<(usize, Result<String, RemoteError>)>,
}

/// The threads `kine-remote-N`. They end by themselves when this is dropped, at the latest with the request that they wait
/// for; nobody waits for them.
pub struct Workers {
    tasks: Sender<Task>,
    asker: Arc<Asker>,
    count: usize,
}

impl Workers {
    /// Starts `count` threads.
    pub fn spawn(asker: Arc<Asker>, count: usize) -> io::Result<Self> {
        let (tasks, receiver) = bounded::<Task>(count);
        for index in 0..count {
            let (receiver, asker): (Receiver<Task>, _) = (receiver.clone(), Arc::clone(&asker));
            std::thread::Builder::new()
                .name(format!("kine-remote-{index}"))
                .spawn(move || {
                    step_back();
                    for task in receiver {
                        let outcome = asker.ask(&task.job.pictures, &task.job.text, task.deadline);
                        // Nobody may be waiting any more.
                        let _ = task.done.send((task.index, outcome));
                    }
                })?;
        }
        Ok(Self { tasks, asker, count })
    }

    /// The replies to `jobs`, in that order; each within `limit` from now.
    pub fn ask(&self, jobs: Vec<Job>, limit: Duration) -> Vec<Result<String, RemoteError>> {
        let mut replies: Vec<Result<String, RemoteError>> = jobs.iter().map(|_| Err(RemoteError::GivenUp)).collect();
        let deadline = Instant::now() + limit;
        let (done, outcomes) = bounded(self.count);
        let mut waiting = jobs.into_iter().enumerate();
        let mut on_their_way = 0;
        loop {
            while on_their_way < self.count
                && !self.asker.wish.is_over()
                && let Some((index, job)) = waiting.next()
            {
                let done = done.clone();
                let task = Task {
                    job,
                    index,
                    deadline,
                    done,
                };
                if self.tasks.send(task).is_err() {
                    return replies;
                }
                on_their_way += 1;
            }
            if on_their_way == 0 || self.asker.wish.is_over() {
                return replies;
            }
            match outcomes.recv_timeout(TICK) {
                Ok((index, outcome)) => {
                    on_their_way -= 1;
                    if let Some(reply) = replies.get_mut(index) {
                        *reply = outcome;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return replies,
            }
        }
    }
}

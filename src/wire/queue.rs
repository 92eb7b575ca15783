//! A bounded queue in which the newest wins: whoever puts something in is never held up, the oldest makes room.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::ArrayQueue;

/// The queue; share it with an `Arc`.
#[derive(Debug)]
pub struct NewestQueue<T> {
    items: ArrayQueue<T>,
    dropped: AtomicU64,
    wake: Sender<()>,
    woken: Receiver<()>,
}

impl<T> NewestQueue<T> {
    /// Room for `capacity` items, at least one.
    pub fn new(capacity: usize) -> Self {
        let (wake, woken) = bounded(1);
        Self {
            items: ArrayQueue::new(capacity.max(1)),
            dropped: AtomicU64::new(0),
            wake,
            woken,
        }
    }

    /// Puts an item in; when the queue is full the oldest is counted as dropped and given back. Never blocks.
    pub fn push(&self, item: T) -> Option<T> {
        let given_up = self.items.force_push(item);
        if given_up.is_some() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.wake();
        given_up
    }

    /// Takes the oldest item.
    pub fn pop(&self) -> Option<T> {
        self.items.pop()
    }

    /// Wakes whoever waits, without an item.
    pub fn wake(&self) {
        // A full channel means that a wake-up is already on its way.
        let _ = self.wake.try_send(());
    }

    /// Waits until something was put in since the last wait, or for at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        // Both outcomes, woken and timed out, mean the same to the caller: look again.
        let _ = self.woken.recv_timeout(timeout);
    }

    /// How many items were dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let queue = NewestQueue::new(3);
        for item in 0..10 {
            queue.push(item);
        }
        assert_eq!(queue.dropped(), 7);
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn a_wake_up_before_the_wait_is_not_lost() {
        let queue = NewestQueue::<u8>::new(1);
        queue.wake();
        queue.wait(Duration::from_secs(3600));
    }
}

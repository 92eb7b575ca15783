//! Threads that work for a model step back behind those that carry the stream.

/// By how much, in steps of niceness: such a thread gets about a tenth of a core that a streaming thread wants too.
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;
#[cfg(target_os = "linux")]
const LEAST_URGENT: i32 = 19;

/// Lets the calling thread step back. Where that cannot be done, it goes on as it is.
pub(crate) fn step_back() {
    // On Linux, unlike POSIX, niceness is a thread's own.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let thread = Some(rustix::thread::gettid());
        let stepped =
            getpriority_process(thread).and_then(|now| setpriority_process(thread, (now + STEPS).min(LEAST_URGENT)));
        if let Err(error) = stepped {
            tracing::debug!("a thread keeps its priority: {error}");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rustix::process::getpriority_process;

    #[test]
    fn one_thread_steps_back_and_the_others_stay() {
        let here = || getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = here();
        let there = std::thread::spawn(move || {
            super::step_back();
            here()
        });
        assert_eq!(there.join().unwrap(), (before + super::STEPS).min(super::LEAST_URGENT));
        assert_eq!(here(), before);
    }
}

//! Threads that work for a model step back behind those that carry the stream.

/// By how much, in steps of niceness: such a thread gets about a tenth of a core that a streaming thread wants too.
#[cfg(target_os = "linux")]
const STEPS: i32 = 10;
/// The ends of niceness.
#[cfg(target_os = "linux")]
const MOST_URGENT: i32 = -20;
#[cfg(target_os = "linux")]
const LEAST_URGENT: i32 = 19;

/// Lets the calling thread step back. Where that cannot be done, it goes on as it is.
///
/// It is also scheduled as a batch (`SCHED_BATCH`): whoever hands it work is not put off the processor for it. Niceness alone
/// does not see to that: a frame that wakes such a thread then waits for the 2 to 4 ms that the thread works.
pub(crate) fn step_back() {
    // On Linux, unlike POSIX, niceness is a thread's own.
    #[cfg(target_os = "linux")]
    {
        use thread_priority::NormalThreadSchedulePolicy::Batch;
        use thread_priority::{ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy};
        let now = rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap_or(0);
        let niceness = (now + STEPS).clamp(MOST_URGENT, LEAST_URGENT);
        // On the crate's scale, which ends where niceness begins.
        let most = i32::from(u8::from(ThreadPriorityValue::MAX));
        let priority = u8::try_from(most * (LEAST_URGENT - niceness) / (LEAST_URGENT - MOST_URGENT)).unwrap_or(0);
        let stepped = ThreadPriorityValue::try_from(priority).and_then(|priority| {
            let (thread, policy) = (thread_priority::thread_native_id(), ThreadSchedulePolicy::Normal(Batch));
            thread_priority::set_thread_priority_and_policy(thread, ThreadPriority::Crossplatform(priority), policy)
                .map_err(|error| error.to_string())
        });
        if let Err(error) = stepped {
            tracing::debug!("a thread keeps its priority: {error}");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rustix::process::getpriority_process;
    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy};

    #[test]
    fn one_thread_steps_back_and_the_others_stay() {
        let here = || {
            let niceness = getpriority_process(Some(rustix::thread::gettid())).unwrap();
            (niceness, thread_priority::thread_schedule_policy().unwrap())
        };
        let before = here();
        let there = std::thread::spawn(move || {
            super::step_back();
            here()
        });
        let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
        let niceness = (before.0 + super::STEPS).min(super::LEAST_URGENT);
        assert_eq!(there.join().unwrap(), (niceness, batch));
        assert_eq!(here(), before);
    }
}

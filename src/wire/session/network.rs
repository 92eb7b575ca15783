//! What zenoh itself drops: a put with `CongestionControl::Drop` succeeds even where the message goes no further, so the
//! number is taken from zenoh's own counters, in the session's admin space (zenoh's cargo feature `stats`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zenoh::Wait;
use zenoh::query::Reply;

/// The counter: messages that were not sent, one line for each kind, priority and reason.
const DROPPED: &str = "zenoh_tx_network_message_dropped_payload_bytes_count{";

/// What zenoh drops because a connection does not keep up, or has lost its link.
const REASONS: [&str; 2] = ["reason=\"congestion\"", "reason=\"no-link\""];

/// Longest a look at the counters may take; it stays within this process.
const PATIENCE: Duration = Duration::from_secs(5);

/// Puts that zenoh dropped since the session was opened. One that two connections do not take counts twice.
#[derive(Clone, Debug, Default)]
pub(super) struct NetworkDrops(Arc<Mutex<Option<u64>>>);

impl NetworkDrops {
    /// As of the last look; `None` before the first and where the session has no admin space.
    pub fn count(&self) -> Option<u64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the session's counters, without waiting for what they say.
    pub fn look(&self, session: &zenoh::Session) {
        let counters = format!(
            "@/{}/*/metrics?compression=false;descriptors=false;disconnected=true;per_key=false;per_link=false;\
             per_transport=false",
            session.zid()
        );
        let drops = self.clone();
        let looking = session
            .get(counters)
            .timeout(PATIENCE)
            .callback(move |reply| drops.note(&reply))
            .wait();
        if let Err(error) = looking {
            tracing::debug!(%error, "zenoh's counters cannot be read");
        }
    }

    fn note(&self, reply: &Reply) {
        let Ok(sample) = reply.result() else { return };
        let Ok(text) = sample.payload().try_to_string() else {
            return;
        };
        let count = dropped_puts(&text);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Two looks may overtake each other; a counter never falls.
        *known = Some(known.map_or(count, |known| known.max(count)));
    }
}

/// Sum of the counter over priorities, of puts that were dropped for one of [`REASONS`].
fn dropped_puts(metrics: &str) -> u64 {
    let counted = metrics.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(DROPPED)?.rsplit_once('}')?;
        let ours = labels.contains("message=\"put\"") && REASONS.iter().any(|reason| labels.contains(reason));
        ours.then(|| value.trim().parse::<u64>().ok()).flatten()
    });
    counted.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_that_were_not_sent_are_summed_and_nothing_else() {
        let labels = |message: &str, reason: &str| {
            format!("{DROPPED}priority=\"4\",message=\"{message}\",protocol=\"tcp\",reason=\"{reason}\"}}")
        };
        let text = [
            format!("{} 40", labels("put", "congestion")),
            format!("{} 2", labels("put", "no-link")),
            format!("{} 100", labels("put", "downsampling")),
            format!("{} 200", labels("reply", "congestion")),
            "zenoh_tx_network_message_dropped_payload_bytes_sum{message=\"put\",reason=\"congestion\"} 4000".to_owned(),
            "# EOF".to_owned(),
        ];
        assert_eq!(dropped_puts(&text.join("\n")), 42);
        assert_eq!(dropped_puts(""), 0);
    }
}

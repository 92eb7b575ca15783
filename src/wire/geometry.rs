//! Answers from the newest frame's trajectories, for a pipeline without an answering stage.

use super::{messages, proto};
use crate::results::FrameResults;
use crate::stkit::{Question, answer_from_geometry, parse_question};

/// The window of a question that names no time: the longest trajectory of record.
const WINDOW_S: f64 = crate::kinematics::RECORD_STEP_S * crate::kinematics::RECORD_MAX_SAMPLES as f64;

/// Answers to a question in words (`text`) or by task (`question`); always at least one, which says why when there is no
/// value.
pub(super) fn answers(
    id: &str,
    text: &str,
    question: Option<Question>,
    newest: Option<&FrameResults>,
) -> Vec<proto::Answer> {
    let refuse = |reason: &str| vec![messages::no_answer(id, text, reason)];
    let question = match question.map_or_else(|| parse_question(text), Ok) {
        Ok(question) => question,
        Err(error) => return refuse(&error.to_string()),
    };
    let Some(newest) = newest else {
        return refuse("no frame has come yet");
    };
    let Some(trajectories) = &newest.trajectories else {
        return refuse("there are no trajectories: the pipeline has no kinemotion");
    };
    trajectories
        .read(|store| {
            let settled = store.iter().filter_map(|stored| stored.settled.end_s());
            let now_s = settled.reduce(f64::max).unwrap_or_else(|| newest.time.seconds());
            answer_from_geometry(id, &question, store, ((now_s - WINDOW_S).max(0.0), now_s))
        })
        .iter()
        .map(messages::answer)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameTime;

    #[test]
    fn without_frames_or_trajectories_the_answer_says_so() {
        let text = "How far did object 3 travel in the last 10 seconds?";
        let none = answers("a", text, None, None);
        assert_eq!((none.len(), none[0].reason.as_str()), (1, "no frame has come yet"));
        let bare = FrameResults::new(FrameTime::from_pts_ns(0), 16, 16);
        assert!(answers("a", text, None, Some(&bare))[0].reason.contains("kinemotion"));
        let unclear = answers("a", "What is the weather?", None, Some(&bare));
        assert!(unclear[0].value.is_none() && !unclear[0].reason.is_empty());
    }
}

//! When a standing question is due: sliding windows on a grid of stream time.

use std::sync::Arc;

use crate::stkit::{StandingQuestion, StandingQuestions};

/// A jump of stream time by more than this is never a pause within a window, however long that is.
const LONGEST_GAP_S: f64 = 30.0;

/// A standing question and the window it is due for.
#[derive(Clone, Debug)]
pub struct Due {
    /// The question.
    pub question: Arc<StandingQuestion>,
    /// Start of the window, seconds of stream time.
    pub start_s: f64,
    /// End of the window, seconds of stream time.
    pub end_s: f64,
}

/// Tells from the time of each frame which questions are due.
///
/// A question's windows end at multiples of its stride after the first frame, so they do not depend on the frame rate, and
/// one is due at the first frame that is `settle_lag_s` past its end, when trajectories are settled until there. Until the
/// stream is as old as the window, the window is the stream so far. Frames that come late make several windows due at once.
/// Time that goes backward, or ahead by more than a window, starts everything anew.
#[derive(Debug)]
pub struct Windows {
    questions: Vec<Standing>,
    default_window_s: f64,
    default_stride_s: f64,
    start_s: Option<f64>,
    newest_s: f64,
    settled_s: f64,
    restarts: u64,
}

#[derive(Debug)]
struct Standing {
    question: Arc<StandingQuestion>,
    window_s: f64,
    stride_s: f64,
    /// The next window ends at the start plus so many strides.
    next: u64,
}

impl Windows {
    /// Windows of `window_s` every `stride_s` for questions that say nothing else.
    pub fn new(window_s: f64, stride_s: f64) -> Self {
        Self {
            questions: Vec::new(),
            default_window_s: window_s,
            default_stride_s: stride_s,
            start_s: None,
            newest_s: 0.0,
            settled_s: 0.0,
            restarts: 0,
        }
    }

    /// Changes the default window and stride, and with them the windows that come.
    pub fn set_defaults(&mut self, window_s: f64, stride_s: f64) {
        (self.default_window_s, self.default_stride_s) = (window_s, stride_s);
        let questions: Vec<_> = self.questions.drain(..).map(|standing| standing.question).collect();
        self.replace(questions.into_iter());
    }

    /// Asks other questions from now on. Windows that were due before are not asked again.
    pub fn set_questions(&mut self, questions: &StandingQuestions) {
        self.replace(questions.iter().cloned());
    }

    fn replace(&mut self, questions: impl Iterator<Item = Arc<StandingQuestion>>) {
        let age_s = self.start_s.map_or(0.0, |start_s| (self.settled_s - start_s).max(0.0));
        self.questions = questions
            .map(|question| {
                let window_s = question.window_s.unwrap_or(self.default_window_s);
                let stride_s = question.stride_s.unwrap_or(self.default_stride_s);
                Standing {
                    question,
                    window_s,
                    stride_s,
                    next: (age_s / stride_s) as u64 + 1,
                }
            })
            .collect();
    }

    /// Time of the first frame since the stream (re)started.
    pub fn start_s(&self) -> Option<f64> {
        self.start_s
    }

    /// How many times time jumped.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Forgets the stream so far: the next frame starts anew.
    pub fn restart(&mut self) {
        self.start_s = None;
        for standing in &mut self.questions {
            standing.next = 1;
        }
    }

    /// Takes the time of a frame and returns what became due, earliest end first. Trajectories are settled until
    /// `settle_lag_s` before the frame. The flag tells whether time jumped, so that what is in flight is of another stream.
    pub fn frame(&mut self, time_s: f64, settle_lag_s: f64) -> (Vec<Due>, bool) {
        let jumped = self.start_s.is_some() && self.jumps(time_s);
        if jumped {
            self.restart();
            self.restarts += 1;
        }
        self.start_s.get_or_insert(time_s);
        self.newest_s = time_s;
        self.settled_s = time_s - settle_lag_s;
        (self.due_until(self.settled_s), jumped)
    }

    /// What is still due at the end of the stream: windows that end by the newest frame, settled or not; for a stream that
    /// was too short for any, all of it.
    pub fn end(&mut self) -> Vec<Due> {
        let Some(start_s) = self.start_s else {
            return Vec::new();
        };
        let mut due = self.due_until(self.newest_s);
        for standing in &mut self.questions {
            if standing.next == 1 && self.newest_s > start_s {
                standing.next = 2;
                due.push(Due {
                    question: Arc::clone(&standing.question),
                    start_s,
                    end_s: self.newest_s,
                });
            }
        }
        due
    }

    fn jumps(&self, time_s: f64) -> bool {
        let longest_s = self
            .questions
            .iter()
            .map(|standing| standing.window_s)
            .fold(0.0, f64::max);
        let gap_s = longest_s.max(self.default_window_s).min(LONGEST_GAP_S);
        time_s < self.newest_s || time_s - self.newest_s > gap_s
    }

    fn due_until(&mut self, until_s: f64) -> Vec<Due> {
        let Some(start_s) = self.start_s else {
            return Vec::new();
        };
        let mut due = Vec::new();
        for standing in &mut self.questions {
            loop {
                let end_s = start_s + standing.next as f64 * standing.stride_s;
                // Times are nanoseconds: what is within rounding of the grid is on it.
                if end_s > until_s + 1e-6 {
                    break;
                }
                standing.next += 1;
                due.push(Due {
                    question: Arc::clone(&standing.question),
                    start_s: (end_s - standing.window_s).max(start_s),
                    end_s,
                });
            }
        }
        due.sort_by(|a, b| a.end_s.total_cmp(&b.end_s));
        due
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    fn windows(text: &str) -> Windows {
        let mut windows = Windows::new(4.0, 1.0);
        windows.set_questions(&StandingQuestions::parse(text, Path::new("q.toml")).unwrap());
        windows
    }

    const SPEED: &str = "[[question]]\nid = \"s\"\ntask = \"TS\"\n";

    fn spans(due: Vec<Due>) -> Vec<(f64, f64)> {
        due.into_iter().map(|due| (due.start_s, due.end_s)).collect()
    }

    #[test]
    fn windows_are_the_same_at_any_frame_rate() {
        let at_rate = |fps: f64, jitter: bool| {
            let mut windows = windows(SPEED);
            let mut found = Vec::new();
            let frames = (8.0 * fps) as usize;
            for i in 0..=frames {
                let wobble = if jitter && i > 0 && i < frames {
                    0.3 * (i as f64).sin() / fps
                } else {
                    0.0
                };
                found.extend(windows.frame(i as f64 / fps + wobble, 1.0).0);
            }
            spans(found)
        };
        let expected = [
            (0.0, 1.0),
            (0.0, 2.0),
            (0.0, 3.0),
            (0.0, 4.0),
            (1.0, 5.0),
            (2.0, 6.0),
            (3.0, 7.0),
        ];
        for (fps, jitter) in [(30.0, false), (25.0, true), (7.5, true), (0.5, false)] {
            assert_eq!(at_rate(fps, jitter), expected, "{fps} fps");
        }
    }

    #[test]
    fn jumps_of_time_start_anew() {
        let mut windows = windows(SPEED);
        for i in 0..=50 {
            windows.frame(0.1 * f64::from(i), 0.0);
        }
        // Back by two seconds, and ahead by an hour.
        for jump_s in [3.0, 3603.0] {
            let (due, jumped) = windows.frame(jump_s, 0.0);
            assert!(jumped && due.is_empty());
            assert_eq!(spans(windows.frame(jump_s + 1.0, 0.0).0), [(jump_s, jump_s + 1.0)]);
        }
        assert_eq!(windows.restarts(), 2);
        // A pause within a window is no jump: what it passed over is due.
        assert_eq!(spans(windows.frame(3607.0, 0.0).0).len(), 3);
    }

    #[test]
    fn the_end_answers_what_is_complete() {
        let mut windows = windows(SPEED);
        for i in 0..=25 {
            windows.frame(0.1 * f64::from(i), 1.0);
        }
        assert_eq!(spans(windows.end()), [(0.0, 2.0)]);
        assert_eq!(spans(windows.end()), []);
        let mut short = self::windows(SPEED);
        short.frame(5.0, 1.0);
        assert!(short.end().is_empty());
        short.restart();
        short.frame(5.0, 1.0);
        short.frame(5.7, 1.0);
        assert_eq!(spans(short.end()), [(5.0, 5.7)]);
        assert_eq!(spans(short.end()), []);
    }

    #[test]
    fn questions_have_their_own_windows_and_can_be_swapped() {
        let mut windows = windows(
            "[[question]]\nid = \"a\"\ntask = \"TS\"\nwindow_s = 2\nstride_s = 2\n[[question]]\nid = \"b\"\ntask = \"TD\"\n",
        );
        let mut ends = Vec::new();
        for i in 0..=4 {
            for due in windows.frame(f64::from(i), 0.0).0 {
                ends.push((due.question.id.clone(), due.end_s));
            }
        }
        assert_eq!(ends.iter().filter(|(id, _)| id == "a").count(), 2);
        assert_eq!(ends.iter().filter(|(id, _)| id == "b").count(), 4);
        windows.set_questions(&StandingQuestions::parse(SPEED, Path::new("q.toml")).unwrap());
        assert!(windows.frame(4.5, 0.0).0.is_empty());
        assert_eq!(spans(windows.frame(5.0, 0.0).0), [(1.0, 5.0)]);
    }
}

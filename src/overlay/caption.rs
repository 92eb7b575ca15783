//! The newest answers, in a panel at the bottom.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::canvas::{Area, PictureMut};
use super::text::wrapped;
use super::{Look, shapes};
use crate::stkit::Answer;

/// How long an answer stays up.
const SHOWN_S: f64 = 8.0;
/// Answers shown at a time.
const MAX_SHOWN: usize = 4;
/// Answers remembered; the oldest go first.
const MAX_KEPT: usize = 64;

/// Answers with the stream time at which they came, the newest first.
#[derive(Debug, Default)]
pub(super) struct Caption {
    answers: VecDeque<(f64, Arc<Answer>)>,
}

impl Caption {
    /// Takes new answers in; a newer answer to the same question about the same objects replaces the older one.
    pub fn take(&mut self, answers: &[Arc<Answer>], now_s: f64) {
        // A time that lies ahead means that the stream jumped back.
        self.answers
            .retain(|(came_s, _)| (0.0..SHOWN_S).contains(&(now_s - came_s)));
        for answer in answers {
            self.answers
                .retain(|(_, old)| old.question_id != answer.question_id || old.subjects != answer.subjects);
            self.answers.push_front((now_s, Arc::clone(answer)));
        }
        self.answers.truncate(MAX_KEPT);
    }

    /// Draws the panel; those with a value come first, then the newest.
    pub fn draw(&self, picture: &mut PictureMut, look: &Look, now_s: f64) {
        let mut shown: Vec<&(f64, Arc<Answer>)> = self.answers.iter().collect();
        shown.sort_by(|(a_s, a), (b_s, b)| {
            let rank = |answer: &Answer| (answer.value.is_none(), !answer.reliable);
            rank(a).cmp(&rank(b)).then(b_s.total_cmp(a_s))
        });
        // Several questions may have the same reason why there is no answer.
        let mut said = HashSet::new();
        shown.retain(|(_, answer)| said.insert(answer.text.as_str()));
        let left_out = shown.len().saturating_sub(MAX_SHOWN);
        shown.truncate(MAX_SHOWN);
        let (margin, pad) = (look.margin(), look.margin());
        let room = picture.width() as i32 - 2 * (margin + pad);
        let columns = (room / look.font.char_width()).clamp(0, 110) as usize;
        if shown.is_empty() || columns < 16 {
            return;
        }
        let mut lines: Vec<(String, bool)> = Vec::new();
        for (_, answer) in &shown {
            let mark = if answer.reliable || answer.value.is_none() {
                ""
            } else {
                "~ "
            };
            for line in wrapped(&format!("{mark}{}", answer.text), columns).into_iter().take(2) {
                lines.push((line, answer.reliable && answer.value.is_some()));
            }
        }
        if left_out > 0 {
            lines.push((format!("and {left_out} more"), false));
        }
        let line_height = look.font.line_height() + 2;
        let width = lines.iter().map(|(line, _)| look.font.width(line)).max().unwrap_or(0) + 2 * pad;
        let bottom = picture.height() as i32 - margin;
        let area = Area::new(
            margin,
            bottom - line_height * lines.len() as i32 - pad,
            margin + width,
            bottom,
        );
        // Fades in the last second of the newest answer.
        let newest_s = shown
            .iter()
            .map(|(came_s, _)| *came_s)
            .fold(f64::NEG_INFINITY, f64::max);
        let opacity = (SHOWN_S - (now_s - newest_s)).clamp(0.0, 1.0) as f32 * 0.72;
        shapes::rounded(picture, &area, 5.0, &look.black, opacity);
        for (index, (line, sure)) in lines.iter().enumerate() {
            let y = area.y0 + pad / 2 + line_height * index as i32;
            look.font.draw(
                picture,
                area.x0 + pad,
                y,
                line,
                if *sure { &look.white } else { &look.grey },
            );
        }
    }
}

//! From findings to what is said: the typed answer to each of the seven tasks, before it is put into words.

use super::findings::{Findings, spread};
use crate::stkit::{Question, Task};

/// Two objects move the same way when their ways are within half an hour of the clock, degrees (docs/stkit.md).
const SAME_DEG: f64 = 15.0;
/// Speeds below this were told to the model as standing in training, m/s.
const STANDING_MPS: f64 = 0.07;

/// What the model says to a question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The answer.
    pub said: Said,
    /// How likely it would be scored as right, 0 to 1.
    pub confidence: f64,
}

/// An answer by its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said {
    /// `TD`: metres.
    DistanceM(Quantity),
    /// `TS`: metres a second.
    SpeedMps(Quantity),
    /// `MD`: 1 to 12.
    ClockHour(u8),
    /// `DT`: start and end, seconds of the clip.
    TimeRangeS(f64, f64),
    /// `TDC`, `TSC`: index of the object that fits the question.
    Object(usize),
    /// `MDC`: whether all move the same way, however it was asked.
    Same(bool),
}

/// A value whose logarithm is normally distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// The median; 0 for what stands.
    pub value: f64,
    median: f64,
    log_sigma: f64,
}

impl Quantity {
    fn new(found: &Findings, per_mps: f64) -> Self {
        let median = found.speed_mps * per_mps;
        Self {
            value: if found.speed_mps < STANDING_MPS { 0.0 } else { median },
            median,
            log_sigma: found.log_sigma,
        }
    }

    /// The interval that reaches `deviations` standard deviations to either side; from 0 on for what stands.
    pub fn interval(&self, deviations: f64) -> (f64, f64) {
        let (low, high) = spread(self.median, self.log_sigma, deviations);
        (if self.value > 0.0 { low } else { 0.0 }, high)
    }

    /// The probability of being within 25 % of the truth.
    fn within_quarter(&self) -> f64 {
        let below = |x: f64| 1.0 / (1.0 + (-1.702 * x / self.log_sigma.max(1e-3)).exp());
        below(1.25f64.ln()) - below(0.75f64.ln())
    }
}

/// The answer to `question`, whose time is `duration_s` long, from what was `found` about its objects in the question's order;
/// `None` when there is none.
pub fn verdict(question: &Question, found: &[Findings], duration_s: f64) -> Option<Verdict> {
    let first = found.first()?;
    let (said, confidence) = match question.task? {
        Task::TraveledDistance => {
            let quantity = Quantity::new(first, duration_s);
            (Said::DistanceM(quantity), quantity.within_quarter())
        }
        Task::TravelingSpeed => {
            let quantity = Quantity::new(first, 1.0);
            (Said::SpeedMps(quantity), quantity.within_quarter())
        }
        Task::MovementDirection => {
            let (hour, likely) = first.last_hour()?;
            (Said::ClockHour(hour), likely)
        }
        Task::DirectionTimestamp => {
            let hour = question.clock_hour?;
            let (start_s, end_s) = first.run_toward(hour)?;
            (Said::TimeRangeS(start_s, end_s), first.run_confidence(hour))
        }
        Task::TraveledDistanceComparison | Task::TravelingSpeedComparison => {
            found.get(1)?;
            let (best, confidence) = chosen(found, question.inverted)?;
            (Said::Object(best), confidence)
        }
        Task::MovementDirectionComparison => {
            found.get(1)?;
            let same = found.iter().skip(1).all(|other| first.angle_to_deg(other) < SAME_DEG);
            let sureness = found.iter().map(|found| found.heading_sureness).fold(1.0, f64::min);
            (Said::Same(same), sureness)
        }
    };
    Some(Verdict { said, confidence })
}

/// The fastest (or slowest) of all, and how likely it is to be so against the likeliest other.
fn chosen(found: &[Findings], inverted: bool) -> Option<(usize, f64)> {
    let by_speed = |a: &(usize, &Findings), b: &(usize, &Findings)| a.1.speed_mps.total_cmp(&b.1.speed_mps);
    let all = found.iter().enumerate();
    let (best, winner) = if inverted {
        all.min_by(by_speed)?
    } else {
        all.max_by(by_speed)?
    };
    let others = found.iter().enumerate().filter(|(index, _)| *index != best);
    let confidence = others.map(|(_, other)| {
        let faster = winner.faster_than(other);
        if inverted { 1.0 - faster } else { faster }
    });
    Some((best, confidence.fold(1.0, f64::min)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stkit::parse_question;

    fn going(speed_mps: f64, heading_deg: f64) -> Findings {
        Findings {
            span_s: (0.0, 4.0),
            speed_mps,
            log_sigma: 0.2,
            heading_rad: f64::to_radians(heading_deg),
            heading_sureness: 0.9,
            hours: Vec::new(),
        }
    }

    fn said(words: &str, found: &[Findings]) -> Option<Said> {
        verdict(&parse_question(words).unwrap(), found, 5.0).map(|verdict| verdict.said)
    }

    #[test]
    fn the_lesser_is_another_object_than_the_greater() {
        let three = [going(2.0, 0.0), going(5.0, 0.0), going(1.0, 0.0)];
        assert_eq!(said("Which object moves faster?", &three), Some(Said::Object(1)));
        assert_eq!(said("Which object moves slower?", &three), Some(Said::Object(2)));
        assert_eq!(said("Which object moves faster?", &three[..1]), None);
    }

    #[test]
    fn directions_are_the_same_within_half_an_hour() {
        let words = "Are object 1 and object 2 moving in the same direction?";
        assert_eq!(
            said(words, &[going(2.0, 175.0), going(2.0, -173.0)]),
            Some(Said::Same(true))
        );
        assert_eq!(
            said(words, &[going(2.0, 0.0), going(2.0, 20.0)]),
            Some(Said::Same(false))
        );
    }

    #[test]
    fn what_stands_has_no_distance_but_an_upper_bound() {
        let Some(Said::DistanceM(metres)) = said("How far did object 1 travel?", &[going(0.05, 0.0)]) else {
            panic!("no distance")
        };
        let (low, high) = metres.interval(1.96);
        assert!(metres.value == 0.0 && low == 0.0 && high > 0.25 && high < 0.5, "{high}");
        let Some(Said::SpeedMps(speed)) = said("How fast is object 1?", &[going(3.0, 0.0)]) else {
            panic!("no speed")
        };
        assert_eq!(speed.value, 3.0);
        let (low, high) = speed.interval(1.96);
        assert!((low * high - 9.0).abs() < 1e-9 && low < 3.0);
    }
}

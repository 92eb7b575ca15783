//! What is true of a batch, and how far the network is from it.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::groups::{Group, ROWS, Row};
use crate::vlm::tiny::network::{Output, STEP_OUTPUTS};
use crate::vlm::tiny::tokens::{States, own_axis_rad};

/// Bounds of the logarithm of sigma of the log speed.
pub const LOG_SIGMA: (f64, f64) = (-4.0, 1.5);
const HOUR_CLASSES: usize = STEP_OUTPUTS - 2;
/// Weights of the parts of the loss.
const HOURS: f64 = 1.0;
const HEADING: f64 = 1.0;
const STEP_SPEED: f64 = 0.3;
const RANGE: f64 = 0.3;

/// What is true of the rows of some groups.
#[derive(Clone, Debug)]
pub struct Targets {
    log_speed: Tensor<1>,
    heading: Tensor<2>,
    heading_weight: Tensor<1>,
    hours: Tensor<2, Int>,
    hour_weights: Tensor<2>,
    step_speeds: Tensor<2>,
    step_speed_weights: Tensor<2>,
    ranges: Tensor<2>,
    range_weights: Tensor<2>,
}

/// The loss and its parts, as numbers to look at.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is minimised.
    pub total: Tensor<1>,
    /// Of the speed, the hours, the heading, the steps' speeds and the distances.
    pub parts: [Tensor<1>; 5],
}

impl Targets {
    /// Of the rows of `groups`, each of which has [`ROWS`]; clips are padded to the longest one.
    pub fn new(groups: &[Group], device: &Device) -> Self {
        let times = groups.iter().map(|group| group.clip.times_s.len()).max().unwrap_or(1);
        let count = groups.len() * ROWS;
        let rows = || groups.iter().flat_map(|group| &group.rows);
        let one = |value: fn(&Row) -> f32| -> Tensor<1> {
            let values: Vec<f32> = rows().map(value).collect();
            Tensor::from_data(TensorData::new(values, [count]), device)
        };
        let padded = |value: &dyn Fn(&Row, usize) -> Option<f32>| -> Tensor<2> {
            let values: Vec<f32> = rows()
                .flat_map(|row| (0..times).map(|at| value(row, at).unwrap_or(0.0)).collect::<Vec<f32>>())
                .collect();
            Tensor::from_data(TensorData::new(values, [count, times]), device)
        };
        let heading: Vec<f32> = groups
            .iter()
            .flat_map(|group| {
                let known = States::of(&group.clip, group.senses.states);
                let own = |row: &Row| {
                    let states = known.get(row.object);
                    states.map_or(0.0, |states| own_axis_rad(&group.clip, states, row.span_s))
                };
                let angles = group.rows.iter().flat_map(|row| {
                    let angle = f64::from(row.heading_rad.unwrap_or(0.0)) - own(row);
                    [angle.cos() as f32, angle.sin() as f32]
                });
                angles.collect::<Vec<f32>>()
            })
            .collect();
        let hours: Vec<i64> = rows()
            .flat_map(|row| {
                (0..times)
                    .map(|at| row.hours.get(at).map_or(0, |(class, _)| *class as i64))
                    .collect::<Vec<i64>>()
            })
            .collect();
        Self {
            log_speed: one(|row| row.log_speed),
            heading: Tensor::from_data(TensorData::new(heading, [count, 2]), device),
            heading_weight: one(|row| if row.heading_rad.is_some() { 1.0 } else { 0.0 }),
            hours: Tensor::from_data(TensorData::new(hours, [count, times]), device),
            hour_weights: padded(&|row, at| Some(row.hours.get(at)?.1)),
            step_speeds: padded(&|row, at| Some(row.step_speeds.get(at)?.0)),
            step_speed_weights: padded(&|row, at| Some(row.step_speeds.get(at)?.1)),
            ranges: padded(&|row, at| Some(row.ranges.get(at)?.0)),
            range_weights: padded(&|row, at| Some(row.ranges.get(at)?.1)),
        }
    }

    /// How far `output` is from it.
    pub fn loss(self, output: Output) -> Loss {
        let [rows, times, _] = output.steps.dims();
        let span = |at: usize| output.span.clone().narrow(1, at, 1).reshape([rows]);
        let log_sigma = span(1).clamp(LOG_SIGMA.0, LOG_SIGMA.1);
        let off = (span(0) - self.log_speed) / log_sigma.clone().exp();
        // A Gaussian's, with tails that a single strange row cannot pull.
        let speed = (huber(off, 3.0) + log_sigma).mean();
        let off = output.span.narrow(1, 2, 2) - self.heading;
        let off = off.clone().mul(off).sum_dim(1).reshape([rows]);
        let heading = (off * self.heading_weight.clone()).sum() / (self.heading_weight.sum() + 1.0);
        let step = |at: usize| output.steps.clone().narrow(2, at, 1).reshape([rows, times]);
        let step_speed = weighted(
            huber(step(HOUR_CLASSES) - self.step_speeds, 1.0),
            self.step_speed_weights,
        );
        let range = weighted(huber(step(HOUR_CLASSES + 1) - self.ranges, 1.0), self.range_weights);
        let told = log_softmax(output.steps.narrow(2, 0, HOUR_CLASSES), 2);
        let told = told.gather(2, self.hours.unsqueeze_dim::<3>(2)).reshape([rows, times]);
        let hours = weighted(told.neg(), self.hour_weights);
        let total = speed.clone()
            + hours.clone() * HOURS
            + heading.clone() * HEADING
            + step_speed.clone() * STEP_SPEED
            + range.clone() * RANGE;
        Loss {
            total,
            parts: [speed, hours, heading, step_speed, range],
        }
    }
}

fn weighted(values: Tensor<2>, weights: Tensor<2>) -> Tensor<1> {
    (values * weights.clone()).sum() / (weights.sum() + 1.0)
}

/// Half the square near zero, linear beyond `knee`.
fn huber<const D: usize>(off: Tensor<D>, knee: f64) -> Tensor<D> {
    let size = off.abs();
    let near = size.clone().clamp_max(knee);
    near.clone() * (size - near.clone()) + near.clone() * near * 0.5
}

//! Every question that a recording could be asked, with its label's bin; kept are few of each bin, drawn without bias.

use std::collections::{BTreeMap, BinaryHeap};

use super::grid::{AMBIGUOUS_DEG, GATE_M, GridTrack, MAX_STEPS, angle_between_deg};
use super::judge::{Judge, Judged};
use super::scene::{GridScene, Mixer};
use crate::stkit::Task;

/// Steps of the shortest time asked about.
const MIN_SPAN_STEPS: usize = 2;
/// Steps of the shortest clip.
pub(super) const MIN_CLIP_STEPS: usize = 4;
/// The least distance, metres, and speed, km/h, that is asked about: below, a quarter of it is within the labels' noise.
const MIN_DISTANCE_M: f64 = 1.0;
const MIN_SPEED_KMH: f64 = 2.0;
/// Smoothed values farther than this from the label of record mean that the object trembles rather than moves.
const MAX_SMOOTHED_RATIO: f64 = 1.25;
/// Of two values compared the greater one must be greater by this factor, …
const MIN_RATIO: f64 = 1.15;
/// … and be at least this, metres.
const MIN_GREATER_M: f64 = 2.0;
/// Displacement of an object whose direction is compared, metres.
const MIN_DISPLACEMENT_M: f64 = 1.0;
/// Two objects move the same way when their displacements are within half an hour of the clock, degrees.
const SAME_DEG: f64 = 15.0;
/// A timestamp asked for lasts at least so many steps, and at most this share of the clip.
const MIN_RUN_STEPS: usize = 2;
const MAX_RUN_SHARE: f64 = 0.9;
/// Share of the frames in which an object must be seen.
pub(super) const MIN_VISIBLE_SHARE: f64 = 0.8;
/// Draws of windows for one object (timestamps), and of pairs of objects for one camera and phase of the grid.
const RUN_DRAWS: usize = 40;
const PAIR_DRAWS: usize = 4000;

/// One question that could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Decides which ones are kept: the least ones.
    pub priority: u64,
    pub recording: u32,
    pub camera: u16,
    pub phase: u8,
    pub task: Task,
    pub bin: u8,
    /// Indices of the tracks in their scene; the second one only where there is one. In a comparison of values the first
    /// one's is the greater.
    pub tracks: [u32; 2],
    /// First and last point on the grid of the time asked about.
    pub span: [u32; 2],
    /// `DT`: the hour asked for. `MDC`: 1 when the directions are the same.
    pub hour: u8,
}

/// Names of the bins that the labels of a task are balanced over, and the most that one of them may make up.
pub fn bins(task: Task) -> (&'static [&'static str], f64) {
    match task {
        Task::TraveledDistance => (
            &[
                "1–2 m",
                "2–4",
                "4–8",
                "8–16",
                "16–32",
                "32–64",
                "64–128",
                "128–256",
                "256 +",
            ],
            0.3,
        ),
        Task::TravelingSpeed => (
            &[
                "2–4 km/h",
                "4–8",
                "8–16",
                "16–24",
                "24–32",
                "32–48",
                "48–64",
                "64–96",
                "96 +",
            ],
            0.3,
        ),
        Task::MovementDirection => (
            &["1 h", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"],
            0.115,
        ),
        Task::DirectionTimestamp => (
            &[
                "12 h short",
                "12 h half",
                "12 h long",
                "other short",
                "other half",
                "other long",
            ],
            0.4,
        ),
        Task::TraveledDistanceComparison | Task::TravelingSpeedComparison => (&["×1.15–1.5", "×1.5–3", "×3 +"], 1.0),
        Task::MovementDirectionComparison => (&["different", "same"], 0.5),
    }
}

fn distance_bin(distance_m: f64) -> u8 {
    (distance_m.log2().floor().max(0.0) as u8).min(8)
}

fn speed_bin(speed_kmh: f64) -> u8 {
    const EDGES: [f64; 8] = [4.0, 8.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0];
    EDGES.partition_point(|edge| *edge <= speed_kmh) as u8
}

fn ratio_bin(ratio: f64) -> u8 {
    [1.5, 3.0].partition_point(|edge| *edge <= ratio) as u8
}

/// The kept candidates of one bin, and how many there were.
#[derive(Default)]
pub(super) struct Bin {
    pub seen: u64,
    pub kept: BinaryHeap<Candidate>,
}

/// The bins of all tasks.
pub(super) struct Pool {
    capacity: [usize; 7],
    bins: [Vec<Bin>; 7],
    /// How many were not to be asked, by task and reason.
    pub refused: BTreeMap<(Task, &'static str), u64>,
}

impl Pool {
    /// Keeps no more than `per_task` could need of each bin.
    pub fn new(per_task: usize) -> Self {
        let capacity = Task::ALL.map(|task| {
            let (names, share) = bins(task);
            let share = share.max(1.0 / names.len() as f64);
            // A bin may have to make up for others that are empty.
            ((per_task as f64 * share).ceil() as usize).clamp(1, per_task.max(1))
        });
        Self::with_capacity(capacity)
    }

    /// Keeps no more than so many of each bin.
    pub fn per_bin(count: usize) -> Self {
        Self::with_capacity([count.max(1); 7])
    }

    fn with_capacity(capacity: [usize; 7]) -> Self {
        Self {
            capacity,
            bins: Task::ALL.map(|task| bins(task).0.iter().map(|_| Bin::default()).collect()),
            refused: BTreeMap::new(),
        }
    }

    fn offer(&mut self, candidate: Candidate) {
        let task = candidate.task as usize;
        let (Some(capacity), Some(bin)) = (
            self.capacity.get(task),
            self.bins
                .get_mut(task)
                .and_then(|bins| bins.get_mut(usize::from(candidate.bin))),
        ) else {
            return;
        };
        bin.seen += 1;
        if bin.kept.len() < *capacity {
            bin.kept.push(candidate);
        } else if bin.kept.peek().is_some_and(|worst| candidate < *worst) {
            bin.kept.pop();
            bin.kept.push(candidate);
        }
    }

    /// The bins of each task, in the order of [`Task::ALL`].
    pub fn into_bins(self) -> [Vec<Bin>; 7] {
        self.bins
    }
}

/// Offers all that one scene could be asked.
pub(super) fn gather(
    scene: &GridScene<'_>,
    identity: [u64; 3],
    seed: u64,
    directions: bool,
    judge: Option<&dyn Judge>,
    pool: &mut Pool,
) {
    let [recording, camera, phase] = identity;
    let blank = Candidate {
        priority: 0,
        recording: recording as u32,
        camera: camera as u16,
        phase: phase as u8,
        task: Task::TraveledDistance,
        bin: 0,
        tracks: [0, u32::MAX],
        span: [0, 0],
        hour: 0,
    };
    let mut mixer = Mixer::new(&[seed, recording, camera, phase]);
    let mut gathering = Gathering {
        pool,
        scene,
        judge,
        blank,
        directions,
        seed,
        found: Vec::new(),
    };
    for (index, track) in scene.tracks.iter().enumerate() {
        gathering.single(index as u32, track);
        if directions {
            gathering.timestamps(index as u32, track, &mut mixer);
        }
        gathering.hand_over();
    }
    gathering.pairs(&mut mixer);
    gathering.hand_over();
}

struct Gathering<'a> {
    pool: &'a mut Pool,
    scene: &'a GridScene<'a>,
    judge: Option<&'a dyn Judge>,
    blank: Candidate,
    directions: bool,
    seed: u64,
    /// What can be asked about one track (or its pairs), not yet handed over.
    found: Vec<Candidate>,
}

impl Gathering<'_> {
    fn offer(&mut self, candidate: Candidate) {
        let c = &candidate;
        if let Some(judge) = self.judge
            && let Err(reason) = judge.judge(&Judged::new(self.scene, c))
        {
            *self.pool.refused.entry((c.task, reason)).or_default() += 1;
            return;
        }
        let priority = Mixer::new(&[
            self.seed,
            u64::from(c.recording) << 32 | u64::from(c.camera) << 16 | u64::from(c.phase) << 8 | c.task as u64,
            u64::from(c.tracks[0]) << 32 | u64::from(c.tracks[1]),
            u64::from(c.span[0]) << 32 | u64::from(c.span[1]),
            u64::from(c.hour),
        ])
        .next();
        self.found.push(Candidate { priority, ..candidate });
    }

    /// Hands what was found to the pool, each question once. The first question about a track comes before the second one
    /// about any other, and so on: a car that turns for ten seconds must not fill the bin of its hour.
    fn hand_over(&mut self) {
        self.found
            .sort_unstable_by_key(|c| (c.task as usize, c.bin, c.tracks[0], c.priority));
        self.found.dedup();
        let mut rank = 0u64;
        let mut before: Option<(Task, u8, u32)> = None;
        for candidate in self.found.drain(..) {
            let kind = (candidate.task, candidate.bin, candidate.tracks[0]);
            rank = if before.replace(kind) == Some(kind) {
                rank + 1
            } else {
                0
            };
            let priority = rank.min(u64::from(u16::MAX)) << 48 | candidate.priority >> 16;
            self.pool.offer(Candidate { priority, ..candidate });
        }
    }

    /// TD, TS and MD over every window.
    fn single(&mut self, index: u32, track: &GridTrack) {
        let last = track.len() - 1;
        for start in 0..last {
            for end in start + MIN_SPAN_STEPS..=(start + MAX_STEPS).min(last) {
                if track.visible_share(start, end) < MIN_VISIBLE_SHARE {
                    continue;
                }
                let at = Candidate {
                    tracks: [index, u32::MAX],
                    span: [(track.first + start) as u32, (track.first + end) as u32],
                    ..self.blank
                };
                self.distance_and_speed(at, track, start, end);
                if self.directions && end - start >= MIN_CLIP_STEPS {
                    self.direction(at, track, start, end);
                }
            }
        }
    }

    fn distance_and_speed(&mut self, at: Candidate, track: &GridTrack, start: usize, end: usize) {
        let (distance_m, smoothed_m) = track.distance_m(start, end);
        let ratio = distance_m / smoothed_m.max(1e-9);
        if distance_m < MIN_DISTANCE_M || !(1.0 / MAX_SMOOTHED_RATIO..=MAX_SMOOTHED_RATIO).contains(&ratio) {
            return;
        }
        self.offer(Candidate {
            task: Task::TraveledDistance,
            bin: distance_bin(distance_m),
            ..at
        });
        let speed_kmh = speed_kmh(distance_m, start, end);
        if speed_kmh >= MIN_SPEED_KMH {
            self.offer(Candidate {
                task: Task::TravelingSpeed,
                bin: speed_bin(speed_kmh),
                ..at
            });
        }
    }

    fn direction(&mut self, at: Candidate, track: &GridTrack, start: usize, end: usize) {
        let Some(direction) = track.direction(start, end) else {
            return;
        };
        let agrees = direction.smoothed_hour.is_some_and(|hour| {
            let apart = hour.abs_diff(direction.hour);
            apart.min(12 - apart) <= 1
        });
        if direction.margin_deg > AMBIGUOUS_DEG && agrees {
            self.offer(Candidate {
                task: Task::MovementDirection,
                bin: direction.hour - 1,
                ..at
            });
        }
    }

    fn timestamps(&mut self, index: u32, track: &GridTrack, mixer: &mut Mixer) {
        for _ in 0..RUN_DRAWS {
            let Some((start, end)) = window(mixer, 0, track.len() - 1) else {
                continue;
            };
            if track.visible_share(start, end) < MIN_VISIBLE_SHARE {
                continue;
            }
            let runs = track.runs(start, end);
            for run in &runs {
                let steps = run.end - run.start;
                let share = steps as f64 / (end - start) as f64;
                let only = runs.iter().filter(|other| other.hour == run.hour).count() == 1;
                if !only || steps < MIN_RUN_STEPS || share > MAX_RUN_SHARE || run.margin_deg <= AMBIGUOUS_DEG {
                    continue;
                }
                let length = [1.0 / 3.0, 2.0 / 3.0].partition_point(|edge| *edge <= share) as u8;
                self.offer(Candidate {
                    task: Task::DirectionTimestamp,
                    bin: length + if run.hour == 12 { 0 } else { 3 },
                    tracks: [index, u32::MAX],
                    span: [(track.first + start) as u32, (track.first + end) as u32],
                    hour: run.hour,
                    ..self.blank
                });
            }
        }
    }

    fn pairs(&mut self, mixer: &mut Mixer) {
        let scene = self.scene;
        let count = scene.tracks.len();
        if count < 2 {
            return;
        }
        for _ in 0..PAIR_DRAWS.min(count * (count - 1) * 12) {
            let (first, second) = (mixer.below(count), mixer.below(count));
            let (a, b) = (&scene.tracks[first], &scene.tracks[second]);
            if a.object == b.object {
                continue;
            }
            let (from, to) = (a.first.max(b.first), (a.first + a.len()).min(b.first + b.len()));
            if to < from + MIN_CLIP_STEPS + 1 {
                continue;
            }
            let Some((start, end)) = window(mixer, from, to - 1) else {
                continue;
            };
            let visible = |track: &GridTrack| track.visible_share(start - track.first, end - track.first);
            if visible(a).min(visible(b)) < MIN_VISIBLE_SHARE {
                continue;
            }
            let at = Candidate {
                span: [start as u32, end as u32],
                ..self.blank
            };
            self.compare_values(at, [first, second], [a, b]);
            if self.directions {
                self.compare_directions(at, [first, second], [a, b]);
            }
        }
    }

    fn compare_values(&mut self, at: Candidate, indices: [usize; 2], tracks: [&GridTrack; 2]) {
        let [start, end] = at.span.map(|point| point as usize);
        let [a, b] = tracks.map(|track| track.distance_m(start - track.first, end - track.first));
        let order = a.0 > b.0;
        let (greater, lesser) = if order { (a, b) } else { (b, a) };
        let ratio = greater.0 / lesser.0.max(1e-9);
        if ratio < MIN_RATIO || greater.0 < MIN_GREATER_M || greater.1 < MIN_RATIO * lesser.1 {
            return;
        }
        let [first, second] = indices.map(|index| index as u32);
        for task in [Task::TraveledDistanceComparison, Task::TravelingSpeedComparison] {
            self.offer(Candidate {
                task,
                bin: ratio_bin(ratio),
                tracks: if order { [first, second] } else { [second, first] },
                ..at
            });
        }
    }

    fn compare_directions(&mut self, at: Candidate, indices: [usize; 2], tracks: [&GridTrack; 2]) {
        let [start, end] = at.span.map(|point| point as usize);
        let [a, b] = tracks.map(|track| track.displacement(start - track.first, end - track.first));
        if a.0.min(b.0) < MIN_DISPLACEMENT_M.max(GATE_M) {
            return;
        }
        let angle_deg = angle_between_deg(a.1, b.1);
        if (angle_deg - SAME_DEG).abs() <= AMBIGUOUS_DEG {
            return;
        }
        let same = u8::from(angle_deg < SAME_DEG);
        self.offer(Candidate {
            task: Task::MovementDirectionComparison,
            bin: same,
            tracks: indices.map(|index| index as u32),
            hour: same,
            ..at
        });
    }
}

/// How far the angle between two directions is from the limit, degrees.
pub(super) fn same_margin_deg(angle_deg: f64) -> f64 {
    (angle_deg - SAME_DEG).abs()
}

pub(super) fn speed_kmh(distance_m: f64, start: usize, end: usize) -> f64 {
    distance_m / ((end - start) as f64 * super::grid::STEP_S) * 3.6
}

/// A clip drawn from the points `from` to `to`; `None` when there is no room for one.
fn window(mixer: &mut Mixer, from: usize, to: usize) -> Option<(usize, usize)> {
    let room = to.checked_sub(from)?.checked_sub(MIN_CLIP_STEPS)?;
    let steps = MIN_CLIP_STEPS + mixer.below(room.min(MAX_STEPS - MIN_CLIP_STEPS) + 1);
    let start = from + mixer.below(to - from - steps + 1);
    Some((start, start + steps))
}

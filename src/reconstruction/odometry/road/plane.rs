//! The road under the camera from two pictures: the plane whose induced motion makes them agree.
//!
//! A point of the plane n · X = h seen along the ray r = (x / z, y / z, 1) has the inverse depth ρ = m · r with m = n / h, so
//! that between two pictures with a known relative pose (R, t) it is seen along R r + t ρ. Asphalt has hardly a corner that
//! could be followed, but much faint texture: so the grey values of many patches are compared directly, each warped by the
//! plane, and m follows by Gauss-Newton with Tukey's weights. What comes out is the height over the road in units of the
//! camera's own motion, and where down is. The relative pose is known but for a little turn and a little shift aside, and
//! those are solved for too: half a tenth of a degree of pitch would count for several percent of the height.

use nalgebra::{
    Isometry3, Matrix2, Matrix2x3, Matrix3, Point2, SMatrix, SVector, Unit, UnitQuaternion, Vector2, Vector3,
};

use super::super::flow::{PATCH, RIMMED};
use super::super::gray::{GrayPyramid, Level};
use super::super::lens::{Excluded, Lens};
use super::{ASIDE, DEPTHS, RoadPrior};
use crate::reconstruction::ground::GroundPlane;

/// Patches at most in one row of patches, those with most texture along the motion.
const PER_ROW: usize = 14;
/// Standard deviation of the grey values of a patch below which it tells nothing.
const MIN_DEVIATION: f32 = 0.8;
/// Fewer patches are no road.
const MIN_PATCHES: usize = 12;
const MAX_STEPS: usize = 8;
/// Tukey's constant, standard deviations, and the least such deviation, grey levels.
const TUKEY: f32 = 4.685;
const MIN_NOISE: f32 = 1.0;
/// A patch counts for no more than so many faint ones.
const STRONG: f64 = 16.0;
/// Correlation of all patches together below which the pictures do not agree.
const MIN_CORRELATION: f64 = 0.5;
/// Pixels of a patch do not err independently, and roads are not quite flat: standard deviations are so many times larger.
const DOUBT: f64 = 2.5;
/// Doubt about the relative pose: turn, and direction of the shift, radians.
const TURN_SIGMA_RAD: f64 = 8e-4;
const DIRECTION_SIGMA_RAD: f64 = 0.015;
/// Heights that are tried at least either way, and how far apart, logarithms; patches that are asked.
const LEAST_REACH: f64 = 0.1;
const REACH_STEP: f64 = 0.04;
const EVERY: usize = 2;
/// The height is never taken for better known than this before the pictures are compared, relatively.
const LEAST_HEIGHT_SIGMA: f64 = 0.2;
/// A height that is known no better tells nothing, relatively.
const MAX_HEIGHT_SIGMA: f64 = 0.1;
/// The plane may be tilted this far against what is expected, radians.
const MAX_TILT_RAD: f64 = 0.06;

struct Patch {
    /// Ray of the middle, and of places a step to the right and below.
    rays: [Vector3<f64>; 3],
    values: [[f32; PATCH]; PATCH],
    gradients: [[[f32; 2]; PATCH]; PATCH],
    deviation: f32,
}

/// Where the other picture shows a patch for a plane.
struct Place {
    /// Its middle in the other camera's frame (R r + t ρ), and in the other picture's working pixels.
    q: Vector3<f64>,
    middle: Point2<f32>,
    /// Pixels there by the patch's own.
    warp: Matrix2<f32>,
}

/// A patch as the other picture shows it for a plane.
struct Seen {
    place: Place,
    /// Differences of grey values, other less this, with equal mean and contrast.
    errors: [[f32; PATCH]; PATCH],
    /// Products of grey values: other by this, and each by itself.
    products: [f32; 3],
}

/// Turn and shift of this camera in its own frame, and the change of the plane.
type Unknowns = SVector<f64, 9>;

/// The two pictures.
struct Pair<'a> {
    lens: &'a Lens,
    other: &'a Level,
    /// Pixels of the ground floor to one of the floor that is read.
    scale: f32,
    other_from_here: Isometry3<f64>,
}

/// Finds the road in the picture `here` by comparing with the picture `other`, taken from `other_from_here`. `None` where
/// no plane near the expected one makes them agree.
pub(in crate::reconstruction::odometry) fn find(
    here: &GrayPyramid,
    other: &GrayPyramid,
    lens: &Lens,
    other_from_here: &Isometry3<f64>,
    prior: &RoadPrior,
    excluded: &Excluded<'_>,
) -> Option<GroundPlane> {
    let floor = usize::from(here.width() >= 400 && here.levels.len() > 1 && other.levels.len() > 1);
    let mut pair = Pair {
        lens,
        other: other.levels.get(floor)?,
        scale: (1usize << floor) as f32,
        other_from_here: *other_from_here,
    };
    let expected = prior.down_in_camera / prior.height;
    let patches = patches(here.levels.get(floor)?, &pair, prior, excluded);
    if patches.len() < MIN_PATCHES {
        return None;
    }
    let faint = faint(&patches);
    let mut plane = expected * best_factor(&pair, &patches, &expected, prior.height_sigma, faint);
    let known = prior.information(&pair.other_from_here);
    let mut noise = None;
    let mut off = Unknowns::zeros();
    off.fixed_rows_mut::<3>(6).copy_from(&(plane - expected));
    let mut information = known;
    for _ in 0..MAX_STEPS {
        let seen: Vec<_> = patches.iter().map(|patch| pair.see(patch, &plane)).collect();
        let sigma = *noise.get_or_insert_with(|| spread(&seen));
        information = known;
        let mut gradient = known * off;
        let turn = pair.other_from_here.rotation.to_rotation_matrix().into_inner();
        let shift = pair.other_from_here.translation.vector;
        for (patch, seen) in patches.iter().zip(&seen) {
            let Some(seen) = seen else { continue };
            let mut own = Matrix2::<f32>::zeros();
            let mut product = Vector2::<f32>::zeros();
            for (errors, gradients) in seen.errors.iter().zip(&patch.gradients) {
                for (error, [gx, gy]) in errors.iter().zip(gradients) {
                    let off = error / (TUKEY * sigma);
                    let weight = (1.0 - off * off).max(0.0).powi(2);
                    let slope = Vector2::new(*gx, *gy);
                    own += slope * slope.transpose() * weight;
                    product += slope * (weight * error);
                }
            }
            let ray = &patch.rays[0];
            let mut by_unknowns = SMatrix::<f64, 3, 9>::zeros();
            by_unknowns
                .fixed_columns_mut::<3>(0)
                .copy_from(&(-turn * ray.cross_matrix()));
            by_unknowns
                .fixed_columns_mut::<3>(3)
                .copy_from(&(turn * plane.dot(ray)));
            by_unknowns
                .fixed_columns_mut::<3>(6)
                .copy_from(&(shift * ray.transpose()));
            let Some(by_place) = pair.by_place(&seen.place) else {
                continue;
            };
            let moves = by_place * by_unknowns;
            let variance = f64::from(sigma * sigma);
            information += moves.transpose() * (own.cast::<f64>() / variance) * moves;
            gradient += moves.transpose() * (product.cast::<f64>() / variance);
        }
        let step = information.cholesky()?.solve(&-gradient);
        off += step;
        plane += step.fixed_rows::<3>(6).into_owned();
        let turned = UnitQuaternion::from_scaled_axis(step.fixed_rows::<3>(0).into_owned());
        let shifted: Vector3<f64> = step.fixed_rows::<3>(3).into_owned();
        pair.other_from_here *= Isometry3::from_parts(shifted.into(), turned);
        if step.fixed_rows::<3>(6).norm() * prior.height < 2e-4 {
            break;
        }
        noise = None;
    }
    let correlation = pair.correlation(&patches, &plane, faint);
    let down_in_camera = Unit::try_new(plane, 1e-12)?;
    if correlation < MIN_CORRELATION || down_in_camera.angle(&prior.down_in_camera) > MAX_TILT_RAD {
        return None;
    }
    let covariance = information.try_inverse()?.fixed_view::<3, 3>(6, 6).into_owned();
    let height = 1.0 / plane.norm();
    let along = down_in_camera.dot(&(covariance * down_in_camera.into_inner())).max(0.0);
    let height_sigma = DOUBT * along.sqrt() * height;
    (height_sigma < MAX_HEIGHT_SIGMA).then_some(GroundPlane {
        down_in_camera,
        height,
        height_sigma,
    })
}

impl RoadPrior {
    /// Information on the unknowns before the pictures are compared.
    fn information(&self, other_from_here: &Isometry3<f64>) -> SMatrix<f64, 9, 9> {
        let mut known = SMatrix::<f64, 9, 9>::zeros();
        let mut set = |at: usize, block: Matrix3<f64>| known.fixed_view_mut::<3, 3>(at, at).copy_from(&block);
        set(0, Matrix3::identity() * TURN_SIGMA_RAD.powi(-2));
        // How far is not to be told from how high: only the direction is in doubt.
        let shift = other_from_here.rotation.inverse() * other_from_here.translation.vector;
        let far = shift.norm().max(1e-6);
        let along = shift * shift.transpose() / (far * far);
        let aside = (far * DIRECTION_SIGMA_RAD).powi(-2);
        set(3, (Matrix3::identity() - along) * aside + along * (1e4 * aside));
        let along = self.down_in_camera * self.down_in_camera.transpose();
        let square = self.height * self.height;
        set(
            6,
            (Matrix3::identity() - along) * (square / self.tilt_sigma_rad.powi(2))
                + along * (square / self.height_sigma.max(LEAST_HEIGHT_SIGMA).powi(2)),
        );
        known
    }
}

/// Patches on what should be road, in the current picture.
fn patches(level: &Level, pair: &Pair<'_>, prior: &RoadPrior, excluded: &Excluded<'_>) -> Vec<Patch> {
    let mut chosen = Vec::new();
    let mut row: Vec<(f32, Patch)> = Vec::new();
    let rim = 0.5 * RIMMED as f32;
    let (columns, rows) = (level.width / PATCH, level.height / PATCH);
    for row_index in 0..rows {
        row.clear();
        for column in 0..columns {
            let middle = Point2::new(
                (column * PATCH) as f32 + 0.5 * PATCH as f32,
                (row_index * PATCH) as f32 + 0.5 * PATCH as f32,
            );
            let at = middle * pair.scale;
            let Some(ray) = pair.lens.ray(&at) else { continue };
            let slope = prior.down_in_camera.dot(&ray);
            if slope * DEPTHS.1 < 1.0 || slope * DEPTHS.0 > 1.0 || ray.x.abs() > ASIDE * slope || excluded.contains(&at)
            {
                continue;
            }
            let mut rimmed = [[0.0; RIMMED]; RIMMED];
            if !level.sample(middle.x - rim + 0.5, middle.y - rim + 0.5, &mut rimmed) {
                continue;
            }
            let step = 4.0 * pair.scale;
            let (Some(right), Some(below)) = (
                pair.lens.ray(&(at + Vector2::new(step, 0.0))),
                pair.lens.ray(&(at + Vector2::new(0.0, step))),
            ) else {
                continue;
            };
            let patch = Patch::new(&rimmed, [ray, right, below]);
            if patch.deviation < MIN_DEVIATION {
                continue;
            }
            // Texture along the motion is what counts.
            let place = pair.place(&patch.rays, &(prior.down_in_camera / prior.height));
            let Some(by_place) = place.and_then(|place| pair.by_place(&place)) else {
                continue;
            };
            let moves = (by_place * pair.other_from_here.translation.vector).cast::<f32>() * slope as f32;
            let energy: f32 = patch
                .gradients
                .iter()
                .flatten()
                .map(|[gx, gy]| (gx * moves.x + gy * moves.y).powi(2))
                .sum();
            row.push((energy, patch));
        }
        row.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        chosen.extend(row.drain(..).take(PER_ROW).map(|(_, patch)| patch));
    }
    chosen
}

impl Patch {
    fn new(rimmed: &[[f32; RIMMED]; RIMMED], rays: [Vector3<f64>; 3]) -> Self {
        let mut values = [[0.0; PATCH]; PATCH];
        let mut gradients = [[[0.0; 2]; PATCH]; PATCH];
        for y in 0..PATCH {
            for x in 0..PATCH {
                values[y][x] = rimmed[y + 1][x + 1];
                gradients[y][x] = [
                    0.5 * (rimmed[y + 1][x + 2] - rimmed[y + 1][x]),
                    0.5 * (rimmed[y + 2][x + 1] - rimmed[y][x + 1]),
                ];
            }
        }
        let deviation = centre(&mut values);
        Self {
            rays,
            values,
            gradients,
            deviation,
        }
    }
}

/// Takes the mean out; the standard deviation that is left.
fn centre(values: &mut [[f32; PATCH]; PATCH]) -> f32 {
    let count = (PATCH * PATCH) as f32;
    let mean = values.iter().flatten().sum::<f32>() / count;
    let mut squares = 0.0;
    for value in values.iter_mut().flatten() {
        *value -= mean;
        squares += *value * *value;
    }
    (squares / count).sqrt()
}

impl Pair<'_> {
    /// Where a patch is seen in the other picture when the road is this plane.
    fn place(&self, rays: &[Vector3<f64>; 3], plane: &Vector3<f64>) -> Option<Place> {
        let (turn, shift) = (&self.other_from_here.rotation, &self.other_from_here.translation.vector);
        let [q, right, below] = rays.map(|ray| turn * ray + shift * plane.dot(&ray));
        let (middle, right, below) = (self.project(&q)?, self.project(&right)?, self.project(&below)?);
        // In pixels of the floor that is read, of either picture.
        let step = 4.0 * self.scale;
        let warp = Matrix2::from_columns(&[(right - middle) / step, (below - middle) / step]);
        Some(Place { q, middle, warp })
    }

    fn project(&self, q: &Vector3<f64>) -> Option<Point2<f32>> {
        if q.z < 0.05 { None } else { self.lens.project(q) }
    }

    /// How a patch moves, in its own pixels, when its middle moves in the other camera's frame.
    fn by_place(&self, place: &Place) -> Option<Matrix2x3<f64>> {
        let back = place.warp.try_inverse()?.cast::<f64>() / f64::from(self.scale);
        let little = 1e-3 * place.q.z;
        let mut by_place = Matrix2x3::zeros();
        for axis in 0..3 {
            let mut beside = place.q;
            beside[axis] += little;
            let moved = (self.project(&beside)? - place.middle).cast::<f64>() / little;
            by_place.set_column(axis, &(back * moved));
        }
        Some(by_place)
    }

    /// A patch as the other picture shows it when the road is this plane; `None` outside of the picture.
    fn see(&self, patch: &Patch, plane: &Vector3<f64>) -> Option<Seen> {
        let place = self.place(&patch.rays, plane)?;
        let mut values = [[0.0; PATCH]; PATCH];
        let half = 0.5 * (PATCH as f32 - 1.0);
        let start = place.middle / self.scale;
        for (y, row) in values.iter_mut().enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                let at = start + place.warp * Vector2::new(x as f32 - half, y as f32 - half);
                *value = self.other.at(at.x, at.y)?;
            }
        }
        let deviation = centre(&mut values);
        let gain = (patch.deviation / deviation.max(1e-3)).clamp(0.6, 1.7);
        let mut products = [0.0; 3];
        let mut errors = [[0.0; PATCH]; PATCH];
        for ((errors, values), own) in errors.iter_mut().zip(&values).zip(&patch.values) {
            for ((error, value), own) in errors.iter_mut().zip(values).zip(own) {
                products[0] += value * own;
                products[1] += value * value;
                products[2] += own * own;
                *error = gain * value - own;
            }
        }
        Some(Seen {
            place,
            errors,
            products,
        })
    }

    /// Correlation of all patches together, without what `faint` ones have of it.
    fn correlation(&self, patches: &[Patch], plane: &Vector3<f64>, faint: f64) -> f64 {
        let mut sums = [0.0f64; 3];
        for seen in patches.iter().step_by(EVERY).filter_map(|patch| self.see(patch, plane)) {
            let [product, other, own] = seen.products.map(f64::from);
            // One strong edge does not speak for the road.
            let weight = (STRONG * faint / own).min(1.0);
            sums[0] += weight * product;
            sums[1] += weight * (other - faint).max(0.0);
            sums[2] += weight * (own - faint).max(0.0);
        }
        sums[0] / (sums[1] * sums[2]).sqrt().max(faint)
    }
}

/// Sum of squared grey values, mean taken out, of patches that are as likely noise as texture.
fn faint(patches: &[Patch]) -> f64 {
    let mut sums: Vec<f32> = patches.iter().map(|patch| patch.deviation.powi(2)).collect();
    let quarter = sums.len() / 4;
    if sums.is_empty() {
        return 1.0;
    }
    let (_, faint, _) = sums.select_nth_unstable_by(quarter, f32::total_cmp);
    f64::from(*faint) * (PATCH * PATCH) as f64
}

/// The factor on the expected plane with which the pictures agree best. Steps that are too small or too large agree too, a
/// little, where markings run along the way, so the best is looked for afar before it is refined.
fn best_factor(pair: &Pair<'_>, patches: &[Patch], expected: &Vector3<f64>, height_sigma: f64, faint: f64) -> f64 {
    let reach = (2.5 * height_sigma).clamp(LEAST_REACH, 1.0);
    let count = (reach / REACH_STEP).ceil() as i32;
    (-count..=count)
        .map(|index| (reach * f64::from(index) / f64::from(count)).exp())
        .map(|factor| (factor, pair.correlation(patches, &(expected * factor), faint)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(1.0, |(factor, _)| factor)
}

/// Robust standard deviation of the differences.
fn spread(seen: &[Option<Seen>]) -> f32 {
    let mut errors: Vec<f32> = seen
        .iter()
        .flatten()
        .flat_map(|seen| seen.errors.iter().flatten().step_by(3))
        .map(|error| error.abs())
        .collect();
    if errors.is_empty() {
        return MIN_NOISE;
    }
    let middle = errors.len() / 2;
    let (_, median, _) = errors.select_nth_unstable_by(middle, f32::total_cmp);
    (1.4826 * *median).max(MIN_NOISE)
}

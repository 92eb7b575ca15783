//! The scene from above: the camera at the bottom, ahead is up, rings at equal distances.

use nalgebra::{Matrix2, Point3, Vector2, Vector3};

use super::canvas::{Area, PictureMut};
use super::shapes::Point;
use super::{Look, color_of, ground_speed_mps, shapes, shown_state, stands, trails};
use crate::kinematics::KinematicState;
use crate::reconstruction::View;
use crate::results::FrameResults;

/// Ranges to choose from, metres from the camera to the top edge.
const RANGES_M: [f64; 6] = [10.0, 20.0, 40.0, 80.0, 160.0, 320.0];
/// Share of the objects that the range must hold.
const SHARE_IN_RANGE: f64 = 0.9;
/// How long a shorter range must suffice before it is taken.
const CALM_S: f64 = 3.0;
/// How far ahead the line in the direction of movement reaches.
const AHEAD_S: f64 = 1.0;

/// The distance that the inset spans. It widens at once and narrows only after a calm while.
#[derive(Debug, Default)]
pub(super) struct Range {
    index: usize,
    /// Stream time since when a shorter range would do.
    calm_since_s: Option<f64>,
}

impl Range {
    fn choose(&mut self, distances_m: &mut [f64], now_s: f64) -> f64 {
        distances_m.sort_by(f64::total_cmp);
        let last = distances_m.len().saturating_sub(1);
        let needed = distances_m
            .get((last as f64 * SHARE_IN_RANGE).round() as usize)
            .copied()
            .unwrap_or(0.0);
        let wanted = RANGES_M
            .iter()
            .position(|range| needed <= range * 0.95)
            .unwrap_or(RANGES_M.len() - 1);
        if wanted >= self.index {
            self.index = wanted;
            self.calm_since_s = None;
        } else {
            let since = *self.calm_since_s.get_or_insert(now_s);
            // A time before `since` means that the stream started again.
            if now_s - since > CALM_S || now_s < since {
                self.index = wanted;
                self.calm_since_s = None;
            }
        }
        RANGES_M[self.index]
    }

    /// Draws the inset into the picture's upper right corner.
    pub fn draw(
        &mut self,
        picture: &mut PictureMut,
        look: &Look,
        results: &FrameResults,
        view: &View,
        with_trails: bool,
    ) {
        let Some(plan) = Plan::new(view) else {
            return;
        };
        let shown: Vec<_> = results
            .objects
            .iter()
            .map(|object| (object, plan.seen_from_above(&object.live.position_in_world)))
            .filter(|(_, at)| at.x.is_finite() && at.y.is_finite())
            .collect();
        let mut distances: Vec<f64> = shown.iter().map(|(_, at)| at.norm()).collect();
        let range_m = self.choose(&mut distances, results.time.seconds());

        let side = (picture.height() as f32 * 0.36).min(picture.width() as f32 * 0.3) as i32;
        let margin = look.margin();
        if side < 60 {
            return;
        }
        let right = picture.width() as i32 - margin;
        let area = Area::new(right - side, margin, right, margin + side);
        let inset = Inset {
            area,
            camera: ((area.x0 + area.x1) as f32 / 2.0, area.y1 as f32 - side as f32 * 0.08),
            pixels_per_metre: side as f32 * 0.88 / range_m as f32,
        };
        shapes::rounded(picture, &area, 6.0, &look.black, 0.78);
        picture.clipped(&area, |picture| {
            inset.draw_ground(picture, look, view, range_m);
            // Ids and lines of objects a little outside may still reach in.
            for (object, at) in shown.into_iter().filter(|(_, at)| at.norm() < 2.0 * range_m) {
                let reliable = object.reliability.is_reliable();
                let opacity = if reliable { 1.0 } else { 0.6 };
                let ink = picture.ink(color_of(object.track_id));
                let state = shown_state(object);
                let center = inset.pixel(at);
                if with_trails {
                    let trail = trails::trail_of(object, results);
                    for pair in trail.windows(2) {
                        let [from, to] = [&pair[0], &pair[1]].map(|(p, _)| inset.pixel(plan.seen_from_above(p)));
                        shapes::line(picture, from, to, look.line * 0.8, &ink, 0.2 + 0.5 * pair[1].1);
                    }
                }
                inset.draw_spread(picture, &plan, &object.live, at, &ink);
                if let Some((speed, _)) = ground_speed_mps(state)
                    && speed > 0.0
                    && !stands(state)
                {
                    let ahead = at + plan.turned(&state.velocity_in_world_mps) * AHEAD_S;
                    shapes::line(picture, center, inset.pixel(ahead), look.line, &ink, opacity);
                }
                shapes::disc(picture, center, look.line * 1.6 + 1.0, &look.black, opacity);
                shapes::disc(picture, center, look.line * 1.6, &ink, opacity);
                let id = object.track_id.to_string();
                let (x, y) = (center.0 as i32 + 2 + (look.line * 1.6) as i32, center.1 as i32);
                let y = y - look.small_font.line_height() / 2;
                look.small_font
                    .draw(picture, x, y, &id, if reliable { &look.white } else { &look.grey });
            }
        });
    }
}

/// The ground plane, turned so that the camera looks up the page.
struct Plan {
    camera: Vector3<f64>,
    /// Unit vector in the world's ground plane in which the camera looks.
    forward: Vector2<f64>,
}

impl Plan {
    /// `None` when the pose is not finite.
    fn new(view: &View) -> Option<Self> {
        let axis = |v: Vector3<f64>| (view.world_from_camera * v).xy();
        // A camera that looks straight down has its picture's upper edge ahead.
        let forward = [axis(Vector3::z()), axis(-Vector3::y())]
            .into_iter()
            .find(|v| v.norm() > 0.1)?;
        let camera = view.world_from_camera.translation.vector;
        (camera.iter().all(|c| c.is_finite())).then(|| Self {
            camera,
            forward: forward.normalize(),
        })
    }

    /// A vector of the world, (right, ahead) in metres.
    fn turned(&self, v: &Vector3<f64>) -> Vector2<f64> {
        let right = Vector2::new(self.forward.y, -self.forward.x);
        Vector2::new(right.dot(&v.xy()), self.forward.dot(&v.xy()))
    }

    /// A point of the world relative to the camera, (right, ahead) in metres.
    fn seen_from_above(&self, p: &Point3<f64>) -> Vector2<f64> {
        self.turned(&(p.coords - self.camera))
    }
}

/// The inset in the picture.
struct Inset {
    area: Area,
    camera: Point,
    pixels_per_metre: f32,
}

impl Inset {
    fn pixel(&self, at: Vector2<f64>) -> Point {
        (
            self.camera.0 + at.x as f32 * self.pixels_per_metre,
            self.camera.1 - at.y as f32 * self.pixels_per_metre,
        )
    }

    /// Rings with their distances, and the edges of the field of view.
    fn draw_ground(&self, picture: &mut PictureMut, look: &Look, view: &View, range_m: f64) {
        let intrinsics = &view.camera.intrinsics;
        let far = range_m * 2.0;
        for across in [
            -intrinsics.cx / intrinsics.fx,
            (f64::from(intrinsics.width) - intrinsics.cx) / intrinsics.fx,
        ] {
            let edge = self.pixel(Vector2::new(across * far, far));
            shapes::line(picture, self.camera, edge, 1.2, &look.grey, 0.35);
        }
        for quarter in 1..=4 {
            let distance = range_m * f64::from(quarter) / 4.0;
            let radius = distance as f32 * self.pixels_per_metre;
            shapes::ring(picture, self.camera, radius, 1.2, &look.grey, 0.35);
            if quarter % 2 == 0 {
                let label = format!("{distance:.0} m");
                let x = self.camera.0 as i32 + 3;
                let y = (self.camera.1 - radius) as i32 + 2;
                look.small_font.draw(picture, x, y, &label, &look.grey);
            }
        }
        let (x, y) = self.camera;
        let size = look.line * 2.5;
        shapes::polyline(
            picture,
            &[
                (x - size, y + size),
                (x, y - size),
                (x + size, y + size),
                (x - size, y + size),
            ],
            look.line,
            &look.white,
            1.0,
        );
    }

    /// The ellipse on the ground that holds the object with 95 % probability; left out when it is smaller than its dot.
    fn draw_spread(
        &self,
        picture: &mut PictureMut,
        plan: &Plan,
        state: &KinematicState,
        at: Vector2<f64>,
        ink: &super::Ink,
    ) {
        let covariance: Matrix2<f64> = state.covariance.fixed_view::<2, 2>(0, 0).into_owned();
        if !covariance.iter().all(|c| c.is_finite()) {
            return;
        }
        let axes = covariance.symmetric_eigen();
        // The 95 % quantile of χ² with two degrees of freedom is 5.991.
        let reach = axes.eigenvalues.map(|variance| (5.991 * variance.max(0.0)).sqrt());
        if reach.max() as f32 * self.pixels_per_metre < 3.0 {
            return;
        }
        let outline: Vec<Point> = (0..=32)
            .map(|step| {
                let (sin, cos) = (f64::from(step) / 32.0 * std::f64::consts::TAU).sin_cos();
                let v = axes.eigenvectors * Vector2::new(reach.x * cos, reach.y * sin);
                self.pixel(at + plan.turned(&v.push(0.0)))
            })
            .collect();
        let side = self.area.width() as f32;
        // Far larger than the inset it says nothing, and costs.
        if reach.max() as f32 * self.pixels_per_metre < side {
            shapes::polyline(picture, &outline, 1.2, ink, 0.5);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_widens_at_once_and_narrows_after_a_calm_while() {
        let mut range = Range::default();
        assert_eq!(range.choose(&mut [30.0, 5.0], 0.0), 40.0);
        assert_eq!(range.choose(&mut [5.0], 1.0), 40.0);
        assert_eq!(range.choose(&mut [5.0], 3.9), 40.0);
        assert_eq!(range.choose(&mut [5.0], 4.1), 10.0);
        assert_eq!(range.choose(&mut [100.0, f64::MAX], 4.2), 320.0);
        assert_eq!(range.choose(&mut [], 4.3), 320.0);
    }
}

//! A plan: paths seen from above, true and measured, on one scale.

use super::canvas::{Area, OPAQUE, PictureMut};
use super::shapes;
use super::text::Font;

const BACKGROUND: [u8; 3] = [250, 250, 248];
const GRID: [u8; 3] = [222, 222, 218];
const TEXT: [u8; 3] = [70, 70, 70];
const CAMERA: [u8; 3] = [30, 30, 30];
const MARGIN_PX: f32 = 36.0;
/// Outermost points that are left out of the view when they would shrink the rest, as a share.
const OUTLIERS: f64 = 0.01;

/// One family of paths.
#[derive(Clone, Debug)]
pub struct PathFamily<'a> {
    /// What they are, for the legend.
    pub name: &'a str,
    /// Points (x forward, y left), metres.
    pub paths: &'a [Vec<[f64; 2]>],
    /// Colour.
    pub rgb: [u8; 3],
    /// Thickness of the lines, pixels.
    pub thickness: f32,
}

/// Draws paths from above over a grid: x points up, y to the left, the camera stands at the origin.
pub fn draw_plan(picture: &mut PictureMut, title: &str, families: &[PathFamily<'_>]) {
    let all = Area::new(0, 0, picture.width() as i32, picture.height() as i32);
    let background = picture.ink(BACKGROUND);
    picture.fill(&all, &background, OPAQUE);
    let font = Font::for_height(picture.height());
    let text = picture.ink(TEXT);
    let Some(view) = PlanView::new(
        families,
        picture.width() as f32,
        picture.height() as f32,
        font.line_height(),
    ) else {
        font.draw(
            picture,
            MARGIN_PX as i32,
            MARGIN_PX as i32,
            "nothing was tracked",
            &text,
        );
        return;
    };
    view.draw_grid(picture, &font);
    for family in families {
        let ink = picture.ink(family.rgb);
        for path in family.paths {
            let points: Vec<(f32, f32)> = path.iter().map(|point| view.pixel(*point)).collect();
            shapes::polyline(picture, &points, family.thickness, &ink, 1.0);
            if let Some(end) = points.last() {
                shapes::disc(picture, *end, 1.6 * family.thickness, &ink, 1.0);
            }
        }
    }
    let camera = picture.ink(CAMERA);
    shapes::ring(picture, view.pixel([0.0, 0.0]), 6.0, 2.0, &camera, 1.0);
    let mut x = 8;
    font.draw(picture, x, 6, title, &text);
    x += font.width(title) + 24;
    for family in families {
        let ink = picture.ink(family.rgb);
        let y = 6.0 + 0.5 * font.line_height() as f32;
        shapes::line(
            picture,
            (x as f32, y),
            (x as f32 + 24.0, y),
            family.thickness,
            &ink,
            1.0,
        );
        font.draw(picture, x + 30, 6, family.name, &text);
        x += 54 + font.width(family.name);
    }
}

/// From metres to pixels.
struct PlanView {
    least: [f64; 2],
    most: [f64; 2],
    px_per_m: f64,
    /// Pixel of (x, y) = (0, 0).
    origin: (f64, f64),
}

impl PlanView {
    fn new(families: &[PathFamily<'_>], width: f32, height: f32, line: i32) -> Option<Self> {
        let points = || families.iter().flat_map(|family| family.paths.iter().flatten());
        let bounds = |axis: usize| {
            let mut values: Vec<f64> = points()
                .map(|point| point[axis])
                .filter(|value| value.is_finite())
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            let skipped = (values.len() as f64 * OUTLIERS) as usize;
            let (low, high) = (values.get(skipped)?, values.get(values.len() - 1 - skipped)?);
            // The camera is always shown.
            Some((low.min(0.0) - 1.0, high.max(0.0) + 1.0))
        };
        let (x, y) = (bounds(0)?, bounds(1)?);
        let (margin, top) = (f64::from(MARGIN_PX), f64::from(MARGIN_PX) + f64::from(line));
        let room = (f64::from(width) - 2.0 * margin, f64::from(height) - margin - top);
        let px_per_m = (room.0 / (y.1 - y.0)).min(room.1 / (x.1 - x.0)).max(1e-3);
        Some(Self {
            least: [x.0, y.0],
            most: [x.1, y.1],
            px_per_m,
            origin: (
                0.5 * f64::from(width) + px_per_m * 0.5 * (y.0 + y.1),
                top + 0.5 * room.1 + px_per_m * 0.5 * (x.0 + x.1),
            ),
        })
    }

    fn pixel(&self, [x, y]: [f64; 2]) -> (f32, f32) {
        (
            (self.origin.0 - y * self.px_per_m) as f32,
            (self.origin.1 - x * self.px_per_m) as f32,
        )
    }

    fn draw_grid(&self, picture: &mut PictureMut, font: &Font) {
        let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
            .into_iter()
            .find(|step| step * self.px_per_m >= 48.0)
            .unwrap_or(1000.0);
        let (ink, text) = (picture.ink(GRID), picture.ink(TEXT));
        let lines = |axis: usize| {
            let (first, last) = (
                (self.least[axis] / step).ceil() as i64,
                (self.most[axis] / step).floor() as i64,
            );
            (first..=last).map(move |line| line as f64 * step)
        };
        for x in lines(0) {
            let (from, to) = (self.pixel([x, self.most[1]]), self.pixel([x, self.least[1]]));
            shapes::line(picture, from, to, 1.0, &ink, 1.0);
            font.draw(
                picture,
                4,
                to.1 as i32 - font.line_height() / 2,
                &format!("{x:.0} m"),
                &text,
            );
        }
        for y in lines(1) {
            let (from, to) = (self.pixel([self.least[0], y]), self.pixel([self.most[0], y]));
            shapes::line(picture, from, to, 1.0, &ink, 1.0);
            let below = picture.height() as i32 - font.line_height() - 4;
            font.draw(
                picture,
                from.0 as i32 - font.width("0 m") / 2,
                below,
                &format!("{y:.0} m"),
                &text,
            );
        }
    }
}

//! The curves of a training run as a picture, from its log.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_9X18_BOLD};
use embedded_graphics::text::Alignment;
use plotters::backend::BitMapBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::element::PathElement;
use plotters::style::{Color, RGBColor, WHITE};
use serde_json::Value;

use crate::cli::canvas::{Canvas, write};

/// Size of one curve's panel, pixels.
const PANEL: (i32, i32) = (480, 220);
const MARGIN: (i32, i32) = (58, 30);
const COLUMNS: i32 = 2;
const LINE: RGBColor = RGBColor(40, 90, 170);
const RAW: RGBColor = RGBColor(190, 205, 230);
const FRAME: RGBColor = RGBColor(160, 160, 160);
/// Values that the smoothed curve is a mean of, as a share of all.
const SMOOTHED_SHARE: f64 = 0.05;

/// One quantity over the steps.
#[derive(Debug)]
struct Curve {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// Draws the quantities of a log (a JSON object a line, with `step`) that are named by their JSON pointers; those that it never
/// holds are left out.
///
/// # Errors
/// The log cannot be read, holds none of them, or the picture cannot be written.
pub fn draw(log: &Path, quantities: &[(&'static str, &str)], picture: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(log).with_context(|| log.display().to_string())?;
    let curves = curves(&text, quantities);
    ensure!(!curves.is_empty(), "{} has nothing to draw", log.display());
    let rows = (curves.len() as i32 + COLUMNS - 1) / COLUMNS;
    let (width, height) = (COLUMNS * PANEL.0, rows * PANEL.1);
    let mut pixels = vec![255_u8; (width * height * 3) as usize];
    let corner = |index: usize| ((index as i32 % COLUMNS) * PANEL.0, (index as i32 / COLUMNS) * PANEL.1);
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
        for (index, curve) in curves.iter().enumerate() {
            let place = Place::new(curve, corner(index));
            let line = |points: Vec<(i32, i32)>, color: RGBColor| {
                area.draw(&PathElement::new(points, color.stroke_width(1)))
                    .map_err(|error| anyhow!("{error}"))
            };
            line(place.frame(), FRAME)?;
            line(curve.points.iter().map(|point| place.of(*point)).collect(), RAW)?;
            line(
                smoothed(&curve.points)
                    .into_iter()
                    .map(|point| place.of(point))
                    .collect(),
                LINE,
            )?;
        }
        area.present().map_err(|error| anyhow!("{error}"))?;
    }
    let mut canvas = Canvas::new(&mut pixels, width, height);
    for (index, curve) in curves.iter().enumerate() {
        label(&mut canvas, curve, corner(index));
    }
    let part = picture.with_extension("part.png");
    image::save_buffer(&part, &pixels, width as u32, height as u32, image::ColorType::Rgb8)?;
    std::fs::rename(&part, picture).with_context(|| picture.display().to_string())
}

/// What a run that was interrupted did twice counts as it was done last.
fn curves(text: &str, quantities: &[(&'static str, &str)]) -> Vec<Curve> {
    let mut lines: Vec<(f64, Value)> = Vec::new();
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let Some(step) = line.get("step").and_then(Value::as_f64) else {
            continue;
        };
        lines.retain(|(known, _)| *known < step);
        lines.push((step, line));
    }
    let curve = |&(name, pointer): &(&'static str, &str)| {
        let value = |(step, line): &(f64, Value)| Some((*step, line.pointer(pointer)?.as_f64()?));
        let points: Vec<(f64, f64)> = lines
            .iter()
            .filter_map(value)
            .filter(|(_, value)| value.is_finite())
            .collect();
        (!points.is_empty()).then_some(Curve { name, points })
    };
    quantities.iter().filter_map(curve).collect()
}

/// Means over neighbours.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = (points.len() as f64 * SMOOTHED_SHARE / 2.0) as usize;
    (0..points.len())
        .map(|index| {
            let near = &points[index.saturating_sub(reach)..(index + reach + 1).min(points.len())];
            let mean = near.iter().map(|(_, value)| value).sum::<f64>() / near.len() as f64;
            (points[index].0, mean)
        })
        .collect()
}

/// From steps and values to pixels.
struct Place {
    corner: (i32, i32),
    steps: (f64, f64),
    values: (f64, f64),
}

impl Place {
    fn new(curve: &Curve, corner: (i32, i32)) -> Self {
        let range = |values: Vec<f64>| {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let room = if high > low { 0.0 } else { high.abs().max(1.0) * 0.1 };
            (low - room, high + room)
        };
        Self {
            corner,
            steps: range(curve.points.iter().map(|(step, _)| *step).collect()),
            values: range(curve.points.iter().map(|(_, value)| *value).collect()),
        }
    }

    fn of(&self, (step, value): (f64, f64)) -> (i32, i32) {
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        let (width, height) = (f64::from(PANEL.0 - MARGIN.0 - 16), f64::from(PANEL.1 - 2 * MARGIN.1));
        (
            self.corner.0 + MARGIN.0 + (share(step, self.steps) * width) as i32,
            self.corner.1 + PANEL.1 - MARGIN.1 - (share(value, self.values) * height) as i32,
        )
    }

    fn frame(&self) -> Vec<(i32, i32)> {
        let at = |step, value| self.of((step, value));
        let ((first, last), (low, high)) = (self.steps, self.values);
        vec![
            at(first, high),
            at(first, low),
            at(last, low),
            at(last, high),
            at(first, high),
        ]
    }
}

fn label(canvas: &mut Canvas<'_>, curve: &Curve, corner: (i32, i32)) {
    let place = Place::new(curve, corner);
    let ((first, last), (low, high)) = (place.steps, place.values);
    let newest = curve.points.last().map_or(0.0, |(_, value)| *value);
    let title = format!("{} {}", curve.name, number(newest));
    let middle = corner.0 + PANEL.0 / 2;
    write(
        canvas,
        &title,
        &FONT_9X18_BOLD,
        (middle, corner.1 + 20),
        Alignment::Center,
    );
    for value in [low, high] {
        let (x, y) = place.of((first, value));
        write(canvas, &number(value), &FONT_6X10, (x - 4, y + 3), Alignment::Right);
    }
    for step in [first, last] {
        let (x, y) = place.of((step, low));
        write(
            canvas,
            &format!("{step:.0}"),
            &FONT_6X10,
            (x, y + 13),
            Alignment::Center,
        );
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 0.01 || size == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const QUANTITIES: &[(&str, &str)] = &[("loss", "/loss"), ("average", "/validation/average"), ("none", "/none")];

    #[test]
    fn what_was_done_twice_counts_as_done_last() {
        let log = "{\"step\": 1, \"loss\": 4.0}\n{\"step\": 2, \"loss\": 3.0}\nno line\n{\"step\": 2, \"loss\": 2.5, \
                   \"validation\": {\"average\": 50.0}}\n";
        let curves = curves(log, QUANTITIES);
        assert_eq!(curves.len(), 2);
        assert_eq!(curves[0].points, [(1.0, 4.0), (2.0, 2.5)]);
        assert_eq!(curves[1].points, [(2.0, 50.0)]);
    }

    #[test]
    fn a_falling_loss_is_drawn_falling() {
        let folder = tempfile::tempdir().unwrap();
        let (log, picture) = (folder.path().join("log.jsonl"), folder.path().join("curves.png"));
        let lines: Vec<String> = (1..=100)
            .map(|step| format!("{{\"step\": {step}, \"loss\": {}}}", 101 - step))
            .collect();
        std::fs::write(&log, lines.join("\n")).unwrap();
        draw(&log, QUANTITIES, &picture).unwrap();
        let drawn = image::open(&picture).unwrap().into_rgb8();
        let is_line = |pixel: &image::Rgb<u8>| i16::from(pixel.0[2]) - i16::from(pixel.0[0]) > 60;
        let height_at = |x: u32| (0..drawn.height()).find(|y| is_line(drawn.get_pixel(x, *y))).unwrap();
        assert!(
            height_at(100) + 60 < height_at(400),
            "{} {}",
            height_at(100),
            height_at(400)
        );
        std::fs::write(&log, "{}\n").unwrap();
        assert!(
            draw(&log, QUANTITIES, &picture)
                .unwrap_err()
                .to_string()
                .contains("nothing to draw")
        );
    }
}

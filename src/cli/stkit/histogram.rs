//! The labels of each task before and after balancing, as a picture.

use std::path::Path;

use anyhow::anyhow;
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_9X18_BOLD};
use embedded_graphics::text::Alignment;
use plotters::backend::BitMapBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::element::Rectangle;
use plotters::style::{Color, RGBColor, WHITE};

use crate::cli::canvas::{Canvas, write};
use crate::stkit::builder::{BuildReport, TaskReport};

const PANEL: (i32, i32) = (620, 200);
const MARGIN: i32 = 26;
const TITLE: i32 = 28;
const BEFORE: RGBColor = RGBColor(214, 96, 77);
const AFTER: RGBColor = RGBColor(60, 150, 90);

/// Draws `report` as a PNG: for each task a pair of bars a bin, what could be asked (red) and what is (green), each as a
/// share of its own sum.
pub fn draw(report: &BuildReport, path: &Path) -> anyhow::Result<()> {
    let rows = report.tasks.len().div_ceil(2) as i32;
    let (width, height) = (2 * PANEL.0, rows * PANEL.1);
    let mut pixels = vec![255u8; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
        for (index, task) in report.tasks.iter().enumerate() {
            let corner = corner(index);
            for (bin, pair) in bars(task).into_iter().enumerate() {
                for (bar, (from, to)) in pair.into_iter().enumerate() {
                    let color = if bar == 0 { BEFORE } else { AFTER };
                    let rectangle = Rectangle::new(
                        [
                            (corner.0 + from.0, corner.1 + from.1),
                            (corner.0 + to.0, corner.1 + to.1),
                        ],
                        color.filled(),
                    );
                    area.draw(&rectangle).map_err(|error| anyhow!("bin {bin}: {error}"))?;
                }
            }
        }
        area.present().map_err(|error| anyhow!("{error}"))?;
    }
    let mut canvas = Canvas::new(&mut pixels, width, height);
    for (index, task) in report.tasks.iter().enumerate() {
        label(&mut canvas, task, corner(index));
    }
    image::save_buffer(path, &pixels, width as u32, height as u32, image::ColorType::Rgb8)?;
    Ok(())
}

fn corner(index: usize) -> (i32, i32) {
    ((index as i32 % 2) * PANEL.0, (index as i32 / 2) * PANEL.1)
}

type Bar = ((i32, i32), (i32, i32));

/// Corners of the bars within a panel.
fn bars(task: &TaskReport) -> Vec<[Bar; 2]> {
    let share = |count: f64, sum: f64| if sum > 0.0 { count / sum } else { 0.0 };
    let before: f64 = task.bins.iter().map(|bin| bin.before as f64).sum();
    let after: f64 = task.bins.iter().map(|bin| bin.after as f64).sum();
    let shares: Vec<[f64; 2]> = task
        .bins
        .iter()
        .map(|bin| [share(bin.before as f64, before), share(bin.after as f64, after)])
        .collect();
    let most = shares.iter().flatten().copied().fold(1e-9, f64::max);
    let (room, step) = (f64::from(PANEL.1 - TITLE - MARGIN), step(task));
    let bar = |bin: usize, side: usize, share: f64| {
        let left = MARGIN + bin as i32 * step + side as i32 * (step * 2 / 5);
        let bottom = PANEL.1 - MARGIN;
        (
            (left, bottom - (room * share / most) as i32),
            (left + step * 2 / 5 - 2, bottom),
        )
    };
    shares
        .iter()
        .enumerate()
        .map(|(bin, [before, after])| [bar(bin, 0, *before), bar(bin, 1, *after)])
        .collect()
}

fn step(task: &TaskReport) -> i32 {
    (PANEL.0 - 2 * MARGIN) / task.bins.len().max(1) as i32
}

fn label(canvas: &mut Canvas<'_>, task: &TaskReport, corner: (i32, i32)) {
    let before: u64 = task.bins.iter().map(|bin| bin.before).sum();
    let title = format!(
        "{}: {} of {before} (red before, green after)",
        task.task.code(),
        task.made
    );
    write(
        canvas,
        &title,
        &FONT_9X18_BOLD,
        (corner.0 + MARGIN, corner.1 + 18),
        Alignment::Left,
    );
    for (index, bin) in task.bins.iter().enumerate() {
        let middle = corner.0 + MARGIN + index as i32 * step(task) + step(task) * 2 / 5;
        let bottom = corner.1 + PANEL.1 - MARGIN;
        // The font knows ASCII.
        let name = bin.name.replace('–', "-").replace('×', "x");
        write(canvas, &name, &FONT_6X10, (middle, bottom + 11), Alignment::Center);
        write(
            canvas,
            &bin.after.to_string(),
            &FONT_6X10,
            (middle, bottom + 21),
            Alignment::Center,
        );
    }
}

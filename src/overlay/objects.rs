//! Boxes around objects with their labels and clock faces.

use std::collections::HashMap;
use std::f32::consts::TAU;

use super::canvas::{Area, Ink, OPAQUE, PictureMut};
use super::{Look, Show, color_of, ground_speed_mps, name_of, shapes, shown_state, stands};
use crate::detection::BoundingBox;
use crate::kinematics::ObjectState;
use crate::results::FrameResults;
use crate::tracking::{Track, TrackStatus};

/// Labels beyond this many would cover the picture; boxes are drawn all the same.
const MAX_LABELS: usize = 150;

/// Draws all tracks of the frame, the nearest (lowest in the picture) last and on top.
pub(super) fn draw(picture: &mut PictureMut, look: &Look, results: &FrameResults, show: &Show) {
    if !(show.boxes || show.labels || show.clocks) {
        return;
    }
    let states: HashMap<u64, &ObjectState> = results.objects.iter().map(|state| (state.track_id, state)).collect();
    let mut tracks: Vec<&Track> = results.tracks.iter().filter(|track| track.bbox.is_valid()).collect();
    tracks.sort_by(|a, b| a.bbox.y1.total_cmp(&b.bbox.y1));
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let drawn: Vec<Drawn> = tracks
        .into_iter()
        .filter_map(|track| {
            let bbox = track.bbox.scaled(look.scale.0, look.scale.1).clipped(width, height);
            bbox.is_valid().then(|| Drawn {
                track,
                state: states.get(&track.id).copied(),
                bbox,
                ink: picture.ink(match track.status {
                    TrackStatus::Tracked => color_of(track.id),
                    TrackStatus::Lost => [150, 154, 158],
                }),
            })
        })
        .collect();
    if show.boxes {
        for object in &drawn {
            object.draw_box(picture, look);
        }
    }
    if show.clocks {
        for object in &drawn {
            object.draw_clock(picture, look);
        }
    }
    if show.labels {
        let mut taken = Vec::new();
        for object in drawn.iter().rev().take(MAX_LABELS) {
            object.draw_label(picture, look, show.speeds.then_some(results), &mut taken);
        }
    }
}

struct Drawn<'a> {
    track: &'a Track,
    state: Option<&'a ObjectState>,
    /// In pixels of the picture, clipped to it.
    bbox: BoundingBox,
    ink: Ink,
}

impl Drawn<'_> {
    fn is_reliable(&self) -> bool {
        self.state.is_none_or(|state| state.reliability.is_reliable())
    }

    fn draw_box(&self, picture: &mut PictureMut, look: &Look) {
        let BoundingBox { x0, y0, x1, y1 } = self.bbox;
        let corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)];
        let solid = self.track.status == TrackStatus::Tracked && self.is_reliable();
        for (index, from) in corners.into_iter().enumerate() {
            let to = corners[(index + 1) % 4];
            let pieces: Vec<_> = if solid {
                vec![(from, to)]
            } else {
                shapes::dashes(from, to, look.line).collect()
            };
            // A dark edge below keeps the colour visible on any ground.
            for (from, to) in &pieces {
                shapes::line(picture, *from, *to, look.line + 2.0, &look.black, 0.45);
            }
            for (from, to) in &pieces {
                shapes::line(picture, *from, *to, look.line, &self.ink, 1.0);
            }
        }
    }

    /// A clock face at the box's lower right corner with one hand at the hour of movement.
    fn draw_clock(&self, picture: &mut PictureMut, look: &Look) {
        let Some(hour) = self.state.and_then(|state| state.movement_clock) else {
            return;
        };
        let radius = look.font.line_height() as f32 * 0.62;
        if self.bbox.width() < radius * 1.5 || self.bbox.height() < radius * 1.5 {
            return;
        }
        let reach = radius + 2.0;
        let center = (
            self.bbox.x1.min(picture.width() as f32 - reach),
            self.bbox.y1.min(picture.height() as f32 - reach),
        );
        shapes::disc(picture, center, radius + 1.0, &look.black, 0.8);
        shapes::ring(picture, center, radius, 1.5, &self.ink, 1.0);
        let at = |hour: f32, share: f32| {
            let angle = hour / 12.0 * TAU;
            (
                center.0 + angle.sin() * radius * share,
                center.1 - angle.cos() * radius * share,
            )
        };
        for tick in [0.0, 3.0, 6.0, 9.0] {
            shapes::line(picture, at(tick, 0.8), at(tick, 0.8), 1.6, &look.grey, 1.0);
        }
        shapes::line(picture, center, at(f32::from(hour), 0.66), look.line, &look.white, 1.0);
    }

    /// Name and, with `results`, distance and speed; above the box, else below, else inside; left out where all are taken.
    fn draw_label(&self, picture: &mut PictureMut, look: &Look, results: Option<&FrameResults>, taken: &mut Vec<Area>) {
        let lost = self.track.status == TrackStatus::Lost;
        let mut lines = vec![(name_of(self.track.class, self.track.id), self.ink)];
        // A lost object keeps its name only: its speed is a prediction's.
        if let (Some(results), Some(state), false) = (results, self.state, lost) {
            let ink = if self.is_reliable() { look.white } else { look.grey };
            lines.extend(motion_text(state, results).map(|text| (text, ink)));
        }
        let bar = look.line as i32 + 1;
        let pad = 3;
        let text_width = lines.iter().map(|(text, _)| look.font.width(text)).max().unwrap_or(0);
        let (width, line_height) = (text_width + 2 * pad + bar, look.font.line_height());
        for count in (1..=lines.len()).rev() {
            let height = line_height * count as i32 + pad;
            let (left, top) = (self.bbox.x0 as i32 - 1, self.bbox.y0 as i32 - 2);
            let places = [
                Area::new(left, top - height, left + width, top),
                Area::new(
                    left,
                    self.bbox.y1 as i32 + 3,
                    left + width,
                    self.bbox.y1 as i32 + 3 + height,
                ),
                Area::new(left, top + 4, left + width, top + 4 + height),
            ];
            let bounds = picture.area();
            let Some(area) = places
                .iter()
                .map(|place| place.moved_into(&bounds))
                .find(|place| !taken.iter().any(|other| other.overlaps(place)))
            else {
                continue;
            };
            shapes::rounded(picture, &area, 3.0, &look.black, 0.72);
            let edge = Area::new(area.x0, area.y0, area.x0 + bar, area.y1);
            picture.fill(&edge, &self.ink, OPAQUE);
            for (index, (text, ink)) in lines.iter().take(count).enumerate() {
                let y = area.y0 + pad / 2 + line_height * index as i32;
                look.font.draw(picture, area.x0 + bar + pad, y, text, ink);
            }
            taken.push(area);
            return;
        }
    }
}

/// Distance from the camera and speed, e.g. `23 m  37 ±4 km/h`; a tilde marks what is not reliable.
fn motion_text(object: &ObjectState, results: &FrameResults) -> Option<String> {
    let state = shown_state(object);
    let (speed_mps, half_mps) = ground_speed_mps(state)?;
    let about = if object.reliability.is_reliable() { "" } else { "~" };
    let speed = if stands(state) {
        "stands".to_owned()
    } else {
        format!("{about}{:.0} ±{:.0} km/h", speed_mps * 3.6, half_mps * 3.6)
    };
    let distance = results
        .view
        .as_ref()
        .map(|view| (object.live.position_in_world.coords - view.world_from_camera.translation.vector).norm())
        .filter(|distance| distance.is_finite());
    Some(match distance {
        Some(distance_m) => format!("{about}{distance_m:.0} m  {speed}"),
        None => speed,
    })
}

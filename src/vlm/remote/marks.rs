//! Which object has which colour, and the pictures with the boxes drawn in.

use std::collections::HashMap;
use std::sync::Arc;

use image::RgbImage;

use super::pictures::data_url;
use super::sights::Sight;
use crate::stkit::COLORS;
use crate::vlm::pictures::draw_box;

/// Colours of boxes, by the objects' identities. An object keeps its colour as long as it is asked about, so that a picture
/// looks the same in every window.
#[derive(Debug, Default)]
pub struct Marks {
    colors: Vec<Mark>,
    drawn: HashMap<(u64, Vec<Mark>), Arc<str>>,
}

/// An object and the index of its colour.
type Mark = (u64, usize);

impl Marks {
    /// Gives colours to as many of `ids` as there are colours, those first that stand first.
    pub fn give(&mut self, ids: &[u64]) {
        let ids: Vec<u64> = ids.iter().copied().take(COLORS.len()).collect();
        self.colors.retain(|(id, _)| ids.contains(id));
        for id in ids {
            if self.colors.iter().any(|(known, _)| *known == id) {
                continue;
            }
            let free = (0..COLORS.len()).find(|color| self.colors.iter().all(|(_, taken)| taken != color));
            self.colors.extend(free.map(|color| (id, color)));
        }
    }

    /// An object's colour; `None` when all were taken.
    pub fn color(&self, id: u64) -> Option<&'static str> {
        let (_, color) = self.colors.iter().find(|(known, _)| *known == id)?;
        Some(COLORS[*color].0)
    }

    /// The object with this colour.
    pub fn object(&self, name: &str) -> Option<u64> {
        let color = COLORS.iter().position(|(known, _)| *known == name)?;
        let (id, _) = self.colors.iter().find(|(_, taken)| *taken == color)?;
        Some(*id)
    }

    /// A sight with its boxes as a data URL; drawn once, until a box has another colour.
    pub fn picture(&mut self, sight: &Sight) -> Result<Arc<str>, String> {
        let marked: Vec<Mark> = sight
            .boxes
            .iter()
            .filter_map(|(id, _)| self.colors.iter().find(|(known, _)| known == id).copied())
            .collect();
        let key = (sight.number, marked);
        if let Some(drawn) = self.drawn.get(&key) {
            return Ok(Arc::clone(drawn));
        }
        let mut picture = RgbImage::from_raw(sight.width, sight.height, sight.rgb.to_vec())
            .ok_or_else(|| "the picture is not as large as it says".to_owned())?;
        let (width, height) = (f64::from(sight.width), f64::from(sight.height));
        for (id, bbox) in &sight.boxes {
            if let Some((_, color)) = key.1.iter().find(|(known, _)| known == id) {
                let [x0, y0, x1, y1] = [bbox.x0, bbox.y0, bbox.x1, bbox.y1].map(f64::from);
                draw_box(
                    &mut picture,
                    [x0 * width, y0 * height, x1 * width, y1 * height],
                    COLORS[*color].1,
                );
            }
        }
        let drawn: Arc<str> = data_url(&picture)?.into();
        self.drawn.insert(key, Arc::clone(&drawn));
        Ok(drawn)
    }

    /// Forgets pictures of sights before `number`.
    pub fn forget_before(&mut self, number: u64) {
        self.drawn.retain(|(drawn, _), _| *drawn >= number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::detection::BoundingBox;

    #[test]
    fn colours_stay_and_are_never_shared() {
        let mut marks = Marks::default();
        marks.give(&[7, 8]);
        assert_eq!((marks.color(7), marks.color(8)), (Some("red"), Some("blue")));
        marks.give(&[8, 9, 10]);
        assert_eq!((marks.color(8), marks.color(7)), (Some("blue"), None));
        assert_eq!(marks.object("blue"), Some(8));
        let many: Vec<u64> = (20..40).collect();
        marks.give(&many);
        let mut colors: Vec<_> = many.iter().filter_map(|id| marks.color(*id)).collect();
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), COLORS.len());
        assert_eq!(marks.color(20 + COLORS.len() as u64), None);
    }

    #[test]
    fn a_sight_is_drawn_once_until_its_colours_change() {
        let sight = Sight {
            number: 4,
            time_s: 2.0,
            width: 32,
            height: 24,
            rgb: Arc::new(vec![0; 32 * 24 * 3]),
            boxes: vec![
                (1, BoundingBox::new(0.25, 0.25, 0.75, 0.75)),
                (2, BoundingBox::new(0.0, 0.0, 0.1, 0.1)),
            ],
        };
        let mut marks = Marks::default();
        let plain = marks.picture(&sight).unwrap();
        marks.give(&[1]);
        let marked = marks.picture(&sight).unwrap();
        assert!(plain != marked);
        marks.give(&[1, 3]);
        assert!(
            Arc::ptr_eq(&marked, &marks.picture(&sight).unwrap()),
            "an object elsewhere changes nothing"
        );
        marks.forget_before(5);
        assert!(!Arc::ptr_eq(&marked, &marks.picture(&sight).unwrap()));
    }
}

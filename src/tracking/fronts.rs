//! What stands in front: how much of a box nearer ones overlap.

use crate::detection::BoundingBox;

/// Boxes of one picture that may stand in front of others. On the ground, what is nearer has the lower lower edge.
#[derive(Clone, Debug, Default)]
pub struct Fronts {
    /// In order of their left edges.
    boxes: Vec<BoundingBox>,
    widest: f32,
}

impl Fronts {
    /// Takes the place of the boxes so far.
    pub fn gather(&mut self, boxes: impl Iterator<Item = BoundingBox>) {
        self.boxes.clear();
        self.boxes.extend(boxes);
        self.boxes.sort_unstable_by(|a, b| a.x0.total_cmp(&b.x0));
        self.widest = self.boxes.iter().map(BoundingBox::width).fold(0.0, f32::max);
    }

    /// Share of `bbox`, 0 to 1, that the nearer box which overlaps it most takes. A box is not nearer than itself.
    pub fn cover(&self, bbox: &BoundingBox) -> f32 {
        let start = self.boxes.partition_point(|front| front.x0 < bbox.x0 - self.widest);
        let near = self.boxes[start..].iter().take_while(|front| front.x0 < bbox.x1);
        let shared = near
            .filter(|front| front.y1 > bbox.y1)
            .map(|front| bbox.intersection(front));
        shared.fold(0.0, f32::max) / bbox.area().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_nearer_covers() {
        let (near, far) = (
            BoundingBox::new(10.0, 10.0, 30.0, 60.0),
            BoundingBox::new(20.0, 0.0, 40.0, 50.0),
        );
        let mut fronts = Fronts::default();
        assert_eq!(fronts.cover(&far), 0.0);
        fronts.gather([far, near].into_iter());
        assert!((fronts.cover(&far) - 0.4).abs() < 1e-6);
        assert_eq!(fronts.cover(&near), 0.0);
        assert_eq!(fronts.cover(&BoundingBox::new(500.0, 0.0, 520.0, 20.0)), 0.0);
        fronts.gather(std::iter::empty());
        assert_eq!(fronts.cover(&far), 0.0);
    }
}

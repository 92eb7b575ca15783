//! Metric depth of one picture.

/// Metric depth along the optical axis, in metres, row by row; `NaN` where unknown.
#[derive(Clone, Debug)]
pub struct DepthMap {
    /// Cells across the whole picture.
    pub width: u32,
    /// Cells down the whole picture.
    pub height: u32,
    /// `width · height` depths in metres.
    pub depth_m: Vec<f32>,
    /// Relative standard deviation of a depth, e.g. 0.1 for 10 %.
    pub relative_sigma: f32,
}

impl DepthMap {
    /// Depth in metres at a relative position, `u` and `v` in 0..1 of the picture's width and height; `None` outside or
    /// unknown.
    pub fn at(&self, u: f32, v: f32) -> Option<f32> {
        if !(0.0..1.0).contains(&u) || !(0.0..1.0).contains(&v) {
            return None;
        }
        let x = (u * self.width as f32) as usize;
        let y = (v * self.height as f32) as usize;
        let depth = *self.depth_m.get(y * self.width as usize + x)?;
        (depth.is_finite() && depth > 0.0).then_some(depth)
    }
}

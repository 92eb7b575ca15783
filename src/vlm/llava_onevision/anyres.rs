//! How a single image of any size is cut into tiles, and which of their features are kept.

use super::config::Config;

/// The tiles of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Size of the canvas the image is fitted into, pixels: height, width.
    pub canvas: (usize, usize),
    /// Size of the image on the canvas, pixels: height, width. It stands in the middle.
    pub fitted: (usize, usize),
    /// Number of tiles: rows, columns.
    pub tiles: (usize, usize),
    /// Rows of patches that are kept: first, number.
    pub rows: (usize, usize),
    /// Columns of patches that are kept: first, number.
    pub columns: (usize, usize),
    /// The size in patches to which what is kept is shrunk, if it is: height, width.
    pub shrunk: Option<(usize, usize)>,
}

impl Grid {
    /// For an image of `height` by `width` pixels, as transformers' LLaVA-OneVision does it.
    pub fn new(height: usize, width: usize, config: &Config) -> Self {
        let tile = config.vision.image_size;
        let side = config.vision.side();
        let canvas = best_canvas(height, width, &config.grid_pinpoints);
        let (h, w) = (height as f64, width as f64);
        let (scale_h, scale_w) = (canvas.0 as f64 / h, canvas.1 as f64 / w);
        let fitted = if scale_w < scale_h {
            (((h * scale_w).ceil() as usize).clamp(1, canvas.0), canvas.1)
        } else {
            (canvas.0, ((w * scale_h).ceil() as usize).clamp(1, canvas.1))
        };
        let tiles = (canvas.0 / tile, canvas.1 / tile);
        let patches = (tiles.0 * side, tiles.1 * side);
        let (ph, pw) = (patches.0 as f64, patches.1 as f64);
        let (mut rows, mut columns) = ((0, patches.0), (0, patches.1));
        // Python rounds to seven places first, so that 13.999999999 counts as 14.
        let whole = |value: f64| ((value * 1e7).round_ties_even() / 1e7) as usize;
        if w / h > pw / ph {
            let padding = patches.0.saturating_sub(whole(h * (pw / w))) / 2;
            rows = (padding, patches.0 - 2 * padding);
        } else {
            let padding = patches.1.saturating_sub(whole(w * (ph / h))) / 2;
            columns = (padding, patches.1 - 2 * padding);
        }
        let kept = (rows.1 * columns.1) as f64;
        let ratio = (kept / (config.max_tiles * side * side) as f64).sqrt();
        let shrink = |count: usize| ((count as f64 / ratio).floor() as usize).max(1);
        let shrunk = (ratio > 1.1).then(|| (shrink(rows.1), shrink(columns.1)));
        Self {
            canvas,
            fitted,
            tiles,
            rows,
            columns,
            shrunk,
        }
    }

    /// Number of the language model's tokens, the whole picture's `base` tokens included.
    pub fn tokens(&self, base: usize) -> usize {
        let (height, width) = self.shrunk.unwrap_or((self.rows.1, self.columns.1));
        base + height * (width + 1)
    }
}

/// The canvas that keeps most of the image, and among those the one that wastes least.
fn best_canvas(height: usize, width: usize, pinpoints: &[(usize, usize)]) -> (usize, usize) {
    let (h, w) = (height as f64, width as f64);
    let mut best = pinpoints.first().copied().unwrap_or((height, width));
    let (mut most, mut least_waste) = (0, usize::MAX);
    for &(canvas_h, canvas_w) in pinpoints {
        let scale = (canvas_w as f64 / w).min(canvas_h as f64 / h);
        let effective = ((w * scale) as usize * (h * scale) as usize).min(width * height);
        let waste = canvas_h * canvas_w - effective;
        if effective > most || (effective == most && waste < least_waste) {
            (best, most, least_waste) = ((canvas_h, canvas_w), effective, waste);
        }
    }
    best
}

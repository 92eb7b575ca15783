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
        // Of an image thinner than a patch one row stays.
        let kept = |all: usize, new: usize| {
            let padding = (all.saturating_sub(new) / 2).min((all - 1) / 2);
            (padding, all - 2 * padding)
        };
        let whole = |value: f64| ((value * 1e7).round_ties_even() / 1e7) as usize;
        if w / h > pw / ph {
            rows = kept(patches.0, whole(h * (pw / w)));
        } else {
            columns = kept(patches.1, whole(w * (ph / h)));
        }
        let area = (rows.1 * columns.1) as f64;
        let ratio = (area / (config.max_tiles * side * side) as f64).sqrt();
        // Python's `//`, which does not round before it cuts off: 135 // (5 / 3) is 80.
        let shrink = |count: usize| {
            let count = count as f64;
            (((count - count % ratio) / ratio).round() as usize).max(1)
        };
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    fn config() -> Config {
        let text = r#"{"mm_projector_type": "mlp2x_gelu", "hidden_size": 896, "intermediate_size": 4864,
            "num_attention_heads": 14, "num_hidden_layers": 24, "vocab_size": 151936}"#;
        Config::parse(text, Path::new("config.json")).unwrap()
    }

    #[test]
    fn images_have_as_many_tokens_as_transformers_counts() {
        for (height, width, tokens) in [
            (480, 640, 2929),
            (1080, 1920, 7269),
            (333, 1000, 2943),
            (2000, 700, 7257),
            (37, 411, 1004),
            (384, 384, 1485),
            (1600, 1600, 7209),
            (97, 1311, 1492),
        ] {
            assert_eq!(
                Grid::new(height, width, &config()).tokens(729),
                tokens,
                "{height}x{width}"
            );
        }
    }

    #[test]
    fn every_size_keeps_some_of_its_features() {
        for (height, width) in [(1, 1), (1, 5000), (5000, 1), (3000, 10), (32_768, 32_768)] {
            let grid = Grid::new(height, width, &config());
            let (rows, columns) = (grid.rows, grid.columns);
            assert!(rows.1 > 0 && columns.1 > 0, "{height}x{width}: {grid:?}");
            assert!(rows.0 + rows.1 <= grid.tiles.0 * 27 && columns.0 + columns.1 <= grid.tiles.1 * 27);
            assert!(grid.fitted.0 <= grid.canvas.0 && grid.fitted.1 <= grid.canvas.1);
        }
    }
}

//! From RGB pictures to the vision tower's input: resize as Pillow does, scale, normalise, cut into patches.

use std::path::Path;

use serde_json::Value;

use super::Error;
use super::anyres::Grid;
use super::config::Config;
use super::resize::resize_bicubic;

/// An RGB picture, 8 bits a colour, rows without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    height: usize,
    width: usize,
    /// `height * width * 3`
    data: Vec<u8>,
}

impl Rgb {
    /// # Errors
    ///
    /// When a side is zero or `data` is not `height * width * 3` long.
    pub fn new(height: usize, width: usize, data: Vec<u8>) -> Result<Self, Error> {
        if height == 0 || width == 0 || height > 1 << 15 || width > 1 << 15 || data.len() != height * width * 3 {
            let message = format!(
                "an RGB picture of {width}x{height} needs {} bytes and sides from 1 to 32768, found {} bytes",
                height.saturating_mul(width).saturating_mul(3),
                data.len()
            );
            return Err(Error::Input(message));
        }
        Ok(Self { height, width, data })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row by row, three bytes a pixel.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// As it comes, the sizes known to fit.
    pub(super) fn from_parts(height: usize, width: usize, data: Vec<u8>) -> Self {
        Self { height, width, data }
    }

    /// The picture in the middle of a larger canvas of one colour.
    fn padded(&self, height: usize, width: usize, color: [u8; 3]) -> Self {
        let (top, left) = ((height - self.height) / 2, (width - self.width) / 2);
        let mut data: Vec<u8> = color.iter().copied().cycle().take(height * width * 3).collect();
        let rows = data.chunks_exact_mut(width * 3).skip(top);
        for (row, source) in rows.zip(self.data.chunks_exact(self.width * 3)) {
            row[left * 3..(left + self.width) * 3].copy_from_slice(source);
        }
        Self { height, width, data }
    }

    fn cut(&self, top: usize, left: usize, height: usize, width: usize) -> Self {
        let rows = self.data.chunks_exact(self.width * 3).skip(top).take(height);
        let data = rows
            .flat_map(|row| &row[left * 3..(left + width) * 3])
            .copied()
            .collect();
        Self { height, width, data }
    }
}

/// A normalised picture: `[3, size, size]` in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    size: usize,
    values: Vec<f32>,
}

impl Pixels {
    /// # Errors
    ///
    /// When `values` is not `3 * size * size` long.
    pub fn new(size: usize, values: Vec<f32>) -> Result<Self, Error> {
        if values.len() != 3 * size * size {
            return Err(Error::Input(format!(
                "expected 3x{size}x{size} values, found {}",
                values.len()
            )));
        }
        Ok(Self { size, values })
    }

    /// `[3, size, size]`
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Side, pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    pub(super) fn channels(&self) -> usize {
        3
    }

    /// `[side², 3 * patch²]`: the patches row by row, each with its colours one after the other. What is left over at
    /// the right and at the bottom is not used.
    pub(super) fn patches(&self, patch: usize, side: usize) -> Vec<f32> {
        let mut patches = Vec::with_capacity(side * side * 3 * patch * patch);
        for row in 0..side {
            for column in 0..side {
                for channel in 0..3 {
                    for y in 0..patch {
                        let start = (channel * self.size + row * patch + y) * self.size + column * patch;
                        patches.extend_from_slice(&self.values[start..start + patch]);
                    }
                }
            }
        }
        patches
    }
}

/// What `preprocessor_config.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessor {
    /// Side of the square input, pixels.
    pub size: usize,
    /// What a byte is multiplied with.
    pub scale: f32,
    /// Subtracted from each colour.
    pub mean: [f32; 3],
    /// Each colour is divided by it.
    pub std: [f32; 3],
}

impl Preprocessor {
    /// Reads `preprocessor_config.json` (or `processor_config.json`, where newer folders keep it). A folder without
    /// either, as lmms-lab's are, has SigLIP's values.
    ///
    /// # Errors
    ///
    /// When a file is there but cannot be read, or asks for another kind of preprocessing.
    pub fn read(folder: &Path, config: &Config) -> Result<Self, Error> {
        for name in ["preprocessor_config.json", "processor_config.json"] {
            let path = folder.join(name);
            if path.is_file() {
                let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
                    path: path.clone(),
                    source,
                })?;
                let json: Value = serde_json::from_str(&text).map_err(|error| Error::file(&path, error))?;
                let section = json.get("image_processor").unwrap_or(&json);
                if section.get("image_mean").is_some() {
                    return Self::parse(section, config, &path);
                }
            }
        }
        Ok(Self {
            size: config.vision.image_size,
            scale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
        })
    }

    fn parse(json: &Value, config: &Config, path: &Path) -> Result<Self, Error> {
        let wrong = |key: &str, expected: &str| {
            let found = json.get(key).map_or_else(|| "nothing".to_owned(), Value::to_string);
            Error::file(path, format!("`{key}` should be {expected}, found {found}"))
        };
        let triple = |key: &str| {
            let values: Option<Vec<f32>> = json.get(key).and_then(Value::as_array).and_then(|list| {
                list.iter()
                    .map(|value| value.as_f64().map(|value| value as f32))
                    .collect()
            });
            values
                .and_then(|values| <[f32; 3]>::try_from(values).ok())
                .ok_or_else(|| wrong(key, "three numbers"))
        };
        let size = json.get("size").and_then(|size| {
            let side = |key| {
                size.get(key)
                    .and_then(Value::as_u64)
                    .and_then(|side| usize::try_from(side).ok())
            };
            match (side("height"), side("width"), side("shortest_edge")) {
                (Some(height), Some(width), _) if height == width => Some(height),
                (None, None, Some(edge)) => Some(edge),
                _ => None,
            }
        });
        if size != Some(config.vision.image_size) {
            return Err(wrong(
                "size",
                &format!("{0}x{0} as in config.json", config.vision.image_size),
            ));
        }
        if json.get("resample").is_some_and(|value| value.as_u64() != Some(3)) {
            return Err(wrong("resample", "3 (bicubic)"));
        }
        let on = |key: &str| json.get(key).and_then(Value::as_bool).unwrap_or(true);
        if !on("do_resize") || !on("do_rescale") || !on("do_normalize") {
            return Err(Error::file(
                path,
                "`do_resize`, `do_rescale` and `do_normalize` should be true",
            ));
        }
        let std = triple("image_std")?;
        if std.contains(&0.0) {
            return Err(wrong("image_std", "three numbers other than zero"));
        }
        let scale = match json.get("rescale_factor") {
            None => 1.0 / 255.0,
            Some(value) => value.as_f64().ok_or_else(|| wrong("rescale_factor", "a number"))?,
        };
        Ok(Self {
            size: config.vision.image_size,
            scale: scale as f32,
            mean: triple("image_mean")?,
            std,
        })
    }

    /// A frame of a video: resized without regard to its aspect.
    pub fn frame(&self, picture: &Rgb) -> Pixels {
        self.normalise(&resize_bicubic(picture, self.size, self.size))
    }

    /// A single image: the whole of it, then its tiles row by row.
    pub fn image(&self, picture: &Rgb, config: &Config) -> (Pixels, Vec<Pixels>, Grid) {
        let grid = Grid::new(picture.height, picture.width, config);
        let (height, width) = grid.fitted;
        let canvas = resize_bicubic(picture, height, width).padded(grid.canvas.0, grid.canvas.1, [0; 3]);
        let mut tiles = Vec::with_capacity(grid.tiles.0 * grid.tiles.1);
        for row in 0..grid.tiles.0 {
            for column in 0..grid.tiles.1 {
                let tile = canvas.cut(row * self.size, column * self.size, self.size, self.size);
                tiles.push(self.normalise(&tile));
            }
        }
        (self.frame(picture), tiles, grid)
    }

    /// One of several images: padded to a square with the mean's colour, then resized.
    pub fn image_of_several(&self, picture: &Rgb) -> Pixels {
        let side = picture.height.max(picture.width);
        let color = self.mean.map(|value| (value * 255.0) as u8);
        self.frame(&picture.padded(side, side, color))
    }

    fn normalise(&self, picture: &Rgb) -> Pixels {
        let mut values = Vec::with_capacity(picture.data.len());
        for (channel, (mean, std)) in self.mean.iter().zip(self.std).enumerate() {
            let pixels = picture.data.iter().skip(channel).step_by(3);
            values.extend(pixels.map(|&byte| (f32::from(byte) * self.scale - mean) / std));
        }
        Pixels {
            size: picture.width,
            values,
        }
    }
}

//! From a decoder's planes to a model's tensor in one pass: resize, colour, normalisation, padding, layout.
//!
//! Each input row blends the source rows it covers, then each of its pixels sums the columns it covers, and only then are
//! the samples turned into colours: the conversion is linear, so it may come last, on the few pixels that remain.
//! Pictures that shrink more than twofold are averaged over the area of a pixel, others are interpolated linearly.

mod color;
mod geometry;
mod resample;

use half::f16;

pub use geometry::{Geometry, Region};

use self::color::ColorMatrix;
use self::resample::{Axis, Rows, Sampler};
use super::manifest::{ChannelOrder, InputSpec, Layout, SizeRule, ValueRange};
use crate::frame::{Picture, PixelFormat};

/// The values of an input tensor in the element type of the model.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorBuffer {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats.
    F16(Vec<f16>),
    /// Bytes.
    U8(Vec<u8>),
}

impl TensorBuffer {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::U8(data) => data.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn resize(&mut self, len: usize) {
        match self {
            Self::F32(data) => data.resize(len, 0.0),
            Self::F16(data) => data.resize(len, f16::ZERO),
            Self::U8(data) => data.resize(len, 0),
        }
    }
}

/// Fills a model's input tensor from pictures; owns the tensor and all tables, and allocates only when sizes change.
pub struct Preprocessor {
    spec: InputSpec,
    tensor: TensorBuffer,
    /// Geometry of each batch slot, when its padding is already in the tensor.
    padded: Vec<Option<Geometry>>,
    width: u32,
    height: u32,
    batch: usize,
    sampler: Sampler,
    rows: Rows,
    columns: Axis,
    chroma_columns: Axis,
    /// One row of the three channels, in the order of the tensor.
    row: [Vec<f32>; 3],
}

impl Preprocessor {
    /// For an input as `spec` describes it; `buffer` chooses the element type. A size that the model would decide must be
    /// settled in `spec` ([`SizeRule::Model`] gives one pixel).
    pub fn new(spec: InputSpec, buffer: TensorBuffer) -> Self {
        Self {
            spec,
            tensor: buffer,
            padded: Vec::new(),
            width: 0,
            height: 0,
            batch: 1,
            sampler: Sampler::default(),
            rows: Rows::default(),
            columns: Axis::default(),
            chroma_columns: Axis::default(),
            row: [Vec::new(), Vec::new(), Vec::new()],
        }
    }

    /// Sets how many pictures the tensor holds.
    pub fn set_batch(&mut self, batch: usize) {
        let batch = batch.max(1);
        if batch != self.batch {
            self.batch = batch;
            self.allocate(self.width, self.height);
        }
    }

    /// The tensor: all pictures of the batch.
    pub fn tensor(&self) -> &TensorBuffer {
        &self.tensor
    }

    /// Its shape.
    pub fn dims(&self) -> [i64; 4] {
        let (batch, width, height) = (self.batch as i64, i64::from(self.width), i64::from(self.height));
        match self.spec.layout {
            Layout::Nchw => [batch, 3, height, width],
            Layout::Nhwc => [batch, height, width, 3],
        }
    }

    /// Width and height of the input for a region of this size.
    pub fn input_size(&self, region: Region) -> (u32, u32) {
        match self.spec.size {
            SizeRule::Model => (1, 1),
            SizeRule::Fixed([width, height]) => (width, height),
            SizeRule::MultipleOf { multiple_of, long_side } => {
                let (width, height) = (f64::from(region.width), f64::from(region.height));
                let scale = f64::from(long_side) / width.max(height);
                let step = f64::from(multiple_of.max(1));
                let round = |side: f64| ((side * scale / step).round().max(1.0) * step) as u32;
                (round(width), round(height))
            }
        }
    }

    /// Fills slot 0 from a region of a picture and says how they map to each other.
    pub fn fill(&mut self, picture: &Picture<'_>, region: Region) -> Geometry {
        self.fill_slot(0, picture, region)
    }

    /// Fills one slot of the batch; `region` is clipped to the picture. A slot beyond the batch is the last one.
    pub fn fill_slot(&mut self, slot: usize, picture: &Picture<'_>, region: Region) -> Geometry {
        let slot = slot.min(self.batch - 1);
        let region = region.clipped(picture.width(), picture.height());
        let (width, height) = self.input_size(region);
        if (width, height) != (self.width, self.height) || self.tensor.is_empty() {
            self.allocate(width, height);
        }
        let geometry = Geometry::fit(region, width, height, self.spec.padding);
        let normalisation = Normalisation::new(&self.spec);
        if self.padded[slot] != Some(geometry) {
            self.pad_slot(slot, &normalisation);
            self.padded[slot] = Some(geometry);
        }
        self.prepare_tables(picture, &geometry);
        for y in 0..geometry.height as usize {
            self.sample_row(picture, y);
            self.store_row(slot, &geometry, y, &normalisation);
        }
        geometry
    }

    fn allocate(&mut self, width: u32, height: u32) {
        self.width = width;
        self.height = height;
        self.tensor.resize(self.batch * 3 * width as usize * height as usize);
        self.padded.clear();
        self.padded.resize(self.batch, None);
    }

    fn pad_slot(&mut self, slot: usize, normalisation: &Normalisation) {
        let pixels = self.width as usize * self.height as usize;
        let mut values = [0.0; 3];
        for (channel, value) in values.iter_mut().enumerate() {
            *value = normalisation.apply(channel, normalisation.pad[channel]);
        }
        fn fill<T: Copy>(slot: &mut [T], layout: Layout, values: [T; 3]) {
            match layout {
                Layout::Nchw => {
                    let pixels = (slot.len() / 3).max(1);
                    for (plane, value) in slot.chunks_exact_mut(pixels).zip(values) {
                        plane.fill(value);
                    }
                }
                Layout::Nhwc => {
                    for pixel in slot.chunks_exact_mut(3) {
                        pixel.copy_from_slice(&values);
                    }
                }
            }
        }
        let range = slot * 3 * pixels..(slot + 1) * 3 * pixels;
        let layout = self.spec.layout;
        match &mut self.tensor {
            TensorBuffer::F32(data) => fill(&mut data[range], layout, values),
            TensorBuffer::F16(data) => fill(&mut data[range], layout, values.map(f16::from_f32)),
            TensorBuffer::U8(data) => fill(&mut data[range], layout, values.map(to_byte)),
        }
    }

    fn prepare_tables(&mut self, picture: &Picture<'_>, geometry: &Geometry) {
        let region = geometry.region;
        let out = (geometry.width as usize, geometry.height as usize);
        let source = (picture.width() as usize, picture.height() as usize);
        let across = (f64::from(region.x), f64::from(region.width));
        let down = (f64::from(region.y), f64::from(region.height));
        self.columns.build(across, source.0, out.0, 1.0);
        self.rows.luma.build_rows(down, source.1, out.1, 1.0);
        if matches!(picture.format(), PixelFormat::Nv12 | PixelFormat::I420) {
            self.chroma_columns.build(across, source.0, out.0, 0.5);
            self.rows.chroma.build_rows(down, source.1, out.1, 0.5);
        }
        for row in &mut self.row {
            row.resize(out.0, 0.0);
        }
    }

    /// Fills `self.row` with red, green and blue of one content row, 0 to 255.
    fn sample_row(&mut self, picture: &Picture<'_>, y: usize) {
        let planes = picture.planes();
        let [first, second, third] = &mut self.row;
        let sampler = &mut self.sampler;
        let luma = self.rows.luma.taps(y);
        match picture.format() {
            PixelFormat::Rgb | PixelFormat::Bgr => {
                sampler.sample::<3, 3>(
                    &planes[0],
                    luma,
                    &self.columns,
                    [&mut *first, &mut *second, &mut *third],
                );
            }
            PixelFormat::Rgbx | PixelFormat::Bgrx => {
                sampler.sample::<4, 3>(
                    &planes[0],
                    luma,
                    &self.columns,
                    [&mut *first, &mut *second, &mut *third],
                );
            }
            PixelFormat::Gray8 => sampler.sample::<1, 1>(&planes[0], luma, &self.columns, [first]),
            PixelFormat::Nv12 => {
                sampler.sample::<1, 1>(&planes[0], luma, &self.columns, [&mut *first]);
                let chroma = self.rows.chroma.taps(y);
                sampler.sample::<2, 2>(&planes[1], chroma, &self.chroma_columns, [&mut *second, &mut *third]);
            }
            PixelFormat::I420 => {
                sampler.sample::<1, 1>(&planes[0], luma, &self.columns, [&mut *first]);
                let chroma = self.rows.chroma.taps(y);
                sampler.sample::<1, 1>(&planes[1], chroma, &self.chroma_columns, [&mut *second]);
                sampler.sample::<1, 1>(&planes[2], chroma, &self.chroma_columns, [&mut *third]);
            }
        }
        match picture.format() {
            PixelFormat::Nv12 | PixelFormat::I420 => {
                ColorMatrix::new(picture.color()).to_rgb(first, second, third);
            }
            PixelFormat::Gray8 => {
                second.copy_from_slice(first);
                third.copy_from_slice(first);
            }
            PixelFormat::Bgr | PixelFormat::Bgrx => std::mem::swap(first, third),
            PixelFormat::Rgb | PixelFormat::Rgbx => {}
        }
    }

    fn store_row(&mut self, slot: usize, geometry: &Geometry, y: usize, normalisation: &Normalisation) {
        let (width, height) = (self.width as usize, self.height as usize);
        let pixels = width * height;
        let start = (geometry.top as usize + y) * width + geometry.left as usize;
        let count = geometry.width as usize;
        for channel in 0..3 {
            let color = match self.spec.color {
                ChannelOrder::Rgb => channel,
                ChannelOrder::Bgr => 2 - channel,
            };
            let source = &self.row[color][..count];
            let (gain, bias) = (normalisation.gain[color], normalisation.bias[color]);
            let (first, step) = match self.spec.layout {
                Layout::Nchw => ((slot * 3 + channel) * pixels + start, 1),
                Layout::Nhwc => ((slot * pixels + start) * 3 + channel, 3),
            };
            match (&mut self.tensor, step) {
                // Rows that lie together are the common case, and the compiler vectorises this loop.
                (TensorBuffer::F32(data), 1) => {
                    for (target, value) in data[first..first + count].iter_mut().zip(source) {
                        *target = value.clamp(0.0, 255.0) * gain + bias;
                    }
                }
                (TensorBuffer::F32(data), step) => {
                    for (target, value) in data[first..].iter_mut().step_by(step).zip(source) {
                        *target = value.clamp(0.0, 255.0) * gain + bias;
                    }
                }
                (TensorBuffer::F16(data), step) => {
                    for (target, value) in data[first..].iter_mut().step_by(step).zip(source) {
                        *target = f16::from_f32(value.clamp(0.0, 255.0) * gain + bias);
                    }
                }
                (TensorBuffer::U8(data), step) => {
                    for (target, value) in data[first..].iter_mut().step_by(step).zip(source) {
                        *target = to_byte(*value);
                    }
                }
            }
        }
    }
}

fn to_byte(value: f32) -> u8 {
    // A cast saturates, and the halves round up.
    (value + 0.5) as u8
}

/// `value · gain + bias` takes a colour of 0 to 255 to the model's range; indexed red, green, blue.
struct Normalisation {
    gain: [f32; 3],
    bias: [f32; 3],
    /// Padding colour in the order of the tensor's channels.
    pad: [f32; 3],
    /// Which colour each channel of the tensor holds.
    order: [usize; 3],
}

impl Normalisation {
    fn new(spec: &InputSpec) -> Self {
        let unit = match spec.range {
            ValueRange::Unit => 1.0 / 255.0,
            ValueRange::Byte => 1.0,
        };
        let order = match spec.color {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
        };
        let mut normalisation = Self {
            gain: [0.0; 3],
            bias: [0.0; 3],
            pad: order.map(|color| spec.pad[color]),
            order,
        };
        for color in 0..3 {
            normalisation.gain[color] = unit / spec.std[color];
            normalisation.bias[color] = -spec.mean[color] / spec.std[color];
        }
        normalisation
    }

    /// Normalises a value of one of the tensor's channels.
    fn apply(&self, channel: usize, value: f32) -> f32 {
        let color = self.order[channel];
        value * self.gain[color] + self.bias[color]
    }
}

//! Clips and what is asked about them, as the network's tensors.

use burn::tensor::{Device, Tensor, TensorData};

use super::bearings::{BEARINGS, bearings};
use super::clip::{Clip, MAX_VIEWS, VIEW_CHANNELS, VIEW_HEIGHT, VIEW_WIDTH};
use super::network::Input;
use super::tokens::{
    COARSE, FINE, QUERY_FEATURES, States, TOKEN_FEATURES, VIEW_FEATURES, look_up, object_tokens, pace, query_features,
    view_features,
};

/// Added to the attention towards padding.
const HIDDEN: f32 = -1e4;

/// One clip with the objects and times asked about: index of the object, start and end in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The clip.
    pub clip: &'a Clip,
    /// Rows.
    pub rows: &'a [(usize, (f64, f64))],
    /// Whether states are used.
    pub with_states: bool,
}

/// The network's input. Clips are padded to the longest one, and to the greatest number of rows.
pub fn input(asked: &[Asked<'_>], device: &Device) -> Input {
    let clips = asked.len();
    let rows = asked.iter().map(|asked| asked.rows.len()).max().unwrap_or(0).max(1);
    let times = asked
        .iter()
        .map(|asked| asked.clip.times_s.len())
        .max()
        .unwrap_or(0)
        .max(1);
    let views = most_views(asked);
    let (fine_cells, coarse_cells) = (FINE.0 * FINE.1, COARSE.0 * COARSE.1);
    let mut tokens = vec![0.0f32; clips * rows * times * TOKEN_FEATURES];
    let mut told = vec![0.0f32; clips * rows * times * 2 * BEARINGS];
    let mut paces = vec![0.0f32; clips * rows * 2];
    let mut query = vec![0.0f32; clips * rows * QUERY_FEATURES];
    let mut view = vec![0.0f32; clips * views * VIEW_FEATURES];
    let mut places = vec![0.0f32; clips * times * views];
    let mut fine = vec![0.0f32; clips * views * rows * fine_cells];
    let mut coarse = vec![0.0f32; clips * views * rows * coarse_cells];
    let length = 1 + times + views;
    let mut bias = vec![HIDDEN; clips * length];
    for (index, asked) in asked.iter().enumerate() {
        let clip = asked.clip;
        let count = clip.times_s.len();
        let known = States::of(clip, asked.with_states);
        for (row, (object_index, span_s)) in asked.rows.iter().enumerate() {
            let (Some(object), Some(states)) = (clip.objects.get(*object_index), known.get(*object_index)) else {
                continue;
            };
            let found = object_tokens(clip, object, states, *span_s);
            let from = (index * rows + row) * times * TOKEN_FEATURES;
            tokens[from..from + found.len()].copy_from_slice(&found);
            let ways = bearings(clip, *object_index, states, *span_s);
            let from = (index * rows + row) * times * 2 * BEARINGS;
            told[from..from + 2 * BEARINGS * ways.len()].copy_from_slice(ways.as_flattened());
            let from = (index * rows + row) * 2;
            paces[from..from + 2].copy_from_slice(&pace(clip, states, *span_s));
            let from = (index * rows + row) * QUERY_FEATURES;
            query[from..from + QUERY_FEATURES].copy_from_slice(&query_features(clip, *span_s, asked.with_states));
            for (at, seen) in clip.views.iter().take(views).enumerate() {
                let bbox = object.boxes.get(seen.at).copied().flatten();
                let place = (index * views + at) * rows + row;
                look_up(bbox, FINE, &mut fine[place * fine_cells..(place + 1) * fine_cells]);
                look_up(
                    bbox,
                    COARSE,
                    &mut coarse[place * coarse_cells..(place + 1) * coarse_cells],
                );
            }
        }
        let bias = &mut bias[index * length..(index + 1) * length];
        bias[..1 + count].fill(0.0);
        for (at, seen) in clip.views.iter().take(views).enumerate() {
            bias[1 + times + at] = 0.0;
            let from = (index * views + at) * VIEW_FEATURES;
            view[from..from + VIEW_FEATURES].copy_from_slice(&view_features(clip, seen.at));
            if seen.at < times {
                places[(index * times + seen.at) * views + at] = 1.0;
            }
        }
    }
    Input {
        tokens: Tensor::from_data(TensorData::new(tokens, [clips, rows, times, TOKEN_FEATURES]), device),
        bearings: Tensor::from_data(TensorData::new(told, [clips, rows, times, 2 * BEARINGS]), device),
        pace: Tensor::from_data(TensorData::new(paces, [clips, rows, 2]), device),
        query: Tensor::from_data(TensorData::new(query, [clips, rows, QUERY_FEATURES]), device),
        views: Tensor::from_data(TensorData::new(view, [clips, views, VIEW_FEATURES]), device),
        places: Tensor::from_data(TensorData::new(places, [clips, times, views]), device),
        fine: Tensor::from_data(TensorData::new(fine, [clips, views, rows, fine_cells]), device),
        coarse: Tensor::from_data(TensorData::new(coarse, [clips, views, rows, coarse_cells]), device),
        bias: Tensor::from_data(TensorData::new(bias, [clips, length]), device),
    }
}

/// Views of each clip in the network's input: clips with fewer are padded.
pub fn most_views(asked: &[Asked<'_>]) -> usize {
    let most = asked.iter().map(|asked| asked.clip.views.len()).max().unwrap_or(0);
    most.max(MAX_VIEWS)
}

/// The pictures of all clips, padded with grey to the same number of each; `None` when there are none at all.
pub fn pictures(asked: &[Asked<'_>], device: &Device) -> Option<Tensor<4>> {
    if asked.iter().all(|asked| asked.clip.views.is_empty()) {
        return None;
    }
    let each = VIEW_CHANNELS * VIEW_HEIGHT * VIEW_WIDTH;
    let views = most_views(asked);
    let mut data = vec![0.5f32; asked.len() * views * each];
    for (index, asked) in asked.iter().enumerate() {
        for (at, view) in asked.clip.views.iter().enumerate() {
            let from = (index * views + at) * each;
            planes(&view.pixels, &mut data[from..from + each]);
        }
    }
    let count = asked.len() * views;
    Some(Tensor::from_data(
        TensorData::new(data, [count, VIEW_CHANNELS, VIEW_HEIGHT, VIEW_WIDTH]),
        device,
    ))
}

/// One picture as the convolutions take it: `[1, VIEW_CHANNELS, VIEW_HEIGHT, VIEW_WIDTH]`.
pub fn picture(pixels: &[u8], device: &Device) -> Tensor<4> {
    let mut data = vec![0.5f32; VIEW_CHANNELS * VIEW_HEIGHT * VIEW_WIDTH];
    planes(pixels, &mut data);
    let shape = [1, VIEW_CHANNELS, VIEW_HEIGHT, VIEW_WIDTH];
    Tensor::from_data(TensorData::new(data, shape), device)
}

/// Interleaved bytes to planes of numbers from 0 to 1.
pub fn planes(pixels: &[u8], out: &mut [f32]) {
    let cells = VIEW_HEIGHT * VIEW_WIDTH;
    for (at, pixel) in pixels.chunks_exact(VIEW_CHANNELS).take(cells).enumerate() {
        for (channel, value) in pixel.iter().enumerate() {
            out[channel * cells + at] = f32::from(*value) * (1.0 / 255.0);
        }
    }
}

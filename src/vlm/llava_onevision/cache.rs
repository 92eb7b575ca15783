//! Keys and values of the tokens that the language model has seen.

use burn::tensor::Tensor;

/// Positions added at a time when a layer's storage is full.
const GROWTH: usize = 256;

/// The cache of a sequence. A clone continues the same beginning without a copy of it.
///
/// Each layer holds pieces that are never written again and so can be shared, and a tail with room to grow.
#[derive(Clone, Debug, Default)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    length: usize,
}

#[derive(Clone, Debug, Default)]
struct LayerCache {
    /// `[kv heads, positions, width]` each
    settled: Vec<(Tensor<3>, Tensor<3>)>,
    tail: Option<Tail>,
}

#[derive(Clone, Debug)]
struct Tail {
    /// `[kv heads, capacity, width]`
    keys: Tensor<3>,
    values: Tensor<3>,
    length: usize,
}

impl KvCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Positions seen.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// A second sequence with the same beginning. Both go on by themselves; the beginning is kept once.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        for layer in &mut self.layers {
            if let Some(Tail { keys, values, length }) = layer.tail.take() {
                layer
                    .settled
                    .push((keys.narrow(1, 0, length), values.narrow(1, 0, length)));
            }
        }
        self.clone()
    }

    /// Adds the keys and values `[kv heads, tokens, width]` of one layer and gives back all of its pieces, in order.
    pub(super) fn extend(&mut self, layer: usize, k: Tensor<3>, v: Tensor<3>) -> Vec<(Tensor<3>, Tensor<3>)> {
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, LayerCache::default);
        }
        let cache = &mut self.layers[layer];
        let [_, added, _] = k.dims();
        let mut pieces = cache.settled.clone();
        if cache.tail.is_none() && cache.settled.is_empty() && added > 1 {
            // A prompt is mostly as long as it will get: it stays as it is, and what follows goes into the tail.
            cache.settled.push((k.clone(), v.clone()));
            return vec![(k, v)];
        }
        let tail = match cache.tail.take() {
            None => Tail::new(k, v),
            Some(tail) => tail.extend(k, v),
        };
        pieces.push((
            tail.keys.clone().narrow(1, 0, tail.length),
            tail.values.clone().narrow(1, 0, tail.length),
        ));
        cache.tail = Some(tail);
        pieces
    }

    /// Counts positions that every layer has got.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}

impl Tail {
    fn new(k: Tensor<3>, v: Tensor<3>) -> Self {
        let [heads, tokens, width] = k.dims();
        let room = Tensor::zeros([heads, GROWTH, width], (&k.device(), k.dtype()));
        Self {
            keys: Tensor::cat(vec![k, room.clone()], 1),
            values: Tensor::cat(vec![v, room], 1),
            length: tokens,
        }
    }

    fn extend(self, k: Tensor<3>, v: Tensor<3>) -> Self {
        let Self { keys, values, length } = self;
        let [heads, added, width] = k.dims();
        let [_, capacity, _] = keys.dims();
        let end = length + added;
        if end > capacity {
            let joined = Tensor::cat(vec![keys.narrow(1, 0, length), k], 1);
            return Self::new(joined, Tensor::cat(vec![values.narrow(1, 0, length), v], 1));
        }
        let place = [0..heads, length..end, 0..width];
        // In place, since nobody else holds the tail between two steps.
        Self {
            keys: keys.slice_assign(place.clone(), k),
            values: values.slice_assign(place, v),
            length: end,
        }
    }
}

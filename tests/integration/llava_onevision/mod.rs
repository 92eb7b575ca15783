//! LLaVA-OneVision against transformers: a tiny model with random weights, written by
//! `tests/golden/make_llava_onevision.py` together with what transformers computes with it.

mod folders;
mod parity;
mod reuse;
mod support;
mod training;

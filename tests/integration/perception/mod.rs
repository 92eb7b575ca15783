//! The models against networks that obey each contract, against goldens made by numpy, and against real weights.

mod bad_input;
mod depth;
mod detectors;
mod preprocess;
mod real;
mod reid;
mod support;

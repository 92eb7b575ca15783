//! A JSON object whose values are taken with a message for each that is wrong.

use std::path::Path;

use serde_json::Value;

use super::Activation;
use crate::vlm::llava_onevision::Error;

/// A JSON object with its name for messages.
pub struct Section<'a> {
    pub value: &'a Value,
    pub name: &'a str,
    pub path: &'a Path,
}

impl<'a> Section<'a> {
    pub fn wrong(&self, key: &str, expected: &str) -> Error {
        let found = self
            .value
            .get(key)
            .map_or_else(|| "nothing".to_owned(), Value::to_string);
        let dot = if self.name.is_empty() { "" } else { "." };
        Error::file(
            self.path,
            format!("`{}{dot}{key}` should be {expected}, found {found}", self.name),
        )
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    pub fn size(&self, key: &str, default: impl Into<Option<usize>>) -> Result<usize, Error> {
        match (self.get(key), default.into()) {
            (None, Some(default)) => Ok(default),
            (found, _) => found
                .and_then(Value::as_u64)
                .and_then(|value| usize::try_from(value).ok())
                .filter(|value| (1..=1 << 24).contains(value))
                .ok_or_else(|| self.wrong(key, "a whole number from 1 to 16777216")),
        }
    }

    pub fn number(&self, key: &str, default: f64) -> Result<f64, Error> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|value| value.is_finite() && *value > 0.0)
                .ok_or_else(|| self.wrong(key, "a positive number")),
        }
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        self.get(key).map_or(Ok(default), |value| {
            value.as_bool().ok_or_else(|| self.wrong(key, "true or false"))
        })
    }

    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Value::as_str)
    }

    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation, Error> {
        match self.get(key).map(Value::as_str) {
            None => Ok(default),
            Some(Some("gelu")) => Ok(Activation::Gelu),
            Some(Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_tanh")) => Ok(Activation::GeluTanh),
            Some(Some("silu" | "swish")) => Ok(Activation::Silu),
            Some(_) => Err(self.wrong(key, "gelu, gelu_pytorch_tanh or silu")),
        }
    }
}

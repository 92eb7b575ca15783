//! TOML files read strictly: an unknown key is an error with file, line and the nearest known key.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a settings file was not accepted.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The text is not what was expected there.
    #[error("{}:{line}:{column}: {message}{}", path.display(), hint.as_deref().map(|h| format!("; did you mean `{h}`?")).unwrap_or_default())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was expected and found.
        message: String,
        /// The nearest known key to an unknown one.
        hint: Option<String>,
    },
    /// The values parse but do not make sense together.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which key, what was expected, what was found.
        message: String,
    },
}

/// Reads and parses a TOML file. Types should `#[serde(deny_unknown_fields)]`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    parse(&read(path)?, path)
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Parses TOML; `path` names it in errors.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, SettingsError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        error_at(text, path, start, error.message().to_owned())
    })
}

/// An error about the place that starts at byte `start` of the text, such as the start of a [`toml::Spanned`] value.
pub fn error_at(text: &str, path: &Path, start: usize, message: String) -> SettingsError {
    let before = text.get(..start).unwrap_or(text);
    SettingsError::Parse {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1,
        hint: nearest_key(&message),
        message,
    }
}

/// From serde's "unknown field `a`, expected one of `b`, `c`": the known name nearest to the unknown one.
fn nearest_key(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let unknown = names.next()?;
    names
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Example {
        width: u32,
        confidence: Option<f32>,
    }

    #[test]
    fn a_typo_names_line_and_nearest_key() {
        let error = parse::<Example>("width = 3\nconfidense = 0.5\n", Path::new("a.toml")).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("a.toml:2:1:"), "{text}");
        assert!(text.ends_with("did you mean `confidence`?"), "{text}");
    }

    #[test]
    fn a_wrong_type_says_what_was_expected() {
        let text = parse::<Example>("width = \"x\"", Path::new("a.toml"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("invalid type: string"), "{text}");
    }
}

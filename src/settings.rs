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

/// The known name nearest to the unknown one that an error message speaks of.
fn nearest_key(message: &str) -> Option<String> {
    let (unknown, known) = unknown_and_known(message)?;
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}

/// Takes serde's "unknown field `a`, expected one of `b`, `c`" apart, or toml's "unexpected keys in table: a, available
/// keys: b, c" (for the table of an enum's variant).
fn unknown_and_known(message: &str) -> Option<(&str, Vec<&str>)> {
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let mut names = message.split('`').skip(1).step_by(2);
        return Some((names.next()?, names.collect()));
    }
    let (unknown, known) = message
        .strip_prefix("unexpected keys in table: ")?
        .split_once(", available keys: ")?;
    Some((unknown.split(", ").next()?, known.split(", ").collect()))
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

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Nested {
        tracker: Option<Tracker>,
        #[serde(default)]
        cameras: Vec<Source>,
        #[serde(default)]
        classes: std::collections::BTreeMap<String, Source>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Tracker {
        max_gap_s: f64,
        association: Option<Association>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Association {
        TwoStage,
        Greedy,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Source {
        uri: String,
        backend: Option<Backend>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[allow(dead_code)]
    enum Backend {
        Geometry,
        Remote { address: String },
    }

    fn error_of(text: &str) -> String {
        parse::<Nested>(text, Path::new("a.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_typo_in_a_nested_table_is_found_there() {
        for (text, start, hint) in [
            (
                "[tracker]\nmax_gap_s = 1\nasociation = \"greedy\"\n",
                "a.toml:3:1: unknown field `asociation`",
                "association",
            ),
            (
                "[traker]\nmax_gap_s = 1\n",
                "a.toml:1:2: unknown field `traker`",
                "tracker",
            ),
            (
                "tracker = { max_gap = 1 }\n",
                "a.toml:1:13: unknown field `max_gap`",
                "max_gap_s",
            ),
            (
                "tracker.max_gap_ms = 1\n",
                "a.toml:1:9: unknown field `max_gap_ms`",
                "max_gap_s",
            ),
            (
                "\n[[cameras]]\nuri = \"a\"\n\n[[cameras]]\nurl = \"b\"\n",
                "a.toml:6:1: unknown field `url`",
                "uri",
            ),
            (
                "cameras = [{ uri = \"a\" },\n  { ury = \"b\" }]\n",
                "a.toml:2:5: unknown field `ury`",
                "uri",
            ),
            (
                "[classes.car]\nuri = \"a\"\n[classes.bus]\nurii = \"a\"\n",
                "a.toml:4:1: unknown field `urii`",
                "uri",
            ),
        ] {
            let found = error_of(text);
            assert!(found.starts_with(start), "expected {start}\nfound {found}");
            assert!(found.ends_with(&format!("did you mean `{hint}`?")), "{found}");
        }
    }

    #[test]
    fn a_typo_in_a_variant_is_found_there() {
        for (text, start, hint) in [
            (
                "[tracker]\nmax_gap_s = 1\nassociation = \"two_stage\"\n",
                "a.toml:3:15: unknown variant `two_stage`",
                "two-stage",
            ),
            (
                "[[cameras]]\nuri = \"a\"\nbackend = \"geomtry\"\n",
                "a.toml:3:11: unknown variant `geomtry`",
                "geometry",
            ),
            (
                "[[cameras]]\nuri = \"a\"\n[cameras.backend.remote]\nadress = \"b\"\n",
                "a.toml:4:1: unexpected keys in table: adress",
                "address",
            ),
        ] {
            let found = error_of(text);
            assert!(found.starts_with(start), "expected {start}\nfound {found}");
            assert!(found.ends_with(&format!("did you mean `{hint}`?")), "{found}");
        }
    }

    #[test]
    fn a_missing_key_is_found_at_its_table() {
        let found = error_of("\n[tracker]\nassociation = \"greedy\"\n");
        assert!(found.starts_with("a.toml:2:1: missing field `max_gap_s`"), "{found}");
        let found = error_of("[[cameras]]\nuri = \"a\"\n[[cameras]]\n");
        assert!(found.starts_with("a.toml:3:1: missing field `uri`"), "{found}");
    }

    #[test]
    fn what_resembles_nothing_gets_no_hint() {
        let found = error_of("[zzz]\n");
        assert!(!found.contains("did you mean"), "{found}");
    }

    #[test]
    fn columns_count_characters() {
        let found = error_of("cameras = [{ uri = \"äöü\", x = 1 }]\n");
        assert!(found.starts_with("a.toml:1:27:"), "{found}");
    }

    #[test]
    fn broken_syntax_names_the_line() {
        let found = error_of("[tracker]\nmax_gap_s = = 1\n");
        assert!(found.starts_with("a.toml:2:"), "{found}");
        let found = error_of("[tracker]\nmax_gap_s = 1\nmax_gap_s = 2\n");
        assert!(found.starts_with("a.toml:3:1:"), "{found}");
    }

    #[test]
    fn a_wrong_type_says_what_was_expected() {
        let text = parse::<Example>("width = \"x\"", Path::new("a.toml"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("invalid type: string"), "{text}");
    }
}

//! `kinesim://scene?seed=N&width=W&height=H&fps=F&fov=DEGREES&truth=true`: a simulated camera in one line.

use thiserror::Error;

use super::imp::Settings;
use crate::sim::Scene;

pub(super) const SCHEME: &str = "kinesim";

/// Why a URI names no simulated camera.
#[derive(Debug, Error, PartialEq)]
pub(super) enum UriError {
    /// Another scheme or no scene.
    #[error("expected kinesim://SCENE?seed=N, found {0}")]
    Form(String),
    /// A scene that there is not.
    #[error("{0}")]
    Scene(String),
    /// A parameter that there is not.
    #[error("a kinesim:// URI has seed, width, height, fps, fov and truth, found \"{0}\"")]
    Unknown(String),
    /// A value that cannot be read.
    #[error("{key} in a kinesim:// URI must be {expected}, found \"{found}\"")]
    Value {
        /// Which parameter.
        key: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: String,
    },
}

/// Reads a URI; what it leaves out has its default.
pub(super) fn parse(uri: &str) -> Result<Settings, UriError> {
    let form = || UriError::Form(uri.to_owned());
    let (scheme, rest) = uri.split_once("://").ok_or_else(form)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(form());
    }
    let (scene, query) = rest.split_once('?').unwrap_or((rest, ""));
    let scene = scene.trim_end_matches('/');
    if scene.is_empty() {
        return Err(form());
    }
    let scene: Scene = scene.parse().map_err(|error| UriError::Scene(format!("{error}")))?;
    let mut settings = Settings {
        scene: scene.into(),
        ..Settings::default()
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "seed" => settings.seed = number("seed", "a whole number", value)?,
            "width" => settings.width = number("width", "a number of pixels", value)?,
            "height" => settings.height = number("height", "a number of pixels", value)?,
            "fps" => settings.frame_rate = number("fps", "frames a second", value)?,
            "fov" => settings.fov_deg = number("fov", "degrees", value)?,
            "truth" => settings.truth = number("truth", "true or false", value)?,
            _ => return Err(UriError::Unknown(key.to_owned())),
        }
    }
    Ok(settings)
}

fn number<T: std::str::FromStr>(key: &'static str, expected: &'static str, text: &str) -> Result<T, UriError> {
    text.parse().map_err(|_| UriError::Value {
        key,
        expected,
        found: text.to_owned(),
    })
}

/// The URI of these settings.
pub(super) fn write(settings: &Settings) -> String {
    let mut uri = format!(
        "{SCHEME}://{}?seed={}&width={}&height={}",
        Scene::from(settings.scene),
        settings.seed,
        settings.width,
        settings.height
    );
    if settings.frame_rate > 0.0 {
        uri += &format!("&fps={}", settings.frame_rate);
    }
    if settings.fov_deg > 0.0 {
        uri += &format!("&fov={}", settings.fov_deg);
    }
    if settings.truth {
        uri += "&truth=true";
    }
    uri
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_uri_reads_as_it_was_written() {
        for uri in [
            "kinesim://plaza?seed=12&width=320&height=240",
            "kinesim://street-drive?seed=0&width=640&height=384&fps=12.5&fov=70&truth=true",
        ] {
            assert_eq!(write(&parse(uri).unwrap()), uri);
        }
        assert_eq!(
            write(&parse("KINESIM://court/").unwrap()),
            "kinesim://court?seed=0&width=640&height=384"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (uri, expected) in [
            ("kinesim://", "expected kinesim://SCENE"),
            ("rtsp://plaza", "expected kinesim://SCENE"),
            ("kinesim://moon", "no scene is named \"moon\""),
            ("kinesim://plaza?sead=1", "found \"sead\""),
            (
                "kinesim://plaza?seed=-1",
                "seed in a kinesim:// URI must be a whole number",
            ),
            (
                "kinesim://plaza?fov",
                "fov in a kinesim:// URI must be degrees, found \"\"",
            ),
        ] {
            let found = parse(uri).unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        }
    }
}

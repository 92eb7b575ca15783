//! Where frames come from: a camera's address, a file, any URI, or a fragment of a pipeline.

use std::path::Path;

use ::gst::glib;
use thiserror::Error;

/// What `uri` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A live source that is restarted when it fails: RTSP, a camera device, a network stream.
    Camera {
        /// The URI.
        uri: String,
    },
    /// A stream that is opened once: a file, HTTP, anything else that GStreamer opens.
    Stream {
        /// The URI.
        uri: String,
    },
    /// A fragment of a pipeline in `gst-launch-1.0` syntax that ends in an unlinked source pad with raw video.
    Launch {
        /// The fragment.
        fragment: String,
    },
}

/// Why a location was not understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LocationError {
    /// Nothing was given.
    #[error(
        "no source: expected rtsp://…, v4l2:///dev/video0, a file, another URI, or launch: and a pipeline fragment"
    )]
    Empty,
    /// A file path that leads nowhere.
    #[error("no such file: {0}")]
    NoSuchFile(String),
    /// A path that cannot be written as a URI.
    #[error("{path} cannot be written as a URI: {reason}")]
    Path {
        /// The path.
        path: String,
        /// GLib's reason.
        reason: String,
    },
    /// No installed element opens the scheme.
    #[error("nothing installed opens {scheme}:// (found in {uri}); gst-inspect-1.0 lists what is")]
    Scheme {
        /// The URI's scheme.
        scheme: String,
        /// The whole URI, without a password.
        uri: String,
    },
}

/// Schemes of sources that are live by nature and worth reconnecting to.
const CAMERA_SCHEMES: [&str; 12] = [
    "rtsp", "rtspu", "rtspt", "rtsph", "rtsp-sdp", "rtsps", "rtspsu", "rtspst", "v4l2", "udp", "srt", "rtmp",
];

impl Location {
    /// Reads a `uri` property. A file must exist; relative paths are relative to the working directory.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        if let Some(fragment) = text.strip_prefix("launch:") {
            return Ok(Self::Launch {
                fragment: fragment.trim().to_owned(),
            });
        }
        let Some((scheme, _)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Self::file(text);
        };
        let scheme = scheme.to_ascii_lowercase();
        if ::gst::Element::make_from_uri(::gst::URIType::Src, text, None).is_err() {
            return Err(LocationError::Scheme {
                scheme,
                uri: redacted(text),
            });
        }
        let uri = text.to_owned();
        if CAMERA_SCHEMES.contains(&scheme.as_str()) {
            Ok(Self::Camera { uri })
        } else {
            Ok(Self::Stream { uri })
        }
    }

    fn file(path: &str) -> Result<Self, LocationError> {
        let absolute = Path::new(path)
            .canonicalize()
            .map_err(|_| LocationError::NoSuchFile(path.to_owned()))?;
        let uri = glib::filename_to_uri(&absolute, None).map_err(|error| LocationError::Path {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self::Stream { uri: uri.into() })
    }

    /// The location as it may be shown: without user name and password.
    pub fn shown(&self) -> String {
        match self {
            Self::Camera { uri } | Self::Stream { uri } => redacted(uri),
            Self::Launch { fragment } => format!("launch:{fragment}"),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// `uri` without user name and password.
pub fn redacted(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(redacted("rtsp://me:s@cret@10.0.0.7:554/a@b"), "rtsp://10.0.0.7:554/a@b");
        assert_eq!(redacted("rtsp://10.0.0.7/a"), "rtsp://10.0.0.7/a");
    }

    #[test]
    fn locations_by_kind() {
        ::gst::init().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert!(matches!(Location::parse(path), Ok(Location::Stream { uri }) if uri.starts_with("file:///")));
        assert!(matches!(
            Location::parse("rtsp://127.0.0.1:8554/x"),
            Ok(Location::Camera { .. })
        ));
        let launch = Location::parse("launch: videotestsrc is-live=true").unwrap();
        assert_eq!(
            launch,
            Location::Launch {
                fragment: "videotestsrc is-live=true".to_owned()
            }
        );
        assert_eq!(Location::parse(" "), Err(LocationError::Empty));
        assert_eq!(
            Location::parse("/no/such.mp4"),
            Err(LocationError::NoSuchFile("/no/such.mp4".to_owned()))
        );
        assert!(matches!(
            Location::parse("gopher://x/y"),
            Err(LocationError::Scheme { .. })
        ));
    }
}

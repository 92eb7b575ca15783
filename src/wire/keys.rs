//! The keys of one camera: `kinestream/v1/<site>/<camera>/…`.

use thiserror::Error;

/// First segments of every key: the project and the version of its messages.
pub const PREFIX: &str = "kinestream/v1";

/// Longest name of a site or camera, bytes.
const MAX_NAME_BYTES: usize = 128;

/// Why a name cannot be part of a key.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The name is empty.
    #[error("{what}: expected a name such as \"north-gate\", found nothing")]
    Empty {
        /// "site" or "camera".
        what: &'static str,
    },
    /// The name holds a character with a meaning in key expressions or a control character.
    #[error("{what} {name:?}: expected a name without / * # ? $ @ and control characters, found {found:?}")]
    Character {
        /// "site" or "camera".
        what: &'static str,
        /// The name.
        name: String,
        /// The first character that cannot be there.
        found: char,
    },
    /// The name is too long.
    #[error("{what}: expected at most {MAX_NAME_BYTES} bytes, found {found}")]
    TooLong {
        /// "site" or "camera".
        what: &'static str,
        /// Its length in bytes.
        found: usize,
    },
}

/// The keys of one camera.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keys {
    site: String,
    camera: String,
}

impl Keys {
    /// Checks both names.
    pub fn new(site: &str, camera: &str) -> Result<Self, KeyError> {
        check("site", site)?;
        check("camera", camera)?;
        Ok(Self {
            site: site.to_owned(),
            camera: camera.to_owned(),
        })
    }

    /// The place.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The camera.
    pub fn camera(&self) -> &str {
        &self.camera
    }

    /// `kinestream/v1/<site>/<camera>`: the liveliness token.
    pub fn base(&self) -> String {
        format!("{PREFIX}/{}/{}", self.site, self.camera)
    }

    /// `kinestream/v1/<site>/<camera>/<leaf>`.
    pub fn leaf(&self, leaf: &str) -> String {
        format!("{PREFIX}/{}/{}/{leaf}", self.site, self.camera)
    }
}

fn check(what: &'static str, name: &str) -> Result<(), KeyError> {
    if name.is_empty() {
        return Err(KeyError::Empty { what });
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(KeyError::TooLong {
            what,
            found: name.len(),
        });
    }
    let forbidden = |c: char| c.is_control() || "/*#?$@".contains(c);
    match name.chars().find(|&c| forbidden(c)) {
        Some(found) => Err(KeyError::Character {
            what,
            name: name.to_owned(),
            found,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_under_their_camera() {
        let keys = Keys::new("yard", "north-gate").unwrap();
        assert_eq!(keys.base(), "kinestream/v1/yard/north-gate");
        assert_eq!(keys.leaf("tracks"), "kinestream/v1/yard/north-gate/tracks");
    }

    #[test]
    fn characters_with_a_meaning_are_refused_by_name() {
        for name in ["a/b", "*", "a#", "a?", "$*", "@adv", "a\n"] {
            let error = Keys::new("yard", name).unwrap_err();
            assert!(
                matches!(error, KeyError::Character { what: "camera", .. }),
                "{name}: {error}"
            );
        }
        assert_eq!(Keys::new("", "a"), Err(KeyError::Empty { what: "site" }));
        assert!(Keys::new("a", &"x".repeat(500)).is_err());
    }
}

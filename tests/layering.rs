//! Nothing imports upward: a module of the crate uses only modules of the layers below its own.
//!
//! The sources are read as text, so that code behind features and in tests counts as well.
#![allow(clippy::unwrap_used)]

use std::fmt;
use std::path::{Path, PathBuf};

/// The layers from the ground up. Modules of one layer do not use each other.
const LAYERS: &[&[&str]] = &[
    &["frame"],
    &["detection"],
    &["settings"],
    &["camera"],
    &["kinematics"],
    &["datasets"],
    &["sim"],
    &["perception"],
    &["tracking"],
    &["reconstruction"],
    &["motion"],
    &["stkit"],
    &["results"],
    &["vlm", "wire", "overlay"],
    &["gst"],
    &["evaluation"],
    &["cli"],
];

/// The crate's own name, by which `main.rs` and examples call it.
const CRATE: &str = "kinestream";

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// A use of one top-level module by another that the layers forbid.
#[derive(Debug, PartialEq)]
struct Violation {
    file: PathBuf,
    line: usize,
    from: String,
    to: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, from, to } = self;
        write!(f, "{}:{line}: `{from}` uses `{to}`, ", file.display())?;
        match (layer(from), layer(to)) {
            (None, _) => write!(f, "but `{from}` has no layer: give it one in tests/layering.rs"),
            (_, None) => write!(
                f,
                "which has no layer: name a module's own path, or give `{to}` a layer"
            ),
            (Some(own), Some(other)) if own == other => write!(f, "which lies beside it"),
            _ => write!(f, "which lies above it"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    /// `::`
    Path,
    Other(char),
}

/// Names, `::` and other characters with their lines; without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                match (at(i), at(i + 1)) {
                    ('/', '*') => {
                        depth += 1;
                        i += 2;
                    }
                    ('*', '/') => {
                        depth -= 1;
                        i += 2;
                    }
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            // A character literal, else a lifetime.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1;
                while is_name(at(i)) {
                    i += 1;
                }
            }
        } else if is_name(c) {
            while is_name(at(i)) {
                i += 1;
            }
            let name: String = chars[start..i].iter().collect();
            let mut hashes = i;
            while at(hashes) == '#' {
                hashes += 1;
            }
            if matches!(name.as_str(), "r" | "br" | "cr") && at(hashes) == '"' {
                let end: Vec<char> = ['"'].into_iter().chain(chars[i..hashes].iter().copied()).collect();
                i = hashes + 1;
                while i < chars.len() && !chars[i..].starts_with(&end) {
                    i += 1;
                }
                i += end.len();
            } else {
                found.push((Token::Name(name), line));
            }
        } else if c == ':' && at(i + 1) == ':' {
            found.push((Token::Path, line));
            i += 2;
        } else {
            if !c.is_whitespace() {
                found.push((Token::Other(c), line));
            }
            i += 1;
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

/// The module a file holds, by its path under `src`: `a/b.rs` and `a/b/mod.rs` are `["a", "b"]`, `lib.rs` is `[]`.
fn module_of(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

/// The top-level names that a file uses from the root of the crate, with their lines.
fn uses_of_root(text: &str, module: &[String]) -> Vec<(String, usize)> {
    let tokens = tokens(text);
    let name = |i: usize| match tokens.get(i) {
        Some((Token::Name(name), _)) => Some(name.as_str()),
        _ => None,
    };
    let is = |i: usize, token: Token| tokens.get(i).is_some_and(|(found, _)| *found == token);
    let mut found = Vec::new();
    // How many braces are open, and at which counts an inline module began.
    let (mut depth, mut inline) = (0usize, Vec::new());
    let mut i = 0;
    while i < tokens.len() {
        if is(i, Token::Other('{')) {
            depth += 1;
        } else if is(i, Token::Other('}')) {
            depth = depth.saturating_sub(1);
            while inline.last().is_some_and(|at| *at >= depth) {
                inline.pop();
            }
        } else if name(i) == Some("mod") && name(i + 1).is_some() && is(i + 2, Token::Other('{')) {
            inline.push(depth);
        }
        let begins = i == 0 || !is(i - 1, Token::Path);
        let mut next = i + 1;
        let at_root = match name(i) {
            Some("crate") => true,
            Some(CRATE) => begins,
            Some("super" | "self") if begins => {
                let mut level = module.len() + inline.len();
                let mut overrun = false;
                if name(i) == Some("super") {
                    overrun |= level == 0;
                    level = level.saturating_sub(1);
                }
                while is(next, Token::Path) && name(next + 1) == Some("super") {
                    overrun |= level == 0;
                    level = level.saturating_sub(1);
                    next += 2;
                }
                level == 0 && !overrun && !module.is_empty()
            }
            _ => false,
        };
        if at_root && is(next, Token::Path) {
            used_names(&tokens, next + 1, &mut found);
        }
        i += 1;
    }
    found
}

/// The first names of a use tree that starts at `i`: `a::b`, `*`, or `{a::b, c}`.
fn used_names(tokens: &[(Token, usize)], i: usize, found: &mut Vec<(String, usize)>) {
    match tokens.get(i) {
        // A macro of the crate lives at its root and belongs to no layer.
        Some((Token::Name(_), _)) if matches!(tokens.get(i + 1), Some((Token::Other('!'), _))) => {}
        Some((Token::Name(name), line)) => found.push((name.clone(), *line)),
        Some((Token::Other('*'), line)) => found.push(("*".to_owned(), *line)),
        Some((Token::Other('{'), _)) => {
            let mut depth = 0;
            let mut expects_name = false;
            for (j, (token, _)) in tokens.iter().enumerate().skip(i) {
                match token {
                    Token::Other('{') => {
                        depth += 1;
                        expects_name = depth == 1;
                    }
                    Token::Other('}') => depth -= 1,
                    Token::Other(',') => expects_name = depth == 1,
                    _ if expects_name => {
                        used_names(tokens, j, found);
                        expects_name = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
        _ => {}
    }
}

/// What the layers forbid in one file; `path` is relative to `src`. The crate's root may use everything.
fn violations(path: &Path, text: &str) -> Vec<Violation> {
    let module = module_of(path);
    let Some(from) = module.first() else {
        return Vec::new();
    };
    uses_of_root(text, &module)
        .into_iter()
        .filter(|(to, _)| to != from)
        .filter(|(to, _)| !matches!((layer(from), layer(to)), (Some(own), Some(other)) if other < own))
        .map(|(to, line)| Violation {
            file: Path::new("src").join(path),
            line,
            from: from.clone(),
            to,
        })
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_imports_upward() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files.sort();
    assert!(
        files.len() > 20,
        "found only {} sources in {}",
        files.len(),
        root.display()
    );
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            violations(file.strip_prefix(&root).unwrap(), &text)
        })
        .map(|violation| violation.to_string())
        .collect();
    assert!(found.is_empty(), "imports against the layers:\n{}", found.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        if let Some(module) = module_of(path.strip_prefix(&root).unwrap()).first() {
            assert!(
                layer(module).is_some(),
                "`{module}` has no layer: give it one in tests/layering.rs"
            );
        }
    }
}

fn found_in(path: &str, text: &str) -> Vec<(usize, String)> {
    violations(Path::new(path), text)
        .into_iter()
        .map(|violation| (violation.line, violation.to))
        .collect()
}

#[test]
fn upward_uses_are_found_however_they_are_written() {
    let text = r##"
use crate::camera::Camera;
use crate::gst;
use crate::{frame::Frame, stkit::{Task, motion}, wire};
fn f(x: kinestream::cli::Args) -> super::overlay::Show { todo!() }
const S: &str = "crate::gst"; // crate::gst
/* crate::gst /* nested */ */ const R: &str = r#"" crate::gst"#;
const C: char = '"'; fn g<'a>(x: &'a crate::results::Results) {}
mod inner {
    use super::super::vlm::Answerer;
    use super::wire;
    mod deeper { use super::super::super::motion; }
}
use super::tracking::Track;
use crate::*;
crate::some_macro!();
"##;
    let expected = [
        (3, "gst"),
        (4, "stkit"),
        (4, "wire"),
        (5, "cli"),
        (5, "overlay"),
        (8, "results"),
    ];
    let expected = expected.into_iter().chain([(10, "vlm"), (12, "motion"), (15, "*")]);
    let expected: Vec<_> = expected.map(|(line, to)| (line, to.to_owned())).collect();
    assert_eq!(found_in("tracking/mod.rs", text), expected);
    // One folder deeper, `super` is the module itself.
    let deeper: Vec<_> = expected
        .into_iter()
        .filter(|(line, to)| to != "overlay" && ![10, 12].contains(line))
        .collect();
    assert_eq!(found_in("tracking/track.rs", text), deeper);
}

#[test]
fn neighbours_in_a_layer_and_unknown_modules_are_refused() {
    assert_eq!(
        found_in("vlm/live.rs", "use crate::wire::Publisher;"),
        [(1, "wire".to_owned())]
    );
    assert_eq!(
        found_in("vlm/live.rs", "use super::super::wire;"),
        [(1, "wire".to_owned())]
    );
    assert_eq!(
        found_in("vlm/live.rs", "use super::generation; use crate::vlm::tiny;"),
        []
    );
    assert_eq!(found_in("new/mod.rs", "use crate::frame;"), [(1, "frame".to_owned())]);
    assert_eq!(found_in("lib.rs", "pub mod gst; pub use crate::gst::register;"), []);
    let shown = violations(Path::new("frame.rs"), "\nuse crate::gst;")[0].to_string();
    assert_eq!(shown, "src/frame.rs:2: `frame` uses `gst`, which lies above it");
}

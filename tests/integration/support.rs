//! What many rooms need.

use std::path::{Path, PathBuf};

/// A file or folder of the real data, under `KINESTREAM_DATA` or `../shared/data`; `None`, and a line that says that the test
/// was skipped, where it is absent.
pub fn real_data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("KINESTREAM_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no data ({} is absent)", path.display());
    None
}

//! The repository's files, and nothing that was built or downloaded.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories whose content is not the project's own text.
const SKIPPED: [&str; 5] = [
    ".git",
    "target",
    "bench/work",
    "fuzz/artifacts",
    "fuzz/corpus",
];

/// The repository's root, known from where this crate was compiled.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies inside the repository")
        .to_owned()
}

/// Every file under the root whose name ends in `.{extension}`, relative to the root, sorted.
pub(crate) fn files(root: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root, Path::new(""), extension, &mut found);
    found.sort();
    found
}

fn walk(root: &Path, below: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else {
        return;
    };
    for entry in entries.flatten() {
        let path = below.join(entry.file_name());
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            if !SKIPPED.iter().any(|skipped| path == Path::new(skipped)) {
                walk(root, &path, extension, found);
            }
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
}

/// The text of a file, or a complaint naming it.
pub(crate) fn read(root: &Path, path: &Path) -> Result<String, String> {
    fs::read_to_string(root.join(path)).map_err(|error| format!("{}: {error}", path.display()))
}

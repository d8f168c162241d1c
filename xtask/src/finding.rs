//! One complaint of a check, and the place it is about.

use std::fmt;
use std::path::{Path, PathBuf};

/// A broken rule: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the repository's root.
    pub(crate) path: PathBuf,
    /// Counted from 1; 0 when the whole file is meant.
    pub(crate) line: usize,
    pub(crate) complaint: String,
}

impl Finding {
    pub(crate) fn new(path: &Path, line: usize, complaint: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            complaint: complaint.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            complaint,
        } = self;
        match line {
            0 => write!(f, "{}: {complaint}", path.display()),
            line => write!(f, "{}:{line}: {complaint}", path.display()),
        }
    }
}

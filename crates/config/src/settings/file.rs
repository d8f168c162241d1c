//! Files that the configuration names, and texts that nobody may see.

use crate::Origin;
use std::fmt;
use std::path::PathBuf;

/// A file or folder that a key names; it is read by others.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedFile {
    /// Its path; relative ones were joined to the directory of the configuration file that names it.
    pub path: PathBuf,
    /// Where it was written.
    pub origin: Origin,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever needs it to prove something.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}

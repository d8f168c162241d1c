//! How the outside world is read: through a trait, so that this crate opens nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files and environment variables, as the loader asks for them.
pub trait Files {
    /// The text of a file. Files larger than `bytes_max` and files that are not UTF-8 are errors, told in a few words
    /// such as "no such file".
    fn read(&self, path: &Path, bytes_max: usize) -> Result<String, String>;

    /// Names of the entries of a directory, in any order; an error in a few words.
    fn list(&self, directory: &Path) -> Result<Vec<String>, String>;

    /// The value of an environment variable, if it is set.
    fn env(&self, name: &str) -> Option<String>;

    /// Why no file can be made in a folder, in a few words: it is missing, or no folder. Nothing where that cannot be told.
    fn lacks_folder(&self, folder: &Path) -> Option<String>;

    /// A folder by a path that means the same wherever it is read; unchanged where paths begin nowhere else.
    fn absolute(&self, folder: &Path) -> PathBuf {
        folder.to_path_buf()
    }
}

/// Files and variables in memory: for tests, and for texts that may reach nothing outside.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<PathBuf, String>,
    variables: BTreeMap<String, String>,
    missing: BTreeSet<PathBuf>,
}

impl MemoryFiles {
    /// With one more file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// With one more environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// With one folder that is known to be missing; nothing is known of others.
    #[must_use]
    pub fn missing_folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.missing.insert(path.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path, bytes_max: usize) -> Result<String, String> {
        let text = self.files.get(path).ok_or("no such file")?;
        if text.len() > bytes_max {
            return Err(format!("larger than {bytes_max} bytes"));
        }
        Ok(text.clone())
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(directory).ok()?.components().next())
            .filter_map(|component| Some(component.as_os_str().to_str()?.to_owned()))
            .collect();
        names.dedup();
        if names.is_empty() {
            Err("no such directory".into())
        } else {
            Ok(names)
        }
    }

    fn env(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
    fn lacks_folder(&self, folder: &Path) -> Option<String> {
        let is_missing = self.missing.contains(folder);
        is_missing.then(|| "its folder does not exist".to_owned())
    }
}

//! Files and environment variables for the configuration's loader.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use foregate_config::Files;

/// The files and variables of this machine.
pub(crate) struct SystemFiles;

impl Files for SystemFiles {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the loader's way to files, never taken by a worker"
    )]
    fn read(&self, path: &Path, bytes_max: usize) -> Result<String, String> {
        let file = File::open(path).map_err(in_few_words)?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err("it is a directory".into());
        }
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too large from one that just fits, whatever its metadata says.
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(in_few_words)?;
        if bytes.len() > bytes_max {
            return Err(format!("it is larger than {bytes_max} bytes"));
        }
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            format!("it is not UTF-8 (at byte {at})")
        })
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>, String> {
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(in_few_words)? {
            // Names that are not UTF-8 can't be written in a pattern either.
            names.extend(entry.map_err(in_few_words)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the loader's way to the environment"
    )]
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn lacks_folder(&self, folder: &Path) -> Option<String> {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => None,
            Ok(_) => Some("its folder is a file".into()),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => Some("its folder does not exist".into()),
                ErrorKind::NotADirectory => Some("its folder is below a file".into()),
                // Who checks may not be who writes.
                _ => None,
            },
        }
    }

    fn absolute(&self, folder: &Path) -> PathBuf {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf())
    }
}

fn in_few_words(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = env!("CARGO_MANIFEST_DIR");

    #[test]
    fn files_are_read_up_to_their_limit() {
        let path = Path::new(OWN).join("Cargo.toml");
        let text = SystemFiles.read(&path, 1 << 20).unwrap();
        assert!(text.contains("name = \"foregate\""), "{text}");
        assert_eq!(SystemFiles.read(&path, text.len()), Ok(text.clone()));
        assert_eq!(
            SystemFiles.read(&path, 10),
            Err("it is larger than 10 bytes".into())
        );
    }

    #[test]
    fn what_is_no_file_is_told_in_few_words() {
        let check = |path: &str, expected: &str| {
            assert_eq!(SystemFiles.read(Path::new(path), 10), Err(expected.into()));
        };
        check("/nonexistent/file", "no such file or directory");
        check(OWN, "it is a directory");
        assert!(SystemFiles.list(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn folders_that_are_missing_are_told() {
        let lacks = |path: &str| SystemFiles.lacks_folder(Path::new(path));
        assert_eq!(lacks(OWN), None);
        assert_eq!(lacks(""), None);
        assert_eq!(
            lacks("/nonexistent/a").as_deref(),
            Some("its folder does not exist")
        );
        let file = format!("{OWN}/Cargo.toml");
        assert_eq!(lacks(&file).as_deref(), Some("its folder is a file"));
        assert_eq!(
            lacks(&format!("{file}/a")).as_deref(),
            Some("its folder is below a file")
        );
    }

    #[test]
    fn directories_are_listed() {
        let names = SystemFiles.list(Path::new(OWN)).unwrap();
        assert!(names.iter().any(|name| name == "src"), "{names:?}");
    }
}

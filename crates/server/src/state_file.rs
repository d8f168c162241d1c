//! The file that keeps what operators have changed, so that it survives a restart.

#![expect(
    clippy::disallowed_methods,
    reason = "read at the start and written by the control thread, which serves nobody"
)]

use crate::wishes::Wishes;
use foregate_telemetry::log::process;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The form of the file that is written and read.
const VERSION: u64 = 1;

/// Bytes of a file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The file.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(crate) fn new(path: PathBuf) -> StateFile {
        StateFile { path }
    }

    /// What it keeps: nothing while it is not there.
    ///
    /// # Errors
    /// It is there and can't be read, or some other program has written it: better no start than one that forgets.
    pub(crate) fn read(&self) -> Result<Wishes, String> {
        let shown = self.path.display();
        let refuse = |problem: &dyn std::fmt::Display| {
            format!(
                "the state of the admin API in {shown} can't be read: {problem}\n  \
                 move the file away to start with what the configuration says alone"
            )
        };
        let Some(text) = read_whole(&self.path, FILE_BYTES_MAX).map_err(|error| refuse(&error))?
        else {
            return Ok(Wishes::default());
        };
        let value: Value = serde_json::from_str(&text).map_err(|error| refuse(&error))?;
        if value["version"] != VERSION {
            return Err(refuse(&format!("version {VERSION} is expected")));
        }
        let wishes = Wishes::from_json(&value["endpoints"]).map_err(|error| refuse(&error))?;
        if !wishes.is_empty() {
            let values: &[process::Value<'_>] = &[("file", &shown)];
            process::info("changes of the admin API are in force again", values);
        }
        Ok(wishes)
    }

    /// Writes it, unless there is nothing to write and nothing that would have to give way.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn renew(&self, wishes: &Wishes) -> Result<(), String> {
        match wishes.is_empty() && !self.path.exists() {
            true => Ok(()),
            false => self.write(wishes),
        }
    }

    /// Writes it whole: a crash leaves what was there before, or what is there now.
    ///
    /// # Errors
    /// It can't be written; what was there is still there.
    pub(crate) fn write(&self, wishes: &Wishes) -> Result<(), String> {
        let value = json!({ "version": VERSION, "endpoints": wishes.to_json() });
        let text = format!("{value:#}\n");
        write_whole(&self.path, &text).map_err(|error| {
            let shown = self.path.display();
            format!("the state of the admin API can't be written to {shown}: {error}")
        })
    }
}

/// The text of a file, up to so many bytes; nothing while it is not there.
pub(crate) fn read_whole(path: &Path, bytes_max: u64) -> io::Result<Option<String>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => {
            file.take(bytes_max).read_to_string(&mut text)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file whole, for its owner alone: a crash leaves what was there before, or what is there now.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.to_path_buf().into_os_string();
    beside.push(".new");
    // What stands there may be another's, or lead elsewhere: a file of this name is made anew, or not at all.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(folder.unwrap_or(".".as_ref()))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn what_stands_beside_the_file_is_neither_followed_nor_shared() {
        let folder = std::env::temp_dir().join(format!("foregate-state-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, beside) = (folder.join("state"), folder.join("state.new"));
        let victim = folder.join("victim");
        fs::write(&victim, "mine").unwrap();
        symlink(&victim, &beside).unwrap();
        write_whole(&path, "text").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        // One that everybody may read, and whoever has it open goes on to read.
        fs::write(&beside, "").unwrap();
        let mut spy = File::open(&beside).unwrap();
        write_whole(&path, "secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let mut seen = String::new();
        spy.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "");
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! Where the writer thread writes to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A place for bytes, used by the writer thread alone, so it may block.
pub trait Sink: Send {
    /// Writes some of the bytes and says how many.
    ///
    /// # Errors
    /// When nothing could be written; [`io::ErrorKind::Interrupted`] is tried again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Opens the same place anew, for files that were renamed. Keeps the old one on failure.
    ///
    /// # Errors
    /// When it can't be opened.
    fn reopen(&mut self) -> io::Result<()>;
}

/// Standard output.
#[derive(Debug)]
pub struct StdoutSink;

impl Sink for StdoutSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write(bytes)?;
        stdout.flush()?;
        Ok(written)
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is appended to.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    file: File,
}

impl FileSink {
    /// Opens a file for appending; makes it, readable by owner and group, if absent.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<FileSink> {
        Ok(FileSink {
            path: path.to_owned(),
            file: open(path)?,
        })
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    // Lines carry addresses of persons: not for everyone.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    #[expect(
        clippy::disallowed_methods,
        reason = "called at boot and by the writer thread, which may block"
    )]
    options.open(path)
}

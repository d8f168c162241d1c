//! Where the writer thread writes to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

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
    /// When the system refuses, or it is a named pipe that nobody reads.
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
    options.mode(0o640);
    // A named pipe without a reader would keep whoever opens it for as long as there is none.
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    #[expect(
        clippy::disallowed_methods,
        reason = "called where a configuration is loaded and by the writer thread, which may block"
    )]
    let opened = options.open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NXIO) => io::Error::new(error.kind(), "nobody reads this named pipe"),
        _ => error,
    })?;
    // Writing may wait: the thread is there for that.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

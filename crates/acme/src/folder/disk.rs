//! Files that nobody else may read, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use foregate_telemetry::clock::unix_now;
use foregate_telemetry::log::process;
use rustix::fs::{FlockOperation, flock};

use crate::random::random;
use crate::reason::{Failure, Reason};

/// Bytes of a file in the state folder.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What files are called that are being written, at their end.
const SCRATCH: &str = ".tmp";
/// Older ones nobody writes any more.
const SCRATCH_SECONDS_MAX: u64 = 3_600;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

fn unusable(path: &Path, what: &str, error: &io::Error) -> Failure {
    Failure::new(
        Reason::StateUnusable,
        format!("cannot {what} {}: {error}", path.display()),
    )
}

fn foreign(path: &Path, owner: u32) -> Failure {
    let us = rustix::process::geteuid().as_raw();
    Failure::new(
        Reason::StateForeign,
        format!(
            "{} belongs to user {owner} and Foregate runs as user {us}; give it to that user (chown) or name another state_dir",
            path.display()
        ),
    )
}

fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), Failure> {
    match metadata.uid() == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(foreign(path, metadata.uid())),
    }
}

fn mend(path: &Path, metadata: &fs::Metadata, mode: u32) -> Result<(), Failure> {
    if metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| unusable(path, "narrow the permissions of", &error))?;
    process::warn(
        "a part of the state folder was open to other users; its permissions are mended",
        &[("path", &path.display()), ("was", &Octal(metadata.mode()))],
    );
    Ok(())
}

struct Octal(u32);

impl std::fmt::Display for Octal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o}", self.0 & 0o7777)
    }
}

fn make(path: &Path) -> Result<fs::Metadata, Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .map_err(|error| unusable(path, "make the folder", &error))?;
    let metadata = fs::metadata(path).map_err(|error| unusable(path, "look at", &error))?;
    check_owner(path, &metadata)?;
    Ok(metadata)
}

/// Makes or checks a folder of ours; permissions that are too wide are narrowed.
pub(super) fn folder(path: &Path) -> Result<(), Failure> {
    let metadata = make(path)?;
    mend(path, &metadata, FOLDER_MODE)
}

/// Makes or checks the state folder itself. One that holds other things than ours is never narrowed, since others may
/// need them: it must have been narrow before.
pub(super) fn root(path: &Path, mark: &Path) -> Result<(), Failure> {
    let metadata = make(path)?;
    let is_ours = mark.exists()
        || fs::read_dir(path)
            .map_err(|error| unusable(path, "list", &error))?
            .next()
            .is_none();
    if is_ours {
        return mend(path, &metadata, FOLDER_MODE);
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(Failure::new(
            Reason::StateUnusable,
            format!(
                "{} holds other things and others may write to it; name a folder of its own as state_dir",
                path.display()
            ),
        ));
    }
    Ok(())
}

/// A file's bytes; `None` when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(libc_nofollow())
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, "open", &error)),
    };
    let metadata = file
        .metadata()
        .map_err(|error| unusable(path, "look at", &error))?;
    check_owner(path, &metadata)?;
    mend(path, &metadata, FILE_MODE)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unusable(path, "read", &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::new(
            Reason::StateUnreadable,
            format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display()),
        ));
    }
    Ok(Some(bytes))
}

/// A link in the state folder could lead a privileged process to foreign files.
fn libc_nofollow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits() as i32
}

/// Writes a file whole: into a new one beside it, to the disk, then in its place.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // In two containers both processes may be number 1, and write the same file at the same time.
    let mut scratch = path.as_os_str().to_owned();
    scratch.push(format!(".{:016x}{SCRATCH}", random()));
    let scratch = PathBuf::from(scratch);
    let outcome = write_scratch(&scratch, bytes).and_then(|()| {
        fs::rename(&scratch, path).map_err(|error| unusable(path, "put in place", &error))
    });
    if outcome.is_err() {
        // What could not be finished is of no use; that it stays is harmless.
        let _ = fs::remove_file(&scratch);
    }
    outcome?;
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| unusable(parent, "sync", &error))
}

fn write_scratch(scratch: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .custom_flags(libc_nofollow())
        .open(scratch)
        .map_err(|error| unusable(scratch, "make", &error))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| unusable(scratch, "write", &error))
}

/// Removes what processes have left in a folder that died while they wrote.
pub(super) fn sweep(path: &Path) -> Result<(), Failure> {
    let now = unix_now().seconds();
    for name in list(path, SCRATCH)? {
        let scratch = path.join(format!("{name}{SCRATCH}"));
        let is_old = fs::metadata(&scratch).is_ok_and(|metadata| {
            let written = u64::try_from(metadata.mtime()).unwrap_or(0);
            now.saturating_sub(written) >= SCRATCH_SECONDS_MAX
        });
        if is_old {
            remove(&scratch)?;
        }
    }
    Ok(())
}

/// Whether a file or folder is there.
pub(super) fn is_there(path: &Path) -> bool {
    path.exists()
}

/// What tells a file from the one that was in its place before: its number, its size, when it was written.
pub(crate) type Stamp = (u64, u64, i64, i64);

/// The stamp of a file or folder that is there.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Some((metadata.ino(), metadata.size(), seconds, nanoseconds))
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(unusable(path, "remove", &error))
        }
        _ => Ok(()),
    }
}

/// Gives a file another name.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(unusable(from, "rename", &error))
        }
        _ => Ok(()),
    }
}

/// The names of a folder's files with this ending, without it; none of a folder that is not there.
pub(super) fn list(path: &Path, ending: &str) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unusable(path, "list", &error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unusable(path, "list", &error))?;
        let name = entry.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(ending)) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A lock that ends with its holder, also if that one is killed. The file stays: who removed it would let two
/// processes lock two files of one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

fn open_lock(path: &Path) -> Result<File, Failure> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(libc_nofollow())
        .open(path)
        .map_err(|error| unusable(path, "open the lock", &error))
}

/// Takes a lock, or `None` when another process (or another handle of this one) has it.
pub(super) fn try_lock(path: &Path) -> Result<Option<Lock>, Failure> {
    let file = open_lock(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(unusable(path, "lock", &error.into())),
    }
}

/// Takes a lock and waits for it; for work of milliseconds.
pub(super) fn lock(path: &Path) -> Result<Lock, Failure> {
    let file = open_lock(path)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(unusable(path, "lock", &error.into())),
        }
    }
}

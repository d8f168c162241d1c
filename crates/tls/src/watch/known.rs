//! What is known of files: how they were when they were read, and what stood in them.

use crate::calendar::unix_s;
use crate::store::Served;
use crate::watch::FilesPlan;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

/// After which time a file's next version is sure to have another time than this one.
const SETTLED_AFTER_S: i64 = 1;

/// What tells one version of some files from another.
pub(super) type Stamp = Vec<Option<Version>>;

/// What tells one version of a file from another; times in seconds and nanoseconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Its rights may have changed, too.
    changed: (i64, i64),
}

/// Certificates that were read by somebody else, who looked at their files before: for as long as the files are the same,
/// they need not be read again.
#[derive(Clone, Debug, Default)]
pub struct KnownCertificates(HashMap<String, Known>);

/// What is known of a pair.
#[derive(Clone, Debug)]
pub(super) struct Known {
    files: FilesPlan,
    pub(super) seen: Seen,
    pub(super) served: Arc<Served>,
}

/// How files were before they were read.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    stamp: Stamp,
    /// When that was, in seconds since 1970.
    at: i64,
}

impl Seen {
    /// How the files are now.
    pub fn now(files: &FilesPlan) -> Seen {
        Seen::at(files, unix_s())
    }

    /// The same, at a time that is not later than now.
    pub(super) fn at(files: &FilesPlan, now_unix: i64) -> Seen {
        Seen {
            stamp: stamp_of(files),
            at: now_unix,
        }
    }

    /// Whether the files looked the same.
    pub(super) fn is_like(&self, other: &Seen) -> bool {
        self.stamp == other.stamp
    }

    /// Whether no other version can have come since that looks the same: times of files are coarse.
    pub(super) fn is_settled(&self) -> bool {
        let mut versions = self.stamp.iter().flatten();
        versions.all(|version| version.changed.0 < self.at - SETTLED_AFTER_S)
    }
}

impl KnownCertificates {
    /// Notes what was read of files after they were seen.
    pub fn note(&mut self, files: &FilesPlan, seen: Seen, served: &Arc<Served>) {
        // What an issuer says about revocation is judged by whoever serves it.
        if files.ocsp.is_some() {
            return;
        }
        let known = Known {
            files: files.clone(),
            seen,
            served: Arc::clone(served),
        };
        self.0.insert(files.id.clone(), known);
    }

    /// Adds what another has read.
    pub fn extend(&mut self, other: KnownCertificates) {
        self.0.extend(other.0);
    }

    /// What these files hold, if they are as they were when it was read.
    pub fn get(&self, files: &FilesPlan, seen: &Seen) -> Option<&Arc<Served>> {
        self.of(files, seen).map(|known| &known.served)
    }

    pub(super) fn of(&self, files: &FilesPlan, seen: &Seen) -> Option<&Known> {
        let known = self.0.get(&files.id)?;
        (known.files == *files && known.seen.is_like(seen)).then_some(known)
    }
}

/// How a certificate's files are now.
fn stamp_of(files: &FilesPlan) -> Stamp {
    let pair = [&files.certificate, &files.key].into_iter();
    stamp(pair.chain(&files.ocsp))
}

/// How these files are now.
pub(super) fn stamp<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Stamp {
    let version = |metadata: Metadata| Version {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    paths
        .map(|path| std::fs::metadata(path).ok().map(version))
        .collect()
}

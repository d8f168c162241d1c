//! What is known of files: how they were when they were read, and what stood in them.

use crate::store::Served;
use crate::watch::FilesPlan;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

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
    pub(super) changed: (i64, i64),
}

/// Certificates that were read by somebody else, who looked at their files before: for as long as the files are the same,
/// they need not be read again.
#[derive(Clone, Debug, Default)]
pub struct KnownCertificates(HashMap<String, Known>);

#[derive(Clone, Debug)]
struct Known {
    files: FilesPlan,
    stamp: Stamp,
    served: Arc<Served>,
}

/// How files were before they were read.
#[derive(Debug)]
pub struct Seen(pub(super) Stamp);

impl Seen {
    /// How the files are now.
    pub fn now(files: &FilesPlan) -> Seen {
        Seen(stamp_of(files))
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
            stamp: seen.0,
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
        self.of(files, &seen.0)
    }

    pub(super) fn of(&self, files: &FilesPlan, stamp: &Stamp) -> Option<&Arc<Served>> {
        let known = self.0.get(&files.id)?;
        (known.files == *files && known.stamp == *stamp).then_some(&known.served)
    }
}

/// How a certificate's files are now.
pub(super) fn stamp_of(files: &FilesPlan) -> Stamp {
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

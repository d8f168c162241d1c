//! The state folder: the ACME account, certificates, the internal CA.
//!
//! ```text
//! STATE_DIR/                       0700
//!   foregate.json                  says that the folder is ours, and its version
//!   accounts/HASH.json             one for each directory and e-mail
//!   certificates/KEY.pem           private key, certificate, chain: one file, replaced as a whole
//!   certificates/KEY.json          the record beside it
//!   certificates/KEY.pending       an order that was sent and not yet stored
//!   internal/root.pem              the internal CA's key and certificate
//!   challenges/DIGEST.json         how an open challenge is answered, for the other processes
//!   locks/KEY.lock                 held while KEY is ordered
//!   locks/process-RANDOM.lock      held by each process as long as it lives
//! ```

use std::path::{Path, PathBuf};

use foregate_telemetry::clock::{UnixTime, unix_now};
use foregate_telemetry::log::process;
use serde::{Deserialize, Serialize};

use crate::certificate::{self, Issued, Key};
use crate::challenges::shared::Published;
use crate::reason::{Failure, Reason};

#[expect(
    clippy::disallowed_methods,
    reason = "the agent has a thread of its own, which may wait for the disk"
)]
mod disk;
mod record;
#[cfg(test)]
mod tests;

pub use disk::Lock;
pub(crate) use disk::Stamp;
pub(crate) use record::VERSION;
pub use record::{Facts, LastError, Record, Stored};

/// How long an order may be processed before another one is sent.
const PROCESSING_SECONDS_MAX: u64 = 86_400;

/// What the locks begin with that say that a process is there.
const PROCESS: &str = "process-";

/// A folder whose owner and permissions were checked.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
}

/// An account as stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredAccount {
    version: u32,
    /// The directory's URL.
    pub(crate) directory: String,
    /// The e-mail address it was made with.
    pub(crate) email: Option<String>,
    /// What instant-acme needs to speak for it.
    pub(crate) credentials: serde_json::Value,
}

/// An order that was sent and whose certificate is not stored: what a process needs to go on after a crash.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Pending {
    version: u32,
    /// The directory that it was sent to.
    pub(crate) directory: String,
    /// The order's URL.
    pub(crate) order: String,
    /// The private key that the certificate will belong to.
    pub(crate) key_pem: String,
    /// When it was sent, Unix seconds; 0 when an older version sent it.
    #[serde(default)]
    since: u64,
}

impl Pending {
    pub(crate) fn new(directory: String, order: String, key_pem: String) -> Pending {
        Pending {
            version: record::VERSION,
            directory,
            order,
            key_pem,
            since: unix_now().seconds(),
        }
    }

    /// Whether its authority may still be at it.
    pub(crate) fn is_young(&self, now: UnixTime) -> bool {
        now.seconds().saturating_sub(self.since) < PROCESSING_SECONDS_MAX
    }
}

impl StateFolder {
    /// Makes or checks the folder and those below it.
    ///
    /// # Errors
    /// When it can't be made, belongs to another user, or was written by a newer version.
    pub fn open(path: &Path) -> Result<StateFolder, Failure> {
        let folder = StateFolder {
            path: path.to_owned(),
        };
        let mark = path.join("foregate.json");
        disk::root(path, &mark)?;
        match disk::read(&mark)? {
            None => disk::write(&mark, b"{\"version\":1}\n")?,
            Some(bytes) => check_version(&mark, &bytes)?,
        }
        for name in [
            "accounts",
            "certificates",
            "challenges",
            "internal",
            "locks",
        ] {
            let folder = path.join(name);
            disk::folder(&folder)?;
            disk::sweep(&folder)?;
        }
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folders again where a file is to be, if they were removed since they were opened.
    fn furnish(&self, path: &Path) -> Result<(), Failure> {
        if path.parent().is_some_and(disk::is_there) {
            return Ok(());
        }
        StateFolder::open(&self.path)?;
        process::warn(
            "the state folder was removed while it was in use; it is made again",
            &[("path", &self.path.display())],
        );
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        self.furnish(path)?;
        disk::write(path, bytes)
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), Failure> {
        refuse_newer(path)?;
        let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| {
            Failure::new(
                Reason::StateUnusable,
                format!("cannot write {}: {error}", path.display()),
            )
        })?;
        bytes.push(b'\n');
        self.write(path, &bytes)
    }

    fn file(&self, folder: &str, name: &str, ending: &str) -> PathBuf {
        self.path.join(folder).join(format!("{name}{ending}"))
    }

    fn account_file(&self, directory: &str, email: Option<&str>) -> PathBuf {
        let name = certificate::digest_hex(&[directory, email.unwrap_or_default()].join("\n"));
        self.file("accounts", &name[..16], ".json")
    }

    pub(crate) fn account(
        &self,
        directory: &str,
        email: Option<&str>,
    ) -> Result<Option<StoredAccount>, Failure> {
        read_json(&self.account_file(directory, email))
    }

    pub(crate) fn store_account(
        &self,
        directory: &str,
        email: Option<&str>,
        credentials: serde_json::Value,
    ) -> Result<(), Failure> {
        let account = StoredAccount {
            version: record::VERSION,
            directory: directory.to_owned(),
            email: email.map(str::to_owned),
            credentials,
        };
        self.write_json(&self.account_file(directory, email), &account)
    }

    /// Puts an account aside that can't be read, so that it is no obstacle to the next one; returns where it was.
    pub(crate) fn put_account_aside(
        &self,
        directory: &str,
        email: Option<&str>,
    ) -> Result<PathBuf, Failure> {
        let path = self.account_file(directory, email);
        put_aside(&path)?;
        Ok(path)
    }

    /// Puts an account aside that its server does not know any more.
    pub(crate) fn retire_account(
        &self,
        directory: &str,
        email: Option<&str>,
    ) -> Result<(), Failure> {
        let path = self.account_file(directory, email);
        disk::rename(&path, &path.with_extension("gone"))
    }

    pub(crate) fn pending(&self, key: &Key) -> Result<Option<Pending>, Failure> {
        read_json(&self.file("certificates", key.as_str(), ".pending"))
    }

    pub(crate) fn store_pending(&self, key: &Key, pending: &Pending) -> Result<(), Failure> {
        let path = self.file("certificates", key.as_str(), ".pending");
        self.write_json(&path, pending)
    }

    pub(crate) fn drop_pending(&self, key: &Key) -> Result<(), Failure> {
        disk::remove(&self.file("certificates", key.as_str(), ".pending"))
    }

    /// A certificate's record and PEM texts. The PEM file is the truth: facts of the record that are not its own (a
    /// process may have ended between the two) are made anew from it.
    ///
    /// # Errors
    /// When one of the files is there and can't be read.
    pub fn certificate(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        let path = self.file("certificates", key.as_str(), ".json");
        let Some(bytes) = disk::read(&path)? else {
            return Ok(None);
        };
        let mut record = Record::parse(&bytes, &path.display().to_string())?;
        let path = self.file("certificates", key.as_str(), ".pem");
        let issued = match disk::read(&path)? {
            None => None,
            Some(bytes) => Some(Issued::from_pem(&bytes, record.source).map_err(|why| {
                Failure::new(
                    Reason::StateUnreadable,
                    format!(
                        "{} is damaged: {why}; remove it to have it issued anew",
                        path.display()
                    ),
                )
            })?),
        };
        record.certificate = issued.as_ref().map(|issued| issued.facts.clone());
        Ok(Some(Stored { record, issued }))
    }

    /// Puts aside what is damaged of a certificate, so that it is no obstacle to the next one; returns what that was. What
    /// a newer version has written is not touched.
    pub(crate) fn put_damaged_aside(&self, key: &Key) -> Result<Vec<PathBuf>, Failure> {
        let mut aside = Vec::new();
        for ending in [".json", ".pem", ".pending"] {
            let path = self.file("certificates", key.as_str(), ending);
            let is_damaged = match disk::read(&path) {
                Ok(None) => false,
                Ok(Some(bytes)) => match ending {
                    ".json" => is_damaged::<Record>(&bytes),
                    ".pending" => is_damaged::<Pending>(&bytes),
                    _ => Issued::from_pem(&bytes, certificate::Source::Acme).is_err(),
                },
                Err(failure) if failure.reason == Reason::StateUnreadable => true,
                Err(failure) => return Err(failure),
            };
            if is_damaged {
                put_aside(&path)?;
                aside.push(path);
            }
        }
        Ok(aside)
    }

    /// Puts a certificate in place; the PEM file first, and what was pending goes last. What a newer version has written
    /// is not touched.
    pub(crate) fn store_certificate(
        &self,
        key: &Key,
        record: &Record,
        issued: &Issued,
    ) -> Result<(), Failure> {
        let path = self.file("certificates", key.as_str(), ".json");
        refuse_newer(&path)?;
        // Without a record the PEM file would not be found; so the very first record precedes it.
        if disk::read(&path)?.is_none() {
            self.store_record(key, record)?;
        }
        let pem = format!("{}{}", issued.key_pem, issued.chain_pem);
        self.write(
            &self.file("certificates", key.as_str(), ".pem"),
            pem.as_bytes(),
        )?;
        self.store_record(key, record)?;
        self.drop_pending(key)
    }

    pub(crate) fn store_record(&self, key: &Key, record: &Record) -> Result<(), Failure> {
        self.write_json(&self.file("certificates", key.as_str(), ".json"), record)
    }

    /// Removes a certificate that is not wanted any more.
    pub(crate) fn remove_certificate(&self, key: &Key) -> Result<(), Failure> {
        refuse_newer(&self.file("certificates", key.as_str(), ".json"))?;
        for ending in [".pending", ".pem", ".json"] {
            disk::remove(&self.file("certificates", key.as_str(), ending))?;
        }
        Ok(())
    }

    /// What tells a certificate's file from the one before.
    pub(crate) fn certificate_stamp(&self, key: &Key) -> Option<Stamp> {
        disk::stamp(&self.file("certificates", key.as_str(), ".pem"))
    }

    /// What is another after any certificate was stored.
    pub(crate) fn certificates_stamp(&self) -> Option<Stamp> {
        disk::stamp(&self.path.join("certificates"))
    }

    /// The keys of all certificates in the folder.
    ///
    /// # Errors
    /// When the folder can't be listed.
    pub fn keys(&self) -> Result<Vec<Key>, Failure> {
        let names = disk::list(&self.path.join("certificates"), ".json")?;
        Ok(names.into_iter().map(Key::of_file).collect())
    }

    /// Has the other processes answer a challenge.
    pub(crate) fn publish_challenge(&self, id: &str, challenge: &Published) -> Result<(), Failure> {
        self.write_json(&self.file("challenges", id, ".json"), challenge)
    }

    pub(crate) fn withdraw_challenge(&self, id: &str) -> Result<(), Failure> {
        disk::remove(&self.file("challenges", id, ".json"))
    }

    /// What tells the files of a published challenge that follow each other apart.
    pub(crate) fn published_stamp(&self, id: &str) -> Option<Stamp> {
        disk::stamp(&self.file("challenges", id, ".json"))
    }

    pub(crate) fn published_challenge(&self, id: &str) -> Result<Option<Published>, Failure> {
        read_json(&self.file("challenges", id, ".json"))
    }

    /// What the published challenges are called, in order.
    pub(crate) fn published_challenges(&self) -> Result<Vec<String>, Failure> {
        disk::list(&self.path.join("challenges"), ".json")
    }

    /// Says that this process uses the folder, as long as the lock lives.
    pub(crate) fn announce(&self, random: u64) -> Result<Lock, Failure> {
        let _alone = self.lock_briefly("processes")?;
        let path = self.file("locks", &format!("{PROCESS}{random:016x}"), ".lock");
        disk::lock(&path)
    }

    /// Whether what [`StateFolder::announce`] has said is gone, as with a folder that was removed and is made again.
    pub(crate) fn has_lost(&self, random: u64) -> bool {
        let path = self.file("locks", &format!("{PROCESS}{random:016x}"), ".lock");
        path.parent().is_some_and(disk::is_there) && !disk::is_there(&path)
    }

    /// Whether several processes use the folder. What those have left that ended is removed.
    pub(crate) fn is_shared(&self) -> Result<bool, Failure> {
        // Nobody announces itself meanwhile: a file that nobody holds is nobody's.
        let _alone = self.lock_briefly("processes")?;
        let mut alive = 0;
        for name in disk::list(&self.path.join("locks"), ".lock")? {
            if !name.starts_with(PROCESS) {
                continue;
            }
            let path = self.file("locks", &name, ".lock");
            match disk::try_lock(&path)? {
                None => alive += 1,
                Some(_ended) => disk::remove(&path)?,
            }
        }
        Ok(alive > 1)
    }

    /// Key and certificate of the internal CA, PEM.
    pub(crate) fn root(&self) -> Result<Option<String>, Failure> {
        let path = self.file("internal", "root", ".pem");
        let Some(bytes) = disk::read(&path)? else {
            return Ok(None);
        };
        String::from_utf8(bytes).map(Some).map_err(|_| {
            Failure::new(
                Reason::StateUnreadable,
                format!("{} is not text", path.display()),
            )
        })
    }

    pub(crate) fn store_root(&self, pem: &str) -> Result<(), Failure> {
        self.write(&self.file("internal", "root", ".pem"), pem.as_bytes())
    }

    /// Takes the lock of a certificate, or `None` when another process has it.
    pub(crate) fn try_lock(&self, key: &Key) -> Result<Option<Lock>, Failure> {
        let path = self.file("locks", key.as_str(), ".lock");
        self.furnish(&path)?;
        disk::try_lock(&path)
    }

    /// Takes a lock that is held for milliseconds only.
    pub(crate) fn lock_briefly(&self, name: &str) -> Result<Lock, Failure> {
        let path = self.file("locks", name, ".lock");
        self.furnish(&path)?;
        disk::lock(&path)
    }

    /// Takes the lock of the accounts, or `None` when another process has it.
    pub(crate) fn try_lock_accounts(&self) -> Result<Option<Lock>, Failure> {
        let path = self.file("locks", "accounts", ".lock");
        self.furnish(&path)?;
        disk::try_lock(&path)
    }
}

/// Gives a damaged file a name that nothing looks for.
fn put_aside(path: &Path) -> Result<(), Failure> {
    let mut bad = path.as_os_str().to_owned();
    bad.push(".bad");
    disk::rename(path, Path::new(&bad))
}

fn check_version(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let told: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(
            Reason::StateUnreadable,
            format!("{} is damaged: {error}", path.display()),
        )
    })?;
    match told["version"].as_u64() {
        _ if is_newer(&told) => Err(newer(path)),
        Some(_) => Ok(()),
        None => Err(Failure::new(
            Reason::StateUnreadable,
            format!("{} is damaged: it says no version", path.display()),
        )),
    }
}

fn newer(path: &Path) -> Failure {
    Failure::new(
        Reason::StateNewer,
        format!(
            "{} was written by a newer Foregate; run that one, or name another state_dir",
            path.display()
        ),
    )
}

fn is_newer(told: &serde_json::Value) -> bool {
    let version = told["version"].as_u64();
    version.is_some_and(|version| version > u64::from(record::VERSION))
}

/// What a newer version knows of a file is lost if this one replaces it; what is damaged is no loss.
fn refuse_newer(path: &Path) -> Result<(), Failure> {
    let bytes = disk::read(path).ok().flatten();
    let told = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match told.is_some_and(|told| is_newer(&told)) {
        true => Err(newer(path)),
        false => Ok(()),
    }
}

/// Whether bytes are no JSON text of this or an older version.
fn is_damaged<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(told) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return true;
    };
    let has_version = told["version"].as_u64().is_some();
    !is_newer(&told) && (!has_version || serde_json::from_value::<T>(told).is_err())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let Some(bytes) = disk::read(path)? else {
        return Ok(None);
    };
    check_version(path, &bytes)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Failure::new(
            Reason::StateUnreadable,
            format!("{} is damaged: {error}", path.display()),
        )
    })
}

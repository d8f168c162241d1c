//! Certificates in files: watched, and swapped in the store when they change. A file that turns bad keeps the last good
//! certificate in service, and says so; so does a folder that can't be looked through.

mod folder;
mod hosts;
mod known;
mod look;

pub use folder::{FolderPairs, PassedOver};
pub use known::{KnownCertificates, Seen};
pub use look::{CertificateState, CertificateStatus};

use crate::certificate::Finding;
use crate::store::CertificateStore;
use crate::tickets::Tickets;
use look::Look;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long nothing must happen before files are looked at: whoever renews certificates writes several.
const QUIET: Duration = Duration::from_millis(200);

/// How long files are not looked at when something happens all the time.
const QUIET_MAX: u32 = 20;

/// How often files are looked at although nothing was heard: some file systems tell nothing.
const POLL_EVERY: Duration = Duration::from_secs(30);

/// Which files hold certificates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WatchPlan {
    /// Single certificates.
    pub certificates: Vec<FilesPlan>,
    /// Folders of certificates.
    pub folders: Vec<FolderPlan>,
    /// The file of ticket keys.
    pub ticket_keys: Option<PathBuf>,
    /// Files that somebody else reads, who is told when one of them may be another than before.
    pub others: Vec<PathBuf>,
    /// The hosts that certificates from files are for: a new file takes none of them away.
    pub hosts: Vec<WatchedHost>,
}

/// A host that a site is served under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchedHost {
    /// The host in lower case, or `*.` and a name for all hosts below it. `*` is every other name.
    pub name: String,
    /// The names in the store of the certificates that may be shown for it, as a `NamePlan` has them.
    pub certificates: Option<Vec<String>>,
}

/// A certificate in files of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilesPlan {
    /// Its name in the store.
    pub id: String,
    /// The chain.
    pub certificate: PathBuf,
    /// The key; may be the same file.
    pub key: PathBuf,
    /// What the issuer says about revocation (DER), if it is shown.
    pub ocsp: Option<PathBuf>,
}

/// A folder of pairs: `NAME.pem` or `NAME.crt` with `NAME.key`, and subfolders with `fullchain.pem` and `privkey.pem` or
/// `tls.crt` and `tls.key`. Each is known in the store as the folder's name, `/`, and its own. Of several called the same
/// `NAME.pem` goes first, then `NAME.crt`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderPlan {
    /// The folder's name.
    pub id: String,
    /// Where it is.
    pub folder: PathBuf,
}

impl FolderPlan {
    /// The pairs that are in it now.
    ///
    /// # Errors
    /// It can't be looked through whole.
    pub fn pairs(&self) -> io::Result<FolderPairs> {
        folder::pairs(self)
    }
}

/// What a watcher tells.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A certificate's state has changed.
    Certificate(&'a CertificateState),
    /// One of the files that somebody else reads has changed, or has just come to be watched.
    Others,
    /// The file of ticket keys was read, with what is wrong with it: those before stay in force then.
    TicketKeys(&'a Path, Option<&'a Finding>),
    /// No certificate is left for these names, which one was shown for.
    Lost(&'a [String]),
}

/// Who is told; must not ask the watcher for anything meanwhile.
pub type Observer = dyn Fn(News<'_>) + Send + Sync;

/// Looks after the files of a [`WatchPlan`] on a thread of its own.
pub struct Watcher {
    inner: Arc<Mutex<Inner>>,
    signal: SyncSender<Signal>,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    look: Look,
    observer: Box<Observer>,
    /// `None` where the system can't tell of changes; then files are looked at from time to time.
    notify: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

enum Signal {
    /// Something happened to a file.
    Changed,
    Stop,
}

impl Watcher {
    /// Loads what there is before it returns, but for what is `known`, and goes on from there.
    pub fn start(
        plan: WatchPlan,
        known: KnownCertificates,
        store: Arc<CertificateStore>,
        tickets: Option<Arc<Tickets>>,
        observer: Box<Observer>,
    ) -> Watcher {
        // One signal that waits says all that a second could.
        let (signal, signals) = sync_channel(1);
        let changed = signal.clone();
        let notify = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_only_read(event.kind)) {
                return;
            }
            let _ = changed.try_send(Signal::Changed);
        });
        let mut inner = Inner {
            look: Look::new(store),
            observer,
            notify: notify.ok(),
            watched: BTreeSet::new(),
        };
        inner.replan(plan, known, tickets);
        let inner = Arc::new(Mutex::new(inner));
        let looking = Arc::clone(&inner);
        let thread = thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || watch(&signals, &looking));
        Watcher {
            inner,
            signal,
            // Without a thread, files are loaded at each reload only.
            thread: thread.ok(),
        }
    }

    /// Takes a new configuration's files and ticket keys: certificates that are not in it any more leave the store.
    pub fn replan(&self, plan: WatchPlan, known: KnownCertificates, tickets: Option<Arc<Tickets>>) {
        lock(&self.inner).replan(plan, known, tickets);
    }

    /// What is served as its files say it, for whoever reads them next.
    pub fn known(&self) -> KnownCertificates {
        lock(&self.inner).look.known()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Waits for room: the thread takes signals all the time.
        let _ = self.signal.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(signals: &Receiver<Signal>, inner: &Mutex<Inner>) {
    loop {
        match signals.recv_timeout(POLL_EVERY) {
            Ok(Signal::Changed) => {
                for _ in 0..QUIET_MAX {
                    match signals.recv_timeout(QUIET) {
                        Ok(Signal::Changed) => {}
                        Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                        Err(RecvTimeoutError::Timeout) => break,
                    }
                }
            }
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        lock(inner).look();
    }
}

impl Inner {
    fn replan(&mut self, plan: WatchPlan, known: KnownCertificates, tickets: Option<Arc<Tickets>>) {
        self.look.replan(plan, known, tickets);
        self.look();
    }

    fn look(&mut self) {
        let folders = self.look.find();
        // First, so that nothing changes unseen between the look and the watch.
        self.follow();
        for state in folders.into_iter().chain(self.look.look()) {
            (self.observer)(News::Certificate(&state));
        }
        if let Some((file, fault)) = self.look.look_at_tickets() {
            (self.observer)(News::TicketKeys(&file, fault.as_ref()));
        }
        let lost = self.look.take_lost();
        if !lost.is_empty() {
            (self.observer)(News::Lost(&lost));
        }
        if self.look.look_at_others() {
            (self.observer)(News::Others);
        }
    }

    /// Has the system tell of everything that can change what the files are. Directories are watched, not files: most
    /// renewals put a new file in the place of the old one.
    fn follow(&mut self) {
        use notify::Watcher as _;
        let Some(notify) = &mut self.notify else {
            return;
        };
        // Thousands of files lie in few folders; what leads to each folder is looked at once.
        let folders: BTreeSet<PathBuf> = self
            .look
            .paths()
            .filter_map(|path| path.parent().map(Path::to_owned))
            .collect();
        let wanted: BTreeSet<PathBuf> = folders
            .iter()
            .flat_map(|folder| directories(folder))
            .collect();
        for gone in self.watched.difference(&wanted) {
            let _ = notify.unwatch(gone);
        }
        // A directory that was replaced is another one, although it is called the same: the old watch is dead.
        self.watched = wanted
            .into_iter()
            .filter(|directory| notify.watch(directory, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }
}

/// The directories in which something can happen that makes files of `folder` other files: itself, and those of all
/// symbolic links on the way to it (Kubernetes swaps one of those).
fn directories(folder: &Path) -> Vec<PathBuf> {
    let mut directories = vec![folder.to_owned()];
    for part in folder.ancestors() {
        if part.is_symlink()
            && let Some(parent) = part.parent()
        {
            directories.push(parent.to_owned());
        }
    }
    directories
}

/// Whether somebody has only opened or read a file, as every look does itself.
fn is_only_read(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;

//! The access log and (in [`process`]) the process' own log.
//!
//! A worker formats its lines into a batch of its own ([`LogWriter`]) and hands full batches to a thread that
//! writes them. Workers never wait: when as many bytes are queued as the budget allows, because the disk or the
//! reader of a pipe is slow, lines are dropped and counted. Memory is bounded by that budget, plus one batch for
//! each worker and one for the writer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::metrics::{Exposition, Gauges, Kind};

mod escape;
mod format;
mod number;
pub mod process;
mod queue;
mod record;
mod sink;
mod stamp;

pub use format::{Format, PLACEHOLDERS, TemplateError};
pub use record::Record;
pub use sink::{FileSink, Sink, StdoutSink};

use queue::{Batch, Message, Shared};
use stamp::Stamps;

/// Bytes at which a worker hands its batch over.
const BATCH_BYTES_MAX: usize = 32 * 1_024;
/// Batches that may wait whatever their size; the budget of bytes is the limit that matters.
const BATCHES_QUEUED_MAX: usize = 1_024;

/// Where access log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to and made if absent. A named pipe needs somebody who reads it already.
    File(PathBuf),
}

/// An access log: the handle of its writer thread. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct AccessLog {
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    format: Arc<Format>,
    shared: Arc<Shared>,
    sender: SyncSender<Message>,
    /// Hears from the writer thread when it ends.
    ended: Arc<Mutex<Receiver<()>>>,
}

impl AccessLog {
    /// Opens the destination and starts the writer thread. `queue_bytes_max` is how many bytes of lines may wait
    /// for it.
    ///
    /// # Errors
    /// When the file can't be opened or the thread can't be started.
    pub fn open(
        destination: &Destination,
        format: Format,
        queue_bytes_max: usize,
    ) -> io::Result<AccessLog> {
        match destination {
            Destination::Off => Ok(AccessLog { open: None }),
            Destination::Stdout => AccessLog::to(Box::new(StdoutSink), format, queue_bytes_max),
            Destination::File(path) => {
                let sink = FileSink::open(path)?;
                AccessLog::to(Box::new(sink), format, queue_bytes_max)
            }
        }
    }

    /// Starts the writer thread on a sink of one's own.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn to(
        sink: Box<dyn Sink>,
        format: Format,
        queue_bytes_max: usize,
    ) -> io::Result<AccessLog> {
        let shared = Arc::new(Shared::new(queue_bytes_max));
        let (sender, receiver) = sync_channel(BATCHES_QUEUED_MAX);
        let (end, ended) = sync_channel(1);
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                queue::write(sink, receiver, &theirs);
                let _ = end.send(());
            })?;
        Ok(AccessLog {
            open: Some(Open {
                format: Arc::new(format),
                shared,
                sender,
                ended: Arc::new(Mutex::new(ended)),
            }),
        })
    }

    /// A worker's side of the log.
    #[must_use]
    pub fn writer(&self) -> LogWriter {
        LogWriter {
            batch: Vec::new(),
            lines: 0,
            stamps: Stamps::default(),
            open: self.open.clone(),
        }
    }

    /// Has the writer thread open the file anew under its name, after what is queued now or sooner. For log
    /// rotation: rename the file, then call this.
    pub fn reopen(&self) {
        if let Some(open) = &self.open {
            open.shared.ask_to_reopen();
            // When the queue is full the thread has a message to wake it anyway.
            let _ = open.sender.try_send(Message::Wake);
        }
    }

    /// Ends the writer thread once everything handed over is written, and waits up to `timeout` for that. Workers
    /// must have flushed before; lines recorded later are dropped and counted. Returns whether the thread ended.
    #[must_use]
    pub fn shutdown(&self, timeout: Duration) -> bool {
        let Some(open) = &self.open else { return true };
        open.shared.ask_to_close();
        let _ = open.sender.try_send(Message::Wake);
        let ended = open.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Disconnected: it ended before, and an earlier call heard it.
        !matches!(
            ended.recv_timeout(timeout),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        )
    }

    /// Lines dropped so far, because the queue was full or writing failed.
    #[must_use]
    pub fn lines_dropped(&self) -> u64 {
        self.open
            .as_ref()
            .map_or(0, |open| open.shared.lines_dropped())
    }

    /// Bytes that wait for the writer thread.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.open
            .as_ref()
            .map_or(0, |open| open.shared.queued_bytes())
    }
}

impl Gauges for AccessLog {
    fn collect(&self, out: &mut Exposition) {
        let dropped = out.family(
            "foregate_access_log_lines_dropped_total",
            Kind::Counter,
            "Access log lines dropped because the queue was full or writing failed.",
        );
        out.count(dropped, &[], self.lines_dropped());
        let queued = out.family(
            "foregate_access_log_queued_bytes",
            Kind::Gauge,
            "Bytes of access log lines that wait to be written.",
        );
        out.count(queued, &[], self.queued_bytes() as u64);
    }
}

/// A worker's side of an access log: formats lines into a batch and hands full ones over. Never waits.
#[derive(Debug)]
pub struct LogWriter {
    batch: Vec<u8>,
    /// Lines in the batch.
    lines: u64,
    stamps: Stamps,
    open: Option<Open>,
}

impl LogWriter {
    /// Whether lines go anywhere; when not, a caller may spare itself putting records together.
    #[must_use]
    #[inline]
    pub fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// Writes one line into the batch, and hands the batch over when it is full.
    pub fn record(&mut self, record: &Record<'_>) {
        let Some(open) = &self.open else { return };
        let full = open.shared.batch_bytes_max();
        if self.batch.capacity() == 0 {
            self.batch.reserve_exact(full + full / 8);
        }
        open.format.write(&mut self.batch, record, &mut self.stamps);
        self.lines += 1;
        if self.batch.len() >= full {
            let bytes = std::mem::take(&mut self.batch);
            let lines = std::mem::take(&mut self.lines);
            open.shared.submit(&open.sender, Batch { bytes, lines });
        }
    }

    /// Hands over what there is, however little. For a tick of some 100 ms, so that lines of quiet times appear.
    pub fn flush(&mut self) {
        let Some(open) = &self.open else { return };
        if self.batch.is_empty() {
            return;
        }
        // A copy of the right size waits in the queue, and the batch keeps its room.
        let bytes = self.batch.as_slice().to_vec();
        self.batch.clear();
        let lines = std::mem::take(&mut self.lines);
        open.shared.submit(&open.sender, Batch { bytes, lines });
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;

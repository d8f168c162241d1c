//! The way from workers to the writer thread: a bounded queue with a budget of bytes.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::sink::Sink;
use super::{BATCH_BYTES_MAX, process};

/// Lines on their way.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

/// What the writer thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Write this.
    Lines(Batch),
    /// Look at what was asked for in [`Shared`].
    Wake,
}

/// What workers, handles and the writer thread share.
#[derive(Debug)]
pub(super) struct Shared {
    queue_bytes_max: usize,
    queued_bytes: AtomicUsize,
    lines_dropped: AtomicU64,
    reopen: AtomicBool,
    close: AtomicBool,
}

impl Shared {
    pub(super) fn new(queue_bytes_max: usize) -> Shared {
        Shared {
            queue_bytes_max,
            queued_bytes: AtomicUsize::new(0),
            lines_dropped: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            close: AtomicBool::new(false),
        }
    }

    /// The size at which a batch is full: small enough that a small queue holds several.
    pub(super) fn batch_bytes_max(&self) -> usize {
        (self.queue_bytes_max / 8).clamp(512, BATCH_BYTES_MAX)
    }

    pub(super) fn ask_to_reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    pub(super) fn ask_to_close(&self) {
        self.close.store(true, Ordering::Release);
    }

    pub(super) fn lines_dropped(&self) -> u64 {
        self.lines_dropped.load(Ordering::Relaxed)
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    /// Queues a batch, or drops and counts its lines when the budget is exhausted. An empty queue takes any batch.
    pub(super) fn submit(&self, sender: &SyncSender<Message>, batch: Batch) {
        // What the memory costs, not what is used of it.
        let bytes = batch.bytes.capacity();
        let lines = batch.lines;
        let before = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= self.queue_bytes_max;
        if !fits || sender.try_send(Message::Lines(batch)).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.lines_dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

/// The writer thread: writes what comes until it is asked to close or every sender is gone. Whoever submits after it
/// returned is told so, as the receiving end is gone by then.
pub(super) fn write(mut sink: Box<dyn Sink>, receiver: Receiver<Message>, shared: &Shared) {
    let mut line = Line::default();
    while let Ok(message) = receiver.recv() {
        handle(&mut *sink, message, shared, &mut line);
        if shared.close.load(Ordering::Acquire) {
            while let Ok(message) = receiver.try_recv() {
                handle(&mut *sink, message, shared, &mut line);
            }
            return;
        }
    }
}

/// How the sink was left.
#[derive(Default)]
struct Line {
    /// An error came in the middle of a line.
    torn: bool,
    /// The last write failed, and that was said.
    failing: bool,
}

fn handle(sink: &mut dyn Sink, message: Message, shared: &Shared, line: &mut Line) {
    if shared.reopen.swap(false, Ordering::AcqRel) {
        match sink.reopen() {
            Ok(()) => {
                line.torn = false;
                process::info("log files are opened anew", &[]);
            }
            Err(error) => process::error(
                "access log: reopening failed, the old file stays open",
                &[("error", &error)],
            ),
        }
    }
    let Message::Lines(batch) = message else {
        return;
    };
    write_batch(sink, &batch, shared, line);
    // Only now: what is being written counts as queued, so a stuck sink bounds memory.
    shared
        .queued_bytes
        .fetch_sub(batch.bytes.capacity(), Ordering::Relaxed);
}

fn write_batch(sink: &mut dyn Sink, batch: &Batch, shared: &Shared, line: &mut Line) {
    if line.torn && write_all(sink, b"\n").is_ok() {
        line.torn = false;
    }
    match write_all(sink, &batch.bytes) {
        Ok(()) => line.failing = false,
        Err((written, error)) => {
            // A line of which a part was written is dropped too.
            let whole = count_lines(&batch.bytes[..written]);
            shared
                .lines_dropped
                .fetch_add(batch.lines.saturating_sub(whole), Ordering::Relaxed);
            line.torn |= written > 0 && batch.bytes[written - 1] != b'\n';
            if !line.failing {
                process::error(
                    "access log: writing failed, lines are dropped until it works again",
                    &[("error", &error)],
                );
            }
            line.failing = true;
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Writes everything, or says how much was written before the error.
fn write_all(sink: &mut dyn Sink, bytes: &[u8]) -> Result<(), (usize, std::io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return Err((written, std::io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

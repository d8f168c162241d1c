//! The log from end to end, with sinks that are slow, stuck or broken.

use super::*;
use std::sync::{Condvar, MutexGuard};

/// A sink in memory with a gate: while shut, writes block as those to a full pipe do.
#[derive(Clone, Default)]
struct Gated(Arc<(Mutex<GatedState>, Condvar)>);

#[derive(Default)]
struct GatedState {
    written: Vec<u8>,
    shut: bool,
    fails: bool,
    /// How many bytes one write takes, 0 = all.
    bite: usize,
    waiting: bool,
    reopened: u32,
}

impl Gated {
    fn state(&self) -> MutexGuard<'_, GatedState> {
        self.0.0.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut GatedState)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    fn wait_until(&self, reached: impl Fn(&GatedState) -> bool) {
        let state = self.state();
        let (_state, timeout) = self
            .0
            .1
            .wait_timeout_while(state, Duration::from_secs(20), |state| !reached(state))
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "the writer thread did not come so far"
        );
    }
}

impl Sink for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        while state.shut {
            state.waiting = true;
            self.0.1.notify_all();
            state = self.0.1.wait(state).unwrap();
        }
        if state.fails {
            state.waiting = true;
            self.0.1.notify_all();
            return Err(io::Error::other("disk full"));
        }
        let bite = if state.bite == 0 {
            bytes.len()
        } else {
            state.bite.min(bytes.len())
        };
        state.written.extend_from_slice(&bytes[..bite]);
        if state.bite != 0 {
            state.fails = true;
        }
        self.0.1.notify_all();
        Ok(bite)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.change(|state| state.reopened += 1);
        Ok(())
    }
}

const SOON: Duration = Duration::from_secs(20);

fn log_to(sink: &Gated, queue_bytes_max: usize) -> AccessLog {
    let format = Format::template("{target}").unwrap();
    AccessLog::to(Box::new(sink.clone()), format, queue_bytes_max).unwrap()
}

fn write_lines(writer: &mut LogWriter, count: u64) {
    for number in 0..count {
        let target = format!("/{number:0>62}");
        writer.record(&Record {
            target: target.as_bytes(),
            ..Record::default()
        });
    }
}

fn lines_of(bytes: &[u8]) -> u64 {
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"));
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[test]
fn everything_recorded_is_written_by_shutdown() {
    let sink = Gated::default();
    let log = log_to(&sink, 1 << 20);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| write_lines(&mut log.writer(), 2_500));
        }
    });
    assert!(log.shutdown(SOON));
    assert!(log.shutdown(SOON), "twice is no harm");
    assert_eq!(lines_of(&sink.state().written), 10_000);
    assert_eq!((log.lines_dropped(), log.queued_bytes()), (0, 0));
    write_lines(&mut log.writer(), 3);
    assert_eq!(log.lines_dropped(), 3, "too late, but counted");
}

#[test]
fn a_tick_brings_few_lines_out() {
    let sink = Gated::default();
    let log = log_to(&sink, 1 << 20);
    let mut writer = log.writer();
    write_lines(&mut writer, 1);
    assert_eq!(sink.state().written.len(), 0);
    writer.flush();
    sink.wait_until(|state| state.written.len() == 64);
    writer.flush();
    assert!(log.shutdown(SOON));
    assert_eq!(lines_of(&sink.state().written), 1);
}

#[test]
fn a_stuck_writer_costs_lines_and_neither_time_nor_memory() {
    let sink = Gated::default();
    sink.change(|state| state.shut = true);
    let log = log_to(&sink, 64 * 1_024);
    let mut writer = log.writer();
    // Flushes of single lines as well as full batches.
    for _ in 0..200 {
        write_lines(&mut writer, 1);
        writer.flush();
    }
    write_lines(&mut writer, 50_000);
    writer.flush();
    sink.wait_until(|state| state.waiting);
    assert!(log.queued_bytes() <= 64 * 1_024);
    let dropped = log.lines_dropped();
    assert!(dropped > 48_000, "{dropped}");
    assert!(writer.batch.capacity() < 64 * 1_024);
    assert!(!log.shutdown(Duration::from_millis(10)), "still stuck");
    sink.change(|state| state.shut = false);
    assert!(log.shutdown(SOON));
    assert_eq!(lines_of(&sink.state().written) + dropped, 50_200);
    assert_eq!(log.queued_bytes(), 0);
}

#[test]
fn a_queue_smaller_than_a_batch_still_carries_lines() {
    let sink = Gated::default();
    let log = log_to(&sink, 1);
    let mut writer = log.writer();
    write_lines(&mut writer, 1);
    writer.flush();
    assert!(log.shutdown(SOON));
    assert_eq!(lines_of(&sink.state().written), 1);
}

#[test]
fn failed_writes_are_counted_and_torn_lines_closed() {
    let sink = Gated::default();
    // The first write takes one line and a half, and everything fails after it.
    sink.change(|state| state.bite = 96);
    let log = log_to(&sink, 1 << 20);
    let mut writer = log.writer();
    write_lines(&mut writer, 3);
    writer.flush();
    sink.wait_until(|state| state.waiting);
    sink.change(|state| {
        state.fails = false;
        state.bite = 0;
    });
    write_lines(&mut writer, 2);
    writer.flush();
    assert!(log.shutdown(SOON));
    assert_eq!(log.lines_dropped(), 2);
    let state = sink.state();
    // Three whole lines and the torn one.
    assert_eq!(lines_of(&state.written), 4);
    assert_eq!(state.written.len(), 96 + 1 + 128);
}

#[test]
fn reopen_reaches_an_idle_and_a_busy_writer() {
    let sink = Gated::default();
    let log = log_to(&sink, 1 << 20);
    log.reopen();
    sink.wait_until(|state| state.reopened == 1);
    sink.change(|state| state.shut = true);
    let mut writer = log.writer();
    write_lines(&mut writer, 10);
    writer.flush();
    sink.wait_until(|state| state.waiting);
    log.reopen();
    sink.change(|state| state.shut = false);
    sink.wait_until(|state| state.reopened == 2);
    assert!(log.shutdown(SOON));
}

#[expect(clippy::disallowed_methods, reason = "a test has no worker to block")]
fn lines_in(path: &PathBuf) -> u64 {
    std::fs::read(path).map_or(0, |bytes| lines_of(&bytes))
}

#[test]
fn a_renamed_file_keeps_its_lines_and_a_new_one_begins() {
    let folder = std::env::temp_dir().join(format!("foregate-log-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("access.log");
    let old = folder.join("access.log.1");
    let _ = std::fs::remove_file(&path);
    let destination = Destination::File(path.clone());
    let log = AccessLog::open(&destination, Format::combined(), 1 << 20).unwrap();
    let mut writer = log.writer();
    write_lines(&mut writer, 3);
    writer.flush();
    let start = crate::clock::now();
    while lines_in(&path) < 3 && crate::clock::now().since(start) < SOON {
        std::thread::yield_now();
    }
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    while !path.exists() && crate::clock::now().since(start) < SOON {
        std::thread::yield_now();
    }
    write_lines(&mut writer, 2);
    writer.flush();
    assert!(log.shutdown(SOON));
    assert_eq!((lines_in(&old), lines_in(&path)), (3, 2));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let destination = Destination::File("/nonexistent/folder/access.log".into());
    assert!(AccessLog::open(&destination, Format::json(), 1).is_err());
}

#[test]
fn off_is_nothing_at_all() {
    let log = AccessLog::open(&Destination::Off, Format::combined(), 1 << 20).unwrap();
    let mut writer = log.writer();
    assert!(!writer.is_on());
    write_lines(&mut writer, 10);
    writer.flush();
    log.reopen();
    assert_eq!(writer.batch.capacity(), 0);
    assert!(log.shutdown(Duration::ZERO));
}

#[test]
fn metrics_tell_of_dropped_lines() {
    let sink = Gated::default();
    let log = log_to(&sink, 1 << 20);
    assert!(log.shutdown(SOON));
    write_lines(&mut log.writer(), 2);
    let mut out = Exposition::new();
    log.collect(&mut out);
    let text = out.finish();
    assert!(text.contains("\nforegate_access_log_lines_dropped_total 2\n"));
    assert!(text.contains("\nforegate_access_log_queued_bytes 0\n"));
}

//! One HTTP/2 connection: reading for all of its streams, serving each, writing for all of them.
//!
//! ```text
//!                     ┌─ event ─► lane ─► handler.serve(Http2Stream) ─┐
//!  socket ─► Driver ──┤           lane ─► …                           ├─► engine ─► Driver ─► socket
//!                     └─ wakes ─► lane ─► …                           ┘
//! ```
//! The driver is the connection's own task, which alone touches the socket. A lane is a task that serves the requests of
//! one slot of the engine, one after the other, so that a busy connection makes no task a request. Lanes queue in the
//! engine what they answer and wake the driver, which runs behind all of them and writes everything at once.

mod lane;
mod shared;
mod stream;
mod websocket;

#[cfg(test)]
mod tests;

use crate::connection::{Connection, SPARE_PAUSE, caught};
use crate::handler::Handler;
use crate::roll::Closing;
use foregate_message::{Chunk, Reason};
use foregate_telemetry::clock::{Moment, now, recent};
use foregate_wire::h2;
use lane::Request;
use shared::Shared;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;

/// How long a connection without streams keeps its state ready.
const ACTIVE_PAUSE: Duration = Duration::from_millis(50);

/// How often the engine looks at the time while something may take too long.
const TICK: Duration = Duration::from_secs(1);

/// How much longer than its streams a connection waits for a client that does not read: they tell the log.
const WRITE_GRACE: Duration = Duration::from_secs(1);

/// How often a connection whose client has closed its sending side is looked at: one that has left altogether answers the
/// GOAWAY with a reset, of which nobody is told while there is nothing to write.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Serves the connection to its end.
pub(crate) async fn run<H: Handler>(mut connection: Box<Connection>, handler: Rc<H>) {
    let at = now();
    let engine = {
        let limits = connection.enrolled.worker().limits();
        h2::Connection::server(limits.http2, at.millis())
    };
    let worker = Rc::clone(connection.enrolled.worker());
    let entry = connection.enrolled.entry();
    let shared = Rc::new(Shared::new(connection.take_peer(), engine, entry));
    connection.cells().http2.one();
    let mut driver = Driver {
        connection,
        shared,
        handler,
        requests: 0,
        began: at,
        quiet_since: Some(at),
        blocked_since: None,
        incomplete_since: None,
        open_block: None,
        half_closed_since: None,
        tick_at: at.plus(TICK),
        is_gone: false,
        is_told: false,
    };
    let end = caught(poll_fn(|cx| driver.poll(cx))).await;
    match end {
        Some(End::Linger) => driver.connection.linger().await,
        Some(End::Close) => {}
        None => {
            driver.shared.break_off();
            worker.panicked();
        }
    }
}

/// How a connection ended.
enum End {
    /// The client has gone, or does not read.
    Close,
    /// Let the client take what was written, then close.
    Linger,
}

/// The task that moves the bytes of a connection.
struct Driver<H> {
    connection: Box<Connection>,
    shared: Rc<Shared>,
    handler: Rc<H>,
    requests: u32,
    began: Moment,
    /// Since when no request is under way.
    quiet_since: Option<Moment>,
    /// Since when the socket has taken nothing of what is queued.
    blocked_since: Option<Moment>,
    /// Since when a frame or a field block has been incomplete.
    incomplete_since: Option<Moment>,
    /// The stream of that block.
    open_block: Option<u32>,
    /// Since when nothing has left for a client that has closed its sending side.
    half_closed_since: Option<Moment>,
    /// When the engine looks at the time next.
    tick_at: Moment,
    /// The socket is of no use any more.
    is_gone: bool,
    /// Whether the end of the connection has been counted.
    is_told: bool,
}

impl<H: Handler> Driver<H> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.shared.attend(cx);
        if !self.is_gone {
            self.drain_if_closing();
            if self.connection.enrolled.is_cut() {
                // GOAWAY, if there is room for it.
                let _ = self.write(cx);
                self.go();
            }
        }
        if !self.is_gone {
            match self.advance(cx) {
                Ok(true) => {
                    // Whoever was begun or woken runs first, so that one write takes what all of them queue.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(false) => {}
                Err(_) => self.go(),
            }
        }
        self.settle(cx)
    }

    fn drain_if_closing(&mut self) {
        if self.connection.enrolled.closing() != Closing::No {
            self.shared.engine().drain(now().millis());
        }
    }

    /// Reads and writes as far as the socket goes; true when that should wait until others have run.
    fn advance(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut begun = false;
        loop {
            begun |= self.receive();
            self.shared.wake_ready();
            let was_congested = self.shared.engine().is_congested();
            if begun {
                if was_congested || self.shared.engine().has_output() {
                    return Ok(true);
                }
            } else {
                self.write(cx)?;
            }
            if self.shared.engine().is_congested() {
                return Ok(false);
            }
            if was_congested && !self.connection.input.is_empty() {
                continue;
            }
            if self.half_closed_since.is_some() {
                return Ok(false);
            }
            match self.connection.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if self.owes() => self.half_close(),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
        }
    }

    /// Takes what has come; whether requests were among it.
    fn receive(&mut self) -> bool {
        if self.connection.input.is_empty() {
            return false;
        }
        if self.connection.follow() {
            self.connection.judge(self.shared.peer());
        }
        let at = now();
        let before = self.connection.input.len();
        let mut begun = false;
        let broken = loop {
            let input = &mut self.connection.input;
            let event = self.shared.engine().receive(input, at.millis());
            match event {
                Ok(Some(h2::Event::Request { key, head, facts })) => {
                    begun = true;
                    self.requests = self.requests.saturating_add(1);
                    let request = Request {
                        key,
                        head,
                        facts,
                        at,
                    };
                    let worker = self.connection.enrolled.worker();
                    lane::begin(&self.shared, request, worker, &self.handler);
                }
                Ok(Some(h2::Event::Settings | h2::Event::Goaway)) => {}
                Ok(None) => break None,
                Err(failure) => break Some(failure.reason),
            }
        };
        if let Some(reason) = broken {
            // GOAWAY is queued, and the streams know; nothing more is read.
            self.connection.input = Chunk::default();
            self.tell(reason);
        }
        self.judge_input(at, self.connection.input.len() < before);
        if begun {
            self.quiet_since = None;
            let max = self
                .connection
                .enrolled
                .worker()
                .limits()
                .requests_per_connection_max;
            if max.is_some_and(|max| self.requests >= max) {
                self.shared.engine().drain(at.millis());
            }
        }
        begun
    }

    /// Notes since when the client has left something incomplete; another frame or block than before, as is there when
    /// some were `taken`, has a time of its own.
    fn judge_input(&mut self, at: Moment, taken: bool) {
        let engine = self.shared.engine();
        let block = engine.open_block();
        let is_whole = self.connection.input.is_empty() && block.is_none();
        let is_same = match block {
            Some(_) => block == self.open_block,
            None => !taken,
        };
        if is_whole || engine.is_congested() {
            self.incomplete_since = None;
        } else if is_same {
            self.incomplete_since.get_or_insert(at);
        } else {
            self.incomplete_since = Some(at);
        }
        self.open_block = block;
    }

    /// Ends a connection whose client has left something incomplete for too long: nothing else can be read meanwhile,
    /// whatever streams are under way. By when to look again.
    fn end_incomplete(&mut self, head_timeout: Duration, at: Moment) -> Moment {
        let Some(since) = self.incomplete_since else {
            return Moment::NEVER;
        };
        let mut engine = self.shared.engine();
        if engine.failure().is_some() {
            return Moment::NEVER;
        }
        // Nothing is read from a client that takes nothing.
        if engine.is_congested() {
            self.incomplete_since = Some(at);
            return Moment::NEVER;
        }
        let until = since.plus(head_timeout);
        if until > at {
            return until;
        }
        engine.give_up(Reason::HeadTimeout);
        drop(engine);
        self.connection.input = Chunk::default();
        self.tell(Reason::HeadTimeout);
        self.shared.wake_ready();
        at
    }

    /// Writes what is queued, as far as the socket takes it.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut engine = self.shared.engine();
        loop {
            let output = engine.output();
            if output.is_empty() {
                self.blocked_since = None;
                break;
            }
            match Pin::new(&mut self.connection.stream).poll_write(cx, output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(bytes)) => {
                    engine.wrote(bytes);
                    self.connection.cells().bytes_out.add(bytes as u64);
                    self.blocked_since = None;
                    if let Some(since) = &mut self.half_closed_since {
                        *since = now();
                    }
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(now);
                    break;
                }
            }
        }
        drop(engine);
        self.shared.wake_ready();
        Ok(())
    }

    /// Whether the client waits for anything: for an answer, or for what is left of one whose stream is over.
    fn owes(&self) -> bool {
        self.shared.is_serving() || self.shared.engine().has_output()
    }

    /// The client has closed its sending side, and is answered what it has asked for.
    fn half_close(&mut self) {
        let at = now();
        self.half_closed_since = Some(at);
        self.connection.input = Chunk::default();
        self.incomplete_since = None;
        self.shared.engine().finished_by_peer(at.millis());
        self.shared.wake_ready();
    }

    /// Whether a client that has closed its sending side has left, or has waited for too long; else by when to look again.
    fn half_closed_until(&self, timeout: Duration, at: Moment) -> Result<Moment, io::Error> {
        let Some(since) = self.half_closed_since else {
            return Ok(Moment::NEVER);
        };
        if let Some(error) = self.connection.stream.socket().take_error()? {
            return Err(error);
        }
        // What has not left yet has a time of its own.
        if self.blocked_since.is_some() {
            return Ok(at.plus(LOOK_INTERVAL));
        }
        match since.plus(timeout) {
            until if until <= at => Err(io::ErrorKind::TimedOut.into()),
            until => Ok(until.min(at.plus(LOOK_INTERVAL))),
        }
    }

    /// The socket is of no use any more: whoever serves a stream is told.
    fn go(&mut self) {
        self.is_gone = true;
        self.connection.input = Chunk::default();
        self.shared.engine().closed_by_peer();
        self.shared.wake_ready();
    }

    /// Counts why the connection was ended.
    fn tell(&mut self, reason: Reason) {
        if !std::mem::replace(&mut self.is_told, true) {
            self.connection.shard.connection_failed(reason.index());
        }
    }

    /// What there is to wait for, now that nothing is to be done.
    fn settle(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.shared.is_serving() {
            self.quiet_since = None;
        } else if self.is_gone {
            self.shared.send_lanes_home();
            return Poll::Ready(End::Close);
        } else if self.shared.engine().is_finished() {
            let failure = self.shared.engine().failure();
            if let Some(failure) = failure {
                self.tell(failure.reason);
            }
            self.shared.send_lanes_home();
            return Poll::Ready(End::Linger);
        }
        if self.connection.input.is_empty() {
            self.connection.input = Chunk::default();
        }
        let at = recent();
        self.shared.engine().tell_time(at.millis());
        let next = self.look_at_time(at);
        if next <= at {
            // Something was queued or has ended.
            cx.waker().wake_by_ref();
        } else {
            self.connection.deadline.set(next);
            let _ = self.connection.deadline.poll_expired(cx);
        }
        Poll::Pending
    }

    /// Ends what has taken too long; by when to look again, which is at once if something has changed.
    fn look_at_time(&mut self, at: Moment) -> Moment {
        let limits = self.connection.enrolled.worker().limits();
        if self.is_gone {
            return Moment::NEVER;
        }
        let mut next = Moment::NEVER;
        if let Some(since) = self.blocked_since {
            let until = since.plus(limits.write_timeout).plus(WRITE_GRACE);
            if until <= at {
                self.tell(Reason::WriteTimeout);
                self.go();
                return at;
            }
            next = next.min(until);
        }
        match self.half_closed_until(limits.half_close_timeout, at) {
            Ok(until) => next = next.min(until),
            Err(_) => {
                self.go();
                return at;
            }
        }
        next = next.min(self.end_incomplete(limits.head_timeout, at));
        if next <= at {
            return at;
        }
        let is_quiet = !self.shared.is_serving();
        let is_ending = self.shared.engine().is_ending();
        if is_quiet && !is_ending {
            let since = *self.quiet_since.get_or_insert(at);
            let timeout = match self.requests {
                0 => limits.head_timeout,
                _ => limits.idle_timeout,
            };
            let idle_until = match self.connection.is_wanted() {
                true => since.plus(timeout.min(SPARE_PAUSE)),
                false => since.plus(timeout),
            };
            if idle_until <= at {
                self.shared.engine().drain(at.millis());
                return at;
            }
            next = next.min(self.rest(since, at)).min(idle_until);
        }
        // Streams, ends and the first settings are what the engine watches.
        let young_until = self
            .began
            .plus_millis(limits.http2.settings_timeout_ms)
            .plus(TICK);
        if is_quiet && !is_ending && at >= young_until {
            return next;
        }
        if (at >= self.tick_at || is_ending) && self.tick(at) {
            return at;
        }
        next.min(self.tick_at)
    }

    /// Has the engine look at the time; whether it did something about it.
    fn tick(&mut self, at: Moment) -> bool {
        self.tick_at = at.plus(TICK);
        let failed = self.shared.engine().tick(at.millis()).err();
        if let Some(failure) = failed {
            self.tell(failure.reason);
        }
        self.shared.wake_ready();
        let engine = self.shared.engine();
        engine.is_finished() || !engine.is_written() && self.blocked_since.is_none()
    }

    /// Frees what only a busy connection needs, once it has paused for a moment.
    fn rest(&mut self, since: Moment, at: Moment) -> Moment {
        let rest_at = since.plus(ACTIVE_PAUSE);
        if self.shared.is_at_rest() && self.shared.engine().is_at_rest() {
            return Moment::NEVER;
        }
        if rest_at > at {
            return rest_at;
        }
        self.shared.send_lanes_home();
        self.shared.engine().rest();
        if let Some(shared) = Rc::get_mut(&mut self.shared) {
            shared.rest();
            return Moment::NEVER;
        }
        // The last lane to leave makes this look again.
        Moment::NEVER
    }
}

//! A blocking connection, in cleartext or by TLS, with a read buffer and a deadline on every wait.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// What may lie consumed at the front of a buffer before it is moved away.
const COMPACT_BYTES: usize = 1 << 20;

/// Why reading or writing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The other side closed its sending direction.
    Closed,
    /// The other side reset the connection (or it was already gone when written to).
    Reset,
    /// Nothing came before the deadline.
    Late,
    /// What came is not HTTP/1.1 by the strict reading; says why.
    Malformed(String),
    /// Another error of the system.
    Io(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Trouble::Late,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                Trouble::Reset
            }
            ErrorKind::UnexpectedEof => Trouble::Closed,
            _ => Trouble::Io(error.to_string()),
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    stream: Arc<TcpStream>,
    /// The TLS session above the socket, if there is one.
    tls: Option<Box<rustls::Connection>>,
    /// Whether it ends without a word.
    ends_rudely: Cell<bool>,
    buffer: Vec<u8>,
    consumed: usize,
    patience: Duration,
    received: Option<Arc<AtomicU64>>,
}

impl Connection {
    /// Wraps a connected socket; waits are bounded by [`PATIENCE`] each.
    pub fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(PATIENCE));
        Self {
            stream: Arc::new(stream),
            tls: None,
            ends_rudely: Cell::new(false),
            buffer: Vec::new(),
            consumed: 0,
            patience: PATIENCE,
            received: None,
        }
    }

    /// Holds a handshake; from then on the session's bytes are spoken of.
    pub(crate) fn secured(mut self, session: rustls::Connection) -> Result<Self, Trouble> {
        let mut session = Box::new(session);
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let done = session.complete_io(&mut &*self.stream);
        self.ends_rudely.set(done.is_err());
        self.tls = Some(session);
        done?;
        Ok(self)
    }

    /// Also counts every byte read into `counter`.
    pub(crate) fn counting(mut self, counter: Arc<AtomicU64>) -> Self {
        self.received = Some(counter);
        self
    }

    /// Changes how long a read may wait.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        let _ = self
            .stream
            .set_write_timeout(Some(patience.max(Duration::from_millis(1))));
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The socket for someone who may want to shut it while this connection lives, and does not keep it open.
    pub(crate) fn handle(&self) -> Weak<TcpStream> {
        Arc::downgrade(&self.stream)
    }

    /// This end's address.
    pub fn local_address(&self) -> SocketAddr {
        self.stream
            .local_addr()
            .expect("a connected socket has a local address")
    }

    /// Sends bytes; blocks while the other side does not take them.
    ///
    /// # Errors
    /// When the other side is gone, or takes nothing for the patience.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Trouble> {
        let mut left = bytes.as_ref();
        while !left.is_empty() {
            let taken = self.write(left)?;
            left = &left[taken..];
        }
        Ok(())
    }

    /// Writes once; how many bytes were taken.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = &*self.stream;
        let Some(tls) = &mut self.tls else {
            return socket.write(bytes);
        };
        let taken = tls.writer().write(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut socket)?;
        }
        Ok(taken)
    }

    /// Reads once; 0 at the end.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut socket = &*self.stream;
        let Some(tls) = &mut self.tls else {
            return socket.read(bytes);
        };
        loop {
            match tls.reader().read(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            tls.read_tls(&mut socket)?;
            let processed = tls.process_new_packets();
            // Alerts, and what keys it takes to go on.
            while tls.wants_write() {
                tls.write_tls(&mut socket)?;
            }
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }

    /// Sends as many of `bytes` as the socket takes without waiting longer than `patience`; how many it took.
    pub fn send_some(&mut self, bytes: &[u8], patience: Duration) -> usize {
        let _ = self.stream.set_write_timeout(Some(patience));
        let mut sent = 0;
        while sent < bytes.len() {
            match self.write(&bytes[sent..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => sent += count,
            }
        }
        let _ = self.stream.set_write_timeout(Some(self.patience));
        sent
    }

    /// Bytes read from the socket but not yet asked for.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    /// Reads once more into the buffer, waiting at most until `deadline`.
    fn fill(&mut self, deadline: Instant) -> Result<(), Trouble> {
        if self.consumed == self.buffer.len() || self.consumed > COMPACT_BYTES {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Trouble::Late);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 64 * 1024];
        let count = self.read(&mut chunk)?;
        if count == 0 {
            return Err(Trouble::Closed);
        }
        if let Some(counter) = &self.received {
            counter.fetch_add(count as u64, Ordering::SeqCst);
        }
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    /// Takes a line up to and without its CRLF.
    ///
    /// # Errors
    /// A bare CR or LF is malformed; the end of the stream is [`Trouble::Closed`].
    pub fn line(&mut self) -> Result<Vec<u8>, Trouble> {
        let deadline = Instant::now() + self.patience;
        let mut searched = 0;
        loop {
            let buffered = self.buffered();
            if let Some(at) = buffered[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map(|at| at + searched)
            {
                let line = buffered[..at].to_vec();
                self.consumed += at + 1;
                return match line.split_last() {
                    Some((b'\r', rest)) if !rest.contains(&b'\r') => Ok(rest.to_vec()),
                    _ => Err(Trouble::Malformed(format!(
                        "bare CR or LF in {:?}",
                        String::from_utf8_lossy(&line)
                    ))),
                };
            }
            searched = buffered.len();
            self.fill(deadline)?;
        }
    }

    /// Takes exactly `count` bytes.
    ///
    /// # Errors
    /// [`Trouble::Closed`] when the stream ends before.
    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, Trouble> {
        let mut taken = Vec::with_capacity(count.min(1 << 20));
        while taken.len() < count {
            if self.buffered().is_empty() {
                self.fill(Instant::now() + self.patience)?;
            }
            let buffered = self.buffered();
            let count = buffered.len().min(count - taken.len());
            taken.extend_from_slice(&buffered[..count]);
            self.consumed += count;
        }
        Ok(taken)
    }

    /// Waits for bytes without taking them; false at the end of the stream.
    ///
    /// # Errors
    /// Reset, or nothing for the patience.
    pub fn wait_readable(&mut self) -> Result<bool, Trouble> {
        if !self.buffered().is_empty() {
            return Ok(true);
        }
        match self.fill(Instant::now() + self.patience) {
            Ok(()) => Ok(true),
            Err(Trouble::Closed) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Takes everything up to the end of the stream.
    ///
    /// # Errors
    /// Reset, or nothing for the patience.
    pub fn take_rest(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut rest = Vec::new();
        loop {
            rest.extend_from_slice(self.buffered());
            self.consumed = self.buffer.len();
            match self.fill(Instant::now() + self.patience) {
                Ok(()) => {}
                Err(Trouble::Closed) => return Ok(rest),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Reads and throws away until the other side is gone, however it goes.
    pub fn drain(&mut self) {
        loop {
            self.consumed = self.buffer.len();
            match self.fill(Instant::now() + self.patience) {
                Ok(()) | Err(Trouble::Late) => {}
                Err(_) => return,
            }
        }
    }

    /// Shuts the sending direction; reading goes on.
    pub fn finish_sending(&mut self) {
        self.say_goodbye();
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends a TLS session's sending direction in order (RFC 8446 §6.1).
    fn say_goodbye(&mut self) {
        let mut socket = &*self.stream;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() && tls.write_tls(&mut socket).is_ok() {}
        }
    }

    /// Makes the close of this connection, whenever it comes, like a cut of its wire: a TLS session is not ended before.
    pub fn cut_on_close(&self) {
        self.ends_rudely.set(true);
    }

    /// Closes the connection as if its wire were cut.
    pub fn cut(self) {
        self.cut_on_close();
    }

    /// Makes the close of this connection, whenever it comes, a reset.
    pub fn reset_on_close(&self) {
        self.ends_rudely.set(true);
        let _ = socket2::SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Ends the connection with a reset instead of an orderly close.
    pub fn reset(self) {
        self.reset_on_close();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.tls.is_some() && !self.ends_rudely.get() {
            // Nobody waits for a side that reads nothing.
            let _ = self.stream.set_nonblocking(true);
            self.say_goodbye();
        }
    }
}

/// Whether the other side has closed, as far as the system knows by now. Whoever else reads the socket is not disturbed.
#[must_use]
pub fn has_ended(stream: &TcpStream) -> bool {
    const PEEK_AND_DONT_WAIT: i32 = 0x02 | 0x40;
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let socket = socket2::SockRef::from(stream);
    match socket.recv_with_flags(&mut byte, PEEK_AND_DONT_WAIT) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

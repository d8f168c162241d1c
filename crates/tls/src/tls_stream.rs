//! An encrypted socket.

use crate::handshake::{Failure, Handshake, Progress};
use crate::session::Session;
use crate::socket;
use crate::stream::{Alpn, lend_room};
use foregate_eventloop::TcpStream;
use foregate_message::{CHUNK_BYTES, Chunk, TlsFacts};
use rustls::server::UnbufferedServerConnection;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is sealed at once before the handshake is done.
const EARLY_WRITE_BYTES: usize = 16 * 1024;

/// How much is read at once before the handshake is done.
const EARLY_READ_BYTES: usize = 4 * 1024;

/// How far a connection is.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are done, and are boxed with their socket already"
)]
pub(crate) enum State {
    /// Its handshake is done.
    Done(Session),
    /// The client has sent early data and may be answered; its handshake goes on.
    Early(Box<Handshake<UnbufferedServerConnection>>),
    /// Its handshake failed in the middle of early data.
    Broken,
}

/// A socket after its handshake.
///
/// A connection that rests holds its keys and nothing else: buffers are lent for the moment between a socket's call and
/// the next, or while a record is incomplete or the peer takes nothing.
pub struct TlsStream {
    socket: TcpStream,
    state: State,
    /// Bytes that a pending write has sealed: they are the writer's again once they have been sent.
    promised: usize,
    alpn: Alpn,
    facts: Option<Box<TlsFacts>>,
}

impl TlsStream {
    pub(crate) fn new(
        socket: TcpStream,
        state: State,
        alpn: Alpn,
        facts: Option<Box<TlsFacts>>,
    ) -> Box<TlsStream> {
        Box::new(TlsStream {
            socket,
            state,
            promised: 0,
            alpn,
            facts,
        })
    }

    #[inline]
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn alpn(&self) -> Alpn {
        self.alpn
    }

    pub(crate) fn facts(&self) -> Option<&TlsFacts> {
        self.facts.as_deref()
    }

    pub(crate) fn take_facts(&mut self) -> Option<Box<TlsFacts>> {
        self.facts.take()
    }

    pub(crate) fn is_early(&self) -> bool {
        matches!(self.state, State::Early(_))
    }

    #[inline]
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let readable = match &self.state {
            State::Done(session) => session.is_readable(),
            State::Early(handshake) => !handshake.flow.early.is_empty(),
            State::Broken => true,
        };
        if readable {
            return Poll::Ready(());
        }
        self.socket.poll_read_ready(cx)
    }

    /// As [`crate::Stream::is_quiet`].
    pub(crate) fn is_quiet(&mut self, verify: bool, cx: &mut Context<'_>) -> bool {
        let State::Done(session) = &mut self.state else {
            return false;
        };
        loop {
            match session.settle() {
                Ok(false) if !session.input.is_empty() => return false,
                Ok(false) => {}
                _ => return false,
            }
            let ready = self.socket.poll_read_ready(cx).is_ready();
            if !ready && !verify {
                return true;
            }
            let input = &mut session.input;
            make_room(input, false);
            let read = if ready {
                self.socket.try_read(input.room())
            } else {
                peek(&self.socket)
            };
            match read {
                Ok(bytes @ 1..) if ready => input.filled(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    give_back(input);
                    return true;
                }
                _ => return false,
            }
        }
    }

    /// As [`crate::Stream::poll_fill`].
    pub(crate) fn poll_fill(
        &mut self,
        input: &mut Chunk,
        long: bool,
        bytes_max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if matches!(&self.state, State::Done(session) if !session.is_readable()) {
            ready!(self.poll_records(long, cx))?;
        }
        lend_room(input, long);
        let room = input.room();
        let most = room.len().min(bytes_max);
        let mut buffer = ReadBuf::new(&mut room[..most]);
        let read = Pin::new(self).poll_read(cx, &mut buffer);
        let bytes = buffer.filled().len();
        input.filled(bytes);
        give_back(input);
        ready!(read)?;
        Poll::Ready(Ok(bytes))
    }

    /// One read from the socket, of what is still to be opened.
    fn poll_records(&mut self, long: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State::Done(session) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let input = &mut session.input;
        let filled = socket::poll_fill(&self.socket, cx, input, usize::MAX, |input| {
            make_room(input, long);
        });
        if session.take_urgent() {
            self.send_now();
        }
        if ready!(filled)? == 0 {
            // Whoever cut the connection may not be the peer: what came so far is not whole (RFC 8446 §6.1).
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// Moves what is sealed to the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let bytes = self.state.to_send();
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let sent = ready!(socket::poll_write(&self.socket, cx, bytes))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.state.sent(sent);
        }
    }

    /// Sends what is sealed as far as the socket takes it at once: nobody will wait for it.
    fn send_now(&mut self) {
        while !self.state.to_send().is_empty() {
            match self.socket.try_write(self.state.to_send()) {
                Ok(sent @ 1..) => self.state.sent(sent),
                _ => return,
            }
        }
    }

    /// Tells the peer that nothing more will come, without waiting for it.
    pub(crate) fn close_now(&mut self) {
        if self.promised == 0 {
            self.close();
            self.send_now();
        }
    }

    /// Seals that nothing more will come, once. Also before the handshake is done: an answer to early data is whole, too.
    fn close(&mut self) {
        match &mut self.state {
            State::Done(session) => session.close(),
            State::Early(handshake) => {
                // Where it may not be said, what follows fails as it would have.
                let _ = handshake.close();
            }
            State::Broken => {}
        }
    }

    /// Reads while the handshake goes on. Returns without anything once it is done.
    fn poll_read_early(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while let State::Early(handshake) = &mut self.state {
            let early = &mut handshake.flow.early;
            if !early.is_empty() {
                let bytes = early.len().min(buffer.remaining());
                buffer.put_slice(&early[..bytes]);
                early.drain(..bytes);
                return Poll::Ready(Ok(()));
            }
            match handshake.advance() {
                Ok(Progress::Done) => self.finish()?,
                Ok(Progress::Blocked) if !handshake.flow.early.is_empty() => {}
                Ok(Progress::Blocked) => {
                    let mut room = [0; EARLY_READ_BYTES];
                    let mut read = ReadBuf::new(&mut room);
                    ready!(socket::poll_read(&self.socket, cx, &mut read))?;
                    if read.filled().is_empty() {
                        return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
                    }
                    handshake.received(read.filled());
                }
                Err(failure) => return Poll::Ready(Err(self.fail(&failure))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The handshake behind early data is done.
    fn finish(&mut self) -> io::Result<()> {
        if let State::Early(handshake) = std::mem::replace(&mut self.state, State::Broken) {
            let session = handshake.into_session().map_err(io::Error::other)?;
            self.state = State::Done(session);
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure) -> io::Error {
        self.send_now();
        self.state = State::Broken;
        let what = format!("the TLS handshake failed behind early data: {failure:?}");
        io::Error::new(ErrorKind::InvalidData, what)
    }

    /// Seals the front of `slices`; how many bytes of them.
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.state {
            State::Done(session) => session.write(slices),
            State::Early(handshake) => {
                let Some(slice) = slices.iter().find(|slice| !slice.is_empty()) else {
                    return Ok(0);
                };
                let part = &slice[..slice.len().min(EARLY_WRITE_BYTES)];
                match handshake.seal(part) {
                    Ok(true) => Ok(part.len()),
                    Ok(false) => Err(ErrorKind::BrokenPipe.into()),
                    Err(failure) => Err(self.fail(&failure)),
                }
            }
            State::Broken => Err(ErrorKind::BrokenPipe.into()),
        }
    }
}

impl State {
    fn to_send(&self) -> &[u8] {
        match self {
            State::Done(session) => session.to_send(),
            State::Early(handshake) => &handshake.flow.outgoing,
            State::Broken => &[],
        }
    }

    fn sent(&mut self, bytes: usize) {
        match self {
            State::Done(session) => session.sent(bytes),
            State::Early(handshake) => drop(handshake.flow.outgoing.drain(..bytes)),
            State::Broken => {}
        }
    }
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("TlsStream");
        text.field("socket", &self.socket).field("alpn", &self.alpn);
        if let State::Done(session) = &self.state {
            text.field("session", session);
        }
        text.finish_non_exhaustive()
    }
}

fn peek(socket: &TcpStream) -> io::Result<usize> {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    socket2::SockRef::from(socket).peek(&mut byte)
}

/// A lent buffer with room for at least the rest of a record.
fn make_room(input: &mut Chunk, long: bool) {
    if !input.is_lent() {
        *input = if long {
            Chunk::lend_large()
        } else {
            Chunk::lend()
        };
    } else if input.room().len() < CHUNK_BYTES / 4 {
        input.compact();
    }
}

/// A connection that waits holds no buffer.
fn give_back(input: &mut Chunk) {
    if input.is_empty() {
        *input = Chunk::default();
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let long = buffer.remaining() > CHUNK_BYTES;
        loop {
            let State::Done(session) = &mut stream.state else {
                if matches!(stream.state, State::Broken) {
                    return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
                }
                let before = buffer.filled().len();
                ready!(stream.poll_read_early(cx, buffer))?;
                if buffer.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
                continue;
            };
            let bytes = match session.read(buffer.initialize_unfilled()) {
                Ok(bytes) => bytes,
                Err(error) => {
                    stream.send_now();
                    return Poll::Ready(Err(error));
                }
            };
            if bytes > 0 || session.peer_closed() {
                buffer.advance(bytes);
                if session.take_urgent() {
                    stream.send_now();
                }
                return Poll::Ready(Ok(()));
            }
            ready!(stream.poll_records(long, cx))?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// A write that is pending has sealed its bytes already: it must be repeated with the same ones. Whatever of them the
    /// socket has taken meanwhile is told at once, so that whoever watches over slow readers sees them read.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if stream.promised == 0 {
            // What waits for the next write goes along with it.
            if !matches!(&stream.state, State::Done(session) if session.is_sent()) {
                ready!(stream.poll_send(cx))?;
            }
            stream.promised = stream.seal(slices)?;
        }
        debug_assert!(stream.promised <= slices.iter().map(|slice| slice.len()).sum());
        let before = stream.state.to_send().len();
        match stream.poll_send(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(std::mem::take(&mut stream.promised))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let sent = before.saturating_sub(stream.state.to_send().len());
                // The last byte is kept until all are sent.
                let told = sent.min(stream.promised.saturating_sub(1));
                if told == 0 {
                    return Poll::Pending;
                }
                stream.promised -= told;
                Poll::Ready(Ok(told))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.close();
        ready!(stream.poll_send(cx))?;
        Pin::new(&mut stream.socket).poll_shutdown(cx)
    }
}

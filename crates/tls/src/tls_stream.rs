//! An encrypted socket.

use crate::session::Session;
use crate::stream::Alpn;
use foregate_message::{CHUNK_BYTES, Chunk, TlsFacts};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket after its handshake.
///
/// A connection that rests holds its keys and nothing else: buffers are lent for the moment between a socket's call and
/// the next, or while a record is incomplete or the peer takes nothing.
#[derive(Debug)]
pub struct TlsStream {
    socket: TcpStream,
    session: Session,
    /// Bytes that a pending write has sealed: they are the writer's again once they have been sent.
    promised: usize,
    alpn: Alpn,
    facts: Option<Box<TlsFacts>>,
}

impl TlsStream {
    pub(crate) fn new(
        socket: TcpStream,
        session: Session,
        alpn: Alpn,
        facts: Option<Box<TlsFacts>>,
    ) -> Box<TlsStream> {
        Box::new(TlsStream {
            socket,
            session,
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

    #[inline]
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.is_readable() {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_read_ready(cx)
    }

    /// One read from the socket into the session's input. Zero bytes are its end.
    fn poll_fill(&mut self, long: bool, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let input = &mut self.session.input;
        make_room(input, long);
        let mut buffer = ReadBuf::new(input.room());
        let read = Pin::new(&mut self.socket).poll_read(cx, &mut buffer);
        let bytes = buffer.filled().len();
        input.filled(bytes);
        give_back(input);
        ready!(read)?;
        Poll::Ready(Ok(bytes))
    }

    /// As [`crate::Stream::is_quiet`].
    pub(crate) fn is_quiet(&mut self, verify: bool, cx: &mut Context<'_>) -> bool {
        loop {
            match self.session.settle() {
                Ok(false) if !self.session.input.is_empty() => return false,
                Ok(false) => {}
                _ => return false,
            }
            let ready = self.socket.poll_read_ready(cx).is_ready();
            if !ready && !verify {
                return true;
            }
            let input = &mut self.session.input;
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

    /// Moves what is sealed to the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.to_send().is_empty() {
            let bytes = self.session.to_send();
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.session.sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is sealed as far as the socket takes it at once: nobody will wait for it.
    fn send_now(&mut self) {
        while !self.session.to_send().is_empty() {
            match self.socket.try_write(self.session.to_send()) {
                Ok(sent @ 1..) => self.session.sent(sent),
                _ => return,
            }
        }
    }

    /// Tells the peer that nothing more will come, without waiting for it.
    pub(crate) fn close_now(&mut self) {
        if self.promised == 0 {
            self.session.close();
            self.send_now();
        }
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
            let read = stream.session.read(buffer.initialize_unfilled());
            let bytes = match read {
                Ok(bytes) => bytes,
                Err(error) => {
                    stream.send_now();
                    return Poll::Ready(Err(error));
                }
            };
            if stream.session.take_urgent() {
                stream.send_now();
            }
            if bytes > 0 || stream.session.peer_closed() {
                buffer.advance(bytes);
                return Poll::Ready(Ok(()));
            }
            if ready!(stream.poll_fill(long, cx))? == 0 {
                // Whoever cut the connection may not be the peer: what came so far is not whole (RFC 8446 §6.1).
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
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

    /// A write that is pending has sealed its bytes already: it must be repeated with the same ones.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if stream.promised == 0 {
            if !stream.session.is_sent() {
                ready!(stream.poll_send(cx))?;
            }
            stream.promised = stream.session.write(slices)?;
        }
        debug_assert!(stream.promised <= slices.iter().map(|slice| slice.len()).sum());
        ready!(stream.poll_send(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut stream.promised)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.session.close();
        ready!(stream.poll_send(cx))?;
        Pin::new(&mut stream.socket).poll_shutdown(cx)
    }
}

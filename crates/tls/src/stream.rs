//! A socket, encrypted or not.

use crate::{TlsStream, socket};
use foregate_eventloop::TcpStream;
use foregate_message::{Chunk, TlsFacts};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Which protocol both ends agreed on in the handshake (RFC 7301).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Alpn {
    /// None was agreed on.
    #[default]
    None,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A connected socket as `downstream` and `upstream` use it, whether or not it is encrypted.
#[derive(Debug)]
pub enum Stream {
    /// Cleartext.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// The socket below, for its options and its address.
    #[inline]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.socket(),
        }
    }

    /// Whether the peer has neither closed the connection nor sent anything on it that is for the application. Costs no
    /// system call unless the loop has seen something, or `verify` asks for one.
    pub fn is_quiet(&mut self, verify: bool) -> bool {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                return stream.is_quiet(verify, &mut cx);
            }
        };
        if verify {
            let mut byte = [std::mem::MaybeUninit::uninit()];
            let peeked = socket2::SockRef::from(&*socket).peek(&mut byte);
            return peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        }
        // Asks the kernel only where the loop has seen something since the last read that found nothing.
        let read = socket.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Ready when a read may find something. Cheaper than a read that finds nothing.
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Stream::Plain(socket) => socket.poll_read_ready(cx),
            Stream::Tls(stream) => stream.poll_read_ready(cx),
        }
    }

    /// One read of at most `bytes_max` bytes into the free room of `input`, which borrows a buffer only while there is something
    /// to hold: a large one if what comes is `long`. Zero bytes are the end.
    #[inline]
    pub fn poll_fill(
        &mut self,
        input: &mut Chunk,
        long: bool,
        bytes_max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(socket) => socket::poll_fill(socket, cx, input, bytes_max, |input| {
                lend_room(input, long);
            }),
            Stream::Tls(stream) => stream.poll_fill(input, long, bytes_max, cx),
        }
    }

    /// The protocol that the handshake agreed on.
    #[inline]
    pub fn alpn(&self) -> Alpn {
        match self {
            Stream::Plain(_) => Alpn::None,
            Stream::Tls(stream) => stream.alpn(),
        }
    }

    /// What the handshake settled.
    pub fn facts(&self) -> Option<&TlsFacts> {
        match self {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.facts(),
        }
    }

    /// Hands over what the handshake settled, for the one who describes the peer.
    pub fn take_facts(&mut self) -> Option<Box<TlsFacts>> {
        match self {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.take_facts(),
        }
    }

    /// Whether what was read last came as early data whose handshake is still going on: anyone can have sent it, any
    /// number of times (RFC 8470).
    pub fn is_early(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.is_early(),
        }
    }

    /// Tells the peer, as far as the socket takes it at once, that nothing more will come. For a connection that is
    /// about to be dropped in order; one that is dropped without looks cut off, as it should after a fault.
    pub fn close_now(&mut self) {
        if let Stream::Tls(stream) = self {
            stream.close_now();
        }
    }
}

/// Room behind a run, in a buffer of its own if it has none.
#[inline]
pub(crate) fn lend_room(input: &mut Chunk, long: bool) {
    if !input.is_lent() {
        *input = if long {
            Chunk::lend_large()
        } else {
            Chunk::lend()
        };
    } else if input.room().is_empty() {
        input.make_room();
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => socket::poll_read(socket, cx, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => socket::poll_write(socket, cx, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

//! A socket, encrypted or not.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connected socket as `downstream` and `upstream` use it, whether or not it is encrypted.
#[derive(Debug)]
pub enum Stream {
    /// Cleartext.
    Plain(TcpStream),
}

impl Stream {
    /// The socket below, for its options and its address.
    #[inline]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
        }
    }

    /// Whether the peer has neither closed the connection nor sent anything on it that is for the application. Costs no
    /// system call unless the reactor has seen something, or `verify` asks for one.
    pub fn is_quiet(&mut self, verify: bool) -> bool {
        let Stream::Plain(socket) = self;
        let mut cx = Context::from_waker(Waker::noop());
        match socket.poll_read_ready(&mut cx) {
            Poll::Pending if !verify => true,
            Poll::Pending => {
                let mut byte = [std::mem::MaybeUninit::uninit()];
                let peeked = socket2::SockRef::from(&*socket).peek(&mut byte);
                peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            }
            // Readiness can be left over from the last read; only a read can tell.
            Poll::Ready(_) => {
                let read = socket.try_read(&mut [0]);
                read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            }
        }
    }

    /// Ready when a read may find something. Cheaper than a read that finds nothing.
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(socket) => socket.poll_read_ready(cx),
        }
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
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
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
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
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
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

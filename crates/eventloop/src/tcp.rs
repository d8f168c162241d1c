//! Sockets.

use crate::source::{Source, Way};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, acceptfrom_with, connect, socket_with, sockopt,
};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connected socket of this thread's loop.
#[derive(Debug)]
pub struct TcpStream {
    // Its place is given up before it is closed: no event of another socket is taken for one of its own.
    source: Source,
    socket: std::net::TcpStream,
}

impl TcpStream {
    /// Takes a socket that is connected and does not block.
    fn new(socket: std::net::TcpStream) -> io::Result<TcpStream> {
        let source = Source::watch(socket.as_fd(), true)?;
        Ok(TcpStream { source, socket })
    }

    /// Opens a connection. Whoever drops the future gives it up.
    ///
    /// # Errors
    /// The kernel's: what it answers at once, or what came of the attempt.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) => {}
            Err(Errno::INPROGRESS | Errno::INTR) => {
                let source = Source::watch(socket.as_fd(), false)?;
                poll_fn(|cx| source.poll_ready(Way::Out, cx)).await;
                sockopt::socket_error(&socket)??;
                let socket = socket.into();
                return Ok(TcpStream { source, socket });
            }
            Err(errno) => return Err(errno.into()),
        }
        TcpStream::new(socket.into())
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Sends what is written at once, and waits for nothing that may come to go with it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_nodelay(&self, at_once: bool) -> io::Result<()> {
        self.socket.set_nodelay(at_once)
    }

    /// The error that broke the connection, once; `None` while it is well.
    ///
    /// # Errors
    /// The kernel's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Ready when a read may find something.
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.source.poll_ready(Way::In, cx)
    }

    /// Ready when there may be room for a write.
    #[inline]
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.source.poll_ready(Way::Out, cx)
    }

    /// Waits until a read may find something.
    pub async fn readable(&self) {
        poll_fn(|cx| self.poll_read_ready(cx)).await;
    }

    /// Has `call` read if there may be something; it answers [`ErrorKind::WouldBlock`] when there is no more for now.
    ///
    /// # Errors
    /// The call's; [`ErrorKind::WouldBlock`] also when it was not made.
    #[inline]
    pub fn try_reading<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.source.call(Way::In, call)
    }

    /// Has `call` write if there may be room; it answers [`ErrorKind::WouldBlock`] when there is no more for now.
    ///
    /// # Errors
    /// The call's; [`ErrorKind::WouldBlock`] also when it was not made.
    #[inline]
    pub fn try_writing<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.source.call(Way::Out, call)
    }

    /// One read, if there may be something; pending, without a wake-up to come, if there is nothing. `call` tells how many
    /// bytes moved and how many were wanted: less than that is all there is for now.
    #[inline]
    pub fn read_once(
        &self,
        call: impl FnOnce() -> io::Result<(usize, usize)>,
    ) -> Poll<io::Result<usize>> {
        self.source.call_once(Way::In, call)
    }

    /// One write, if there may be room; as [`TcpStream::read_once`].
    #[inline]
    pub fn write_once(
        &self,
        call: impl FnOnce() -> io::Result<(usize, usize)>,
    ) -> Poll<io::Result<usize>> {
        self.source.call_once(Way::Out, call)
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// The kernel's; [`ErrorKind::WouldBlock`] when nothing is.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_reading(|| (&self.socket).read(buffer))
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// The kernel's; [`ErrorKind::WouldBlock`] when there is none.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_writing(|| (&self.socket).write(bytes))
    }

    /// Calls when ready, for as long as that finds nothing. The call tells how many bytes moved.
    fn poll_call(
        &self,
        way: Way,
        cx: &mut Context<'_>,
        wanted: usize,
        mut call: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.source.poll_ready(way, cx));
            let called = self.source.call_once(way, || Ok((call()?, wanted)));
            if called.is_ready() {
                return called;
            }
        }
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.poll_call(Way::In, cx, buffer.remaining(), || {
            (&self.socket).read(buffer.initialize_unfilled())
        }))?;
        buffer.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_call(Way::Out, cx, bytes.len(), || (&self.socket).write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.poll_call(Way::Out, cx, wanted, || {
            (&self.socket).write_vectored(slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}

/// A listening socket of this thread's loop.
#[derive(Debug)]
pub struct TcpListener {
    source: Source,
    socket: std::net::TcpListener,
}

impl TcpListener {
    /// Takes a socket that listens and does not block.
    ///
    /// # Errors
    /// The kernel watches no more of them.
    pub fn from_std(socket: std::net::TcpListener) -> io::Result<TcpListener> {
        let source = Source::watch(socket.as_fd(), false)?;
        Ok(TcpListener { source, socket })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection, and who made it.
    ///
    /// # Errors
    /// The kernel's, of the one connection or of the machine (accept(2)); or it watches no more sockets.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            ready!(self.source.poll_ready(Way::In, cx));
            let accepted = self.source.call(Way::In, || {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                Ok(acceptfrom_with(&self.socket, flags)?)
            });
            let (socket, address) = match accepted {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                accepted => accepted?,
            };
            let address = address.and_then(|address| SocketAddr::try_from(address).ok());
            let stream = TcpStream::new(socket.into())?;
            // A TCP socket's peer has an address; one whose connection has broken meanwhile may have none.
            let address = address.map_or_else(|| stream.peer_addr(), Ok)?;
            return Poll::Ready(Ok((stream, address)));
        }
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        // Others hold the socket, too: siblings, or the process that takes over.
        self.source.forget(self.socket.as_fd());
    }
}

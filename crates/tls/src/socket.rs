//! Reads and writes of a socket in few instructions.
//!
//! The standard library goes through the C library's `recv` and `send`. Those are cancellation points of POSIX threads: in a
//! program of several threads each call takes two locked instructions for what nobody here uses.

use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

/// As `AsyncRead::poll_read`: at least a byte, the end of the stream (none), an error, or the promise of a wake-up.
#[inline]
pub(crate) fn poll_read(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let room = buffer.initialize_unfilled();
    let bytes = ready!(poll_ready_for(
        Interest::READABLE,
        socket,
        cx,
        room.len(),
        || recv(socket, &mut *room, RecvFlags::empty()).map(|(bytes, _)| bytes)
    ))?;
    buffer.advance(bytes);
    Poll::Ready(Ok(()))
}

/// As `AsyncWrite::poll_write`.
#[inline]
pub(crate) fn poll_write(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    poll_ready_for(Interest::WRITABLE, socket, cx, bytes.len(), || {
        send(socket, bytes, SendFlags::NOSIGNAL)
    })
}

/// Calls once the reactor takes the socket for ready, until something has moved.
///
/// Less moved than `wanted` says that the kernel has no more (or room for no more) now: the next call then waits for the
/// reactor's word instead of asking in vain. That holds for edge-triggered readiness (epoll(7), question 9).
#[inline]
fn poll_ready_for(
    interest: Interest,
    socket: &TcpStream,
    cx: &mut Context<'_>,
    wanted: usize,
    mut call: impl FnMut() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        if interest.is_readable() {
            ready!(socket.poll_read_ready(cx))?;
        } else {
            ready!(socket.poll_write_ready(cx))?;
        }
        let mut short = None;
        let moved = socket.try_io(interest, || {
            let bytes = call()?;
            if bytes > 0 && bytes < wanted {
                short = Some(bytes);
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(bytes)
        });
        match (short, moved) {
            (Some(bytes), _) => return Poll::Ready(Ok(bytes)),
            (None, Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
            (None, moved) => return Poll::Ready(moved),
        }
    }
}

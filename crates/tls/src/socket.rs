//! Reads and writes of a socket in few instructions.
//!
//! The standard library goes through the C library's `recv` and `send`. Those are cancellation points of POSIX threads: in a
//! program of several threads each call takes two locked instructions for what nobody here uses.

use foregate_message::Chunk;
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
    let bytes = ready!(poll_readable(socket, cx, || {
        let room = buffer.initialize_unfilled();
        let (bytes, _) = recv(socket, &mut *room, RecvFlags::empty())?;
        Ok((bytes, room.len()))
    }))?;
    buffer.advance(bytes);
    Poll::Ready(Ok(()))
}

/// One read of at most `bytes_max` bytes to the end of a run. `make_room` sees to it that there is room, once something is there
/// to be read and not before: whoever waits holds no buffer.
#[inline]
pub(crate) fn poll_fill(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    input: &mut Chunk,
    bytes_max: usize,
    make_room: impl Fn(&mut Chunk),
) -> Poll<io::Result<usize>> {
    let read = poll_readable(socket, cx, || {
        make_room(input);
        let room = input.room();
        let most = room.len().min(bytes_max);
        let (bytes, _) = recv(socket, &mut room[..most], RecvFlags::empty())?;
        input.filled(bytes);
        Ok((bytes, most))
    });
    if input.is_empty() && input.is_lent() {
        *input = Chunk::default();
    }
    read
}

/// As `AsyncWrite::poll_write`.
#[inline]
pub(crate) fn poll_write(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        // Nearly always there is room, and whoever writes has read before, which counts as its share of the thread's time.
        let sent = try_once(Interest::WRITABLE, socket, || {
            Ok((send(socket, bytes, SendFlags::NOSIGNAL)?, bytes.len()))
        });
        if let Poll::Ready(sent) = sent {
            return Poll::Ready(sent);
        }
        ready!(socket.poll_write_ready(cx))?;
    }
}

/// Reads once the reactor takes the socket for readable.
#[inline]
fn poll_readable(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    mut call: impl FnMut() -> rustix::io::Result<(usize, usize)>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_read_ready(cx))?;
        if let Poll::Ready(read) = try_once(Interest::READABLE, socket, &mut call) {
            return Poll::Ready(read);
        }
    }
}

/// Calls if the reactor takes the socket for ready; pending, without a wake-up to come, where it is not or nothing moved. The call
/// returns how many bytes moved, and how many were wanted to.
///
/// Less moved than wanted says that the kernel has no more (or room for no more) now: the next call then waits for the
/// reactor's word instead of asking in vain. That holds for edge-triggered readiness (epoll(7), question 9).
#[inline]
fn try_once(
    interest: Interest,
    socket: &TcpStream,
    call: impl FnOnce() -> rustix::io::Result<(usize, usize)>,
) -> Poll<io::Result<usize>> {
    let mut short = None;
    let moved = socket.try_io(interest, || {
        let (bytes, wanted) = call()?;
        if bytes > 0 && bytes < wanted {
            short = Some(bytes);
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(bytes)
    });
    match (short, moved) {
        (Some(bytes), _) => Poll::Ready(Ok(bytes)),
        (None, Err(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        (None, moved) => Poll::Ready(moved),
    }
}

//! Reads and writes of a socket in few instructions.
//!
//! The standard library goes through the C library's `recv` and `send`. Those are cancellation points of POSIX threads: in a
//! program of several threads each call takes two locked instructions for what nobody here uses.

use foregate_eventloop::TcpStream;
use foregate_message::Chunk;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

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
        let sent =
            socket.write_once(|| Ok((send(socket, bytes, SendFlags::NOSIGNAL)?, bytes.len())));
        if let Poll::Ready(sent) = sent {
            return Poll::Ready(sent);
        }
        ready!(socket.poll_write_ready(cx));
    }
}

/// Reads once the loop takes the socket for readable.
#[inline]
fn poll_readable(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    mut call: impl FnMut() -> io::Result<(usize, usize)>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_read_ready(cx));
        if let Poll::Ready(read) = socket.read_once(&mut call) {
            return Poll::Ready(read);
        }
    }
}

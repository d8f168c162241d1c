//! Long bodies through the kernel: from one cleartext socket to another without a copy (splice(2)).

use crate::Stream;
use foregate_eventloop::TcpStream;
use foregate_message::{Pipe, Piped};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

/// What a pipe should hold. The kernel may grant less to a user who has many (pipe(7), `pipe-user-pages-soft`).
const PIPE_BYTES: usize = 1024 * 1024;

impl Stream {
    /// Whether its bytes can pass through a pipe: only what is not encrypted here.
    #[inline]
    pub fn can_splice(&self) -> bool {
        matches!(self, Stream::Plain(_))
    }

    /// Moves at most `bytes_max` received bytes into a pipe. An empty one is the end of the stream. `None` when no pipe can
    /// be had, since the process has no descriptors left: then bytes are read as any others are.
    ///
    /// # Errors
    /// The socket's.
    pub fn poll_splice_in(
        &self,
        bytes_max: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Piped>>> {
        let socket = self.socket();
        loop {
            ready!(socket.poll_read_ready(cx));
            let Some(pipe) = Pipe::lend().or_else(|| open().ok()) else {
                return Poll::Ready(Ok(None));
            };
            let moved = socket.try_reading(|| {
                let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                let bytes =
                    usize::try_from(bytes_max).map_or(PIPE_BYTES, |max| max.min(PIPE_BYTES));
                Ok(splice(socket, None, &pipe.writer, None, bytes, flags)?)
            });
            match moved {
                Ok(bytes) => return Poll::Ready(Ok(Some(Piped::new(pipe, bytes)))),
                Err(error) => {
                    // The pipe goes back to the stock: nothing came into it.
                    drop(Piped::new(pipe, 0));
                    if error.kind() != ErrorKind::WouldBlock {
                        return Poll::Ready(Err(error));
                    }
                }
            }
        }
    }

    /// Moves bytes out of a pipe, if there is one, towards the peer; returns how many. A pipe that is empty then is let
    /// go.
    ///
    /// # Errors
    /// The socket's.
    pub fn poll_splice_out(
        &self,
        queued: &mut Option<Piped>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.socket();
        loop {
            let Some(piped) = queued else {
                return Poll::Ready(Ok(0));
            };
            ready!(socket.poll_write_ready(cx));
            match write_out(socket, piped) {
                Ok(bytes) => {
                    piped.took(bytes);
                    if piped.is_empty() {
                        *queued = None;
                    }
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn write_out(socket: &TcpStream, piped: &Piped) -> io::Result<usize> {
    socket.try_writing(|| {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match splice(piped.reader(), None, socket, None, piped.len(), flags) {
            // The pipe is known to hold bytes, so this would be a loop without progress.
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => Ok(bytes),
            Err(errno) => Err(io::Error::from(errno)),
        }
    })
}

fn open() -> Result<Pipe, Errno> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // A smaller one works too.
    let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
    Ok(Pipe { reader, writer })
}

//! The answer's body, from the backend to the client.

use foregate_message::{Client, Frame, Reason};
use foregate_upstream::Call;
use std::task::{Context, Poll, ready};

/// How far the answer's body has come.
#[derive(Debug, Default)]
pub(crate) struct Download {
    ended: bool,
    flushed: bool,
    must_flush: bool,
    /// Frames moved so far: a change means progress.
    pub(crate) moved: u64,
    /// Whether the client, not the backend, is waited for.
    pub(crate) waits_for_client: bool,
}

impl Download {
    /// Whether the client has been sent all.
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed
    }

    /// Moves what there is. Ready once the client has been sent all.
    ///
    /// A piece leaves before the next one is read, which bounds what is held for a slow client. The head waits for
    /// the first piece if that is here already, and the last piece for the end, so that a small answer leaves in
    /// one write.
    ///
    /// # Errors
    /// The answer broke off, or the client has gone.
    pub(crate) fn poll<C: Client>(
        &mut self,
        client: &mut C,
        call: &mut Call,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Reason>> {
        loop {
            if self.must_flush || self.ended {
                self.waits_for_client = true;
                ready!(client.poll_flush(cx))?;
                self.waits_for_client = false;
                self.must_flush = false;
                if self.ended {
                    self.flushed = true;
                    return Poll::Ready(Ok(()));
                }
            }
            match call.poll_frame(cx) {
                Poll::Ready(Ok(frame)) => {
                    self.moved += 1;
                    self.take(client, call, frame);
                }
                Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
                Poll::Pending => {
                    let _ = client.poll_flush(cx)?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn take<C: Client>(&mut self, client: &mut C, call: &Call, frame: Frame) {
        match frame {
            Frame::Data(data) => {
                client.send(data);
                self.must_flush = !call.is_body_here();
            }
            Frame::Piped(piped) => {
                client.send_piped(piped);
                self.must_flush = true;
            }
            Frame::Trailers(trailers) => {
                client.finish(Some(&trailers));
                self.ended = true;
            }
            Frame::End => {
                client.finish(None);
                self.ended = true;
            }
        }
    }
}

//! The answer's body, from the backend to the client.

use crate::exchange::Exchange;
use crate::trailers;
use foregate_message::{BodyLength, Client, Frame, Reason, ResponseHead};
use foregate_upstream::Call;
use std::mem;
use std::task::{Context, Poll, ready};

/// How far the answer has come.
#[derive(Debug, Default)]
pub(crate) struct Download<'h> {
    /// The head, as long as the client has not been told of it.
    untold: Option<(&'h mut ResponseHead, BodyLength)>,
    ended: bool,
    /// How it ended, if not well.
    broken: Option<Reason>,
    flushed: bool,
    must_flush: bool,
    /// Frames moved so far: a change means progress.
    pub(crate) moved: u64,
    /// Whether the client, not the backend, is waited for.
    pub(crate) waits_for_client: bool,
}

impl<'h> Download<'h> {
    /// An answer of which the client knows nothing yet.
    pub(crate) fn of(head: &'h mut ResponseHead, length: BodyLength) -> Download<'h> {
        Download {
            untold: Some((head, length)),
            ..Download::default()
        }
    }

    /// Whether the client has been sent all.
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed
    }

    /// Whether the client has been told of the answer, so that it can't be told anything else.
    pub(crate) fn has_begun(&self) -> bool {
        self.untold.is_none()
    }

    /// Queues the head, which the body, that may take long, has no need of.
    #[inline]
    pub(crate) fn begin<C: Client>(&mut self, client: &mut C) {
        if let Some((head, length)) = self.untold.take() {
            client.respond(head, length);
            drop(mem::take(head));
        }
    }

    /// Moves what there is. Ready once the client has been sent all.
    ///
    /// A piece leaves before the next one is read, which bounds what is held for a slow client. The head waits for
    /// the first piece if that is here already, and the last piece for the end, so that a small answer leaves in
    /// one write. An answer that is found to be broken before its head is queued is none; one that breaks off later ends
    /// behind all that was good.
    ///
    /// # Errors
    /// The answer broke off, or the client has gone.
    pub(crate) fn poll<C: Client>(
        &mut self,
        client: &mut C,
        call: &mut Call,
        exchange: Option<&Exchange>,
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
                    return Poll::Ready(self.broken.map_or(Ok(()), Err));
                }
            }
            match call.poll_frame(cx) {
                // What is known to be followed by nothing good is no beginning.
                Poll::Ready(Ok(_)) if !self.has_begun() && call.is_broken() => {}
                Poll::Ready(Ok(frame)) => {
                    self.moved += 1;
                    self.begin(client);
                    self.take(client, call, exchange, frame);
                }
                Poll::Ready(Err(reason)) if !self.has_begun() => {
                    return Poll::Ready(Err(reason));
                }
                Poll::Ready(Err(reason)) => {
                    self.broken = Some(reason);
                    self.ended = true;
                }
                Poll::Pending => {
                    self.begin(client);
                    let _ = client.poll_flush(cx)?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn take<C: Client>(
        &mut self,
        client: &mut C,
        call: &Call,
        exchange: Option<&Exchange>,
        frame: Frame,
    ) {
        match frame {
            Frame::Data(data) => {
                client.send(data);
                self.must_flush = !call.is_body_here();
            }
            Frame::Piped(piped) => {
                client.send_piped(piped);
                self.must_flush = true;
            }
            Frame::Trailers(mut trailers) => {
                if let Some(exchange) = exchange {
                    trailers::of_answer(exchange, &mut trailers);
                }
                client.finish((!trailers.is_empty()).then_some(&*trailers));
                self.ended = true;
            }
            Frame::End => {
                client.finish(None);
                self.ended = true;
            }
        }
    }
}

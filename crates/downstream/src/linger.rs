//! Lingering: the end of a connection whose client has been answered and may not have read it.

use crate::connection::Connection;
use crate::roll::{Closing, Phase};
use foregate_message::Chunk;
use foregate_telemetry::clock::now;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWrite;

/// How long a client that has been answered and does not close is waited for once the gateway drains.
const LINGER_WHILE_DRAINING: Duration = Duration::from_millis(500);

impl Connection {
    /// Closes the sending side and takes what the client still sends, so that the kernel does not answer it with a
    /// reset that would destroy the answer on its way (RFC 9112 §9.6).
    pub(crate) async fn linger(mut self: Box<Self>) {
        self.enrolled.set_phase(Phase::Lingering);
        let timeout = self.enrolled.worker().limits().linger_timeout;
        self.deadline.set(now().plus(timeout));
        let (mut is_shut, mut is_hurried) = (false, false);
        poll_fn(|cx| {
            match self.enrolled.closing() {
                Closing::Now => return Poll::Ready(()),
                Closing::No => {}
                _ if !is_hurried => {
                    is_hurried = true;
                    let timeout = timeout.min(LINGER_WHILE_DRAINING);
                    self.deadline.set(now().plus(timeout));
                }
                _ => {}
            }
            if !is_shut {
                // With TLS this waits for room: a client that takes nothing more does not keep the connection.
                match Pin::new(&mut self.stream).poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => is_shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return self.deadline.poll_expired(cx),
                }
            }
            loop {
                self.input = Chunk::default();
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.deadline.poll_expired(cx),
                }
            }
        })
        .await;
    }
}

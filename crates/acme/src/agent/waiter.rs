//! Handshakes and operators that wait for a certificate.

use std::sync::mpsc::SyncSender;

use tokio::sync::oneshot;

/// Who waits for a certificate.
pub(super) enum Waiter {
    Handshake(oneshot::Sender<bool>),
    Operator(SyncSender<Result<String, String>>),
}

impl Waiter {
    /// Whether nobody hears the answer. Of an operator that can't be told.
    pub(super) fn has_gone(&self) -> bool {
        match self {
            Waiter::Handshake(answer) => answer.is_closed(),
            Waiter::Operator(_) => false,
        }
    }

    pub(super) fn tell(self, outcome: &Result<String, String>) {
        // Whoever gave up has gone.
        match self {
            Waiter::Handshake(answer) => {
                let _ = answer.send(outcome.is_ok());
            }
            Waiter::Operator(answer) => {
                let _ = answer.try_send(outcome.clone());
            }
        }
    }
}

//! Whether a request may be sent to another endpoint once one was reached.

use crate::exchange::Exchange;
use crate::kept::Kept;
use crate::plan::Upstream;
use crate::upload::Upload;
use foregate_message::{BodyLength, RequestHead};
use std::cell::RefCell;
use std::rc::Rc;

/// What was taken of a body, for whoever may have to send it again.
pub(crate) type SharedKept = Rc<RefCell<Kept>>;

/// What a request has that makes it repeatable.
#[derive(Debug)]
pub(crate) struct Repeat {
    /// A backend that gets it twice does the same as one that gets it once.
    idempotent: bool,
    has_body: bool,
    /// Something of its body was taken from the client.
    is_begun: bool,
    /// What was taken of its body.
    pub(crate) kept: Option<SharedKept>,
}

impl Repeat {
    /// `marked` when the route says that its requests may be repeated.
    pub(crate) fn new(
        exchange: &Exchange,
        head: &RequestHead,
        marked: bool,
        upstream: &Upstream,
    ) -> Repeat {
        let idempotent = marked || head.method.is_idempotent();
        let length = exchange.outcome.unwrap_or(BodyLength::Empty);
        let has_body = !length.is_empty();
        let kept = if has_body && (idempotent || upstream.may_refuse_unseen) {
            keep(length, upstream)
        } else {
            None
        };
        Repeat {
            idempotent,
            has_body,
            is_begun: false,
            kept,
        }
    }

    /// The same request at another endpoint while the first one has it; `kept` is its whole body, if it has one.
    pub(crate) fn beside(kept: Option<SharedKept>) -> Repeat {
        Repeat {
            idempotent: true,
            has_body: kept.is_some(),
            is_begun: kept.is_some(),
            kept,
        }
    }

    /// What is kept of the body, for a try on a connection of its own or on a shared one. Nothing is kept for a request that
    /// only goes again if it was refused unseen, where nobody refuses so: on a connection of its own.
    pub(crate) fn lend(&mut self, is_shared: bool) -> Option<SharedKept> {
        let kept = self.kept.take()?;
        let is_of_use = self.idempotent || is_shared || !kept.borrow().is_untouched();
        is_of_use.then_some(kept)
    }

    /// Takes what a try has left: what is kept of the body, and whether the try has taken any of it.
    pub(crate) fn take_from(&mut self, upload: &mut Upload) {
        self.kept = upload.take_kept();
        self.is_begun |= upload.begun;
    }

    /// Whether the whole request can be sent again, as far as it was sent, although a backend may have acted on it.
    pub(crate) fn is_possible(&self) -> bool {
        let is_here = match self.kept {
            Some(_) => self.is_kept(),
            None => !self.is_begun,
        };
        self.idempotent && is_here
    }

    /// Whether that will be so after another try, which may take the body.
    #[inline]
    pub(crate) fn stays_possible(&self) -> bool {
        self.idempotent && (!self.has_body || self.is_kept())
    }

    /// Whether what was taken of its body is here.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept
            .as_ref()
            .is_some_and(|kept| kept.borrow().is_good())
    }
}

/// The room for a body that may turn out to fit.
fn keep(length: BodyLength, upstream: &Upstream) -> Option<SharedKept> {
    let bytes_max = upstream.retry.body_bytes_max;
    let fits = match length {
        BodyLength::Known(bytes) => bytes <= bytes_max as u64,
        BodyLength::Bare | BodyLength::Unknown => true,
        BodyLength::Empty | BodyLength::Tunnel => false,
    };
    let kept = || Rc::new(RefCell::new(Kept::new(bytes_max)));
    // Who has refused it unseen may be asked once more, on another connection.
    let again = upstream.tries_max > 1 || upstream.may_refuse_unseen;
    (fits && bytes_max > 0 && again).then(kept)
}

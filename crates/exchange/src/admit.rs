//! Admit: is this a request that is served at all?

use crate::exchange::Exchange;
use foregate_message::{Reason, RequestHead};
use foregate_policy::{Verdict, method};

/// Refuses what came malformed and methods that are nobody's to serve here.
pub(crate) fn admit(exchange: &Exchange, head: &RequestHead) -> Result<(), Reason> {
    exchange.outcome?;
    match method::admit(&head.method) {
        Verdict::Refuse(reason) => Err(reason),
        Verdict::Continue | Verdict::Respond(_) => Ok(()),
    }
}

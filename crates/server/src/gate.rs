//! The gate between `downstream` and the road: neither knows the other.

use foregate_downstream::{Arrival, Handler};
use foregate_exchange::{Request, Road};
use foregate_message::Client;
use std::rc::Rc;

/// Hands requests to a worker's road.
pub(crate) struct Gate(pub(crate) Rc<Road>);

impl Handler for Gate {
    async fn serve<C: Client>(&self, client: &mut C, arrival: Arrival<'_>) {
        let request = Request {
            head: arrival.head,
            outcome: arrival.outcome,
            upgrade: arrival.upgrade,
            expects_continue: arrival.expects_continue,
            at: arrival.at,
        };
        self.0.serve(client, request).await;
    }
}

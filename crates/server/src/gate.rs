//! The gate between `downstream` and the road: neither knows the other.

use foregate_downstream::{Arrival, Handler, Passage};
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
            timer: arrival.timer,
        };
        self.0.serve(client, request).await;
    }

    async fn pass<C: Client>(&self, client: &mut C, passage: Passage) {
        let passage = foregate_exchange::Passage {
            server_name: passage.server_name.as_deref(),
            outcome: passage.outcome,
            at: passage.at,
        };
        self.0.pass(client, passage).await;
    }
}

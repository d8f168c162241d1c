//! Relay: the answer, to the client.

use crate::download::Download;
use crate::exchange::Exchange;
use crate::forward::{self, Answer};
use crate::patience::Patience;
use crate::secure;
use crate::upload::Upload;
use foregate_message::{BodyLength, Client, FieldId, Method, Reason, RequestHead};
use foregate_policy as policy;
use foregate_telemetry::clock;
use foregate_upstream::Call;
use std::future::poll_fn;
use std::task::Poll;

/// Sends an answer of the gateway's own.
pub(crate) async fn respond<C: Client>(
    exchange: &mut Exchange,
    client: &mut C,
    request: &RequestHead,
    answer: policy::Answer,
) -> Result<Reason, Reason> {
    let policy::Answer {
        reason,
        mut head,
        body,
    } = answer;
    let fields = &mut head.fields;
    fields.append(FieldId::Date, clock::http_date().as_bytes());
    if let Some(name) = &exchange.plan.snapshot.request_id {
        fields.set_named(name, exchange.request_id.as_bytes());
    }
    secure::tell(exchange, fields);
    let plan = &exchange.plan;
    // A challenge is answered before there is a route.
    let rules = exchange
        .route
        .and_then(|number| plan.route(number).response_rules.as_ref());
    if let Some(rules) = rules {
        let facts = exchange.facts(client.peer(), request);
        let mut scratch = Vec::new();
        rules.apply(
            fields,
            &facts.of(exchange.request_id.as_bytes()),
            &mut scratch,
        );
    }
    exchange.status = head.status.code();
    let length = if head.status.is_bodiless() {
        BodyLength::Empty
    } else {
        BodyLength::Known(body.len() as u64)
    };
    client.respond(&head, length);
    if request.method != Method::Head && !body.is_empty() {
        client.send(body);
    }
    client.finish(None);
    poll_fn(|cx| client.poll_flush(cx)).await?;
    Ok(reason)
}

/// Passes a backend's answer on, while the rest of the request may still be on its way.
pub(crate) async fn relay<C: Client>(
    exchange: &mut Exchange,
    client: &mut C,
    answer: &mut Answer<'_>,
) -> Result<Reason, Reason> {
    let length = answer.length;
    let tunnel = length == BodyLength::Tunnel;
    let (call, head, upload, patience) = answer.parts();
    exchange.status = head.status.code();
    let mut download = Download::of(head, length);
    // Whether pieces can stay in the kernel is asked once the client has its head, and before any is read.
    if call.offers_pipes() {
        download.begin(client);
        call.allow_pipes(client.takes_pipes());
    }
    if tunnel {
        upload.become_tunnel();
        patience.tunnel();
    }
    let traffic = Traffic {
        exchange: Some(exchange),
        upload,
        download: &mut download,
        patience,
    };
    let outcome = move_both_ways(client, call, traffic, tunnel).await;
    if !download.has_begun() {
        exchange.status = 0;
    }
    drop(answer.borrowed.take());
    forward::judge(exchange, outcome);
    outcome?;
    if let Some(call) = answer.call.take() {
        call.finish();
    }
    Ok(if tunnel {
        Reason::Upgraded
    } else {
        Reason::Proxied
    })
}

/// What moves in either direction, and how long it may stand still.
pub(crate) struct Traffic<'a, 'r, 't> {
    /// Whose messages they are, unless a connection is only passed on.
    pub(crate) exchange: Option<&'a Exchange>,
    pub(crate) upload: &'a mut Upload,
    pub(crate) download: &'a mut Download<'r>,
    pub(crate) patience: &'a mut Patience<'t>,
}

/// Moves an answer to the client and the rest of its request to the backend, until the answer has left; the bytes of a
/// tunnel, until both directions have ended.
pub(crate) async fn move_both_ways<C: Client>(
    client: &mut C,
    call: &mut Call,
    traffic: Traffic<'_, '_, '_>,
    tunnel: bool,
) -> Result<(), Reason> {
    let Traffic {
        exchange,
        upload,
        download,
        patience,
    } = traffic;
    poll_fn(|cx| {
        let before = (upload.moved, download.moved);
        if !download.is_flushed()
            && let Poll::Ready(Err(reason)) = download.poll(client, call, exchange, cx)
        {
            return Poll::Ready(Err(reason));
        }
        if !upload.is_over()
            && let Poll::Ready(Err(reason)) = upload.poll(client, call, exchange, cx)
        {
            return Poll::Ready(Err(reason));
        }
        // A tunnel ends when both directions have; an answer ends the exchange, whatever is left of the request.
        if download.is_flushed() && (!tunnel || upload.is_ended()) {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(reason) = client.poll_gone(cx) {
            return Poll::Ready(Err(reason));
        }
        if before != (upload.moved, download.moved) || download.waits_for_client {
            patience.renew();
        }
        patience.poll(cx, call, upload).map(Err)
    })
    .await
}

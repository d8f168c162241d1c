//! Apology: what a client is told when its request could not be served.

mod grpc;

use crate::exchange::Exchange;
use crate::guard;
use crate::secure;
use foregate_message::{
    Blame, BodyLength, Chunk, Client, FieldId, Fields, Method, Reason, RequestHead, ResponseHead,
    Status, Version,
};
use foregate_telemetry::clock;
use std::future::poll_fn;

/// Answers with the reason's status and a page that names it and the request's id, and nothing of what lies behind
/// the gateway; a gRPC client is told in gRPC's terms, unless it is to send the request elsewhere or later. When the answer
/// had begun already, it is broken off so that nobody takes it as whole; only gRPC has room for a failure behind it.
pub(crate) async fn send<C: Client>(
    exchange: &mut Exchange,
    client: &mut C,
    request: &RequestHead,
    reason: Reason,
) -> Reason {
    if reason == Reason::ClosedByOperator {
        if exchange.status == 0 {
            exchange.status = reason.status().code();
        }
        client.abort();
        return reason;
    }
    // The client has been told already, in place of what it would have taken for its tunnel.
    if reason == Reason::UpgradeIgnored {
        exchange.status = reason.status().code();
        return reason;
    }
    if exchange.status != 0 {
        if is_told_in_trailers(exchange, request, reason) {
            let mut trailers = Fields::new();
            grpc::write(reason, exchange.request_id.as_str(), &mut trailers);
            client.finish(Some(&trailers));
            let _ = poll_fn(|cx| client.poll_flush(cx)).await;
        } else {
            client.abort();
        }
        return reason;
    }
    exchange.status = reason.status().code();
    // Nobody is there to read it.
    if matches!(reason, Reason::ClientGone | Reason::WriteTimeout) {
        client.abort();
        return reason;
    }
    if reason == Reason::PathRefused {
        // As after everything that is malformed: who sends such a path means no good with the next request either.
        client.close_behind();
    }
    // Only that very status has a client send the request again, on another connection or later (RFC 9110 §15.5.20,
    // RFC 8470 §5.2).
    let is_to_come_again = matches!(reason, Reason::MisdirectedRequest | Reason::TooEarly);
    let in_grpc = match is_to_come_again {
        true => None,
        false => grpc::content_type(&request.fields),
    };
    if let Some(content_type) = in_grpc {
        let mut head = ResponseHead::new(Status::OK);
        head.fields.append(FieldId::ContentType, content_type);
        grpc::write(reason, exchange.request_id.as_str(), &mut head.fields);
        exchange.status = head.status.code();
        client.respond(&head, BodyLength::Empty);
    } else {
        let (mut head, body) = page(exchange, request, reason);
        if reason != Reason::MisdirectedRequest {
            secure::tell(exchange, &mut head.fields);
        }
        client.respond(&head, BodyLength::Known(body.len() as u64));
        if request.method != Method::Head {
            client.send(Chunk::copy_of(&body));
        }
    }
    client.finish(None);
    // The reason stays the first one, even when the client does not take the answer.
    let _ = poll_fn(|cx| client.poll_flush(cx)).await;
    reason
}

/// Whether a request or an answer speaks gRPC.
pub(crate) fn is_grpc(fields: &Fields) -> bool {
    grpc::content_type(fields).is_some()
}

/// Whether an answer that has begun can end with the failure in its trailers: nobody takes a gRPC answer as whole whose
/// status says otherwise, and a reset would leave the client to guess. What only answers a call of gRPC, such as a page of a proxy
/// on the way, has no such status.
fn is_told_in_trailers(exchange: &Exchange, request: &RequestHead, reason: Reason) -> bool {
    exchange.is_answered_in_grpc
        && (request.version == Version::Http2 || exchange.translated)
        && exchange.status == Status::OK.code()
        && reason.blame() != Blame::Client
        && grpc::content_type(&request.fields).is_some()
}

fn page(exchange: &Exchange, request: &RequestHead, reason: Reason) -> (ResponseHead, Vec<u8>) {
    let status = reason.status();
    let mut head = ResponseHead::new(status);
    let fields = &mut head.fields;
    fields.append(FieldId::Date, clock::http_date().as_bytes());
    if matches!(reason, Reason::ConnectRefused | Reason::TraceRefused) {
        // RFC 9110 §15.5.6 asks for the list.
        fields.append_line(b"Allow", foregate_policy::method::ALLOWED);
    }
    if matches!(reason, Reason::Overloaded | Reason::RequestsFull) {
        let seconds = &exchange.plan.snapshot.overload.retry_after;
        fields.append(FieldId::RetryAfter, seconds.as_bytes());
    }
    if let Some(name) = &exchange.plan.snapshot.request_id {
        fields.append_named(name, exchange.request_id.as_bytes());
    }
    if let Some(seconds) = guard::retry_after(exchange, reason) {
        fields.append_line(b"Retry-After", seconds.to_string().as_bytes());
    }
    fields.append(FieldId::CacheControl, b"no-store");
    let (code, phrase, id) = (status.code(), status.phrase(), exchange.request_id.as_str());
    let wants_html = request.fields.all(FieldId::Accept).any(|accept| {
        accept
            .windows(9)
            .any(|part| part.eq_ignore_ascii_case(b"text/html"))
    });
    let body = if wants_html {
        fields.append(FieldId::ContentType, b"text/html; charset=utf-8");
        format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{code} {phrase}</title>\n\
             <body style=\"font:1rem/1.5 system-ui,sans-serif;margin:4rem auto;max-width:32rem;padding:0 1rem\">\n\
             <h1 style=\"font-size:1.5rem\">{code} {phrase}</h1>\n<p>Request <code>{id}</code></p>\n</body></html>\n"
        )
    } else {
        fields.append(FieldId::ContentType, b"text/plain; charset=utf-8");
        format!("{code} {phrase}\nrequest {id}\n")
    };
    (head, body.into_bytes())
}

//! What the gateway forwards is read by the next server, and answered to the client, exactly as it was received: the
//! property that keeps requests from being smuggled.

use super::{BODY_LIMITS, HEAD_LIMITS, pairs};
use crate::reference::{self, Body, Pair, Reading, Style};
use foregate_message::{
    BodyLength, Fault, FieldId, Fields, Method, RequestHead, ResponseHead, Target, Version, hop,
};
use foregate_wire::h1::{
    BodyDecoder, BodyEncoder, Decoded, RequestOut, ResponseOut, parse_request, parse_response,
    request_framing, response_framing, write_interim, write_request, write_response,
};

/// The first byte holds options: bit 0 for a response instead of requests, and then bit 1 for one to HEAD and bit 2 for
/// a client of HTTP/1.0. The rest is what a client or a backend sends until it closes.
pub fn forwarding(input: &[u8]) {
    let Some((&options, input)) = input.split_first() else {
        return;
    };
    if options & 1 == 0 {
        requests(input);
    } else {
        let version = if options & 4 == 0 {
            Version::Http11
        } else {
            Version::Http10
        };
        response(input, options & 2 != 0, version);
    }
}

/// One message as it was taken in.
#[derive(Debug)]
struct Taken {
    start: Vec<Vec<u8>>,
    fields: Vec<Pair>,
    body: Body,
}

fn requests(input: &[u8]) {
    let mut sent = Vec::new();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some((taken, used)) = forward_request(&input[at..], &mut out) {
        let received = received_request(&input[at..]);
        assert_eq!(
            received,
            Some((taken.body.clone(), used)),
            "the input is read differently"
        );
        sent.push(taken);
        at += used;
    }
    let mut rest = out.as_slice();
    for (at, taken) in sent.iter().enumerate() {
        let Reading::Whole(head, used) = reference::request_head(rest, Style::Canonical) else {
            panic!("request {at} is not read: {}", rest.escape_ascii());
        };
        rest = &rest[used..];
        let Reading::Whole(body, used) = reference::request_body(&head, rest, Style::Canonical)
        else {
            panic!(
                "the body of request {at} is not read: {}",
                rest.escape_ascii()
            );
        };
        rest = &rest[used..];
        assert_eq!(head.start[..2], taken.start[..]);
        assert_eq!(body, taken.body);
        check_fields(&head.fields, &taken.fields);
    }
    assert!(
        rest.is_empty(),
        "more was forwarded than received: {}",
        rest.escape_ascii()
    );
}

/// The reference's reading of what a client sent: the body and how long the whole request was.
fn received_request(input: &[u8]) -> Option<(Body, usize)> {
    let Reading::Whole(head, head_used) = reference::request_head(input, Style::Received) else {
        return None;
    };
    match reference::request_body(&head, &input[head_used..], Style::Received) {
        Reading::Whole(body, used) => Some((body, head_used + used)),
        _ => None,
    }
}

/// Forwards the request at the start of `input` as the gateway does; `None`, and nothing written, if it would not.
fn forward_request(input: &[u8], out: &mut Vec<u8>) -> Option<(Taken, usize)> {
    let mut head = RequestHead::new();
    let end = parse_request(input, &HEAD_LIMITS, &mut head).ok()??;
    let framing = request_framing(&head).ok()?;
    if matches!(head.method, Method::Connect | Method::Trace) {
        return None;
    }
    let decoder = BodyDecoder::for_request(&head, &framing);
    let target = Target::parse(&head.method, head.target()).expect("framing checked the target");
    let mut forwarded = target.path.to_vec();
    if let Some(query) = target.query {
        forwarded.push(b'?');
        forwarded.extend_from_slice(query);
    }
    if forwarded.is_empty() {
        forwarded.push(b'*');
    }
    let authority = target.authority.map(<[u8]>::to_vec);
    let takes_trailers = hop::takes_trailers(&head.fields);
    hop::strip(&mut head.fields);
    if let Some(authority) = &authority {
        head.fields.set(FieldId::Host, authority);
    } else if !head.fields.has(FieldId::Host) {
        head.fields.append(FieldId::Host, b"a");
    }
    if takes_trailers {
        head.fields.append(FieldId::Te, b"trailers");
    }
    let mark = out.len();
    let request = RequestOut {
        length: framing.length,
        upgrade: None,
        keep_alive: true,
    };
    let encoder = write_request(&head, &forwarded, request, out);
    let Ok(Some((body, used))) = pass(decoder, encoder, &input[end..], false, out) else {
        // A body that breaks off closes both connections.
        out.truncate(mark);
        return None;
    };
    let start = vec![head.method_name().to_vec(), forwarded];
    Some((
        Taken {
            start,
            fields: pairs(&head.fields),
            body,
        },
        end + used,
    ))
}

fn response(input: &[u8], to_head: bool, client: Version) {
    let mut out = Vec::new();
    let Some((taken, kept)) = forward_response(input, to_head, client, &mut out) else {
        return;
    };
    let mut rest = out.as_slice();
    let head = loop {
        let Reading::Whole(head, used) = reference::response_head(rest, Style::Canonical) else {
            panic!("the response is not read: {}", rest.escape_ascii());
        };
        rest = &rest[used..];
        if !head.start[1].starts_with(b"1") {
            break head;
        }
        assert!(reference::values(&head.fields, "content-length").is_empty());
    };
    assert_eq!(head.start[1], taken.start[0]);
    if head.start[1] == b"204" {
        assert!(reference::values(&head.fields, "content-length").is_empty());
    }
    check_fields(&head.fields, &taken.fields);
    let Reading::Whole(body, used) =
        reference::response_body(&head, to_head, rest, !kept, Style::Canonical)
    else {
        panic!("the body is not read: {}", rest.escape_ascii());
    };
    assert_eq!(used, rest.len(), "something stands behind the response");
    assert_eq!(body.data, taken.body.data);
    if !body.trailers.is_empty() {
        assert_eq!(body.trailers, taken.body.trailers);
    }
    if client == Version::Http10 {
        assert!(reference::values(&head.fields, "transfer-encoding").is_empty());
    }
    let closes = reference::values(&head.fields, "connection").contains(&&b"close"[..]);
    assert_eq!(
        closes, !kept,
        "the client is told whether the connection stays"
    );
}

fn forward_response(
    input: &[u8],
    to_head: bool,
    client: Version,
    out: &mut Vec<u8>,
) -> Option<(Taken, bool)> {
    let method = if to_head { Method::Head } else { Method::Get };
    let mut head = ResponseHead::default();
    let mut at = 0;
    let framing = loop {
        at += parse_response(&input[at..], &HEAD_LIMITS, &mut head).ok()??;
        let framing = response_framing(&head, &method).ok()?;
        // Nobody asked for another protocol.
        if framing.length == BodyLength::Tunnel {
            return None;
        }
        if !head.status.is_interim() {
            break framing;
        }
        hop::strip(&mut head.fields);
        write_interim(&head, out);
    };
    let decoder = BodyDecoder::for_response(&head, &framing);
    hop::strip(&mut head.fields);
    let how = ResponseOut {
        version: client,
        request_method_is_head: to_head,
        keep_alive: true,
        upgrade: None,
    };
    let (encoder, kept) = write_response(&head, framing.length, how, out);
    let (body, _) = pass(decoder, encoder, &input[at..], true, out).ok()??;
    let status = head.status.code().to_string().into_bytes();
    Some((
        Taken {
            start: vec![status],
            fields: pairs(&head.fields),
            body,
        },
        kept,
    ))
}

/// Passes a body on: what it was and how many bytes it took, or `None` if it broke off.
fn pass(
    mut decoder: BodyDecoder,
    mut encoder: BodyEncoder,
    input: &[u8],
    closed: bool,
    out: &mut Vec<u8>,
) -> Result<Option<(Body, usize)>, Fault> {
    let mut body = Body::default();
    let mut at = 0;
    let trailers: Option<Box<Fields>> = loop {
        match decoder.decode(&input[at..], &BODY_LIMITS)? {
            Decoded::More { consumed } => {
                at += consumed;
                if at == input.len() {
                    if !closed || decoder.at_eof().is_err() {
                        return Ok(None);
                    }
                    break None;
                }
            }
            Decoded::Data { skip, len } => {
                let piece = &input[at + skip..at + skip + len];
                encoder
                    .prefix(piece.len(), out)
                    .expect("the body is as long as announced");
                out.extend_from_slice(piece);
                encoder.suffix(out);
                body.data.extend_from_slice(piece);
                at += skip + len;
            }
            Decoded::Trailers { consumed, fields } => {
                at += consumed;
                break Some(fields);
            }
            Decoded::End { consumed } => {
                at += consumed;
                break None;
            }
        }
    };
    encoder
        .finish(trailers.as_deref(), out)
        .expect("the body is as long as announced");
    assert!(encoder.is_complete());
    body.trailers = trailers.map_or_else(Vec::new, |fields| pairs(&fields));
    Ok(Some((body, at)))
}

/// End-to-end fields arrive in order and unchanged; only those that frame and route differ.
fn check_fields(arrived: &[Pair], taken: &[Pair]) {
    let own = [&b"content-length"[..], b"transfer-encoding", b"connection"];
    let end_to_end = |fields: &[Pair]| -> Vec<Pair> {
        let is_own = |name: &[u8]| own.iter().any(|own| name.eq_ignore_ascii_case(own));
        fields
            .iter()
            .filter(|(name, _)| !is_own(name))
            .cloned()
            .collect()
    };
    assert_eq!(end_to_end(arrived), end_to_end(taken));
    for gone in [
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "http2-settings",
        "expect",
    ] {
        assert!(
            reference::values(arrived, gone).is_empty(),
            "{gone} was forwarded"
        );
    }
    let te = reference::values(arrived, "te");
    assert!(
        te.is_empty() || te == [b"trailers"],
        "TE was forwarded as received"
    );
}

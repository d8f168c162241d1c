//! From fields to blocks.
//!
//! As in HTTP/1, callers strip hop-by-hop fields, and the length is written from the one that the body then has.

use crate::h1::{Count, OWN, counts, decimal_digits};
use crate::h2::hpack::{Encoder, Lines, Pseudo};
use foregate_message::{
    BodyLength, FieldId, FieldSet, Fields, RequestHead, ResponseHead, Scheme, Status, hop,
};

/// How a request goes out.
#[derive(Clone, Copy, Debug)]
pub struct RequestOut<'a> {
    /// How the backend is reached.
    pub scheme: Scheme,
    /// How long the body is.
    pub length: BodyLength,
    /// What an extended CONNECT asks for (RFC 8441 §4).
    pub protocol: Option<&'a [u8]>,
}

/// Fields that are written in another way or not at all.
const NOT_COPIED: FieldSet = FieldSet::of(&[
    FieldId::Host,
    FieldId::Te,
    FieldId::Http2Settings,
    FieldId::ContentLength,
]);

/// Writes the block of a request's head.
pub fn write_request(
    encoder: &mut Encoder,
    head: &RequestHead,
    target: &[u8],
    framing: RequestOut<'_>,
    out: &mut Vec<u8>,
) {
    let mut lines = encoder.begin(out);
    match framing.protocol {
        None => lines.pseudo(Pseudo::Method, head.method_name()),
        Some(protocol) => {
            lines.pseudo(Pseudo::Method, b"CONNECT");
            lines.pseudo(Pseudo::Protocol, protocol);
        }
    }
    lines.pseudo(Pseudo::Scheme, framing.scheme.as_str().as_bytes());
    if let Some(host) = head.fields.get(FieldId::Host) {
        lines.pseudo(Pseudo::Authority, host);
    }
    lines.pseudo(Pseudo::Path, target);
    let count = match framing.length {
        BodyLength::Known(length) => Count::Exactly(length),
        BodyLength::Bare => Count::Exactly(0),
        BodyLength::Unknown | BodyLength::Empty | BodyLength::Tunnel => Count::Omitted,
    };
    write_fields(&mut lines, &head.fields, count);
    if hop::takes_trailers(&head.fields) {
        lines.field(FieldId::Te, b"te", b"trailers", false);
    }
}

/// Writes the block of a final response's head. A 101 goes out as 200: the tunnel of an extended CONNECT is open
/// (RFC 8441 §4).
#[inline]
pub fn write_response(
    encoder: &mut Encoder,
    head: &ResponseHead,
    length: BodyLength,
    request_method_is_head: bool,
    out: &mut Vec<u8>,
) {
    let status = match head.status.code() {
        101 => Status::OK,
        _ => head.status,
    };
    let count = match length {
        BodyLength::Tunnel => Count::Omitted,
        _ if head.status.code() == 304 => Count::AsReceived,
        _ if head.status.is_bodiless() => Count::Omitted,
        BodyLength::Known(length) => Count::Exactly(length),
        BodyLength::Bare => Count::Exactly(0),
        _ if request_method_is_head => Count::AsReceived,
        BodyLength::Empty if head.fields.has(FieldId::ContentLength) => Count::Exactly(0),
        // The stream's end says it. A field of its own would be metadata to a client of gRPC.
        BodyLength::Empty => Count::Omitted,
        BodyLength::Unknown => Count::Omitted,
    };
    let mut lines = encoder.begin(out);
    lines.status(status);
    write_fields(&mut lines, &head.fields, count);
}

/// Writes the block of an interim response's head: 1xx except 101.
pub fn write_interim(encoder: &mut Encoder, head: &ResponseHead, out: &mut Vec<u8>) {
    let mut lines = encoder.begin(out);
    lines.status(head.status);
    write_fields(&mut lines, &head.fields, Count::Omitted);
}

/// Writes the block of trailers.
pub fn write_trailers(encoder: &mut Encoder, trailers: &Fields, out: &mut Vec<u8>) {
    let mut lines = encoder.begin(out);
    write_fields(&mut lines, trailers, Count::Omitted);
}

#[inline]
fn write_fields(lines: &mut Lines<'_>, fields: &Fields, count: Count) {
    for line in fields.iter() {
        if OWN.holds(line.id) || NOT_COPIED.holds(line.id) {
            continue;
        }
        lines.field(line.id, line.name, line.value, line.guarded);
    }
    let length = match count {
        Count::Exactly(length) => Some(length),
        Count::Omitted => None,
        Count::AsReceived => fields
            .has(FieldId::ContentLength)
            .then(|| counts(fields))
            .flatten(),
    };
    if let Some(length) = length {
        let mut digits = [0; 20];
        let digits = decimal_digits(length, &mut digits);
        lines.field(FieldId::ContentLength, b"content-length", digits, false);
    }
}

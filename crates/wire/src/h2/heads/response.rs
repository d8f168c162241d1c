//! Responses (RFC 9113 §8.3.2).

use super::HeadFault;
use super::request::length;
use super::section::{self, Pseudos};
use crate::h1::{self, HeadLimits};
use crate::h2::hpack::Decoder;
use foregate_message::{BodyLength, Fault, FieldId, Method, ResponseHead, Status, Version};

/// What was asked, as far as the answer's framing depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Nothing special.
    Usual,
    /// HEAD, whose answer has no body whatever it says.
    Head,
    /// An extended CONNECT: a 2xx opens the tunnel (RFC 8441 §4).
    Tunnel,
}

impl Asked {
    /// By method, for what is no tunnel.
    pub fn by(method: &Method) -> Asked {
        match method {
            Method::Head => Asked::Head,
            _ => Asked::Usual,
        }
    }
}

/// What a response's head says about its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseFacts {
    /// How much body follows.
    pub length: BodyLength,
    /// Whether another head follows: 1xx.
    pub interim: bool,
}

/// Reads a response's head from its whole block. `ends` is whether nothing follows it (END_STREAM).
///
/// # Errors
/// The first rule or limit that the head breaks.
#[inline]
pub fn read_response(
    decoder: &mut Decoder,
    block: &[u8],
    ends: bool,
    limits: &HeadLimits,
    asked: Asked,
    head: &mut ResponseHead,
) -> Result<ResponseFacts, HeadFault> {
    head.clear(Status::OK);
    head.version = Version::Http2;
    let mut pseudos = Pseudos::default();
    section::read(decoder, block, limits, &mut head.fields, &mut pseudos)?;
    response(&pseudos, ends, asked, head).map_err(HeadFault::Malformed)
}

#[inline]
fn response(
    pseudos: &Pseudos,
    ends: bool,
    asked: Asked,
    head: &mut ResponseHead,
) -> Result<ResponseFacts, Fault> {
    let requests_only = pseudos.method.is_some()
        || pseudos.path.is_some()
        || pseudos.scheme.is_some()
        || pseudos.authority.is_some()
        || pseudos.protocol.is_some();
    let Some(status) = pseudos.status.clone() else {
        return Err(Fault::PseudoHeader);
    };
    if requests_only || head.fields.has(FieldId::Te) {
        return Err(Fault::PseudoHeader);
    }
    head.status = self::status(&head.fields.buffer()[status]).ok_or(Fault::StatusCode)?;
    let code = head.status.code();
    // There is nothing to switch to in HTTP/2 (RFC 9113 §8.6), and an interim head is never the last.
    if code == 101 || (code < 200 && ends) {
        return Err(Fault::StatusCode);
    }
    let length = match code {
        100..=199 => BodyLength::Empty,
        200..=299 if asked == Asked::Tunnel => BodyLength::Tunnel,
        _ if asked == Asked::Head || head.status.is_bodiless() => {
            if head.fields.has(FieldId::ContentLength) {
                h1::content_length(&head.fields)?;
            }
            BodyLength::Empty
        }
        _ => length(&head.fields, ends)?,
    };
    Ok(ResponseFacts {
        length,
        interim: code < 200,
    })
}

#[inline]
fn status(text: &[u8]) -> Option<Status> {
    let &[
        hundreds @ b'1'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
    ] = text
    else {
        return None;
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    Status::new(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
}

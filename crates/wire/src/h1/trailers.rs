//! Trailer sections (RFC 9112 §7.1.2, RFC 9110 §6.5).

use super::decode::{BodyLimits, Decoded};
use super::lines;
use super::refusal;
use foregate_message::{Fault, FieldId, FieldSet, Fields};

/// Whose trailers they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrailersOf {
    /// A request's: one with a field that may not be a trailer is refused.
    Request,
    /// An answer's: such fields are left out. What RFC 9110 §6.5.1 forbids is to merge them into the head, and servers send
    /// them behind answers that are whole.
    Answer,
}

/// Fields that may not be trailers (RFC 9110 §6.5.1): those that frame or route the message, authenticate, modify the
/// request, or say what the content is. A recipient that merged them into the head would read another message.
const FORBIDDEN: [FieldSet; 2] = [
    FieldSet::of(&[
        FieldId::Host,
        FieldId::Connection,
        FieldId::ContentLength,
        FieldId::TransferEncoding,
        FieldId::Te,
        FieldId::Trailer,
        FieldId::Upgrade,
        FieldId::KeepAlive,
        FieldId::ProxyConnection,
        FieldId::Via,
        FieldId::Forwarded,
        FieldId::XForwardedFor,
        FieldId::XForwardedProto,
        FieldId::XForwardedHost,
        FieldId::XForwardedPort,
        FieldId::XRealIp,
        FieldId::Authorization,
        FieldId::WwwAuthenticate,
        FieldId::ProxyAuthenticate,
        FieldId::ProxyAuthorization,
        FieldId::ProxyAuthenticationInfo,
        FieldId::Cookie,
        FieldId::SetCookie,
    ]),
    FieldSet::of(&[
        FieldId::Expect,
        FieldId::MaxForwards,
        FieldId::CacheControl,
        FieldId::Pragma,
        FieldId::Range,
        FieldId::IfMatch,
        FieldId::IfNoneMatch,
        FieldId::IfModifiedSince,
        FieldId::IfUnmodifiedSince,
        FieldId::IfRange,
        FieldId::ContentEncoding,
        FieldId::ContentType,
        FieldId::ContentRange,
        FieldId::ContentLocation,
        FieldId::Location,
        FieldId::Vary,
        FieldId::Http2Settings,
        FieldId::EarlyData,
    ]),
];

/// Fields that frame a message or belong to its connection: behind the body of an answer of HTTP/1 they say that somebody
/// takes its end for another one's.
const FRAMING: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::ContentLength,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
]);

/// Refuses or leaves out fields that may not be trailers.
///
/// # Errors
/// There is such a field in a request.
pub(crate) fn check_trailers(fields: &mut Fields, of: TrailersOf) -> Result<(), Fault> {
    for set in FORBIDDEN {
        match of {
            TrailersOf::Request if fields.has_any(set) => return Err(Fault::Trailer),
            TrailersOf::Request => {}
            TrailersOf::Answer => fields.remove_any(set),
        }
    }
    Ok(())
}

/// The trailer section as far as it has come. It is collected here, as it may come in many pieces and is rare.
#[derive(Debug)]
pub(super) struct TrailerSection {
    of: TrailersOf,
    bytes: Vec<u8>,
    /// Bytes of the line that is not complete yet.
    line_bytes: usize,
}

impl TrailerSection {
    pub(super) fn new(of: TrailersOf) -> TrailerSection {
        TrailerSection {
            of,
            bytes: Vec::new(),
            line_bytes: 0,
        }
    }

    /// Takes what belongs to the section from the front of `input`.
    pub(super) fn take(&mut self, input: &[u8], limits: &BodyLimits) -> Result<Decoded, Fault> {
        if self.bytes.is_empty() && input.starts_with(b"\r\n") {
            return Ok(Decoded::End { consumed: 2 });
        }
        for (at, &byte) in input.iter().enumerate() {
            self.bytes.push(byte);
            self.line_bytes += 1;
            if byte == b'\n' {
                if !self.bytes.ends_with(b"\r\n") {
                    return Err(Fault::BareLf);
                }
                if self.line_bytes == 2 {
                    let consumed = at + 1;
                    return Ok(match self.parse(limits)? {
                        Some(fields) => Decoded::Trailers { consumed, fields },
                        None => Decoded::End { consumed },
                    });
                }
                self.line_bytes = 0;
            }
            // The empty line at the end is not counted.
            if self.bytes.len() > limits.trailer_bytes_max.saturating_add(1) {
                return Err(Fault::TrailersTooLarge);
            }
        }
        Ok(Decoded::More {
            consumed: input.len(),
        })
    }

    fn parse(&self, limits: &BodyLimits) -> Result<Option<Box<Fields>>, Fault> {
        let section = self.bytes.as_slice();
        if section == b"\r\n" {
            return Ok(None);
        }
        let mut fields = Box::new(Fields::default());
        if lines::find(section, 0, limits.trailer_fields_max, &mut fields) != Some(section.len()) {
            let broken = refusal::of_trailers(section, limits.trailer_fields_max);
            return Err(broken.unwrap_or(Fault::TrailersTooLarge));
        }
        fields.finish(section);
        if fields.has_any(FRAMING) {
            return Err(Fault::Trailer);
        }
        check_trailers(&mut fields, self.of)?;
        Ok((!fields.is_empty()).then_some(fields))
    }
}

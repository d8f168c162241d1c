//! Requests (RFC 9113 §8.3.1, RFC 8441 §4).

use super::HeadFault;
use super::section::{self, Pseudos};
use crate::h1::{self, HeadLimits, host};
use crate::h2::hpack::Decoder;
use foregate_message::{
    BodyLength, Fault, FieldId, Fields, Method, RequestHead, Scheme, Version, hop, split_authority,
};

/// What a request's head says about its body and its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestFacts {
    /// How much body follows; `Tunnel` for an extended CONNECT.
    pub length: BodyLength,
    /// Whether the client waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
    /// Whether it was an extended CONNECT, which is now a GET with an `Upgrade` line (RFC 8441 §4).
    pub upgrade: bool,
    /// What `:scheme` says: for a plain CONNECT, which has none, `Http`.
    pub scheme: Scheme,
}

/// Reads a request's head from its whole block. `ends` is whether nothing follows it (END_STREAM); `extended_connect`
/// whether the client was told that it may use `:protocol`.
///
/// With a fault, `head` holds what came before it: enough for a log, and for the framing of an answer.
///
/// # Errors
/// The first rule or limit that the head breaks.
#[inline]
pub fn read_request(
    decoder: &mut Decoder,
    block: &[u8],
    ends: bool,
    limits: &HeadLimits,
    extended_connect: bool,
    head: &mut RequestHead,
) -> Result<RequestFacts, HeadFault> {
    head.clear();
    // Said by nobody yet.
    head.method = Method::Extension(0..0);
    head.version = Version::Http2;
    let mut pseudos = Pseudos::default();
    let read = section::read(decoder, block, limits, &mut head.fields, &mut pseudos);
    if let Err(fault) = read {
        tell(&pseudos, head);
        return Err(fault);
    }
    request(&pseudos, ends, extended_connect, head).map_err(|fault| match fault {
        // What nobody can meet is no malformed message.
        Fault::Expectation | Fault::ProtocolUnsupported => HeadFault::Answerable(fault),
        fault => HeadFault::Malformed(fault),
    })
}

/// What is known of a request that is not read to its end.
#[cold]
fn tell(pseudos: &Pseudos, head: &mut RequestHead) {
    if let Some(method) = pseudos.method.clone() {
        // A method that is none stays unsaid.
        let _ = head.set_method_range(method);
    }
    if let Some(path) = pseudos.path.clone()
        && head.fields.buffer()[path.clone()].first() == Some(&b'/')
    {
        head.set_target_range(path);
    }
}

#[inline]
fn request(
    pseudos: &Pseudos,
    ends: bool,
    extended_connect: bool,
    head: &mut RequestHead,
) -> Result<RequestFacts, Fault> {
    let method = pseudos.method.clone().ok_or(Fault::PseudoHeader)?;
    head.set_method_range(method).ok_or(Fault::Method)?;
    let protocol = match (&head.method, pseudos.protocol.clone()) {
        (_, None) => None,
        (Method::Connect, Some(protocol)) if extended_connect => Some(protocol),
        _ => return Err(Fault::PseudoHeader),
    };
    if pseudos.status.is_some() {
        return Err(Fault::PseudoHeader);
    }
    if head.method == Method::Connect && protocol.is_none() {
        return connect(pseudos, ends, head);
    }
    let (Some(scheme), Some(path)) = (pseudos.scheme.clone(), pseudos.path.clone()) else {
        return Err(Fault::PseudoHeader);
    };
    let scheme = self::scheme(&head.fields.buffer()[scheme])?;
    head.set_target_range(path);
    if let Some(protocol) = &protocol {
        become_upgrade(protocol.clone(), pseudos, head)?;
    }
    // The asterisk and the path are all that `:path` may be; the absolute form is for HTTP/1 proxies.
    if !matches!(head.target(), [b'/', ..] | b"*") {
        return Err(Fault::Target);
    }
    one_host(pseudos, scheme, &mut head.fields)?;
    host::check(head)?;
    let length = match protocol {
        Some(_) if ends => return Err(Fault::PseudoHeader),
        Some(_) => BodyLength::Tunnel,
        None => length(&head.fields, ends)?,
    };
    one_te(&head.fields)?;
    head.fields.join(FieldId::Cookie, b"; ");
    Ok(RequestFacts {
        length,
        expects_continue: h1::expects_continue(head)? && !length.is_empty() && protocol.is_none(),
        upgrade: protocol.is_some(),
        scheme,
    })
}

/// A plain CONNECT has a method and an authority and nothing else (RFC 9113 §8.5).
#[cold]
fn connect(pseudos: &Pseudos, ends: bool, head: &mut RequestHead) -> Result<RequestFacts, Fault> {
    let Some(authority) = pseudos.authority.clone() else {
        return Err(Fault::PseudoHeader);
    };
    if pseudos.scheme.is_some() || pseudos.path.is_some() {
        return Err(Fault::PseudoHeader);
    }
    head.set_target_range(authority);
    one_host(pseudos, Scheme::Http, &mut head.fields)?;
    host::check(head)?;
    Ok(RequestFacts {
        length: if ends {
            BodyLength::Empty
        } else {
            BodyLength::Tunnel
        },
        expects_continue: false,
        upgrade: false,
        scheme: Scheme::Http,
    })
}

/// An extended CONNECT is to everyone else what a GET with `Upgrade` is in HTTP/1.1.
#[cold]
fn become_upgrade(
    protocol: std::ops::Range<usize>,
    pseudos: &Pseudos,
    head: &mut RequestHead,
) -> Result<(), Fault> {
    let protocol = head.fields.buffer()[protocol].to_vec();
    let is_token = protocol.iter().all(|&byte| h1::is_token_byte(byte));
    let is_counted = head.fields.has(FieldId::ContentLength);
    if pseudos.authority.is_none() || protocol.is_empty() || !is_token || is_counted {
        return Err(Fault::PseudoHeader);
    }
    // What would be said in it would pass by routes and limits. In HTTP/1.1 such an `Upgrade` is passed over; here there is no
    // request without it.
    if hop::is_http(&protocol) {
        return Err(Fault::ProtocolUnsupported);
    }
    head.method = Method::Get;
    head.fields.append(FieldId::Upgrade, &protocol);
    Ok(())
}

#[inline]
fn scheme(text: &[u8]) -> Result<Scheme, Fault> {
    match text {
        b"https" => Ok(Scheme::Https),
        b"http" => Ok(Scheme::Http),
        text if text.eq_ignore_ascii_case(b"https") => Ok(Scheme::Https),
        text if text.eq_ignore_ascii_case(b"http") => Ok(Scheme::Http),
        _ => Err(Fault::PseudoHeader),
    }
}

/// A Host beside the authority must say the same, and then says nothing (RFC 9113 §8.3.1).
#[inline]
fn one_host(pseudos: &Pseudos, scheme: Scheme, fields: &mut Fields) -> Result<(), Fault> {
    let Some(authority) = &pseudos.authority else {
        return Ok(());
    };
    if fields.all(FieldId::Host).nth(1).is_none() {
        return Ok(());
    }
    let authority = fields.buffer()[authority.clone()].to_vec();
    let default_port = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    for (at, host) in fields.all(FieldId::Host).enumerate().skip(1) {
        if at > 1 {
            return Err(Fault::HostSeveral);
        }
        let host = split_authority(host).ok_or(Fault::Host)?;
        host::agree(host, &authority, Some(default_port))?;
    }
    fields.set(FieldId::Host, &authority);
    Ok(())
}

/// Like HTTP/1.1's, but a body needs no declaration: the stream's end is enough (RFC 9113 §8.1.1).
#[inline]
pub(super) fn length(fields: &Fields, ends: bool) -> Result<BodyLength, Fault> {
    if !fields.has(FieldId::ContentLength) {
        return Ok(if ends {
            BodyLength::Empty
        } else {
            BodyLength::Unknown
        });
    }
    match h1::content_length(fields)? {
        // Backends may insist on the declaration even where nothing follows it.
        0 if ends => Ok(BodyLength::Known(0)),
        0 => Ok(BodyLength::Bare),
        _ if ends => Err(Fault::Length),
        length => Ok(BodyLength::Known(length)),
    }
}

/// TE is `trailers` or refused (RFC 9113 §8.2.2).
#[inline]
fn one_te(fields: &Fields) -> Result<(), Fault> {
    let is_trailers = |te: &[u8]| te.eq_ignore_ascii_case(b"trailers");
    if fields.has(FieldId::Te) && !fields.all(FieldId::Te).all(is_trailers) {
        return Err(Fault::ConnectionField);
    }
    Ok(())
}

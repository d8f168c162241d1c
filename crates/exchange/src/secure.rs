//! Secure: challenges of certificate authorities, HTTPS for clients in cleartext, and the right client certificate for
//! the site.

use crate::Road;
use crate::exchange::Exchange;
use foregate_message::{
    Chunk, FieldId, FieldName, Fields, Peer, Reason, RequestHead, ResponseHead, Scheme, Status,
    Target, reads_alike,
};
use foregate_policy::{Answer, Verdict, https_redirect};
use foregate_snapshot::SiteTlsPlan;
use std::fmt;
use std::sync::Arc;

/// What the road asks about certificates. Every worker asks, so an answer takes no lock.
pub trait Certificates: Send + Sync {
    /// Whether handshakes for a host of a site would be shown a certificate that is valid for it.
    fn is_certified(&self, site: &SiteTlsPlan, host: &[u8]) -> bool;

    /// The answer to the http-01 challenge that is asked for at a path (RFC 8555 §8.3).
    fn challenge(&self, path: &[u8]) -> Option<Arc<str>>;
}

/// What became of a site's TLS settings when they were taken up.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SecurePart {
    /// The number of what is asked of clients' certificates; 0 when nothing is.
    pub trust: u32,
    /// The port that clients in cleartext are sent to; `None` to send them nowhere.
    pub https_port: Option<u16>,
}

/// Nobody has certificates or challenges.
#[derive(Clone, Copy, Default, Debug)]
pub struct NoCertificates;

impl Certificates for NoCertificates {
    fn is_certified(&self, _: &SiteTlsPlan, _: &[u8]) -> bool {
        false
    }

    fn challenge(&self, _: &[u8]) -> Option<Arc<str>> {
        None
    }
}

impl fmt::Debug for dyn Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

/// The answer to a challenge, which is asked for before there is a route or anything else.
pub(crate) fn challenge(road: &Road, peer: &Peer, head: &RequestHead) -> Option<Box<Answer>> {
    if peer.scheme != Scheme::Http || !https_redirect::is_challenge(head.target()) {
        return None;
    }
    let body = road.certificates.challenge(head.target())?;
    let mut answer = ResponseHead::new(Status::OK);
    answer
        .fields
        .append(FieldId::ContentType, b"application/octet-stream");
    Some(Box::new(Answer {
        reason: Reason::ChallengeAnswered,
        head: answer,
        body: Chunk::copy_of(body.as_bytes()),
    }))
}

/// Whether a target names a resource of HTTPS, which is not to be had in cleartext (RFC 9110 §7.4).
#[inline]
fn asks_https(target: &[u8]) -> bool {
    const SCHEME: &[u8] = b"https:";
    let scheme = target.get(..SCHEME.len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Whether the request came as its site wants it: by HTTPS once that is possible, not too early, and under the rules for clients'
/// certificates that hold for its host (RFC 9110 §15.5.20).
pub(crate) fn secure(
    exchange: &Exchange,
    road: &Road,
    peer: &Peer,
    head: &RequestHead,
) -> Result<Option<Box<Answer>>, Reason> {
    let plan = &exchange.plan;
    let route = exchange.route_plan(plan);
    let part = plan.secure_part(route);
    if let Some(facts) = &peer.tls {
        if facts.trust != part.trust {
            return Err(Reason::MisdirectedRequest);
        }
        // What changes something must not be done twice, and whoever overheard it can send it twice (RFC 8470 §4).
        if facts.early && !head.method.is_safe() {
            return Err(Reason::TooEarly);
        }
        return Ok(None);
    }
    if peer.scheme == Scheme::Https {
        return Ok(None);
    }
    if let Some(port) = part.https_port
        && exchange.scheme == Scheme::Http
    {
        let host = exchange.host(&head.fields);
        let target = Target::parse(&head.method, head.target()).map_err(Reason::Request)?;
        let matched = exchange.matched(target.path);
        if road.certificates.is_certified(&route.tls, host)
            && let Verdict::Respond(answer) = https_redirect::apply(head, matched, host, port)
        {
            return Ok(Some(answer));
        }
    }
    if asks_https(head.target()) && exchange.scheme == Scheme::Http {
        return Err(Reason::MisdirectedRequest);
    }
    match &route.client {
        Some(client) if client.required => Err(Reason::MisdirectedRequest),
        _ => Ok(None),
    }
}

/// Tells browsers to come by HTTPS from now on (RFC 6797 §7.1).
pub(crate) fn tell(exchange: &Exchange, fields: &mut Fields) {
    if exchange.scheme != Scheme::Https {
        return;
    }
    let Some(number) = exchange.route else {
        return;
    };
    if let Some(hsts) = &exchange.plan.route(number).hsts
        && (hsts.replaces || !fields.has(FieldId::StrictTransportSecurity))
    {
        fields.set(FieldId::StrictTransportSecurity, hsts.value.as_bytes());
    }
}

/// Tells the backend whether the request could be a replay (RFC 8470 §5.1), and of the client's certificate, in fields
/// that no client can send: what came under these names on any site goes.
pub(crate) fn describe(exchange: &Exchange, peer: &Peer, fields: &mut Fields) {
    let plan = &exchange.plan;
    remove_forged(&plan.snapshot.certificate_fields, fields);
    if peer.tls.as_ref().is_some_and(|facts| facts.early) {
        fields.set(FieldId::EarlyData, b"1");
    }
    let Some(asked) = &exchange.route_plan(plan).client else {
        return;
    };
    let Some(shown) = peer.tls.as_ref().and_then(|facts| facts.client.as_ref()) else {
        return;
    };
    if let Some(name) = &asked.subject_field {
        fields.append_named(name, shown.subject.as_bytes());
    }
    if let Some(name) = &asked.fingerprint_field {
        fields.append_named(name, shown.fingerprint_hex().as_bytes());
    }
}

/// Removes what clients send under names that are the gateway's to write. Many backends read `_` and `-` in a name as the
/// same, so both go.
#[inline]
pub(crate) fn remove_forged(names: &[FieldName], fields: &mut Fields) {
    if !names.is_empty() {
        remove_alike(names, fields);
    }
}

#[inline(never)]
fn remove_alike(names: &[FieldName], fields: &mut Fields) {
    let forged: Vec<Vec<u8>> = fields
        .iter()
        .filter(|line| {
            names
                .iter()
                .any(|name| reads_alike(line.name, name.as_str().as_bytes()))
        })
        .map(|line| line.name.to_vec())
        .collect();
    for name in forged {
        fields.remove_named(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_fields_go_however_they_are_spelled() {
        let mut fields = Fields::default();
        for name in [
            "X-Client-Subject",
            "x_client_subject",
            "X-Client_Subject",
            "X-Client",
        ] {
            fields.append_line(name.as_bytes(), b"CN=root");
        }
        let names = [FieldName::new("X-Client-Subject").unwrap()];
        remove_forged(&names, &mut fields);
        let left: Vec<&[u8]> = fields.iter().map(|line| line.name).collect();
        assert_eq!(left, [b"X-Client"]);
    }
}

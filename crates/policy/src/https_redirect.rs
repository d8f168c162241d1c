//! Clients that come in cleartext are sent to HTTPS.

use crate::{Answer, Verdict};
use foregate_message::{
    Chunk, FieldId, Reason, RequestHead, ResponseHead, Status, Target, TargetForm,
    host_without_port, is_host,
};

/// The paths under which challenges are asked for, in cleartext (RFC 8555 §8.3).
const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";

/// Whether a target is one under which challenges are asked for. Whoever normalised it would make two ways to the same
/// token, so it is taken as it was sent.
pub fn is_challenge(target: &[u8]) -> bool {
    target.starts_with(CHALLENGES)
}

/// Sends the client to the same host, path and query by HTTPS, on `port`. Challenges stay where they are asked for, and a
/// client that names no host can be sent nowhere. `matched` is the path that the route was found by.
pub fn apply(head: &RequestHead, matched: &[u8], host: &[u8], port: u16) -> Verdict {
    match location(head, matched, host, port) {
        Some(location) => {
            let mut answer = ResponseHead::new(Status::PERMANENT_REDIRECT);
            answer.fields.append(FieldId::Location, &location);
            Verdict::Respond(Box::new(Answer {
                reason: Reason::RedirectedToHttps,
                head: answer,
                body: Chunk::default(),
            }))
        }
        None => Verdict::Continue,
    }
}

/// Where a request is sent; `None` for those that stay. What stays is told by `matched`, the path that the route was found
/// by: the one received may lead elsewhere by its dot segments.
pub fn location(head: &RequestHead, matched: &[u8], host: &[u8], port: u16) -> Option<Vec<u8>> {
    let target = Target::parse(&head.method, head.target()).ok()?;
    let host = host_without_port(host);
    let stays = matched.starts_with(CHALLENGES)
        || !matches!(target.form, TargetForm::Origin | TargetForm::Absolute)
        || host.is_empty()
        || !is_host(host);
    if stays {
        return None;
    }
    let mut out = Vec::with_capacity(16 + host.len() + head.target().len());
    out.extend_from_slice(b"https://");
    out.extend_from_slice(host);
    if port != 443 {
        out.push(b':');
        out.extend_from_slice(port.to_string().as_bytes());
    }
    // As it was asked for: what is equivalent here may not be to the client's next hop.
    out.extend_from_slice(target.path);
    if let Some(query) = target.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    let is_safe = out.iter().all(|byte| (b'!'..=b'~').contains(byte));
    is_safe.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_its_host_path_and_query() {
        for (method, target, host, port, expected) in [
            ("GET", "/", "example.com", 443, Some("https://example.com/")),
            (
                "POST",
                "/a%2fb?x=1&y",
                "example.com:80",
                443,
                Some("https://example.com/a%2fb?x=1&y"),
            ),
            ("GET", "/", "[::1]:8080", 8443, Some("https://[::1]:8443/")),
            (
                "GET",
                "http://example.com/x?y",
                "example.com",
                443,
                Some("https://example.com/x?y"),
            ),
            (
                "GET",
                "//evil.example/",
                "a.example",
                443,
                Some("https://a.example//evil.example/"),
            ),
            ("OPTIONS", "*", "example.com", 443, None),
            (
                "GET",
                "/.well-known/acme-challenge/x",
                "example.com",
                443,
                None,
            ),
            ("GET", "/", "", 443, None),
            (
                "GET",
                "/.well-known/acme-challenge/../..",
                "example.com",
                443,
                Some("https://example.com/.well-known/acme-challenge/../.."),
            ),
        ] {
            let head = RequestHead::with(method, target.as_bytes());
            let matched = match Target::parse(&head.method, head.target()) {
                Ok(target) if target.path.ends_with(b"..") => b"/".as_slice(),
                Ok(target) => target.path,
                Err(_) => b"",
            };
            let found = location(&head, matched, host.as_bytes(), port);
            let found = found.map(|location| String::from_utf8(location).unwrap());
            assert_eq!(found.as_deref(), expected, "{method} {target}");
        }
    }
}

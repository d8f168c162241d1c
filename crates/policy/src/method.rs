//! Methods that a gateway does not serve.

use crate::{Answer, Verdict};
use foregate_message::{Chunk, FieldId, Fields, Method, Reason, ResponseHead, Status};

/// The methods that are passed on.
pub const ALLOWED: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Refuses CONNECT, which would make the gateway an open tunnel (RFC 9110 §9.3.6), and TRACE, which would show a
/// client the fields that the gateway adds (RFC 9110 §9.3.8).
#[inline]
pub fn admit(method: &Method) -> Verdict {
    match method {
        Method::Connect => Verdict::Refuse(Reason::ConnectRefused),
        Method::Trace => Verdict::Refuse(Reason::TraceRefused),
        _ => Verdict::Continue,
    }
}

/// Answers OPTIONS that is to go no further than here (RFC 9110 §7.6.2).
#[cold]
pub fn options(fields: &Fields) -> Verdict {
    if forwards_left(fields) != Some(0) {
        return Verdict::Continue;
    }
    let mut head = ResponseHead::new(Status::NO_CONTENT);
    head.fields.append_line(b"Allow", ALLOWED);
    Verdict::Respond(Box::new(Answer {
        reason: Reason::Responded,
        head,
        body: Chunk::default(),
    }))
}

/// Counts the hop to the backend in the `Max-Forwards` of OPTIONS (RFC 9110 §7.6.2).
#[cold]
pub fn count_hop(fields: &mut Fields) {
    if let Some(left) = forwards_left(fields) {
        let left = left.saturating_sub(1).to_string();
        fields.set(FieldId::MaxForwards, left.as_bytes());
    }
}

/// How far a request may still go; `None` where nothing, or nothing that can be read, says so.
fn forwards_left(fields: &Fields) -> Option<u64> {
    let text = fields.get(FieldId::MaxForwards)?.trim_ascii();
    let digits = text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_as_far_as_it_may() {
        for (before, ends, after) in [
            (None, false, None),
            (Some("0"), true, Some("0")),
            (Some("1"), false, Some("0")),
            (Some(" 10 "), false, Some("9")),
            (Some("+1"), false, Some("+1")),
            (Some(""), false, Some("")),
        ] {
            let mut fields = Fields::default();
            if let Some(value) = before {
                fields.append(FieldId::MaxForwards, value.as_bytes());
            }
            let verdict = options(&fields);
            assert_eq!(matches!(verdict, Verdict::Respond(_)), ends, "{before:?}");
            count_hop(&mut fields);
            let seen = fields.get(FieldId::MaxForwards);
            assert_eq!(seen, after.map(str::as_bytes), "{before:?}");
        }
    }

    #[test]
    fn connect_and_trace_are_refused() {
        let reason = |method: Method| match admit(&method) {
            Verdict::Refuse(reason) => Some(reason.name()),
            _ => None,
        };
        assert_eq!(reason(Method::Connect), Some("connect-refused"));
        assert_eq!(reason(Method::Trace), Some("trace-refused"));
        assert_eq!(reason(Method::Get), None);
        assert_eq!(reason(Method::Extension(0..0)), None);
    }
}

//! Apologies in gRPC's own terms: its clients read `grpc-status`, not HTTP's status.

use foregate_message::{FieldId, Fields, Reason};

/// The content type of a request that speaks gRPC (or gRPC-Web), as its answer has to name it.
pub(super) fn content_type(fields: &Fields) -> Option<&[u8]> {
    const GRPC: &[u8] = b"application/grpc";
    let value = fields.get(FieldId::ContentType)?;
    let (start, rest) = value.split_at_checked(GRPC.len())?;
    let goes_on = matches!(rest.first(), None | Some(b'+' | b';' | b'-' | b' '));
    (start.eq_ignore_ascii_case(GRPC) && goes_on).then_some(value)
}

/// Writes the status that stands for `reason`, as a head without a body carries it (gRPC over HTTP/2, "Trailers-Only").
pub(super) fn write(reason: Reason, request_id: &str, fields: &mut Fields) {
    let code = code(reason);
    fields.append_line(b"grpc-status", code.to_string().as_bytes());
    // Letters, digits, spaces and hyphens need no percent-encoding in this field.
    let message = format!("{} request {request_id}", reason.status().phrase());
    fields.append_line(b"grpc-message", message.as_bytes());
}

/// The status code of gRPC that stands for a reason: the mapping from HTTP's status that gRPC itself prescribes to
/// clients, but for times that ran out here, of which it has a name of its own.
fn code(reason: Reason) -> u8 {
    const CANCELLED: u8 = 1;
    const UNKNOWN: u8 = 2;
    const DEADLINE_EXCEEDED: u8 = 4;
    const PERMISSION_DENIED: u8 = 7;
    const RESOURCE_EXHAUSTED: u8 = 8;
    const UNIMPLEMENTED: u8 = 12;
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    const UNAUTHENTICATED: u8 = 16;
    match (reason, reason.status().code()) {
        (
            Reason::FirstByteTimeout
            | Reason::BetweenBytesTimeout
            | Reason::UpstreamWriteTimeout
            | Reason::RequestTimeout
            | Reason::TryTimeout,
            _,
        ) => DEADLINE_EXCEEDED,
        (_, 499) => CANCELLED,
        (_, 400 | 500) => INTERNAL,
        (_, 401) => UNAUTHENTICATED,
        (_, 403) => PERMISSION_DENIED,
        (_, 404) => UNIMPLEMENTED,
        (_, 413 | 431) => RESOURCE_EXHAUSTED,
        (_, 429 | 502 | 503 | 504) => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_message::Fault;
    use foregate_message::RequestHead;

    fn typed(value: &str) -> bool {
        let mut head = RequestHead::with("POST", b"/");
        head.fields.append(FieldId::ContentType, value.as_bytes());
        content_type(&head.fields).is_some()
    }

    #[test]
    fn grpc_is_told_by_the_content_type() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC; x=y",
            "application/grpc-web-text",
        ] {
            assert!(typed(yes), "{yes}");
        }
        for no in ["application/grp", "application/grpcx", "text/plain", ""] {
            assert!(!typed(no), "{no}");
        }
        assert!(content_type(&RequestHead::with("POST", b"/").fields).is_none());
    }

    #[test]
    fn reasons_have_the_code_that_grpc_prescribes() {
        for (reason, expected) in [
            (Reason::ConnectFailed, 14),
            (Reason::NoEndpoint, 14),
            (Reason::ConnectTimeout, 14),
            (Reason::FirstByteTimeout, 4),
            (Reason::RequestTimeout, 4),
            (Reason::NoRoute, 12),
            (Reason::Request(Fault::Length), 13),
            (Reason::Request(Fault::BodyTooLarge), 8),
            (Reason::Response(Fault::Length), 14),
            (Reason::ClientGone, 1),
            (Reason::ConnectRefused, 2),
        ] {
            assert_eq!(code(reason), expected, "{}", reason.name());
        }
    }
}

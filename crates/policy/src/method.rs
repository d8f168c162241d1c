//! Methods that a gateway does not serve.

use crate::Verdict;
use foregate_message::{Method, Reason};

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

#[cfg(test)]
mod tests {
    use super::*;

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

//! The part of a WebSocket handshake that HTTP/2 leaves out and HTTP/1.1 wants (RFC 6455 §4, RFC 8441 §5).

use foregate_message::{FieldId, FieldName, RequestHead, ResponseHead};
use foregate_wire::websocket;

/// A handshake with a backend on behalf of a client that needs none.
#[derive(Debug)]
pub(super) struct Handshake {
    accept: String,
}

impl Handshake {
    /// Adds a key made of `random` to a request that asks for a WebSocket; `None` for another protocol.
    pub(super) fn begin(head: &mut RequestHead, random: [u64; 2]) -> Option<Handshake> {
        if !websocket::is_named_by(head.fields.get(FieldId::Upgrade)?) {
            return None;
        }
        let key = websocket::key(random);
        let name = FieldName::new(websocket::KEY)?;
        head.fields.set_named(&name, key.as_bytes());
        Some(Handshake {
            accept: websocket::accept(key.as_bytes()),
        })
    }

    /// The answer without what only HTTP/1.1 wants to know; `None` when the backend did not understand the handshake.
    pub(super) fn end(self, head: &ResponseHead) -> Option<ResponseHead> {
        let name = FieldName::new(websocket::ACCEPT)?;
        let mut lines = head.fields.all_named(&name);
        if lines.next() != Some(self.accept.as_bytes()) || lines.next().is_some() {
            return None;
        }
        drop(lines);
        let mut head = head.clone();
        head.fields.remove_named(websocket::ACCEPT.as_bytes());
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_message::Status;

    #[test]
    fn only_the_right_answer_opens_the_tunnel() {
        let begin = || {
            let mut head = RequestHead::with("GET", b"/");
            head.fields.append(FieldId::Upgrade, b"websocket");
            Handshake::begin(&mut head, [1, 2]).unwrap()
        };
        let answer = |accept: &str| {
            let mut head = ResponseHead::new(Status::new(101).unwrap());
            head.fields
                .append_line(b"sec-websocket-accept", accept.as_bytes());
            head
        };
        let right = begin().accept;
        assert!(begin().end(&answer(&right)).unwrap().fields.is_empty());
        assert!(begin().end(&answer("x")).is_none());
        assert!(begin().end(&ResponseHead::default()).is_none());
        let mut other = RequestHead::with("GET", b"/");
        other.fields.append(FieldId::Upgrade, b"chat");
        assert!(Handshake::begin(&mut other, [1, 2]).is_none());
    }
}

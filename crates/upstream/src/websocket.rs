//! The part of a WebSocket handshake that HTTP/1.1 has and HTTP/2 leaves out (RFC 6455 §4, RFC 8441 §5): a backend of
//! HTTP/2 is not asked for it, so it is answered here.

use foregate_message::{FieldName, Fields, RequestHead};
use foregate_wire::websocket;

/// A handshake that the client has begun.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: String,
}

impl Handshake {
    /// Takes the key out of a request that asks for a WebSocket; `None` for another protocol.
    pub(crate) fn take(head: &mut RequestHead, protocol: &[u8]) -> Option<Handshake> {
        if !websocket::is_named_by(protocol) {
            return None;
        }
        let name = FieldName::new(websocket::KEY)?;
        let key = head.fields.all_named(&name).next()?;
        let accept = websocket::accept(key);
        head.fields.remove_named(name.as_str().as_bytes());
        Some(Handshake { accept })
    }

    /// Adds what a client of HTTP/1.1 expects.
    pub(crate) fn answer(&self, fields: &mut Fields) {
        if let Some(name) = FieldName::new(websocket::ACCEPT) {
            fields.set_named(&name, self.accept.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        let mut head = RequestHead::with("GET", b"/");
        let key = FieldName::new("Sec-WebSocket-Key").unwrap();
        head.fields.append_named(&key, b"dGhlIHNhbXBsZSBub25jZQ==");
        assert!(Handshake::take(&mut head, b"chat").is_none());
        let handshake = Handshake::take(&mut head, b"WebSocket").unwrap();
        assert!(head.fields.is_empty());
        let mut fields = Fields::new();
        handshake.answer(&mut fields);
        let line = fields.iter().next().unwrap();
        assert_eq!(line.value, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

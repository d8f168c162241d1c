//! The part of a WebSocket handshake that HTTP/1.1 has and HTTP/2 leaves out (RFC 6455 §4, RFC 8441 §5): a backend of
//! HTTP/2 is not asked for it, so it is answered here.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use foregate_message::{FieldName, Fields, RequestHead};

/// What the key is hashed with (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake that the client has begun.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: String,
}

impl Handshake {
    /// Takes the key out of a request that asks for a WebSocket; `None` for another protocol.
    pub(crate) fn take(head: &mut RequestHead, protocol: &[u8]) -> Option<Handshake> {
        if !protocol.eq_ignore_ascii_case(b"websocket") {
            return None;
        }
        let name = FieldName::new("Sec-WebSocket-Key")?;
        let key = head.fields.all_named(&name).next()?;
        let accept = base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()).as_ref());
        head.fields.remove_named(name.as_str().as_bytes());
        Some(Handshake { accept })
    }

    /// Adds what a client of HTTP/1.1 expects.
    pub(crate) fn answer(&self, fields: &mut Fields) {
        if let Some(name) = FieldName::new("Sec-WebSocket-Accept") {
            fields.set_named(&name, self.accept.as_bytes());
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let at = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = word >> (18 - 6 * place) & 63;
            let is_filling = place > three.len();
            text.push(if is_filling {
                '='
            } else {
                char::from(ALPHABET[digit as usize])
            });
        }
    }
    text
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

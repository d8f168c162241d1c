//! The part of a WebSocket handshake that HTTP/2 leaves out and HTTP/1.1 wants (RFC 6455 §4, RFC 8441 §5).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use foregate_message::{FieldId, FieldName, RequestHead, ResponseHead};

/// What the key is hashed with (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake with a backend on behalf of a client that needs none.
#[derive(Debug)]
pub(super) struct Handshake {
    accept: String,
}

impl Handshake {
    /// Adds a key made of `random` to a request that asks for a WebSocket; `None` for another protocol.
    pub(super) fn begin(head: &mut RequestHead, random: [u64; 2]) -> Option<Handshake> {
        let protocol = head.fields.get(FieldId::Upgrade)?;
        if !protocol.eq_ignore_ascii_case(b"websocket") {
            return None;
        }
        let key = base64(&random.map(u64::to_le_bytes).concat());
        let name = FieldName::new("Sec-WebSocket-Key")?;
        head.fields.set_named(&name, key.as_bytes());
        Some(Handshake {
            accept: accept(&key),
        })
    }

    /// The answer without what only HTTP/1.1 wants to know; `None` when the backend did not understand the handshake.
    pub(super) fn end(self, head: &ResponseHead) -> Option<ResponseHead> {
        const NAME: &str = "Sec-WebSocket-Accept";
        let name = FieldName::new(NAME)?;
        let mut lines = head.fields.all_named(&name);
        if lines.next() != Some(self.accept.as_bytes()) || lines.next().is_some() {
            return None;
        }
        drop(lines);
        let mut head = head.clone();
        head.fields.remove_named(NAME.as_bytes());
        Some(head)
    }
}

/// What a server answers to a key (RFC 6455 §4.2.2).
fn accept(key: &str) -> String {
    let text = [key.as_bytes(), GUID].concat();
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref())
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
    use foregate_message::Status;

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(base64(b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(
            ["", "f", "fo", "foo"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v"]
        );
    }

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

//! The messages of `grpc.health.v1.Health`: one text asked, one number answered.

use foregate_message::{FieldName, Fields};

/// Where it is asked.
pub(super) const PATH: &[u8] = b"/grpc.health.v1.Health/Check";

/// `SERVING` of `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;

/// A `HealthCheckRequest { service = 1 }`, behind gRPC's prefix of one flag and four bytes of length.
pub(super) fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 8);
    if !service.is_empty() {
        message.push(0x0a);
        let mut left = service.len();
        while left >= 0x80 {
            message.push(left as u8 | 0x80);
            left >>= 7;
        }
        message.push(left as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// `grpc-status`, where it is one.
pub(super) fn status(fields: &Fields) -> Option<u32> {
    let name = FieldName::new("grpc-status")?;
    let value = fields.all_named(&name).next()?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Whether a `HealthCheckResponse { status = 1 }` says that it serves; `None` where it is none.
pub(super) fn is_serving(body: &[u8]) -> Option<bool> {
    let (prefix, rest) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    // The flag tells of compression, which nobody asked for.
    let mut message = rest.get(..usize::try_from(length).ok()?)?;
    if prefix[0] != 0 {
        return None;
    }
    // A field that is not there is 0, which is UNKNOWN.
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let value = match tag & 7 {
            0 => varint(&mut message)?,
            1 => skip(&mut message, 8)?,
            2 => {
                let length = varint(&mut message)?;
                skip(&mut message, usize::try_from(length).ok()?)?
            }
            5 => skip(&mut message, 4)?,
            _ => return None,
        };
        if tag == 1 << 3 {
            status = value;
        }
    }
    Some(status == SERVING)
}

fn skip(message: &mut &[u8], bytes: usize) -> Option<u64> {
    *message = message.get(bytes..)?;
    Some(0)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in message.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            *message = &message[at + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_framed() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = question(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
        assert_eq!(long.len(), 5 + 303);
    }

    #[test]
    fn answers_are_read_and_nonsense_is_none() {
        for (message, expected) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(true)),
            (&[0, 0, 0, 0, 2, 8, 2], Some(false)),
            (&[0, 0, 0, 0, 0], Some(false)),
            // Fields of later versions are passed over.
            (&[0, 0, 0, 0, 6, 0x12, 2, 9, 9, 8, 1], Some(true)),
            (&[0, 0, 0, 0, 7, 0x15, 1, 2, 3, 4, 8, 1], Some(true)),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 3, 8, 1], None),
            (&[0, 0, 0, 0, 1, 8], None),
            (&[0, 0, 0, 0, 2, 0x12, 9], None),
            (&[0, 0], None),
            (&[], None),
        ] {
            assert_eq!(is_serving(message), expected, "{message:?}");
        }
        let endless = [&[0, 0, 0, 0, 12][..], &[0xff; 12]].concat();
        assert_eq!(is_serving(&endless), None);
    }
}

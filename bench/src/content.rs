//! What the backend answers and the load generator therefore expects, byte for byte.

/// Largest body that [`bytes`] makes, for answers and uploads alike.
pub const BYTES_MAX: usize = 64 << 20;

/// The first `length` bytes of the one deterministic stream that all bodies are cut from.
///
/// The stream is a xorshift sequence: it does not compress and does not repeat within any body, so a piece that was
/// dropped, doubled or swapped by a proxy is seen.
#[must_use]
pub fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// Parses a body size as written in targets and options: `512`, `1k`, `64k`, `10m` (binary units).
#[must_use]
pub fn size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<usize>().ok()?.checked_mul(unit)?;
    (size <= BYTES_MAX).then_some(size)
}

/// The body size that a target asks for: its last path segment as a [`size`], whatever stands before it; `slow`, whose
/// wait is in the query, means 1 KiB.
#[must_use]
pub fn size_of_target(target: &str) -> Option<usize> {
    let path = target.split('?').next()?;
    match path.rsplit('/').next()? {
        "slow" => Some(1 << 10),
        segment => size(segment),
    }
}

/// The body that answers an upload of `received` bytes; `same` tells whether they were the expected ones.
#[must_use]
pub fn upload_receipt(received: usize, same: bool) -> String {
    format!(
        "bytes={received} content={}\n",
        if same { "same" } else { "DIFFERENT" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_content_is_a_prefix_of_longer_content() {
        assert_eq!(bytes(1000), bytes(5000)[..1000]);
        assert_eq!(bytes(1001).len(), 1001);
    }

    #[test]
    fn sizes() {
        let check =
            |text: &str, expected: Option<usize>| assert_eq!(size(text), expected, "{text}");
        check("0", Some(0));
        check("1k", Some(1024));
        check("10m", Some(10 << 20));
        check("65m", None);
        check("k", None);
        check("+1", None);
        check("", None);
        check("99999999999999999999", None);
    }

    #[test]
    fn the_last_segment_decides() {
        assert_eq!(size_of_target("/1k"), Some(1024));
        assert_eq!(size_of_target("/a/b/64k?x=1"), Some(64 << 10));
        assert_eq!(size_of_target("/slow?ms=5"), Some(1024));
        assert_eq!(size_of_target("/upload"), None);
    }
}

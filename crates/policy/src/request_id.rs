//! The id that follows a request through logs, error pages and backends.

/// The longest id that is believed.
const ID_BYTES_MAX: usize = 128;

/// A request's id, kept without allocation.
#[derive(Clone, Copy)]
pub struct RequestId {
    bytes: [u8; ID_BYTES_MAX],
    length: u8,
}

impl RequestId {
    /// The id that `incoming` gives, if the peer is trusted and it is well formed, else a new one from 128 random bits.
    #[inline]
    pub fn choose(incoming: Option<&[u8]>, is_trusted: bool, random: u128) -> RequestId {
        match incoming {
            Some(id) if is_trusted && is_valid(id) => RequestId::of(id),
            _ => RequestId::new(random),
        }
    }

    /// A new id: 128 random bits as 32 hexadecimal digits.
    #[inline]
    pub fn new(random: u128) -> RequestId {
        let mut bytes = [0; ID_BYTES_MAX];
        let (eights, _) = bytes.as_chunks_mut();
        for (eight, shift) in eights.iter_mut().zip([96, 64, 32, 0]) {
            *eight = hexadecimal((random >> shift) as u32);
        }
        RequestId { bytes, length: 32 }
    }

    fn of(id: &[u8]) -> RequestId {
        let mut bytes = [0; ID_BYTES_MAX];
        let length = id.len().min(ID_BYTES_MAX);
        bytes[..length].copy_from_slice(&id[..length]);
        RequestId {
            bytes,
            length: length as u8,
        }
    }

    /// The id's text: visible ASCII without quotes, spaces or separators of logs and lists.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// Eight digits at once: the half bytes are spread over the bytes of one number, and those above nine go on with `a`.
#[inline]
fn hexadecimal(number: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut spread = u64::from(number);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & (ONES * 0x0f);
    let above_nine = ((spread + ONES * 6) >> 4) & ONES;
    let to_letters = u64::from(b'a' - b'0' - 10);
    (spread + ONES * u64::from(b'0') + above_nine * to_letters).to_be_bytes()
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether `id` can be passed on and logged as it is: 1 to 128 letters, digits and `-._~:+/=@`.
pub fn is_valid(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:+/=@".contains(byte);
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_hexadecimal() {
        let id = RequestId::new(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(id.as_str(), "0123456789abcdeffedcba9876543210");
        assert_eq!(RequestId::new(0).as_bytes(), [b'0'; 32]);
        assert!(is_valid(id.as_bytes()));
    }

    #[test]
    fn only_well_formed_ids_of_trusted_peers_are_believed() {
        let longest = "a".repeat(128);
        let too_long = "a".repeat(129);
        for (incoming, trusted, expected) in [
            ("abc-1:2", true, "abc-1:2"),
            (longest.as_str(), true, longest.as_str()),
            (too_long.as_str(), true, "0"),
            ("abc", false, "0"),
            ("", true, "0"),
            ("a b", true, "0"),
            ("a\r\nb", true, "0"),
            ("a\"b", true, "0"),
            ("a,b", true, "0"),
        ] {
            let id = RequestId::choose(Some(incoming.as_bytes()), trusted, 0);
            let expected = if expected == "0" {
                "0".repeat(32)
            } else {
                expected.into()
            };
            assert_eq!(id.as_str(), expected, "{incoming:?}");
        }
        assert_eq!(
            RequestId::choose(None, true, 1).as_str(),
            format!("{:032x}", 1)
        );
    }

    proptest::proptest! {
        #[test]
        fn new_ids_are_what_the_library_writes(random: u128) {
            let id = RequestId::new(random);
            proptest::prop_assert_eq!(id.as_str(), format!("{random:032x}"));
        }
    }
}

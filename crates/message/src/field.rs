//! Names of fields: the well-known ones as numbers, the others as bytes.

use crate::runs;

/// Names, in the order of their numbers, spelt as they are sent when nobody spelt them otherwise.
macro_rules! known {
    ($($variant:ident $text:literal,)*) => {
        /// A field name that some room asks for by number; everything else is [`FieldId::Other`].
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is the field of that name")]
        pub enum FieldId { $($variant,)* Other }

        const NAMES: &[&str] = &[$($text,)*];
        const IDS: &[FieldId] = &[$(FieldId::$variant,)*];
    };
}

known! {
    Host "Host",
    Connection "Connection",
    ContentLength "Content-Length",
    TransferEncoding "Transfer-Encoding",
    Te "TE",
    Trailer "Trailer",
    Upgrade "Upgrade",
    Expect "Expect",
    KeepAlive "Keep-Alive",
    ProxyConnection "Proxy-Connection",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyAuthenticationInfo "Proxy-Authentication-Info",
    Via "Via",
    Forwarded "Forwarded",
    XForwardedFor "X-Forwarded-For",
    XForwardedProto "X-Forwarded-Proto",
    XForwardedHost "X-Forwarded-Host",
    XForwardedPort "X-Forwarded-Port",
    XRealIp "X-Real-IP",
    XRequestId "X-Request-Id",
    Date "Date",
    Server "Server",
    Location "Location",
    ContentType "Content-Type",
    ContentEncoding "Content-Encoding",
    ContentRange "Content-Range",
    ContentLocation "Content-Location",
    CacheControl "Cache-Control",
    Pragma "Pragma",
    Expires "Expires",
    Age "Age",
    ETag "ETag",
    LastModified "Last-Modified",
    IfMatch "If-Match",
    IfNoneMatch "If-None-Match",
    IfModifiedSince "If-Modified-Since",
    IfUnmodifiedSince "If-Unmodified-Since",
    IfRange "If-Range",
    Range "Range",
    AcceptRanges "Accept-Ranges",
    Accept "Accept",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    Authorization "Authorization",
    WwwAuthenticate "WWW-Authenticate",
    Cookie "Cookie",
    SetCookie "Set-Cookie",
    UserAgent "User-Agent",
    Referer "Referer",
    Origin "Origin",
    Vary "Vary",
    RetryAfter "Retry-After",
    Link "Link",
    EarlyData "Early-Data",
    Http2Settings "HTTP2-Settings",
    Priority "Priority",
    XPoweredBy "X-Powered-By",
    StrictTransportSecurity "Strict-Transport-Security",
    AltSvc "Alt-Svc",
    MaxForwards "Max-Forwards",
}

/// A known name as it is compared: its length and, in lower case, its first and last eight bytes. A shorter name is
/// its own first and last word, filled up with zeros.
#[derive(Clone, Copy)]
struct Known {
    first: u64,
    last: u64,
    /// Which bits of the two count: not the one that parts upper from lower case, where there is a letter.
    first_bits: u64,
    last_bits: u64,
    len: u8,
    id: FieldId,
}

/// The known names by number; the places behind them hold what no name is the same as.
const KNOWN: [Known; 64] = {
    let nothing = Known {
        first: 0,
        last: 0,
        first_bits: u64::MAX,
        last_bits: u64::MAX,
        len: 0,
        id: FieldId::Other,
    };
    let mut known = [nothing; 64];
    let mut at = 0;
    while at < NAMES.len() {
        let name = NAMES[at].as_bytes();
        let first = lower_word(name, 0);
        let last = lower_word(name, name.len().saturating_sub(8));
        known[at] = Known {
            first,
            last,
            first_bits: !cases(first),
            last_bits: !cases(last),
            len: name.len() as u8,
            id: IDS[at],
        };
        at += 1;
    }
    known
};

/// The number that stands for no name.
const NONE: u8 = 63;

const TABLE: [u8; 256] = {
    assert!(
        NAMES.len() <= NONE as usize,
        "the presence mask has 64 bits"
    );
    let mut table = [NONE; 256];
    let mut at = 0;
    while at < NAMES.len() {
        let slot = slot(KNOWN[at].first, KNOWN[at].last);
        assert!(table[slot] == NONE, "two known field names share a slot");
        table[slot] = at as u8;
        at += 1;
    }
    table
};

const fn lower_word(name: &[u8], from: usize) -> u64 {
    let mut word = 0;
    let mut at = from;
    while at < name.len() && at < from + 8 {
        let byte = name[at].to_ascii_lowercase();
        // What `cases` counts on.
        assert!(byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        word |= (byte as u64) << (8 * (at - from));
        at += 1;
    }
    word
}

/// Perfect hash over the first and the last word, whatever their case; the table above refuses to compile when two
/// names collide, and then another factor must be tried.
#[inline]
const fn slot(first: u64, last: u64) -> usize {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let both = (first | FOLD).wrapping_add(last | FOLD);
    (both.wrapping_mul(0x7479_b92f_330f_e649) >> 56) as usize
}

/// The bit that parts upper from lower case, in each byte of a known name that is a letter.
const fn cases(lower: u64) -> u64 {
    (lower & 0x4040_4040_4040_4040) >> 1
}

impl Known {
    /// Whether the bytes between the first and the last eight are those of `name`, which is as long.
    #[cold]
    #[inline(never)]
    fn has_middle_of(&self, name: &[u8]) -> bool {
        let middle = 8..usize::from(self.len) - 8;
        self.id.as_str().as_bytes()[middle.clone()].eq_ignore_ascii_case(&name[middle])
    }
}

impl FieldId {
    /// How many names are known; each number below it has a bit in a field list's presence mask.
    pub const KNOWN: usize = NAMES.len();

    /// Every one that is known.
    pub const ALL: &'static [FieldId] = IDS;

    /// The number of `name`, whatever its case.
    #[inline]
    pub fn of(name: &[u8]) -> FieldId {
        let (first, last) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => {
                let bytes = name.iter().rev();
                let word = bytes.fold(0, |word, &byte| word << 8 | u64::from(byte));
                (word, word)
            }
        };
        Self::find(first, last, name)
    }

    /// The number of the name before the first colon of `line`, and its length; `None` when there is no colon.
    /// That is a token only when it is known: what comes as [`FieldId::Other`] has not been looked at.
    #[inline]
    pub fn before_colon(line: &[u8]) -> Option<(FieldId, usize)> {
        let Some((first, behind)) = line.split_first_chunk::<8>() else {
            return Self::before_colon_in_few(line);
        };
        let first = u64::from_le_bytes(*first);
        let colons = runs::equal(first, b':');
        let (len, first, last) = if colons != 0 {
            let below = (colons ^ (colons - 1)) >> 8;
            (runs::first(colons), first & below, first & below)
        } else {
            let len = 8 + runs::until(behind, b':')?;
            (
                len,
                first,
                u64::from_le_bytes(*line[len - 8..].first_chunk::<8>()?),
            )
        };
        Some((Self::find(first, last, &line[..len]), len))
    }

    #[cold]
    fn before_colon_in_few(line: &[u8]) -> Option<(FieldId, usize)> {
        let len = runs::until(line, b':')?;
        Some((Self::of(&line[..len]), len))
    }

    /// The number of `name`, whose first and last eight bytes are known, as in [`Known`].
    #[inline]
    fn find(first: u64, last: u64, name: &[u8]) -> FieldId {
        let known = &KNOWN[usize::from(TABLE[slot(first, last)] & NONE)];
        let differs = ((first ^ known.first) & known.first_bits)
            | ((last ^ known.last) & known.last_bits)
            | (name.len() ^ usize::from(known.len)) as u64;
        if differs != 0 || (name.len() > 16 && !known.has_middle_of(name)) {
            return FieldId::Other;
        }
        known.id
    }

    /// The usual spelling, or the empty string for [`FieldId::Other`].
    #[inline]
    pub fn as_str(self) -> &'static str {
        NAMES.get(self as usize).copied().unwrap_or("")
    }

    /// This name's bit in a presence mask; for `Other` one that no known name has.
    #[inline]
    pub(crate) const fn mark(self) -> u64 {
        1 << self as u64
    }

    /// This name's bit in a presence mask; `Other` has none.
    #[inline]
    pub(crate) const fn bit(self) -> u64 {
        if (self as usize) < NAMES.len() {
            1 << self as u64
        } else {
            0
        }
    }
}

/// A validated field name kept beyond one message: what header rules and matchers are compiled to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldName {
    id: FieldId,
    text: Box<str>,
}

impl FieldName {
    /// Takes a token (RFC 9110 §5.1); `None` when `text` is empty or holds anything else.
    pub fn new(text: &str) -> Option<FieldName> {
        if text.is_empty() || !text.bytes().all(is_token_byte) {
            return None;
        }
        Some(FieldName {
            id: FieldId::of(text.as_bytes()),
            text: text.into(),
        })
    }

    /// The name of a known field.
    pub fn known(id: FieldId) -> FieldName {
        FieldName {
            id,
            text: id.as_str().into(),
        }
    }

    /// The known number, or [`FieldId::Other`].
    pub fn id(&self) -> FieldId {
        self.id
    }

    /// The spelling it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
#[inline]
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Whether many backends take two names for the same: they read `_` as `-`, as CGI does.
pub fn reads_alike(one: &[u8], other: &[u8]) -> bool {
    let plain = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    one.len() == other.len() && one.iter().map(plain).eq(other.iter().map(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        const { assert!(FieldId::KNOWN < 64, "the presence mask has 64 bits") };
        for (at, name) in NAMES.iter().enumerate() {
            assert_eq!(FieldId::of(name.as_bytes()), IDS[at]);
            assert_eq!(FieldId::of(name.to_ascii_uppercase().as_bytes()), IDS[at]);
            assert_eq!(FieldId::of(name.to_ascii_lowercase().as_bytes()), IDS[at]);
            assert_eq!(IDS[at].as_str(), *name);
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in [
            "",
            "h",
            "hosts",
            "hist",
            "content_length",
            "x-forwarded-fox",
        ] {
            assert_eq!(FieldId::of(name.as_bytes()), FieldId::Other, "{name}");
        }
    }

    #[test]
    fn each_byte_of_a_known_name_counts() {
        for (at, known) in NAMES.iter().enumerate() {
            for place in 0..known.len() {
                for byte in 0..=u8::MAX {
                    let mut name = known.as_bytes().to_vec();
                    name[place] = byte;
                    let same = name.eq_ignore_ascii_case(known.as_bytes());
                    let found = FieldId::of(&name);
                    assert_eq!(found == IDS[at], same, "{}", name.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn a_name_ends_at_its_colon() {
        for (at, known) in NAMES.iter().enumerate() {
            for behind in ["", " a", ": b, c: d\r\n", "\r\n\r\n"] {
                let line = format!("{}:{behind}", known.to_ascii_uppercase());
                let found = FieldId::before_colon(line.as_bytes());
                assert_eq!(found, Some((IDS[at], known.len())), "{line}");
                let other = format!("x{line}");
                let found = FieldId::before_colon(other.as_bytes());
                assert_eq!(found, Some((FieldId::Other, known.len() + 1)), "{other}");
            }
        }
        assert_eq!(FieldId::before_colon(b":"), Some((FieldId::Other, 0)));
        assert_eq!(
            FieldId::before_colon(b": abcdefgh"),
            Some((FieldId::Other, 0))
        );
        assert_eq!(FieldId::before_colon(b"host"), None);
        assert_eq!(FieldId::before_colon(b"transfer-encoding"), None);
    }

    #[test]
    fn field_names_are_tokens() {
        assert!(FieldName::new("X-A").is_some());
        for bad in ["", "a b", "a:", "ä", "a\r"] {
            assert!(FieldName::new(bad).is_none(), "{bad:?}");
        }
    }
}

//! The static table (RFC 7541 Appendix A).

use super::names::{Kind, Pseudo};
use foregate_message::FieldId;

/// A line of the static table, as it stands in a list of fields.
pub(super) struct Static {
    /// `name: value\r\n`
    pub(super) text: &'static [u8],
    pub(super) name_len: u8,
    pub(super) kind: Kind,
}

impl Static {
    pub(super) fn name(&self) -> &'static [u8] {
        &self.text[..usize::from(self.name_len)]
    }

    pub(super) fn value(&self) -> &'static [u8] {
        &self.text[usize::from(self.name_len) + 2..self.text.len() - 2]
    }
}

macro_rules! lines {
    ($($name:literal $value:literal $kind:expr,)*) => {
        &[$(Static {
            text: concat!($name, ": ", $value, "\r\n").as_bytes(),
            name_len: $name.len() as u8,
            kind: $kind,
        },)*]
    };
}

const OTHER: Kind = Kind::Field(FieldId::Other);

const fn pseudo(pseudo: Pseudo) -> Kind {
    Kind::Pseudo(pseudo)
}

const fn field(id: FieldId) -> Kind {
    Kind::Field(id)
}

/// How many lines the static table has; the dynamic one's numbers begin behind it.
pub(super) const COUNT: usize = STATICS.len();

/// The lines from number 1 on.
pub(super) static STATICS: &[Static] = lines! {
    "host" "" pseudo(Pseudo::Authority),
    ":method" "GET" pseudo(Pseudo::Method),
    ":method" "POST" pseudo(Pseudo::Method),
    ":path" "/" pseudo(Pseudo::Path),
    ":path" "/index.html" pseudo(Pseudo::Path),
    ":scheme" "http" pseudo(Pseudo::Scheme),
    ":scheme" "https" pseudo(Pseudo::Scheme),
    ":status" "200" pseudo(Pseudo::Status),
    ":status" "204" pseudo(Pseudo::Status),
    ":status" "206" pseudo(Pseudo::Status),
    ":status" "304" pseudo(Pseudo::Status),
    ":status" "400" pseudo(Pseudo::Status),
    ":status" "404" pseudo(Pseudo::Status),
    ":status" "500" pseudo(Pseudo::Status),
    "accept-charset" "" OTHER,
    "accept-encoding" "gzip, deflate" field(FieldId::AcceptEncoding),
    "accept-language" "" field(FieldId::AcceptLanguage),
    "accept-ranges" "" field(FieldId::AcceptRanges),
    "accept" "" field(FieldId::Accept),
    "access-control-allow-origin" "" OTHER,
    "age" "" field(FieldId::Age),
    "allow" "" OTHER,
    "authorization" "" field(FieldId::Authorization),
    "cache-control" "" field(FieldId::CacheControl),
    "content-disposition" "" OTHER,
    "content-encoding" "" field(FieldId::ContentEncoding),
    "content-language" "" OTHER,
    "content-length" "" field(FieldId::ContentLength),
    "content-location" "" field(FieldId::ContentLocation),
    "content-range" "" field(FieldId::ContentRange),
    "content-type" "" field(FieldId::ContentType),
    "cookie" "" field(FieldId::Cookie),
    "date" "" field(FieldId::Date),
    "etag" "" field(FieldId::ETag),
    "expect" "" field(FieldId::Expect),
    "expires" "" field(FieldId::Expires),
    "from" "" OTHER,
    "host" "" field(FieldId::Host),
    "if-match" "" field(FieldId::IfMatch),
    "if-modified-since" "" field(FieldId::IfModifiedSince),
    "if-none-match" "" field(FieldId::IfNoneMatch),
    "if-range" "" field(FieldId::IfRange),
    "if-unmodified-since" "" field(FieldId::IfUnmodifiedSince),
    "last-modified" "" field(FieldId::LastModified),
    "link" "" field(FieldId::Link),
    "location" "" field(FieldId::Location),
    "max-forwards" "" field(FieldId::MaxForwards),
    "proxy-authenticate" "" field(FieldId::ProxyAuthenticate),
    "proxy-authorization" "" field(FieldId::ProxyAuthorization),
    "range" "" field(FieldId::Range),
    "referer" "" field(FieldId::Referer),
    "refresh" "" OTHER,
    "retry-after" "" field(FieldId::RetryAfter),
    "server" "" field(FieldId::Server),
    "set-cookie" "" field(FieldId::SetCookie),
    "strict-transport-security" "" field(FieldId::StrictTransportSecurity),
    "transfer-encoding" "" field(FieldId::TransferEncoding),
    "user-agent" "" field(FieldId::UserAgent),
    "vary" "" field(FieldId::Vary),
    "via" "" field(FieldId::Via),
    "www-authenticate" "" field(FieldId::WwwAuthenticate),
};

/// For each known field the number of the line with its name, 0 when there is none.
pub(super) static NUMBER_OF_FIELD: [u8; 64] = {
    let mut numbers = [0; 64];
    let mut at = 0;
    while at < COUNT {
        if let Kind::Field(id) = STATICS[at].kind
            && !matches!(id, FieldId::Other)
        {
            numbers[id as usize] = at as u8 + 1;
        }
        at += 1;
    }
    numbers
};

/// The number of the line with a name that is no known field's, 0 when there is none.
pub(super) fn number_of_other(name: &[u8]) -> usize {
    // Those lines are few: their numbers.
    const OTHERS: [u8; 7] = [15, 20, 22, 25, 27, 37, 52];
    let same = |&&number: &&u8| {
        STATICS[usize::from(number) - 1]
            .name()
            .eq_ignore_ascii_case(name)
    };
    OTHERS
        .iter()
        .find(same)
        .map_or(0, |&number| usize::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        assert_eq!(COUNT, 61);
        for (at, line) in STATICS.iter().enumerate() {
            let name = if at == 0 { b":authority" } else { line.name() };
            assert_eq!(line.kind, Kind::of(name), "{at}");
            assert_eq!(line.name(), line.kind.stored(name));
            assert!(
                line.text
                    .starts_with(&[line.name(), b": ", line.value()].concat())
            );
            match line.kind {
                Kind::Field(FieldId::Other) => assert_eq!(number_of_other(line.name()), at + 1),
                Kind::Field(id) => assert_eq!(usize::from(NUMBER_OF_FIELD[id as usize]), at + 1),
                _ => {}
            }
        }
        assert_eq!(number_of_other(b"x-own"), 0);
    }
}

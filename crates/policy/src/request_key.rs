//! What of a request decides where it goes, so that requests that have it in common meet at one backend.

use crate::cookies;
use foregate_message::{FieldName, Fields};
use std::net::IpAddr;

/// What requests are placed by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestKey {
    /// The client's address.
    Client,
    /// The path, as routes are matched with it.
    Path,
    /// Path and query.
    Url,
    /// A field; of several lines the first.
    Header(FieldName),
    /// A cookie.
    Cookie(Box<str>),
    /// A query parameter, as it was sent.
    Query(Box<str>),
}

/// What a key is taken from.
#[derive(Clone, Copy, Debug)]
pub struct Keyed<'a> {
    /// The client, as far as trusted proxies say.
    pub client: IpAddr,
    /// The path, as routes are matched with it.
    pub path: &'a [u8],
    /// The query without its question mark.
    pub query: Option<&'a [u8]>,
    /// The fields as the client sent them.
    pub fields: &'a Fields,
}

impl RequestKey {
    /// The hash of the key; `None` for a request that does not have it, and for an empty one.
    pub fn of(&self, request: &Keyed<'_>, hash: impl Fn(&[u8]) -> u64) -> Option<u64> {
        let found = match self {
            RequestKey::Client => {
                return Some(match request.client {
                    IpAddr::V4(ip) => hash(&ip.octets()),
                    IpAddr::V6(ip) => hash(&ip.octets()),
                });
            }
            RequestKey::Path => Some(request.path),
            RequestKey::Url => {
                let of_query = request.query.map_or(0, &hash);
                return Some(hash(request.path) ^ of_query.rotate_left(1));
            }
            RequestKey::Header(name) => request.fields.all_named(name).next(),
            RequestKey::Cookie(name) => cookies::find(request.fields, name.as_bytes()),
            RequestKey::Query(name) => request
                .query
                .and_then(|query| parameter(query, name.as_bytes())),
        };
        found.filter(|key| !key.is_empty()).map(hash)
    }

    /// What it is called in explanations: `client`, `header:x-user`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            RequestKey::Client => "client".to_owned(),
            RequestKey::Path => "path".to_owned(),
            RequestKey::Url => "url".to_owned(),
            RequestKey::Header(name) => format!("header:{}", name.as_str()),
            RequestKey::Cookie(name) => format!("cookie:{name}"),
            RequestKey::Query(name) => format!("query:{name}"),
        }
    }
}

/// The value of the first parameter of this name.
fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = query.split(|byte| *byte == b'&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_message::FieldId;

    fn key(by: &RequestKey) -> Option<Vec<u8>> {
        let mut fields = Fields::new();
        fields.append(FieldId::Cookie, b"a=1; session=x; b=2");
        fields.append_line(b"X-User", b"anna");
        fields.append_line(b"X-User", b"bert");
        fields.append_line(b"X-Empty", b"");
        let request = Keyed {
            client: "192.0.2.7".parse().unwrap(),
            path: b"/a",
            query: Some(b"idle=0&id=7&id=8"),
            fields: &fields,
        };
        // The hash is the text itself as far as it fits, so that it can be compared.
        let plain = |text: &[u8]| {
            text.iter()
                .take(8)
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let number = by.of(&request, plain)?;
        Some(
            number
                .to_be_bytes()
                .into_iter()
                .skip_while(|byte| *byte == 0)
                .collect(),
        )
    }

    #[test]
    fn keys_are_found_where_they_are() {
        let header = |name| RequestKey::Header(FieldName::new(name).unwrap());
        assert_eq!(key(&RequestKey::Client).unwrap(), [192, 0, 2, 7]);
        assert_eq!(key(&RequestKey::Path).unwrap(), b"/a");
        assert_ne!(key(&RequestKey::Url), key(&RequestKey::Path));
        assert_eq!(key(&header("x-user")).unwrap(), b"anna");
        assert_eq!(key(&header("x-empty")), None);
        assert_eq!(key(&header("x-other")), None);
        assert_eq!(key(&RequestKey::Cookie("session".into())).unwrap(), b"x");
        assert_eq!(key(&RequestKey::Cookie("sess".into())), None);
        assert_eq!(key(&RequestKey::Query("id".into())).unwrap(), b"7");
        assert_eq!(key(&RequestKey::Query("i".into())), None);
    }
}

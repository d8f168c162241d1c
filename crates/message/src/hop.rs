//! Fields that belong to one connection and are not forwarded (RFC 9110 §7.6.1).

use crate::fields::FieldSet;
use crate::{FieldId, Fields};

/// Fields that never outlive their connection, whether `Connection` names them or not. `Trailer` is not among them:
/// trailers are forwarded, so their announcement is. `Expect` is answered by the gateway itself.
const HOP_BY_HOP: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::ProxyAuthenticate,
    FieldId::ProxyAuthorization,
    FieldId::ProxyAuthenticationInfo,
    FieldId::Te,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
    FieldId::Http2Settings,
    FieldId::Expect,
]);

/// Removes what is not to be forwarded. Fields that `Connection` names go too, except the ones that this gateway
/// knows to be end to end: naming `Cookie` or `X-Forwarded-For` there is an attempt to have them stripped.
#[inline]
pub fn strip(fields: &mut Fields) {
    if !fields.has_any(HOP_BY_HOP) {
        return;
    }
    if fields.has(FieldId::Connection) {
        strip_named(fields);
    }
    fields.remove_any(HOP_BY_HOP);
}

fn strip_named(fields: &mut Fields) {
    let usual = |token: &[u8]| {
        token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close")
    };
    let named: Vec<Vec<u8>> = fields
        .tokens(FieldId::Connection)
        .filter(|token| !usual(token) && FieldId::of(token) == FieldId::Other)
        .map(<[u8]>::to_vec)
        .collect();
    for name in named {
        fields.remove_named(&name);
    }
}

/// What a request asks to switch to, if it asks properly: `Upgrade` with something in it, named by `Connection`
/// (RFC 9110 §7.8).
pub fn upgrade(fields: &Fields) -> Option<&[u8]> {
    if !fields.has(FieldId::Upgrade) || !fields.has_token(FieldId::Connection, b"upgrade") {
        return None;
    }
    fields
        .get(FieldId::Upgrade)
        .filter(|value| !value.is_empty())
}

/// Whether what an `Upgrade` names is HTTP itself, in some version.
pub fn is_http(protocol: &[u8]) -> bool {
    let name = protocol
        .split(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    [&b"h2c"[..], b"h2", b"h3", b"http"]
        .iter()
        .any(|http| name.eq_ignore_ascii_case(http))
}

/// What a 426 asks its client to switch to, which it must say (RFC 9110 §15.5.22); `None` when it names nothing but versions of
/// HTTP, which are the gateway's to choose.
pub fn required_upgrade(fields: &Fields) -> Option<Vec<u8>> {
    let others = fields.tokens(FieldId::Upgrade);
    let others: Vec<&[u8]> = others.filter(|protocol| !is_http(protocol)).collect();
    (!others.is_empty()).then(|| others.join(&b", "[..]))
}

/// Whether the sender can take trailers (`TE: trailers`, RFC 9110 §6.5.1).
pub fn takes_trailers(fields: &Fields) -> bool {
    fields.has_token(FieldId::Te, b"trailers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[(&str, &str)], expected: &[&str]) {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append_line(name.as_bytes(), value.as_bytes());
        }
        strip(&mut fields);
        let names: Vec<_> = fields
            .iter()
            .map(|line| String::from_utf8(line.name.to_vec()).unwrap())
            .collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn hop_by_hop_fields_go() {
        check(
            &[
                ("Host", "a"),
                ("Connection", "keep-alive"),
                ("Keep-Alive", "timeout=5"),
                ("TE", "trailers"),
                ("Transfer-Encoding", "chunked"),
                ("Trailer", "X"),
                ("Upgrade", "h2c"),
                ("Proxy-Connection", "close"),
                ("Expect", "100-continue"),
            ],
            &["Host", "Trailer"],
        );
    }

    #[test]
    fn named_fields_go_unless_they_are_end_to_end() {
        check(
            &[
                ("Connection", "X-Own, cookie, Host, x-forwarded-for"),
                ("Connection", "close, X-Gone"),
                ("X-Own", "1"),
                ("x-gone", "1"),
                ("Cookie", "1"),
                ("Host", "a"),
                ("X-Forwarded-For", "1.1.1.1"),
            ],
            &["Cookie", "Host", "X-Forwarded-For"],
        );
    }

    #[test]
    fn a_required_upgrade_is_one_to_another_protocol() {
        for (lines, expected) in [
            (&["websocket"][..], Some("websocket")),
            (
                &["h2c, HTTP/2.0", "TLS/1.3, IRC/6.9"],
                Some("TLS/1.3, IRC/6.9"),
            ),
            (&["HTTP/2.0"], None),
            (&[], None),
        ] {
            let mut fields = Fields::new();
            for line in lines {
                fields.append(FieldId::Upgrade, line.as_bytes());
            }
            let found = required_upgrade(&fields);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{lines:?}");
        }
    }

    #[test]
    fn an_upgrade_needs_both_fields() {
        let mut fields = Fields::new();
        fields.append(FieldId::Upgrade, b"websocket");
        assert_eq!(upgrade(&fields), None);
        fields.append(FieldId::Connection, b"keep-alive, Upgrade");
        assert_eq!(upgrade(&fields), Some(&b"websocket"[..]));
    }
}

//! Request targets and authorities (RFC 9112 §3.2, RFC 3986 §3.2).

use crate::{Fault, Method, runs};

/// Which of the four forms a target has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetForm {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, for CONNECT
    Authority,
    /// `*`, for OPTIONS
    Asterisk,
}

/// A request target taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<'a> {
    /// Its form.
    pub form: TargetForm,
    /// The authority of the absolute and authority forms.
    pub authority: Option<&'a [u8]>,
    /// The path; `/` when an absolute form has none, empty for the authority and asterisk forms.
    pub path: &'a [u8],
    /// The query without its `?`, when there is a `?`.
    pub query: Option<&'a [u8]>,
}

/// A byte that no target may have.
const FOREIGN: u8 = 1;
/// A `?`.
const QUESTION: u8 = 2;

/// Visible ASCII without `#`, which starts a fragment, and `"<>`, which no URI holds raw.
const TARGET_BYTES: [u8; 256] = {
    let mut table = [FOREIGN; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = match byte as u8 {
            b'#' | b'"' | b'<' | b'>' => FOREIGN,
            b'?' => QUESTION,
            _ => 0,
        };
        byte += 1;
    }
    table
};

impl<'a> Target<'a> {
    /// Takes a target apart.
    ///
    /// # Errors
    /// [`Fault::Target`] when it has none of the forms that its method allows, or a byte that no target may have.
    #[inline]
    pub fn parse(method: &Method, raw: &'a [u8]) -> Result<Target<'a>, Fault> {
        let class = |&byte: &u8| TARGET_BYTES[usize::from(byte)];
        let classes = raw.iter().fold(0, |classes, byte| classes | class(byte));
        if classes & FOREIGN != 0 {
            return Err(Fault::Target);
        }
        if *method == Method::Connect {
            return Self::authority_form(raw);
        }
        match raw.first() {
            Some(b'/') if classes & QUESTION == 0 => Ok(Target {
                form: TargetForm::Origin,
                authority: None,
                path: raw,
                query: None,
            }),
            Some(b'/') => Ok(Self::of_path(TargetForm::Origin, None, raw)),
            Some(b'*') if raw.len() == 1 && *method == Method::Options => Ok(Target {
                form: TargetForm::Asterisk,
                authority: None,
                path: b"",
                query: None,
            }),
            Some(_) => Self::absolute_form(raw),
            None => Err(Fault::Target),
        }
    }

    fn of_path(form: TargetForm, authority: Option<&'a [u8]>, rest: &'a [u8]) -> Target<'a> {
        let (path, query) = match runs::until(rest, b'?') {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        Target {
            form,
            authority,
            path,
            query,
        }
    }

    fn authority_form(raw: &'a [u8]) -> Result<Target<'a>, Fault> {
        let (_, port) = split_authority(raw).ok_or(Fault::Target)?;
        if port.is_none() {
            return Err(Fault::Target);
        }
        Ok(Target {
            form: TargetForm::Authority,
            authority: Some(raw),
            path: b"",
            query: None,
        })
    }

    fn absolute_form(raw: &'a [u8]) -> Result<Target<'a>, Fault> {
        let after_scheme = [&b"http://"[..], b"https://"]
            .iter()
            .find(|scheme| {
                raw.len() >= scheme.len() && raw[..scheme.len()].eq_ignore_ascii_case(scheme)
            })
            .map(|scheme| &raw[scheme.len()..])
            .ok_or(Fault::Target)?;
        let end = after_scheme
            .iter()
            .position(|&byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(after_scheme.len());
        let (authority, rest) = after_scheme.split_at(end);
        // User information is not accepted: it only ever helps a phisher (RFC 9110 §4.2.4).
        if split_authority(authority).is_none() {
            return Err(Fault::Target);
        }
        let mut target = Self::of_path(TargetForm::Absolute, Some(authority), rest);
        if target.path.is_empty() {
            target.path = b"/";
        }
        Ok(target)
    }
}

/// A host and an optional port, parted; `None` when the text is not that. An IPv6 host keeps its brackets.
#[inline]
pub fn split_authority(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let classes = host_classes(text);
    if classes & BREAK != 0 {
        return split_bracketed(text);
    }
    let colon = if classes & COLON != 0 {
        runs::until(text, b':')?
    } else {
        text.len()
    };
    let (host, rest) = text.split_at(colon);
    if host.is_empty() || host.len() > HOST_BYTES_MAX {
        return None;
    }
    Some((host, port(rest)?))
}

#[cold]
fn split_bracketed(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = text.iter().position(|&byte| byte == b']')? + 1;
    let (host, rest) = text.split_at(end);
    if !is_host(host) {
        return None;
    }
    Some((host, port(rest)?))
}

/// The port behind a host, if there is one; `None` when that is something else.
#[inline]
fn port(text: &[u8]) -> Option<Option<u16>> {
    match text {
        [] => Some(None),
        // `host:` has an empty port, which means the default one (RFC 3986 §3.2.3).
        [b':'] => Some(None),
        [b':', digits @ ..] if digits.len() <= 5 => {
            let mut port = 0;
            for byte in digits {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                port = port * 10 + u32::from(digit);
            }
            Some(Some(u16::try_from(port).ok()?))
        }
        _ => None,
    }
}

/// DNS has no longer names (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

const DOT: u8 = 1;
const COLON: u8 = 2;
/// A byte that no host name has, or a dot without a label before it.
const BREAK: u8 = 4;

const HOST_BYTES: [u8; 256] = {
    let mut table = [BREAK; 256];
    let mut byte = 0;
    while byte < 128 {
        let code = byte as u8;
        if code.is_ascii_alphanumeric() || matches!(code, b'-' | b'_') {
            table[byte] = 0;
        }
        byte += 1;
    }
    table[b'.' as usize] = DOT;
    table[b':' as usize] = COLON;
    table
};

/// What there is in `text`.
#[inline]
fn host_classes(text: &[u8]) -> u8 {
    let mut classes = 0;
    let mut twice = 0;
    let mut previous = DOT;
    for &byte in text {
        let class = HOST_BYTES[usize::from(byte)];
        classes |= class;
        twice |= class & previous;
        previous = class;
    }
    if twice & DOT != 0 { BREAK } else { classes }
}

/// Whether `text` is a host name, an IPv4 address, or an IPv6 address in brackets. Underscores are let through,
/// as internal names have them; percent-encoding is not, as no resolver would agree on it.
pub fn is_host(text: &[u8]) -> bool {
    match text {
        [] => false,
        [b'[', inner @ .., b']'] => {
            let inner = std::str::from_utf8(inner).unwrap_or("");
            inner.parse::<std::net::Ipv6Addr>().is_ok()
        }
        _ => text.len() <= HOST_BYTES_MAX && host_classes(text) & (COLON | BREAK) == 0,
    }
}

/// The host of a `Host` value that is known to be well formed, without its port.
#[inline]
pub fn host_without_port(value: &[u8]) -> &[u8] {
    if value.first() == Some(&b'[') {
        let end = value.iter().position(|&byte| byte == b']');
        return end.map_or(value, |end| &value[..=end]);
    }
    runs::until(value, b':').map_or(value, |end| &value[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, raw: &str, expected: Result<(TargetForm, &str, &str, &str), ()>) {
        let method = Method::known(method.as_bytes()).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = Target::parse(&method, raw.as_bytes()).map(|t| {
            (
                t.form,
                text(t.authority.unwrap_or(b"-")),
                text(t.path),
                text(t.query.unwrap_or(b"-")),
            )
        });
        let expected = expected.map(|(form, authority, path, query)| {
            (form, authority.into(), path.into(), query.into())
        });
        assert_eq!(found.map_err(|_| ()), expected, "{raw}");
    }

    #[test]
    fn the_four_forms() {
        use TargetForm::*;
        check("GET", "/a?b?c", Ok((Origin, "-", "/a", "b?c")));
        check("GET", "//a", Ok((Origin, "-", "//a", "-")));
        check("GET", "/?", Ok((Origin, "-", "/", "")));
        check("GET", "http://h:80/a?q", Ok((Absolute, "h:80", "/a", "q")));
        check("GET", "HTTPS://h", Ok((Absolute, "h", "/", "-")));
        check("GET", "http://h?q", Ok((Absolute, "h", "/", "q")));
        check("CONNECT", "h:443", Ok((Authority, "h:443", "", "-")));
        check("OPTIONS", "*", Ok((Asterisk, "-", "", "-")));
    }

    #[test]
    fn refused_targets() {
        for raw in [
            "",
            "a",
            "*",
            "*/",
            "ftp://h/",
            "http://",
            "http:///a",
            "http://u@h/",
            "/a#b",
            "/a b",
            "/\u{7f}",
            "/ä",
            "/a\"",
            "http://h:99999/",
            "http://[::1/",
            "http://a..b/",
        ] {
            check("GET", raw, Err(()));
        }
        for raw in ["h", "/a", "http://h:1/", "h:x", "*"] {
            check("CONNECT", raw, Err(()));
        }
    }

    #[test]
    fn authorities() {
        let split = |text: &str| {
            split_authority(text.as_bytes())
                .map(|(host, port)| (String::from_utf8(host.to_vec()).unwrap(), port))
        };
        assert_eq!(split("a.b:80"), Some(("a.b".into(), Some(80))));
        assert_eq!(split("a:"), Some(("a".into(), None)));
        assert_eq!(split("[::1]:8"), Some(("[::1]".into(), Some(8))));
        for bad in [
            "", ":80", "a:b", "a:-1", "a:65536", "::1", "[::1", "[x]", "a b", "a,b", "a/", "a@b",
            ".a",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
        assert_eq!(host_without_port(b"[::1]:80"), b"[::1]");
        assert_eq!(host_without_port(b"a:80"), b"a");
    }
}

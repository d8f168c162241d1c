//! Who may ask for what: guards against browsers that a foreign page has set on the admin listener.
//!
//! A page on the internet can make its visitor's browser send requests to loopback. It can't read the answers, unless
//! its name resolves to loopback (DNS rebinding), and then the browser sends that name as Host. So whatever changes
//! or tells much is for those alone who address the listener by a loopback name or an IP literal. Metrics and health
//! are for everyone, since scrapers go by names of their own network.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

/// Whether a Host field names this machine in a way that no foreign name server has a say in: `localhost`, a name
/// below it (RFC 6761 §6.3), or an IP literal; with or without a port.
pub fn is_own_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<std::net::Ipv6Addr>().is_ok() && is_port_suffix(port)
        });
    }
    let (name, port) = host
        .find(':')
        .map_or((host, ""), |colon| host.split_at(colon));
    if !is_port_suffix(port) {
        return false;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let last_label = name.rsplit('.').next().unwrap_or(name);
    last_label.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_ipv4())
}

fn is_port_suffix(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Whether a request's Host field is there once and is an own host.
pub(crate) fn addresses_us(headers: &HeaderMap) -> bool {
    only(headers, header::HOST).is_some_and(is_own_host)
}

/// Whether a browser says that a page of another origin is behind the request (Fetch Metadata `Sec-Fetch-Site`, or
/// RFC 6454 `Origin`). A client that is no browser sends neither.
pub(crate) fn is_cross_site(headers: &HeaderMap) -> bool {
    let is_foreign_fetch = headers
        .get_all("sec-fetch-site")
        .iter()
        .any(|site| site != "same-origin" && site != "none");
    if is_foreign_fetch {
        return true;
    }
    let host = only(headers, header::HOST).unwrap_or_default();
    headers.get_all(header::ORIGIN).iter().any(|origin| {
        let own = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
            .map(|(_, origin)| origin);
        own.is_none_or(|origin| !origin.eq_ignore_ascii_case(host))
    })
}

/// Whether a request shows the token (RFC 6750 §2.1). How long the comparison takes does not tell how much of a guess is
/// right.
pub(crate) fn shows(headers: &HeaderMap, token: &str) -> bool {
    let shown = only(headers, header::AUTHORIZATION).and_then(|value| {
        let (scheme, shown) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(shown)
    });
    shown.is_some_and(|shown| {
        aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), token.as_bytes())
            .is_ok()
    })
}

/// The value of a field that is there exactly once.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[track_caller]
    fn check_host(host: &str, expected: bool) {
        assert_eq!(is_own_host(host), expected, "{host}");
    }

    #[test]
    fn loopback_names_and_literals_are_own_hosts() {
        for host in [
            "localhost",
            "LOCALHOST:9180",
            "localhost.",
            "gateway.localhost:80",
            "127.0.0.1",
            "127.0.0.1:9180",
            "10.1.2.3:9180",
            "[::1]",
            "[::1]:9180",
        ] {
            check_host(host, true);
        }
    }

    #[test]
    fn names_that_a_stranger_could_own_are_not() {
        for host in [
            "",
            "evil.example",
            "evil.example:9180",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.1:evil",
            "[::1]evil",
            "[evil]",
            "::1",
            "127.1",
            "0x7f000001",
        ] {
            check_host(host, false);
        }
    }

    #[track_caller]
    fn check_cross_site(fields: &[(&'static str, &'static str)], expected: bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(is_cross_site(&headers), expected, "{fields:?}");
    }

    #[test]
    fn browsers_tell_on_foreign_pages() {
        let host = ("host", "127.0.0.1:9180");
        check_cross_site(&[host], false);
        check_cross_site(&[host, ("sec-fetch-site", "none")], false);
        check_cross_site(&[host, ("sec-fetch-site", "same-origin")], false);
        check_cross_site(&[host, ("sec-fetch-site", "same-site")], true);
        check_cross_site(&[host, ("sec-fetch-site", "cross-site")], true);
        check_cross_site(&[host, ("origin", "http://127.0.0.1:9180")], false);
        check_cross_site(&[host, ("origin", "https://127.0.0.1:9180")], false);
        check_cross_site(&[host, ("origin", "http://127.0.0.1:80")], true);
        check_cross_site(&[host, ("origin", "null")], true);
        check_cross_site(&[host, ("origin", "http://evil.example")], true);
        check_cross_site(&[("origin", "http://")], false);
    }
}

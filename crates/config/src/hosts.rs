//! Hosts: names, addresses, patterns.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::settings::HostPattern;
use std::net::{Ipv4Addr, Ipv6Addr};

/// True for a DNS host name: labels of 1 to 63 letters, digits, `-` and `_`, at most 253 bytes in all, not ending in
/// a number (that would be an IPv4 address, WHATWG URL section 3.5). Underscores are common in service names, so they pass.
pub(crate) fn is_host_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or(text);
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(is_label)
        && !last.bytes().all(|b| b.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A host without port in the form that requests are matched in: a name in lower case without a trailing dot, an IPv4
/// address, or an IPv6 address in brackets in its canonical form (RFC 5952).
fn host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        let ip: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{ip}]"));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.parse::<Ipv4Addr>().is_ok() || is_host_name(name) {
        return Some(name.to_ascii_lowercase());
    }
    None
}

/// True for a host with or without a port.
pub(crate) fn is_host_with_optional_port(text: &str) -> bool {
    let is_port =
        |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit());
    host(text).is_some()
        || text
            .rsplit_once(':')
            .is_some_and(|(name, port)| is_port(port) && host(name).is_some())
}

/// A host pattern of a site.
pub(crate) fn pattern(text: &str, origin: Origin, report: &mut Report) -> Option<HostPattern> {
    if text == "*" {
        return Some(HostPattern::Default);
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        if let Some(suffix) = host(suffix).filter(|suffix| is_host_name(suffix)) {
            return Some(HostPattern::Wildcard(suffix));
        }
    } else if let Some(host) = host(text) {
        // The catch-alls of nginx and Apache.
        if matches!(&*host, "_" | "_default_") {
            report.push(
                Diagnostic::new(
                    Code::UnlikelyHost,
                    origin,
                    format!("only requests for the host {} go here", quoted(text)),
                )
                .label("an ordinary name")
                .help("for every host that no other site serves, write \"*\""),
            );
        }
        return Some(HostPattern::Exact(host));
    }
    let diagnostic = Diagnostic::new(
        Code::BadHost,
        origin,
        format!("{} is not a host", quoted(text)),
    );
    report.push(explain(text, diagnostic));
    None
}

fn explain(text: &str, diagnostic: Diagnostic) -> Diagnostic {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or("");
        return diagnostic
            .cause("this is a URL")
            .help(format!("write the host alone: \"{host}\""));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return diagnostic.help(format!("IPv6 addresses stand in brackets: \"[{ip}]\""));
    }
    if let Some((name, _)) = text
        .rsplit_once(':')
        .filter(|(name, _)| host(name).is_some())
    {
        return diagnostic
            .cause("a site is chosen by the host alone, whatever the port")
            .help(format!(
                "write \"{name}\"; `listeners` restricts a site to some ports"
            ));
    }
    if text.contains('*') {
        return diagnostic.help("a wildcard is the whole first label, as in \"*.example.com\"");
    }
    if !text.is_ascii() {
        return diagnostic
            .cause("hosts arrive in their ASCII form")
            .help("write it in that form: \"xn--...\"");
    }
    diagnostic.cause("a host is a name of letters, digits, `-` and `.`, or an IP address")
}

#[cfg(test)]
mod tests {
    use super::{HostPattern, Report, is_host_name, is_host_with_optional_port, pattern};
    use crate::Origin;

    #[test]
    fn host_names() {
        let long_label = "a".repeat(64);
        let long_name = vec!["abcdefgh"; 32].join(".");
        for (text, expected) in [
            ("example.com", true),
            ("localhost", true),
            ("my_service", true),
            ("xn--caf-dma.example", true),
            ("1password.com", true),
            ("", false),
            ("a..b", false),
            ("a.", false),
            ("-a.b", false),
            ("a b", false),
            ("café.example", false),
            ("10.0.0.256", false),
            (long_label.as_str(), false),
            (long_name.as_str(), false),
        ] {
            assert_eq!(is_host_name(text), expected, "{text:?}");
        }
    }

    #[test]
    fn patterns() {
        let check = |text: &str, expected: Option<HostPattern>| {
            let mut report = Report::default();
            assert_eq!(
                pattern(text, Origin::NOWHERE, &mut report),
                expected,
                "{text}"
            );
            assert_eq!(report.has_errors(), expected.is_none(), "{text}");
        };
        let exact = |host: &str| Some(HostPattern::Exact(host.to_owned()));
        check("*", Some(HostPattern::Default));
        check(
            "*.Example.com",
            Some(HostPattern::Wildcard("example.com".into())),
        );
        check("Example.COM.", exact("example.com"));
        check("127.0.0.1", exact("127.0.0.1"));
        check("[2001:DB8:0::1]", exact("[2001:db8::1]"));
        for bad in [
            "",
            "a.*.com",
            "*a.com",
            "*.127.0.0.1",
            "2001:db8::1",
            "a:80",
            "http://a/",
            "bücher.example",
            "a b",
            "[::1",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn hosts_with_ports() {
        for (text, expected) in [
            ("a", true),
            ("a:80", true),
            ("[::1]:80", true),
            ("127.0.0.1", true),
            ("a:", false),
            ("a:+1", false),
            ("a:99999", false),
            (":80", false),
            ("a/b", false),
        ] {
            assert_eq!(is_host_with_optional_port(text), expected, "{text}");
        }
    }
}

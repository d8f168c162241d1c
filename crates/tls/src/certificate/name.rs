//! The names that a certificate is valid for.

use std::fmt;
use std::net::IpAddr;

/// A name in a certificate: a host, a wildcard for one level of hosts (RFC 6125 §6.4.3), or an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CertificateName {
    /// A host name in lower case.
    Host(Box<str>),
    /// All hosts one level below this name, which is in lower case and without `*.`.
    Wildcard(Box<str>),
    /// An address.
    Address(IpAddr),
}

impl CertificateName {
    /// A DNS name as certificates and configurations write it: `example.com` or `*.example.com`.
    pub fn dns(name: &str) -> Option<CertificateName> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let (wild, rest) = match name.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, name.as_str()),
        };
        let plausible = !rest.is_empty()
            && rest.len() <= 253
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        plausible.then(|| {
            if wild {
                CertificateName::Wildcard(rest.into())
            } else {
                CertificateName::Host(rest.into())
            }
        })
    }

    /// An address as certificates write it: 4 or 16 octets.
    pub fn ip(octets: &[u8]) -> Option<CertificateName> {
        let address = match octets.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
            16 => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
            _ => return None,
        };
        Some(CertificateName::Address(address))
    }

    /// Any of the three as text.
    pub fn parse(name: &str) -> Option<CertificateName> {
        match name.parse::<IpAddr>() {
            Ok(address) => Some(CertificateName::Address(address)),
            Err(_) => CertificateName::dns(name),
        }
    }

    /// Whether a host is covered.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            CertificateName::Host(name) => name.eq_ignore_ascii_case(host),
            CertificateName::Wildcard(parent) => {
                host.split_once('.').is_some_and(|(first, rest)| {
                    !first.is_empty() && parent.eq_ignore_ascii_case(rest)
                })
            }
            CertificateName::Address(address) => {
                host.parse::<IpAddr>().is_ok_and(|host| host == *address)
            }
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateName::Host(name) => f.write_str(name),
            CertificateName::Wildcard(parent) => write!(f, "*.{parent}"),
            CertificateName::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, host: &str, expected: bool) {
        let name = CertificateName::parse(name).unwrap();
        assert_eq!(name.matches(host), expected, "{name} and {host}");
    }

    #[test]
    fn wildcards_cover_one_level() {
        check("example.com", "EXAMPLE.com", true);
        check("example.com", "example.com.", true);
        check("example.com", "www.example.com", false);
        check("*.example.com", "www.example.com", true);
        check("*.example.com", "example.com", false);
        check("*.example.com", "a.b.example.com", false);
        check("*.example.com", ".example.com", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("::1", "0:0::1", true);
    }

    #[test]
    fn what_is_no_name_is_none() {
        for name in ["", "*", "*.", "a b", "*.*.example.com", "a/b"] {
            assert_eq!(CertificateName::dns(name), None, "{name}");
        }
    }
}

//! The PROXY protocol, versions 1 and 2: who a connection is from, said by the proxy before this one.
//!
//! The header is bounded and read strictly; nothing that follows it is looked at. Whether the sender may be believed
//! is not decided here.

mod v1;
mod v2;

use std::net::{Ipv6Addr, SocketAddr};

pub use v1::write_v1;
pub use v2::write_v2;

/// The longest header of version 1, CRLF included.
pub const V1_BYTES_MAX: usize = 107;

/// What may follow the 16 fixed bytes of version 2: addresses and TLVs.
pub const V2_REST_BYTES_MAX: usize = 216 + 4096;

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyHeader {
    /// The connection that the sender passes on.
    Addresses {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
    /// The sender speaks for itself, as for a health check.
    Local,
    /// The sender passes on a connection that it has no internet addresses of.
    Unknown,
}

/// There is no header, or it is malformed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadHeader;

/// Looks for a header at the start of `input`. `Ok(Some((n, header)))`: it stood in `input[..n]`. `Ok(None)`: more
/// bytes are needed.
///
/// # Errors
/// [`BadHeader`] as soon as `input` can't be the start of a header.
pub fn parse(input: &[u8]) -> Result<Option<(usize, ProxyHeader)>, BadHeader> {
    match input.first() {
        None => Ok(None),
        Some(b'P') => v1::parse(input),
        Some(_) => v2::parse(input),
    }
}

/// Both addresses in one family: IPv4 only if both are, else IPv4 mapped into IPv6.
fn one_family(a: SocketAddr, b: SocketAddr) -> (SocketAddr, SocketAddr) {
    match (a, b) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) | (SocketAddr::V6(_), SocketAddr::V6(_)) => (a, b),
        _ => (
            SocketAddr::new(mapped(a).into(), a.port()),
            SocketAddr::new(mapped(b).into(), b.port()),
        ),
    }
}

fn mapped(address: SocketAddr) -> Ipv6Addr {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped(),
        SocketAddr::V6(v6) => *v6.ip(),
    }
}

#[cfg(test)]
mod tests;

//! Names of endpoints to addresses.

use std::net::{IpAddr, SocketAddr};

/// Looks a host up with the system's resolver; an address is its own answer. IPv4 comes first. Blocking, so never
/// called on a worker.
///
/// # Errors
/// What the resolver said.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where names are looked up, on threads that may wait"
)]
pub fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = std::net::ToSocketAddrs::to_socket_addrs(&(host, port));
    let mut addresses: Vec<SocketAddr> = found.map_err(|error| error.to_string())?.collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(addresses)
}

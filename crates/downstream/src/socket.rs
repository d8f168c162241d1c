//! Listening sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// A listening socket of its own on an address that other workers' sockets share; the kernel spreads connections
/// over them. An IPv6 address takes IPv6 clients only: IPv4 has listeners of its own.
///
/// # Errors
/// What the kernel said.
pub fn bind(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = unbound(address)?;
    socket.set_reuse_port(true)?;
    // Accepted connections inherit it: answers leave in as few writes as can be, and waiting would only delay them.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Whether nobody listens on an address, not even another process of the same user, whose clients [`bind`] would take half of
/// without a word. What was bound by this process counts as well.
///
/// # Errors
/// What the kernel said: most of all that the address is in use.
pub fn is_free(address: SocketAddr) -> io::Result<()> {
    unbound(address)?.bind(&address.into())
}

fn unbound(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

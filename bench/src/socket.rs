//! What all sockets of the bench programs have in common.

use std::io;
use std::net::TcpStream;

/// Sends what is written at once, and spaces nothing.
///
/// What a client's and a backend's congestion control decides at loopback it decides within the sends of the proxy
/// between them, whose figure it would be. `reno` is in every kernel, for everybody.
///
/// # Errors
/// The kernel's.
pub fn prompt(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    Ok(rustix::net::sockopt::set_tcp_congestion(socket, "reno")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_sends_at_once_and_spaces_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        prompt(&socket).unwrap();
        assert!(socket.nodelay().unwrap());
        let rule = rustix::net::sockopt::tcp_congestion(&socket).unwrap();
        assert_eq!(rule, "reno");
    }
}

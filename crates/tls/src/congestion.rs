//! The congestion control of TCP: how fast the kernel sends, and what it makes of losses.

use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Has a socket's sending controlled by `algorithm`, or by what the system has sockets begin with. Of a listening socket,
/// accepted connections inherit it.
///
/// # Errors
/// What the kernel said: that there is none of that name (ENOENT), or that it is not for everyone (EPERM).
pub fn control_congestion(socket: &impl AsFd, algorithm: Option<&str>) -> io::Result<()> {
    match algorithm {
        Some(algorithm) => set_tcp_congestion(socket, algorithm)?,
        None => set_tcp_congestion(socket, &tcp_congestion(fresh()?)?)?,
    }
    Ok(())
}

/// Asks the kernel for a congestion control to no other end than to know whether it would be given.
///
/// # Errors
/// As [`control_congestion`].
pub fn probe_congestion(algorithm: &str) -> io::Result<()> {
    control_congestion(&fresh()?, Some(algorithm))
}

/// A socket that nobody has asked anything of.
fn fresh() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None);
    let on_ipv6 = |_| {
        let family = AddressFamily::INET6;
        rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)
    };
    Ok(socket.or_else(on_ipv6)?)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "both ends are on the thread of a test"
)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn accepted(listener: &TcpListener) -> String {
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        tcp_congestion(listener.accept().unwrap().0).unwrap()
    }

    #[test]
    fn accepted_connections_have_what_was_last_said_of_the_listening_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let of_system = accepted(&listener);
        control_congestion(&listener, Some("reno")).unwrap();
        assert_eq!(accepted(&listener), "reno");
        control_congestion(&listener, None).unwrap();
        assert_eq!(accepted(&listener), of_system);
    }

    #[test]
    fn what_the_kernel_does_not_have_is_refused() {
        probe_congestion("reno").unwrap();
        let error = probe_congestion("no-such-one").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
    }
}

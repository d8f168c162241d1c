//! The keep-alive of TCP: the kernel asks a silent peer whether it is still there.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Probes without an answer until the connection is given up.
const PROBES_MAX: u32 = 6;

/// From one probe to the next at least, and the unit of the kernel.
const SECOND: Duration = Duration::from_secs(1);

/// The longest time that the kernel takes.
const IDLE_MAX: Duration = Duration::from_secs(32_767);

/// Has a peer that has been silent for `idle` probed, or no peer at all. Further probes follow at a sixth of that time,
/// so that one without an answer to six of them is given up after twice the time. Of a listening socket, accepted
/// connections inherit it.
///
/// # Errors
/// What the kernel said.
pub fn keep_alive(socket: &impl AsFd, idle: Option<Duration>) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let Some(idle) = idle else {
        return socket.set_keepalive(false);
    };
    let idle = idle.clamp(SECOND, IDLE_MAX);
    let probes = TcpKeepalive::new()
        .with_time(idle)
        .with_interval((idle / PROBES_MAX).max(SECOND))
        .with_retries(PROBES_MAX);
    socket.set_tcp_keepalive(&probes)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "both ends are on the thread of a test"
)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[track_caller]
    fn check(idle_s: Option<u64>, time_s: u64, interval_s: u64) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        keep_alive(&listener, Some(Duration::from_secs(7_200))).unwrap();
        keep_alive(&listener, idle_s.map(Duration::from_secs)).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        let socket = SockRef::from(&accepted);
        assert_eq!(socket.keepalive().unwrap(), idle_s.is_some());
        if idle_s.is_some() {
            assert_eq!(
                socket.tcp_keepalive_time().unwrap().as_secs(),
                time_s,
                "{idle_s:?}"
            );
            assert_eq!(
                socket.tcp_keepalive_interval().unwrap().as_secs(),
                interval_s,
                "{idle_s:?}"
            );
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 6);
        }
    }

    #[test]
    fn accepted_connections_have_what_was_last_said_of_the_listening_socket() {
        check(Some(60), 60, 10);
        check(Some(1), 1, 1);
        check(Some(31_536_000), 32_767, 5_461);
        check(None, 0, 0);
    }
}

//! Addresses that cannot be connected to.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::{Backend, Script, eventually};

/// An address that refuses connections: the port is taken, so nobody else can listen on it, but nobody listens.
#[derive(Debug)]
pub struct Refuser {
    address: SocketAddr,
    socket: Socket,
}

impl Refuser {
    /// Takes a port of the system's choice.
    pub fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let socket = eventually("the address can be bound", || bound(address));
        let address = socket
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket());
        Self {
            address: address.expect("a bound socket has an address"),
            socket,
        }
    }

    /// The refusing address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a backend there.
    pub fn revive(self, script: impl Script) -> Backend {
        let address = self.address;
        drop(self.socket);
        Backend::start_at(address, script)
    }
}

fn bound(address: SocketAddr) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.set_reuse_address(true).ok()?;
    socket.bind(&address.into()).ok()?;
    Some(socket)
}

/// An address where connecting takes forever: it listens, but its accept queue is full and stays so.
#[derive(Debug)]
pub struct NeverAccepts {
    address: SocketAddr,
    _socket: Socket,
    _queued: Vec<TcpStream>,
}

impl NeverAccepts {
    /// Takes a port of the system's choice and fills its queue.
    pub fn start() -> Self {
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a loopback port is free");
        socket.listen(0).expect("a bound socket can listen");
        let address = socket
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket());
        let address = address.expect("a bound socket has an address");
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queued.push(stream);
            assert!(queued.len() < 64, "the accept queue never fills");
        }
        Self {
            address,
            _socket: socket,
            _queued: queued,
        }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

//! Clients that begin TLS handshakes and leave the other side to its work.

use std::io::Write;
use std::net::TcpStream;

use crate::{PATIENCE, Target};

/// What a record of a handshake begins with (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Many connections that say a whole hello each, and nothing more.
#[derive(Debug)]
pub struct HandshakeFlood {
    streams: Vec<TcpStream>,
    hellos: Vec<Vec<u8>>,
}

impl HandshakeFlood {
    /// Connects, and says nothing yet.
    ///
    /// # Panics
    /// When nobody listens there, or the target is spoken to in cleartext.
    pub fn connect(target: &Target, connections: usize) -> HandshakeFlood {
        let connect = |_| {
            let stream = TcpStream::connect_timeout(&target.address, PATIENCE);
            let stream = stream.expect("the gateway listens");
            stream.set_nonblocking(true).expect("it is set");
            stream
        };
        HandshakeFlood {
            streams: (0..connections).map(connect).collect(),
            hellos: (0..connections).map(|_| target.hello()).collect(),
        }
    }

    /// Says all hellos.
    pub fn begin(&mut self) {
        for (stream, hello) in self.streams.iter_mut().zip(&self.hellos) {
            // One that was refused before shows as such.
            let _ = stream.write_all(hello);
        }
    }

    /// How many have been answered by the other side's part of the handshake.
    pub fn answered(&self) -> usize {
        self.begins_with(|first| first == [HANDSHAKE])
    }

    /// How many have ended without that.
    pub fn refused(&self) -> usize {
        self.begins_with(|first| first != [HANDSHAKE])
    }

    /// Counts those on which something came that begins so; an end begins with nothing.
    fn begins_with(&self, is: impl Fn(&[u8]) -> bool) -> usize {
        let seen = self.streams.iter().filter(|stream| {
            let mut first = [0];
            match stream.peek(&mut first) {
                Ok(count) => is(&first[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
                // A reset.
                Err(_) => is(&[]),
            }
        });
        seen.count()
    }
}

//! A blind TCP relay: the least that any proxy must do, and so the practical limit of a comparison.
//!
//! `relay --listen 127.0.0.1:18201 --to 127.0.0.1:18101 [--to ...]`: every accepted connection is paired with one new
//! connection to the next backend; bytes are copied both ways by one thread over one epoll.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use foregate_bench::options::Options;
use foregate_bench::poll::{Interest, Poll, raise_open_files, would_block};
use foregate_bench::socket::prompt;

const LISTENER: u64 = u64::MAX;
const SCRATCH_BYTES: usize = 256 << 10;

/// One direction's unsent rest and end of stream.
#[derive(Default)]
struct Half {
    unsent: Vec<u8>,
    ended: bool,
}

/// Two sockets; side 0 is the client, side 1 the backend. `halves[side]` holds what was read from `side`.
struct Pair {
    sockets: [TcpStream; 2],
    halves: [Half; 2],
}

enum Outcome {
    Alive,
    Over,
}

impl Pair {
    fn interest(&self, side: usize) -> Interest {
        let reads = self.halves[side].unsent.is_empty() && !self.halves[side].ended;
        let writes = !self.halves[1 - side].unsent.is_empty();
        match (reads, writes) {
            (true, false) => Interest::Read,
            (true, true) => Interest::ReadWrite,
            (false, true) => Interest::Write,
            (false, false) => Interest::Nothing,
        }
    }

    /// Reads once from `side` and writes to the other: level-triggered epoll reports again if there is more.
    fn pump(&mut self, side: usize, scratch: &mut [u8]) -> io::Result<Outcome> {
        let got = match self.sockets[side].read(scratch) {
            Ok(got) => got,
            Err(error) if would_block(&error) => return Ok(Outcome::Alive),
            Err(error) => return Err(error),
        };
        if got == 0 {
            self.halves[side].ended = true;
            self.sockets[1 - side].shutdown(Shutdown::Write)?;
            let both = self.halves.iter().all(|half| half.ended);
            return Ok(if both { Outcome::Over } else { Outcome::Alive });
        }
        let sent = write_some(&self.sockets[1 - side], &scratch[..got])?;
        self.halves[side]
            .unsent
            .extend_from_slice(&scratch[sent..got]);
        Ok(Outcome::Alive)
    }

    /// Sends what waits for room on `side`.
    fn flush(&mut self, side: usize) -> io::Result<()> {
        let half = &mut self.halves[1 - side];
        let sent = write_some(&self.sockets[side], &half.unsent)?;
        half.unsent.drain(..sent);
        if half.unsent.is_empty() {
            half.unsent = Vec::new();
        }
        Ok(())
    }
}

fn write_some(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Ok(sent) => Ok(sent),
        Err(error) if would_block(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

fn accept(
    listener: &TcpListener,
    to: &str,
    poll: &Poll,
    pairs: &mut Vec<Option<Pair>>,
) -> io::Result<()> {
    let (client, _) = match listener.accept() {
        Ok(accepted) => accepted,
        Err(error) if would_block(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    // A backend that refuses costs this client its connection, nothing else.
    let Ok(backend) = TcpStream::connect(to) else {
        return Ok(());
    };
    for socket in [&client, &backend] {
        socket.set_nonblocking(true)?;
        // As Foregate's sockets at loopback: it is the limit of what could be done with them.
        prompt(socket)?;
    }
    let free = pairs.iter().position(Option::is_none).unwrap_or_else(|| {
        pairs.push(None);
        pairs.len() - 1
    });
    poll.add(&client, free as u64 * 2, Interest::Read)?;
    poll.add(&backend, free as u64 * 2 + 1, Interest::Read)?;
    pairs[free] = Some(Pair {
        sockets: [client, backend],
        halves: Default::default(),
    });
    Ok(())
}

fn serve(listen: &str, to: &[String]) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new(512)?;
    poll.add(&listener, LISTENER, Interest::Read)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut scratch = vec![0; SCRATCH_BYTES];
    let mut turn = 0;
    loop {
        let ready_count = poll.wait(None)?;
        for index in 0..ready_count {
            let ready = poll.ready(index);
            if ready.token == LISTENER {
                accept(&listener, &to[turn % to.len()], &poll, &mut pairs)?;
                turn += 1;
                continue;
            }
            let (slot, side) = (ready.token as usize / 2, ready.token as usize % 2);
            // The pair may have ended through its other socket earlier in this batch.
            let Some(pair) = &mut pairs[slot] else {
                continue;
            };
            let before = [pair.interest(0), pair.interest(1)];
            let flushed = if ready.writable && !pair.halves[1 - side].unsent.is_empty() {
                pair.flush(side)
            } else {
                Ok(())
            };
            let outcome = flushed.and_then(|()| {
                if ready.readable && !pair.halves[side].ended && pair.halves[side].unsent.is_empty()
                {
                    pair.pump(side, &mut scratch)
                } else {
                    Ok(Outcome::Alive)
                }
            });
            if !matches!(outcome, Ok(Outcome::Alive)) {
                pairs[slot] = None;
                continue;
            }
            for (side, before) in before.into_iter().enumerate() {
                let now = pair.interest(side);
                if now != before {
                    poll.change(&pair.sockets[side], slot as u64 * 2 + side as u64, now)?;
                }
            }
        }
    }
}

fn main() -> Result<(), String> {
    let mut options = Options::parse(std::env::args().skip(1))?;
    let listen = options.or("listen", "127.0.0.1:18200".to_owned())?;
    let to = options.all("to");
    options.finish()?;
    if to.is_empty() {
        return Err("--to address: needed at least once".to_owned());
    }
    raise_open_files();
    serve(&listen, &to).map_err(|error| format!("relay {listen}: {error}"))
}

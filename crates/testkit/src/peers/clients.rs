//! Clients that misbehave. Each is one way in which a client can be wrong, or just unlucky.

use std::time::{Duration, Instant};

use crate::{PATIENCE, RawClient, Response, Target, Trouble};

/// Sends a request head a byte at a time, never finishing it.
#[derive(Clone, Copy, Debug)]
pub struct SlowLoris {
    /// The pause between two bytes.
    pub pause: Duration,
}

impl SlowLoris {
    /// Trickles until the gateway answers or closes.
    ///
    /// # Errors
    /// When it closes without an answer, or bears it longer than the patience.
    pub fn attack(self, target: impl Into<Target>) -> Result<Response, Trouble> {
        let head = "GET / HTTP/1.1\r\nHost: slow.example\r\nX-Long: ";
        trickle(
            RawClient::connect(target),
            head.bytes()
                .chain(std::iter::repeat(b'a'))
                .map(|byte| [byte]),
            self.pause,
        )
    }
}

/// Sends a whole head and then its body a byte at a time.
#[derive(Clone, Copy, Debug)]
pub struct SlowBody {
    /// The pause between two bytes.
    pub pause: Duration,
}

impl SlowBody {
    /// Trickles until the gateway answers or closes.
    ///
    /// # Errors
    /// When it closes without an answer, or bears it longer than the patience.
    pub fn attack(self, target: impl Into<Target>) -> Result<Response, Trouble> {
        let mut client = RawClient::connect(target);
        client.send("POST / HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 1000000\r\n\r\n");
        trickle(client, std::iter::repeat("b"), self.pause)
    }
}

/// Sends a body of next to nothing in chunks without end, all of them at once.
#[derive(Clone, Copy, Debug)]
pub struct TinyChunks;

impl TinyChunks {
    /// Goes on until the gateway answers or closes.
    ///
    /// # Errors
    /// When it closes without an answer, or bears it longer than the patience.
    pub fn attack(self, target: impl Into<Target>) -> Result<Response, Trouble> {
        let mut client = RawClient::connect(target);
        client.send("POST / HTTP/1.1\r\nHost: tiny.example\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunks = "1\r\na\r\n".repeat(10_000);
        trickle(client, std::iter::repeat(chunks), Duration::from_millis(1))
    }
}

/// Sends a piece, waits the pause for an answer, and so on.
fn trickle(
    mut client: RawClient,
    pieces: impl Iterator<Item = impl AsRef<[u8]>>,
    pause: Duration,
) -> Result<Response, Trouble> {
    let deadline = Instant::now() + PATIENCE;
    for piece in pieces {
        if Instant::now() > deadline {
            break;
        }
        client.send_if_taken(piece);
        client.connection().set_patience(pause);
        match client.connection().wait_readable() {
            Err(Trouble::Late) => {}
            Ok(true) => {
                client.connection().set_patience(PATIENCE);
                return client.try_response(false);
            }
            Ok(false) => return Err(Trouble::Closed),
            Err(trouble) => return Err(trouble),
        }
    }
    Err(Trouble::Late)
}

/// Asks for an answer and never reads it; its receive buffer is small.
#[derive(Debug)]
pub struct NeverReader {
    client: RawClient,
}

impl NeverReader {
    /// Sends `request` and leaves it at that.
    pub fn start(target: impl Into<Target>, request: &str) -> Self {
        let mut client = RawClient::connect_narrow(target, 4096);
        client.send(request);
        Self { client }
    }

    /// Begins to read after all.
    pub fn relent(self) -> RawClient {
        self.client
    }
}

/// Sends a request and resets the connection.
#[derive(Clone, Copy, Debug)]
pub struct Resetter;

impl Resetter {
    /// Sends `request`, lets `until` pass (for example: the backend has it) and resets.
    pub fn attack(self, target: impl Into<Target>, request: &str, until: impl FnOnce()) {
        let mut client = RawClient::connect(target);
        client.send(request);
        until();
        client.into_connection().reset();
    }
}

/// Sends a request, shuts its sending side and waits for the answer.
#[derive(Clone, Copy, Debug)]
pub struct HalfCloser;

impl HalfCloser {
    /// Sends `request` and shuts its sending side.
    pub fn start(self, target: impl Into<Target>, request: &str) -> RawClient {
        let mut client = RawClient::connect(target);
        client.send(request);
        client.connection().finish_sending();
        client
    }
}

/// Sends several requests at once and leaves without reading an answer.
#[derive(Clone, Copy, Debug)]
pub struct PipelinesAndLeaves {
    /// How many requests.
    pub requests: usize,
}

impl PipelinesAndLeaves {
    /// Sends them and is gone.
    pub fn attack(self, target: impl Into<Target>, request: &str) {
        let mut client = RawClient::connect(target);
        client.send(request.repeat(self.requests));
    }
}

/// Sends a request head of ten megabytes.
#[derive(Clone, Copy, Debug)]
pub struct HugeHead;

impl HugeHead {
    /// Sends as much of it as the gateway takes and reads what it answers.
    ///
    /// # Errors
    /// When the answer was lost in the reset that follows unread bytes.
    pub fn attack(self, target: impl Into<Target>) -> Result<Response, Trouble> {
        let mut client = RawClient::connect(target);
        client.send("GET / HTTP/1.1\r\nHost: huge.example\r\nX-Huge: ");
        let block = vec![b'h'; 1 << 20];
        for _ in 0..10 {
            if client
                .connection()
                .send_some(&block, Duration::from_millis(300))
                < block.len()
            {
                break;
            }
        }
        client.try_response(false)
    }
}

//! Backends that misbehave. Each is one way in which a server can be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::{Answer, Script, Trouble, Visit};

/// Reads requests and never answers.
#[derive(Clone, Copy, Debug)]
pub struct BlackHole;

impl Script for BlackHole {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while visit.next_request()?.is_some() {}
        Ok(())
    }
}

/// Promises 1,000 bytes, sends 100 and closes.
#[derive(Clone, Copy, Debug)]
pub struct DiesMidBody;

impl Script for DiesMidBody {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if visit.next_request()?.is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
            visit.send([b'x'; 100])?;
        }
        Ok(())
    }
}

/// Sends less than its `Content-Length` and then waits, as if done.
#[derive(Clone, Copy, Debug)]
pub struct LiesAboutLengthShort;

impl Script for LiesAboutLengthShort {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while visit.next_request()?.is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort")?;
        }
        Ok(())
    }
}

/// Sends more than its `Content-Length`: what follows looks like a second answer.
#[derive(Clone, Copy, Debug)]
pub struct LiesAboutLengthLong;

impl LiesAboutLengthLong {
    /// The body it is entitled to.
    pub const BODY: &'static str = "right";
}

impl Script for LiesAboutLengthLong {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while visit.next_request()?.is_some() {
            visit.send(concat!(
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Smuggled: yes\r\n\r\nwrong"
            ))?;
        }
        Ok(())
    }
}

/// Answers with bytes that are no HTTP.
#[derive(Clone, Copy, Debug)]
pub struct TalksGarbage;

impl Script for TalksGarbage {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if visit.next_request()?.is_some() {
            visit.send(
                b"\x16\x03\x01\x02\x00\x01\x00\xff\xfe garbage \r\n\r\n more garbage\r\n\r\n",
            )?;
        }
        Ok(())
    }
}

/// Sends an answer as soon as it is connected to, and another after each answer, before any request.
#[derive(Clone, Debug, Default)]
pub struct AnswersBeforeAsked {
    /// Whether it has said what nobody asked for: a request that comes before can't be told from one that it answers.
    pub has_spoken: Arc<AtomicBool>,
}

impl Script for AnswersBeforeAsked {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        let unasked = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Unasked: yes\r\n\r\nunasked";
        if visit.number == 1 {
            // The first connection behaves once, so that it is pooled, and speaks unasked when idle.
            if let Some(request) = visit.next_request()? {
                visit.answer(&request, &Answer::ok("asked"))?;
                visit.send(unasked)?;
                self.has_spoken.store(true, Ordering::SeqCst);
            }
        }
        while let Some(request) = visit.next_request()? {
            visit.answer(&request, &Answer::ok("asked"))?;
        }
        Ok(())
    }
}

/// Reads only the head of the request, answers and closes at once.
#[derive(Clone, Copy, Debug)]
pub struct AnswersEarlyAndCloses;

impl Script for AnswersEarlyAndCloses {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if visit.next_head()?.is_some() {
            visit.send(
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly",
            )?;
            visit.connection.finish_sending();
            visit.drain();
        }
        Ok(())
    }
}

/// Sends a well-formed answer one byte at a time.
#[derive(Clone, Copy, Debug)]
pub struct Trickler {
    /// The pause between two bytes.
    pub pause: Duration,
}

impl Script for Trickler {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while let Some(request) = visit.next_request()? {
            for byte in Answer::ok("drop by drop").bytes(request.method == "HEAD") {
                visit.send([byte])?;
                thread::sleep(self.pause);
            }
        }
        Ok(())
    }
}

/// Starts a response head and never finishes it.
#[derive(Clone, Copy, Debug)]
pub struct SlowHead;

impl Script for SlowHead {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if visit.next_request()?.is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Le")?;
            visit.drain();
        }
        Ok(())
    }
}

/// Accepts, and never reads a byte; its receive buffer is small.
#[derive(Clone, Copy, Debug)]
pub struct NeverReads;

impl Script for NeverReads {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        visit.hold();
        Ok(())
    }

    fn receive_buffer_bytes(&self) -> Option<usize> {
        Some(4096)
    }
}

/// Sends both `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.1: a smuggling attempt).
#[derive(Clone, Copy, Debug)]
pub struct BothLengths;

impl Script for BothLengths {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while visit.next_request()?.is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")?;
        }
        Ok(())
    }
}

/// Sends a good first chunk and then a chunk size that is none.
#[derive(Clone, Copy, Debug)]
pub struct BadChunks;

impl Script for BadChunks {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while visit.next_request()?.is_some() {
            visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-5\r\nhello\r\n0\r\n\r\n")?;
        }
        Ok(())
    }
}

/// Folds a header line (obs-fold, RFC 9112 section 5.2).
#[derive(Clone, Copy, Debug)]
pub struct ObsFolder;

impl Script for ObsFolder {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while visit.next_request()?.is_some() {
            visit
                .send("HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    }
}

/// Sends a response head of ten megabytes.
#[derive(Clone, Copy, Debug)]
pub struct HugeHeadBackend;

impl Script for HugeHeadBackend {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if visit.next_request()?.is_some() {
            visit.send("HTTP/1.1 200 OK\r\n")?;
            for _ in 0..10_000 {
                visit.send(format!("X-Filler: {}\r\n", "f".repeat(1000)))?;
            }
            visit.send("Content-Length: 0\r\n\r\n")?;
        }
        Ok(())
    }
}

/// Keeps the connection after an answer, as if for reuse, and closes it when the next request arrives on it.
#[derive(Clone, Copy, Debug)]
pub struct ClosesIdle {
    /// Close with a reset instead of in order.
    pub reset: bool,
}

impl Script for ClosesIdle {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if let Some(request) = visit.next_request()? {
            visit.answer(
                &request,
                &Answer::ok(format!("connection {}", visit.number)),
            )?;
        }
        visit.connection.wait_readable()?;
        if self.reset {
            visit.connection.reset_on_close();
        }
        Ok(())
    }
}

/// Sends `103 Early Hints` before the answer.
#[derive(Clone, Copy, Debug)]
pub struct Hints103;

impl Script for Hints103 {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while let Some(request) = visit.next_request()? {
            visit.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")?;
            visit.answer(&request, &Answer::ok("hinted"))?;
        }
        Ok(())
    }
}

/// Sends a chunked answer with trailers.
#[derive(Clone, Copy, Debug)]
pub struct SendsTrailers;

impl Script for SendsTrailers {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while let Some(request) = visit.next_request()? {
            let answer = Answer::status(200)
                .field("Trailer", "X-Checksum")
                .chunks(["with ", "trailers"])
                .trailer("X-Checksum", "abc123");
            visit.answer(&request, &answer)?;
        }
        Ok(())
    }
}

/// Accepts any `Upgrade` with 101 and then returns every byte.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeEcho;

impl Script for UpgradeEcho {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        let Some(request) = visit.next_request()? else {
            return Ok(());
        };
        let Some(token) = request.field("upgrade") else {
            return visit.answer(
                &request,
                &Answer::status(426)
                    .field("Upgrade", "websocket")
                    .body("upgrade"),
            );
        };
        visit.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n"
        ))?;
        while visit.connection.wait_readable()? {
            let count = visit.connection.buffered().len();
            let bytes = visit.connection.take(count)?;
            visit.send(bytes)?;
        }
        Ok(())
    }
}

/// Accepts a WebSocket as RFC 6455 wants it and then returns every byte.
#[derive(Clone, Copy, Debug)]
pub struct WebSocketEcho;

impl Script for WebSocketEcho {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        let Some(request) = visit.next_request()? else {
            return Ok(());
        };
        let key = request.field("sec-websocket-key").unwrap_or_default();
        let accept = websocket_accept(key);
        visit.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ))?;
        while visit.connection.wait_readable()? {
            let count = visit.connection.buffered().len();
            let bytes = visit.connection.take(count)?;
            visit.send(bytes)?;
        }
        Ok(())
    }
}

/// What a server answers to a WebSocket key (RFC 6455 §4.2.2).
pub fn websocket_accept(key: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let digits: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['+', '/'])
        .collect();
    let mut bits = String::new();
    for byte in hash.as_ref() {
        bits.push_str(&format!("{byte:08b}"));
    }
    while !bits.len().is_multiple_of(6) {
        bits.push('0');
    }
    let mut accept: String = (0..bits.len() / 6)
        .map(|at| usize::from_str_radix(&bits[at * 6..at * 6 + 6], 2).map_or('A', |at| digits[at]))
        .collect();
    while !accept.len().is_multiple_of(4) {
        accept.push('=');
    }
    accept
}

/// Speaks HTTP/1.0: no length, the close ends the body.
#[derive(Clone, Copy, Debug)]
pub struct HttpOneZero;

impl Script for HttpOneZero {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if visit.next_request()?.is_some() {
            visit.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nfrom the nineties")?;
        }
        Ok(())
    }
}

/// Sends a response head and resets the connection instead of a body.
#[derive(Clone, Copy, Debug)]
pub struct ResetAfterHead;

impl Script for ResetAfterHead {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if visit.next_request()?.is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
            visit.connection.reset_on_close();
        }
        Ok(())
    }
}

//! A backend whose moods are commanded: well, slow, resetting, cutting its answers off, unable.
//!
//! `moody --listen 127.0.0.1:18111 --name 1`; commands are lines of standard input: `well`, `slow MS`, `reset`, `cut`,
//! `unable`; `seen` prints how many requests have come since the last command of another kind, and when the last did
//! (microseconds since the epoch). `GET /healthz` is answered by mood as all others are, and not counted. It ends with
//! its input.

#![forbid(unsafe_code)]

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use foregate_bench::framing::head_end;
use foregate_bench::options::Options;
use rustix::net::sockopt::set_socket_linger;

const HEAD_BYTES_MAX: usize = 16 << 10;
const BODY_BYTES: usize = 1000;
const STACK_BYTES: usize = 128 << 10;

const WELL: u64 = 0;
const RESET: u64 = 1;
const CUT: u64 = 2;
const UNABLE: u64 = 3;
/// From here on: slow, by so many milliseconds more.
const SLOW: u64 = 1000;

/// How it is, and who has asked since it is so.
#[derive(Default)]
struct State {
    mood: AtomicU64,
    seen: AtomicU64,
    last_us: AtomicU64,
}

impl State {
    fn obey(&self, command: &str) -> Result<(), String> {
        let mood = match command.split_once(' ') {
            None if command == "well" => WELL,
            None if command == "reset" => RESET,
            None if command == "cut" => CUT,
            None if command == "unable" => UNABLE,
            Some(("slow", ms)) => {
                SLOW + ms
                    .parse::<u64>()
                    .map_err(|_| format!("{command}: no number"))?
            }
            _ => return Err(format!("{command}: no such command")),
        };
        self.mood.store(mood, Ordering::SeqCst);
        self.seen.store(0, Ordering::SeqCst);
        Ok(())
    }

    fn mood(&self) -> u64 {
        self.mood.load(Ordering::SeqCst)
    }
}

fn now_us() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

/// Ends a connection with a reset.
fn reset(stream: &TcpStream) {
    // One that is gone already needs none.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}

/// Serves a connection until either side ends it.
fn serve(mut stream: TcpStream, state: &State, body: &[u8], name: &str) {
    if state.mood() == RESET {
        return reset(&stream);
    }
    let _ = stream.set_nodelay(true);
    let mut unread = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let end = loop {
            match head_end(&unread) {
                Some(end) => break end,
                None if unread.len() > HEAD_BYTES_MAX => return,
                None => match stream.read(&mut piece) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => unread.extend_from_slice(&piece[..count]),
                },
            }
        };
        if !unread.starts_with(b"GET /healthz ") {
            state.seen.fetch_add(1, Ordering::SeqCst);
            state.last_us.store(now_us(), Ordering::SeqCst);
        }
        unread.drain(..end);
        let mut status = "200 OK";
        let mut sent = body;
        let mut cuts = false;
        match state.mood() {
            RESET => return reset(&stream),
            CUT => (sent, cuts) = (&body[..body.len() / 2], true),
            UNABLE => (status, sent) = ("503 Service Unavailable", &body[..0]),
            slow if slow > SLOW => thread::sleep(Duration::from_millis(slow - SLOW)),
            _ => {}
        }
        let length = if cuts { body.len() } else { sent.len() };
        let head =
            format!("HTTP/1.1 {status}\r\nX-Backend: {name}\r\nContent-Length: {length}\r\n\r\n");
        let answer = [head.as_bytes(), sent].concat();
        if stream.write_all(&answer).is_err() {
            return;
        }
        if cuts {
            // Sent before the reset takes back what the other side has not read.
            thread::sleep(Duration::from_millis(5));
            return reset(&stream);
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>, name: &str) {
    let body: Arc<[u8]> = name.bytes().cycle().take(BODY_BYTES).collect();
    for stream in listener.incoming().flatten() {
        let (state, body, name) = (Arc::clone(state), Arc::clone(&body), name.to_owned());
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        // Without a thread for it the connection is closed.
        let _ = thread.spawn(move || serve(stream, &state, &body, &name));
    }
}

fn run() -> Result<(), String> {
    let mut options = Options::parse(std::env::args().skip(1))?;
    let address: String = options.or("listen", "127.0.0.1:18111".to_owned())?;
    let name: String = options.or("name", "1".to_owned())?;
    options.finish()?;
    let listener = TcpListener::bind(&address).map_err(|error| format!("{address}: {error}"))?;
    let state = Arc::new(State::default());
    let shared = Arc::clone(&state);
    thread::spawn(move || accept(&listener, &shared, &name));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line == "seen" {
            let (seen, last) = (&state.seen, &state.last_us);
            println!(
                "{} {}",
                seen.load(Ordering::SeqCst),
                last.load(Ordering::SeqCst)
            );
        } else {
            state.obey(&line)?;
            println!("{line}");
        }
    }
    Ok(())
}

fn main() -> Result<(), String> {
    run()
}

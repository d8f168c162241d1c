//! Steady load that never waits for the proxy: requests begin at fixed moments, however the earlier ones fare.
//!
//! `steady --to 127.0.0.1:18201 --rate 500 --clients 512 --out file` asks `GET /` until its input ends. Each request is a
//! line of the file: when it was due (microseconds since the epoch), how long it took from then on (microseconds), its
//! status (0: no whole answer), which backend answered, and what went wrong. A request whose connection ends under it
//! is not sent again: what clients would have to repeat is what is counted.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use foregate_bench::framing::{framing, head_end, status};
use foregate_bench::options::Options;
use foregate_bench::poll::raise_open_files;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n";
const STACK_BYTES: usize = 128 << 10;
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all clients share.
struct Load {
    to: SocketAddr,
    interval: Duration,
    begun: Instant,
    begun_us: u64,
    tickets: AtomicU64,
    stop: AtomicBool,
    out: Mutex<File>,
}

/// A whole answer: its status and who gave it.
type Answered = (u16, String);

fn backend(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head);
    let line = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-backend")
            .then(|| value.trim().to_owned())
    });
    line.unwrap_or_default()
}

fn read_answer(stream: &mut TcpStream) -> Result<(Answered, bool), &'static str> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = head_end(&bytes) {
            let frame = framing(&bytes[..end]);
            let status = status(&bytes[..end]).ok_or("malformed")?;
            let whole = match frame.length {
                Some(length) => bytes.len() >= end + length,
                None => return Ok(((status, backend(&bytes[..end])), true)),
            };
            if whole {
                let closes = frame.close || status != 200;
                return Ok(((status, backend(&bytes[..end])), closes));
            }
        }
        match stream.read(&mut piece) {
            Ok(0) if bytes.is_empty() => return Err("closed"),
            Ok(0) => return Err("cut off"),
            Ok(_) if bytes.len() > ANSWER_BYTES_MAX => return Err("too long"),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                return Err("late");
            }
            Err(_) if bytes.is_empty() => return Err("reset"),
            Err(_) => return Err("cut off"),
        }
    }
}

fn connect(to: SocketAddr) -> Result<TcpStream, &'static str> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(|_| "no connection")?;
    let set = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
    set.map_err(|_| "no connection")?;
    Ok(stream)
}

fn ask(kept: &mut Option<TcpStream>, to: SocketAddr) -> Result<Answered, &'static str> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => connect(to)?,
    };
    stream.write_all(REQUEST).map_err(|_| "reset")?;
    let (answered, closes) = read_answer(&mut stream)?;
    if !closes {
        *kept = Some(stream);
    }
    Ok(answered)
}

/// Takes one due request after the other.
fn client(load: &Load) {
    let mut kept = None;
    loop {
        let ticket = load.tickets.fetch_add(1, Ordering::SeqCst);
        let due = load.interval.mul_f64(ticket as f64);
        thread::sleep(due.saturating_sub(load.begun.elapsed()));
        if load.stop.load(Ordering::SeqCst) {
            return;
        }
        let outcome = ask(&mut kept, load.to);
        let took = load.begun.elapsed().saturating_sub(due);
        let (status, backend, trouble) = match outcome {
            Ok((status, backend)) => (status, backend, ""),
            Err(trouble) => (0, String::new(), trouble),
        };
        let due_us = load.begun_us + due.as_micros() as u64;
        let line = format!(
            "{due_us},{},{status},{backend},{trouble}\n",
            took.as_micros()
        );
        let mut out = load.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

fn main() -> Result<(), String> {
    let mut options = Options::parse(std::env::args().skip(1))?;
    let to: SocketAddr = options.or("to", SocketAddr::from(([127, 0, 0, 1], 18201)))?;
    let rate: f64 = options.or("rate", 500.0)?;
    let clients: usize = options.or("clients", 512)?;
    let file: String = options.or("out", "steady.csv".to_owned())?;
    options.finish()?;
    raise_open_files();
    let since = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_err(|error| error.to_string())?;
    let load = Arc::new(Load {
        to,
        interval: Duration::from_secs_f64(1.0 / rate),
        begun: Instant::now(),
        begun_us: since.as_micros() as u64,
        tickets: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        out: Mutex::new(File::create(&file).map_err(|error| format!("{file}: {error}"))?),
    });
    let mut threads = Vec::new();
    for _ in 0..clients {
        let load = Arc::clone(&load);
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        threads.push(
            thread
                .spawn(move || client(&load))
                .map_err(|error| error.to_string())?,
        );
    }
    // The end of the input is the end of the load.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    load.stop.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().map_err(|_| "a client panicked".to_owned())?;
    }
    Ok(())
}

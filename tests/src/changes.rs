//! Changes under load: reloads ten times a second, or upgrades once a second, while clients of HTTP/1.1 and HTTP/2 over
//! TLS ask one request after the other, h2load does as well, and tunnels stay open. WebSockets are opened before each
//! upgrade and stay with the process that is replaced, with frames both ways all along. Nothing may fail.

mod load;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foregate_testkit::http2::{END_HEADERS, END_STREAM, block, kind};
use foregate_testkit::{
    Backend, Echo, Gateway, Http2Client, RawClient, Successor, Target, Transport, UpgradeEcho,
    WebSocketClient, WebSocketPeer, eventually,
};

/// What is changed, and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The configuration, ten times a second.
    Reload,
    /// The process, once a second.
    Upgrade,
}

impl Change {
    fn interval(self) -> Duration {
        match self {
            Change::Reload => Duration::from_millis(100),
            Change::Upgrade => Duration::from_secs(1),
        }
    }
}

const CONFIG: &str = r#"
workers = 2
[access_log]
to = "/dev/null"
[sites."*"]
[[sites."*".routes]]
path = "/generation"
respond = { status = 200, body = "{generation}" }
[[sites."*".routes]]
path = "/tunnel"
upstream = "tunnels"
[[sites."*".routes]]
path = "/frames"
upstream = "frames"
[[sites."*".routes]]
path = "/load"
upstream = "load"
[[sites."*".routes]]
upstream = "app"
[upstreams.app]
servers = ["{app}"]
[upstreams.tunnels]
servers = ["{tunnels}"]
[upstreams.frames]
servers = ["{frames}"]
[upstreams.load]
servers = ["{load}"]
"#;

const CLIENTS: usize = 3;
const TUNNELS: u32 = 4;
/// Streams that a client of HTTP/2 has at a time.
const STREAMS: usize = 4;
/// For how long a WebSocket stays: several upgrades.
const WEBSOCKET_TIME: Duration = Duration::from_secs(5);
/// A stream that was not looked at (RFC 9113 §7): sent again, as every client does.
const REFUSED_STREAM: u32 = 7;

/// What came of it.
#[derive(Debug)]
pub struct Summary {
    change: Change,
    changes: u64,
    longest_ms: u64,
    requests: [u64; 2],
    loaded: u64,
    echoes: u64,
    websockets: u64,
    frames: u64,
    failures: Vec<String>,
}

#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    http1: AtomicU64,
    http2: AtomicU64,
    loaded: AtomicU64,
    echoes: AtomicU64,
    /// Those that were closed in order, after upgrades.
    websockets: AtomicU64,
    frames: AtomicU64,
    /// Upgrades that are done.
    upgrades: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    fn runs(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn fail(&self, what: impl fmt::Debug) {
        let failures = self.failures.lock();
        failures
            .expect("nobody panics while it is held")
            .push(format!("{what:?}"));
    }
}

/// Ends the load also when the one who makes the changes panics.
struct Stop<'a>(&'a Tally);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

/// Makes the changes for so long.
///
/// # Panics
/// When the gateway does not start, or refuses a change.
pub fn run(change: Change, time: Duration) -> Summary {
    let (app, tunnels) = (Backend::start(Echo), Backend::start(UpgradeEcho));
    let (frames, load) = (Backend::start(WebSocketPeer), Backend::start(Echo));
    let mut gateway = Gateway::new(CONFIG)
        .over(&Transport::tls())
        .fill("app", app.address())
        .fill("tunnels", tunnels.address())
        .fill("frames", frames.address())
        .fill("load", load.address())
        .start();
    let tally = Tally::default();
    let mut successors = Vec::new();
    let (mut changes, mut longest) = (0_u64, Duration::ZERO);
    thread::scope(|scope| {
        let (tally, target) = (&tally, gateway.target());
        let _stop = Stop(tally);
        for _ in 0..CLIENTS {
            let (one, other) = (target.clone(), target.clone());
            scope.spawn(move || http1(&one, tally));
            scope.spawn(move || http2(&other, tally));
        }
        for number in 0..TUNNELS {
            let (target, wait) = (target.clone(), time * number / TUNNELS);
            scope.spawn(move || tunnel(&target, wait, tally));
        }
        let url = target.url("/load");
        scope.spawn(move || load::h2load(&url, tally));
        let begun = Instant::now();
        while begun.elapsed() < time {
            let asked = Instant::now();
            match change {
                Change::Reload => reload(&mut gateway, changes),
                Change::Upgrade => {
                    match WebSocketClient::open(target.clone(), "/frames") {
                        Ok(client) => {
                            scope.spawn(move || websocket(client, tally));
                        }
                        Err(problem) => tally.fail(("no WebSocket", problem)),
                    }
                    successors.push(upgrade(&gateway));
                    tally.upgrades.fetch_add(1, Ordering::SeqCst);
                }
            }
            longest = longest.max(asked.elapsed());
            changes += 1;
            let due = change.interval() * u32::try_from(changes).unwrap_or(u32::MAX);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    });
    await_replaced(&successors);
    let (asked, answered) = (load.requests_total() as u64, &tally.loaded);
    if asked != answered.load(Ordering::SeqCst) {
        tally.fail(("requests of h2load that came to nothing", asked, answered));
    }
    Summary {
        change,
        changes,
        longest_ms: longest.as_millis() as u64,
        requests: [&tally.http1, &tally.http2].map(|count| count.load(Ordering::SeqCst)),
        loaded: tally.loaded.load(Ordering::SeqCst),
        echoes: tally.echoes.load(Ordering::SeqCst),
        websockets: tally.websockets.load(Ordering::SeqCst),
        frames: tally.frames.load(Ordering::SeqCst),
        failures: tally
            .failures
            .into_inner()
            .expect("nobody panicked while it was held"),
    }
}

/// Waits for all but the last one to end: nobody is left whom they would serve.
fn await_replaced(successors: &[Successor]) {
    let Some((_last, replaced)) = successors.split_last() else {
        return;
    };
    for replaced in replaced {
        eventually("a process that was replaced has ended", || {
            (!replaced.runs()).then_some(())
        });
    }
}

fn reload(gateway: &mut Gateway, number: u64) {
    gateway.rewrite_config(&CONFIG.replace("{generation}", &number.to_string()), &[]);
    let answer = gateway.admin_send("POST", "/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn upgrade(gateway: &Gateway) -> Successor {
    let answer = gateway.admin_send("POST", "/upgrade", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let pid = answer.json()["pid"]
        .as_u64()
        .and_then(|pid| pid.try_into().ok());
    Successor::new(pid.expect("the answer names the new process"))
}

fn http1(target: &Target, tally: &Tally) {
    let mut kept: Option<RawClient> = None;
    while tally.runs() {
        let client = kept.get_or_insert_with(|| RawClient::connect(target.clone()));
        client.send_if_taken("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        match client.try_response(false) {
            Ok(answer) if answer.status == 200 => {
                tally.http1.fetch_add(1, Ordering::SeqCst);
                if answer.says_close() {
                    kept = None;
                }
            }
            other => {
                tally.fail(("HTTP/1.1", other));
                kept = None;
            }
        }
    }
}

fn http2(target: &Target, tally: &Tally) {
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a"),
        (":path", "/"),
    ];
    let head = block(&fields);
    while tally.runs() {
        let mut client = Http2Client::connect(target.clone());
        while tally.runs() && client.last_goaway().is_none() {
            let streams: Vec<u32> = (0..STREAMS).map(|_| client.take_stream()).collect();
            for stream in &streams {
                client.send_frame_if_taken(kind::HEADERS, END_HEADERS | END_STREAM, *stream, &head);
            }
            for stream in streams {
                let answer = client.try_answer(stream);
                // Streams beyond the last one of a GOAWAY were not looked at (RFC 9113 §6.8).
                let unseen = client
                    .last_goaway()
                    .is_some_and(|told| told.last_stream < stream);
                match answer {
                    Ok(answer) if answer.ended && answer.status == 200 => {
                        tally.http2.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(answer) if answer.reset == Some(REFUSED_STREAM) => {}
                    Err(_) if unseen => {}
                    other => tally.fail(("HTTP/2", stream, other, client.last_goaway())),
                }
            }
        }
    }
}

/// A tunnel that is opened after a while and stays for as long as there is load.
fn tunnel(target: &Target, wait: Duration, tally: &Tally) {
    let opens = Instant::now() + wait;
    while tally.runs() && Instant::now() < opens {
        thread::sleep(Duration::from_millis(20));
    }
    let mut client = RawClient::connect(target.clone());
    client.send_if_taken(
        "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    match client.try_head(false) {
        Ok(head) if head.status == 101 => {}
        other => return tally.fail(("no tunnel", other)),
    }
    while tally.runs() {
        client.send_if_taken("still there?");
        match client.connection().take(12) {
            Ok(echo) if echo == b"still there?" => tally.echoes.fetch_add(1, Ordering::SeqCst),
            other => return tally.fail(("a tunnel", other)),
        };
        thread::sleep(Duration::from_millis(10));
    }
}

/// Frames there and back for as long as a WebSocket stays; then it is closed in order.
fn websocket(mut client: WebSocketClient, tally: &Tally) {
    let upgrades = tally.upgrades.load(Ordering::SeqCst);
    let until = Instant::now() + WEBSOCKET_TIME;
    let mut number = 0_u64;
    while tally.runs() && Instant::now() < until {
        // Now and then a message that does not fit a short frame.
        let text = match number.is_multiple_of(10) {
            true => format!("{number}: {}", "long ".repeat(200)),
            false => format!("{number}: short"),
        };
        if let Err(problem) = client.echo(&text) {
            return tally.fail(("a WebSocket", number, problem));
        }
        tally.frames.fetch_add(1, Ordering::SeqCst);
        number += 1;
        thread::sleep(Duration::from_millis(10));
    }
    let was_replaced = tally.upgrades.load(Ordering::SeqCst) > upgrades;
    match client.close() {
        Ok(()) => {
            tally
                .websockets
                .fetch_add(u64::from(was_replaced), Ordering::SeqCst);
        }
        Err(problem) => tally.fail(("a WebSocket's end", problem)),
    }
}

impl Summary {
    /// Whether everything was served, by every protocol, and changes came as often as they should.
    pub fn is_good(&self) -> bool {
        let stayed = self.change == Change::Reload || (self.websockets > 0 && self.frames > 0);
        let served = self.requests.iter().all(|&count| count > 0)
            && self.echoes > 0
            && self.loaded > 0
            && stayed;
        served && self.changes > 0 && self.failures.is_empty()
    }

    /// Checks [`Self::is_good`].
    ///
    /// # Panics
    /// When it is not; tells all.
    pub fn assert_good(&self) {
        assert!(self.is_good(), "{self}");
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:?}: {} times, the longest took {} ms",
            self.change, self.changes, self.longest_ms
        )?;
        let [http1, http2] = self.requests;
        writeln!(out, "requests over HTTP/1.1   {http1}")?;
        writeln!(out, "requests over HTTP/2     {http2}")?;
        writeln!(out, "requests of h2load       {}", self.loaded)?;
        writeln!(out, "echoes through tunnels   {}", self.echoes)?;
        writeln!(
            out,
            "WebSockets               {} over upgrades, {} frames and back",
            self.websockets, self.frames
        )?;
        writeln!(out, "failures                 {}", self.failures.len())?;
        for failure in self.failures.iter().take(10) {
            writeln!(out, "  {failure}")?;
        }
        Ok(())
    }
}

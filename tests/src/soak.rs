//! Mixed load against a gateway whose backends die and come back, with chance decided by a seed.
//!
//! What may go wrong for a client, and nothing else may:
//! - an answer that had begun is cut off when its backend dies (the client sees that it is incomplete);
//! - a POST that a backend may have acted on is answered 502 when that backend dies;
//! - requests pipelined behind one that was cut off are not answered.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::metric;
use foregate_testkit::{
    Answer, Answers, Backend, Gateway, Random, RawClient, Refuser, Request, Response, Script,
    Trouble, fingerprint,
};

const BIG_BYTES: usize = 1_000_000;

/// How long, how much, and by which seed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The time of the load.
    pub time: Duration,
    /// The seed of all chance; which request meets which death is still the scheduler's.
    pub seed: u64,
    /// Clients at a time.
    pub clients: u64,
    /// Backends, of which one is always up, and has been for a while.
    pub backends: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    served: u64,
    cut_off: u64,
    posts_lost: u64,
    pipelined_lost: u64,
    failures: Vec<String>,
    deaths: u64,
    rss_kib: Vec<u64>,
    outcomes: Vec<(String, f64)>,
}

/// Runs the plan.
///
/// # Panics
/// When the gateway leaks, or does not start.
pub fn run(plan: &Plan) -> Summary {
    let mut places: Vec<Place> = (0..plan.backends)
        .map(|_| Place::Up(Backend::start(script()), Instant::now()))
        .collect();
    let servers: Vec<_> = places
        .iter()
        .map(|place| format!("\"{}\"", place.address()))
        .collect();
    // Whatever else the machine does, no connection is given up for it while its client waits for the processor.
    let gateway = Gateway::new(
        "workers = 2\n[overload]\ndelay_max = \"off\"\n[access_log]\nto = \"/dev/null\"\nformat = \"json\"\n\
         [sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [{servers}]\n",
    )
    .fill("servers", servers.join(", "))
    .start();
    let stop = AtomicBool::new(false);
    let mut summary = Summary::default();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..plan.clients)
            .map(|number| {
                let client = Client::new(&gateway, plan.seed.wrapping_mul(1000) + number);
                let stop = &stop;
                scope.spawn(move || client.run(stop))
            })
            .collect();
        disturb(plan, &gateway, &mut places, &mut summary);
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            match client.join() {
                Ok(part) => summary.add(part),
                Err(_) => summary.failures.push("a client panicked".to_owned()),
            }
        }
    });
    // The dead come back, so that what is left is only what leaked.
    drop(places);
    gateway.assert_no_leaks();
    summary.outcomes = gateway.scrape().by_label(metric::OUTCOMES, "reason");
    summary
}

/// Longer than any request of the load takes. A backend dies only while another has been up for this long, so that a
/// request that can be sent again always has somewhere to go that it has not tried in vain.
const SETTLED: Duration = Duration::from_secs(2);

/// A backend's address, and whether it is alive there, and since when.
enum Place {
    Up(Backend, Instant),
    Down(Refuser),
}

impl Place {
    fn address(&self) -> std::net::SocketAddr {
        match self {
            Place::Up(backend, _) => backend.address(),
            Place::Down(refuser) => refuser.address(),
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self, Place::Up(_, since) if since.elapsed() > SETTLED)
    }
}

/// Kills and revives backends until time is up, and looks at the memory four times.
fn disturb(plan: &Plan, gateway: &Gateway, places: &mut Vec<Place>, summary: &mut Summary) {
    let begun = Instant::now();
    let mut random = Random::seeded(plan.seed);
    while begun.elapsed() < plan.time {
        thread::sleep(Duration::from_millis(100 + random.below(700)));
        let chosen = random.below(places.len() as u64) as usize;
        let place = match places.swap_remove(chosen) {
            Place::Up(backend, _) if places.iter().any(Place::is_settled) => {
                summary.deaths += 1;
                Place::Down(backend.kill())
            }
            Place::Down(refuser) => Place::Up(refuser.revive(script()), Instant::now()),
            needed => needed,
        };
        places.push(place);
        let quarters = (begun.elapsed().as_secs_f64() / plan.time.as_secs_f64() * 4.0) as usize;
        while summary.rss_kib.len() < quarters.min(4) {
            summary.rss_kib.push(gateway.rss_kib());
        }
    }
}

/// What every backend does: `/small/…` and `/big/…` say what they must, a POST gets the fingerprint of its body.
fn script() -> impl Script {
    Answers(answer as fn(&Request) -> Answer)
}

fn answer(request: &Request) -> Answer {
    if request.method == "POST" {
        return Answer::ok(fingerprint(&request.body));
    }
    match request.target.strip_prefix("/big/") {
        Some(number) => Answer::ok(big(number)),
        None => Answer::ok(request.target.clone()),
    }
}

fn big(number: &str) -> Vec<u8> {
    format!("{number} ")
        .into_bytes()
        .into_iter()
        .cycle()
        .take(BIG_BYTES)
        .collect()
}

/// One client of the load.
struct Client {
    address: std::net::SocketAddr,
    connection: Option<RawClient>,
    random: Random,
    summary: Summary,
}

impl Client {
    fn new(gateway: &Gateway, seed: u64) -> Self {
        Self {
            address: gateway.address(),
            connection: None,
            random: Random::seeded(seed),
            summary: Summary::default(),
        }
    }

    fn run(mut self, stop: &AtomicBool) -> Summary {
        while !stop.load(Ordering::SeqCst) {
            match self.random.below(100) {
                0..50 => self.get("small", false),
                50..60 => self.get("small", true),
                60..65 => self.get("big", false),
                65..80 => self.post(false),
                80..90 => self.post(true),
                _ => self.pipeline(),
            }
        }
        self.summary
    }

    fn connection(&mut self) -> &mut RawClient {
        self.connection
            .get_or_insert_with(|| RawClient::connect(self.address))
    }

    fn get(&mut self, kind: &str, close: bool) {
        let number = self.random.below(1_000_000).to_string();
        let target = format!("/{kind}/{number}");
        let connection = if close { "Connection: close\r\n" } else { "" };
        let client = self.connection();
        client.send_if_taken(format!(
            "GET {target} HTTP/1.1\r\nHost: soak\r\n{connection}\r\n"
        ));
        let expected = if kind == "big" {
            big(&number)
        } else {
            target.clone().into_bytes()
        };
        let outcome = read(client);
        self.settle(&format!("GET {target}"), outcome, &expected, true);
        if close {
            self.connection = None;
        }
    }

    fn post(&mut self, chunked: bool) {
        let length = self.random.below(20_000) as usize;
        let body = self.random.bytes(length);
        let client = self.connection();
        if chunked {
            client.send_if_taken(
                "POST /post HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            for piece in body.chunks(3000) {
                client.send_if_taken(format!("{:x}\r\n", piece.len()));
                client.send_if_taken(piece);
                client.send_if_taken("\r\n");
            }
            client.send_if_taken("0\r\n\r\n");
        } else {
            client.send_if_taken(format!(
                "POST /post HTTP/1.1\r\nHost: soak\r\nContent-Length: {length}\r\n\r\n"
            ));
            client.send_if_taken(&body);
        }
        let outcome = read(client);
        self.settle("POST", outcome, fingerprint(&body).as_bytes(), false);
    }

    fn pipeline(&mut self) {
        let targets: Vec<_> = (0..5)
            .map(|_| format!("/small/{}", self.random.below(1_000_000)))
            .collect();
        let client = self.connection();
        let requests: String = targets
            .iter()
            .map(|target| format!("GET {target} HTTP/1.1\r\nHost: soak\r\n\r\n"))
            .collect();
        client.send_if_taken(requests);
        for (number, target) in targets.iter().enumerate() {
            let outcome = read(self.connection());
            self.settle(
                &format!("pipelined GET {target}"),
                outcome,
                target.as_bytes(),
                true,
            );
            if self.connection.is_none() {
                self.summary.pipelined_lost += (targets.len() - number - 1) as u64;
                return;
            }
        }
    }

    /// Counts an outcome, and forgets the connection when it is of no more use.
    fn settle(&mut self, what: &str, outcome: Outcome, expected: &[u8], idempotent: bool) {
        let summary = &mut self.summary;
        match outcome {
            Outcome::Whole(response) => {
                if response.says_close() {
                    self.connection = None;
                }
                match response.status {
                    200 if response.body == expected => summary.served += 1,
                    200 => summary.failures.push(format!(
                        "{what}: a wrong body of {} bytes",
                        response.body.len()
                    )),
                    502 if !idempotent => summary.posts_lost += 1,
                    status => summary
                        .failures
                        .push(format!("{what}: {status} {}", response.text())),
                }
            }
            Outcome::CutOff => {
                summary.cut_off += 1;
                self.connection = None;
            }
            Outcome::Nothing(trouble) => {
                summary
                    .failures
                    .push(format!("{what}: no answer, {trouble:?}"));
                self.connection = None;
            }
        }
    }
}

enum Outcome {
    Whole(Response),
    CutOff,
    Nothing(Trouble),
}

/// Reads an answer, telling one that never began from one that broke off.
fn read(client: &mut RawClient) -> Outcome {
    match client.connection().wait_readable() {
        Ok(true) => {}
        Ok(false) => return Outcome::Nothing(Trouble::Closed),
        Err(trouble) => return Outcome::Nothing(trouble),
    }
    match client.try_response(false) {
        Ok(response) => Outcome::Whole(response),
        Err(Trouble::Closed | Trouble::Reset) => Outcome::CutOff,
        Err(trouble) => Outcome::Nothing(trouble),
    }
}

impl Summary {
    fn add(&mut self, part: Summary) {
        self.served += part.served;
        self.cut_off += part.cut_off;
        self.posts_lost += part.posts_lost;
        self.pipelined_lost += part.pipelined_lost;
        self.failures.extend(part.failures);
    }

    /// Whether nothing but the documented cases went wrong, and memory stayed flat from the first quarter on.
    pub fn is_good(&self) -> bool {
        self.served > 0 && self.failures.is_empty() && self.memory_is_flat()
    }

    /// Checks [`Self::is_good`].
    ///
    /// # Panics
    /// When it is not; tells all.
    pub fn assert_good(&self) {
        assert!(self.is_good(), "{self}");
    }

    fn memory_is_flat(&self) -> bool {
        match (self.rss_kib.first(), self.rss_kib.last()) {
            (Some(first), Some(last)) => *last <= first + first / 10 + 4096,
            _ => true,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "served whole             {}", self.served)?;
        writeln!(out, "cut off by a death       {}", self.cut_off)?;
        writeln!(out, "posts lost to a death    {}", self.posts_lost)?;
        writeln!(out, "pipelined behind a cut   {}", self.pipelined_lost)?;
        writeln!(out, "backends killed          {}", self.deaths)?;
        for (reason, count) in &self.outcomes {
            writeln!(out, "outcome {reason:<25}{count}")?;
        }
        let flat = if self.memory_is_flat() {
            "flat"
        } else {
            "GROWING"
        };
        writeln!(out, "memory at quarters, KiB  {:?} {flat}", self.rss_kib)?;
        writeln!(out, "undocumented failures    {}", self.failures.len())?;
        for failure in self.failures.iter().take(20) {
            writeln!(out, "  {failure}")?;
        }
        Ok(())
    }
}

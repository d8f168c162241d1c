//! Reloads of a large configuration under a steady load: how long they take, and what requests meanwhile see of them.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foregate_testkit::{Backend, Echo, Gateway, RawClient, Target};

/// How large the configuration is, and how often it is put in force.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Sites of one host each.
    pub hosts: usize,
    /// Routes of each.
    pub routes_per_host: usize,
    /// Upstreams, which the sites share.
    pub upstreams: usize,
    /// Endpoints of each.
    pub endpoints_per_upstream: usize,
    /// How many reloads are measured.
    pub reloads: u32,
    /// How far they are apart.
    pub interval: Duration,
}

/// What differs from one reload to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// One route.
    OneRoute,
    /// Every route and every endpoint, but for those that are asked.
    Everything,
}

/// Connections of the load.
const CLIENTS: u32 = 10;
/// How far the requests of one connection are apart: together they are 500 a second.
const PACE: Duration = Duration::from_millis(20);
/// How long after its answer a reload may still be felt.
const AFTERMATH: Duration = Duration::from_millis(100);

/// A request: when it was due, and when it was answered.
type Sample = (Instant, Instant);

/// What came of it.
#[derive(Debug)]
pub struct Summary {
    change: Change,
    reloads: Vec<Duration>,
    steady: Vec<Duration>,
    meanwhile: Vec<Duration>,
    failures: Vec<String>,
}

/// Measures reloads of one kind.
///
/// # Panics
/// When the gateway does not start, or refuses a reload.
pub fn run(plan: &Plan, change: Change) -> Summary {
    let app = Backend::start(Echo);
    let texts = [0, 1].map(|generation| text(plan, change, generation));
    let mut gateway = Gateway::new(&texts[0]).fill("app", app.address()).start();
    let stop = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let mut reloads = Vec::new();
    let mut samples: Vec<Sample> = Vec::new();
    thread::scope(|scope| {
        let target = gateway.target();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (target, stop, failures) = (target.clone(), &stop, &failures);
                scope.spawn(move || ask(&target, PACE * number / CLIENTS, stop, failures))
            })
            .collect();
        // Ends the load also when a reload panics.
        let end = Stop(&stop);
        for number in 1..=plan.reloads {
            thread::sleep(plan.interval);
            gateway.rewrite_config(&texts[number as usize % 2], &[]);
            let asked = Instant::now();
            let answer = gateway.admin_send("POST", "/reload", "");
            assert_eq!(answer.status, 200, "{}", answer.text());
            reloads.push((asked, Instant::now()));
        }
        thread::sleep(plan.interval);
        drop(end);
        for client in clients {
            samples.extend(client.join().unwrap_or_default());
        }
    });
    let is_meanwhile = |&(due, answered): &Sample| {
        let overlaps =
            |&(asked, done): &(Instant, Instant)| asked < answered && due < done + AFTERMATH;
        reloads.iter().any(overlaps)
    };
    let (meanwhile, steady): (Vec<Sample>, Vec<Sample>) =
        samples.into_iter().partition(is_meanwhile);
    Summary {
        change,
        steady: sorted(&steady),
        meanwhile: sorted(&meanwhile),
        reloads: sorted(&reloads),
        failures: failures.into_inner().unwrap_or_default(),
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The configuration of one generation.
fn text(plan: &Plan, change: Change, generation: usize) -> String {
    let everything = match change {
        Change::OneRoute => 0,
        Change::Everything => generation,
    };
    let mut text = format!(
        "workers = 2\n[access_log]\nto = \"/dev/null\"\n\
         [sites.\"asked.test\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{{app}}\"]\n\
         [sites.\"changed.test\"]\n[[sites.\"changed.test\".routes]]\n\
         respond = {{ status = 200, body = \"{generation}\" }}\n"
    );
    for host in 0..plan.hosts {
        let _ = writeln!(text, "[sites.\"host-{host}.test\"]");
        let upstream = host % plan.upstreams;
        for route in 0..plan.routes_per_host {
            let _ = write!(
                text,
                "[[sites.\"host-{host}.test\".routes]]\npath = \"/of-{everything}/part-{route}\"\n\
                 upstream = \"upstream-{upstream}\"\n"
            );
        }
    }
    for upstream in 0..plan.upstreams {
        let _ = write!(text, "[upstreams.upstream-{upstream}]\nservers = [");
        for endpoint in 0..plan.endpoints_per_upstream {
            // Nobody asks them, so that nobody need listen there.
            let number = upstream * plan.endpoints_per_upstream + endpoint;
            let (high, low, port) = (number / 250, 1 + number % 250, 9000 + everything);
            let _ = write!(text, "\"127.9.{high}.{low}:{port}\", ");
        }
        text.push_str("]\n");
    }
    text
}

/// One connection's requests, each when it is due: one that has to wait for another counts its waiting too.
fn ask(
    target: &Target,
    begins: Duration,
    stop: &AtomicBool,
    failures: &Mutex<Vec<String>>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut kept: Option<RawClient> = None;
    let mut due = Instant::now() + begins;
    while !stop.load(Ordering::SeqCst) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let client = kept.get_or_insert_with(|| RawClient::connect(target.clone()));
        client.send_if_taken("GET / HTTP/1.1\r\nHost: asked.test\r\n\r\n");
        match client.try_response(false) {
            Ok(answer) if answer.status == 200 => {
                samples.push((due, Instant::now()));
                if answer.says_close() {
                    kept = None;
                }
            }
            other => {
                kept = None;
                if let Ok(mut failures) = failures.lock() {
                    failures.push(format!("{other:?}"));
                }
            }
        }
        due += PACE;
    }
    samples
}

fn sorted(spans: &[(Instant, Instant)]) -> Vec<Duration> {
    let mut times: Vec<Duration> = (spans.iter())
        .map(|(from, to)| to.saturating_duration_since(*from))
        .collect();
    times.sort();
    times
}

/// The time that so many of a hundred stay within.
fn percentile(sorted: &[Duration], hundredths: usize) -> Duration {
    let at = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

impl Summary {
    /// Whether nothing failed, no reload took longer than `reload_max`, and the 99th percentile of requests meanwhile is
    /// no more than `bump_max` above that of the others.
    pub fn is_within(&self, reload_max: Duration, bump_max: Duration) -> bool {
        let p99 = percentile(&self.steady, 99) + bump_max;
        let served = !self.steady.is_empty() && !self.meanwhile.is_empty();
        served
            && self.failures.is_empty()
            && self.reloads.last().is_some_and(|last| *last <= reload_max)
            && percentile(&self.meanwhile, 99) <= p99
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(out, "{:?}, {} reloads", self.change, self.reloads.len())?;
        for (what, times) in [
            ("reload", &self.reloads),
            ("requests, steady", &self.steady),
            ("requests, reloading", &self.meanwhile),
        ] {
            let [p50, p99, max] = [50, 99, 100].map(|part| ms(percentile(times, part)));
            let count = times.len();
            writeln!(
                out,
                "{what:<20} {count:>6}: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms"
            )?;
        }
        writeln!(out, "failures             {}", self.failures.len())?;
        for failure in self.failures.iter().take(10) {
            writeln!(out, "  {failure}")?;
        }
        Ok(())
    }
}

//! The demo's line per second.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use foregate_server::Controller;
use foregate_telemetry::clock::{self, UnixTime};
use foregate_telemetry::metrics::{CLASSES, Registry, Totals};

use super::backends::{COUNT, NAMES};
use crate::terminal;

/// Begins a line anew on a terminal.
const ERASE: &str = "\r\x1b[2K";

/// The thread that prints.
pub(super) struct Live {
    end: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// Starts printing; after `time`, if it is given, the server is told to end.
///
/// # Errors
/// The thread can't be started.
pub(super) fn start(
    registry: Arc<Registry>,
    controller: Controller,
    backends: [SocketAddr; COUNT],
    time: Option<Duration>,
) -> io::Result<Live> {
    let (end, ended) = sync_channel(1);
    let backends = backends.map(|address| address.to_string());
    let thread = std::thread::Builder::new()
        .name("demo-live".into())
        .spawn(move || print(&registry, &controller, &backends, time, &ended))?;
    Ok(Live { end, thread })
}

impl Live {
    /// Prints what was served in all, and ends.
    pub(super) fn end(self) {
        drop(self.end);
        // Nothing depends on it: if it panicked, that was told.
        let _ = self.thread.join();
    }
}

fn print(
    registry: &Registry,
    controller: &Controller,
    backends: &[String; COUNT],
    time: Option<Duration>,
    ended: &Receiver<()>,
) {
    let began = clock::now();
    let mut before = registry.totals();
    let mut screen = Screen {
        is_terminal: io::stdout().is_terminal(),
        line_open: false,
    };
    let mut next = began;
    loop {
        next = next.plus(Duration::from_secs(1));
        if ended.recv_timeout(next.since(clock::now())) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let totals = registry.totals();
        let second = totals.since(&before);
        let seconds = totals.at.since(before.at).as_secs_f64();
        screen.show(
            &line(clock::unix_now(), &second, seconds, backends),
            second.requests == 0,
        );
        before = totals;
        if time.is_some_and(|time| clock::now().since(began) >= time) {
            controller.drain();
            let _ = ended.recv();
            break;
        }
    }
    let total = registry.totals().requests;
    screen.show(&format!("{} requests served", grouped(total)), false);
}

/// Where lines go. On a terminal a second without requests overwrites the one before, so that what was printed at the
/// start stays in sight.
struct Screen {
    is_terminal: bool,
    /// The last line may be overwritten.
    line_open: bool,
}

impl Screen {
    fn show(&mut self, line: &str, is_idle: bool) {
        let erase = if self.line_open { ERASE } else { "" };
        self.line_open = is_idle && self.is_terminal;
        let end = if self.line_open { "" } else { "\n" };
        // Whoever does not read the demo's lines does not stop it.
        let _ = terminal::print(&format!("{erase}{line}{end}"));
    }
}

/// `12:00:01    1,234 req/s  2xx 1,230 3xx 0     4xx 2     5xx 2     p50 0.3 ms  p99 1.2 ms  a 33% b 33% c 34%`
fn line(time: UnixTime, second: &Totals, seconds: f64, backends: &[String; COUNT]) -> String {
    let at = time.calendar();
    let rate = (second.requests as f64 / seconds.max(0.001)).round() as u64;
    let mut line = format!(
        "{:02}:{:02}:{:02}  {:>7} req/s ",
        at.hour,
        at.minute,
        at.second,
        grouped(rate)
    );
    if second.requests == 0 {
        line.truncate(line.trim_end().len());
        return line;
    }
    // Neither aborted requests nor interim answers are of interest here.
    for (class, count) in CLASSES.iter().zip(second.classes).skip(2) {
        line.push_str(&format!(" {class} {:<5}", grouped(count)));
    }
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let duration = second
            .latency
            .quantile(quantile)
            .map_or_else(|| "-".to_owned(), duration);
        line.push_str(&format!(" {name} {duration:<7}"));
    }
    let requests = backends.each_ref().map(|backend| {
        let own = second
            .endpoints
            .iter()
            .filter(|endpoint| *endpoint.address == **backend);
        own.map(|endpoint| endpoint.requests).sum::<u64>()
    });
    let all: u64 = requests.iter().sum();
    for (name, count) in NAMES.iter().zip(requests) {
        let share = (count * 200 + all).checked_div(all * 2);
        let share = share.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"));
        line.push_str(&format!(" {name} {share}"));
    }
    line
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn duration(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_telemetry::metrics::{EndpointTotals, Histogram};

    #[test]
    fn numbers_are_for_people() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), expected);
        }
        for (micros, expected) in [
            (64, "0.1 ms"),
            (9_900, "9.9 ms"),
            (45_400, "45 ms"),
            (1_500_000, "1.5 s"),
        ] {
            assert_eq!(duration(micros), expected);
        }
    }

    #[test]
    fn a_second_is_one_line() {
        let backends = ["x:1", "x:2", "x:3"].map(str::to_owned);
        let histogram = Histogram::default();
        histogram.observe(300);
        let mut second = Totals {
            requests: 1_234,
            ..Totals::default()
        };
        second.classes[2..6].copy_from_slice(&[1_230, 0, 2, 2]);
        second.latency.add(&histogram);
        for (address, requests) in [("x:1", 1), ("x:2", 1), ("x:3", 1), ("x:1", 1)] {
            second.endpoints.push(EndpointTotals {
                upstream: "app".into(),
                address: address.into(),
                requests,
                failures: 0,
                connections: 0,
            });
        }
        let time = UnixTime::from_seconds(12 * 3_600 + 1);
        assert_eq!(
            line(time, &second, 1.0, &backends),
            "12:00:01    1,234 req/s  2xx 1,230 3xx 0     4xx 2     5xx 2     p50 0.3 ms  p99 0.3 ms  a 50% b 25% c 25%"
        );
        let idle = line(time, &Totals::default(), 1.0, &backends);
        assert_eq!(
            idle, "12:00:01        0 req/s",
            "nothing to say fits any terminal"
        );
    }
}

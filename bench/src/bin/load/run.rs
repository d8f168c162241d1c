//! The run itself: connections, pace, the measured window, the result.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foregate_bench::alarm::Alarm;
use foregate_bench::latency::Latencies;
use foregate_bench::poll::{Interest, Poll};
use foregate_bench::usage::Usage;

use rustls::{ClientConfig, HandshakeKind};

use crate::connection::{Asked, Connection, Fault, Life};
use crate::plan::{Length, Pace, Plan};
use crate::transport::Handshakes;

const SCRATCH_BYTES: usize = 256 << 10;
/// A run in which nothing happens for this long is given up.
const STALL_MAX: Duration = Duration::from_secs(15);
/// With an open loop, so many due requests may wait for a free connection before the run is called overloaded.
const BACKLOG_MAX: usize = 1_000_000;
/// What the alarm is called among the sockets, which have the numbers of their places.
const ALARM: u64 = u64::MAX;

/// What the measured window has seen.
struct Window {
    began: Instant,
    usage: Usage,
    latencies: Latencies,
    bytes: u64,
    handshakes_full: u64,
    handshakes_resumed: u64,
}

/// Where a connection stands, and those that follow it.
struct Place {
    tls: Option<Arc<ClientConfig>>,
    /// A connection came to its handshake's end here before.
    seasoned: bool,
}

struct Run<'a> {
    plan: &'a Plan,
    poll: Poll,
    places: Vec<Place>,
    clients: Vec<Connection>,
    /// The place of every request that could be sent now.
    free: Vec<usize>,
    /// Due requests of an open loop that found no free connection.
    backlog: VecDeque<Instant>,
    next_due: Instant,
    begun: u64,
    finished: u64,
    faults: [u64; Fault::ALL.len()],
    reconnects: u64,
    window: Window,
    last_answer: Instant,
    /// What TLS connections have agreed on.
    terms: BTreeSet<String>,
    /// Answers of one read, kept for its memory.
    done: Vec<Instant>,
}

/// Makes the planned load and prints the result.
///
/// # Errors
/// The proxy cannot be reached, answers nothing for long, or fails too often.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let now = Instant::now();
    let places = (0..plan.connections).rev();
    let mut run = Run {
        plan,
        poll: Poll::new(1024).map_err(|error| error.to_string())?,
        places: Vec::with_capacity(plan.connections),
        clients: Vec::with_capacity(plan.connections),
        free: places.flat_map(|index| vec![index; plan.streams]).collect(),
        backlog: VecDeque::new(),
        next_due: now,
        begun: 0,
        finished: 0,
        faults: [0; Fault::ALL.len()],
        reconnects: 0,
        window: Window {
            began: now,
            usage: Usage::of(&plan.pids),
            latencies: Latencies::default(),
            bytes: 0,
            handshakes_full: 0,
            handshakes_resumed: 0,
        },
        last_answer: now,
        terms: BTreeSet::new(),
        done: Vec::new(),
    };
    let shared = plan.tls.as_ref().map(|tls| tls.place());
    for index in 0..plan.connections {
        // Places that keep tickets need a memory of their own.
        let tls = match &plan.tls {
            Some(tls) if tls.handshakes == Handshakes::Resumed => Some(tls.place()),
            _ => shared.clone(),
        };
        run.places.push(Place {
            tls,
            seasoned: false,
        });
        let client = run.connect(index, index)?;
        run.clients.push(client);
    }
    run.go()
}

impl Run<'_> {
    /// Connects in a place, for an exchange and those after it.
    fn connect(&self, index: usize, exchange: usize) -> Result<Connection, String> {
        let exchange = &self.plan.exchanges[exchange % self.plan.exchanges.len()];
        let client = Connection::connect(
            self.plan,
            index,
            self.places[index].tls.as_ref(),
            &exchange.host,
        )
        .map_err(|error| format!("{}: {error}", self.plan.to.join(", ")))?;
        self.poll
            .add(&client.transport.socket, index as u64, Interest::Read)
            .map_err(|error| error.to_string())?;
        Ok(client)
    }

    /// Closes the connection of a place and opens the next one.
    fn reconnect(&mut self, index: usize) -> Result<(), String> {
        let fresh = self.connect(index, self.begun as usize)?;
        std::mem::replace(&mut self.clients[index], fresh).close();
        Ok(())
    }

    fn go(&mut self) -> Result<(), String> {
        let start = Instant::now();
        let (warm, end) = match self.plan.length {
            Length::Requests(_) => (None, None),
            Length::Time(warmup, window) => (Some(start + warmup), Some(start + warmup + window)),
        };
        let mut warming = warm.is_some();
        self.next_due = start;
        self.last_answer = start;
        let alarm = self.alarm().map_err(|error| error.to_string())?;
        self.open_window(start);
        let mut scratch = vec![0; SCRATCH_BYTES];
        loop {
            let now = Instant::now();
            if warming && warm.is_some_and(|warm| now >= warm) {
                warming = false;
                self.open_window(now);
            }
            if end.is_some_and(|end| now >= end) || self.is_complete() {
                let seconds = (now - self.window.began).as_secs_f64();
                self.report(seconds);
                return Ok(());
            }
            if now - self.last_answer > STALL_MAX {
                return Err(format!("no answer for {} s", STALL_MAX.as_secs()));
            }
            self.send_due(now)?;
            let timeout = Self::timeout(if warming { warm } else { end });
            let ready_count = self.poll.wait(timeout).map_err(|error| error.to_string())?;
            for index in 0..ready_count {
                let ready = self.poll.ready(index);
                if ready.token == ALARM {
                    // What is due now is sent before the next wait.
                    let hushed = alarm.iter().try_for_each(Alarm::hush);
                    hushed.map_err(|error| error.to_string())?;
                    continue;
                }
                self.advance(
                    ready.token as usize,
                    ready.readable,
                    ready.writable,
                    &mut scratch,
                )?;
            }
        }
    }

    /// What wakes an open loop whenever a request is due.
    fn alarm(&self) -> io::Result<Option<Alarm>> {
        let Pace::Every(distance) = self.plan.pace else {
            return Ok(None);
        };
        let alarm = Alarm::every(distance)?;
        self.poll.add(&alarm, ALARM, Interest::Read)?;
        Ok(Some(alarm))
    }

    fn open_window(&mut self, now: Instant) {
        self.window.began = now;
        self.window.latencies.clear();
        self.window.bytes = 0;
        (self.window.handshakes_full, self.window.handshakes_resumed) = (0, 0);
        self.window.usage = Usage::of(&self.plan.pids);
    }

    fn is_complete(&self) -> bool {
        matches!(self.plan.length, Length::Requests(count) if self.finished >= count)
    }

    fn timeout(until: Option<Instant>) -> Option<Duration> {
        let longest = Duration::from_secs(1);
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        Some(left.map_or(longest, |left| left.min(longest)))
    }

    /// Sends on free connections: whatever is due, or as much as they take.
    fn send_due(&mut self, now: Instant) -> Result<(), String> {
        if let Pace::Every(distance) = self.plan.pace {
            while self.next_due <= now {
                self.backlog.push_back(self.next_due);
                self.next_due += distance;
            }
            if self.backlog.len() > BACKLOG_MAX {
                return Err("the proxy is far below the asked rate".to_owned());
            }
        }
        while let Some(&index) = self.free.last() {
            let due = match self.plan.pace {
                Pace::Closed => now,
                Pace::Every(_) => match self.backlog.pop_front() {
                    Some(due) => due,
                    None => break,
                },
            };
            if matches!(self.plan.length, Length::Requests(count) if self.begun >= count) {
                break;
            }
            self.free.pop();
            self.begin(index, due);
            // One write for all requests that begin together.
            if self.free.last() != Some(&index) || matches!(self.plan.pace, Pace::Every(_)) {
                self.flush(index)?;
            }
        }
        Ok(())
    }

    /// Begins the next exchange; what it sends waits for a flush.
    fn begin(&mut self, index: usize, due: Instant) {
        let asked = Asked {
            exchange: (self.begun % self.plan.exchanges.len() as u64) as usize,
            due,
            // The first answer on every connection is always looked at.
            compared: self.begun < self.plan.connections as u64
                || self.begun.is_multiple_of(self.plan.check_every),
        };
        self.begun += 1;
        self.clients[index].begin(self.plan, asked);
    }

    fn flush(&mut self, index: usize) -> Result<(), String> {
        match self.clients[index].flush(self.plan) {
            Ok(()) => self.watch(index),
            Err(fault) => self.fail(index, fault),
        }
    }

    fn watch(&mut self, index: usize) -> Result<(), String> {
        let client = &mut self.clients[index];
        let wanted = client.wanted(self.plan);
        if wanted != client.interest {
            client.interest = wanted;
            self.poll
                .change(&client.transport.socket, index as u64, wanted)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn advance(
        &mut self,
        index: usize,
        readable: bool,
        writable: bool,
        scratch: &mut [u8],
    ) -> Result<(), String> {
        if writable && self.clients[index].interest == Interest::ReadWrite {
            self.flush(index)?;
        }
        if !readable {
            return Ok(());
        }
        let mut done = std::mem::take(&mut self.done);
        done.clear();
        let read = self.clients[index].read(self.plan, scratch, &mut done);
        let outcome = match self.season(index).map_or(read, Err) {
            Ok(life) => self.answered(index, life, &done),
            // A proxy may close a connection that is between requests at any time; that fails no request.
            Err(Fault::Closed) if self.clients[index].busy() == 0 => {
                self.reconnects += 1;
                self.reconnect(index)
            }
            Err(fault) => self.fail(index, fault),
        };
        self.done = done;
        outcome
    }

    /// Counts a handshake that has just come to its end; one that should have been resumed is a fault.
    fn season(&mut self, index: usize) -> Option<Fault> {
        let (client, place) = (&mut self.clients[index], &mut self.places[index]);
        let kind = client.handshake?;
        if std::mem::replace(&mut client.counted, true) {
            return None;
        }
        if self.terms.len() < 16 {
            self.terms.extend(client.transport.terms());
        }
        let resumed = kind == HandshakeKind::Resumed;
        if resumed {
            self.window.handshakes_resumed += 1;
        } else {
            self.window.handshakes_full += 1;
        }
        let wanted = self.plan.tls.as_ref().map(|tls| tls.handshakes);
        let before = std::mem::replace(&mut place.seasoned, true);
        (wanted == Some(Handshakes::Resumed) && before && !resumed).then_some(Fault::Handshake)
    }

    /// Counts answers, replaces a connection that has ended, and begins what comes next.
    fn answered(&mut self, index: usize, life: Life, done: &[Instant]) -> Result<(), String> {
        let now = Instant::now();
        for &due in done {
            let latency = now.saturating_duration_since(due);
            self.window
                .latencies
                .record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
            self.window.bytes += self.plan.bytes_mean;
            self.finished += 1;
            self.last_answer = now;
        }
        let client = &self.clients[index];
        let over = (self.plan.per_connection).is_some_and(|limit| client.served >= limit);
        if over || life == Life::Closing {
            self.reconnects += u64::from(!over);
            self.reconnect(index)?;
        }
        for _ in done {
            if self.plan.pace != Pace::Closed {
                self.free.push(index);
            } else if !matches!(self.plan.length, Length::Requests(count) if self.begun >= count) {
                self.begin(index, now);
            }
        }
        self.flush(index)
    }

    fn fail(&mut self, index: usize, fault: Fault) -> Result<(), String> {
        let lost = self.clients[index].busy().max(1);
        self.faults[fault as usize] += 1;
        self.finished += lost as u64;
        let sum: u64 = self.faults.iter().sum();
        if sum > self.plan.errors_max {
            return Err(format!(
                "more than {} failures, last: {}",
                self.plan.errors_max,
                fault.name()
            ));
        }
        self.reconnect(index)?;
        let places = self.free.iter().filter(|&&free| free == index).count();
        let back = lost.min(self.plan.streams - places);
        self.free.extend(std::iter::repeat_n(index, back));
        Ok(())
    }

    fn report(&self, seconds: f64) {
        let latencies = &self.window.latencies;
        let count = latencies.count();
        let used = Usage::of(&self.plan.pids).since(self.window.usage);
        let per_request_us = if count == 0 {
            0.0
        } else {
            used.cpu_ns as f64 / 1000.0 / count as f64
        };
        let ticks = (used.user_ticks + used.system_ticks).max(1);
        let faults: Vec<String> = Fault::ALL
            .iter()
            .map(|fault| format!("\"{}\": {}", fault.name(), self.faults[*fault as usize]))
            .collect();
        let terms: Vec<String> = self.terms.iter().map(|t| format!("\"{t}\"")).collect();
        println!(
            "{{\"requests\": {count}, \"seconds\": {seconds:.6}, \"requests_per_second\": {:.1}, \
             \"bytes_per_second\": {:.0}, \"latency_us\": {{\"p50\": {:.1}, \"p99\": {:.1}, \"p999\": {:.1}, \
             \"max\": {:.1}, \"mean\": {:.2}}}, \"cpu_us_per_request\": {per_request_us:.3}, \
             \"cpu_seconds\": {:.6}, \"user_share\": {:.4}, \"reconnects\": {}, \"tls\": [{}], \
             \"handshakes_full\": {}, \"handshakes_resumed\": {}, \"errors\": {}, \"errors_by_kind\": {{{}}}}}",
            count as f64 / seconds,
            self.window.bytes as f64 / seconds,
            latencies.quantile_us(0.5),
            latencies.quantile_us(0.99),
            latencies.quantile_us(0.999),
            latencies.max_us(),
            latencies.mean_us(),
            used.cpu_ns as f64 / 1e9,
            used.user_ticks as f64 / ticks as f64,
            self.reconnects,
            terms.join(", "),
            self.window.handshakes_full,
            self.window.handshakes_resumed,
            self.faults.iter().sum::<u64>(),
            faults.join(", "),
        );
    }
}

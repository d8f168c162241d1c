//! The run itself: connections, pace, the measured window, the result.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use foregate_bench::latency::Latencies;
use foregate_bench::poll::{Interest, Poll};
use foregate_bench::usage::Usage;

use crate::client::{Client, Fault, Progress};
use crate::plan::{Length, Pace, Plan};

const SCRATCH_BYTES: usize = 256 << 10;
/// A run in which nothing happens for this long is given up.
const STALL_MAX: Duration = Duration::from_secs(15);
/// With an open loop, so many due requests may wait for a free connection before the run is called overloaded.
const BACKLOG_MAX: usize = 1_000_000;

/// What the measured window has seen.
struct Window {
    began: Instant,
    usage: Usage,
    latencies: Latencies,
    bytes: u64,
}

struct Run<'a> {
    plan: &'a Plan,
    poll: Poll,
    clients: Vec<Client>,
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
}

/// Makes the planned load and prints the result.
///
/// # Errors
/// The proxy cannot be reached, answers nothing for long, or fails too often.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let now = Instant::now();
    let mut run = Run {
        plan,
        poll: Poll::new(1024).map_err(|error| error.to_string())?,
        clients: Vec::with_capacity(plan.connections),
        free: (0..plan.connections).rev().collect(),
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
        },
        last_answer: now,
    };
    for index in 0..plan.connections {
        let client = run.connect(index)?;
        run.clients.push(client);
    }
    run.go()
}

impl Run<'_> {
    fn connect(&self, index: usize) -> Result<Client, String> {
        let client = Client::connect(&self.plan.to, Instant::now())
            .map_err(|error| format!("{}: {error}", self.plan.to))?;
        self.poll
            .add(&client.socket, index as u64, Interest::Read)
            .map_err(|error| error.to_string())?;
        Ok(client)
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
            let timeout = self.timeout(if warming { warm } else { end });
            let ready_count = self.poll.wait(timeout).map_err(|error| error.to_string())?;
            for index in 0..ready_count {
                let ready = self.poll.ready(index);
                self.advance(
                    ready.token as usize,
                    ready.readable,
                    ready.writable,
                    &mut scratch,
                )?;
            }
        }
    }

    fn open_window(&mut self, now: Instant) {
        self.window.began = now;
        self.window.latencies.clear();
        self.window.bytes = 0;
        self.window.usage = Usage::of(&self.plan.pids);
    }

    fn is_complete(&self) -> bool {
        matches!(self.plan.length, Length::Requests(count) if self.finished >= count)
    }

    fn timeout(&self, until: Option<Instant>) -> Option<Duration> {
        let now = Instant::now();
        let mut until = until.unwrap_or(now + Duration::from_secs(1));
        if matches!(self.plan.pace, Pace::Every(_)) {
            until = until.min(self.next_due);
        }
        Some((until - now).min(Duration::from_secs(1)))
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
            self.begin(index, due)?;
        }
        Ok(())
    }

    fn begin(&mut self, index: usize, due: Instant) -> Result<(), String> {
        let exchange = (self.begun % self.plan.exchanges.len() as u64) as usize;
        // The first answer on every connection is always looked at.
        let compared = self.begun < self.plan.connections as u64
            || self.begun.is_multiple_of(self.plan.check_every);
        self.begun += 1;
        match self.clients[index].begin(self.plan, exchange, due, compared) {
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
                .change(&client.socket, index as u64, wanted)
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
        let client = &mut self.clients[index];
        if writable && client.interest == Interest::ReadWrite {
            if let Err(fault) = client.write(self.plan) {
                return self.fail(index, fault);
            }
            self.watch(index)?;
        }
        if !readable {
            return Ok(());
        }
        match self.clients[index].read(self.plan, scratch) {
            Ok(Progress::Pending) => Ok(()),
            Ok(Progress::Done) => self.finish(index),
            Ok(Progress::DoneAndClosing) => {
                let mut fresh = self.connect(index)?;
                fresh.due = self.clients[index].due;
                self.clients[index] = fresh;
                self.reconnects += 1;
                self.finish(index)
            }
            // A proxy may close a connection that is between requests at any time; that fails no request.
            Err(Fault::Closed) if !self.clients[index].is_busy() => {
                self.reconnects += 1;
                self.clients[index] = self.connect(index)?;
                Ok(())
            }
            Err(fault) => self.fail(index, fault),
        }
    }

    fn finish(&mut self, index: usize) -> Result<(), String> {
        let now = Instant::now();
        let latency = now.saturating_duration_since(self.clients[index].due);
        self.window
            .latencies
            .record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.window.bytes += self.plan.bytes_mean;
        self.finished += 1;
        self.last_answer = now;
        if self.plan.pace == Pace::Closed {
            if matches!(self.plan.length, Length::Requests(count) if self.begun >= count) {
                return Ok(());
            }
            return self.begin(index, now);
        }
        self.free.push(index);
        Ok(())
    }

    fn fail(&mut self, index: usize, fault: Fault) -> Result<(), String> {
        self.faults[fault as usize] += 1;
        self.finished += 1;
        let sum: u64 = self.faults.iter().sum();
        if sum > self.plan.errors_max {
            return Err(format!(
                "more than {} failures, last: {}",
                self.plan.errors_max,
                fault.name()
            ));
        }
        self.clients[index] = self.connect(index)?;
        self.free.push(index);
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
        println!(
            "{{\"requests\": {count}, \"seconds\": {seconds:.6}, \"requests_per_second\": {:.1}, \
             \"bytes_per_second\": {:.0}, \"latency_us\": {{\"p50\": {:.1}, \"p99\": {:.1}, \"p999\": {:.1}, \
             \"max\": {:.1}, \"mean\": {:.2}}}, \"cpu_us_per_request\": {per_request_us:.3}, \
             \"cpu_seconds\": {:.6}, \"user_share\": {:.4}, \"reconnects\": {}, \"errors\": {}, \
             \"errors_by_kind\": {{{}}}}}",
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
            self.faults.iter().sum::<u64>(),
            faults.join(", "),
        );
    }
}

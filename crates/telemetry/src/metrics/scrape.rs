//! From the shards' cells to families of samples.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cell::{Counter, Level};
use super::exposition::{Exposition, Kind};
use super::names::Pair;
use super::shard::{CIPHERS, HANDSHAKES, ListenerCells, Refusal, Shard, TlsCells};
use super::{Registry, balancing, lock, process};
use crate::clock;

impl Registry {
    /// Adds all of this registry's metrics and those of the registered [`super::Gauges`].
    pub fn scrape(&self, out: &mut Exposition) {
        let shards = lock(&self.shards).clone();
        self.scrape_process(out);
        scrape_workers(out, &shards);
        scrape_outcomes(out, &shards, &self.reason_names);
        scrape_failed(out, &shards, &self.reason_names);
        balancing::scrape(out, &shards);
        self.scrape_routes(out, &shards, &self.reason_names);
        self.scrape_endpoints(out, &shards);
        scrape_listeners(out, &shards, &lock(&self.listeners).list());
        scrape_tls(out, &shards, &lock(&self.listeners).list());
        // Cloned, so that a collector may itself use the registry.
        let gauges = lock(&self.gauges).clone();
        for (_, gauges) in gauges {
            gauges.collect(out);
        }
    }

    fn scrape_process(&self, out: &mut Exposition) {
        let build = out.family(
            "foregate_build_info",
            Kind::Gauge,
            "Always 1; the labels say which build runs.",
        );
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.count(build, &version, 1);
        let level = |out: &mut Exposition, name, help, value: f64| {
            let family = out.family(name, Kind::Gauge, help);
            out.value(family, &[], value);
        };
        let started = self.started.micros() as f64 / 1e6;
        let help = "When the process began, in seconds since 1970.";
        level(out, "process_start_time_seconds", help, started);
        let uptime = clock::unix_now().micros() as f64 / 1e6 - started;
        let help = "How long the process has been running.";
        level(out, "foregate_uptime_seconds", help, uptime.max(0.0));
        if let Some(bytes) = process::resident_bytes() {
            let help = "Resident memory in bytes.";
            level(out, "process_resident_memory_bytes", help, bytes as f64);
        }
        let loaded = self.config_loaded.load(Ordering::Relaxed) as f64;
        let help = "When the running configuration was loaded, in seconds since 1970.";
        level(
            out,
            "foregate_config_loaded_timestamp_seconds",
            help,
            loaded,
        );
        let reloads = out.family(
            "foregate_config_reloads_total",
            Kind::Counter,
            "Reloads of the configuration by result; a failed one changed nothing.",
        );
        let ok = self.reloads_ok.load(Ordering::Relaxed);
        out.count(reloads, &[("result", "ok")], ok);
        let failed = self.reloads_failed.load(Ordering::Relaxed);
        out.count(reloads, &[("result", "failed")], failed);
        let panics = out.family(
            "foregate_panics_total",
            Kind::Counter,
            "Panics caught; each ended one connection.",
        );
        out.count(panics, &[], self.panics.load(Ordering::Relaxed));
        let refused = out.family(
            "foregate_metric_names_refused_total",
            Kind::Counter,
            "Names that found their table full and share the slot \"other\".",
        );
        for (table, names) in [
            ("routes", &self.routes),
            ("endpoints", &self.endpoints),
            ("listeners", &self.listeners),
        ] {
            out.count(refused, &[("table", table)], lock(names).refused());
        }
    }
}

/// Sums one counter over the shards.
pub(super) fn sum<T>(cells: &[&T], counter: impl Fn(&T) -> &Counter) -> u64 {
    cells.iter().map(|cells| counter(cells).read()).sum()
}

/// Sums one level over the shards.
pub(super) fn level_sum<T>(cells: &[&T], level: impl Fn(&T) -> &Level) -> u64 {
    cells.iter().map(|cells| level(cells).read()).sum()
}

fn scrape_workers(out: &mut Exposition, shards: &[Arc<Shard>]) {
    let family = out.family(
        "foregate_worker_connections",
        Kind::Gauge,
        "Client connections open, by worker.",
    );
    for (worker, shard) in shards.iter().enumerate() {
        let worker = worker.to_string();
        out.count(family, &[("worker", &worker)], shard.connections.read());
    }
}

fn scrape_outcomes(out: &mut Exposition, shards: &[Arc<Shard>], reasons: &[&str]) {
    let family = out.family(
        "foregate_outcomes_total",
        Kind::Counter,
        "Finished requests by outcome.",
    );
    for (number, reason) in reasons.iter().enumerate() {
        let count = shards
            .iter()
            .map(|shard| shard.outcomes[number].read())
            .sum();
        out.count(family, &[("reason", reason)], count);
    }
}

fn scrape_failed(out: &mut Exposition, shards: &[Arc<Shard>], reasons: &[&str]) {
    let family = out.family(
        "foregate_http2_connections_failed_total",
        Kind::Counter,
        "HTTP/2 connections that were ended for what the client did.",
    );
    for (number, reason) in reasons.iter().enumerate() {
        let count = shards.iter().map(|shard| shard.failed[number].read()).sum();
        if count > 0 {
            out.count(family, &[("reason", reason)], count);
        }
    }
}

fn scrape_listeners(out: &mut Exposition, shards: &[Arc<Shard>], names: &[Pair]) {
    let accepted = out.family(
        "foregate_connections_accepted_total",
        Kind::Counter,
        "Connections taken.",
    );
    let http2 = out.family(
        "foregate_connections_http2_total",
        Kind::Counter,
        "Connections taken that spoke HTTP/2.",
    );
    let active = out.family(
        "foregate_connections",
        Kind::Gauge,
        "Client connections open.",
    );
    let refused = out.family(
        "foregate_connections_refused_total",
        Kind::Counter,
        "Connections turned away by reason.",
    );
    let bytes_in = out.family(
        "foregate_received_bytes_total",
        Kind::Counter,
        "Bytes read from clients, heads and framing included.",
    );
    let bytes_out = out.family(
        "foregate_sent_bytes_total",
        Kind::Counter,
        "Bytes written to clients, heads and framing included.",
    );
    for (slot, [name, _]) in (0..).zip(names) {
        let cells: Vec<&ListenerCells> = shards
            .iter()
            .filter_map(|shard| shard.listeners.peek(slot))
            .collect();
        let taken = sum(&cells, |cells| &cells.accepted);
        let turned_away: u64 = Refusal::ALL
            .iter()
            .map(|reason| sum(&cells, |cells| &cells.refused[*reason as usize]))
            .sum();
        // The slot "other" has no name and appears only when it was used.
        if slot == 0 && taken + turned_away == 0 {
            continue;
        }
        let name = if slot == 0 { "other" } else { name };
        let labels = [("listener", name)];
        out.count(accepted, &labels, taken);
        out.count(http2, &labels, sum(&cells, |cells| &cells.http2));
        out.count(active, &labels, level_sum(&cells, |cells| &cells.active));
        for reason in Refusal::ALL {
            let count = sum(&cells, |cells| &cells.refused[reason as usize]);
            out.count(refused, &[labels[0], ("reason", reason.name())], count);
        }
        out.count(bytes_in, &labels, sum(&cells, |cells| &cells.bytes_in));
        out.count(bytes_out, &labels, sum(&cells, |cells| &cells.bytes_out));
    }
}

fn scrape_tls(out: &mut Exposition, shards: &[Arc<Shard>], names: &[Pair]) {
    let handshakes = out.family(
        "foregate_tls_handshakes_total",
        Kind::Counter,
        "TLS handshakes with clients by how they ended.",
    );
    let connections = out.family(
        "foregate_tls_connections_total",
        Kind::Counter,
        "TLS connections by protocol version, cipher suite and whether an earlier session was resumed.",
    );
    for (slot, [name, _]) in (0..).zip(names) {
        let cells: Vec<&TlsCells> = shards
            .iter()
            .filter_map(|shard| shard.listeners.peek(slot)?.tls_if_any())
            .collect();
        if cells.is_empty() {
            continue;
        }
        let listener = ("listener", if slot == 0 { "other" } else { name });
        for (number, result) in HANDSHAKES.iter().enumerate() {
            let count = sum(&cells, |cells| &cells.handshakes[number]);
            out.count(handshakes, &[listener, ("result", result)], count);
        }
        for (number, (version, cipher)) in CIPHERS.iter().enumerate() {
            for (resumed, label) in ["no", "yes"].iter().enumerate() {
                let count = sum(&cells, |cells| &cells.ciphers[number][resumed]);
                if count > 0 {
                    let labels = [
                        ("version", *version),
                        ("cipher", *cipher),
                        ("resumed", *label),
                    ];
                    out.count(connections, &[&[listener], &labels[..]].concat(), count);
                }
            }
        }
    }
}

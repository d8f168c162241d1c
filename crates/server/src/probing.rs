//! Probing: the prober of the process, on a thread that workers never wait for; and what it shows.

use foregate_admin::{ProbeResultView, ProbeView};
use foregate_balance::{Endpoint, ProbeResult};
use foregate_eventloop::block_on;
use foregate_exchange::PlanParts;
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::Registry;
use foregate_upstream::{Prober, Watched};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// Starts the thread, which probes what the first plan says.
///
/// # Errors
/// The thread could not be had.
pub(crate) fn start(parts: &PlanParts, registry: &Registry) -> io::Result<Arc<Prober>> {
    let prober = Arc::new(Prober::default());
    prober.set(parts.probe_targets());
    registry.register("probes", Arc::clone(&prober) as _);
    let runs = Arc::clone(&prober);
    std::thread::Builder::new()
        .name("probes".to_owned())
        .spawn(move || {
            if let Err(error) = block_on(runs.run()) {
                process::error("nobody is probed", &[("error", &error)]);
            }
        })?;
    Ok(prober)
}

/// What probes know, by endpoint.
pub(crate) struct Known(HashMap<*const Endpoint, Arc<Watched>>);

impl Known {
    pub(crate) fn of(prober: &Prober) -> Known {
        let watched = prober.watched();
        let by_endpoint = watched
            .iter()
            .map(|one| (Arc::as_ptr(&one.endpoint), Arc::clone(one)));
        Known(by_endpoint.collect())
    }

    /// What an endpoint's probes heard, if it has any.
    pub(crate) fn view(&self, endpoint: &Endpoint, now_ms: u64) -> Option<ProbeView> {
        let watched = self.0.get(&std::ptr::from_ref(endpoint))?;
        let record = watched.record();
        let (probes, failures) = record.counts();
        let history = record.history().map(|result| entry(result, now_ms));
        Some(ProbeView {
            for_ms: now_ms.saturating_sub(record.since_ms()),
            probes,
            failures,
            history: history.collect(),
        })
    }
}

fn entry(result: &ProbeResult, now_ms: u64) -> ProbeResultView {
    ProbeResultView {
        ago_ms: now_ms.saturating_sub(result.at_ms),
        took_us: result.micros,
        fault: result.fault.map(|fault| fault.name().to_owned()),
        status: result.fault.and_then(|fault| fault.status()),
    }
}

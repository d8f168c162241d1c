//! How orders went, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use foregate_telemetry::metrics::{Exposition, Kind};

use crate::certificate::Source;
use crate::reason::Reason;

const REASONS: usize = Reason::ALL.len();

/// Counts of the process' life.
#[derive(Debug)]
pub(super) struct Counts {
    acme: AtomicU64,
    internal: AtomicU64,
    failures: [AtomicU64; REASONS],
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            acme: AtomicU64::new(0),
            internal: AtomicU64::new(0),
            failures: [const { AtomicU64::new(0) }; REASONS],
        }
    }
}

impl Counts {
    pub(super) fn issued(&self, source: Source) {
        let count = match source {
            Source::Acme => &self.acme,
            Source::Internal => &self.internal,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, reason: Reason) {
        let place = Reason::ALL.iter().position(|each| *each == reason);
        if let Some(count) = place.and_then(|place| self.failures.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn collect(&self, out: &mut Exposition) {
        let family = out.family(
            "foregate_certificates_issued_total",
            Kind::Counter,
            "Certificates that were issued to this process.",
        );
        for (source, count) in [
            (Source::Acme, &self.acme),
            (Source::Internal, &self.internal),
        ] {
            let count = count.load(Ordering::Relaxed);
            out.count(family, &[("source", source.name())], count);
        }
        let family = out.family(
            "foregate_certificate_failures_total",
            Kind::Counter,
            "Orders and renewals of certificates that failed.",
        );
        for (reason, count) in Reason::ALL.iter().zip(&self.failures) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                out.count(family, &[("reason", reason.name())], count);
            }
        }
    }
}

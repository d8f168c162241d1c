//! Records that were set and have to go, whatever becomes of the order that they are for.

use std::sync::{Arc, Mutex, PoisonError};

use foregate_telemetry::log::process;

use super::{DnsOptions, DnsRecord};
use crate::reason::Failure;

/// Records of orders that were cut off: by their timeout, or by the end of the process. Clones share one list.
#[derive(Clone, Default)]
pub(crate) struct Leftovers {
    records: Arc<Mutex<Vec<(DnsOptions, DnsRecord)>>>,
}

impl Leftovers {
    /// Removes them all.
    pub(crate) async fn clean(&self) {
        loop {
            let next = {
                let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
                records.pop()
            };
            match next {
                Some((dns, record)) => remove(&dns, &record).await,
                None => return,
            }
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.records.lock().unwrap().len()
    }
}

/// The records of one order. Those that are not removed by [`SetRecords::clean`] become leftovers when this goes.
pub(crate) struct SetRecords {
    dns: Option<DnsOptions>,
    records: Vec<DnsRecord>,
    leftovers: Leftovers,
}

impl SetRecords {
    /// None yet.
    pub(crate) fn new(dns: Option<&DnsOptions>, leftovers: &Leftovers) -> SetRecords {
        SetRecords {
            dns: dns.cloned(),
            records: Vec::new(),
            leftovers: leftovers.clone(),
        }
    }

    /// Sets one more. A hook that fails half-way, or is cut off, may have set it: it is removed in any case.
    pub(crate) async fn present(&mut self, record: DnsRecord) -> Result<(), Failure> {
        let Some(dns) = &self.dns else {
            return Ok(());
        };
        self.records.push(record.clone());
        dns.present(&record).await
    }

    /// Waits until every name server has them.
    pub(crate) async fn wait(&self) -> Result<(), Failure> {
        match &self.dns {
            Some(dns) => dns.wait_for(&self.records).await,
            None => Ok(()),
        }
    }

    /// Removes them.
    pub(crate) async fn clean(&mut self) {
        while let (Some(dns), Some(record)) = (&self.dns, self.records.first()) {
            remove(dns, record).await;
            self.records.remove(0);
        }
    }
}

impl Drop for SetRecords {
    fn drop(&mut self) {
        let Some(dns) = &self.dns else {
            return;
        };
        let left = self.records.drain(..).map(|record| (dns.clone(), record));
        let leftovers = &self.leftovers.records;
        leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(left);
    }
}

async fn remove(dns: &DnsOptions, record: &DnsRecord) {
    if let Err(failure) = dns.cleanup(record).await {
        process::warn(
            "a challenge's DNS record could not be removed",
            &[
                ("reason", &failure.reason.name()),
                ("detail", &failure.detail),
            ],
        );
    }
}

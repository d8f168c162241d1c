//! How many connections a listener and a client address may have, counted over all workers.

use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Locks are taken once when a connection opens and once when it closes, never for a request.
const SHARDS: usize = 16;

/// The limits of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Open connections of all clients.
    pub connections_max: usize,
    /// Open connections of one client address; `None` for no limit.
    pub connections_per_client_max: Option<usize>,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The listener has as many as it may.
    Listener,
    /// The client has as many as it may.
    Client,
}

/// The connections of one listener. Outlives configurations: only its limits change.
#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    connections_max: AtomicUsize,
    per_client_max: AtomicUsize,
    crowded_percent: AtomicU32,
    clients: [Mutex<HashMap<IpAddr, usize, foldhash::fast::RandomState>>; SHARDS],
}

impl Admission {
    /// A listener without connections.
    pub fn new(limits: AdmissionLimits) -> Arc<Admission> {
        let admission = Arc::new(Admission {
            open: AtomicUsize::new(0),
            connections_max: AtomicUsize::new(0),
            per_client_max: AtomicUsize::new(0),
            crowded_percent: AtomicU32::new(u32::MAX),
            clients: std::array::from_fn(|_| Mutex::default()),
        });
        admission.set_limits(limits);
        admission
    }

    /// Takes new limits; connections that are open stay.
    pub fn set_limits(&self, limits: AdmissionLimits) {
        let per_client = limits.connections_per_client_max.unwrap_or(usize::MAX);
        self.connections_max
            .store(limits.connections_max, Ordering::Relaxed);
        self.per_client_max.store(per_client, Ordering::Relaxed);
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How much of what may be open is, in percent.
    pub fn percent(&self) -> u32 {
        let max = self.connections_max.load(Ordering::Relaxed).max(1);
        u32::try_from(self.open() * 100 / max).unwrap_or(u32::MAX)
    }

    /// From how much of what may be open on connections that wait for a request are spare.
    pub fn set_crowded_percent(&self, percent: u32) {
        self.crowded_percent.store(percent, Ordering::Relaxed);
    }

    /// Whether so many are open that those which wait for a request are to make room.
    pub fn is_crowded(&self) -> bool {
        let max = self.connections_max.load(Ordering::Relaxed);
        let percent = self.crowded_percent.load(Ordering::Relaxed) as usize;
        // No division: it is asked with every answer.
        self.open().saturating_mul(100) >= max.saturating_mul(percent)
    }

    /// How many of those that are open are to make room.
    pub fn spare(&self) -> usize {
        let max = self.connections_max.load(Ordering::Relaxed);
        let percent = self.crowded_percent.load(Ordering::Relaxed) as usize;
        let mark = max.saturating_mul(percent).div_ceil(100);
        (self.open() + 1).saturating_sub(mark)
    }

    /// Counts a connection in; its client as well where that is known already.
    ///
    /// # Errors
    /// The limit that it would break.
    pub fn admit(self: &Arc<Admission>, client: Option<IpAddr>) -> Result<Admitted, Refused> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.connections_max.load(Ordering::Relaxed)
        {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Listener);
        }
        let mut admitted = Admitted {
            admission: Arc::clone(self),
            client: None,
        };
        match client {
            Some(client) => admitted.count_client(client).map(|()| admitted),
            None => Ok(admitted),
        }
    }

    fn shard(
        &self,
        client: IpAddr,
    ) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize, foldhash::fast::RandomState>> {
        let at = FixedState::default().hash_one(client) as usize % SHARDS;
        // The counts are right at every point where a panic could strike, so a poisoned lock is still good.
        self.clients[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counted connection; dropping it counts it out.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    /// Whose connection it counts as.
    client: Option<IpAddr>,
}

impl Admitted {
    /// Counts the client, once it is known who that is.
    ///
    /// # Errors
    /// It has as many connections as it may.
    pub fn count_client(&mut self, client: IpAddr) -> Result<(), Refused> {
        debug_assert!(self.client.is_none(), "a connection has one client");
        let client = client.to_canonical();
        let mut counts = self.admission.shard(client);
        let count = counts.entry(client).or_insert(0);
        if *count >= self.admission.per_client_max.load(Ordering::Relaxed) {
            if *count == 0 {
                counts.remove(&client);
            }
            return Err(Refused::Client);
        }
        *count += 1;
        drop(counts);
        self.client = Some(client);
        Ok(())
    }

    /// Whether the listener has use for the place.
    pub(crate) fn is_wanted(&self) -> bool {
        self.admission.is_crowded()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else {
            return;
        };
        let mut counts = self.admission.shard(client);
        if let Some(count) = counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections_max: usize, per_client: Option<usize>) -> Arc<Admission> {
        Admission::new(AdmissionLimits {
            connections_max,
            connections_per_client_max: per_client,
        })
    }

    #[track_caller]
    fn assert_counts_nobody(admission: &Admission) {
        let mut counts = admission.clients.iter();
        assert!(counts.all(|counts| counts.lock().unwrap().is_empty()));
    }

    #[test]
    fn each_client_has_its_share_and_gives_it_back() {
        let admission = admission(3, Some(2));
        let client = Some("192.0.2.1".parse().unwrap());
        let mapped = Some("::ffff:192.0.2.1".parse().unwrap());
        let first = admission.admit(client).unwrap();
        let second = admission.admit(mapped).unwrap();
        assert_eq!(admission.admit(client).unwrap_err(), Refused::Client);
        let other = admission.admit("192.0.2.2".parse().ok()).unwrap();
        assert_eq!(
            admission.admit("192.0.2.3".parse().ok()).unwrap_err(),
            Refused::Listener
        );
        drop((first, other));
        assert_eq!(admission.open(), 1);
        drop(admission.admit(client).unwrap());
        drop(second);
        assert_eq!(admission.open(), 0);
        assert_counts_nobody(&admission);
    }

    #[test]
    fn a_client_that_is_known_later_is_counted_then() {
        let admission = admission(9, Some(1));
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let mut first = admission.admit(None).unwrap();
        let mut second = admission.admit(None).unwrap();
        first.count_client(client).unwrap();
        assert_eq!(second.count_client(client), Err(Refused::Client));
        assert_eq!(admission.open(), 2);
        drop(first);
        second.count_client(client).unwrap();
        drop(second);
        assert_eq!(admission.open(), 0);
        assert_counts_nobody(&admission);
    }

    #[test]
    fn new_limits_hold_for_the_next_connection() {
        let admission = admission(1, None);
        let client = "192.0.2.1".parse().ok();
        let _first = admission.admit(client).unwrap();
        assert!(admission.admit(client).is_err());
        admission.set_limits(AdmissionLimits {
            connections_max: 2,
            connections_per_client_max: None,
        });
        assert!(admission.admit(client).is_ok());
    }
}

//! Names of endpoints, looked up by the system's resolver.

use super::Roster;
use foregate_snapshot::Snapshot;
use foregate_telemetry::clock::now;
use foregate_telemetry::log::process;
use foregate_upstream::resolve;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// How long a start or reload waits for the system's resolver; names that take longer are taken up when they come.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Names looked up at the same time.
const LOOKUPS_MAX: usize = 32;

/// A host and a port.
pub(crate) type Name = (Box<str>, u16);

/// What each name resolved to.
pub(crate) type Addresses = HashMap<Name, Vec<SocketAddr>>;

/// The names that endpoints of a configuration go by, and those that others have added.
pub(crate) fn names(snapshot: &Snapshot, roster: &Roster) -> Vec<Name> {
    let mut names: Vec<Name> = snapshot
        .upstreams
        .iter()
        .flat_map(|upstream| roster.names(upstream))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Looks names up, side by side and for a bounded time. Those that fail are named in the log.
pub(crate) fn look_up(names: &[Name]) -> Addresses {
    let mut addresses = Addresses::new();
    let end = now().plus(RESOLVE_TIMEOUT);
    for group in names.chunks(LOOKUPS_MAX) {
        let lookups: Vec<_> = group.iter().map(start_lookup).collect();
        for ((host, port), lookup) in group.iter().zip(lookups) {
            let left = end.since(now()).max(Duration::from_millis(1));
            let problem = match lookup.recv_timeout(left) {
                Ok(Ok(found)) => {
                    addresses.insert((host.clone(), *port), found);
                    continue;
                }
                Ok(Err(problem)) => problem,
                Err(_) => "the resolver did not answer in time".to_owned(),
            };
            process::warn(
                "a backend's name does not resolve",
                &[("name", host), ("error", &problem)],
            );
        }
    }
    addresses
}

fn start_lookup(name: &Name) -> Receiver<Result<Vec<SocketAddr>, String>> {
    let (answer, lookup) = sync_channel(1);
    let (host, port) = name.clone();
    // The resolver's call can't be cancelled, so it has a thread of its own that is not waited for.
    let spawned = std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || {
            let _ = answer.send(resolve(&host, port));
        });
    drop(spawned);
    lookup
}

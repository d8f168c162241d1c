//! DNS-01: a TXT record, set by a hook command or by dynamic update, and seen by the zone's own name servers before
//! the CA is asked to look.

use std::net::SocketAddr;
use std::time::Duration;

use foregate_telemetry::clock;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use crate::reason::{Failure, Reason};

mod hook;
mod leftovers;
pub mod message;
mod query;
#[cfg(test)]
mod tests;

pub(crate) use leftovers::{Leftovers, SetRecords};
pub use message::{Algorithm, SharedKey};

/// How long a challenge's record may be cached.
const TTL_SECONDS: u32 = 30;
/// Where name servers answer.
const PORT: u16 = 53;
/// The spans between two looks for a record.
const LOOK_FIRST: Duration = Duration::from_millis(250);
const LOOK_MAX: Duration = Duration::from_secs(10);

/// How records are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsMeans {
    /// A command, with arguments of its own, that is given `present` or `cleanup`, the name and the value.
    Hook(Vec<String>),
    /// Dynamic update (RFC 2136).
    Update {
        /// The zone's primary server, `HOST:PORT`.
        server: String,
        /// The key that updates are signed with (RFC 8945).
        key: Option<SharedKey>,
    },
}

/// DNS-01 as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// How records are set.
    pub means: DnsMeans,
    /// How long to wait until every name server of the zone has the record; zero does not wait.
    pub propagation_timeout: Duration,
    /// Who is asked for the zone's name servers; empty: the resolvers of `/etc/resolv.conf`.
    pub resolvers: Vec<SocketAddr>,
}

/// A record that was set and has to go.
#[derive(Clone, Debug)]
pub(crate) struct DnsRecord {
    name: String,
    value: String,
}

impl DnsRecord {
    /// The record that proves `identifier` (RFC 8555 §8.4), which never begins with `*.`.
    pub(crate) fn proving(identifier: &str, value: String) -> DnsRecord {
        DnsRecord {
            name: format!("_acme-challenge.{identifier}"),
            value,
        }
    }
}

impl DnsOptions {
    /// Sets a record.
    pub(crate) async fn present(&self, record: &DnsRecord) -> Result<(), Failure> {
        self.change(record, "present").await
    }

    /// Removes a record.
    pub(crate) async fn cleanup(&self, record: &DnsRecord) -> Result<(), Failure> {
        self.change(record, "cleanup").await
    }

    async fn change(&self, record: &DnsRecord, action: &str) -> Result<(), Failure> {
        match &self.means {
            DnsMeans::Hook(argv) => {
                hook::run(argv, action, &record.name, &record.value, hook::TIMEOUT)
                    .await
                    .map_err(|why| Failure::new(Reason::DnsHookFailed, why))
            }
            DnsMeans::Update { server, key } => self
                .update(server, key.as_ref(), record, action == "present")
                .await
                .map_err(|why| Failure::new(Reason::DnsUpdateFailed, why)),
        }
    }

    async fn update(
        &self,
        server: &str,
        key: Option<&SharedKey>,
        record: &DnsRecord,
        add: bool,
    ) -> Result<(), String> {
        let server = address(server).await?;
        let zone = query::zone_at(server, &record.name).await?;
        let change = match add {
            true => message::Change::Add {
                value: &record.value,
                ttl_seconds: TTL_SECONDS,
            },
            false => message::Change::Remove {
                value: &record.value,
            },
        };
        let (request, mac) = query::sign(&zone, &record.name, change, key)?;
        let bytes = query::over_tcp(server, &request).await?;
        let answer = message::Answer::parse(&bytes)
            .map_err(|_| format!("{server} sent what is no answer"))?;
        if answer.code != 0 {
            return Err(refusal(server, &zone, answer.code));
        }
        if let (Some(key), Some(mac)) = (key, mac)
            && !key.verifies(&bytes, &mac, clock::unix_now().seconds())
        {
            return Err(format!(
                "{server}'s answer is not signed with the key {}",
                key.name
            ));
        }
        Ok(())
    }

    /// Waits until every name server of the zone has the records.
    pub(crate) async fn wait_for(&self, records: &[DnsRecord]) -> Result<(), Failure> {
        if self.propagation_timeout.is_zero() {
            return Ok(());
        }
        let mut last = String::from("nobody was asked");
        let waiting = async {
            for record in records {
                self.wait_for_one(record, &mut last).await;
            }
        };
        let outcome = timeout(self.propagation_timeout, waiting).await;
        outcome.map_err(|_| {
            Failure::new(
                Reason::DnsNotPropagated,
                format!(
                    "no proof within {} s (propagation_timeout): {last}",
                    self.propagation_timeout.as_secs()
                ),
            )
        })
    }

    async fn wait_for_one(&self, record: &DnsRecord, last: &mut String) {
        let mut pause = LOOK_FIRST;
        while let Err(why) = self.look(record).await {
            *last = format!("{}: {why}", record.name);
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    /// Whether all servers that should have a record do.
    async fn look(&self, record: &DnsRecord) -> Result<(), String> {
        for (server, name) in self.servers(&record.name).await? {
            let texts = query::texts(server, &name, false).await?;
            if !texts.iter().any(|text| text == record.value.as_bytes()) {
                return Err(format!("{server} does not have it"));
            }
        }
        Ok(())
    }

    /// Who has to have the record, and under which name: with dynamic update the server that was told; otherwise all
    /// name servers of the zone. A recursive resolver is not asked for the record itself, since it would remember that
    /// there is none.
    async fn servers(&self, name: &str) -> Result<Vec<(SocketAddr, String)>, String> {
        if let DnsMeans::Update { server, .. } = &self.means
            && self.resolvers.is_empty()
        {
            return Ok(vec![(address(server).await?, name.to_owned())]);
        }
        let resolvers = match self.resolvers.is_empty() {
            true => system_resolvers()?,
            false => self.resolvers.clone(),
        };
        let mut last = String::from("no resolver is known");
        for resolver in resolvers {
            let found = async {
                let canonical = query::canonical(resolver, name).await?;
                let servers = query::authorities(resolver, &canonical, PORT).await?;
                Ok::<_, String>((servers, canonical))
            };
            match found.await {
                Ok((servers, canonical)) => {
                    return Ok(servers
                        .into_iter()
                        .map(|server| (server, canonical.clone()))
                        .collect());
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }
}

async fn address(server: &str) -> Result<SocketAddr, String> {
    lookup_host(server)
        .await
        .map_err(|error| format!("{server}: {error}"))?
        .next()
        .ok_or_else(|| format!("{server} has no address"))
}

/// The resolvers of the system; glibc takes three at most.
#[expect(
    clippy::disallowed_methods,
    reason = "the agent has a thread of its own, which may wait for the disk"
)]
fn system_resolvers() -> Result<Vec<SocketAddr>, String> {
    const PATH: &str = "/etc/resolv.conf";
    let text = std::fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))?;
    let found: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse().ok())
        .map(|ip: std::net::IpAddr| SocketAddr::new(ip, 53))
        .take(3)
        .collect();
    match found.is_empty() {
        true => Err(format!("{PATH} names no name server")),
        false => Ok(found),
    }
}

/// What a refusal means (RFC 2136 §2.2, RFC 8945 §5.2).
fn refusal(server: SocketAddr, zone: &str, code: u8) -> String {
    let meaning = match code {
        1 => "it finds the update malformed",
        2 => "it failed",
        4 => "it takes no updates",
        5 => "it refuses; does its policy allow this key to change TXT records here?",
        8 => "it has other records under this name",
        9 => {
            "it is not the zone's primary, or does not accept the key: check name, secret, algorithm, and both clocks"
        }
        10 => "the name is not in the zone",
        _ => "it gives no reason we know",
    };
    format!("{server} did not update the zone {zone} (code {code}): {meaning}")
}

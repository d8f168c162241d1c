//! DNS: the addresses of a name, and SRV records. Asked again when the records' time to live has passed.

use super::ANSWER_TIMEOUT;
use super::answer::{Described, FoundEndpoint, interleaved};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Targets of SRV records whose addresses are asked for.
const TARGETS_MAX: usize = 256;

/// Addresses of one name that are taken.
const ADDRESSES_MAX: usize = 1000;

/// How name servers are asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsQuestion {
    /// Who is asked; empty for those of /etc/resolv.conf.
    pub name_servers: Vec<SocketAddr>,
    /// How long an answer is gone by at least.
    pub ttl_min: Duration,
    /// How long an answer is gone by at most.
    pub ttl_max: Duration,
}

/// Asks name servers.
struct Asker {
    question: DnsQuestion,
    resolver: Option<TokioResolver>,
    /// How long the last answer still holds.
    holds: Option<Duration>,
    /// Whether there was an answer: then half of one is no answer.
    answered: bool,
}

/// An answer and for how long it holds.
struct Answer<T> {
    value: T,
    ttl: Duration,
}

impl Asker {
    fn new(question: DnsQuestion) -> Asker {
        Asker {
            question,
            resolver: None,
            holds: None,
            answered: false,
        }
    }

    /// Waits until the last answer no longer holds.
    async fn wait(&mut self) {
        if let Some(holds) = self.holds.take() {
            tokio::time::sleep(holds).await;
        }
    }

    /// Notes how an attempt went.
    fn settle<T>(&mut self, asked: Result<Answer<T>, String>) -> Result<T, String> {
        match asked {
            Ok(Answer { value, ttl }) => {
                self.answered = true;
                self.holds = Some(ttl.clamp(self.question.ttl_min, self.question.ttl_max));
                Ok(value)
            }
            Err(trouble) => {
                // The system's configuration may be another by the next time.
                self.resolver = None;
                Err(trouble)
            }
        }
    }

    fn resolver(&mut self) -> Result<TokioResolver, String> {
        if let Some(resolver) = &self.resolver {
            return Ok(resolver.clone());
        }
        let provider = TokioRuntimeProvider::default();
        let mut builder = match &self.question.name_servers[..] {
            [] => TokioResolver::builder(provider)
                .map_err(|error| format!("/etc/resolv.conf can't be used: {error}"))?,
            servers => {
                let servers = servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                TokioResolver::builder_with_config(config, provider)
            }
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        options.attempts = 1;
        options.timeout = Duration::from_secs(2);
        let resolver = builder.build().map_err(|error| error.to_string())?;
        self.resolver = Some(resolver.clone());
        Ok(resolver)
    }

    /// The addresses of a name, of both families; none when name servers say that there are none.
    async fn addresses(
        &mut self,
        name: &str,
        port: u16,
    ) -> Result<Answer<Vec<SocketAddr>>, String> {
        let resolver = self.resolver()?;
        let asked = async {
            tokio::join!(
                records(&resolver, name, RecordType::AAAA),
                records(&resolver, name, RecordType::A)
            )
        };
        let Ok((six, four)) = timeout(ANSWER_TIMEOUT, asked).await else {
            return Err(format!("{name}: no name server answers in time"));
        };
        let mut found = Vec::new();
        let mut ttl = Duration::MAX;
        for family in [six, four] {
            match family {
                Ok(Some(lookup)) => {
                    ttl = ttl.min(time_to_live(&lookup));
                    let records = lookup.answers().iter();
                    found.extend(records.filter_map(|record| match &record.data {
                        RData::A(a) => Some(SocketAddr::new(IpAddr::V4(a.0), port)),
                        RData::AAAA(aaaa) => Some(SocketAddr::new(IpAddr::V6(aaaa.0), port)),
                        _ => None,
                    }));
                }
                Ok(None) => {}
                // Half an answer would take away the other family's endpoints, which stand where they stood.
                Err(trouble) if self.answered || !trouble.is_timeout => return Err(trouble.text),
                Err(_) => {}
            }
        }
        found.truncate(ADDRESSES_MAX);
        let value = usable(interleaved(found)).await;
        Ok(Answer { value, ttl })
    }
}

/// Why there is no answer.
struct Trouble {
    text: String,
    is_timeout: bool,
}

/// What a name has of one type; `None` when there is no such thing.
async fn records(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
) -> Result<Option<Lookup>, Trouble> {
    match resolver.lookup(name, kind).await {
        Ok(lookup) => Ok(Some(lookup)),
        Err(error) if error.is_no_records_found() => match is_negative(&error) {
            true => Ok(None),
            false => Err(trouble(name, &error)),
        },
        Err(error) => Err(trouble(name, &error)),
    }
}

/// Whether a name server has said that there is nothing, rather than that it can't tell.
fn is_negative(error: &NetError) -> bool {
    use hickory_resolver::net::DnsError;
    use hickory_resolver::proto::op::ResponseCode;
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(
                none.response_code,
                ResponseCode::NoError | ResponseCode::NXDomain
            )
        }
        _ => false,
    }
}

fn trouble(name: &str, error: &NetError) -> Trouble {
    Trouble {
        text: format!("{name}: {error}"),
        is_timeout: matches!(error, NetError::Timeout),
    }
}

fn time_to_live(lookup: &Lookup) -> Duration {
    let seconds = lookup.answers().iter().map(|record| record.ttl).min();
    Duration::from_secs(seconds.unwrap_or(0).into())
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        let connection: &mut ConnectionConfig = connection;
        connection.port = address.port();
    }
    server
}

/// The addresses without those of a family that this machine has no way to, unless nothing else is there. Asks the
/// system's table of routes; nothing is sent.
async fn usable(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut has_way = [true, true];
    for (family, has_way) in [false, true].into_iter().zip(&mut has_way) {
        let one = addresses.iter().find(|one| one.is_ipv6() == family);
        if let Some(one) = one {
            *has_way = is_routed(*one).await;
        }
    }
    if has_way == [false, false] {
        return addresses;
    }
    let ways = |one: &SocketAddr| has_way[usize::from(one.is_ipv6())];
    addresses.into_iter().filter(ways).collect()
}

async fn is_routed(address: SocketAddr) -> bool {
    let any: IpAddr = match address.is_ipv4() {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    match UdpSocket::bind((any, 0)).await {
        Ok(socket) => socket.connect(address).await.is_ok(),
        Err(_) => false,
    }
}

/// A name's addresses as they are being watched.
pub(super) struct DnsWatch {
    host: Box<str>,
    port: u16,
    asker: Asker,
}

impl DnsWatch {
    pub(super) fn new(host: &str, port: u16, question: DnsQuestion) -> DnsWatch {
        DnsWatch {
            host: host.into(),
            port,
            asker: Asker::new(question),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Vec<FoundEndpoint>, String> {
        self.asker.wait().await;
        let asked = self.asker.addresses(&self.host, self.port).await;
        let asked = asked.and_then(|answer| match answer.value.is_empty() {
            true => Err(format!("{} has no address", self.host)),
            false => Ok(answer),
        });
        let addresses = self.asker.settle(asked)?;
        let named = FoundEndpoint::new(&self.host, self.port, 1);
        Ok(at_addresses(&named, addresses).collect())
    }
}

fn at_addresses(
    named: &FoundEndpoint,
    addresses: Vec<SocketAddr>,
) -> impl Iterator<Item = FoundEndpoint> {
    addresses.into_iter().map(|address| FoundEndpoint {
        address: Some(address),
        ..named.clone()
    })
}

/// The SRV records of a name as they are being watched.
pub(super) struct SrvWatch {
    name: Box<str>,
    asker: Asker,
}

/// Where a service is said to be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Target {
    priority: u16,
    host: String,
    port: u16,
    weight: u32,
}

impl SrvWatch {
    pub(super) fn new(name: &str, question: DnsQuestion) -> SrvWatch {
        SrvWatch {
            name: name.into(),
            asker: Asker::new(question),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Vec<FoundEndpoint>, String> {
        self.asker.wait().await;
        let asked = self.ask().await;
        self.asker.settle(asked)
    }

    async fn ask(&mut self) -> Result<Answer<Vec<FoundEndpoint>>, String> {
        let resolver = self.asker.resolver()?;
        let asked = records(&resolver, &self.name, RecordType::SRV);
        let lookup = match timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(Some(lookup))) => lookup,
            Ok(Ok(None)) => return Err(format!("{} has no SRV records", self.name)),
            Ok(Err(trouble)) => return Err(trouble.text),
            Err(_) => return Err(format!("{}: no name server answers in time", self.name)),
        };
        let mut ttl = time_to_live(&lookup);
        let targets = in_order(targets(&lookup));
        let mut found: Vec<FoundEndpoint> = Vec::new();
        // The priority of the first target that has an address: those behind it are backups.
        let mut first = None;
        for target in &targets {
            let answer = match self.asker.addresses(&target.host, target.port).await {
                Ok(answer) if answer.value.is_empty() => continue,
                Ok(answer) => answer,
                // Who begins does not wait for a name behind others that nobody can tell at present.
                Err(_) if !self.asker.answered && !found.is_empty() => {
                    ttl = Duration::ZERO;
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            ttl = ttl.min(answer.ttl);
            let host = target.host.trim_end_matches('.');
            let is_backup = *first.get_or_insert(target.priority) != target.priority;
            let said = Described::new(is_backup);
            let named = FoundEndpoint::new(host, target.port, target.weight).described(said);
            found.extend(at_addresses(&named, answer.value));
        }
        match (found.is_empty(), targets.is_empty()) {
            (false, _) => Ok(Answer { value: found, ttl }),
            (true, true) => Err(format!("{} says that there is no such service", self.name)),
            (true, false) => Err(format!("no target of {} has an address", self.name)),
        }
    }
}

fn targets(lookup: &Lookup) -> Vec<Target> {
    let records = lookup.answers().iter();
    let targets = records.filter_map(|record| match &record.data {
        // The root as a target says that there is no such service (RFC 2782).
        RData::SRV(srv) if !srv.target.is_root() && srv.port > 0 => Some(Target {
            priority: srv.priority,
            host: srv.target.to_ascii().to_ascii_lowercase(),
            port: srv.port,
            // The least share that there is: zero would be none at all.
            weight: u32::from(srv.weight).max(1),
        }),
        _ => None,
    });
    targets.collect()
}

/// The targets, each once, those of the most preferred priority first, which is the lowest number.
fn in_order(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort();
    let mut seen = HashSet::new();
    targets.retain(|target| seen.insert((target.host.clone(), target.port)));
    targets.truncate(TARGETS_MAX);
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_once_each_by_priority() {
        let target = |priority, host: &str, weight| Target {
            priority,
            host: host.into(),
            port: 80,
            weight,
        };
        let given = vec![
            target(20, "c.", 1),
            target(10, "b.", 5),
            target(10, "a.", 1),
            target(10, "b.", 5),
            target(20, "a.", 9),
        ];
        let expected = [
            target(10, "a.", 1),
            target(10, "b.", 5),
            target(20, "c.", 1),
        ];
        assert_eq!(in_order(given), expected);
        assert_eq!(in_order(Vec::new()), []);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn loopback_is_always_on_the_way() {
        let here: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert_eq!(usable(vec![here]).await, [here]);
    }
}

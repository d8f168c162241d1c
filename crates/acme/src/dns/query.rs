//! Asking name servers, and finding out which ones a zone has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use foregate_telemetry::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{self, A, AAAA, Answer, CNAME, NS, SOA, SharedKey, TXT};

const UDP_TIMEOUT: Duration = Duration::from_secs(2);
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const UDP_ATTEMPTS: usize = 3;
/// Bytes of a message over UDP; without EDNS a server sends 512 at most.
const UDP_BYTES_MAX: usize = 4_096;
/// Name servers of a zone that are asked, and labels or aliases that are followed.
const SERVERS_MAX: usize = 16;
const ALIASES_MAX: usize = 8;

fn random_id() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness there is no TLS either; a fixed number costs this question its protection.
    let _ = SystemRandom::new().fill(&mut bytes);
    u16::from_be_bytes(bytes)
}

fn malformed(server: SocketAddr) -> String {
    format!("{server} sent what is no answer")
}

/// Sends a message over UDP, over TCP when the answer is cut, and gives the answer that fits.
pub(super) async fn exchange(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>, String> {
    for _ in 0..UDP_ATTEMPTS {
        match timeout(UDP_TIMEOUT, over_udp(server, request)).await {
            Ok(Ok(bytes)) => {
                let answer = Answer::parse(&bytes).map_err(|_| malformed(server))?;
                return match answer.is_truncated {
                    true => over_tcp(server, request).await,
                    false => Ok(bytes),
                };
            }
            Ok(Err(error)) => return Err(format!("{server}: {error}")),
            Err(_) => {}
        }
    }
    Err(format!("{server} does not answer"))
}

async fn over_udp(server: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(request).await?;
    let mut buffer = vec![0; UDP_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What does not bear our number is someone else's.
        if buffer.get(..2) == request.get(..2) && length >= 12 {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// Sends a message over TCP: updates with their signatures, and what did not fit.
pub(super) async fn over_tcp(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let mut framed = (request.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(request);
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(TCP_TIMEOUT, exchange).await {
        Ok(Ok(answer)) if answer.get(..2) == request.get(..2) => Ok(answer),
        Ok(Ok(_)) => Err(malformed(server)),
        Ok(Err(error)) => Err(format!("{server}: {error}")),
        Err(_) => Err(format!("{server} does not answer")),
    }
}

/// A message and its reading.
pub(super) struct Told {
    bytes: Vec<u8>,
    pub(super) answer: Answer,
}

pub(super) async fn ask(
    server: SocketAddr,
    name: &str,
    kind: u16,
    recursion: bool,
) -> Result<Told, String> {
    let request = message::query(random_id(), name, kind, recursion)
        .map_err(|_| format!("{name} is no DNS name"))?;
    let bytes = exchange(server, &request).await?;
    let answer = Answer::parse(&bytes).map_err(|_| malformed(server))?;
    Ok(Told { bytes, answer })
}

/// Asks for what is there or not; a server that fails or refuses says neither.
async fn look(server: SocketAddr, name: &str, kind: u16, recursion: bool) -> Result<Told, String> {
    const NO_ERROR: u8 = 0;
    const NO_SUCH_NAME: u8 = 3;
    let told = ask(server, name, kind, recursion).await?;
    match told.answer.code {
        NO_ERROR | NO_SUCH_NAME => Ok(told),
        code => Err(format!("{server} does not answer for {name} (code {code})")),
    }
}

/// The zone that a name lies in, as its own server sees it.
pub(super) async fn zone_at(server: SocketAddr, name: &str) -> Result<String, String> {
    let mut rest = Some(name);
    while let Some(zone) = rest {
        let told = ask(server, zone, SOA, false).await?;
        let owner = message::name_bytes(zone).map_err(|_| format!("{name} is no DNS name"))?;
        let is_apex = |record: &message::Record| {
            record.section == 0 && record.kind == SOA && record.name == owner
        };
        if told.answer.is_authoritative && told.answer.records.iter().any(is_apex) {
            return Ok(zone.to_owned());
        }
        rest = zone.split_once('.').map(|(_, parent)| parent);
    }
    Err(format!("{server} has no zone that {name} lies in"))
}

/// The number of an update, and whether its signature is to be made now.
pub(super) fn sign(
    zone: &str,
    name: &str,
    change: message::Change<'_>,
    key: Option<&SharedKey>,
) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    let unsigned = message::update(random_id(), zone, name, change)
        .map_err(|_| format!("{name} or {zone} is no DNS name"))?;
    match key {
        None => Ok((unsigned, None)),
        Some(key) => key
            .sign(&unsigned, clock::unix_now().seconds())
            .map(|(signed, mac)| (signed, Some(mac)))
            .map_err(|_| format!("{} is no name of a key", key.name)),
    }
}

/// The values of a name's TXT records at one server, which may follow aliases for us.
pub(super) async fn texts(
    server: SocketAddr,
    name: &str,
    recursion: bool,
) -> Result<Vec<Vec<u8>>, String> {
    let told = look(server, name, TXT, recursion).await?;
    Ok(told.answer.texts(&told.bytes))
}

/// The name that aliases lead to from `name`; `name` itself without any (RFC 8555 §8.4 lets validation follow them).
pub(super) async fn canonical(resolver: SocketAddr, name: &str) -> Result<String, String> {
    let mut at = name.to_owned();
    for _ in 0..ALIASES_MAX {
        let told = look(resolver, &at, CNAME, true).await?;
        match told.answer.targets(&told.bytes, CNAME).into_iter().next() {
            Some(target) => at = target,
            None => return Ok(at),
        }
    }
    Err(format!(
        "{name} leads through more than {ALIASES_MAX} aliases"
    ))
}

/// The addresses of the name servers of the zone that a name lies in; they answer on `port`.
pub(super) async fn authorities(
    resolver: SocketAddr,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, String> {
    let mut rest = Some(name);
    while let Some(zone) = rest {
        let told = look(resolver, zone, NS, true).await?;
        let servers = told.answer.targets(&told.bytes, NS);
        if !servers.is_empty() {
            let mut addresses = Vec::new();
            for server in servers.into_iter().take(SERVERS_MAX) {
                // One address a server: the others lead to the same zone.
                let address = address(resolver, &server).await?;
                addresses.extend(address.map(|ip| SocketAddr::new(ip, port)));
            }
            return match addresses.is_empty() {
                true => Err(format!("no name server of {zone} has an address")),
                false => Ok(addresses),
            };
        }
        rest = zone.split_once('.').map(|(_, parent)| parent);
    }
    Err(format!("no zone has {name}"))
}

async fn address(resolver: SocketAddr, name: &str) -> Result<Option<IpAddr>, String> {
    for kind in [A, AAAA] {
        let told = look(resolver, name, kind, true).await?;
        if let Some(address) = told.answer.addresses(&told.bytes).first() {
            return Ok(Some(*address));
        }
    }
    Ok(None)
}

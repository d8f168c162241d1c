//! Asking a running gateway over its admin listener.

mod encrypted;

use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use encrypted::Trust;
use foregate_config::Files;
use foregate_config::settings::{Admin, CertificateSource};
use serde_json::Value;

use crate::failure::Failure;
use crate::files::SystemFiles;
use crate::source;
use crate::terminal;

/// How long a connection to the admin listener may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take: a reload resolves names of backends, a renewal waits for an authority.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of an answer: diagnostics are bounded, a certificate takes a few hundred.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The variable that has the token where no configuration is asked for it.
const TOKEN_VARIABLE: &str = "FOREGATE_ADMIN_TOKEN";

/// The variable that names a file with the authorities that an `https` address is believed by.
const CA_VARIABLE: &str = "FOREGATE_ADMIN_CA";

/// Where an admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over TLS, by a name or an address without brackets, and a port.
    Secure(String, u16),
    /// In the file system.
    Local(PathBuf),
}

impl Place {
    /// Whether it is on this machine for certain.
    pub(crate) fn is_here(&self) -> bool {
        match self {
            Place::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Place::Secure(host, _) => match host.parse::<IpAddr>() {
                Ok(ip) => ip.to_canonical().is_loopback(),
                Err(_) => host == "localhost",
            },
            Place::Local(_) => true,
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        if let Some(rest) = text.strip_prefix("https://") {
            return secure(rest).ok_or_else(|| "https://HOST:PORT belongs here".to_owned());
        }
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Place::Local(path.into())),
            _ => match text.parse() {
                Ok(address) => Ok(Place::Tcp(address)),
                Err(_) => Err("IP:PORT, https://HOST:PORT or unix:PATH belongs here".to_owned()),
            },
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Secure(host, port) => write!(f, "https://{}", authority(host, *port)),
            Place::Local(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The host and port of an `https` address.
fn secure(rest: &str) -> Option<Place> {
    let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            address
        }
        None if host.contains(':') => return None,
        None => host,
    };
    rustls::pki_types::ServerName::try_from(host).ok()?;
    Some(Place::Secure(host.to_owned(), port))
}

/// As a Host field has it.
fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// A stream of any kind.
trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// An admin listener that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) place: Place,
    /// What it wants to be shown.
    token: Option<String>,
    /// Whom to believe over TLS; without it TCP is in cleartext.
    trust: Option<Trust>,
}

/// Which running gateway a command is for.
#[derive(Debug, clap::Args)]
pub(crate) struct Whom {
    /// The configuration that names the admin listener; without it ./foregate.toml, then /etc/foregate/foregate.toml
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// The admin listener's address, if no configuration is to be asked for it; its token is in FOREGATE_ADMIN_TOKEN,
    /// and FOREGATE_ADMIN_CA may name a file with the authorities that an https address is believed by
    #[arg(
        long,
        value_name = "IP:PORT|https://HOST:PORT|unix:PATH",
        conflicts_with = "config",
        global = true
    )]
    admin: Option<Place>,
}

impl Whom {
    /// Its admin listener.
    ///
    /// # Errors
    /// The configuration is wrong, or its listener can't be asked.
    pub(crate) fn listener(self) -> Result<Listener, Failure> {
        Listener::find(self.admin, self.config)
    }
}

impl Listener {
    /// The listener at an address that was named.
    pub(crate) fn at(place: Place) -> Listener {
        let authorities = || Trust::Authorities(SystemFiles.env(CA_VARIABLE).map(PathBuf::from));
        let trust = matches!(place, Place::Secure(..)).then(authorities);
        Listener {
            place,
            token: SystemFiles.env(TOKEN_VARIABLE),
            trust,
        }
    }

    /// The listener at the address that was named, or else the one of the configuration.
    ///
    /// # Errors
    /// The configuration is wrong, or its listener can't be asked.
    pub(crate) fn find(named: Option<Place>, config: Option<PathBuf>) -> Result<Listener, Failure> {
        if let Some(place) = named {
            return Ok(Listener::at(place));
        }
        let path = source::find_or_admin(config)?;
        let shown = path.display();
        match configured(&path)? {
            None => Err(Failure::Usage(format!("{shown} has no admin listener"))),
            Some(listener) => match &listener.place {
                Place::Tcp(address) if address.port() == 0 => Err(Failure::Usage(format!(
                    "{shown} leaves the admin port to the system; name the address with --admin"
                ))),
                _ => Ok(listener),
            },
        }
    }

    /// Sends a request with a body, which may be empty; the status and the JSON of the answer, null for none.
    ///
    /// # Errors
    /// It can't be reached, or is no admin listener.
    pub(crate) fn send(&self, request: &str, body: &str) -> Result<(u16, Value), Failure> {
        self.send_as(request, "application/json", body)
    }

    /// The same, for a body of another kind.
    ///
    /// # Errors
    /// It can't be reached, or is no admin listener.
    pub(crate) fn send_as(
        &self,
        request: &str,
        kind: &str,
        body: &str,
    ) -> Result<(u16, Value), Failure> {
        let answer = self.ask_with(request, kind, body).map_err(|error| {
            let place = &self.place;
            Failure::Failed(format!("cannot ask the gateway at {place}: {error}"))
        })?;
        match answer.strip_prefix("HTTP/1.1 204") {
            Some(_) => Ok((204, Value::Null)),
            None => parse(&answer),
        }
    }

    /// Sends a request without a body, such as `GET /status`, and reads the whole answer.
    ///
    /// # Errors
    /// The listener can't be reached, or does not answer with text.
    pub(crate) fn ask(&self, request: &str) -> io::Result<String> {
        self.ask_with(request, "application/json", "")
    }

    /// A connection, and what the listener is called on it.
    fn connect(&self) -> io::Result<(Box<dyn Stream>, String)> {
        match &self.place {
            Place::Tcp(address) => {
                let address = reachable(*address);
                let leaves = !address.ip().to_canonical().is_loopback();
                if self.trust.is_none() && self.token.is_some() && leaves {
                    let told = "the token would be sent in cleartext; name the address as https://HOST:PORT";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
                }
                let stream = dial(&address)?;
                let stream: Box<dyn Stream> = match &self.trust {
                    None => Box::new(stream),
                    Some(trust) => {
                        let host = address.ip().to_string();
                        Box::new(encrypted::connect(stream, &host, trust)?)
                    }
                };
                Ok((stream, address.to_string()))
            }
            Place::Secure(host, port) => {
                let trust = self.trust.clone().unwrap_or(Trust::Authorities(None));
                let stream = dial_name(host, *port)?;
                let stream = encrypted::connect(stream, host, &trust)?;
                Ok((Box::new(stream), authority(host, *port)))
            }
            Place::Local(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
                Ok((Box::new(stream), "localhost".to_owned()))
            }
        }
    }

    fn ask_with(&self, request: &str, kind: &str, body: &str) -> io::Result<String> {
        let (mut stream, host) = self.connect()?;
        let token = self.token.as_deref().filter(|token| is_visible(token));
        let authorization = token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        String::from_utf8(answer)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the answer is not text"))
    }
}

fn dial(address: &SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
    Ok(stream)
}

/// Tries the addresses of a name, one after the other.
#[expect(clippy::disallowed_methods, reason = "a command may wait for a name")]
fn dial_name(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::other("the name has no address"));
    for address in (host, port).to_socket_addrs()? {
        outcome = dial(&address);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn is_visible(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The admin listener that a configuration names, if it names one.
///
/// # Errors
/// The configuration is wrong.
pub(crate) fn configured(path: &Path) -> Result<Option<Listener>, Failure> {
    let outcome = foregate_config::load(path, &SystemFiles);
    let Some(settings) = &outcome.settings else {
        return Err(Failure::Config(foregate_config::render(
            &outcome,
            terminal::errors_in_colour(),
        )));
    };
    // Where a socket is, its file's mode says who may ask; an old gateway may not have made it.
    let place = |admin: &Admin| match &admin.socket {
        Some(socket) if socket.file.path.exists() => Place::Local(socket.file.path.clone()),
        _ => Place::Tcp(admin.address),
    };
    // The file of the certificate is the one that the gateway shows.
    let trust = |admin: &Admin| {
        let name = &admin.certificate.as_ref()?.name;
        let entry = settings.certificates.iter().find(|one| one.name == *name)?;
        match &entry.source {
            CertificateSource::Files { certificate, .. } => {
                Some(Trust::Certificate(certificate.path.clone()))
            }
            CertificateSource::Folder(_) => None,
        }
    };
    let listener = settings.admin.as_ref().map(|admin| Listener {
        place: place(admin),
        trust: trust(admin),
        token: admin.token.as_ref().map(|token| token.reveal().to_owned()),
    });
    Ok(listener)
}

/// Who listens on all addresses is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The status and the JSON of an answer.
///
/// # Errors
/// It is not one of a gateway's admin listener.
pub(crate) fn parse(answer: &str) -> Result<(u16, Value), Failure> {
    let stranger = || Failure::Failed("this is not the admin listener of a gateway".into());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(stranger)?;
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse().ok())
        .ok_or_else(stranger)?;
    let told = serde_json::from_str(body).map_err(|_| stranger())?;
    Ok((status, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_on_all_addresses_are_asked_on_loopback() {
        let check = |address: &str, expected: &str| {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:1", "127.0.0.1:1");
        check("[::]:1", "[::1]:1");
        check("10.0.0.1:1", "10.0.0.1:1");
    }

    #[test]
    fn places_are_addresses_or_paths() {
        let place: Place = "unix:/run/a.sock".parse().unwrap();
        assert_eq!(place, Place::Local("/run/a.sock".into()));
        assert_eq!(place.to_string(), "unix:/run/a.sock");
        assert_eq!(
            "127.0.0.1:1".parse::<Place>().unwrap().to_string(),
            "127.0.0.1:1"
        );
        for (text, host) in [
            ("https://gateway.example:9180", "gateway.example"),
            ("https://10.0.0.1:9180", "10.0.0.1"),
            ("https://[::1]:9180", "::1"),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place, Place::Secure(host.into(), 9180));
            assert_eq!(place.to_string(), text);
        }
        for wrong in [
            "",
            "unix:",
            "localhost:1",
            "/run/a.sock",
            "https://a",
            "https://a:0",
            "https://::1:1",
            "https://a b:1",
            "http://127.0.0.1:1",
        ] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn strangers_are_recognised() {
        for stranger in ["", "HTTP/1.1 200 OK\r\n\r\n<html>", "SSH-2.0-x\r\n\r\n{}"] {
            assert!(parse(stranger).is_err(), "{stranger}");
        }
        let (status, told) = parse("HTTP/1.1 422 No\r\nA: b\r\n\r\n{\"a\":1}").unwrap();
        assert_eq!((status, told["a"].as_u64()), (422, Some(1)));
    }
}

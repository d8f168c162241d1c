//! What is to be sent, how often, and what must come back.

use std::time::Duration;

use foregate_bench::content;
use foregate_bench::h2::{PAYLOAD_BYTES_MAX, grpc_message};
use foregate_bench::hpack::Repeated;
use foregate_bench::options::Options;

use crate::transport::{Handshakes, Tls};

/// Messages of gRPC calls, with their prefix.
const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;

/// One request, ready to be written, and its answer.
pub(crate) struct Exchange {
    /// Head, without the body of an upload.
    pub(crate) head: Vec<u8>,
    /// How much of the answer's content is expected, or of the content is uploaded.
    pub(crate) body_bytes: usize,
    /// Whom it is for: the server name of a TLS connection.
    pub(crate) host: String,
    /// What is asked for there.
    pub(crate) target: String,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A body of a size.
    Download,
    /// The receipt for a body.
    Upload,
    /// The same message back.
    Grpc,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Its name in a TLS handshake.
    pub(crate) fn alpn(self) -> &'static str {
        match self {
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
        }
    }
}

/// When requests are sent.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// As soon as the connection is free.
    Closed,
    /// At a fixed distance of time, whatever the answers do.
    Every(Duration),
}

/// How long a run lasts.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// Completed requests, no warm-up.
    Requests(u64),
    /// A warm-up that counts nothing, then the measured window.
    Time(Duration, Duration),
}

/// The whole command line, understood.
pub(crate) struct Plan {
    /// `ip:port` of the proxy; of several, places of connections take them in turn. Never empty.
    pub(crate) to: Vec<String>,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
    /// How connections are encrypted, if they are.
    pub(crate) tls: Option<Tls>,
    /// Open connections.
    pub(crate) connections: usize,
    /// Requests at a time on each.
    pub(crate) streams: usize,
    /// Requests after which a connection is closed and another one opened.
    pub(crate) per_connection: Option<u64>,
    /// When requests are sent.
    pub(crate) pace: Pace,
    /// How long.
    pub(crate) length: Length,
    /// The requests, taken in turn.
    pub(crate) exchanges: Vec<Exchange>,
    /// Body bytes of an exchange, the mean over all.
    pub(crate) bytes_mean: u64,
    /// What is asked for.
    pub(crate) kind: Kind,
    /// The request's field block over HTTP/2.
    pub(crate) block: Repeated,
    /// The message of a gRPC call, with its prefix; otherwise empty.
    pub(crate) message: Vec<u8>,
    /// What bodies are cut from, long enough for all of them.
    pub(crate) content: Vec<u8>,
    /// The answer to an upload.
    pub(crate) receipt: Vec<u8>,
    /// The bytes of every this-many-th answer are compared.
    pub(crate) check_every: u64,
    /// Processes whose CPU time is read.
    pub(crate) pids: Vec<u32>,
    /// Connections to hold idle instead of making load.
    pub(crate) idle: Option<usize>,
    /// Errors after which the run is given up.
    pub(crate) errors_max: u64,
}

impl Plan {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is missing or not understood.
    pub(crate) fn from_options(mut options: Options) -> Result<Self, String> {
        let to = options.all("to");
        if to.is_empty() {
            return Err("--to address: needed at least once".to_owned());
        }
        let connections = options.or("connections", 64)?;
        let (protocol, tls) = spoken(&mut options)?;
        let (kind, message, exchanges) = asked(&mut options)?;
        let uploaded = match kind {
            Kind::Upload => exchanges[0].body_bytes,
            _ => 0,
        };
        let longest = exchanges.iter().map(|exchange| exchange.body_bytes).max();
        let sum: usize = exchanges.iter().map(|exchange| exchange.body_bytes).sum();
        let mut pids = Vec::new();
        for pid in options.all("pid") {
            pids.push(pid.parse().map_err(|_| format!("--pid {pid}: no number"))?);
        }
        let plan = Self {
            to,
            connections,
            streams: options.or("streams", 1)?,
            per_connection: options.optional("per-connection")?,
            pace: pace(&mut options)?,
            length: length(&mut options)?,
            content: content::bytes(longest.unwrap_or(0)),
            receipt: content::upload_receipt(uploaded, true).into_bytes(),
            bytes_mean: (sum / exchanges.len()) as u64,
            block: block(kind, tls.is_some(), &exchanges[0]),
            protocol,
            tls,
            kind,
            message,
            exchanges,
            check_every: options.or("check-every", 1_u64)?.max(1),
            pids,
            idle: options.optional("idle")?,
            errors_max: options.or("errors-max", 1000)?,
        };
        options.finish()?;
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        let http2 = self.protocol == Protocol::Http2;
        let alone = self.per_connection == Some(1) && self.pace == Pace::Closed;
        let hosts_differ = self
            .exchanges
            .iter()
            .any(|e| e.host != self.exchanges[0].host);
        let refusals = [
            (self.connections == 0, "--connections: must be above 0"),
            (
                self.per_connection == Some(0),
                "--per-connection: must be above 0",
            ),
            (self.streams == 0, "--streams: must be above 0"),
            (self.streams > 1 && !http2, "--streams: needs --protocol h2"),
            (
                self.streams > 1 && self.per_connection.is_some(),
                "--per-connection: one stream at a time only",
            ),
            (
                http2 && self.kind == Kind::Upload,
                "--upload: not over HTTP/2",
            ),
            (
                http2 && self.exchanges.len() > 1,
                "--targets: not over HTTP/2",
            ),
            (
                !http2 && self.kind == Kind::Grpc,
                "--grpc: needs --protocol h2",
            ),
            (
                self.tls.is_some() && hosts_differ && !alone,
                "--targets of several hosts over TLS: only with --per-connection 1 and without --rate",
            ),
        ];
        match refusals.into_iter().find(|(refused, _)| *refused) {
            Some((_, why)) => Err(why.to_owned()),
            None => Ok(()),
        }
    }

    /// The body that must come back for an exchange.
    pub(crate) fn expected(&self, exchange: usize) -> &[u8] {
        match self.kind {
            Kind::Upload => &self.receipt,
            Kind::Grpc => &self.message,
            Kind::Download => &self.content[..self.exchanges[exchange].body_bytes],
        }
    }

    /// The body to send with an exchange.
    pub(crate) fn uploaded(&self, exchange: usize) -> &[u8] {
        if self.kind == Kind::Upload {
            &self.content[..self.exchanges[exchange].body_bytes]
        } else {
            &[]
        }
    }
}

/// Protocol and encryption.
fn spoken(options: &mut Options) -> Result<(Protocol, Option<Tls>), String> {
    let protocol: String = options.or("protocol", "h1".to_owned())?;
    let protocol = match protocol.as_str() {
        "h1" => Protocol::Http1,
        "h2" => Protocol::Http2,
        other => return Err(format!("--protocol {other}: h1 or h2")),
    };
    let handshakes: Option<String> = options.optional("handshakes")?;
    let wanted = match handshakes.as_deref() {
        None => Handshakes::Any,
        Some("full") => Handshakes::Full,
        Some("resumed") => Handshakes::Resumed,
        Some(other) => return Err(format!("--handshakes {other}: full or resumed")),
    };
    let tls = match options.optional::<String>("tls")? {
        Some(ca_file) => Some(Tls::new(&ca_file, protocol.alpn(), wanted)?),
        None if handshakes.is_some() => return Err("--handshakes: needs --tls".to_owned()),
        None => None,
    };
    Ok((protocol, tls))
}

/// What is asked for: the kind, the message of a gRPC call, the requests.
fn asked(options: &mut Options) -> Result<(Kind, Vec<u8>, Vec<Exchange>), String> {
    let host = options.or("host", "bench.example".to_owned())?;
    let target: Option<String> = options.optional("target")?;
    let targets: Option<String> = options.optional("targets")?;
    let upload: Option<String> = options.optional("upload")?;
    let grpc: Option<String> = options.optional("grpc")?;
    let size = |text: &str| content::size(text).ok_or(format!("{text}: no size"));
    if let Some(text) = grpc {
        let message = grpc_message(&content::bytes(size(&text)?));
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(format!("--grpc {text}: too long for one frame"));
        }
        let exchange = Exchange {
            head: Vec::new(),
            body_bytes: message.len(),
            host,
            target: target.unwrap_or("/bench.Echo/Call".to_owned()),
        };
        return Ok((Kind::Grpc, message, vec![exchange]));
    }
    let requests = match targets {
        Some(file) => requests_of_file(&file)?,
        None => vec![(host, target.unwrap_or("/1k".to_owned()))],
    };
    let (kind, upload_bytes) = match upload {
        Some(text) => (Kind::Upload, Some(size(&text)?)),
        None => (Kind::Download, None),
    };
    let exchanges = requests
        .iter()
        .map(|(host, target)| exchange(host, target, upload_bytes))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((kind, Vec::new(), exchanges))
}

fn pace(options: &mut Options) -> Result<Pace, String> {
    match options.optional::<f64>("rate")? {
        Some(rate) if rate > 0.0 => Ok(Pace::Every(Duration::from_secs_f64(1.0 / rate))),
        Some(_) => Err("--rate: must be above 0".to_owned()),
        None => Ok(Pace::Closed),
    }
}

fn length(options: &mut Options) -> Result<Length, String> {
    let window = seconds(options.or("seconds", 3.0)?)?;
    let warmup = seconds(options.or("warmup", 0.0)?)?;
    Ok(match options.optional("count")? {
        Some(count) => Length::Requests(count),
        None => Length::Time(warmup, window),
    })
}

/// The fields of a request over HTTP/2: the same as over HTTP/1.1.
fn block(kind: Kind, encrypted: bool, exchange: &Exchange) -> Repeated {
    let scheme = (":scheme", if encrypted { "https" } else { "http" });
    let authority = (":authority", exchange.host.as_str());
    if kind == Kind::Grpc {
        return Repeated::new(&[
            (":method", "POST"),
            scheme,
            (":path", &exchange.target),
            authority,
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-bench/1.0"),
            ("grpc-accept-encoding", "identity"),
            ("grpc-timeout", "10S"),
        ]);
    }
    Repeated::new(&[
        (":method", "GET"),
        scheme,
        (":path", &exchange.target),
        authority,
        ("user-agent", "bench/1.0"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate, br"),
    ])
}

fn seconds(given: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(given).map_err(|error| format!("{given} seconds: {error}"))
}

fn requests_of_file(file: &str) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let requests: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(host, target)| (host.to_owned(), target.to_owned()))
        .collect();
    if requests.is_empty() {
        return Err(format!("{file}: no line of `host target`"));
    }
    Ok(requests)
}

fn exchange(host: &str, target: &str, upload_bytes: Option<usize>) -> Result<Exchange, String> {
    // The fields that curl sends, and one that a browser would add.
    let fields = format!(
        "Host: {host}\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n"
    );
    Ok(match upload_bytes {
        Some(body_bytes) => Exchange {
            head: format!("PUT {target} HTTP/1.1\r\n{fields}Content-Length: {body_bytes}\r\n\r\n")
                .into_bytes(),
            body_bytes,
            host: host.to_owned(),
            target: target.to_owned(),
        },
        None => Exchange {
            head: format!("GET {target} HTTP/1.1\r\n{fields}\r\n").into_bytes(),
            body_bytes: content::size_of_target(target)
                .ok_or(format!("{target}: names no size"))?,
            host: host.to_owned(),
            target: target.to_owned(),
        },
    })
}

//! What is to be sent, how often, and what must come back.

use std::time::Duration;

use foregate_bench::content;
use foregate_bench::options::Options;

/// One request, ready to be written, and its answer.
pub(crate) struct Exchange {
    /// Head, without the body of an upload.
    pub(crate) head: Vec<u8>,
    /// How much of the answer's content is expected, or of the content is uploaded.
    pub(crate) body_bytes: usize,
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
    /// `ip:port` of the proxy.
    pub(crate) to: String,
    /// Open connections.
    pub(crate) connections: usize,
    /// When requests are sent.
    pub(crate) pace: Pace,
    /// How long.
    pub(crate) length: Length,
    /// The requests, taken in turn.
    pub(crate) exchanges: Vec<Exchange>,
    /// Body bytes of an exchange, the mean over all.
    pub(crate) bytes_mean: u64,
    /// Uploads rather than downloads.
    pub(crate) upload: bool,
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
        let to: String = options.optional("to")?.ok_or("--to address: needed")?;
        let host = options.or("host", "bench.example".to_owned())?;
        let target = options.or("target", "/1k".to_owned())?;
        let upload: Option<String> = options.optional("upload")?;
        let targets: Option<String> = options.optional("targets")?;
        let requests = match targets {
            Some(file) => requests_of_file(&file)?,
            None => vec![(host, target)],
        };
        let upload_bytes = match &upload {
            Some(text) => Some(content::size(text).ok_or(format!("--upload {text}: no size"))?),
            None => None,
        };
        let exchanges = requests
            .iter()
            .map(|(host, target)| exchange(host, target, upload_bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let longest = exchanges.iter().map(|exchange| exchange.body_bytes).max();
        let sum: usize = exchanges.iter().map(|exchange| exchange.body_bytes).sum();
        let pace = match options.optional::<f64>("rate")? {
            Some(rate) if rate > 0.0 => Pace::Every(Duration::from_secs_f64(1.0 / rate)),
            Some(_) => return Err("--rate: must be above 0".to_owned()),
            None => Pace::Closed,
        };
        let window = seconds(options.or("seconds", 3.0)?)?;
        let warmup = seconds(options.or("warmup", 0.0)?)?;
        let length = match options.optional("count")? {
            Some(count) => Length::Requests(count),
            None => Length::Time(warmup, window),
        };
        let mut pids = Vec::new();
        for pid in options.all("pid") {
            pids.push(pid.parse().map_err(|_| format!("--pid {pid}: no number"))?);
        }
        let plan = Self {
            to,
            connections: options.or("connections", 64)?,
            pace,
            length,
            content: content::bytes(longest.unwrap_or(0)),
            receipt: content::upload_receipt(upload_bytes.unwrap_or(0), true).into_bytes(),
            bytes_mean: (sum / exchanges.len()) as u64,
            exchanges,
            upload: upload.is_some(),
            check_every: options.or("check-every", 1_u64)?.max(1),
            pids,
            idle: options.optional("idle")?,
            errors_max: options.or("errors-max", 1000)?,
        };
        options.finish()?;
        if plan.connections == 0 {
            return Err("--connections: must be above 0".to_owned());
        }
        Ok(plan)
    }

    /// The body that must come back for an exchange.
    pub(crate) fn expected(&self, exchange: usize) -> &[u8] {
        if self.upload {
            &self.receipt
        } else {
            &self.content[..self.exchanges[exchange].body_bytes]
        }
    }

    /// The body to send with an exchange.
    pub(crate) fn uploaded(&self, exchange: usize) -> &[u8] {
        if self.upload {
            &self.content[..self.exchanges[exchange].body_bytes]
        } else {
            &[]
        }
    }
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
        },
        None => Exchange {
            head: format!("GET {target} HTTP/1.1\r\n{fields}\r\n").into_bytes(),
            body_bytes: content::size_of_target(target)
                .ok_or(format!("{target}: names no size"))?,
        },
    })
}

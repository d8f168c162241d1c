//! Those who know where endpoints are: scripted, so that a story says what they answer.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::backend::{Answer, Answers, Backend, Request};
use crate::patience::PATIENCE;
use crate::transport::Transport;

/// What a name server says of a name.
#[derive(Debug, Clone)]
enum Record {
    Address(IpAddr),
    Service(u16, u16, u16, String),
}

#[derive(Debug, Default)]
struct Zone {
    records: HashMap<String, Vec<Record>>,
    ttl_seconds: u32,
    is_silent: bool,
    is_broken: bool,
    questions: usize,
}

/// A name server that answers from a table which a story changes. Names that are not in it do not exist.
#[derive(Debug)]
pub struct Names {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl Names {
    /// Takes a port of the system's choice. Answers hold for a second.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start() -> Names {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        let zone = Arc::new(Mutex::new(Zone {
            ttl_seconds: 1,
            ..Zone::default()
        }));
        let shared = Arc::downgrade(&zone);
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("sockets have timeouts");
        thread::spawn(move || {
            let mut question = [0; 4096];
            while let Some(zone) = shared.upgrade() {
                let Ok((length, from)) = socket.recv_from(&mut question) else {
                    continue;
                };
                let mut zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
                zone.questions += 1;
                if let Some(answer) = (!zone.is_silent)
                    .then(|| answer(&zone, &question[..length]))
                    .flatten()
                {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Names { address, zone }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn zone(&self) -> std::sync::MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a name these addresses instead of those it had.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let parse = |text: &&str| Record::Address(text.parse().expect("an address"));
        let records = addresses.iter().map(parse).collect();
        self.zone().records.insert(name.to_owned(), records);
    }

    /// Gives a name these services: priority, weight, port and target each.
    pub fn set_services(&self, name: &str, services: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            Record::Service(*priority, *weight, *port, (*target).to_owned())
        };
        let records = services.iter().map(record).collect();
        self.zone().records.insert(name.to_owned(), records);
    }

    /// How long answers hold from now on.
    pub fn set_ttl(&self, seconds: u32) {
        self.zone().ttl_seconds = seconds;
    }

    /// Whether questions are left without an answer.
    pub fn be_silent(&self, is_silent: bool) {
        self.zone().is_silent = is_silent;
    }

    /// Whether every question is answered with SERVFAIL.
    pub fn be_broken(&self, is_broken: bool) {
        self.zone().is_broken = is_broken;
    }

    /// How many questions came so far.
    pub fn questions(&self) -> usize {
        self.zone().questions
    }
}

/// The answer to a question (RFC 1035 §4); `None` for what is none.
fn answer(zone: &Zone, question: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]);
    let asked = question.get(12..at + 4)?;
    let known = zone.records.get(&labels.join("."));
    let data: Vec<Vec<u8>> = (known.map_or(&[][..], Vec::as_slice).iter())
        .filter_map(|record| data(record, kind))
        .collect();
    let code = match (zone.is_broken, known) {
        (true, _) => 2,
        (false, None) => 3,
        (false, Some(_)) => 0,
    };
    let count = if code == 0 { data.len() as u16 } else { 0 };
    let mut out = question[..2].to_vec();
    out.extend([0x85, 0x80 | code, 0, 1]);
    out.extend(count.to_be_bytes());
    out.extend([0; 4]);
    out.extend(asked);
    for data in data.iter().take(usize::from(count)) {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(zone.ttl_seconds.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

fn data(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match (record, kind) {
        (Record::Address(IpAddr::V4(ip)), 1) => Some(ip.octets().to_vec()),
        (Record::Address(IpAddr::V6(ip)), 28) => Some(ip.octets().to_vec()),
        (Record::Service(priority, weight, port, target), 33) => {
            let mut data: Vec<u8> = [priority, weight, port]
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect();
            for label in target.split('.').filter(|label| !label.is_empty()) {
                data.push(label.len() as u8);
                data.extend(label.as_bytes());
            }
            data.push(0);
            Some(data)
        }
        _ => None,
    }
}

/// The version of an answer, and the answer.
type Version = (u64, Result<String, u16>);

/// A Consul agent with one service: questions that name the present version wait for the next one.
#[derive(Debug)]
pub struct ConsulAgent {
    backend: Backend,
    state: Arc<(Mutex<Version>, Condvar)>,
}

impl ConsulAgent {
    /// Begins with no instances. Whoever does not show `token` is refused.
    pub fn start(token: &str) -> ConsulAgent {
        ConsulAgent::start_over(&Transport::Cleartext, token)
    }

    /// The same, spoken to over some transport.
    pub fn start_over(transport: &Transport, token: &str) -> ConsulAgent {
        let state = Arc::new((Mutex::new((1, Ok("[]".to_owned()))), Condvar::new()));
        let (shared, token) = (Arc::clone(&state), token.to_owned());
        let answers = Answers(move |request: &Request| {
            if request.field("x-consul-token").unwrap_or_default() != token {
                return Answer::status(403).body("Permission denied");
            }
            let parameter = |name: &str| {
                let query = request
                    .target
                    .split_once('?')
                    .map_or("", |(_, query)| query);
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.to_owned())
            };
            let known: u64 = parameter("index")
                .and_then(|index| index.parse().ok())
                .unwrap_or(0);
            let (lock, changed) = &*shared;
            let version = lock.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = changed
                .wait_timeout_while(version, PATIENCE, |version| version.0 == known)
                .unwrap_or_else(PoisonError::into_inner);
            match &waited.0.1 {
                Ok(body) => {
                    Answer::ok(body.clone()).field("X-Consul-Index", &waited.0.0.to_string())
                }
                Err(status) => Answer::status(*status),
            }
        });
        let backend = Backend::start_over(transport, answers);
        ConsulAgent { backend, state }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    /// What it was asked so far.
    pub fn questions(&self) -> Vec<String> {
        let requests = self.backend.requests().into_iter();
        requests.map(|request| request.target).collect()
    }

    fn put(&self, answer: Result<String, u16>) {
        let (lock, changed) = &*self.state;
        let mut version = lock.lock().unwrap_or_else(PoisonError::into_inner);
        *version = (version.0 + 1, answer);
        changed.notify_all();
    }

    /// The instances that pass from now on, with their weights.
    pub fn set(&self, instances: &[(SocketAddr, u32)]) {
        let one = |(address, weight): &(SocketAddr, u32)| {
            format!(
                r#"{{"Node":{{"Address":"192.0.2.1"}},"Service":{{"Address":"{}","Port":{},"Weights":{{"Passing":{weight},"Warning":1}}}}}}"#,
                address.ip(),
                address.port()
            )
        };
        let all: Vec<String> = instances.iter().map(one).collect();
        self.put(Ok(format!("[{}]", all.join(","))));
    }

    /// Answers with this status from now on.
    pub fn refuse(&self, status: u16) {
        self.put(Err(status));
    }

    /// Answers with this text from now on.
    pub fn say(&self, text: &str) {
        self.put(Ok(text.to_owned()));
    }
}

/// A Docker engine on a socket of its own: a list of containers, and events when it changes.
#[derive(Debug)]
pub struct DockerEngine {
    path: PathBuf,
    state: Arc<Mutex<Engine>>,
}

#[derive(Debug, Default)]
struct Engine {
    list: String,
    listeners: Vec<UnixStream>,
    questions: Vec<String>,
}

impl DockerEngine {
    /// Listens at `path`, with no containers.
    ///
    /// # Panics
    /// When it can't.
    pub fn start(path: &Path) -> DockerEngine {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).expect("the socket can be made");
        let state = Arc::new(Mutex::new(Engine {
            list: "[]".to_owned(),
            ..Engine::default()
        }));
        let shared = Arc::downgrade(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), Some(state)) = (stream, shared.upgrade()) else {
                    break;
                };
                let _ = serve(stream, &state);
            }
        });
        DockerEngine {
            path: path.to_owned(),
            state,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Engine> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was asked so far.
    pub fn questions(&self) -> Vec<String> {
        self.state().questions.clone()
    }

    /// The running containers from now on: address, port and further labels of each. Tells an event.
    pub fn set(&self, containers: &[(SocketAddr, &str)]) {
        let one = |(address, labels): &(SocketAddr, &str)| {
            format!(
                r#"{{"Id":"x","Labels":{{{labels}}},"State":"running","Status":"Up","Ports":[{{"PrivatePort":{},"Type":"tcp"}}],"NetworkSettings":{{"Networks":{{"bridge":{{"IPAddress":"{}"}}}}}}}}"#,
                address.port(),
                address.ip()
            )
        };
        let all: Vec<String> = containers.iter().map(one).collect();
        let mut state = self.state();
        state.list = format!("[{}]", all.join(","));
        let event = "{\"Type\":\"container\",\"Action\":\"start\"}\n";
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        state
            .listeners
            .retain_mut(|stream| stream.write_all(chunk.as_bytes()).is_ok());
    }

    /// Hangs up on those who listen for events.
    pub fn hang_up(&self) {
        self.state().listeners.clear();
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        self.hang_up();
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(mut stream: UnixStream, state: &Arc<Mutex<Engine>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let start = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let target = start.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.questions.push(target.clone());
    if target.contains("/events") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        state.listeners.push(stream);
        return Ok(());
    }
    let list = &state.list;
    let length = list.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{list}"
    )
}

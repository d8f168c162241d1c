//! The real gateway as a process, seen as an operator sees it.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::binary::{Process, Signal};
use crate::process::{self, SocketState};
use crate::{
    LogLine, Metrics, RawClient, Response, Run, Scratch, Target, Transport, eventually, foregate,
};

/// The gauge of client connections open now.
const CONNECTIONS: &str = "foregate_connections";

/// The gauge of backend connections open now, idle and busy.
const ENDPOINT_CONNECTIONS: &str = "foregate_endpoint_connections";

/// A configuration with the placeholders of a story.
///
/// `{name}` is replaced by what [`Self::fill`] gave for it; `{log}` by the path of the access log, `{dir}` by the story's
/// directory. What a story does not say is added: one listener `public` and the admin listener on ports of the system's
/// choice, and a JSON access log.
#[derive(Debug)]
pub struct GatewayConfig {
    text: String,
    fills: Vec<(String, String)>,
    scratch: Scratch,
    /// What clients of the listener `public` speak over.
    transport: Transport,
    /// What its command begins with.
    within: Vec<String>,
}

impl GatewayConfig {
    /// Has clients of the listener `public`, which the story must not name, come over some transport.
    pub fn over(mut self, transport: &Transport) -> Self {
        if let Some(tls) = transport.secrets() {
            let issued = tls.issued();
            self.scratch.write("transport.pem", &issued.chain_pem);
            self.scratch.write("transport.key", &issued.key_pem);
        }
        self.transport = transport.clone();
        self
    }

    /// Fills `{tls}` with what an upstream needs to be spoken to over some transport.
    pub fn upstream_over(self, transport: &Transport) -> Self {
        let key = transport.secrets().map(|tls| {
            let path = self.scratch.write("upstream-ca.pem", tls.root_pem());
            format!("tls = {{ ca_file = \"{}\" }}", path.display())
        });
        self.fill("tls", key.unwrap_or_default())
    }

    /// Replaces `{name}` by `value`.
    pub fn fill(mut self, name: &str, value: impl Display) -> Self {
        self.fills.push((name.to_owned(), value.to_string()));
        self
    }

    /// Starts the gateway with this variable in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        if self.within.is_empty() {
            self.within.push("env".to_owned());
        }
        self.within.push(format!("{name}={value}"));
        self
    }

    /// Puts a file beside the configuration; placeholders in it are replaced too.
    pub fn file(self, name: &str, text: &str) -> Self {
        self.scratch
            .write(name, filled(text, &self.fills, self.scratch.path()));
        self
    }

    /// Starts the gateway and waits until it says `ready`.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(self) -> Gateway {
        let config_path = self.write();
        let path = config_path.to_string_lossy().into_owned();
        let arguments = ["run", "-c", &path];
        let directory = Some(self.scratch.path());
        let mut process = Process::spawn_within(&self.within, &arguments, directory);
        process.wait_stdout("ready\n");
        let mut gateway = Gateway {
            process,
            config_path,
            fills: self.fills,
            scratch: self.scratch,
            transport: self.transport,
            fds_at_rest: 0,
            pipes_at_rest: 0,
        };
        gateway.scrape();
        gateway.fds_at_rest = gateway.settled_fds();
        gateway.pipes_at_rest = process::open_pipes(gateway.process.id());
        gateway
    }

    /// Runs the gateway where it must refuse to start.
    ///
    /// # Panics
    /// When it keeps running.
    pub fn run_to_end(self) -> Run {
        let path = self.write();
        foregate(&["run", "-c", &path.to_string_lossy()])
    }

    /// Runs a subcommand such as `check` with the configuration: `arguments` with `-c <file>` at their end.
    ///
    /// # Panics
    /// When it keeps running.
    pub fn command(&self, arguments: &[&str]) -> Run {
        let path = self.write();
        let path = path.to_string_lossy();
        let mut all = arguments.to_vec();
        all.extend(["-c", &path]);
        foregate(&all)
    }

    fn write(&self) -> PathBuf {
        let directory = self.scratch.path();
        let text = completed(&self.text, &self.transport, &self.fills, directory);
        self.scratch.write("foregate.toml", text)
    }
}

fn filled(text: &str, fills: &[(String, String)], directory: &Path) -> String {
    let mut text = text.replace("{dir}", &directory.to_string_lossy());
    text = text.replace("{log}", &directory.join("access.log").to_string_lossy());
    for (name, value) in fills {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

/// What makes the listener `public` one of TLS, with one certificate for everybody.
const TLS: &str = r#"tls = true
[tls]
default_certificate = "transport"
[certificates.transport]
certificate = "{dir}/transport.pem"
key = "{dir}/transport.key"
"#;

/// Adds the tables a story does not mention.
fn completed(
    text: &str,
    transport: &Transport,
    fills: &[(String, String)],
    directory: &Path,
) -> String {
    let mut text = text.to_owned();
    if !text.contains("[listeners") {
        text.push_str("\n[listeners.public]\naddresses = [\"127.0.0.1:0\"]\n");
        if transport.secrets().is_some() {
            text.push_str(TLS);
        }
    }
    if !text.contains("[admin]") {
        text.push_str("\n[admin]\naddress = \"127.0.0.1:0\"\n");
    }
    if !text.contains("[access_log]") {
        text.push_str("\n[access_log]\nto = \"{log}\"\nformat = \"json\"\n");
    }
    if !text.contains("workers =") {
        text.insert_str(0, "workers = 1\n");
    }
    filled(&text, fills, directory)
}

/// A running gateway; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    config_path: PathBuf,
    fills: Vec<(String, String)>,
    scratch: Scratch,
    transport: Transport,
    fds_at_rest: usize,
    pipes_at_rest: usize,
}

/// Empty pipes that the gateway may keep for its next long bodies, over all workers of a story.
const PIPES_KEPT_MAX: usize = 32;

impl Gateway {
    /// Begins a gateway with this configuration text.
    #[expect(
        clippy::new_ret_no_self,
        reason = "a configuration is what a gateway begins as"
    )]
    pub fn new(text: &str) -> GatewayConfig {
        GatewayConfig {
            text: text.to_owned(),
            fills: Vec::new(),
            scratch: Scratch::new(),
            transport: Transport::Cleartext,
            within: Vec::new(),
        }
    }

    /// A gateway that sends everything to one upstream with these servers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn before(servers: &[SocketAddr]) -> Self {
        let servers: Vec<String> = servers
            .iter()
            .map(|server| format!("\"{server}\""))
            .collect();
        Self::new("[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [{servers}]\n")
            .fill("servers", servers.join(", "))
            .start()
    }

    /// The address of the listener `public`.
    pub fn address(&self) -> SocketAddr {
        self.listener("public")
    }

    /// The listener `public`, as clients connect to it.
    pub fn target(&self) -> Target {
        Target::over(&self.transport, self.address())
    }

    /// The first address of a listener.
    ///
    /// # Panics
    /// When it has none.
    pub fn listener(&self, name: &str) -> SocketAddr {
        *self
            .listeners(name)
            .first()
            .unwrap_or_else(|| panic!("no listener {name}: {}", self.stdout()))
    }

    /// All addresses of a listener, in the order they were announced.
    pub fn listeners(&self, name: &str) -> Vec<SocketAddr> {
        let wanted = format!("listening {name} ");
        let stdout = self.stdout();
        let lines = stdout.lines().filter_map(|line| line.strip_prefix(&wanted));
        lines
            .map(|address| {
                address
                    .trim()
                    .parse()
                    .unwrap_or_else(|_| panic!("not an address: {address}"))
            })
            .collect()
    }

    /// Connects a client to the listener `public`.
    pub fn connect(&self) -> RawClient {
        RawClient::connect(self.target())
    }

    /// Connects a client to the listener `public` from a loopback address of its own.
    pub fn connect_from(&self, from: &str) -> RawClient {
        RawClient::connect_from(from, self.target())
    }

    /// Sends one GET for `target` with `Host: host` on a connection of its own.
    pub fn get(&self, host: &str, target: &str) -> Response {
        self.exchange(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
    }

    /// Sends one request on a connection of its own and reads its answer.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> Response {
        self.connect().exchange(request)
    }

    /// Sends one GET to the admin listener.
    pub fn admin_get(&self, target: &str) -> Response {
        let mut client = RawClient::connect(self.listener("admin"));
        client.exchange(format!(
            "GET {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
        ))
    }

    /// Sends a request with a body, which may be empty, to the admin listener.
    pub fn admin_send(&self, method: &str, target: &str, body: &str) -> Response {
        let mut client = RawClient::connect(self.listener("admin"));
        client.exchange(format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// The metrics now.
    ///
    /// # Panics
    /// When the admin listener does not serve them.
    pub fn scrape(&self) -> Metrics {
        let response = self.admin_get("/metrics");
        assert_eq!(response.status, 200, "{}", response.text());
        Metrics::parse(&response.text())
    }

    /// The sum of the samples of a metric that carry these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.scrape().sum(name, labels)
    }

    /// Waits until a metric has the value `expected`; numbers are counted after the answer is out.
    ///
    /// # Panics
    /// When it does not reach it in time; tells the last value.
    pub fn wait_metric(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        let mut last = f64::NAN;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(&format!("{name}{labels:?} is {expected}"), || {
                last = self.metric(name, labels);
                (last == expected).then_some(())
            });
        }));
        assert!(
            found.is_ok(),
            "{name}{labels:?} is {last}, expected {expected}"
        );
    }

    /// Where the access log is.
    pub fn log_path(&self) -> PathBuf {
        self.scratch.join("access.log")
    }

    /// Waits until the access log has `count` lines, parses them, and checks that there are not more.
    ///
    /// # Panics
    /// When they do not come in time, or there are more.
    pub fn log_lines(&self, count: usize) -> Vec<LogLine> {
        let lines = self.raw_log_lines(count);
        assert_eq!(lines.len(), count, "log lines: {lines:#?}");
        lines.iter().map(|line| LogLine::parse(line)).collect()
    }

    /// The one line of the access log.
    ///
    /// # Panics
    /// When there is none in time, or more than one.
    pub fn only_log_line(&self) -> LogLine {
        self.log_lines(1).remove(0)
    }

    /// Waits until the access log has at least `count` whole lines, and returns them as they are.
    ///
    /// # Panics
    /// When they do not come in time.
    pub fn raw_log_lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} access log lines"), || {
            let text = fs::read_to_string(self.log_path()).unwrap_or_default();
            let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
            let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// The story's directory.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The configuration file.
    pub fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// Writes another configuration (placeholders as at the start, and `more`); no signal is sent.
    pub fn rewrite_config(&mut self, text: &str, more: &[(&str, &dyn Display)]) {
        self.fills.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_string())),
        );
        let directory = self.scratch.path();
        let text = completed(text, &self.transport, &self.fills, directory);
        self.scratch.write("foregate.toml", text);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the end of the process.
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait_exit()
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.poll_exit().is_some()
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// Its own log so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Waits until its own log holds `wanted`.
    ///
    /// # Panics
    /// When that does not happen in time.
    pub fn wait_stderr(&self, wanted: &str) -> String {
        eventually(&format!("{wanted:?} in the gateway's log"), || {
            let seen = self.stderr();
            seen.contains(wanted).then_some(seen)
        })
    }

    /// How many sockets and files it has open; pipes are not among them.
    pub fn open_fds(&self) -> usize {
        process::open_fds(self.process.id())
    }

    /// Its resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        process::rss_kib(self.process.id())
    }

    /// The part of its resident memory that is not mapped from files, in KiB.
    pub fn anonymous_kib(&self) -> u64 {
        process::anonymous_kib(self.process.id())
    }

    /// Its connections from clients (not the admin listener's).
    pub fn client_sockets(&self) -> Vec<SocketState> {
        let (listeners, _) = self.ports();
        let sockets = process::sockets(self.process.id()).into_iter();
        sockets
            .filter(|socket| !socket.listens() && listeners.contains(&socket.local.port()))
            .collect()
    }

    /// Its connections to backends.
    pub fn upstream_sockets(&self) -> Vec<SocketState> {
        let (listeners, admin) = self.ports();
        let sockets = process::sockets(self.process.id()).into_iter();
        sockets
            .filter(|socket| !socket.listens())
            .filter(|socket| {
                !listeners.contains(&socket.local.port()) && Some(socket.local.port()) != admin
            })
            .collect()
    }

    /// [`Self::open_fds`], once it stands still: threads may still be starting when the gateway says `ready`.
    fn settled_fds(&self) -> usize {
        let mut looks: Vec<usize> = Vec::new();
        eventually("the gateway has settled", || {
            looks.push(self.open_fds());
            let last = *looks.last()?;
            let still = looks
                .iter()
                .rev()
                .take_while(|count| **count == last)
                .count();
            (still >= 4).then_some(last)
        })
    }

    /// The ports of the listeners, and of the admin listener.
    fn ports(&self) -> (Vec<u16>, Option<u16>) {
        let stdout = self.stdout();
        let mut listeners = Vec::new();
        let mut admin = None;
        for line in stdout
            .lines()
            .filter_map(|line| line.strip_prefix("listening "))
        {
            let Some((name, address)) = line.split_once(' ') else {
                continue;
            };
            let port = address
                .trim()
                .parse::<SocketAddr>()
                .ok()
                .map(|address| address.port());
            if name == "admin" {
                admin = port
            } else {
                listeners.extend(port)
            }
        }
        (listeners, admin)
    }

    /// Checks that nothing of past requests remains: no client connection (by its own count and by the kernel's), no
    /// half-dead backend connection, and no descriptor beyond those it had at the start and the pooled connections.
    ///
    /// # Panics
    /// When something remains for too long.
    pub fn assert_no_leaks(&self) {
        let mut seen = String::new();
        let clean = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("nothing of past requests remains", || {
                // Counted before the scrape, whose own connection may not have been closed yet behind it.
                let (fds, pipes) = (self.open_fds(), process::open_pipes(self.process.id()));
                let (clients, pooled) = (self.client_sockets(), self.upstream_sockets());
                let metrics = self.scrape();
                let active = metrics.sum(CONNECTIONS, &[]);
                let endpoints = metrics.sum(ENDPOINT_CONNECTIONS, &[]);
                let half_dead = pooled.iter().filter(|socket| socket.state != 1).count();
                let allowed = self.fds_at_rest + pooled.len();
                seen = format!(
                    "active {active}, clients {clients:?}, endpoints {endpoints}, upstream {pooled:?}, fds {fds} of {allowed}, pipes {pipes}: {:?}",
                    process::fd_targets(self.process.id())
                );
                let counts_agree = active == 0.0 && endpoints == pooled.len() as f64;
                let few = fds <= allowed && pipes <= self.pipes_at_rest + PIPES_KEPT_MAX;
                (counts_agree && clients.is_empty() && half_dead == 0 && few).then_some(())
            });
        }));
        assert!(clean.is_ok(), "leaked: {seen}");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- the gateway's output ---\n{}{}",
                self.stdout(),
                self.stderr()
            );
            eprintln!(
                "--- its access log ---\n{}",
                fs::read_to_string(self.log_path()).unwrap_or_default()
            );
        }
    }
}

//! `foregate demo`: a gateway and three backends in one process, to look at and to play with.

mod backends;
mod content;
mod live;
mod page;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use foregate_config::{Format, MemoryFiles, Written};
use foregate_server::{Before, Disk, LoadError, Loaded, NewText, Source};
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::run;
use crate::source;
use crate::state;
use crate::terminal;

/// The configuration of the demo; its addresses and folder are variables.
const CONFIG: &str = include_str!("demo/demo.toml");

/// Ports that are tried for the gateway when none is named.
const PORTS: RangeInclusive<u16> = 8080..=8179;

/// Ports that are tried for the gateway's TLS.
const SECURE_PORTS: RangeInclusive<u16> = 8443..=8542;

/// Ports that are tried for the admin listener.
const ADMIN_PORTS: RangeInclusive<u16> = 9180..=9279;

/// Ports of backends in a configuration that is only printed.
const WISHED_BACKENDS: [u16; backends::COUNT] = [9001, 9002, 9003];

/// Start three sample backends and a gateway in front of them
///
/// Everything is embedded and on loopback. Prints the addresses to open, then a line per
/// second until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Demo {
    /// The gateway's port; without it the first free one from 8080 on
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Where the certificates are kept that the demo makes; without it foregate/ in the user's
    /// own folder for state
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    state_dir: Option<PathBuf>,

    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,

    /// Print the configuration that the demo runs with where every port is free, and end; put
    /// your own backends in
    #[arg(long, verbatim_doc_comment)]
    print_config: bool,
}

impl Demo {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        if self.print_config {
            terminal::print(&self.wished().text())?;
            return Ok(ExitCode::SUCCESS);
        }
        let listen = match self.port {
            Some(port) => address(port),
            None => first_free(PORTS)?,
        };
        if !is_free(listen) {
            return Err(Failure::Failed(format!(
                "{listen} is taken; choose another with --port"
            )));
        }
        let backends = backends::start().map_err(|error| {
            Failure::Failed(format!("the sample backends cannot start: {error}"))
        })?;
        let source = DemoSource {
            listen,
            secure: first_free(SECURE_PORTS)?,
            state_dir: self.state_dir.unwrap_or_else(state::folder),
            admin: first_free(ADMIN_PORTS)?,
            backends,
        };
        let server = run::start(Box::new(source))?;
        let at = |name: &str| {
            let mut listeners = server.listeners().iter();
            let found = listeners.find(|(listener, _)| listener == name);
            found.map(|(_, address)| *address)
        };
        let listening = at("public").unwrap_or(listen);
        terminal::print(&introduction(listening, at("secure"), server.admin()))?;
        let live = live::start(
            server.registry(),
            server.controller(),
            backends,
            self.seconds.map(Duration::from_secs),
        )
        .map_err(|error| Failure::Failed(format!("no thread can be started: {error}")))?;
        let exit = server.run();
        live.end();
        Ok(ExitCode::from(exit.code()))
    }

    /// What the demo would run with if no port were taken. Its backends are where the system puts them; these stand for
    /// one's own.
    fn wished(self) -> DemoSource {
        DemoSource {
            listen: address(self.port.unwrap_or(*PORTS.start())),
            secure: address(*SECURE_PORTS.start()),
            state_dir: self.state_dir.unwrap_or_else(state::folder),
            admin: address(*ADMIN_PORTS.start()),
            backends: WISHED_BACKENDS.map(address),
        }
    }
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Whether nobody listens there. The gateway's own sockets share their ports with whoever shares theirs, so they would
/// not notice another gateway.
fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

fn first_free(mut ports: RangeInclusive<u16>) -> Result<SocketAddr, Failure> {
    let (first, last) = (*ports.start(), *ports.end());
    let free = ports.find(|port| is_free(address(*port)));
    free.map(address).ok_or_else(|| {
        Failure::Failed(format!(
            "no port from {first} to {last} is free on 127.0.0.1"
        ))
    })
}

fn introduction(
    gateway: SocketAddr,
    secure: Option<SocketAddr>,
    admin: Option<SocketAddr>,
) -> String {
    let mut text = String::from(
        "Foregate demo: a gateway and three sample backends a, b, c. Ctrl-C ends it.\n\n",
    );
    let mut told = |url: String, what: &str| text.push_str(&format!("  {url:<32}  {what}\n"));
    if let Some(secure) = secure {
        told(
            format!("https://localhost:{}/", secure.port()),
            "the same over TLS, with a certificate made here",
        );
    }
    let mut tell = |address: SocketAddr, path: &str, what: &str| {
        let url = format!("http://{address}{path}");
        text.push_str(&format!("  {url:<32}  {what}\n"));
    };
    tell(
        gateway,
        "/",
        "start here: which route, policy and backend answered",
    );
    tell(gateway, "/slow", "takes 1.5 s");
    tell(
        gateway,
        "/fail",
        "fails half the time: retries, ejection, clean error pages",
    );
    tell(gateway, "/download", "100 MB, streamed");
    tell(gateway, "/old", "a redirect to /");
    tell(gateway, "/hello", "answered by the gateway itself");
    if let Some(admin) = admin {
        tell(admin, "/metrics", "metrics for Prometheus");
        tell(admin, "/status", "routes, and the states of endpoints");
    }
    text.push_str(
        "\nA line per second (UTC): requests, status classes, latency, each backend's share.\n\n",
    );
    text
}

/// The embedded configuration with its addresses filled in.
struct DemoSource {
    listen: SocketAddr,
    secure: SocketAddr,
    state_dir: PathBuf,
    admin: SocketAddr,
    backends: [SocketAddr; backends::COUNT],
}

impl Source for DemoSource {
    fn load(&mut self, previous: Option<Before<'_>>) -> Result<Loaded, LoadError> {
        let outcome = foregate_config::parse_str("demo.toml", CONFIG, Format::Toml, &self.files());
        source::compile_outcome(outcome, previous).into_loaded("demo".into(), false)
    }

    fn read(&mut self, text: &NewText<'_>, previous: Before<'_>) -> Result<Loaded, LoadError> {
        source::read_new(text, Path::new(""), &self.files(), previous)
    }

    fn again(&mut self, then: &Written, previous: Option<Before<'_>>) -> Result<Loaded, LoadError> {
        source::read_again(then, &self.files(), previous)
    }

    fn disk(&self) -> Option<Arc<dyn Disk>> {
        None
    }
}

impl DemoSource {
    /// The variables of the configuration.
    fn variables(&self) -> [(&'static str, String); 7] {
        let [a, b, c] = self.backends;
        [
            ("LISTEN", self.listen.to_string()),
            ("SECURE", self.secure.to_string()),
            ("STATE_DIR", self.state_dir.display().to_string()),
            ("ADMIN", self.admin.to_string()),
            ("BACKEND_A", a.to_string()),
            ("BACKEND_B", b.to_string()),
            ("BACKEND_C", c.to_string()),
        ]
    }

    fn files(&self) -> MemoryFiles {
        let variables = self.variables().into_iter();
        variables.fold(MemoryFiles::default(), |files, (name, value)| {
            files.variable(name, value)
        })
    }

    /// The configuration with everything written in.
    fn text(&self) -> String {
        let mut text = CONFIG.to_owned();
        for (name, value) in self.variables() {
            // What JSON escapes in a text, TOML reads.
            let escaped = Json::String(value).to_string();
            text = text.replace(&format!("\"${{ENV:{name}}}\""), &escaped);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(state_dir: &str) -> DemoSource {
        DemoSource {
            listen: address(1),
            secure: address(6),
            state_dir: state_dir.into(),
            admin: address(2),
            backends: [address(3), address(4), address(5)],
        }
    }

    #[test]
    fn what_is_printed_says_the_same_without_variables() {
        let source = demo("/with \"quotes\" and \\");
        let text = source.text();
        assert!(!text.contains("${"), "{text}");
        let nothing = MemoryFiles::default();
        let printed = foregate_config::parse_str("demo.toml", &text, Format::Toml, &nothing);
        let meant = foregate_config::parse_str("demo.toml", CONFIG, Format::Toml, &source.files());
        assert!(printed.settings.is_some(), "{:?}", printed.diagnostics);
        assert_eq!(printed.settings, meant.settings);
    }

    #[test]
    fn the_configuration_is_good_without_a_warning() {
        let mut source = demo("/nowhere");
        let loaded = source.load(None).unwrap();
        assert_eq!(loaded.warnings, [""; 0]);
        assert_eq!(loaded.snapshot.listeners[0].addresses[..], [address(1)]);
    }

    #[test]
    fn the_introduction_names_every_route() {
        let text = introduction(address(8080), Some(address(8443)), Some(address(9180)));
        for path in ["/ ", "/slow", "/fail", "/download", "/old", "/hello"] {
            assert!(
                text.contains(&format!("http://127.0.0.1:8080{path}")),
                "{path}: {text}"
            );
        }
        assert!(text.contains("http://127.0.0.1:9180/metrics"), "{text}");
        assert!(text.contains("https://localhost:8443/ "), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = TcpListener::bind(address(0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!is_free(address(port)));
        assert!(first_free(port..=port).is_err());
    }
}

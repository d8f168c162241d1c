//! `foregate demo`: a gateway and three backends in one process, to look at and to play with.

mod backends;
mod content;
mod live;
mod page;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use foregate_config::{Format, MemoryFiles};
use foregate_server::{Loaded, Source};
use foregate_snapshot::Snapshot;

use crate::failure::Failure;
use crate::run;
use crate::source;
use crate::terminal;

/// The configuration of the demo; its addresses are variables.
const CONFIG: &str = include_str!("demo/demo.toml");

/// Ports that are tried for the gateway when none is named.
const PORTS: RangeInclusive<u16> = 8080..=8179;

/// Ports that are tried for HTTPS.
const SECURE_PORTS: RangeInclusive<u16> = 8443..=8542;

/// Ports that are tried for the admin listener.
const ADMIN_PORTS: RangeInclusive<u16> = 9180..=9279;

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

    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,

    /// Print the configuration that the demo runs with, and end
    #[arg(long)]
    print_config: bool,
}

impl Demo {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        if self.print_config {
            terminal::print(CONFIG)?;
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
            admin: first_free(ADMIN_PORTS)?,
            backends,
            state: state_folder(),
        };
        let secure = source.secure;
        let server = run::start(Box::new(source))?;
        let listening = server
            .listeners()
            .first()
            .map_or(listen, |(_, address)| *address);
        terminal::print(&introduction(listening, secure, server.admin()))?;
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

/// Where the demo keeps its authority, so that who trusts its root trusts the next demo, too. Under the system's
/// temporary folder and in one's own name: the folder is refused if it is somebody else's.
fn state_folder() -> PathBuf {
    let user = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
    std::env::temp_dir().join(format!("foregate-demo-{user}"))
}

fn introduction(gateway: SocketAddr, secure: SocketAddr, admin: Option<SocketAddr>) -> String {
    let mut text = String::from(
        "Foregate demo: a gateway and three sample backends a, b, c. Ctrl-C ends it.\n\n",
    );
    let mut line = |url: String, what: &str| text.push_str(&format!("  {url:<32}  {what}\n"));
    let mut tell = |address: SocketAddr, path: &str, what: &str| {
        line(format!("http://{address}{path}"), what);
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
    line(
        format!("https://localhost:{}/", secure.port()),
        "the same over TLS and HTTP/2, by an authority of its own",
    );
    if let Some(admin) = admin {
        line(format!("http://{admin}/metrics"), "metrics for Prometheus");
        line(
            format!("http://{admin}/status"),
            "routes, and the states of endpoints",
        );
        text.push_str(&format!(
            "\n`foregate certs root --admin {admin}` prints what browsers and curl are to trust.\n"
        ));
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
    admin: SocketAddr,
    backends: [SocketAddr; backends::COUNT],
    state: PathBuf,
}

impl Source for DemoSource {
    fn load(&mut self, previous: Option<&Snapshot>) -> Result<Loaded, String> {
        let [a, b, c] = self.backends;
        let files = MemoryFiles::default()
            .variable("LISTEN", self.listen.to_string())
            .variable("SECURE", self.secure.to_string())
            .variable("STATE", self.state.to_string_lossy().into_owned())
            .variable("ADMIN", self.admin.to_string())
            .variable("BACKEND_A", a.to_string())
            .variable("BACKEND_B", b.to_string())
            .variable("BACKEND_C", c.to_string());
        let outcome = foregate_config::parse_str("demo.toml", CONFIG, Format::Toml, &files);
        source::compile_outcome(outcome, previous).into_loaded("demo".into(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_good_without_a_warning() {
        let mut source = DemoSource {
            listen: address(1),
            secure: address(6),
            admin: address(2),
            backends: [address(3), address(4), address(5)],
            state: "/tmp/demo".into(),
        };
        let loaded = source.load(None).unwrap();
        assert_eq!(loaded.warnings, [""; 0]);
        assert_eq!(loaded.snapshot.listeners[0].addresses[..], [address(1)]);
    }

    #[test]
    fn the_introduction_names_every_route() {
        let text = introduction(address(8080), address(8443), Some(address(9180)));
        for path in ["/ ", "/slow", "/fail", "/download", "/old", "/hello"] {
            assert!(
                text.contains(&format!("http://127.0.0.1:8080{path}")),
                "{path}: {text}"
            );
        }
        assert!(text.contains("http://127.0.0.1:9180/metrics"), "{text}");
        assert!(text.contains("https://localhost:8443/"), "{text}");
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

//! A real ACME server: Debian's `pebble`, with `pebble-challtestsrv` as the name server it believes.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

use crate::patience::eventually;
use crate::scratch::Scratch;

/// How a [`Pebble`] is to behave.
#[derive(Clone, Debug, Default)]
pub struct PebbleConfig {
    /// Where it looks for HTTP-01 challenges.
    pub http_port: u16,
    /// Where it looks for TLS-ALPN-01 challenges.
    pub tls_port: u16,
    /// How long its certificates live; five years if absent.
    pub life_seconds: Option<u64>,
    /// The accounts that it binds to, key id and HMAC key in base64url; none are needed when empty.
    pub external_accounts: Vec<(String, String)>,
    /// How many of a hundred good nonces it refuses.
    pub nonces_refused_percent: u8,
    /// Whether it believes every challenge without looking.
    pub believes: bool,
    /// How many of a hundred valid authorizations it uses again.
    pub authorizations_reused_percent: u8,
}

/// A running `pebble`. Its state is gone with it.
#[derive(Debug)]
pub struct Pebble {
    scratch: Scratch,
    config: PebbleConfig,
    acme: Option<Child>,
    names: Child,
    acme_port: u16,
    management_port: u16,
    names_address: String,
    names_management_port: u16,
    ca_pem: String,
}

/// Below the ports that the kernel hands out to connections (`ip_local_port_range`), which stories make thousands of.
const PORTS: Range<u32> = 20_000..32_000;

/// How often its programs are started before that fails.
const STARTS_MAX: usize = 3;

/// A port that nobody listens on, and that nobody is given by chance. For programs that can't be handed a socket.
///
/// # Panics
/// When no port is left.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Processes that run stories at the same time begin far from each other.
    let begin = std::process::id().wrapping_mul(97);
    let count = PORTS.end - PORTS.start;
    let mut candidates = (0..count).map(|_| {
        let number = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        (PORTS.start + number % count) as u16
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.find(is_free).expect("loopback has ports left")
}

impl Pebble {
    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed (`./test.sh install` does that), or does not come up.
    pub fn start(config: PebbleConfig) -> Pebble {
        Pebble::make(config, None)
    }

    /// Starts it with a name server of one's own.
    ///
    /// # Panics
    /// As [`Pebble::start`].
    pub fn start_with_names(config: PebbleConfig, names_address: &str) -> Pebble {
        Pebble::make(config, Some(names_address.to_owned()))
    }

    /// A port that was free may be taken by the time that a program binds it: others are tried.
    fn make(config: PebbleConfig, names_elsewhere: Option<String>) -> Pebble {
        let mut attempts = (0..STARTS_MAX)
            .filter_map(|_| Pebble::attempt(config.clone(), names_elsewhere.clone()));
        attempts.next().expect("pebble and its name server start")
    }

    /// Starts both; `None` when one of them has ended before it listened.
    fn attempt(config: PebbleConfig, names_elsewhere: Option<String>) -> Option<Pebble> {
        let scratch = Scratch::new();
        let ca_pem = write_identity(&scratch);
        let (names_port, names_management_port) = (free_port(), free_port());
        let names = quiet(Command::new("pebble-challtestsrv").args([
            "-dns01",
            &format!("127.0.0.1:{names_port}"),
            "-management",
            &format!("127.0.0.1:{names_management_port}"),
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
        ]))
        .spawn()
        .expect("pebble-challtestsrv is installed");
        let mut pebble = Pebble {
            acme_port: free_port(),
            management_port: free_port(),
            scratch,
            config,
            acme: None,
            names,
            names_address: names_elsewhere.unwrap_or_else(|| format!("127.0.0.1:{names_port}")),
            names_management_port,
            ca_pem,
        };
        (pebble.boot() && listens(&mut pebble.names, names_management_port)).then_some(pebble)
    }

    /// False when it has ended before it listened.
    fn boot(&mut self) -> bool {
        let mut settings = serde_json::json!({
            "listenAddress": format!("127.0.0.1:{}", self.acme_port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management_port),
            "certificate": self.scratch.join("server.pem"),
            "privateKey": self.scratch.join("server.key"),
            "httpPort": self.config.http_port,
            "tlsPort": self.config.tls_port,
            "externalAccountBindingRequired": !self.config.external_accounts.is_empty(),
            "externalAccountMACKeys": self.config.external_accounts.iter().cloned()
                .collect::<std::collections::BTreeMap<_, _>>(),
        });
        if let Some(seconds) = self.config.life_seconds {
            settings["certificateValidityPeriod"] = seconds.into();
        }
        let settings = serde_json::json!({ "pebble": settings });
        let path = self.scratch.write("pebble.json", settings.to_string());
        let log = fs::File::create(self.log_path()).expect("the scratch directory is writable");
        let mut command = Command::new("pebble");
        if self.config.believes {
            command.env("PEBBLE_VA_ALWAYS_VALID", "1");
        }
        let child = command
            .args(["-dnsserver", &self.names_address])
            .arg("-config")
            .arg(path)
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env(
                "PEBBLE_WFE_NONCEREJECT",
                self.config.nonces_refused_percent.to_string(),
            )
            .env(
                "PEBBLE_AUTHZREUSE",
                self.config.authorizations_reused_percent.to_string(),
            )
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file can be shared"))
            .stdout(log)
            .spawn()
            .expect("pebble is installed");
        let child = self.acme.insert(child);
        listens(child, self.acme_port) && listens(child, self.management_port)
    }

    /// Ends it and starts another one on the same ports: accounts, orders and its CA are forgotten.
    pub fn restart(&mut self, config: PebbleConfig) {
        self.stop();
        self.config = config;
        assert!(self.boot(), "pebble ended: {}", self.log());
    }

    /// Ends the ACME server; the name server stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.acme.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn log_path(&self) -> PathBuf {
        self.scratch.join("pebble.log")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// How many certificates it has issued.
    pub fn issued(&self) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains("Issued certificate serial"))
            .count()
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.acme_port)
    }

    /// What its own TLS certificate is trusted by, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What the certificates that it issues are trusted by, PEM.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn root_pem(&self) -> String {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "10", "--noproxy", "*", "--cacert"])
            .arg(self.scratch.join("ca.pem"))
            .arg(format!(
                "https://localhost:{}/roots/0",
                self.management_port
            ))
            .output()
            .expect("curl is installed");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("PEM is text")
    }

    /// Where its name server answers.
    pub fn names_address(&self) -> &str {
        &self.names_address
    }

    /// Where its name server is told what to answer: `POST /set-txt` and `/clear-txt` over HTTP.
    pub fn names_management(&self) -> String {
        format!("127.0.0.1:{}", self.names_management_port)
    }

    /// A command that sets and removes records at the name server, by a script of the kind that operators write. What it was
    /// run for is in `hook.sh.log` of the scratch directory.
    pub fn dns_hook(&self, scratch: &Scratch) -> Vec<String> {
        let script = scratch.write(
            "hook.sh",
            r#"set -e
action=$2 name=$3 value=$4
echo "$action $name" >>"$0.log"
case $action in
present) curl -sSf -d "{\"host\":\"$name.\",\"value\":\"$value\"}" "http://$1/set-txt" ;;
cleanup) curl -sSf -d "{\"host\":\"$name.\"}" "http://$1/clear-txt" ;;
esac
"#,
        );
        let script = script.to_string_lossy().into_owned();
        vec!["sh".to_owned(), script, self.names_management()]
    }

    /// Tells the name server something.
    ///
    /// # Panics
    /// When it does not take it.
    pub fn tell_names(&self, path: &str, body: &str) {
        let mut stream = TcpStream::connect(self.names_management()).expect("it listens");
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

/// Waits until a program listens; false when it has ended instead.
fn listens(child: &mut Child, port: u16) -> bool {
    let address = ([127, 0, 0, 1], port).into();
    eventually("a program that listens", || {
        if child.try_wait().ok()?.is_some() {
            return Some(false);
        }
        let connected = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        connected.is_ok().then_some(true)
    })
}

/// A CA and a certificate for `localhost`, into `ca.pem`, `server.pem` and `server.key`; the CA's certificate.
fn write_identity(scratch: &Scratch) -> String {
    let named = |name: &str| {
        let mut name_of = DistinguishedName::new();
        name_of.push(DnType::CommonName, name);
        name_of
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = named("A private CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("keys can be made");
    let ca = params.self_signed(&key).expect("a CA can be made");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("keys can be made");
    let leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .and_then(|mut params| {
            params.distinguished_name = named("An ACME server");
            params.signed_by(&key, &issuer)
        })
        .expect("a certificate can be made");
    scratch.write("ca.pem", ca.pem());
    scratch.write("server.pem", leaf.pem());
    scratch.write("server.key", key.serialize_pem());
    ca.pem()
}

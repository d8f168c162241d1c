//! Names proved by DNS: through a hook, and by dynamic update of a real name server.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use foregate_acme::{AcmeOptions, ChallengeChoice, DnsMeans, DnsOptions, SharedKey};
use foregate_testkit::{Pebble, Scratch, eventually, free_port};

use crate::house::{House, acme, options, pebble, wanted};
use crate::responder::Responder;

/// A hook that tells pebble's name server, by a script of the kind that operators write.
fn hook(state: &Scratch, pebble: &Pebble) -> Vec<String> {
    let script = state.write(
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
    vec![
        "sh".into(),
        script.to_str().unwrap().into(),
        pebble.names_management(),
    ]
}

fn with_dns(mut options: AcmeOptions, means: DnsMeans, wait: Duration) -> AcmeOptions {
    options.dns = Some(DnsOptions {
        means,
        propagation_timeout: wait,
        resolvers: Vec::new(),
    });
    options
}

#[test]
fn a_wildcard_is_proved_through_a_hook() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let means = DnsMeans::Hook(hook(&state, &pebble));
    // pebble's name server has no zones that could be asked for.
    let options = with_dns(options(&pebble), means, Duration::ZERO);
    let want = wanted(options, &[acme(&["shop.example", "*.shop.example"])]);
    let house = House::start(&state, &responder, want);
    let issued = house.next();
    assert!(
        issued.names.contains(&"*.shop.example".to_owned()),
        "{issued:?}"
    );
    let log = std::fs::read_to_string(state.join("hook.sh.log")).unwrap();
    assert_eq!(
        log,
        "present _acme-challenge.shop.example\ncleanup _acme-challenge.shop.example\n"
    );
    assert!(
        responder.asked().1 >= 1,
        "the plain name goes the short way"
    );
}

#[test]
fn a_hook_that_fails_is_quoted() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let argv = ["sh", "-c", "echo no such zone >&2; exit 7"].map(str::to_owned);
    let mut options = with_dns(
        options(&pebble),
        DnsMeans::Hook(argv.into()),
        Duration::ZERO,
    );
    options.challenge = ChallengeChoice::Dns01;
    let house = House::start(
        &state,
        &responder,
        wanted(options, &[acme(&["shop.example"])]),
    );
    let why = house.failure("dns-hook-failed");
    assert!(why.contains("no such zone") && why.contains('7'), "{why}");
}

/// BIND with one zone that takes signed updates.
struct NameServer {
    child: Child,
    address: SocketAddr,
    _files: Scratch,
}

const SECRET: &str = "c2VjcmV0IHRoYXQgaXMgdGhpcnR5LXR3byBieXRlcw==";

impl NameServer {
    fn start() -> NameServer {
        let files = Scratch::new();
        let port = free_port();
        files.write(
            "zone.db",
            "$TTL 60\n@ IN SOA ns.shop.example. root.shop.example. 1 60 60 60 60\n@ IN NS ns.shop.example.\nns IN A 127.0.0.1\n",
        );
        let folder = files.path().display();
        let config = format!(
            r#"options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                recursion no; pid-file none; session-keyfile none; dnssec-validation no; }};
            controls {{ }};
            key "update.key" {{ algorithm hmac-sha256; secret "{SECRET}"; }};
            zone "shop.example" {{ type primary; file "zone.db"; update-policy {{ grant update.key name _acme-challenge.shop.example. TXT; grant update.key name _acme-challenge.www.shop.example. TXT; }}; }};"#
        );
        let config = files.write("named.conf", config);
        let child = Command::new("/usr/sbin/named")
            .args(["-f", "-c", config.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("the name server", || TcpStream::connect(address).ok());
        NameServer {
            child,
            address,
            _files: files,
        }
    }

    fn means(&self, secret: &str) -> DnsMeans {
        DnsMeans::Update {
            server: self.address.to_string(),
            key: Some(SharedKey::parse("update.key", "hmac-sha256", secret).unwrap()),
        }
    }

    /// What dig says of a name.
    fn texts(&self, name: &str) -> String {
        let port = self.address.port().to_string();
        let output = Command::new("dig")
            .args(["+short", "+tries=1", "-p", &port, "@127.0.0.1", name, "TXT"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn names_are_proved_by_signed_updates_of_a_real_server() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let server = NameServer::start();
    let pebble = Pebble::start_with_names(pebble(&responder), &server.address.to_string());
    let means = server.means(SECRET);
    let mut options = with_dns(options(&pebble), means, Duration::from_secs(20));
    options.challenge = ChallengeChoice::Dns01;
    // Two values under one name at the same time, and another name.
    let names = ["shop.example", "*.shop.example", "www.shop.example"];
    let house = House::start(&state, &responder, wanted(options, &[acme(&names)]));
    let issued = house.next();
    assert_eq!(issued.names.len(), 3, "{issued:?}");
    assert_eq!(responder.asked(), (0, 0));
    for name in [
        "_acme-challenge.shop.example",
        "_acme-challenge.www.shop.example",
    ] {
        assert_eq!(server.texts(name), "", "a record stayed behind");
    }
}

#[test]
fn a_wrong_key_and_a_foreign_zone_are_told() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let server = NameServer::start();
    let pebble = Pebble::start(pebble(&responder));
    let attempt = |name: &str, secret: &str| {
        let mut options = with_dns(
            options(&pebble),
            server.means(secret),
            Duration::from_secs(5),
        );
        options.challenge = ChallengeChoice::Dns01;
        let house = House::start(&state, &responder, wanted(options, &[acme(&[name])]));
        house.failure("dns-update-failed")
    };
    let why = attempt("shop.example", "d3Jvbmc=");
    assert!(why.contains("does not accept the key"), "{why}");
    let why = attempt("other.example", SECRET);
    assert!(why.contains("has no zone"), "{why}");
    let why = attempt("secret.shop.example", SECRET);
    assert!(why.contains("policy"), "{why}");
}

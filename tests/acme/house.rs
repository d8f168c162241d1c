//! What the stories share: a gateway with a site that wants a certificate, and the ACME server that it asks.

use foregate_testkit::{
    Gateway, GatewayConfig, Meddler, Pebble, PebbleConfig, Run, Scratch, eventually, foregate,
    free_port,
};
use foregate_tests::secure;

/// The ports that gateway and ACME server agree on before either runs.
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) tls: u16,
}

impl Ports {
    pub(crate) fn new() -> Ports {
        Ports {
            http: free_port(),
            tls: free_port(),
        }
    }

    pub(crate) fn pebble(&self) -> PebbleConfig {
        PebbleConfig {
            http_port: self.http,
            tls_port: self.tls,
            ..PebbleConfig::default()
        }
    }
}

/// Whom a gateway asks for certificates: an ACME server, or who stands before it.
pub(crate) trait Authority {
    fn directory(&self) -> String;
    fn ca_pem(&self) -> &str;
}

impl Authority for Pebble {
    fn directory(&self) -> String {
        Pebble::directory(self)
    }

    fn ca_pem(&self) -> &str {
        Pebble::ca_pem(self)
    }
}

impl Authority for Meddler {
    fn directory(&self) -> String {
        Meddler::directory(self)
    }

    fn ca_pem(&self) -> &str {
        Meddler::ca_pem(self)
    }
}

const CONFIG: &str = r#"
state_dir = "{state}"

[listeners.public]
address = "127.0.0.1:{http}"

[listeners.secure]
address = "127.0.0.1:{tls}"
tls = true

[acme]
email = "ops@example.com"
directory = "{directory}"
ca_file = "ca.pem"
challenge = "{challenge}"

[sites."{site}"]
routes = [{ respond = { status = 200, body = "the shop" } }]
"#;

/// A gateway whose site `shop.example` wants a certificate from `authority`, proved by `challenge`.
pub(crate) fn shop(
    ports: &Ports,
    authority: &impl Authority,
    challenge: &str,
    state: &Scratch,
) -> GatewayConfig {
    site("shop.example", ports, authority, challenge, state)
}

/// The same for a site of another name.
pub(crate) fn site(
    name: &str,
    ports: &Ports,
    authority: &impl Authority,
    challenge: &str,
    state: &Scratch,
) -> GatewayConfig {
    Gateway::new(CONFIG)
        .fill("site", name)
        .fill("state", state.join("state").display())
        .fill("http", ports.http)
        .fill("tls", ports.tls)
        .fill("directory", authority.directory())
        .fill("challenge", challenge)
        .file("ca.pem", authority.ca_pem())
}

/// What `foregate certs` says of a running gateway.
pub(crate) fn certs(gateway: &Gateway, arguments: &[&str]) -> Run {
    let address = gateway.listener("admin").to_string();
    let mut all = vec!["certs"];
    all.extend(arguments);
    all.extend(["--admin", &address]);
    foregate(&all)
}

/// The JSON of `foregate certs` for one name.
pub(crate) fn certificate(gateway: &Gateway, name: &str) -> serde_json::Value {
    let run = certs(gateway, &["--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let told: serde_json::Value =
        serde_json::from_str(&run.stdout).expect("the command writes JSON");
    let all = told["certificates"].as_array().expect("a list").iter();
    let found = all.clone().find(|one| {
        one["names"]
            .as_array()
            .expect("a list")
            .contains(&name.into())
    });
    found
        .unwrap_or_else(|| panic!("{name} is not in {told:#}"))
        .clone()
}

/// The same once it is in a state, which is told a moment after the log has it.
pub(crate) fn certificate_in(gateway: &Gateway, name: &str, state: &str) -> serde_json::Value {
    eventually(&format!("{name} is {state}"), || {
        let told = certificate(gateway, name);
        (told["state"] == state).then_some(told)
    })
}

/// Waits until the agent has heard of all that happened before and has looked at what is due: it takes commands one after the
/// other, between two looks.
pub(crate) fn settle(gateway: &Gateway) {
    let run = certs(gateway, &["renew", "nobody.example"]);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
}

/// What curl gets from a URL, trusting one root; `None` when it is not content.
pub(crate) fn curl(url: &str, resolve: &str, root: &str) -> Option<String> {
    let scratch = Scratch::new();
    let root = scratch.write("root.pem", root);
    let root = root.to_string_lossy();
    let seen = secure::curl(&["--cacert", &root, "--resolve", resolve, url]);
    (seen.code() == 0).then(|| seen.body())
}

/// What curl gets from a host over HTTPS.
pub(crate) fn visit_host(ports: &Ports, root: &str, host: &str) -> Option<String> {
    let tls = ports.tls;
    let resolve = format!("{host}:{tls}:127.0.0.1");
    curl(&format!("https://{host}:{tls}/"), &resolve, root)
}

/// What curl gets from the shop over HTTPS.
pub(crate) fn visit(ports: &Ports, root: &str) -> Option<String> {
    visit_host(ports, root, "shop.example")
}

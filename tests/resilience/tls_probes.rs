//! Probes that ask for a TLS handshake: well is who is reached, and is who it should be.

use std::net::SocketAddr;

use foregate_testkit::{Authority, Backend, Echo, Gateway, eventually};
use foregate_tests::secure::Certificates;

use crate::endpoint;

/// A backend that speaks TLS: a second gateway.
const INNER: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
[certificates.inner]
certificate = "{certificates}/inner.pem"
key = "{certificates}/inner.key"
[sites."inner.test"]
hosts = ["127.0.0.1"]
tls = "files"
[[sites."inner.test".routes]]
respond = { status = 200, body = "served" }
"#;

const OUTER: &str = r#"
[sites."*"]
upstream = "inner"
[upstreams.inner]
servers = ["{inner}"]
host = "upstream"
tls = { {tls} }
[upstreams.inner.ejection]
consecutive_failures = "off"
[upstreams.inner.probe]
type = "tls"
interval = "60ms"
failing_interval = "20ms"
timeout = "5s"
"#;

fn inner(certificates: &Certificates) -> Gateway {
    certificates.issue("inner", &["inner.test", "127.0.0.1"]);
    Gateway::new(INNER)
        .fill("certificates", certificates.directory())
        .start()
}

fn outer(inner: SocketAddr, tls: &str, certificates: &Certificates) -> Gateway {
    Gateway::new(OUTER)
        .fill("inner", inner)
        .fill("tls", tls)
        .fill("certificates", certificates.directory())
        .start()
}

fn wait_health(gateway: &Gateway, address: SocketAddr, health: &str) {
    eventually(&format!("{address} is {health}"), || {
        (endpoint(gateway, address)["health"] == health).then_some(())
    });
}

/// What was wrong with the last probe; `None` when nothing was.
fn last_fault(gateway: &Gateway, address: SocketAddr) -> Option<String> {
    let seen = endpoint(gateway, address);
    let history = seen["probe"]["history"].as_array();
    let last = history.and_then(|all| all.last()).expect("a result");
    last["fault"].as_str().map(str::to_owned)
}

#[test]
fn a_backend_with_the_right_certificate_is_well_and_no_other() {
    let certificates = Certificates::new();
    certificates.put("stranger.pem", &Authority::new("Stranger").pem());
    let inner = inner(&certificates);
    let address = inner.listener("secure");

    let right = "ca_file = \"{certificates}/ca.pem\"";
    let gateway = outer(address, right, &certificates);
    wait_health(&gateway, address, "healthy");
    assert_eq!(last_fault(&gateway, address), None);
    assert_eq!(gateway.get("a", "/").text(), "served");

    let wrong_name = "ca_file = \"{certificates}/ca.pem\", server_name = \"127.0.0.2\"";
    let untrusted = "ca_file = \"{certificates}/stranger.pem\"";
    for tls in [wrong_name, untrusted] {
        let gateway = outer(address, tls, &certificates);
        wait_health(&gateway, address, "unhealthy");
        let fault = last_fault(&gateway, address);
        assert_eq!(fault.as_deref(), Some("tls"), "{tls}");
        gateway.wait_stderr("endpoint unhealthy");
    }
}

#[test]
fn a_backend_whose_certificate_is_changed_is_found_out_and_forgiven() {
    let certificates = Certificates::new();
    let inner = inner(&certificates);
    let address = inner.listener("secure");
    let gateway = outer(
        address,
        "ca_file = \"{certificates}/ca.pem\"",
        &certificates,
    );
    wait_health(&gateway, address, "healthy");

    let stranger = Authority::new("Stranger").issue(&["inner.test", "127.0.0.1"]);
    certificates.put_pair("inner", &stranger);
    wait_health(&gateway, address, "unhealthy");
    assert_eq!(last_fault(&gateway, address).as_deref(), Some("tls"));
    certificates.issue("inner", &["inner.test", "127.0.0.1"]);
    wait_health(&gateway, address, "healthy");
}

#[test]
fn a_backend_that_speaks_no_tls_is_ill() {
    let certificates = Certificates::new();
    let backend = Backend::start(Echo);
    let address = backend.address();
    let gateway = outer(
        address,
        "ca_file = \"{certificates}/ca.pem\"",
        &certificates,
    );
    wait_health(&gateway, address, "unhealthy");
    // It takes what is no request for one, answers that, and closes.
    let fault = last_fault(&gateway, address);
    assert_eq!(fault.as_deref(), Some("tls"));
}

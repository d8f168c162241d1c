//! Stories with clients that others wrote.

mod chromium;
mod curl;
mod http2;
mod scanners;
mod streams;

use foregate_testkit::{Backend, Gateway};
use foregate_tests::secure::Certificates;

/// A gateway that is reached in cleartext and over TLS, where it shows one certificate to everybody.
fn both_listeners(certificates: &Certificates, backend: &Backend) -> Gateway {
    certificates.issue("client", &["client.example"]);
    both_listeners_showing(certificates, backend)
}

/// The same with what `client.pem` is by now.
fn both_listeners_showing(certificates: &Certificates, backend: &Backend) -> Gateway {
    Gateway::new(
        r#"
        [listeners.public]
        address = "127.0.0.1:0"
        [listeners.secure]
        address = "127.0.0.1:0"
        tls = true
        [tls]
        default_certificate = "client"
        [certificates.client]
        certificate = "{certificates}/client.pem"
        key = "{certificates}/client.key"
        [sites."*"]
        https_redirect = "off"
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("certificates", certificates.directory())
    .fill("backend", backend.address())
    .start()
}

//! Stories of gRPC: grpcio as client and as server, and gRPC-Web in front of it.

mod browser;
mod calls;
mod failures;
mod web;

use foregate_testkit::{Gateway, GatewayConfig};
use foregate_tests::foreign::Program;
use foregate_tests::secure::Certificates;

/// A server with grpcio, and where it listens.
struct Server {
    _program: Program,
    address: String,
}

impl Server {
    fn start() -> Server {
        Server::started(&[])
    }

    /// One that speaks TLS with the certificate of this stem.
    fn secure(certificates: &Certificates, stem: &str) -> Server {
        let path = |kind| certificates.path(&format!("{stem}.{kind}"));
        Server::started(&[&path("pem"), &path("key")])
    }

    fn started(arguments: &[&str]) -> Server {
        let mut program = Program::python("grpc/server.py", arguments);
        let address = format!("127.0.0.1:{}", program.line("port "));
        Server {
            _program: program,
            address,
        }
    }
}

const CONFIG: &str = r#"
[listeners.public]
address = "127.0.0.1:0"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
[certificates.grpc]
certificate = "{certificates}/grpc.pem"
key = "{certificates}/grpc.key"
[sites."*"]
https_redirect = "off"
{site}
upstream = "app"
[sites."grpc.example"]
https_redirect = "off"
{site}
upstream = "app"
[upstreams.app]
servers = ["{backend}"]
protocol = "{protocol}"
{upstream}
"#;

/// A gateway before a gRPC server.
fn configured(certificates: &Certificates, backend: &str, upstream: &str) -> GatewayConfig {
    configured_by("h2", certificates, backend, upstream)
}

/// One that speaks this protocol with it.
fn configured_by(
    protocol: &str,
    certificates: &Certificates,
    backend: &str,
    upstream: &str,
) -> GatewayConfig {
    certificates.issue("grpc", &["grpc.example"]);
    Gateway::new(CONFIG)
        .fill("certificates", certificates.directory())
        .fill("backend", backend)
        .fill("upstream", upstream)
        .fill("protocol", protocol)
        .fill("site", "")
}

/// Plays a story of `client.py`, in cleartext.
fn play(gateway: &Gateway, story: &str) -> String {
    let address = gateway.address().to_string();
    foregate_tests::foreign::run_python("grpc/client.py", &[story, &address])
}

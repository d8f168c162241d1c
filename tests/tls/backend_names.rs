//! By which name backends are asked for, and whom they must be certified by where nobody is named: the system's roots.

use foregate_testkit::{
    Authority, Gateway, GatewayConfig, Http2Backend, Http2Reply, Issued, Refuser,
};
use foregate_tests::assert_outcome;
use foregate_tests::secure::Certificates;

const PROTOCOLS: [&str; 2] = ["h1", "h2"];

fn backend(issued: &Issued) -> Http2Backend {
    Http2Backend::secure(issued, |_| Http2Reply::ok("told"))
}

/// Before servers as they are written, spoken to by TLS.
fn before(servers: &str, protocol: &str, tls: &str) -> GatewayConfig {
    Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = [{servers}]
        protocol = "{protocol}"
        host = "upstream"
        tls = {tls}
        "#,
    )
    .fill("servers", servers)
    .fill("protocol", protocol)
    .fill("tls", tls)
}

/// Trusts the story's authority, and asks for a name if there is one.
fn trusting(certificates: &Certificates, server_name: Option<&str>) -> String {
    let name = server_name.map(|name| format!(", server_name = \"{name}\""));
    let ca = certificates.path("ca.pem");
    format!("{{ ca_file = \"{ca}\"{} }}", name.unwrap_or_default())
}

/// An address is no name that could be asked for (RFC 6066 section 3), but the certificate has to be for it.
#[test]
fn a_backend_is_asked_for_by_its_name_or_the_operators() {
    for (server, server_name, certified, asked) in [
        ("localhost", None, "localhost", Some("localhost")),
        ("127.0.0.1", None, "127.0.0.1", None),
        (
            "127.0.0.1",
            Some("app.internal"),
            "app.internal",
            Some("app.internal"),
        ),
        (
            "localhost",
            Some("app.internal"),
            "app.internal",
            Some("app.internal"),
        ),
        ("localhost", Some("127.0.0.1"), "127.0.0.1", None),
    ] {
        let certificates = Certificates::new();
        let backend = backend(&certificates.issue("backend", &[certified]));
        let authority = format!("{server}:{}", backend.address().port());
        for protocol in PROTOCOLS {
            let tls = trusting(&certificates, server_name);
            let gateway = before(&format!("\"{authority}\""), protocol, &tls).start();
            let answer = gateway.get("a", "/");
            assert_eq!((answer.status, answer.text().as_str()), (200, "told"));
            assert_outcome(&gateway, 200, "proxied");
        }
        let asked = asked.map(str::to_owned);
        assert_eq!(backend.server_names(), [asked.clone(), asked]);
        // The name of the handshake is none of the request's business.
        let [by_http1, by_http2] = &backend.requests()[..] else {
            panic!("{:?}", backend.requests());
        };
        assert!(by_http1.http1 && !by_http2.http1);
        assert_eq!(by_http1.field("host"), Some(&*authority));
        assert_eq!(by_http2.authority, authority);
    }
}

/// It is verified by its name all the same.
#[test]
fn a_name_that_is_not_to_be_sent_is_not_and_still_has_to_be_certified() {
    for (certified, outcome) in [
        ("app.internal", (200, "proxied")),
        ("localhost", (502, "upstream-wrong-name")),
    ] {
        let certificates = Certificates::new();
        let backend = backend(&certificates.issue("backend", &[certified]));
        let server = format!("\"localhost:{}\"", backend.address().port());
        let tls = trusting(&certificates, Some("app.internal"));
        let tls = tls.replace(" }", ", send_sni = false }");
        for protocol in PROTOCOLS {
            let gateway = before(&server, protocol, &tls).start();
            assert_eq!(gateway.get("a", "/").status, outcome.0, "{certified}");
            assert_outcome(&gateway, outcome.0, outcome.1);
        }
        // A handshake that the gateway breaks off comes to nothing for the backend.
        let names: &[Option<String>] = if outcome.0 == 200 { &[None, None] } else { &[] };
        assert_eq!(backend.server_names(), names);
    }
}

#[test]
fn a_backend_that_is_certified_for_less_than_it_is_asked_for_gets_no_request() {
    for (server, server_name, certified) in [
        ("localhost", None, "127.0.0.1"),
        ("127.0.0.1", None, "localhost"),
        ("localhost", Some("app.internal"), "localhost"),
    ] {
        let certificates = Certificates::new();
        let backend = backend(&certificates.issue("backend", &[certified]));
        let server = format!("\"{server}:{}\"", backend.address().port());
        for protocol in PROTOCOLS {
            let tls = trusting(&certificates, server_name);
            let gateway = before(&server, protocol, &tls).start();
            assert_eq!(gateway.get("a", "/").status, 502, "{certified}");
            assert_outcome(&gateway, 502, "upstream-wrong-name");
        }
        assert_eq!((backend.connections(), backend.requests().len()), (2, 0));
    }
}

/// The first one is not there; the second is asked for by its own name, as the handshake has it and as the request has it.
#[test]
fn a_backend_that_is_asked_in_place_of_another_is_asked_for_by_its_own_name() {
    let (refuser, certificates) = (Refuser::start(), Certificates::new());
    let backend = backend(&certificates.issue("backend", &["localhost"]));
    let authority = format!("localhost:{}", backend.address().port());
    let servers = format!(
        "\"{}\", {{ address = \"{authority}\", backup = true }}",
        refuser.address()
    );
    for protocol in PROTOCOLS {
        let gateway = before(&servers, protocol, &trusting(&certificates, None)).start();
        assert_eq!(gateway.get("a", "/").status, 200);
        let line = gateway.only_log_line();
        assert_eq!(
            (line.reason().as_str(), line.number("tries")),
            ("proxied", 2.0)
        );
        assert_eq!(line.text("endpoint"), authority);
    }
    let localhost = Some("localhost".to_owned());
    assert_eq!(backend.server_names(), [localhost.clone(), localhost]);
    let requests = backend.requests();
    assert_eq!(requests[0].field("host"), Some(&*authority));
    assert_eq!(requests[1].authority, authority);
}

/// The system's roots are what the environment says, as for programs with OpenSSL.
#[test]
fn who_names_no_authority_trusts_those_of_the_system() {
    let certificates = Certificates::new();
    certificates.put("stranger.pem", &Authority::new("Stranger").pem());
    // A folder of roots has them under a hash of their names.
    certificates.put("roots/0a1b2c3d.0", &certificates.authority.pem());
    let backend = backend(&certificates.issue("backend", &["localhost"]));
    let server = format!("\"localhost:{}\"", backend.address().port());
    for (variable, path, status, reason) in [
        ("SSL_CERT_FILE", "ca.pem", 200, "proxied"),
        ("SSL_CERT_DIR", "roots", 200, "proxied"),
        ("SSL_CERT_FILE", "stranger.pem", 502, "upstream-untrusted"),
    ] {
        for protocol in PROTOCOLS {
            let asked = backend.requests().len();
            let gateway = before(&server, protocol, "true")
                .env(variable, &certificates.path(path))
                .start();
            assert_eq!(gateway.get("a", "/").status, status, "{variable} {path}");
            assert_outcome(&gateway, status, reason);
            let asked = backend.requests().len() - asked;
            assert_eq!(asked, usize::from(status == 200));
        }
    }
}

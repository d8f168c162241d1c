//! Certificates that change while connections come in.

use crate::handshakes::peers::{Manner, Server, openssl, plan, served, shared};
use foregate_testkit::{Authority, Issued};
use foregate_tls::{AcceptorPlan, NamePlan, Served, certificate};

fn shows(server: &Server, name: &str, issued: &Issued) -> bool {
    let seen = openssl(server, &["-servername", name], "Q\n");
    let body = |pem: &str| pem.lines().nth(3).unwrap().to_owned();
    server.facts();
    let _ = server.ended();
    seen.contains(&body(&issued.certificate_pem))
}

#[test]
fn a_new_certificate_is_shown_from_the_next_handshake_on() {
    let authority = Authority::new("Root");
    let (old, new) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost"]),
    );
    let shared = shared(vec![served("a", &old)]);
    let server = Server::start(&plan(), shared.clone(), Manner::Echo);
    assert!(shows(&server, "localhost", &old));
    shared.store.put(served("a", &new));
    assert!(shows(&server, "localhost", &new));
}

#[test]
fn a_site_can_be_narrowed_to_its_certificates() {
    let authority = Authority::new("Root");
    let (wild, exact) = (
        authority.issue(&["*.a.test"]),
        authority.issue(&["www.a.test"]),
    );
    let shared = shared(vec![served("wild", &wild), served("exact", &exact)]);
    let server = Server::start(&plan(), shared.clone(), Manner::Echo);
    assert!(shows(&server, "www.a.test", &exact));
    let narrowed = AcceptorPlan {
        names: vec![NamePlan {
            name: "www.a.test".to_owned(),
            certificates: Some(vec!["wild".to_owned()]),
            client: None,
        }],
        ..plan()
    };
    let server = Server::start(&narrowed, shared, Manner::Echo);
    assert!(shows(&server, "www.a.test", &wild));
}

#[test]
fn a_statement_of_the_issuer_is_stapled() {
    let authority = Authority::new("Root");
    let issued = authority.issue(&["localhost"]);
    let loaded = certificate::load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    let with = Served::new(
        "a",
        loaded.clone().with_ocsp(b"no statement at all".to_vec()),
    );
    let server = Server::start(&plan(), shared(vec![with]), Manner::Echo);
    let seen = openssl(&server, &["-servername", "localhost", "-status"], "Q\n");
    // The client has got it, and can't read it.
    assert!(seen.contains("response parse error"), "{seen}");
    let without = Served::new("a", loaded);
    let server = Server::start(&plan(), shared(vec![without]), Manner::Echo);
    let seen = openssl(&server, &["-servername", "localhost", "-status"], "Q\n");
    assert!(seen.contains("no response sent"), "{seen}");
}

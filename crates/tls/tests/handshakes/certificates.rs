//! Certificates that change while connections come in.

use crate::handshakes::peers::{Manner, Server, openssl, plan, served, shared};
use foregate_testkit::{Authority, Issued, Scratch};
use foregate_tls::certificate::{self, Finding};
use foregate_tls::{AcceptorPlan, NamePlan, Served};
use std::process::Command;

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
    let said = |statement: Option<Vec<u8>>| {
        let loaded = match statement {
            Some(statement) => loaded.clone().with_ocsp(statement),
            None => loaded.clone(),
        };
        let served = Served::new("a", loaded);
        let server = Server::start(&plan(), shared(vec![served]), Manner::Echo);
        openssl(&server, &["-servername", "localhost", "-status"], "Q\n")
    };
    let (day, now) = (86_400, unix_s());
    let seen = said(Some(issued.statement(now - day, now + day)));
    assert!(seen.contains("OCSP Response Status: successful"), "{seen}");
    assert!(seen.contains("Cert Status: good"), "{seen}");
    let other = authority.issue(&["localhost"]);
    for useless in [
        Some(issued.statement(now - 2 * day, now - day)),
        Some(issued.statement(now + day, now + 2 * day)),
        Some(other.statement(now - day, now + day)),
        Some(b"no statement at all".to_vec()),
        Some(Vec::new()),
        None,
    ] {
        let seen = said(useless);
        assert!(seen.contains("no response sent"), "{seen}");
    }
}

fn unix_s() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since_1970.unwrap().as_secs()).unwrap()
}

/// A response of a real authority, signed, with its certificate.
#[test]
fn statements_are_read_as_openssl_writes_them() {
    let scratch = Scratch::new();
    let run = |line: &str| {
        let output = Command::new("sh")
            .args(["-ec", line])
            .current_dir(scratch.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    };
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!(
        "openssl req -x509 {ec} -keyout ca.key -out ca.pem -subj /CN=Root -days 30"
    ));
    run(&format!(
        "openssl req {ec} -keyout leaf.key -out leaf.csr -subj /CN=a.test"
    ));
    run(
        "openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -days 9 -set_serial 0xF00DF00DF00D -out leaf.pem",
    );
    run("printf 'V\\t401231235959Z\\t\\tF00DF00DF00D\\tunknown\\t/CN=a.test\\n' >index.txt");
    let response =
        "openssl ocsp -index index.txt -rsigner ca.pem -rkey ca.key -CA ca.pem -issuer ca.pem";
    run(&format!(
        "{response} -cert leaf.pem -ndays 7 -respout with.der"
    ));
    run(&format!("{response} -cert leaf.pem -respout endless.der"));
    run("sed -i 's/^V\\t401231235959Z\\t/R\\t401231235959Z\\t260101000000Z/' index.txt");
    run(&format!(
        "{response} -cert leaf.pem -ndays 7 -respout revoked.der"
    ));
    let read = |name: &str| std::fs::read(scratch.join(name)).unwrap();
    let loaded = certificate::load(&read("leaf.pem"), &read("leaf.key")).unwrap();
    let faults = |name: &str, days: i64| {
        let with = loaded.clone().with_ocsp(read(name));
        let findings = with.judge(unix_s() + days * 86_400, None);
        let about = |finding: &Finding| finding.is_about_statement();
        let texts = findings.into_iter().filter(about);
        texts
            .map(|finding| finding.to_string())
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!(faults("with.der", 0), "");
    assert_eq!(faults("with.der", 6), "");
    assert!(faults("with.der", 8).contains("counts from"));
    assert!(faults("endless.der", 0).contains("nextUpdate"));
    assert!(faults("revoked.der", 0).contains("good"));
}

//! What a scanner finds in the TLS that is offered by default.

use std::process::Command;

use foregate_testkit::{Answer, Backend, Scratch};
use foregate_tests::foreign::Program;
use foregate_tests::secure::Certificates;

use crate::{both_listeners, both_listeners_showing};

#[test]
fn sslscan_finds_nothing_weak() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|_| Answer::ok("hello"));
    let gateway = both_listeners(&certificates, &backend);
    let secure = gateway.listener("secure").to_string();
    let seen = Program::start(Command::new("sslscan").args([
        "--no-colour",
        "--sni-name=client.example",
        &secure,
    ]))
    .finish();
    let has = |line: &str| {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        seen.lines().any(|seen| words(seen) == line)
    };
    for expected in [
        "SSLv2 disabled",
        "SSLv3 disabled",
        "TLSv1.0 disabled",
        "TLSv1.1 disabled",
        "TLSv1.2 enabled",
        "TLSv1.3 enabled",
        "TLSv1.3 not vulnerable to heartbleed",
        "TLSv1.2 not vulnerable to heartbleed",
    ] {
        assert!(has(expected), "{expected}: {seen}");
    }
    let ciphers: Vec<&str> = seen
        .lines()
        .filter(|line| line.starts_with("Accepted") || line.starts_with("Preferred"))
        .collect();
    assert!(!ciphers.is_empty(), "{seen}");
    for cipher in ciphers {
        // Forward secrecy and authenticated encryption, at least 128 bits.
        let good = [
            "TLS_AES_",
            "TLS_CHACHA20_",
            "ECDHE-ECDSA-AES",
            "ECDHE-ECDSA-CHACHA20",
        ];
        assert!(good.iter().any(|name| cipher.contains(name)), "{cipher}");
        assert!(
            cipher.contains("GCM") || cipher.contains("CHACHA20"),
            "{cipher}"
        );
    }
}

#[test]
fn testssl_finds_nothing_of_medium_severity_or_worse() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|_| Answer::ok("hello"));
    let issued = certificates.authority.request(&["client.example"]);
    let issued = issued.days(90).crl("http://crl.example/root.crl").issue();
    certificates.put_pair("client", &issued);
    let gateway = both_listeners_showing(&certificates, &backend);
    let scratch = Scratch::new();
    let report = scratch.join("report.json");
    let url = format!(
        "https://client.example:{}",
        gateway.listener("secure").port()
    );
    let seen = Program::start(
        Command::new("testssl")
            .args(["--quiet", "--color", "0", "--warnings", "batch"])
            .args(["--ip", "127.0.0.1", "--protocols", "--std", "--pfs"])
            .args(["--server-preference", "--server-defaults", "--vulnerable"])
            .args(["--add-ca", &certificates.path("ca.pem"), "--jsonfile"])
            .arg(&report)
            .arg(&url),
    )
    .end();
    let text = std::fs::read_to_string(&report).unwrap_or_default();
    let findings: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {seen}"));
    let findings = findings.as_array().cloned().unwrap_or_default();
    assert!(findings.len() > 50, "the scan is whole: {seen}");
    let bad: Vec<&serde_json::Value> = findings
        .iter()
        .filter(|finding| {
            matches!(
                finding["severity"].as_str(),
                Some("MEDIUM" | "HIGH" | "CRITICAL")
            )
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

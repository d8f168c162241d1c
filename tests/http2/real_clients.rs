//! curl, nghttp and h2load, which `./test.sh` installs.

use foregate_testkit::{Answer, Backend, Echo, Gateway, Random, Scratch, fingerprint};
use std::process::Command;

/// Runs a program to its end and returns what it printed.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("no_proxy", "*")
        .output()
        .unwrap_or_else(|error| panic!("{program} is installed: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{errors}"
    );
    text
}

fn curl(arguments: &[&str]) -> String {
    let usual = [
        "--silent",
        "--show-error",
        "--max-time",
        "10",
        "--http2-prior-knowledge",
    ];
    printed("curl", &[&usual[..], arguments].concat())
}

fn url(gateway: &Gateway, target: &str) -> String {
    format!("http://{}{target}", gateway.address())
}

#[test]
fn curl_asks_uploads_and_downloads() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let version = curl(&[
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version} %{http_code}",
        &url(&gateway, "/"),
    ]);
    assert_eq!(version, "2 200");
    let scratch = Scratch::new();
    let body = Random::seeded(9).bytes(3_000_000);
    let file = scratch
        .write("upload", &body)
        .to_string_lossy()
        .into_owned();
    let seen = curl(&["--upload-file", &file, &url(&gateway, "/up")]);
    assert!(seen.contains(&fingerprint(&body)), "{seen}");
    gateway.assert_no_leaks();
}

#[test]
fn nghttp_asks_for_several_at_once() {
    let backend = Backend::answering(|request| Answer::ok(format!("[{}]", request.target)));
    let gateway = Gateway::before(&[backend.address()]);
    let text = printed(
        "nghttp",
        &[
            "--no-dep",
            &url(&gateway, "/1"),
            &url(&gateway, "/2"),
            &url(&gateway, "/3"),
        ],
    );
    for target in ["[/1]", "[/2]", "[/3]"] {
        assert!(text.contains(target), "{text}");
    }
    gateway.assert_no_leaks();
}

/// Its decoder gives up a block that does not say that its table went through the smallest size (RFC 7541 §4.2).
#[test]
fn nghttp_announces_two_sizes_of_its_table() {
    let backend = Backend::answering(|request| Answer::ok(format!("[{}]", request.target)));
    let gateway = Gateway::before(&[backend.address()]);
    let one = url(&gateway, "/1");
    for sizes in [["0", "4096"], ["100", "8192"], ["8192", "0"]] {
        let [first, last] = sizes;
        let text = printed("nghttp", &["--no-dep", "-c", first, "-c", last, &one]);
        assert!(text.contains("[/1]"), "{sizes:?}: {text}");
    }
    gateway.assert_no_leaks();
}

#[test]
fn h2load_is_served_to_the_last_request() {
    let backend = Backend::answering(|_| Answer::ok(vec![b'x'; 1024]));
    let gateway = Gateway::before(&[backend.address()]);
    let text = printed(
        "h2load",
        &["-n", "2000", "-c", "4", "-m", "32", &url(&gateway, "/")],
    );
    assert!(
        text.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{text}"
    );
    gateway.assert_no_leaks();
}

//! curl, which `./test.sh` installs.

use std::process::{Command, Output};

use foregate_testkit::{Answer, Backend, Echo, Gateway, Random, Scratch, fingerprint};

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--noproxy",
            "*",
        ])
        .args(arguments)
        .output()
        .expect("curl is installed (apt-get install curl)")
}

/// Runs curl, checks that it is content, and returns what it printed.
fn printed(arguments: &[&str]) -> String {
    let output = curl(arguments);
    assert!(
        output.status.success(),
        "curl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn url(gateway: &Gateway, target: &str) -> String {
    format!("http://{}{target}", gateway.address())
}

#[test]
fn a_plain_get_and_a_reused_connection() {
    let backend = Backend::answering(|request| Answer::ok(format!("[{}]", request.target)));
    let gateway = Gateway::before(&[backend.address()]);
    let (first, second) = (url(&gateway, "/1"), url(&gateway, "/2"));
    assert_eq!(printed(&[&first, &second]), "[/1][/2]");
    gateway.assert_no_leaks();
    assert_eq!(
        gateway.metric(
            foregate_tests::metric::CONNECTIONS_ACCEPTED,
            &[("listener", "public")]
        ),
        1.0
    );
}

#[test]
fn http_1_0() {
    let backend = Backend::answering(|_| Answer::status(200).chunks(["for ", "the old"]));
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(printed(&["--http1.0", &url(&gateway, "/")]), "for the old");
}

#[test]
fn an_upload_that_expects_to_be_told_to_go_on() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let scratch = Scratch::new();
    let body = Random::seeded(9).bytes(5_000_000);
    let file = scratch
        .write("upload", &body)
        .to_string_lossy()
        .into_owned();
    for framing in ["Expect: 100-continue", "Transfer-Encoding: chunked"] {
        let seen = printed(&[
            "--upload-file",
            &file,
            "--header",
            framing,
            &url(&gateway, "/up"),
        ]);
        assert!(seen.contains(&fingerprint(&body)), "{framing}: {seen}");
    }
    gateway.assert_no_leaks();
}

#[test]
fn a_download_of_some_size() {
    let body = Random::seeded(10).bytes(20_000_000);
    let sent = body.clone();
    let backend = Backend::answering(move |_| Answer::ok(sent.clone()));
    let gateway = Gateway::before(&[backend.address()]);
    let output = curl(&[&url(&gateway, "/down")]);
    assert!(output.status.success());
    assert_eq!(fingerprint(&output.stdout), fingerprint(&body));
}

#[test]
fn head_prints_the_fields() {
    let backend = Backend::answering(|_| Answer::ok("0123456789"));
    let gateway = Gateway::before(&[backend.address()]);
    let head = printed(&["--head", &url(&gateway, "/")]).to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-length: 10\r\n"),
        "{head}"
    );
}

#[test]
fn an_interrupted_download_is_resumed() {
    let backend = Backend::answering(|request| match request.field("range") {
        Some("bytes=4-") => Answer::status(206)
            .field("Content-Range", "bytes 4-9/10")
            .body("456789"),
        other => panic!("range {other:?}"),
    });
    let gateway = Gateway::before(&[backend.address()]);
    let scratch = Scratch::new();
    let file = scratch.write("part", "0123").to_string_lossy().into_owned();
    printed(&[
        "--continue-at",
        "4",
        "--output",
        &file,
        &url(&gateway, "/file"),
    ]);
    assert_eq!(
        std::fs::read_to_string(&file).ok().as_deref(),
        Some("0123456789")
    );
}

#[test]
fn a_truncated_answer_is_noticed() {
    let backend = Backend::start(foregate_testkit::DiesMidBody);
    let gateway = Gateway::before(&[backend.address()]);
    let output = curl(&[&url(&gateway, "/")]);
    assert!(
        !output.status.success(),
        "curl took a truncated answer for a whole one"
    );
}

#[test]
fn a_websocket_handshake() {
    let backend = Backend::start(foregate_testkit::UpgradeEcho);
    let gateway = Gateway::before(&[backend.address()]);
    let output = curl(&[
        "--include",
        "--max-time",
        "1",
        "--header",
        "Connection: Upgrade",
        "--header",
        "Upgrade: websocket",
        &url(&gateway, "/chat"),
    ]);
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.starts_with("HTTP/1.1 101"), "{seen}");
    gateway.assert_no_leaks();
}

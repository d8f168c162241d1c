//! `foregate proxy`: a proxy without a configuration file.

use std::net::SocketAddr;

use foregate_testkit::{Answer, Backend, Process, RawClient, Scratch, Signal, foregate};
use foregate_tests::secure::curl;

/// The address of the proxy's own listener: the first announced that is not the admin's.
fn announced(stdout: &str) -> SocketAddr {
    stdout
        .lines()
        .filter_map(|line| line.strip_prefix("listening ")?.split_once(' '))
        .find(|(name, _)| *name != "admin")
        .and_then(|(_, address)| address.trim().parse().ok())
        .unwrap_or_else(|| panic!("no listener in {stdout}"))
}

#[test]
fn it_balances_over_its_targets_and_ends_on_term() {
    let one = Backend::answering(|_| Answer::ok("one"));
    let two = Backend::answering(|_| Answer::ok("two"));
    let (first, second) = (one.address().to_string(), two.address().to_string());
    let mut process = Process::spawn(
        &[
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--to",
            &first,
            "--to",
            &second,
        ],
        None,
    );
    let stdout = process.wait_stdout("ready\n");
    let mut client = RawClient::connect(announced(&stdout));
    for _ in 0..10 {
        assert_eq!(
            client
                .exchange("GET / HTTP/1.1\r\nHost: anything.example\r\n\r\n")
                .status,
            200
        );
    }
    assert!(one.requests_total() >= 3 && two.requests_total() >= 3);
    drop(client);
    process.signal(Signal::Term);
    assert_eq!(process.wait_exit().code(), Some(0));
}

#[test]
fn a_bad_target_is_refused() {
    let run = foregate(&["proxy", "--listen", "127.0.0.1:0", "--to", "not an address"]);
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    assert!(run.stderr.contains("not an address"), "{}", run.stderr);
}

#[test]
fn it_speaks_tls_with_a_certificate_of_its_own_making() {
    let backend = Backend::answering(|_| Answer::ok("one"));
    let scratch = Scratch::new();
    let (to, state) = (
        backend.address().to_string(),
        scratch.join("state").display().to_string(),
    );
    let mut process = Process::spawn(
        &[
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--to",
            &to,
            "--tls",
            "--state-dir",
            &state,
        ],
        None,
    );
    let address = announced(&process.wait_stdout("ready\n"));
    for host in ["localhost", "127.0.0.1"] {
        let seen = curl(&["--insecure", &format!("https://{host}:{}/", address.port())]);
        assert_eq!(seen.status(), 200, "{host}: {}", seen.complaint());
    }
    process.signal(Signal::Term);
    assert_eq!(process.wait_exit().code(), Some(0));
}

#[test]
fn where_to_listen_is_told_as_in_a_file() {
    for (written, expected) in [
        ("8080", "\"0.0.0.0:8080\" and \"[::]:8080\""),
        (":8080", "\"0.0.0.0:8080\" and \"[::]:8080\""),
        (
            "localhost:8080",
            "names are not resolved here: \"127.0.0.1:8080\"",
        ),
    ] {
        let run = foregate(&["proxy", "--listen", written, "--to", "127.0.0.1:1"]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
}

//! `foregate demo`: everything embedded, nothing to set up.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foregate_testkit::{Metrics, Process, RawClient, Scratch, Signal, foregate};
use foregate_tests::metric;
use foregate_tests::secure::curl;

/// They look for free ports, and would find the same.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn it_serves_what_it_announces_and_ends_on_interrupt() {
    let _alone = alone();
    let scratch = Scratch::new();
    let state = scratch.join("state").display().to_string();
    let mut process = Process::spawn(&["demo", "--state-dir", &state], None);
    let stdout = process.wait_stdout("http://127.0.0.1:");
    let (_, rest) = stdout
        .split_once("http://127.0.0.1:")
        .expect("just waited for");
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let address: std::net::SocketAddr = format!("127.0.0.1:{port}")
        .parse()
        .unwrap_or_else(|_| panic!("no address in {stdout}"));
    let mut client = RawClient::connect(address);
    let response = client.exchange(format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(response.status, 200, "{}", response.text());
    drop(client);
    let secure = stdout.split("https://").nth(1).expect("an https URL");
    let secure = secure.split(' ').next().unwrap_or_default();
    let seen = curl(&["--insecure", &format!("https://{secure}")]);
    assert_eq!(seen.status(), 200, "{}", seen.complaint());
    process.signal(Signal::Int);
    assert_eq!(process.wait_exit().code(), Some(0));
}

/// Every page that it names, and the line of a second in which somebody asked.
#[test]
fn its_pages_are_what_it_says_and_its_line_counts_them() {
    let _alone = alone();
    let scratch = Scratch::new();
    let state = scratch.join("state").display().to_string();
    let mut process = Process::spawn(&["demo", "--state-dir", &state], None);
    let told = process.wait_stdout("A line per second");
    let urls: Vec<&str> = told
        .split_whitespace()
        .filter(|word| word.starts_with("http://"))
        .collect();
    let ask = |end: &str| {
        let url = urls.iter().find(|url| url.ends_with(end));
        let url = url.unwrap_or_else(|| panic!("no {end} in {told}"));
        curl(&["--max-time", "20", url])
    };
    let begun = Instant::now();
    assert_eq!(ask("/slow").status(), 200);
    assert!(begun.elapsed() >= Duration::from_millis(1_400));
    let line = process.wait_stdout("2xx");
    assert!(line.contains(" req/s"), "{line}");
    for (end, status) in [
        ("/old", 302),
        ("/hello", 200),
        ("/metrics", 200),
        ("/status", 200),
    ] {
        assert_eq!(ask(end).status(), status, "{end}");
    }
    // Half of the tries fail, each in a way of its own; the page of the last one comes through.
    let failing = ask("/fail").status();
    assert!(failing == 200 || (500..600).contains(&failing), "{failing}");
    let download = ask("/download");
    assert_eq!(
        (download.status(), download.body().len()),
        (200, 100_000_000)
    );
    process.signal(Signal::Int);
    assert_eq!(process.wait_exit().code(), Some(0));
}

/// What fails is tried elsewhere, and who gets a failure all the same gets a page that says so; at the end all are counted.
#[test]
fn its_failing_page_shows_retries_and_clean_errors() {
    let _alone = alone();
    let scratch = Scratch::new();
    let state = scratch.join("state").display().to_string();
    // The first port that is looked at is taken, if it was not before.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let mut process = Process::spawn(&["demo", "--state-dir", &state], None);
    let told = process.wait_stdout("A line per second");
    let address = |end: &str| -> SocketAddr {
        let mut urls = told.split_whitespace();
        let url = urls.find_map(|word| word.strip_prefix("http://")?.strip_suffix(end));
        let url = url.unwrap_or_else(|| panic!("no {end} in {told}"));
        url.parse().expect("an address")
    };
    assert!(address("/fail").port() > 8080, "{told}");
    let mut client = RawClient::connect(address("/fail"));
    let mut seen = [0; 3];
    for _ in 0..60 {
        let answer = client.exchange("GET /fail HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = answer.text();
        // A backend's success, a backend's failure, and the gateway's own where two in turn gave no answer.
        let kind = match answer.status {
            200 if text.contains("did not fail") => 0,
            503 if text.contains("failed, and said so") => 1,
            502 if text.starts_with("502 Bad Gateway\nrequest ") => 2,
            _ => panic!("{answer:?}"),
        };
        assert!(!text.contains("127.0.0.1"), "nothing internal: {text}");
        assert_eq!(
            answer.field("x-demo-route"),
            [Some("fail"), Some("fail"), None][kind]
        );
        seen[kind] += 1;
    }
    assert!(seen[0] > 0, "{seen:?}");
    let metrics = RawClient::connect(address("/metrics"))
        .exchange("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let metrics = Metrics::parse(&metrics.text());
    let retries = metrics.sum(metric::ENDPOINT_RETRIES, &[("upstream", "shaky")]);
    assert!(retries > 0.0 && retries <= 60.0, "{retries}, {seen:?}");
    process.signal(Signal::Int);
    let run = process.end();
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout.ends_with("60 requests served\n"),
        "{}",
        run.stdout
    );
}

#[test]
fn it_ends_by_itself_and_takes_no_port_that_is_taken() {
    let _alone = alone();
    let scratch = Scratch::new();
    let state = scratch.join("state").display().to_string();
    let run = foregate(&["demo", "--state-dir", &state, "--seconds", "1"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("requests served"), "{}", run.stdout);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it has one").port().to_string();
    let run = foregate(&["demo", "--state-dir", &state, "--port", &port]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(&port), "{}", run.stderr);
}

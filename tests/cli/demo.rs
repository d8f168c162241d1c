//! `foregate demo`: everything embedded, nothing to set up.

use foregate_testkit::{Process, RawClient, Scratch, Signal};
use foregate_tests::secure::curl;

#[test]
fn it_serves_what_it_announces_and_ends_on_interrupt() {
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

//! A browser: headless Chromium loads a page over HTTP/2 and uses from it what pages use.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use foregate_testkit::{Answer, Backend, Gateway, PATIENCE, Random, Visit};
use foregate_tests::foreign::{Browser, Program};
use foregate_tests::secure::Certificates;

/// What the page does: each thing depends on the one before, and the end of it is told to the backend.
const PAGE: &str = r#"<!doctype html><title>story</title><script>
const tell = (text) => fetch("/report", { method: "POST", body: text });
async function story() {
  const protocol = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  const texts = await Promise.all(Array.from({ length: 30 }, (_, i) => fetch("/text?" + i).then((it) => it.text())));
  const large = await (await fetch("/large")).arrayBuffer();
  const events = await new Promise((done) => {
    const seen = [], source = new EventSource("/events");
    source.onmessage = (event) => {
      seen.push(event.data);
      // The backend sends the second event only when it is told that the first is here.
      if (seen.length === 1) fetch("/seen"); else { source.close(); done(seen); }
    };
  });
  const socket = new WebSocket("wss://" + location.host + "/chat");
  const echoed = await new Promise((done, fail) => {
    socket.onopen = () => socket.send("from the page");
    socket.onmessage = (event) => done(event.data);
    socket.onerror = () => fail("the socket failed");
  });
  const closed = await new Promise((done) => {
    socket.onclose = (event) => done(event.code + " " + event.reason);
    socket.send("close 4003 done");
  });
  return [protocol, texts.join(""), large.byteLength, events.join("+"), echoed, closed].join("|");
}
story().then(tell, (error) => tell("failed: " + error));
</script>"#;

const LARGE_BYTES: usize = 3_000_000;

fn events(visit: &mut Visit, seen: &Mutex<Receiver<()>>) -> Result<(), foregate_testkit::Trouble> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    visit.send(format!("{head}data: one\n\n"))?;
    let seen = seen.lock().expect("nobody panics with it");
    seen.recv_timeout(PATIENCE)
        .expect("the first event has reached the page");
    visit.send("data: two\n\n")
}

#[test]
fn a_page_with_fetches_events_and_a_socket() {
    let (report, reported) = channel();
    let (see, seen) = channel();
    let (report, see, seen) = (
        Mutex::new(report),
        Mutex::new(see),
        Arc::new(Mutex::new(seen)),
    );
    let large = Random::seeded(33).bytes(LARGE_BYTES);
    let backend = Backend::start(move |visit: &mut Visit| {
        while let Some(request) = visit.next_request()? {
            let answer = match request.target.split('?').next().unwrap_or_default() {
                "/" => Answer::ok(PAGE).field("Content-Type", "text/html"),
                "/text" => Answer::ok("t"),
                "/large" => Answer::ok(large.clone()),
                "/events" => return events(visit, &seen),
                "/seen" => {
                    let _ = see.lock().expect("nobody panics with it").send(());
                    Answer::ok("")
                }
                "/report" => {
                    let text = String::from_utf8_lossy(&request.body).into_owned();
                    let _ = report.lock().expect("nobody panics with it").send(text);
                    Answer::ok("")
                }
                _ => Answer::status(404),
            };
            visit.answer(&request, &answer)?;
        }
        Ok(())
    });
    let mut chat = Program::python("websocket/server.py", &[]);
    let certificates = Certificates::new();
    let gateway = gateway(&certificates, &backend, &chat.line("port "));
    let _browser = Browser::open(&format!(
        "https://localhost:{}/",
        gateway.listener("secure").port()
    ));
    let told = reported
        .recv_timeout(6 * PATIENCE)
        .expect("the page tells how it went");
    let texts = "t".repeat(30);
    assert_eq!(
        told,
        format!("h2|{texts}|{LARGE_BYTES}|one+two|from the page|4003 done")
    );
}

fn gateway(certificates: &Certificates, backend: &Backend, chat_port: &str) -> Gateway {
    certificates.issue("local", &["localhost"]);
    Gateway::new(
        r#"
        [listeners.secure]
        address = "127.0.0.1:0"
        tls = true
        [certificates.local]
        certificate = "{certificates}/local.pem"
        key = "{certificates}/local.key"
        [sites.localhost]
        tls = "files"
        [[sites.localhost.routes]]
        path = { exact = "/chat" }
        upstream = "chat"
        [[sites.localhost.routes]]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        [upstreams.chat]
        servers = ["127.0.0.1:{chat}"]
        "#,
    )
    .fill("certificates", certificates.directory())
    .fill("backend", backend.address())
    .fill("chat", chat_port)
    .start()
}

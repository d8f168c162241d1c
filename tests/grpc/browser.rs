//! gRPC-Web from a page in a browser: headless Chromium, over HTTP/2, in both forms.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use foregate_testkit::{Answer, Backend, Gateway, PATIENCE, Refuser};
use foregate_tests::foreign::Browser;
use foregate_tests::metric;
use foregate_tests::secure::Certificates;

use crate::Server;

/// What a library of gRPC-Web does, in a few lines: it reads frames as they come, and the trailers from the last of them.
const PAGE: &str = r#"<!doctype html><title>story</title><script>
const framed = (text) => new Uint8Array([0, 0, 0, 0, text.length, ...new TextEncoder().encode(text)]);
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
async function call(method, text, form, seen) {
  const type = "application/grpc-web" + (form === "text" ? "-text" : "");
  const body = form === "text" ? base64(framed(text)) : framed(text);
  const headers = { "content-type": type, "x-grpc-web": "1" };
  const answer = await fetch("/story.Echo/" + method, { method: "POST", headers, body });
  if (answer.headers.get("grpc-status")) return ["alone " + answer.headers.get("grpc-status")];
  let rest = [], letters = "";
  const told = [answer.headers.get("content-type")], reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return [...told, rest.length + letters.length ? "broken off" : "whole"];
    if (form === "text") {
      letters += new TextDecoder().decode(value);
      const whole = letters.length - letters.length % 4;
      // Each group by itself, since any of them may be padded.
      for (const group of letters.slice(0, whole).match(/..../gs) ?? []) {
        rest.push(...Array.from(atob(group), (letter) => letter.charCodeAt(0)));
      }
      letters = letters.slice(whole);
    } else rest.push(...value);
    while (rest.length >= 5 && rest.length >= 5 + rest[4] + 256 * rest[3]) {
      const [kind, , , high, low, ...behind] = rest, length = low + 256 * high;
      const frame = new TextDecoder().decode(new Uint8Array(behind.slice(0, length)));
      rest = behind.slice(length);
      told.push(kind & 0x80 ? /grpc-status: \d+/.exec(frame)[0] : frame);
      if (seen && !(kind & 0x80)) await seen(frame);
    }
  }
}
async function story() {
  const told = [performance.getEntriesByType("navigation")[0].nextHopProtocol];
  for (const form of ["binary", "text"]) {
    told.push(await call("Unary", "hello", form));
    // The server says the second word only when it is told that the first one is here.
    const tell = (word) => word === "first" ? call("Tell", "", form) : undefined;
    told.push(await call("Told", "", form, tell));
    told.push(await call("CountAndFail", "2", form));
    told.push(await call("Fail", "NOT_FOUND:none", form));
    told.push(await call("Gone", "", form));
  }
  return told.map(String).join("|");
}
const report = (text) => fetch("/report", { method: "POST", body: text });
story().then(report, (error) => report("failed: " + error));
</script>"#;

/// What the page tells of one form.
fn expected(kind: &str) -> String {
    [
        &format!("{kind},hello,grpc-status: 0,whole"),
        &format!("{kind},first,second,grpc-status: 0,whole"),
        // 15 is DATA_LOSS, 5 is NOT_FOUND.
        &format!("{kind},0,1,grpc-status: 15,whole"),
        "alone 5",
        // 14 is UNAVAILABLE, which the gateway says itself.
        "alone 14",
    ]
    .join("|")
}

#[test]
fn a_page_calls_reads_streams_as_they_come_and_finds_the_trailers() {
    let (report, reported) = channel();
    let report = Mutex::new(report);
    let pages = Backend::answering(move |request| {
        if request.target == "/report" {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            let _ = report.lock().expect("nobody panics with it").send(text);
        }
        Answer::ok(PAGE).field("Content-Type", "text/html")
    });
    let (server, refuser) = (Server::start(), Refuser::start());
    let certificates = Certificates::new();
    certificates.issue("local", &["localhost"]);
    let gateway = Gateway::new(
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
        path = "/story.Echo"
        upstream = "calls"
        [[sites.localhost.routes]]
        path = "/story.Echo/Gone"
        upstream = "gone"
        [[sites.localhost.routes]]
        upstream = "pages"
        [upstreams.pages]
        servers = ["{pages}"]
        [upstreams.gone]
        servers = ["{refuser}"]
        protocol = "h2"
        grpc_web = true
        [upstreams.calls]
        servers = ["{server}"]
        protocol = "h2"
        grpc_web = true
        "#,
    )
    .fill("certificates", certificates.directory())
    .fill("pages", pages.address())
    .fill("server", &server.address)
    .fill("refuser", refuser.address())
    .start();
    let port = gateway.listener("secure").port();
    let _browser = Browser::open(&format!("https://localhost:{port}/"));
    let told = reported
        .recv_timeout(6 * PATIENCE)
        .expect("the page tells how it went");
    let forms = ["application/grpc-web", "application/grpc-web-text"];
    let forms = forms.map(expected).join("|");
    assert_eq!(told, format!("h2|{forms}"));
    // Four calls in each form, and the one that is told of the first word.
    let calls = [("route", "route-1"), ("class", "2xx")];
    gateway.wait_metric(metric::REQUESTS, &calls, 10.0);
    gateway.wait_metric(metric::OUTCOMES, &[("reason", "connect-failed")], 2.0);
    let outcomes = gateway.scrape();
    let proxied = outcomes.sum(metric::OUTCOMES, &[("reason", "proxied")]);
    assert_eq!(outcomes.sum(metric::OUTCOMES, &[]), proxied + 2.0);
}

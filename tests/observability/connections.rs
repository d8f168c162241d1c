//! The connections of clients, shown and ended over the admin API.

use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use foregate_testkit::http2::code::NO_ERROR;
use foregate_testkit::{
    Answer, Backend, BlackHole, Connection, Gateway, Http2Client, RawClient, Signal, UpgradeEcho,
    eventually, foregate,
};
use foregate_tests::secure::Certificates;
use serde_json::Value;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HELD: &str = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n";
const UPGRADE: &str = concat!(
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
);

const TEXT: &str = r#"
[listeners.public]
address = "127.0.0.1:0"
[listeners.raw]
address = "127.0.0.1:0"
mode = "tcp"
upstream = "echo"
[sites."*"]
[[sites."*".routes]]
name = "chat"
path = "/chat"
upstream = "echo"
[[sites."*".routes]]
name = "app"
path = "/"
upstream = "app"
[upstreams.app]
servers = ["{app}"]
[upstreams.echo]
servers = ["{echo}"]
"#;

struct Story {
    app: Backend,
    echo: Backend,
    gateway: Gateway,
    /// Answers one request for `/held`.
    answers: Sender<()>,
}

impl Story {
    fn begin() -> Story {
        let (answers, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let app = Backend::answering(move |request| {
            if request.target == "/held" {
                let _ = held.lock().expect("no panics").recv();
            }
            Answer::ok("done")
        });
        let echo = Backend::start(UpgradeEcho);
        let gateway = Gateway::new(TEXT)
            .fill("app", app.address())
            .fill("echo", echo.address())
            .start();
        Story {
            app,
            echo,
            gateway,
            answers,
        }
    }

    fn list(&self, query: &str) -> Vec<Value> {
        let target = format!("/connections?{query}");
        let page = self.gateway.admin_send("GET", &target, "").json();
        assert_eq!(page["silent_workers"], 0, "{page}");
        let items = page["items"].as_array().cloned();
        items.unwrap_or_else(|| panic!("no list: {page}"))
    }

    /// The only connection of these, once it is in that state.
    fn only(&self, query: &str, state: &str) -> Value {
        eventually(&format!("the only one of {query} is {state}"), || {
            let mut all = self.list(query);
            (all.len() == 1 && all[0]["state"] == state).then(|| all.remove(0))
        })
    }

    fn close(&self, connection: &Value, query: &str) -> Value {
        let id = connection["id"].as_str().expect("it has an id");
        let target = format!("/connections/{id}{query}");
        let answer = self.gateway.admin_send("DELETE", &target, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    fn raw(&self) -> Connection {
        let stream = TcpStream::connect(self.gateway.listener("raw")).expect("it listens");
        Connection::new(stream)
    }

    /// A connection in the middle of a request.
    fn held(&self) -> RawClient {
        let before = self.app.requests_total();
        let mut client = self.gateway.connect();
        client.send(HELD);
        self.app.wait_requests(before + 1);
        client
    }

    /// An open WebSocket.
    fn chatting(&self) -> RawClient {
        let mut client = self.gateway.connect();
        client.send(UPGRADE);
        assert_eq!(client.try_head(false).expect("an answer").status, 101);
        client
    }
}

#[test]
fn an_idle_connection_is_shown_with_what_it_did() {
    let story = Story::begin();
    let mut client = story.gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.exchange(GET).text(), "done");
    }
    let shown = story.only("listener=public", "waiting");
    assert_eq!(shown["protocol"], "http/1.1", "{shown}");
    assert_eq!(shown["client"], client.local_address().to_string());
    assert_eq!(
        (&shown["requests"], &shown["running"]),
        (&3.into(), &0.into())
    );
    assert_eq!(
        (&shown["tls"], &shown["closing"]),
        (&Value::Null, &Value::Null)
    );
    client.send("GET / HTTP/1.1\r\nHost:");
    story.only("listener=public", "reading-head");
    client.send(" a\r\n\r\n");
    assert_eq!(client.response().text(), "done");
    drop(client);
    eventually("it is gone", || story.list("").is_empty().then_some(()));
}

#[test]
fn a_request_that_runs_is_shown_with_its_route_and_endpoint() {
    let story = Story::begin();
    let mut client = story.held();
    let shown = story.only("state=in-exchange", "in-exchange");
    let exchange = &shown["exchanges"][0];
    assert_eq!(
        (&exchange["site"], &exchange["route"]),
        (&"*".into(), &"app".into())
    );
    assert_eq!(exchange["upstream"], "app");
    assert_eq!(exchange["endpoint"], story.app.address().to_string());
    assert_eq!(
        (&shown["requests"], &shown["running"]),
        (&0.into(), &1.into())
    );
    assert!(story.list("state=waiting").is_empty());
    assert!(story.list("listener=raw").is_empty());
    assert!(story.list("listener=unknown").is_empty());
    story.answers.send(()).expect("it waits");
    assert_eq!(client.response().text(), "done");
}

#[test]
fn streams_are_the_exchanges_of_one_connection() {
    let story = Story::begin();
    let mut client = Http2Client::connect(story.gateway.address());
    assert_eq!(client.get("/").text(), "done");
    let stream = client.request("GET", "/held", &[], true);
    let second = client.request("GET", "/held", &[], true);
    story.app.wait_requests(3);
    let shown = story.only("", "in-exchange");
    assert_eq!(
        (&shown["protocol"], &shown["running"]),
        (&"h2".into(), &2.into())
    );
    assert_eq!(shown["requests"], 1);
    for exchange in shown["exchanges"].as_array().expect("a list") {
        assert_eq!(exchange["endpoint"], story.app.address().to_string());
    }
    let told = story.close(&shown, "");
    assert_eq!(told["closing"], "operator");
    assert_eq!(client.first_goaway().code, NO_ERROR);
    story.only("", "draining");
    for _ in 0..2 {
        story.answers.send(()).expect("it waits");
    }
    assert_eq!(
        client.answer(stream).text(),
        "done",
        "what runs is finished"
    );
    assert_eq!(
        client.answer(second).text(),
        "done",
        "what runs is finished"
    );
    eventually("it is gone", || story.list("").is_empty().then_some(()));
}

#[test]
fn streams_are_cut_off_with_their_connection() {
    let story = Story::begin();
    let mut client = Http2Client::connect(story.gateway.address());
    let stream = client.request("GET", "/held", &[], true);
    story.app.wait_requests(1);
    let shown = story.only("", "in-exchange");
    assert_eq!(story.close(&shown, "?now=true")["closing"], "operator-now");
    assert!(client.try_answer(stream).is_err(), "the connection is gone");
    let line = story.gateway.only_log_line();
    assert_eq!(line.reason(), "closed-by-operator");
    drop(story.answers);
    story.gateway.assert_no_leaks();
}

#[test]
fn tunnels_are_shown_and_end_when_they_are_cut() {
    let story = Story::begin();
    let mut chatting = story.chatting();
    let mut raw = story.raw();
    raw.send("x").expect("it is open");
    let shown = story.only("listener=public", "tunnel");
    assert_eq!(shown["protocol"], "websocket");
    assert_eq!(shown["exchanges"][0]["route"], "chat");
    let passed = story.only("listener=raw", "tunnel");
    assert_eq!(passed["protocol"], "tcp");
    let exchange = &passed["exchanges"][0];
    assert_eq!(
        (&exchange["site"], &exchange["route"]),
        (&"".into(), &"raw".into())
    );
    assert_eq!(exchange["endpoint"], story.echo.address().to_string());
    // A tunnel has no answer to wait for: told to end in order it goes on until its peers end it.
    assert_eq!(story.close(&shown, "")["closing"], "operator");
    chatting.send("still");
    assert_eq!(chatting.connection().take(5), Ok(b"still".to_vec()));
    assert_eq!(story.close(&shown, "?now=true")["closing"], "operator-now");
    chatting.assert_closed();
    story.close(&passed, "?now=true");
    assert_eq!(raw.take_rest().unwrap_or_default(), b"");
    story.echo.wait_connections_open(0);
    let lines = story.gateway.log_lines(2);
    for line in &lines {
        assert_eq!(line.reason(), "closed-by-operator");
    }
    drop(story.answers);
    story.gateway.assert_no_leaks();
}

#[test]
fn an_end_in_order_loses_no_answer() {
    let story = Story::begin();
    let mut idle = story.gateway.connect();
    assert_eq!(idle.exchange(GET).text(), "done");
    let shown = story.only("", "waiting");
    story.close(&shown, "");
    idle.assert_closed();
    let mut busy = story.held();
    let shown = story.only("", "in-exchange");
    story.close(&shown, "");
    assert_eq!(story.only("", "draining")["closing"], "operator");
    story.answers.send(()).expect("it waits");
    let answer = busy.response();
    assert!(answer.says_close(), "{answer:?}");
    assert_eq!(answer.text(), "done");
    busy.assert_closed();
    let told = story
        .gateway
        .wait_stderr("a connection is closed by an operator");
    assert!(told.contains("closed-by-operator"), "{told}");
}

#[test]
fn one_that_never_asked_for_anything_waits_and_is_closed_at_once() {
    let story = Story::begin();
    let mut silent = story.gateway.connect();
    let shown = story.only("", "waiting");
    assert_eq!(shown["requests"], 0, "{shown}");
    let began = Instant::now();
    story.close(&shown, "");
    silent.assert_closed();
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_request_that_is_cut_off_is_logged_with_its_reason() {
    let story = Story::begin();
    let mut busy = story.held();
    // One letter may be the beginning of HTTP/2 as well.
    for begun in ["P", "GET / HTTP/1.1\r\nHost:"] {
        let mut trickling = story.gateway.connect();
        trickling.send(begun);
        let reading = story.only("state=reading-head", "reading-head");
        story.close(&reading, "?now=true");
        trickling.assert_closed();
    }
    let shown = story.only("", "in-exchange");
    story.close(&shown, "?now=true");
    busy.assert_closed();
    for line in story.gateway.log_lines(3) {
        assert_eq!(line.reason(), "closed-by-operator");
    }
    let id = shown["id"].as_str().expect("it has an id");
    let again = story
        .gateway
        .admin_send("DELETE", &format!("/connections/{id}"), "");
    assert_eq!(
        (again.status, &again.json()["error"]),
        (404, &"not-found".into())
    );
    // Then the backend looks up, and finds nobody.
    drop(story.answers);
    story.app.wait_connections_open(0);
    story.gateway.assert_no_leaks();
}

#[test]
fn handshakes_and_encrypted_connections_are_shown() {
    let certificates = Certificates::new();
    certificates.issue("a", &["a.example"]);
    let gateway = Gateway::new(
        r#"
        [listeners.secure]
        address = "127.0.0.1:0"
        tls = true
        [certificates.a]
        certificate = "{certificates}/a.pem"
        key = "{certificates}/a.key"
        [sites."a.example"]
        tls = "files"
        [[sites."a.example".routes]]
        respond = { status = 200, body = "hello" }
        "#,
    )
    .fill("certificates", certificates.directory())
    .start();
    let list = |state: &str| {
        eventually(&format!("one is {state}"), || {
            let page = gateway.admin_send("GET", &format!("/connections?state={state}"), "");
            let mut all = page.json()["items"].as_array().cloned()?;
            (all.len() == 1).then(|| all.remove(0))
        })
    };
    let address = gateway.listener("secure");
    let mut silent = Connection::new(TcpStream::connect(address).expect("it listens"));
    let shown = list("handshake");
    assert_eq!(
        (&shown["protocol"], &shown["tls"]),
        (&Value::Null, &Value::Null)
    );
    let id = shown["id"].as_str().expect("it has an id");
    // Nobody was promised anything yet: even an end in order is one at once.
    gateway.admin_send("DELETE", &format!("/connections/{id}"), "");
    assert_eq!(silent.take_rest(), Ok(Vec::new()));
    let mut client = certificates.connect(address, "a.example", &["-tls1_3"]);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.read_until("hello");
    let shown = list("waiting");
    let tls = &shown["tls"];
    assert_eq!(
        (&tls["version"], &tls["server_name"]),
        (&"TLSv1.3".into(), &"a.example".into())
    );
    assert!(
        tls["cipher"]
            .as_str()
            .is_some_and(|name| name.starts_with("TLS")),
        "{tls}"
    );
    client.finish();
}

#[test]
fn the_client_is_whom_a_proxy_names() {
    let gateway = Gateway::new(
        r#"
        [forwarding]
        trusted_proxies = ["127.0.0.0/8"]
        [listeners.public]
        address = "127.0.0.1:0"
        proxy_protocol = "accept"
        [sites."*"]
        [[sites."*".routes]]
        respond = { status = 204 }
        "#,
    )
    .start();
    let of = |state: &str| {
        eventually(&format!("one is {state}"), || {
            let page = gateway.admin_send("GET", &format!("/connections?state={state}"), "");
            page.json()["items"].get(0).cloned()
        })
    };
    let mut client = gateway.connect();
    of("proxy-header");
    client.send(format!("PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n{GET}"));
    assert_eq!(client.response().status, 204);
    assert_eq!(of("waiting")["client"], "192.0.2.7:4711");
}

#[test]
fn commands_show_and_end_connections() {
    let story = Story::begin();
    let admin = story.gateway.listener("admin").to_string();
    let run = |arguments: &[&str]| {
        let mut all = vec!["connections", "--admin", &admin];
        all.extend(arguments);
        foregate(&all)
    };
    let mut busy = story.held();
    let shown = story.only("", "in-exchange");
    let id = shown["id"].as_str().expect("it has an id");
    let table = run(&["--listener", "public", "--state", "in-exchange"]).stdout;
    let line = table.lines().nth(1).unwrap_or_default();
    for part in [id, "public", "http/1.1", "in-exchange", "* app"] {
        assert!(line.contains(part), "no {part} in {table}");
    }
    let mut close = vec!["connections", "close", "--admin", &admin, id];
    assert_eq!(foregate(&close).code, Some(0));
    story.only("", "draining");
    close.push("--now");
    assert_eq!(foregate(&close).code, Some(0));
    busy.assert_closed();
    let gone = foregate(&close);
    assert_eq!(gone.code, Some(1), "{}", gone.stderr);
    assert!(
        gone.stderr.contains("there is no connection"),
        "{}",
        gone.stderr
    );
    assert_eq!(run(&["--state", "asleep"]).code, Some(2));
    drop(story.answers);
}

#[test]
fn a_gateway_that_drains_still_shows_what_it_waits_for() {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::new(
        "drain_timeout = \"30s\"\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{backend}\"]\n",
    )
    .fill("backend", backend.address())
    .start();
    let mut client = gateway.connect();
    client.send(GET);
    backend.wait_requests(1);
    // Another one keeps the process there until all is answered.
    let mut other = gateway.connect();
    other.send(GET);
    backend.wait_requests(2);
    gateway.signal(Signal::Term);
    let shown = eventually("it drains", || {
        let page = gateway.admin_send("GET", "/connections?state=draining", "");
        page.json()["items"].get(0).cloned()
    });
    assert_eq!(shown["closing"], "listener");
    let id = shown["id"].as_str().expect("it has an id");
    let of_client = shown["client"] == client.local_address().to_string();
    gateway.admin_send("DELETE", &format!("/connections/{id}?now=true"), "");
    let mut closed = if of_client { client } else { other };
    closed.assert_closed();
}

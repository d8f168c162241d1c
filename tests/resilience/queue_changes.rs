//! The queue while the servers behind it change: who waits goes where the servers are now.

use crate::queue::{asking, held, wait_queued};
use foregate_testkit::{
    Answer, Backend, Gateway, Http2Backend, Http2Reply, RawClient, Visit, eventually,
};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::channel;

const ONE_ROUTE: &str = r#"
    workers = 2
    [client]
    half_close_timeout = "50ms"
    [access_log]
    to = "{log}"
    format = "{path} {endpoint} {reason}"
    [sites."*"]
    upstream = "app"
    [upstreams.app]
    servers = [{servers}]
    ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
    {more}
"#;

/// A limit, and more time in the queue than any story has patience.
const LIMITED: &str = "requests_max = 1\nqueue = { time_max = \"60s\" }";

fn one_worker() -> String {
    ONE_ROUTE.replace("workers = 2", "workers = 1")
}

fn quoted(address: SocketAddr) -> String {
    format!("\"{address}\"")
}

fn before(servers: &str, more: &str) -> Gateway {
    Gateway::new(ONE_ROUTE)
        .fill("servers", servers)
        .fill("more", more)
        .start()
}

fn add(gateway: &Gateway, server: &str) {
    let added = gateway.admin_send("POST", "/upstreams/app/endpoints", server);
    assert_eq!(added.status, 201, "{}", added.text());
}

fn reload(gateway: &mut Gateway, text: &str) {
    gateway.rewrite_config(text, &[]);
    let answer = gateway.admin_send("POST", "/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Who adds a server since requests wait expects that these go there, whichever worker has them.
#[test]
fn a_server_that_is_added_takes_those_who_wait() {
    let (old, _go) = held(true);
    let new = Backend::answering(|request| Answer::ok(request.target.clone()));
    let gateway = before(&quoted(old.address()), LIMITED);
    let _first = asking(&gateway, "/first");
    old.wait_requests(1);
    let waiting: Vec<(String, RawClient)> = (0..8_u32)
        .map(|number| {
            let path = format!("/{number}");
            let client = asking(&gateway, &path);
            wait_queued(&gateway, number + 1);
            (path, client)
        })
        .collect();
    add(&gateway, &format!("{{\"address\": \"{}\"}}", new.address()));
    for (path, mut client) in waiting {
        let answer = client.response();
        assert_eq!((answer.status, answer.text()), (200, path));
    }
    // As they came, but for two of two workers that are called at once.
    let mut seen: Vec<String> = (new.requests().iter())
        .map(|one| one.target.to_string())
        .collect();
    seen.sort_unstable();
    let came: Vec<String> = (0..8).map(|number| format!("/{number}")).collect();
    assert_eq!(seen, came);
    assert_eq!(old.requests_total(), 1);
    let to = new.address();
    for line in gateway.raw_log_lines(8) {
        assert!(line.contains(&format!(" {to} proxied")), "{line}");
    }
}

const SUBSETS: &str = r#"
    workers = 2
    [client]
    half_close_timeout = "50ms"
    [access_log]
    to = "{log}"
    {others}
    [[sites."*".routes]]
    path = { prefix = "/one" }
    upstream = "app"
    subset = { version = "one" }
    [[sites."*".routes]]
    path = { prefix = "/two" }
    upstream = "app"
    subset = { version = "two" }
    [upstreams.app]
    servers = [{servers}]
    requests_max = 1
    queue = { time_max = "60s" }
    {more}
"#;

/// Another upstream and another subset, so that none has the number that it had.
const OTHERS: &str = r#"
    [[sites."*".routes]]
    path = { prefix = "/zero" }
    upstream = "app"
    subset = { version = "zero" }
    [[sites."*".routes]]
    path = { prefix = "/aside" }
    upstream = "aaa"
    [upstreams.aaa]
    servers = ["127.0.0.1:9"]
"#;

fn labelled(address: SocketAddr, version: &str) -> String {
    format!("{{ address = \"{address}\", labels = {{ version = \"{version}\" }} }}")
}

/// Another configuration numbers upstreams and subsets anew. Whoever waits goes on waiting for what its route wants, and
/// with the session that it gets there.
#[test]
fn a_reload_takes_those_who_wait_along_each_to_its_own_servers() {
    let ((one, _go), (two, go_two)) = (held(true), held(true));
    let new = Backend::answering(|_| Answer::ok("new"));
    let servers = [
        labelled(one.address(), "one"),
        labelled(two.address(), "two"),
    ];
    let mut gateway = Gateway::new(SUBSETS)
        .fill("servers", servers.join(", "))
        .fill("others", "")
        .fill("more", "sticky = {}")
        .start();
    let _first = asking(&gateway, "/one/first");
    let mut other = asking(&gateway, "/two/first");
    one.wait_requests(1);
    two.wait_requests(1);
    let mut waits_for_one = asking(&gateway, "/one/waits");
    wait_queued(&gateway, 1);
    let mut waits_for_two = asking(&gateway, "/two/waits");
    wait_queued(&gateway, 2);
    let none = SocketAddr::from(([127, 0, 0, 1], 9));
    let added = [labelled(new.address(), "one"), labelled(none, "zero")];
    let more = format!("{}, {}", added.join(", "), servers.join(", "));
    let text = SUBSETS
        .replace("{others}", OTHERS)
        .replace("{servers}", &more);
    reload(&mut gateway, &text);
    let answer = waits_for_one.response();
    assert_eq!((answer.status, answer.text().as_str()), (200, "new"));
    wait_queued(&gateway, 1);
    let cookie = answer.field("set-cookie").expect("a session begins");
    let cookie = cookie.split(';').next().expect("a part");
    let again = gateway.exchange(format!(
        "GET /one HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"
    ));
    assert_eq!(again.text(), "new");
    assert_eq!(again.field("set-cookie"), None, "it is with that server");
    go_two.send(()).expect("the backend waits");
    go_two.send(()).expect("the backend waits");
    assert_eq!(
        (other.response().status, waits_for_two.response().status),
        (200, 200)
    );
    assert_eq!((one.requests_total(), two.requests_total()), (1, 2));
}

/// Without the limit there is nothing to wait for any more.
#[test]
fn a_reload_that_lifts_the_limit_lets_all_go_who_wait() {
    let (backend, go) = held(true);
    let mut gateway = before(&quoted(backend.address()), LIMITED);
    let mut clients = vec![asking(&gateway, "/first")];
    backend.wait_requests(1);
    for number in 1..4_u32 {
        clients.push(asking(&gateway, "/waits"));
        wait_queued(&gateway, number);
    }
    reload(&mut gateway, &ONE_ROUTE.replace("{more}", ""));
    backend.wait_requests(4);
    for _ in 0..4 {
        go.send(()).expect("the backend waits");
    }
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    gateway.assert_no_leaks();
}

/// A request that waited through a change of the servers may be the first that asks one of them. The connection that is
/// opened for it is everybody's, like any other.
#[test]
fn connections_for_those_who_waited_through_a_change_are_kept() {
    let busy = Http2Backend::answering(|_| Http2Reply::Silence);
    let spare = Http2Backend::answering(|_| Http2Reply::ok("spare"));
    let more = format!("protocol = \"h2\"\n{LIMITED}");
    let servers = format!("{}, {}", quoted(busy.address()), quoted(spare.address()));
    let text = one_worker();
    let gateway = Gateway::new(&text)
        .fill("servers", servers)
        .fill("more", more)
        .start();
    let change = |state: &str| {
        let target = format!("/upstreams/app/endpoints/{}", spare.address());
        let body = format!("{{\"state\": \"{state}\"}}");
        assert_eq!(gateway.admin_send("PATCH", &target, &body).status, 200);
    };
    change("draining");
    let _first = asking(&gateway, "/");
    eventually("the other one is asked", || {
        (busy.streams() == 1).then_some(())
    });
    let mut second = asking(&gateway, "/");
    wait_queued(&gateway, 1);
    change("enabled");
    assert_eq!(second.response().text(), "spare");
    assert_eq!(gateway.get("a", "/").text(), "spare");
    assert_eq!((spare.connections(), spare.connections_open()), (1, 1));
}

/// With a bound on connections requests wait at the backend that was chosen for them. They, too, go to one that is added:
/// those that balance better there.
#[test]
fn a_server_that_is_added_takes_those_who_wait_for_connections() {
    let ((old, go_old), (new, go_new)) = (held(true), held(true));
    let text = one_worker();
    let gateway = Gateway::new(&text)
        .fill("servers", quoted(old.address()))
        .fill(
            "more",
            "connections_max = 1\ntimeouts = { connect = \"60s\" }",
        )
        .start();
    let mut first = asking(&gateway, "/first");
    old.wait_requests(1);
    let mut waiting: Vec<RawClient> = (0..5).map(|_| asking(&gateway, "/waits")).collect();
    let in_flight = |server: SocketAddr, count: u32| {
        let at = server.to_string();
        let labels = [("upstream", "app"), ("endpoint", &*at)];
        gateway.wait_metric("foregate_endpoint_in_flight", &labels, f64::from(count));
    };
    in_flight(old.address(), 6);
    add(&gateway, &format!("{{\"address\": \"{}\"}}", new.address()));
    // By the fewest requests that is half of them.
    in_flight(new.address(), 3);
    in_flight(old.address(), 3);
    for _ in 0..3 {
        go_old.send(()).expect("the backend waits");
        go_new.send(()).expect("the backend waits");
    }
    assert_eq!(first.response().status, 200);
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!((old.requests_total(), new.requests_total()), (3, 3));
    assert_eq!(
        (old.connections_accepted(), new.connections_accepted()),
        (1, 1)
    );
    let lines = gateway.raw_log_lines(6);
    let to = |server: SocketAddr| {
        let told = format!(" {server} proxied");
        lines.iter().filter(|line| line.ends_with(&told)).count()
    };
    assert_eq!((to(old.address()), to(new.address())), (3, 3), "{lines:?}");
    drop((first, waiting));
    gateway.assert_no_leaks();
}

/// A request that has its first server since before a reload is tried again elsewhere after it: among servers that may
/// have no more, now, than they have.
struct Late {
    gateway: Gateway,
    late: RawClient,
    early: RawClient,
    _breaking: Backend,
    /// Has its first server break the connection.
    end: std::sync::mpsc::Sender<()>,
    backup: Backend,
    go: std::sync::mpsc::Sender<()>,
}

fn late(more: &str) -> Late {
    let (end, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let breaking = Backend::start(move |visit: &mut Visit| {
        let asked = visit.next_request()?;
        // Once the story is over nobody looks at it.
        let _ = wait.lock().expect("nobody panics with it").recv();
        drop(asked);
        Ok(())
    });
    let (backup, go) = held(true);
    let both = format!(
        "{}, {{ address = \"{}\", backup = true }}",
        quoted(breaking.address()),
        backup.address()
    );
    let text = one_worker();
    let mut gateway = Gateway::new(&text)
        .fill("servers", both)
        .fill("more", "")
        .start();
    let late = asking(&gateway, "/late");
    breaking.wait_requests(1);
    let text = text.replace("{servers}", &quoted(backup.address()));
    reload(&mut gateway, &text.replace("{more}", more));
    let early = asking(&gateway, "/early");
    backup.wait_requests(1);
    Late {
        gateway,
        late,
        early,
        _breaking: breaking,
        end,
        backup,
        go,
    }
}

#[test]
fn who_is_late_opens_no_connection_beyond_the_new_bound() {
    let mut story = late("connections_max = 1");
    story.end.send(()).expect("the backend waits");
    let at = story.backup.address().to_string();
    let backup = [("upstream", "app"), ("endpoint", &*at)];
    story
        .gateway
        .wait_metric("foregate_endpoint_retries_total", &backup, 1.0);
    story.go.send(()).expect("the backend waits");
    story.go.send(()).expect("the backend waits");
    assert_eq!(story.early.response().status, 200);
    assert_eq!(story.late.response().status, 200);
    assert_eq!(
        story.backup.connections_accepted(),
        1,
        "one after the other"
    );
}

#[test]
fn who_is_late_is_no_request_beyond_the_new_bound() {
    for more in ["requests_max = 1", "upstream_requests_max = 1"] {
        let mut story = late(more);
        story.end.send(()).expect("the backend waits");
        assert_eq!(story.late.response().status, 502, "{more}");
        assert_eq!(story.backup.requests_total(), 1, "{more}");
        story.go.send(()).expect("the backend waits");
        assert_eq!(story.early.response().status, 200, "{more}");
    }
}

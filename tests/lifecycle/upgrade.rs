//! USR2 and `foregate upgrade`: another process of the program takes over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use foregate_testkit::{
    Backend, Echo, Gateway, RawClient, Refuser, Signal, Successor, UpgradeEcho, eventually,
    foregate,
};

const PROXYING: &str =
    "workers = 2\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{backend}\"]\n";

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn gateway(backend: &Backend) -> Gateway {
    Gateway::new(PROXYING)
        .fill("backend", backend.address())
        .start()
}

/// Has the process that answers at the admin listener replaced.
fn upgrade(gateway: &Gateway) -> Successor {
    let answer = gateway.admin_send("POST", "/upgrade", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let pid = answer.json()["pid"]
        .as_u64()
        .and_then(|pid| pid.try_into().ok());
    Successor::new(pid.expect("the answer names the new process"))
}

/// Requests on kept connections, one after the other, until `stop`; how many. Each must be answered.
fn load(gateway: &Gateway, stop: &AtomicBool, answered: &AtomicU64) {
    let mut client: Option<RawClient> = None;
    while !stop.load(Ordering::Relaxed) {
        let connection = client.get_or_insert_with(|| gateway.connect());
        let response = connection.exchange(GET);
        assert_eq!(response.status, 200);
        answered.fetch_add(1, Ordering::Relaxed);
        if response.says_close() {
            client = None;
        }
    }
}

/// Ends the load also when a story fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_request_is_lost_while_processes_take_over() {
    let backend = Backend::start(Echo);
    let mut gateway = gateway(&backend);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut processes = Vec::new();
    thread::scope(|scope| {
        let (gateway, stop, answered) = (&gateway, &stop, &answered);
        let _stop = Stop(stop);
        for _ in 0..4 {
            scope.spawn(|| load(gateway, stop, answered));
        }
        for _ in 0..3 {
            let before = answered.load(Ordering::Relaxed);
            processes.push(upgrade(gateway));
            eventually("requests are answered", || {
                (answered.load(Ordering::Relaxed) > before + 200).then_some(())
            });
        }
    });
    assert_eq!(gateway.wait_exit().code(), Some(0), "the first one is done");
    let last = processes.pop().expect("three took over");
    for process in &processes {
        eventually("one that was replaced has ended", || {
            (!process.runs()).then_some(())
        });
    }
    assert!(last.runs());
    assert_eq!(gateway.get("a", "/").status, 200);
    let log = gateway.stderr();
    assert!(log.contains("a new process serves"), "{log}");
    last.signal(Signal::Term);
    eventually("the last one drains", || (!last.runs()).then_some(()));
}

#[test]
fn a_waiting_connection_brings_its_next_request() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    assert!(!client.exchange(GET).says_close());
    let _new = upgrade(&gateway);
    let response = client.exchange(GET);
    assert_eq!(response.status, 200);
    assert!(
        response.says_close(),
        "and its client is told to connect anew"
    );
}

#[test]
fn a_tunnel_stays_where_it_is() {
    let backend = Backend::start(UpgradeEcho);
    let mut gateway = gateway(&backend);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(101));
    let _new = upgrade(&gateway);
    client.send("still there?");
    assert_eq!(client.connection().take(12), Ok(b"still there?".to_vec()));
    assert!(!gateway.has_ended());
    drop(client);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

/// A tunnel that stays on the process that a new one replaces.
fn tunnel(gateway: &Gateway) -> RawClient {
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(101));
    client
}

fn echoes(client: &mut RawClient) -> bool {
    client.send("there?");
    client.connection().take(6) == Ok(b"there?".to_vec())
}

#[test]
fn whoever_drains_for_a_successor_is_told_to_end_twice() {
    let backend = Backend::start(UpgradeEcho);
    let mut gateway = gateway(&backend);
    let mut client = tunnel(&gateway);
    let new = upgrade(&gateway);
    // A service manager tells all processes of a service at once.
    new.signal(Signal::Term);
    gateway.signal(Signal::Term);
    gateway.wait_stderr("patience with what still runs is over");
    assert!(echoes(&mut client), "what runs has its time all the same");
    assert!(!gateway.has_ended());
    gateway.signal(Signal::Term);
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert!(!gateway.stderr().contains("without being told to"));
}

#[test]
fn whoever_drains_for_a_successor_and_is_told_to_end_has_the_drain_timeout() {
    let backend = Backend::start(UpgradeEcho);
    let mut gateway = Gateway::new(&format!("drain_timeout = \"200ms\"\n{PROXYING}"))
        .fill("backend", backend.address())
        .start();
    let mut client = tunnel(&gateway);
    let _new = upgrade(&gateway);
    assert!(echoes(&mut client));
    gateway.signal(Signal::Term);
    gateway.wait_stderr("the drain timeout has passed");
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_successor_that_is_lost_is_told_and_not_hidden() {
    let backend = Backend::start(UpgradeEcho);
    let mut gateway = gateway(&backend);
    let client = tunnel(&gateway);
    let new = upgrade(&gateway);
    new.signal(Signal::Kill);
    gateway.wait_stderr("the process that took over has ended without being told to");
    assert!(!gateway.has_ended(), "what runs has its time");
    drop(client);
    let code = gateway.wait_exit().code();
    assert_eq!(code, Some(1), "whoever watches over it starts another");
}

#[test]
fn a_successor_that_ends_as_it_was_told_is_not_missed() {
    let backend = Backend::start(UpgradeEcho);
    let mut gateway = gateway(&backend);
    let mut client = tunnel(&gateway);
    let first = upgrade(&gateway);
    let second = upgrade(&gateway);
    eventually("the first successor has ended", || {
        (!first.runs()).then_some(())
    });
    second.signal(Signal::Term);
    eventually("the second one has ended", || {
        (!second.runs()).then_some(())
    });
    assert!(echoes(&mut client), "nobody hurries");
    drop(client);
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert!(!gateway.stderr().contains("without being told to"));
}

#[test]
fn what_was_changed_of_endpoints_stays_in_force() {
    let (first, second) = (Backend::start(Echo), Backend::start(Echo));
    let mut gateway = gateway(&first);
    let body = format!("{{\"address\":\"{}\"}}", second.address());
    let added = gateway.admin_send("POST", "/upstreams/app/endpoints", &body);
    assert_eq!(added.status, 201, "{}", added.text());
    let _new = upgrade(&gateway);
    assert_eq!(gateway.wait_exit().code(), Some(0));
    let told = gateway.admin_send("GET", "/upstreams/app", "").json();
    assert_eq!(
        told["endpoints"].as_array().map(Vec::len),
        Some(2),
        "{told}"
    );
    for _ in 0..8 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert!(
        second.requests_total() > 0,
        "the second one takes its share"
    );
}

#[test]
fn what_was_changed_of_endpoints_is_kept_where_the_new_process_is_told() {
    let (first, second) = (Backend::start(Echo), Backend::start(Echo));
    let mut gateway = gateway(&first);
    let body = format!("{{\"address\":\"{}\"}}", second.address());
    let added = gateway.admin_send("POST", "/upstreams/app/endpoints", &body);
    assert_eq!(added.status, 201, "{}", added.text());
    let file = gateway.scratch().join("state.json");
    let keeping = format!("{PROXYING}[admin]\naddress = \"127.0.0.1:0\"\nstate_file = {file:?}\n");
    gateway.rewrite_config(&keeping, &[]);
    let _new = upgrade(&gateway);
    let kept = std::fs::read_to_string(&file).expect("it was written");
    assert!(kept.contains(&second.address().to_string()), "{kept}");
}

/// What `/status` says of the first endpoint.
fn first_endpoint(gateway: &Gateway) -> serde_json::Value {
    let status = gateway.admin_send("GET", "/status", "").json();
    status["endpoints"][0].clone()
}

#[test]
fn who_was_unwell_still_is_until_probes_say_otherwise() {
    let refuser = Refuser::start();
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        probe = { interval = "1h", failing_interval = "1h", rise = 2 }
        "#,
    )
    .fill("backend", refuser.address())
    .start();
    eventually("the first probe has found it unwell", || {
        (first_endpoint(&gateway)["health"] == "unhealthy").then_some(())
    });
    let backend = refuser.revive(Echo);
    let _new = upgrade(&gateway);
    // A backend of which nothing is known would be well with its first good answer.
    gateway.wait_metric("foregate_endpoint_probes_total", &[("result", "good")], 1.0);
    assert_eq!(first_endpoint(&gateway)["health"], "unhealthy");
    assert_eq!(backend.requests_total(), 1);
}

#[test]
fn who_was_left_out_still_is() {
    let (refuser, good) = (Refuser::start(), Backend::start(Echo));
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{refuser}", "{good}"]
        balance = "round-robin"
        ejection = { consecutive_failures = 1, base_time = "5m" }
        "#,
    )
    .fill("refuser", refuser.address())
    .fill("good", good.address())
    .start();
    let left_out_ms = || first_endpoint(&gateway)["ejected_for_ms"].as_u64();
    eventually("the one that refuses is left out", || {
        assert_eq!(gateway.get("a", "/").status, 200);
        left_out_ms()
    });
    let _new = upgrade(&gateway);
    let left_ms = left_out_ms().expect("it is still left out");
    assert!((200_000..300_000).contains(&left_ms), "{left_ms} ms");
    let state = first_endpoint(&gateway);
    assert_eq!(state["ejection_cause"], "consecutive-failures", "{state}");
}

#[test]
fn sessions_stay_with_their_backends() {
    let (one, other) = (Backend::start(Echo), Backend::start(Echo));
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{one}", "{other}"]
        balance = "round-robin"
        sticky = { cookie = "stay" }
        "#,
    )
    .fill("one", one.address())
    .fill("other", other.address())
    .start();
    let first = gateway.get("a", "/");
    let cookie = first.fields.get("set-cookie").expect("a session begins");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let _new = upgrade(&gateway);
    let before = (one.requests_total(), other.requests_total());
    for _ in 0..6 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
        assert_eq!(gateway.exchange(request).status, 200);
    }
    let more = (
        one.requests_total() - before.0,
        other.requests_total() - before.1,
    );
    let expected = if before == (1, 0) { (6, 0) } else { (0, 6) };
    assert_eq!(more, expected, "all go where the session began");
}

#[test]
fn what_does_not_come_up_changes_nothing() {
    let backend = Backend::start(Echo);
    let mut gateway = gateway(&backend);
    let mut client = gateway.connect();
    assert_eq!(client.exchange(GET).status, 200);
    let good = std::fs::read_to_string(gateway.config_path()).expect("the configuration is there");
    std::fs::write(gateway.config_path(), "[sites.\"*\"]\nupstraem = \"app\"\n")
        .expect("the configuration can be broken");
    let answer = gateway.admin_send("POST", "/upgrade", "");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "upgrade-failed");
    let log = gateway.wait_stderr("the upgrade failed, this process goes on");
    assert!(log.contains("upstraem"), "the new process said why: {log}");
    let kept = client.exchange(GET);
    assert_eq!((kept.status, kept.says_close()), (200, false));
    assert_eq!(gateway.get("a", "/").status, 200);
    // And once it is mended, it works.
    std::fs::write(gateway.config_path(), good).expect("the configuration can be mended");
    let new = upgrade(&gateway);
    assert!(client.exchange(GET).says_close());
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert!(new.runs());
}

#[test]
fn the_signal_and_the_command_do_it_too() {
    let backend = Backend::start(Echo);
    let mut gateway = gateway(&backend);
    gateway.signal(Signal::Usr2);
    let log = gateway.wait_stderr("a new process serves, this one drains");
    let first = pid_in(&log).map(Successor::new).expect("the log names it");
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert!(first.runs());
    let admin = gateway.listener("admin").to_string();
    let run = foregate(&["upgrade", "--admin", &admin]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let pid = run
        .stdout
        .split(' ')
        .nth(1)
        .and_then(|pid| pid.parse().ok());
    let second = Successor::new(pid.expect("the command names it"));
    assert!(second.runs());
    eventually("the first one has ended", || (!first.runs()).then_some(()));
    assert_eq!(gateway.get("a", "/").status, 200);
}

fn pid_in(log: &str) -> Option<u32> {
    let (_, behind) = log.split_once("this one drains")?;
    let digits = behind.split_once("pid=")?.1;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

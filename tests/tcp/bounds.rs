//! Connections that are passed on keep to the limits of backends, and pass over those that are unwell.

use std::net::{SocketAddr, TcpStream};

use foregate_testkit::{Backend, Connection, Gateway, Visit, eventually};

/// A backend that says its name and then keeps the connection until the client leaves.
fn greeter(name: &'static str) -> impl Fn(&mut Visit) -> Result<(), foregate_testkit::Trouble> {
    move |visit: &mut Visit| {
        visit.connection.send(name)?;
        visit.connection.take_rest()?;
        Ok(())
    }
}

fn gateway(servers: &[SocketAddr], more: &str) -> Gateway {
    let servers: Vec<String> = servers.iter().map(|one| format!("\"{one}\"")).collect();
    Gateway::new(
        r#"
        workers = 1
        [listeners.public]
        address = "127.0.0.1:0"
        [listeners.raw]
        address = "127.0.0.1:0"
        mode = "tcp"
        upstream = "raw"
        [sites."*"]
        upstream = "raw"
        [upstreams.raw]
        servers = [{servers}]
        balance = "round-robin"
        {more}
        "#,
    )
    .fill("servers", servers.join(", "))
    .fill("more", more)
    .start()
}

fn connect(gateway: &Gateway) -> Connection {
    let stream = TcpStream::connect(gateway.listener("raw")).expect("it listens");
    Connection::new(stream)
}

/// Who takes the connection; the name has one letter.
fn greeted(client: &mut Connection) -> String {
    let name = client.take(1).expect("somebody says who it is");
    String::from_utf8_lossy(&name).into_owned()
}

/// What the admin API says of a backend.
fn endpoint(gateway: &Gateway, address: SocketAddr) -> serde_json::Value {
    let view = gateway.admin_send("GET", "/upstreams/raw", "").json();
    let all = view["endpoints"].as_array().cloned().unwrap_or_default();
    let mut all = all.into_iter();
    let found = all.find(|one| one["endpoint"] == address.to_string());
    found.unwrap_or_else(|| panic!("{address} is not shown: {view}"))
}

#[test]
fn who_is_full_is_passed_over_and_when_all_are_the_connection_ends() {
    let (a, b) = (Backend::start(greeter("a")), Backend::start(greeter("b")));
    let gateway = gateway(&[a.address(), b.address()], "requests_max = 1");
    let (mut first, mut second) = (connect(&gateway), connect(&gateway));
    let mut names = [greeted(&mut first), greeted(&mut second)];
    assert_eq!(endpoint(&gateway, a.address())["in_flight"], 1);
    // A connection does not wait in a line.
    let mut third = connect(&gateway);
    let _ = third.take_rest();
    let line = gateway.only_log_line();
    assert_eq!(
        (line.reason().as_str(), line.number("tries")),
        ("queue-full", 0.0)
    );
    // Whoever leaves makes room, and who comes next has it.
    drop(first);
    gateway.raw_log_lines(2);
    assert_eq!(greeted(&mut connect(&gateway)), names[0]);
    names.sort();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((a.connections_accepted() + b.connections_accepted()), 3);
    drop((second, third));
    gateway.assert_no_leaks();
}

#[test]
fn connections_of_a_worker_are_bounded() {
    let (a, b) = (Backend::start(greeter("a")), Backend::start(greeter("b")));
    let more = "connections_max = 1\nejection = { consecutive_failures = \"off\" }";
    let gateway = gateway(&[a.address(), b.address()], more);
    let (mut first, mut second) = (connect(&gateway), connect(&gateway));
    let mut names = [greeted(&mut first), greeted(&mut second)];
    names.sort();
    assert_eq!(names, ["a", "b"]);
    let mut third = connect(&gateway);
    let _ = third.take_rest();
    let line = gateway.only_log_line();
    assert_eq!(
        (line.reason().as_str(), line.number("tries")),
        ("pending-full", 2.0)
    );
    drop(first);
    eventually("there is room again", || {
        let mut client = connect(&gateway);
        client.take(1).is_ok().then_some(())
    });
    assert!(a.connections_open() <= 1 && b.connections_open() <= 1);
}

#[test]
fn who_is_dead_is_left_out_and_comes_back() {
    let (a, b) = (Backend::start(greeter("a")), Backend::start(greeter("b")));
    let at = b.address();
    let more = "ejection = { consecutive_failures = 1, base_time = \"300ms\" }";
    let gateway = gateway(&[a.address(), at], more);
    let refuser = b.kill();
    // The first that comes to the dead one is passed on to the other, and with it the dead one is left out.
    eventually("somebody finds it dead", || {
        assert_eq!(greeted(&mut connect(&gateway)), "a");
        let ejected = endpoint(&gateway, at)["ejected_for_ms"].as_u64();
        ejected.is_some().then_some(())
    });
    let failures = gateway.metric("foregate_endpoint_failures_total", &[("upstream", "raw")]);
    assert!(failures >= 1.0, "{failures}");
    drop(refuser);
    let _back = Backend::start_at(at, greeter("b"));
    eventually("it is used again", || {
        (greeted(&mut connect(&gateway)) == "b").then_some(())
    });
    assert_eq!(endpoint(&gateway, at)["consecutive_failures"], 0);
}

#[test]
fn when_all_are_left_out_any_is_better_than_none() {
    let (a, b) = (Backend::start(greeter("a")), Backend::start(greeter("b")));
    let addresses = [a.address(), b.address()];
    let more = "ejection = { consecutive_failures = 1, base_time = \"1m\", share_max = 100 }\n\
                panic_threshold = 50";
    let gateway = gateway(&addresses, more);
    let (one, other) = (a.kill(), b.kill());
    eventually("both are left out", || {
        let _ = connect(&gateway).take_rest();
        let is_out = |at: &SocketAddr| endpoint(&gateway, *at)["ejected_for_ms"].is_u64();
        addresses.iter().all(is_out).then_some(())
    });
    assert_eq!(
        gateway.admin_send("GET", "/upstreams/raw", "").json()["panic"],
        true
    );
    // They are asked all the same, so whoever is back is found.
    let _ = connect(&gateway).take_rest();
    drop((one, other));
    let _back = Backend::start_at(addresses[0], greeter("a"));
    eventually("the one that is back is asked", || {
        connect(&gateway).take(1).is_ok().then_some(())
    });
    let line = gateway.raw_log_lines(1);
    assert!(line[0].contains("connect-failed"), "{line:?}");
}

//! A file, or a folder of files.

use foregate_testkit::{Gateway, eventually};

use crate::{check, finding, named, shown, wait_for};

const FILE: &str = "file = \"backends.txt\"";

#[test]
fn a_file_is_in_force_when_it_is_written() {
    let (a, b) = (named("a"), named("b"));
    let gateway = finding(FILE)
        .file("backends.txt", &format!("# ours\n{}\n", a.address()))
        .start();
    check(&gateway, &["a"]);
    let both = format!(
        "[\"{}\", {{\"address\":\"{}\",\"weight\":3}}]",
        a.address(),
        b.address()
    );
    gateway.scratch().write("backends.txt", both);
    wait_for(&gateway, &["a", "b"]);
    let view = shown(&gateway);
    let weight = |address: std::net::SocketAddr| {
        let all = view["endpoints"].as_array().cloned().unwrap_or_default();
        let one = all
            .into_iter()
            .find(|one| one["endpoint"] == address.to_string());
        one.map(|one| (one["weight"].as_u64(), one["origin"].clone()))
    };
    assert_eq!(
        weight(b.address()),
        Some((Some(3), "file".into())),
        "{view}"
    );
    assert_eq!(
        weight(a.address()),
        Some((Some(1), "file".into())),
        "{view}"
    );
    gateway
        .scratch()
        .write("backends.txt", format!("{}\n", b.address()));
    wait_for(&gateway, &["b"]);
    a.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn a_broken_file_is_told_and_changes_nothing_until_it_is_repaired() {
    let (a, b) = (named("a"), named("b"));
    let gateway = finding(FILE)
        .file("backends.txt", &format!("{}\n", a.address()))
        .start();
    gateway
        .scratch()
        .write("backends.txt", format!("{}\nnonsense\n", b.address()));
    let log = gateway.wait_stderr("endpoints can't be found");
    assert!(log.contains("line 2"), "{log}");
    check(&gateway, &["a"]);
    let trouble = shown(&gateway)["discovery"]["trouble"].clone();
    assert!(
        trouble
            .as_str()
            .is_some_and(|text| text.contains("nonsense")),
        "{trouble}"
    );
    assert!(gateway.metric("foregate_discovery_errors_total", &[("upstream", "app")]) >= 1.0);
    gateway
        .scratch()
        .write("backends.txt", format!("{}\n", b.address()));
    wait_for(&gateway, &["b"]);
    assert_eq!(
        shown(&gateway)["discovery"]["trouble"],
        serde_json::Value::Null
    );
}

#[test]
fn a_file_that_is_not_there_is_no_reason_not_to_start() {
    let a = named("a");
    let gateway = finding(FILE).start();
    check(&gateway, &["503"]);
    gateway
        .scratch()
        .write("backends.txt", a.address().to_string());
    wait_for(&gateway, &["a"]);
    std::fs::remove_file(gateway.scratch().join("backends.txt")).unwrap();
    gateway.wait_stderr("can't be read");
    check(&gateway, &["a"]);
}

#[test]
fn the_files_of_a_folder_are_united() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let gateway = finding("file = \"backends\"")
        .file("backends/one", &a.address().to_string())
        .file("backends/.two.swp", &b.address().to_string())
        .start();
    check(&gateway, &["a"]);
    gateway.scratch().write(
        "backends/two.json",
        format!("[\"{}\",\"{}\"]", b.address(), a.address()),
    );
    wait_for(&gateway, &["a", "b"]);
    gateway
        .scratch()
        .write("backends/three", c.address().to_string());
    std::fs::remove_file(gateway.scratch().join("backends/one")).unwrap();
    std::fs::remove_file(gateway.scratch().join("backends/two.json")).unwrap();
    wait_for(&gateway, &["c"]);
}

#[test]
fn servers_and_operators_stand_beside_what_is_found() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let text = "workers = 1\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{a}\"]\ndiscovery = { file = \"backends.txt\" }\n";
    let gateway = Gateway::new(text)
        .fill("a", a.address())
        .file(
            "backends.txt",
            &format!("{}\n{}\n", a.address(), b.address()),
        )
        .start();
    check(&gateway, &["a", "b"]);
    let add = format!("{{\"address\":\"{}\"}}", c.address());
    assert_eq!(
        gateway
            .admin_send("POST", "/upstreams/app/endpoints", &add)
            .status,
        201
    );
    let drain = format!("/upstreams/app/endpoints/{}", b.address());
    assert_eq!(
        gateway
            .admin_send("PATCH", &drain, r#"{"state":"draining"}"#)
            .status,
        200
    );
    check(&gateway, &["a", "c"]);
    // What is found anew does not forget what was said of it.
    gateway
        .scratch()
        .write("backends.txt", format!("{}\n", b.address()));
    eventually("the file was read again", || {
        (shown(&gateway)["discovery"]["answers"].as_u64() >= Some(2)).then_some(())
    });
    check(&gateway, &["a", "c"]);
}

#[test]
fn more_than_may_be_are_left_out() {
    let a = named("a");
    let mut lines = format!("{}\n", a.address());
    for port in 1..=20 {
        lines.push_str(&format!("127.0.0.9:{port}\n"));
    }
    let gateway = finding(&format!("{FILE}\nendpoints_max = 1"))
        .file("backends.txt", &lines)
        .start();
    check(&gateway, &["a"]);
    gateway.wait_stderr("more endpoints were found than may be");
}

#[test]
fn a_reload_that_says_nothing_else_of_them_keeps_what_was_found_and_its_connections() {
    let a = named("a");
    let mut gateway = Gateway::new(
        "workers = 1\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\ndiscovery = { file = \"backends.txt\" }\n",
    )
    .file("backends.txt", &a.address().to_string())
    .start();
    check(&gateway, &["a"]);
    let text = "drain_timeout = \"9s\"\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\ndiscovery = { file = \"backends.txt\" }\n";
    gateway.rewrite_config(text, &[]);
    gateway.signal(foregate_testkit::Signal::Hup);
    gateway.wait_stderr("configuration reloaded");
    check(&gateway, &["a"]);
    assert_eq!(a.connections_accepted(), 1);
    assert_eq!(shown(&gateway)["discovery"]["answers"], 1);
}

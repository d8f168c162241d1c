//! A file, or a folder of files.

use foregate_testkit::{Backend, Gateway, eventually};

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

/// An endpoint as the admin API shows it.
fn endpoint(gateway: &Gateway, backend: &Backend) -> serde_json::Value {
    let all = shown(gateway)["endpoints"].clone();
    let address = backend.address().to_string();
    let mut all = all.as_array().cloned().unwrap_or_default().into_iter();
    all.find(|one| one["endpoint"] == address)
        .unwrap_or_default()
}

#[test]
fn what_an_endpoint_is_may_change_and_what_is_known_of_it_stays() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Gateway::new(
        "workers = 1\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\n\
         balance = \"round-robin\"\nejection = { consecutive_failures = 1, base_time = \"1m\" }\n[upstreams.app.discovery]\nfile = \"backends.txt\"\n",
    )
    .file(
        "backends.txt",
        &format!("{}\n{} 2\n", a.address(), b.address()),
    )
    .start();
    check(&gateway, &["a", "b"]);
    let at = b.address();
    let refuser = b.kill();
    wait_for(&gateway, &["a"]);
    let shown_b = |field: &str| {
        let all = shown(&gateway)["endpoints"].clone();
        let all = all.as_array().cloned().unwrap_or_default();
        let one = all
            .into_iter()
            .find(|one| one["endpoint"] == at.to_string());
        one.map(|one| one[field].clone()).unwrap_or_default()
    };
    let before = shown_b("ejected_for_ms").as_u64();
    assert!(before.is_some_and(|ms| ms > 0), "{before:?}");
    let connections = a.connections_accepted();
    gateway.scratch().write(
        "backends.txt",
        format!(
            "{} 5 zone=east label.version=v2\n{at} weight=7 zone=west\n",
            a.address()
        ),
    );
    eventually("what changed is in force", || {
        (endpoint(&gateway, &a)["zone"] == "east" && shown_b("weight") == 7).then_some(())
    });
    // The one is still left out, and nobody had to connect to the other anew.
    let after = shown_b("ejected_for_ms").as_u64();
    assert!(
        after <= before && after.is_some_and(|ms| ms > 0),
        "{after:?}"
    );
    check(&gateway, &["a"]);
    assert_eq!(a.connections_accepted(), connections);
    let view = endpoint(&gateway, &a);
    assert_eq!(
        (&view["weight"], &view["labels"]["version"]),
        (&5.into(), &"v2".into())
    );
    assert_eq!(view["slow_start_percent"], serde_json::Value::Null);
    drop(refuser);
}

#[test]
fn zones_backups_and_labels_count_as_those_of_servers() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Gateway::new(
        "zone = \"east\"\nworkers = 2\n[sites.\"*\"]\n\
         [[sites.\"*\".routes]]\npath = \"/\"\nupstream = \"app\"\n\
         [[sites.\"*\".routes]]\npath = \"/new\"\nupstream = \"app\"\nsubset = { version = \"v2\" }\n\
         [upstreams.app]\nprimary_fit_min = 50\n[upstreams.app.discovery]\nfile = \"backends.txt\"\n",
    )
    .file(
        "backends.txt",
        &format!("{} zone=east\n{} zone=west\n", a.address(), b.address()),
    )
    .start();
    check(&gateway, &["a"]);
    assert_eq!(
        gateway.get("a", "/new").status,
        503,
        "nobody has the label yet"
    );
    let write = |first: &str, second: &str| {
        let text = format!("{} {first}\n{} {second}\n", a.address(), b.address());
        gateway.scratch().write("backends.txt", text);
    };
    write("zone=west", "zone=east");
    wait_for(&gateway, &["b"]);
    write("label.version=v2", "backup");
    wait_for(&gateway, &["a"]);
    assert_eq!(gateway.get("a", "/new").text(), "a");
    write("backup", "label.version=v2");
    wait_for(&gateway, &["b"]);
    assert_eq!(gateway.get("a", "/new").text(), "b");
}

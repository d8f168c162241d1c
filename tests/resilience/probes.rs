//! Backends that say how they are when they are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use foregate_testkit::{
    Answer, Backend, BlackHole, Gateway, Http2Backend, Http2Reply, Refuser, Request, Signal, Visit,
    eventually, holds_for,
};

use crate::endpoint;

/// Two backends, the second of them probed into view: what is written behind `probe`.
fn probing(servers: &[std::net::SocketAddr], probe: &str) -> String {
    let servers: Vec<String> = servers.iter().map(|at| format!("\"{at}\"")).collect();
    format!(
        r#"
        workers = 2
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = [{}]
        [upstreams.app.ejection]
        consecutive_failures = "off"
        [upstreams.app.probe]
        interval = "60ms"
        failing_interval = "20ms"
        timeout = "300ms"
        {probe}
        "#,
        servers.join(", ")
    )
}

fn wait_health(gateway: &Gateway, address: std::net::SocketAddr, health: &str) {
    eventually(&format!("{address} is {health}"), || {
        (endpoint(gateway, address)["health"] == health).then_some(())
    });
}

/// A backend that answers probes as `well` says, and requests always.
fn moody(well: &Arc<AtomicBool>) -> Backend {
    let well = Arc::clone(well);
    Backend::answering(move |request: &Request| {
        match (request.target.as_str(), well.load(Ordering::SeqCst)) {
            ("/healthz?full=1", true) => Answer::ok("state: ready"),
            ("/healthz?full=1", false) => Answer::status(500).body("state: ill"),
            _ => Answer::ok("served"),
        }
    })
}

fn served(backend: &Backend) -> usize {
    let requests = backend.requests();
    requests.iter().filter(|one| one.target == "/").count()
}

#[test]
fn probes_end_the_first_ejection_and_none_that_follows_it() {
    // Well to probes, and never to requests.
    let ill = Backend::start(|visit: &mut Visit| {
        while let Some(request) = visit.next_request()? {
            if request.target == "/" {
                return Ok(());
            }
            visit.answer(&request, &Answer::ok("well"))?;
        }
        Ok(())
    });
    let good = Backend::answering(|_| Answer::ok("served"));
    let text = probing(&[ill.address(), good.address()], "path = \"/healthz\"").replace(
        "consecutive_failures = \"off\"",
        "consecutive_failures = 1\nbase_time = \"1m\"",
    );
    let gateway = Gateway::new(&text).start();
    let ask = || assert_eq!(gateway.get("a", "/").status, 200);
    eventually("probes have brought it back", || {
        ask();
        let back = gateway.stderr().contains("endpoint back before its time");
        back.then_some(())
    });
    eventually("it is left out again, twice as long", || {
        ask();
        let left_ms = endpoint(&gateway, ill.address())["ejected_for_ms"].as_u64();
        left_ms.filter(|&left_ms| left_ms > 60_000)
    });
    let probes = ill.requests_total();
    eventually("it is well to more probes", || {
        (ill.requests_total() > probes + 5).then_some(())
    });
    assert!(endpoint(&gateway, ill.address())["ejected_for_ms"].as_u64() > Some(60_000));
}

#[test]
fn who_says_that_it_is_ill_takes_no_requests_until_it_is_well() {
    let wells: Vec<_> = (0..2).map(|_| Arc::new(AtomicBool::new(true))).collect();
    let backends: Vec<_> = wells.iter().map(moody).collect();
    let addresses: Vec<_> = backends.iter().map(Backend::address).collect();
    let probe = r#"
        path = "/healthz?full=1"
        host = "probe.example"
        headers = { X-Probe = "yes" }
        statuses = [200]
        body = { regex = "^state: (ready|warm)" }
        rise = 2
        fall = 2
    "#;
    let gateway = Gateway::new(&probing(&addresses, probe)).start();
    for address in &addresses {
        wait_health(&gateway, *address, "healthy");
    }
    let asked = backends[0].requests()[0].clone();
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.field("host"), Some("probe.example"));
    assert_eq!(asked.field("x-probe"), Some("yes"));

    wells[0].store(false, Ordering::SeqCst);
    wait_health(&gateway, addresses[0], "unhealthy");
    let before = served(&backends[0]);
    for _ in 0..20 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert_eq!(served(&backends[0]), before, "it is left alone");
    let seen = endpoint(&gateway, addresses[0]);
    let last = seen["probe"]["history"]
        .as_array()
        .and_then(|all| all.last().cloned());
    let last = last.expect("a result");
    assert_eq!(
        (last["fault"].as_str(), last["status"].as_u64()),
        (Some("status"), Some(500))
    );
    let labels: [(&str, &str); 1] = [("endpoint", &addresses[0].to_string())];
    assert_eq!(gateway.metric("foregate_endpoint_healthy", &labels), 0.0);
    assert_eq!(gateway.metric("foregate_endpoint_available", &labels), 0.0);
    assert!(
        gateway.metric(
            "foregate_endpoint_probes_total",
            &[labels[0], ("result", "bad")]
        ) >= 2.0
    );
    gateway.wait_stderr("endpoint unhealthy");

    wells[0].store(true, Ordering::SeqCst);
    wait_health(&gateway, addresses[0], "healthy");
    gateway.wait_stderr("endpoint healthy");
    eventually("it takes requests again", || {
        gateway.get("a", "/");
        (served(&backends[0]) > before).then_some(())
    });
}

#[test]
fn one_process_asks_once_however_many_workers_it_has() {
    let backend = moody(&Arc::new(AtomicBool::new(true)));
    let probe = "path = \"/healthz?full=1\"\n".to_owned();
    let text = probing(&[backend.address()], &probe).replace("\"60ms\"", "\"1h\"");
    let gateway = Gateway::new(&text).start();
    wait_health(&gateway, backend.address(), "healthy");
    holds_for(Duration::from_millis(200), "one probe was sent", || {
        backend.requests_total() == 1
    });
}

#[test]
fn when_nobody_is_well_everybody_is_asked() {
    let refuser = Refuser::start();
    let ill = moody(&Arc::new(AtomicBool::new(false)));
    let addresses = [refuser.address(), ill.address()];
    let gateway = Gateway::new(&probing(&addresses, "path = \"/healthz?full=1\"")).start();
    for address in addresses {
        wait_health(&gateway, address, "unhealthy");
    }
    for _ in 0..10 {
        assert_eq!(gateway.get("a", "/").text(), "served", "better than nobody");
    }
}

#[test]
fn a_port_that_refuses_or_never_answers_is_found_out() {
    let refuser = Refuser::start();
    let hole = Backend::start(BlackHole);
    let by_tcp = [refuser.address(), hole.address()];
    let gateway = Gateway::new(&probing(&by_tcp, "type = \"tcp\"")).start();
    wait_health(&gateway, by_tcp[0], "unhealthy");
    // It takes connections, and more is not asked.
    wait_health(&gateway, by_tcp[1], "healthy");
    let back = refuser.revive(|visit: &mut foregate_testkit::Visit| {
        while visit.next_request()?.is_some() {}
        Ok(())
    });
    wait_health(&gateway, back.address(), "healthy");

    let gateway = Gateway::new(&probing(&[hole.address()], "")).start();
    wait_health(&gateway, hole.address(), "unhealthy");
    let seen = endpoint(&gateway, hole.address());
    assert_eq!(seen["probe"]["history"][0]["fault"], "timeout");
}

#[test]
fn the_health_service_of_grpc_is_asked() {
    let status = Arc::new(AtomicU8::new(1));
    let says = Arc::clone(&status);
    let backend = Http2Backend::answering(move |_| Http2Reply::Whole {
        status: 200,
        hint: None,
        fields: vec![("content-type", "application/grpc".into())],
        body: vec![0, 0, 0, 0, 2, 8, says.load(Ordering::SeqCst)],
        trailers: vec![("grpc-status", "0")],
    });
    let text = probing(
        &[backend.address()],
        "type = \"grpc\"\nservice = \"shop.Cart\"",
    )
    .replace("[upstreams.app]", "[upstreams.app]\nprotocol = \"h2\"");
    let gateway = Gateway::new(&text).start();
    wait_health(&gateway, backend.address(), "healthy");
    let asked = backend.requests().remove(0);
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/grpc.health.v1.Health/Check")
    );
    assert_eq!(
        asked.body,
        [&[0, 0, 0, 0, 11, 0x0a, 9][..], b"shop.Cart"].concat()
    );
    status.store(2, Ordering::SeqCst);
    wait_health(&gateway, backend.address(), "unhealthy");
    let seen = endpoint(&gateway, backend.address());
    let faults = seen["probe"]["history"].to_string();
    assert!(faults.contains("not-serving"), "{faults}");
    eventually("no connection of an earlier probe is left", || {
        (backend.connections_open() <= 1).then_some(())
    });
}

#[test]
fn a_reload_keeps_what_is_known_and_lets_go_of_whom_nobody_asks() {
    let well = Arc::new(AtomicBool::new(false));
    let ill = moody(&well);
    let good = Backend::answering(|_| Answer::ok("served"));
    let addresses = [ill.address(), good.address()];
    let text = probing(&addresses, "path = \"/healthz?full=1\"\nfall = 1");
    let mut gateway = Gateway::new(&text).start();
    wait_health(&gateway, addresses[0], "unhealthy");
    let slow = text
        .replace("\"60ms\"", "\"1h\"")
        .replace("\"20ms\"", "\"1h\"");
    gateway.rewrite_config(&slow, &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("configuration reloaded");
    let seen = endpoint(&gateway, addresses[0]);
    assert_eq!(seen["health"], "unhealthy", "{seen}");
    assert!(
        seen["probe"]["history"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
    for _ in 0..10 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert_eq!(served(&ill), 0);

    let unprobed = text
        .split("[upstreams.app.probe]")
        .next()
        .expect("a beginning");
    gateway.rewrite_config(unprobed, &[]);
    gateway.signal(Signal::Hup);
    wait_health(&gateway, addresses[0], "unknown");
    eventually("it takes requests", || {
        gateway.get("a", "/");
        (served(&ill) > 0).then_some(())
    });
}

//! HUP: compile, then swap.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use foregate_testkit::{
    Answer, Backend, BlackHole, Echo, Gateway, Http2Client, RawClient, Refuser, Signal,
    UpgradeEcho, Visit, eventually, holds_for,
};
use foregate_tests::metric;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn saying(word: &str) -> String {
    format!(
        "[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = {{ status = 200, body = \"{word}\" }}\n"
    )
}

const PROXYING: &str =
    "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{backend}\"]\n";

fn wait_for(gateway: &Gateway, word: &str) {
    eventually(&format!("the gateway says {word}"), || {
        (gateway.get("a", "/").text() == word).then_some(())
    });
}

#[test]
fn a_good_file_takes_over() {
    let mut gateway = Gateway::new(&saying("old")).start();
    assert_eq!(gateway.get("a", "/").text(), "old");
    gateway.rewrite_config(&saying("new"), &[]);
    gateway.signal(Signal::Hup);
    wait_for(&gateway, "new");
    gateway.assert_no_leaks();
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let mut gateway = Gateway::new(&saying("old")).start();
    gateway.rewrite_config("[sites.\"*\"]\nupstraem = \"app\"\n", &[]);
    gateway.signal(Signal::Hup);
    let log = gateway.wait_stderr("upstraem");
    assert!(log.contains("upstream"), "a suggestion is made: {log}");
    holds_for(
        Duration::from_millis(200),
        "the old configuration serves",
        || gateway.get("a", "/").text() == "old",
    );
    gateway.rewrite_config(&saying("repaired"), &[]);
    gateway.signal(Signal::Hup);
    wait_for(&gateway, "repaired");
    gateway.assert_no_leaks();
}

#[test]
fn idle_connections_outlive_a_reload_and_see_the_new_configuration() {
    let mut gateway = Gateway::new(&saying("old")).start();
    let mut client = gateway.connect();
    assert_eq!(client.exchange(GET).text(), "old");
    gateway.rewrite_config(&saying("new"), &[]);
    gateway.signal(Signal::Hup);
    wait_for(&gateway, "new");
    assert_eq!(client.exchange(GET).text(), "new");
}

#[test]
fn a_request_in_flight_ends_on_the_configuration_it_began_with() {
    let backend = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(700));
        Answer::ok("from the backend")
    });
    let mut gateway = Gateway::new(PROXYING)
        .fill("backend", backend.address())
        .start();
    let mut client = gateway.connect();
    client.send(GET);
    backend.wait_requests(1);
    gateway.rewrite_config(&saying("new"), &[]);
    gateway.signal(Signal::Hup);
    wait_for(&gateway, "new");
    assert_eq!(client.response().text(), "from the backend");
    assert_eq!(client.exchange(GET).text(), "new");
}

#[test]
fn a_stream_in_flight_goes_on_beside_those_of_the_new_configuration() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let backend = Backend::start(move |visit: &mut Visit| {
        while let Some(request) = visit.next_request()? {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst")?;
            if request.target == "/held"
                && let Ok(released) = released.lock()
            {
                // The story's end releases it as well.
                let _ = released.recv();
            }
            visit.send(", last")?;
        }
        Ok(())
    });
    let mut gateway = Gateway::new(PROXYING)
        .fill("backend", backend.address())
        .start();
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("GET", "/held", &[], true);
    let begun = client.until(stream, |answer| answer.body == b"first");
    assert!(!begun.ended);
    gateway.rewrite_config(&saying("new"), &[]);
    gateway.signal(Signal::Hup);
    wait_for(&gateway, "new");
    assert_eq!(client.get("/").text(), "new");
    release.send(()).expect("the backend waits");
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.reset), (200, None));
    assert_eq!(answer.text(), "first, last");
    assert!(
        client.last_goaway().is_none(),
        "the connection was never ended"
    );
    drop(client);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn pooled_connections_outlive_a_reload() {
    let backend = Backend::start(Echo);
    let mut gateway = Gateway::new(PROXYING)
        .fill("backend", backend.address())
        .start();
    assert_eq!(gateway.get("a", "/").status, 200);
    let marked = format!(
        "{}\n[[sites.\"*\".routes]]\npath = \"/marked\"\nrespond = {{ status = 200, body = \"reloaded\" }}\n",
        PROXYING.replace(
            "upstream = \"app\"\n",
            "[[sites.\"*\".routes]]\nupstream = \"app\"\n"
        )
    );
    gateway.rewrite_config(&marked, &[]);
    gateway.signal(Signal::Hup);
    eventually("the reload is done", || {
        (gateway.get("a", "/marked").text() == "reloaded").then_some(())
    });
    for _ in 0..5 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert_eq!(backend.connections_accepted(), 1);
}

#[test]
fn a_tunnel_outlives_a_reload() {
    let backend = Backend::start(UpgradeEcho);
    let mut gateway = Gateway::new(PROXYING)
        .fill("backend", backend.address())
        .start();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(101));
    gateway.rewrite_config(&saying("new"), &[]);
    gateway.signal(Signal::Hup);
    wait_for(&gateway, "new");
    client.send("still there?");
    assert_eq!(client.connection().take(12), Ok(b"still there?".to_vec()));
}

#[test]
fn an_upstream_that_is_gone_leaves_no_connection() {
    let backend = Backend::start(Echo);
    let mut gateway = Gateway::new(PROXYING)
        .fill("backend", backend.address())
        .start();
    assert_eq!(gateway.get("a", "/").status, 200);
    gateway.rewrite_config(&saying("new"), &[]);
    gateway.signal(Signal::Hup);
    wait_for(&gateway, "new");
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn listeners_come_and_go() {
    let one = "[listeners.public]\naddress = \"127.0.0.1:0\"\n";
    // Kept by a socket of ours until the gateway needs it.
    let reserved = Refuser::start();
    let extra = reserved.address();
    let two = format!("{one}[listeners.extra]\naddress = \"{extra}\"\n");
    let mut gateway = Gateway::new(&format!("{one}{}", saying("one"))).start();
    let public = gateway.address();
    gateway.rewrite_config(&format!("{two}{}", saying("two")), &[]);
    drop(reserved);
    gateway.signal(Signal::Hup);
    eventually("the new listener is there", || {
        std::net::TcpStream::connect(extra).ok()
    });
    let ask = |address| {
        foregate_testkit::RawClient::connect(address)
            .exchange(GET)
            .text()
    };
    eventually("the new listener serves", || {
        (ask(extra) == "two").then_some(())
    });
    assert_eq!(
        (gateway.address(), ask(public).as_str()),
        (public, "two"),
        "the old one stays where it was"
    );
    gateway.rewrite_config(&format!("{one}{}", saying("three")), &[]);
    gateway.signal(Signal::Hup);
    eventually("the listener is gone", || {
        std::net::TcpStream::connect(extra).is_err().then_some(())
    });
    assert_eq!(ask(public), "three");
}

#[test]
fn what_has_not_begun_when_a_listener_goes_is_refused_and_counted() {
    let stays = "[listeners.public]\naddress = \"127.0.0.1:0\"\n";
    let goes = "[listeners.extra]\naddress = \"127.0.0.1:0\"\nproxy_protocol = \"accept\"\n";
    let rest = "[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 204 }\n";
    let before = format!(
        "[forwarding]\ntrusted_proxies = [\"127.0.0.1\"]\n[client]\nhead_timeout = \"1h\"\n{stays}{goes}{rest}"
    );
    let after = before.replace(goes, "");
    let mut gateway = Gateway::new(&before).start();
    let mut begun = RawClient::connect(gateway.listener("extra"));
    begun.send("PROXY TC");
    gateway.wait_metric(metric::CONNECTIONS_ACCEPTED, &[("listener", "extra")], 1.0);
    gateway.rewrite_config(&after, &[]);
    gateway.signal(Signal::Hup);
    begun.connection().drain();
    let labels = [("listener", "extra"), ("reason", "draining")];
    gateway.wait_metric(metric::CONNECTIONS_REFUSED, &labels, 1.0);
}

/// Every protocol's exchanges and tunnels, and nobody else's.
#[test]
fn what_outlives_the_drain_of_a_listener_is_cut_off() {
    let (silent, echo) = (Backend::start(BlackHole), Backend::start(UpgradeEcho));
    let config = |listeners: &str| {
        format!(
            "drain_timeout = \"2s\"\n{listeners}[sites.\"*\"]\n[[sites.\"*\".routes]]\npath = \"/echo\"\n\
             upstream = \"echo\"\n[[sites.\"*\".routes]]\nupstream = \"silent\"\n\
             [upstreams.silent]\nservers = [\"{}\"]\n[upstreams.echo]\nservers = [\"{}\"]\n",
            silent.address(),
            echo.address()
        )
    };
    let stays = "[listeners.public]\naddress = \"127.0.0.1:0\"\n";
    let goes = "[listeners.extra]\naddress = \"127.0.0.1:0\"\n";
    let mut gateway = Gateway::new(&config(&format!("{stays}{goes}"))).start();
    let tunnel = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let (public, extra) = (gateway.address(), gateway.listener("extra"));
    let [mut kept, mut cut] = [public, extra].map(|address| {
        let mut client = RawClient::connect(address);
        client.send(tunnel);
        assert_eq!(client.try_head(false).map(|head| head.status), Ok(101));
        client
    });
    let mut asking = RawClient::connect(extra);
    asking.send(GET);
    let mut streaming = Http2Client::connect(extra);
    streaming.request("GET", "/", &[], true);
    silent.wait_requests(2);
    gateway.rewrite_config(&config(stays), &[]);
    gateway.signal(Signal::Hup);
    eventually("the listener is closed", || {
        std::net::TcpStream::connect(extra).is_err().then_some(())
    });
    // Who came before has the time of a drain.
    cut.send("still there?");
    assert_eq!(cut.connection().take(12), Ok(b"still there?".to_vec()));
    let reasons: Vec<String> = gateway
        .log_lines(3)
        .iter()
        .map(|line| line.reason().to_owned())
        .collect();
    assert_eq!(reasons, ["draining"; 3]);
    assert_eq!(asking.response().status, 503);
    for client in [&mut cut, &mut asking] {
        client.connection().drain();
    }
    kept.send("still there?");
    assert_eq!(kept.connection().take(12), Ok(b"still there?".to_vec()));
    silent.wait_connections_open(0);
}

#[test]
fn a_listener_moves_to_another_address() {
    // Kept by sockets of ours until the gateway needs them.
    let (from, to) = (Refuser::start(), Refuser::start());
    let at = |address: std::net::SocketAddr, text: &str| {
        format!(
            "[listeners.public]\naddress = \"{address}\"\n{}",
            saying(text)
        )
    };
    let (old, new) = (from.address(), to.address());
    drop(from);
    let mut gateway = Gateway::new(&at(old, "here")).start();
    let ask = |address| {
        foregate_testkit::RawClient::connect(address)
            .exchange(GET)
            .text()
    };
    assert_eq!(ask(old), "here");
    gateway.rewrite_config(&at(new, "there"), &[]);
    drop(to);
    gateway.signal(Signal::Hup);
    eventually("the new address is there", || {
        std::net::TcpStream::connect(new).ok()
    });
    assert_eq!(ask(new), "there");
    eventually("the old address is gone", || {
        std::net::TcpStream::connect(old).is_err().then_some(())
    });
}

#[test]
fn memory_is_where_it_was_after_a_thousand_reloads() {
    let route = |number: usize, turn: usize| {
        format!(
            "[[sites.\"*\".routes]]\npath = \"/{number}/{turn}\"\nrespond = {{ status = 200, body = \"{turn}\" }}\n"
        )
    };
    let config = |turn: usize| {
        let routes: String = (0..30).map(|number| route(number, turn)).collect();
        format!("[sites.\"*\"]\n{routes}")
    };
    let mut gateway = Gateway::new(&config(0)).start();
    let mut reload = |turns: std::ops::Range<usize>| {
        for turn in turns {
            gateway.rewrite_config(&config(turn), &[]);
            let told = gateway.admin_send("POST", "/reload", "");
            assert_eq!(told.status, 200, "{}", told.text());
        }
        gateway.rss_kib()
    };
    // Until what is kept on purpose, such as the last configurations, is all there.
    let warm = reload(1..200);
    let end = reload(200..1200);
    assert!(
        end < warm + 3072,
        "{warm} KiB grew to {end} KiB in a thousand reloads"
    );
}

#[test]
fn many_reloads_under_load_fail_nobody_and_leak_nothing() {
    let backend = Backend::start(Echo);
    let mut gateway = Gateway::new(PROXYING)
        .fill("backend", backend.address())
        .start();
    let address = gateway.address();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut warm = 0;
    std::thread::scope(|scope| {
        let stop = &stop;
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let mut client = foregate_testkit::RawClient::connect(address);
                    let mut served = 0;
                    while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                        assert_eq!(client.exchange(GET).status, 200);
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        for round in 0..40 {
            gateway.rewrite_config(&format!("# round {round}\n{PROXYING}"), &[]);
            gateway.signal(Signal::Hup);
            let taken = f64::from(round + 1);
            gateway.wait_metric(metric::CONFIG_RELOADS, &[("result", "ok")], taken);
            if round == 10 {
                warm = gateway.rss_kib();
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        for client in clients {
            assert!(client.join().is_ok_and(|served| served > 0));
        }
    });
    assert!(
        gateway.rss_kib() < warm + 2048,
        "{warm} KiB grew to {} KiB in thirty reloads",
        gateway.rss_kib()
    );
    gateway.assert_no_leaks();
}

/// To open one waits for whoever reads it, and nobody might.
#[test]
fn a_pipe_that_nobody_reads_is_no_access_log() {
    let config = |log: &str| {
        format!(
            "[access_log]\nto = \"{log}\"\n[listeners.public]\naddress = \"127.0.0.1:0\"\n[sites.\"*\"]\n\
             [[sites.\"*\".routes]]\nrespond = {{ status = 200, body = \"here\" }}\n"
        )
    };
    let mut gateway = Gateway::new(&config("{dir}/access.log")).start();
    let fifo = gateway.scratch().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    let to_pipe = config("{dir}/fifo");
    gateway.rewrite_config(&to_pipe, &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("nobody reads this named pipe");
    assert_eq!(gateway.connect().exchange(GET).text(), "here");
    // With a reader it is one; who opens it for both waits for nobody.
    let mut both = std::fs::OpenOptions::new();
    let reader = both.read(true).write(true).open(&fifo);
    let reader = reader.expect("a pipe can be read");
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("configuration reloaded");
    assert_eq!(gateway.connect().exchange(GET).text(), "here");
    gateway.signal(Signal::Term);
    assert!(gateway.wait_exit().success());
    drop(reader);
}

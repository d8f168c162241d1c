//! A late answer has a rival: what is sent to two backends, which answer is taken, and what becomes of the other.

use foregate_testkit::{
    Answer, Backend, Gateway, Http2Backend, Http2Reply, RawClient, Refuser, Request, Visit,
    eventually,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const APP: [(&str, &str); 1] = [("upstream", "app")];
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SENT: &str = "foregate_upstream_hedges_total";
/// HTTP/2's CANCEL (RFC 9113 §7).
const CANCEL: u32 = 8;

/// Backends that take turns, the first of them first; `more` stands in the upstream.
fn before(servers: &[SocketAddr], more: &str) -> Gateway {
    let servers: Vec<String> = servers.iter().map(|one| format!("\"{one}\"")).collect();
    Gateway::new(
        r#"
        workers = 1
        [access_log]
        to = "{log}"
        format = "{tries} {hedge} {endpoint} [{retries}] {reason}"
        [sites."*"]
        [[sites."*".routes]]
        path = "/marked"
        upstream = "app"
        idempotent = true
        [[sites."*".routes]]
        upstream = "app"
        [upstreams.app]
        servers = [{servers}]
        balance = "round-robin"
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        {more}
        "#,
    )
    .fill("servers", servers.join(", "))
    .fill("more", more)
    .start()
}

/// Reads requests, one a connection, and never answers; a connection is over when the gateway ends it.
fn silent() -> Backend {
    Backend::start(|visit: &mut Visit| {
        if visit.next_request()?.is_some() {
            visit.drain();
        }
        Ok(())
    })
}

/// Tells what it was sent, after a while.
fn telling(name: &'static str, after_ms: u64) -> Backend {
    Backend::answering(move |request: &Request| {
        std::thread::sleep(Duration::from_millis(after_ms));
        Answer::ok(format!("{name} {}", String::from_utf8_lossy(&request.body)))
    })
}

fn upload(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nprecious")
}

fn ended(gateway: &Gateway, result: &str) -> f64 {
    let labels = [APP[0], ("result", result)];
    gateway.metric("foregate_upstream_hedges_ended_total", &labels)
}

fn refused(gateway: &Gateway, reason: &str) -> f64 {
    let labels = [APP[0], ("reason", reason)];
    gateway.metric("foregate_upstream_hedges_refused_total", &labels)
}

/// Nothing is left of a race: no count, no connection that is not idle.
fn is_over(gateway: &Gateway) {
    gateway.wait_metric("foregate_endpoint_in_flight", &APP, 0.0);
    gateway.wait_metric("foregate_upstream_hedges", &APP, 0.0);
    gateway.assert_no_leaks();
}

#[test]
fn a_late_answer_is_had_from_another_backend() {
    let (late, good) = (silent(), telling("good", 0));
    let gateway = before(
        &[late.address(), good.address()],
        "hedge = { after = \"30ms\" }",
    );
    assert_eq!(gateway.exchange(upload("PUT", "/")).text(), "good precious");
    assert_eq!(late.only_request().body, b"precious");
    // The one that lost is broken off, and not blamed for it.
    late.wait_connections_open(0);
    assert_eq!(
        gateway.metric("foregate_endpoint_failures_total", &APP),
        0.0
    );
    assert_eq!(
        (gateway.metric(SENT, &APP), ended(&gateway, "won")),
        (1.0, 1.0)
    );
    assert_eq!(gateway.metric("foregate_endpoint_retries_total", &APP), 1.0);
    let delay = gateway.metric("foregate_upstream_hedge_delay_seconds", &APP);
    assert!((delay - 0.03).abs() < 1e-9, "{delay}");
    let line = format!(
        "2 won {} [{} outrun] proxied",
        good.address(),
        late.address()
    );
    assert_eq!(gateway.raw_log_lines(1), [line]);
    is_over(&gateway);
}

#[test]
fn the_first_try_may_still_win() {
    let (slow, silent) = (telling("slow", 150), silent());
    let gateway = before(
        &[slow.address(), silent.address()],
        "hedge = { after = \"30ms\" }",
    );
    assert_eq!(gateway.exchange(upload("PUT", "/")).text(), "slow precious");
    assert_eq!(silent.only_request().body, b"precious");
    silent.wait_connections_open(0);
    assert_eq!(
        (gateway.metric(SENT, &APP), ended(&gateway, "lost")),
        (1.0, 1.0)
    );
    assert_eq!(
        gateway.metric("foregate_endpoint_failures_total", &APP),
        0.0
    );
    let line = format!(
        "2 lost {} [{} outrun] proxied",
        slow.address(),
        silent.address()
    );
    assert_eq!(gateway.raw_log_lines(1), [line]);
    is_over(&gateway);
}

#[test]
fn the_tail_of_slow_answers_is_cut() {
    const SLOW: Duration = Duration::from_millis(1_000);
    let sometimes = |every: usize| {
        let count = AtomicUsize::new(0);
        Backend::answering(move |_| {
            if count.fetch_add(1, Ordering::SeqCst) % every == every / 2 {
                std::thread::sleep(SLOW);
            }
            Answer::ok("good")
        })
    };
    let backends = [sometimes(17), sometimes(19), sometimes(23)];
    let gateway = before(
        &backends.each_ref().map(Backend::address),
        "hedge = { after = \"50ms\" }\nretry = { budget_percent = 20 }",
    );
    let mut client = gateway.connect();
    let mut times: Vec<Duration> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(client.exchange(GET).text(), "good");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    // One in twenty took a second; hardly one meets two such backends in a row.
    assert!(times[296] < SLOW / 2, "{:?}", &times[290..]);
    let sent = gateway.metric(SENT, &APP);
    assert!((10.0..=30.0).contains(&sent), "{sent}");
    assert_eq!(ended(&gateway, "won") + ended(&gateway, "lost"), sent);
}

#[test]
fn what_could_have_an_effect_twice_is_at_one_backend_only() {
    let (slow, good) = (telling("slow", 200), telling("good", 0));
    let servers = [slow.address(), good.address()];
    let gateway = before(&servers, "hedge = { after = \"20ms\" }");
    assert_eq!(
        gateway.exchange(upload("POST", "/")).text(),
        "slow precious"
    );
    assert_eq!(good.requests_total(), 0);
    assert_eq!(gateway.metric(SENT, &APP), 0.0);
    // The other one's turn, and then the slow one's again.
    assert_eq!(
        gateway.exchange(upload("POST", "/")).text(),
        "good precious"
    );
    assert_eq!(
        gateway.exchange(upload("POST", "/marked")).text(),
        "good precious"
    );
    // A body that is not kept can't be sent twice either.
    let more = "hedge = { after = \"20ms\" }\nretry = { body_bytes_max = \"7B\" }";
    let gateway = before(&servers, more);
    assert_eq!(gateway.exchange(upload("PUT", "/")).text(), "slow precious");
    assert_eq!(gateway.metric(SENT, &APP), 0.0);
}

#[test]
fn a_body_that_comes_late_is_waited_for() {
    let (late, good) = (silent(), telling("good", 0));
    let gateway = before(
        &[late.address(), good.address()],
        "hedge = { after = \"1ms\" }",
    );
    let (head, body) = (
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\npre",
        "cious",
    );
    let mut client = gateway.connect();
    client.send(head);
    client.assert_silent_for(Duration::from_millis(100));
    assert_eq!(good.requests_total(), 0, "it has no whole body to send");
    client.send(body);
    assert_eq!(client.response().text(), "good precious");
    assert_eq!(late.only_request().body, b"precious");
}

#[test]
fn what_fails_meanwhile_is_followed_by_the_rival() {
    // Ends without an answer once it was asked, and after its rival was.
    let bad = Backend::start(|visit: &mut Visit| {
        visit.next_request()?;
        std::thread::sleep(Duration::from_millis(120));
        Ok(())
    });
    let (good, spare) = (telling("good", 300), telling("spare", 0));
    let more =
        "hedge = { after = \"30ms\" }\nretry = { budget_percent = 0, budget_per_second = 1 }";
    let gateway = before(&[bad.address(), good.address(), spare.address()], more);
    assert_eq!(gateway.get("a", "/").text(), "good ");
    let line = format!(
        "2 won {} [{} upstream-closed] proxied",
        good.address(),
        bad.address()
    );
    assert_eq!(gateway.raw_log_lines(1), [line]);
    assert_eq!(
        gateway.metric("foregate_endpoint_failures_total", &APP),
        1.0
    );
    assert_eq!(spare.requests_total(), 0);
    is_over(&gateway);
}

/// A backend that does not take the request, or a connection to it that is not to be had, says nothing of the rival.
#[test]
fn a_rival_goes_on_where_the_first_try_failed_without_anybodys_fault() {
    let refusing = Http2Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(80));
        Http2Reply::Refuse
    });
    let good = Http2Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(400));
        Http2Reply::ok("good")
    });
    let servers = [refusing.address(), good.address()];
    let gateway = before(&servers, "hedge = { after = \"30ms\" }\nprotocol = \"h2\"");
    assert_eq!(gateway.get("a", "/").text(), "good");
    let line = format!(
        "2 won {} [{} upstream-refused] proxied",
        good.address(),
        refusing.address()
    );
    assert_eq!(gateway.raw_log_lines(1), [line]);
    is_over(&gateway);

    let (busy, good) = (silent(), telling("good", 600));
    let more =
        "hedge = { after = \"30ms\" }\nconnections_max = 1\ntimeouts = { connect = \"200ms\" }";
    let gateway = before(&[busy.address(), good.address()], more);
    let mut first = gateway.connect();
    first.send(upload("POST", "/"));
    busy.wait_requests(1);
    // The other one's turn, and then that of the one whose connection is taken.
    assert_eq!(
        gateway.exchange(upload("POST", "/")).text(),
        "good precious"
    );
    assert_eq!(gateway.get("a", "/").text(), "good ");
    let lines = gateway.raw_log_lines(2);
    let line = format!(
        "2 won {} [{} pending-timeout] proxied",
        good.address(),
        busy.address()
    );
    assert_eq!(lines[1], line);
    // Broken off, so that nobody takes it for a client that only has nothing more to say.
    first.into_connection().reset();
    is_over(&gateway);
}

#[test]
fn an_answer_that_says_unable_is_not_taken_while_a_rival_is_under_way() {
    let unable = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(120));
        Answer::status(503).body("busy")
    });
    let good = telling("good", 300);
    let servers = [unable.address(), good.address()];
    let gateway = before(&servers, "hedge = { after = \"30ms\" }");
    assert_eq!(gateway.get("a", "/").text(), "good ");
    let line = format!(
        "2 won {} [{} 503] proxied",
        good.address(),
        unable.address()
    );
    assert_eq!(gateway.raw_log_lines(1), [line]);
    // Nor is a rival's.
    let gateway = before(
        &[good.address(), unable.address()],
        "hedge = { after = \"30ms\" }",
    );
    assert_eq!(gateway.get("a", "/").text(), "good ");
    let line = format!(
        "2 failed {} [{} 503] proxied",
        good.address(),
        unable.address()
    );
    assert_eq!(gateway.raw_log_lines(1), [line]);
    assert_eq!(ended(&gateway, "failed"), 1.0);
    // Without a rival it is what there is.
    let gateway = before(&[unable.address()], "hedge = { after = \"30ms\" }");
    assert_eq!(gateway.get("a", "/").status, 503);
    is_over(&gateway);
}

#[test]
fn a_rival_that_fails_changes_nothing() {
    let (slow, refuser) = (telling("slow", 150), Refuser::start());
    let more = "hedge = { after = \"30ms\" }";
    let gateway = before(&[slow.address(), refuser.address()], more);
    assert_eq!(gateway.get("a", "/").text(), "slow ");
    let lines = gateway.raw_log_lines(1);
    let begin = format!(
        "2 failed {} [{} connect-",
        slow.address(),
        refuser.address()
    );
    assert!(lines[0].starts_with(&begin), "{lines:?}");
    is_over(&gateway);
    // When both fail, the last one's failure is told.
    let bad = Backend::start(|visit: &mut Visit| {
        visit.next_request()?;
        std::thread::sleep(Duration::from_millis(150));
        Ok(())
    });
    let gateway = before(&[bad.address(), refuser.address()], more);
    assert_eq!(gateway.get("a", "/").status, 502);
    let lines = gateway.raw_log_lines(1);
    let begin = format!("2 failed {} [{} connect-", bad.address(), refuser.address());
    assert!(
        lines[0].starts_with(&begin) && lines[0].ends_with("upstream-closed"),
        "{lines:?}"
    );
    is_over(&gateway);
}

#[test]
fn an_outage_is_not_made_worse() {
    let backends = [telling("a", 250), telling("b", 250)];
    let servers = backends.each_ref().map(Backend::address);
    let more =
        "hedge = { after = \"10ms\" }\nretry = { budget_percent = 10, budget_per_second = 0 }";
    let gateway = before(&servers, more);
    let mut clients: Vec<RawClient> = (0..40).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    let sent: usize = backends.iter().map(Backend::requests_total).sum();
    assert_eq!(sent, 44, "one in ten was sent twice");
    assert_eq!(gateway.metric(SENT, &APP), 4.0);
    assert_eq!(refused(&gateway, "budget"), 36.0);
    let lines = gateway.raw_log_lines(40);
    let without = lines
        .iter()
        .filter(|line| line.starts_with("1 budget "))
        .count();
    assert_eq!(without, 36, "{lines:?}");
    drop(clients);
    is_over(&gateway);
}

#[test]
fn no_more_than_may_be_are_at_two_backends() {
    let backends = [telling("a", 300), telling("b", 300)];
    let servers = backends.each_ref().map(Backend::address);
    let gateway = before(&servers, "hedge = { after = \"10ms\", requests_max = 2 }");
    let mut clients: Vec<RawClient> = (0..8).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(
        (
            gateway.metric(SENT, &APP),
            refused(&gateway, "requests-max")
        ),
        (2.0, 6.0)
    );
    drop(clients);
    is_over(&gateway);
}

#[test]
fn a_hedge_is_one_of_the_tries_again() {
    let backends = [telling("a", 300), telling("b", 300)];
    let servers = backends.each_ref().map(Backend::address);
    let more = "hedge = { after = \"10ms\" }\nretry = { retries_max = 3 }";
    let gateway = before(&servers, more);
    let mut clients: Vec<RawClient> = (0..8).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(
        (gateway.metric(SENT, &APP), refused(&gateway, "retries-max")),
        (3.0, 5.0)
    );
    gateway.wait_metric("foregate_upstream_retries", &APP, 0.0);
    drop(clients);
    is_over(&gateway);
}

#[test]
fn only_backends_that_are_fit_are_asked_too() {
    let (slow, other) = (telling("slow", 150), telling("other", 0));
    let servers = [slow.address(), other.address()];
    let more = "hedge = { after = \"20ms\" }";
    let gateway = before(&servers, more);
    let place = format!("/upstreams/app/endpoints/{}", other.address());
    let drained = gateway.admin_send("PATCH", &place, r#"{"state":"draining"}"#);
    assert_eq!(drained.status, 200, "{}", drained.text());
    assert_eq!(gateway.get("a", "/").text(), "slow ");
    assert_eq!(
        (
            refused(&gateway, "no-other-endpoint"),
            other.requests_total()
        ),
        (1.0, 0)
    );
    let line = format!("1 no-other-endpoint {} [-] proxied", slow.address());
    assert_eq!(gateway.raw_log_lines(1), [line]);
    // One that has as many as it may is none either, nor is a backup.
    let full = format!("{more}\nrequests_max = 1\nqueue = {{ length_max = 0 }}");
    let busy = telling("busy", 400);
    let gateway = before(&[busy.address(), slow.address()], &full);
    let mut first = gateway.connect();
    first.send(upload("POST", "/"));
    busy.wait_requests(1);
    assert_eq!(gateway.get("a", "/").text(), "slow ");
    assert_eq!(refused(&gateway, "no-other-endpoint"), 1.0);
    assert_eq!(first.response().status, 200);
}

#[test]
fn whose_client_leaves_is_given_up_at_both() {
    let (one, other) = (silent(), silent());
    let gateway = before(
        &[one.address(), other.address()],
        "hedge = { after = \"10ms\" }",
    );
    let mut client = gateway.connect();
    client.send(GET);
    one.wait_requests(1);
    other.wait_requests(1);
    drop(client);
    one.wait_connections_open(0);
    other.wait_connections_open(0);
    let line = format!("2 given-up {} [-] client-gone", one.address());
    assert_eq!(gateway.raw_log_lines(1), [line]);
    assert_eq!(ended(&gateway, "given-up"), 1.0);
    is_over(&gateway);
}

#[test]
fn the_time_for_a_request_holds_for_both() {
    let (one, other) = (silent(), silent());
    let more = "hedge = { after = \"20ms\" }\ntimeouts = { request = \"200ms\" }";
    let gateway = before(&[one.address(), other.address()], more);
    let begun = Instant::now();
    assert_eq!(gateway.get("a", "/").status, 504);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let lines = gateway.raw_log_lines(1);
    assert!(lines[0].ends_with("request-timeout"), "{lines:?}");
    one.wait_connections_open(0);
    other.wait_connections_open(0);
    is_over(&gateway);
}

#[test]
fn a_stream_that_lost_is_reset_and_its_connection_stays() {
    let silent = Http2Backend::answering(|_| Http2Reply::Silence);
    let good = Http2Backend::answering(|_| Http2Reply::ok("good"));
    let more = "hedge = { after = \"30ms\" }\nprotocol = \"h2\"";
    let gateway = before(&[silent.address(), good.address()], more);
    assert_eq!(gateway.get("a", "/").text(), "good");
    let resets = eventually("the stream to be reset", || {
        Some(silent.resets()).filter(|resets| !resets.is_empty())
    });
    assert_eq!(resets, [CANCEL]);
    assert_eq!(silent.connections_open(), 1);
    is_over(&gateway);
}

#[test]
fn the_delay_follows_the_answers_once_enough_are_known() {
    let slow_from = AtomicUsize::new(0);
    let moody = Backend::answering(move |_| {
        // One late answer while too little is known, and one when enough is.
        if matches!(slow_from.fetch_add(1, Ordering::SeqCst), 5 | 100) {
            std::thread::sleep(Duration::from_millis(1_000));
        }
        Answer::ok("moody")
    });
    let good = Backend::answering(|_| Answer::ok("good"));
    let more = "hedge = { after = \"20ms\", after_percentile = 90 }";
    let gateway = before(&[moody.address(), good.address()], more);
    let delays = || {
        gateway
            .scrape()
            .sum("foregate_upstream_hedge_delay_seconds", &APP)
    };
    let mut client = gateway.connect();
    for _ in 0..100 {
        assert_eq!(client.exchange(GET).text(), "moody");
        assert_eq!(client.exchange(GET).text(), "good");
    }
    assert_eq!(
        gateway.metric(SENT, &APP),
        0.0,
        "nothing was known of the first late answer"
    );
    let delay = delays();
    assert!((0.02..0.5).contains(&delay), "{delay}");
    assert_eq!(client.exchange(GET).text(), "good");
    assert_eq!(ended(&gateway, "won"), 1.0);
}

#[test]
fn a_session_stays_with_its_backend() {
    let (slow, good) = (telling("slow", 150), telling("good", 0));
    let more = "hedge = { after = \"20ms\" }\nsticky = { cookie = \"place\" }";
    let gateway = before(&[slow.address(), good.address()], more);
    // Who has no session yet gets it with the one that answers.
    let answer = gateway.get("a", "/");
    assert_eq!(answer.text(), "good ");
    let cookie = answer
        .field("set-cookie")
        .and_then(|line| line.split(';').next());
    let cookie = cookie.expect("a session").to_owned();
    let again = |gateway: &Gateway| {
        gateway.exchange(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"
        ))
    };
    assert_eq!(again(&gateway).text(), "good ");
    assert_eq!(gateway.metric(SENT, &APP), 1.0);
}

#[test]
fn explanations_tell_when_and_to_whom() {
    let (one, other) = (telling("one", 0), telling("other", 0));
    let servers = [one.address(), other.address()];
    let more = "hedge = { after = \"20ms\", after_percentile = 95, requests_max = 7 }";
    let gateway = before(&servers, more);
    let explained = |method: &str| {
        let config = gateway.config_path().display().to_string();
        let url = format!("http://a:{}/", gateway.address().port());
        let run = foregate_testkit::foregate(&["explain", "-c", &config, method, &url]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let line = run
            .stdout
            .lines()
            .find(|line| line.trim().starts_with("hedge"));
        line.expect("a line").trim().to_owned()
    };
    let said = explained("GET");
    assert!(
        said.contains("after as long as 95 % of the answers take, at least 20 ms"),
        "{said}"
    );
    assert!(
        said.contains(&format!("to {} as things are", other.address())),
        "{said}"
    );
    assert!(said.contains("at most 7 at once"), "{said}");
    let said = explained("POST");
    assert!(
        said.contains("not this request: it can't be repeated"),
        "{said}"
    );
}

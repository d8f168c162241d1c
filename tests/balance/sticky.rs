//! Sessions that stay with their backend.

use crate::{explained, named};
use foregate_testkit::{Gateway, Response};
use std::collections::BTreeSet;

const CONFIG: &str = r#"
    workers = 2
    [access_log]
    to = "{log}"
    format = "{pick} {session} {endpoint}"
    [sites."*"]
    upstream = "app"
    [upstreams.app]
    servers = ["{a}", "{b}", "{c}"]
    ejection = { consecutive_failures = 1, base_time = "1h", time_max = "1h" }
    [upstreams.app.sticky]
    cookie = "place"
    {more}
"#;

/// The cookie that an answer sets: its value, and the whole line.
fn cookie(answer: &Response) -> Option<(String, String)> {
    let line = answer.field("Set-Cookie")?.to_owned();
    let value = line.strip_prefix("place=")?.split(';').next()?.to_owned();
    Some((value, line))
}

fn ask(gateway: &Gateway, cookie: &str) -> Response {
    gateway.exchange(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; place={cookie}\r\n\r\n"
    ))
}

#[test]
fn a_session_stays_until_its_backend_dies_and_then_moves_once() {
    let mut backends = vec![
        ("a", Some(named("a"))),
        ("b", Some(named("b"))),
        ("c", Some(named("c"))),
    ];
    let mut config = Gateway::new(CONFIG).fill("more", "");
    for (name, backend) in &backends {
        config = config.fill(name, backend.as_ref().unwrap().address());
    }
    let gateway = config.start();
    let first = gateway.get("a", "/");
    let (value, line) = cookie(&first).unwrap();
    assert_eq!(
        line,
        format!("place={value}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax")
    );
    let home = first.text();
    for _ in 0..12 {
        let answer = ask(&gateway, &value);
        assert_eq!(answer.text(), home);
        assert_eq!(
            cookie(&answer),
            None,
            "who knows its place is not told again"
        );
    }
    let down = (backends.iter_mut().find(|(name, _)| *name == home))
        .unwrap()
        .1
        .take()
        .unwrap()
        .kill();
    let moved = ask(&gateway, &value);
    assert_ne!(moved.text(), home);
    let (next, _) = cookie(&moved).expect("it is told where it is now");
    for _ in 0..12 {
        let answer = ask(&gateway, &next);
        assert_eq!(answer.text(), moved.text());
        assert_eq!(cookie(&answer), None);
    }
    let said = explained(&gateway, &["GET", "http://a/"]);
    assert!(said.contains("by the cookie place"), "{said}");
    drop(down);
}

#[test]
fn forged_and_foreign_cookies_are_ignored_with_a_reason() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let start = |more: &str| {
        Gateway::new(CONFIG)
            .fill("a", a.address())
            .fill("b", b.address())
            .fill("c", c.address())
            .fill("more", more)
            .start()
    };
    let gateway = start("");
    let (value, _) = cookie(&gateway.get("a", "/")).unwrap();
    let mut forged = value.clone();
    forged.replace_range(20..21, if &value[20..21] == "A" { "B" } else { "A" });
    for odd in [&forged[..], "", "1", &"x".repeat(5000), "\u{e9}"] {
        let answer = ask(&gateway, odd);
        assert_eq!(answer.status, 200);
        assert!(cookie(&answer).is_some(), "{odd:?} begins a new session");
    }
    // Another process has another key, unless both have the same secret.
    let elsewhere = start("");
    assert!(cookie(&ask(&elsewhere, &value)).is_some());
    let secret = "secrets = [\"correct horse battery staple\"]";
    let (one, other) = (start(secret), start(secret));
    let answer = one.get("a", "/");
    let (shared, _) = cookie(&answer).unwrap();
    assert_eq!(ask(&other, &shared).text(), answer.text());
    let rotated = start("secrets = [\"a much newer secret\", \"correct horse battery staple\"]");
    assert_eq!(ask(&rotated, &shared).text(), answer.text());
    gateway.wait_metric("foregate_sessions_total", &[("result", "forged")], 5.0);
    gateway.wait_metric("foregate_sessions_total", &[("result", "new")], 1.0);
    let lines = gateway.raw_log_lines(6);
    let forged = lines
        .iter()
        .filter(|line| line.starts_with("least-requests forged 127."));
    assert_eq!(forged.count(), 5, "{lines:?}");
    let mut new = lines
        .iter()
        .filter(|line| line.starts_with("least-requests new 127."));
    assert!(new.next().is_some(), "{lines:?}");
}

#[test]
fn the_cookie_of_who_came_by_https_to_a_trusted_proxy_is_for_https() {
    let backends = [named("a"), named("b"), named("c")];
    let [a, b, c] = backends.each_ref().map(|backend| backend.address());
    let trusting = format!("{CONFIG}\n[forwarding]\ntrusted_proxies = [\"127.0.0.1/32\"]\n");
    for (config, scheme, is_secure) in [
        (trusting.as_str(), "https", true),
        (trusting.as_str(), "http", false),
        (CONFIG, "https", false),
    ] {
        let gateway = Gateway::new(config);
        let gateway = gateway
            .fill("a", a)
            .fill("b", b)
            .fill("c", c)
            .fill("more", "")
            .start();
        let answer = gateway.exchange(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {scheme}\r\n\r\n"
        ));
        let (_, line) = cookie(&answer).expect("a session begins");
        assert_eq!(line.ends_with("; Secure"), is_secure, "{line}");
    }
}

#[test]
fn the_cookie_has_the_attributes_that_are_asked_for_and_tells_nothing() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let gateway = Gateway::new(CONFIG)
        .fill("a", a.address())
        .fill("b", b.address())
        .fill("c", c.address())
        .fill(
            "more",
            "lifetime = \"off\"\npath = \"/shop\"\nsecure = \"on\"\nhttp_only = false\nsame_site = \"none\"",
        )
        .start();
    let answers: Vec<Response> = (0..12).map(|_| gateway.get("a", "/")).collect();
    let cookies: Vec<(String, String)> = answers.iter().map(|one| cookie(one).unwrap()).collect();
    let (value, line) = &cookies[0];
    assert_eq!(
        *line,
        format!("place={value}; Path=/shop; SameSite=None; Secure")
    );
    // Twelve sessions at three backends: no two values agree anywhere to speak of.
    let values: BTreeSet<&str> = cookies.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(values.len(), 12);
    assert!(values.iter().all(|value| value.len() == 60));
}

#[test]
fn a_reload_keeps_sessions() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let mut gateway = Gateway::new(CONFIG)
        .fill("a", a.address())
        .fill("b", b.address())
        .fill("c", c.address())
        .fill("more", "")
        .start();
    let first = gateway.get("a", "/");
    let (value, _) = cookie(&first).unwrap();
    let order = CONFIG.replace("\"{a}\", \"{b}\", \"{c}\"", "\"{c}\", \"{b}\", \"{a}\"");
    gateway.rewrite_config(
        &order,
        &[
            ("a", &a.address()),
            ("b", &b.address()),
            ("c", &c.address()),
            ("more", &""),
        ],
    );
    gateway.signal(foregate_testkit::Signal::Hup);
    gateway.wait_metric("foregate_config_reloads_total", &[("result", "ok")], 1.0);
    for _ in 0..6 {
        let answer = ask(&gateway, &value);
        assert_eq!(answer.text(), first.text());
        assert_eq!(cookie(&answer), None);
    }
}

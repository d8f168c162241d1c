//! A route's requests shared among several upstreams.

use crate::{explained, get, named, shares};
use foregate_testkit::{Backend, Gateway};

fn gateway(by: &str, stable: &Backend, canary: &Backend) -> Gateway {
    Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        [[sites."*".routes]]
        name = "shared"
        split = [{ upstream = "stable", weight = 3 }, { upstream = "canary" }]
        {by}
        [upstreams.stable]
        servers = ["{stable}"]
        [upstreams.canary]
        servers = ["{canary}"]
        host = "canary.internal"
        "#,
    )
    .fill("by", by)
    .fill("stable", stable.address())
    .fill("canary", canary.address())
    .start()
}

#[test]
fn a_canary_gets_its_part_with_settings_of_its_own() {
    let (stable, canary) = (named("stable"), named("canary"));
    let gateway = gateway("", &stable, &canary);
    let shares = shares(&gateway, 400, |_| get("/"));
    // A quarter of 400 is 100, give or take 8.7; six times that is missed once in half a billion runs.
    assert!((48..=152).contains(&shares["canary"]), "{shares:?}");
    assert_eq!(
        canary.last_request().fields.get("Host"),
        Some("canary.internal")
    );
    assert_eq!(stable.last_request().fields.get("Host"), Some("a"));
    let line = gateway.log_lines(400).pop().unwrap();
    assert!(["stable", "canary"].contains(&line.text("upstream").as_str()));
}

#[test]
fn a_client_keeps_its_target_by_key() {
    let (stable, canary) = (named("stable"), named("canary"));
    let gateway = gateway("split_by = \"cookie:user\"", &stable, &canary);
    let mut canaries = 0;
    for user in 0..60 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: user=u{user}\r\n\r\n");
        let homes = shares(&gateway, 4, |_| request.clone());
        assert_eq!(homes.len(), 1, "user {user}: {homes:?}");
        canaries += usize::from(homes.contains_key("canary"));
        let header = format!("Cookie: user=u{user}");
        let said = explained(&gateway, &["-H", &header, "GET", "http://a/"]);
        let home = homes.keys().next().unwrap();
        assert!(said.contains(&format!("upstream    {home}, ")), "{said}");
        assert!(said.contains("parts go here, by cookie:user"), "{said}");
    }
    assert!((4..30).contains(&canaries), "{canaries} of 60");
}

#[test]
fn mistakes_are_told_with_their_way_out() {
    let faults = [
        (
            "split = [{ upstream = \"app\", weight = 0 }]",
            "no target takes requests",
        ),
        (
            "upstream = \"app\"\nsplit_by = \"client\"",
            "`split_by` does nothing without `split`",
        ),
        (
            "upstream = \"app\"\nsubset = { version = \"v9\" }",
            "none has the label version = \"v9\"",
        ),
        (
            "split = [{ upstream = \"app\" }]\nsplit_by = \"heder:X\"",
            "did you mean \"header:X\"?",
        ),
        (
            "split = [{ upstream = \"app\" }]\nupstream = \"app\"",
            "a route does one thing",
        ),
    ];
    for (route, expected) in faults {
        let run = Gateway::new(
            r#"
            [sites."*"]
            [[sites."*".routes]]
            {route}
            [upstreams.app]
            servers = ["127.0.0.1:1"]
            "#,
        )
        .fill("route", route)
        .run_to_end();
        assert!(run.stderr.contains(expected), "{route}: {}", run.stderr);
    }
}

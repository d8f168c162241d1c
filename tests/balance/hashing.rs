//! Requests with the same key meet at the same backend.

use crate::{explained, named, shares};
use foregate_testkit::Gateway;

const CONFIG: &str = r#"
    workers = 2
    [sites."*"]
    upstream = "app"
    [upstreams.app]
    servers = ["{a}", "{b}", "{c}"]
    balance = "{balance}"
    hash_by = "{by}"
"#;

#[test]
fn a_key_stays_where_it_is_and_keys_are_spread() {
    for balance in ["hash-ring", "hash-maglev"] {
        let (a, b, c) = (named("a"), named("b"), named("c"));
        for (by, request) in [
            (
                "header:X-User",
                "GET / HTTP/1.1\r\nHost: a\r\nX-User: {key}\r\n\r\n",
            ),
            (
                "cookie:user",
                "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; user={key}\r\n\r\n",
            ),
            (
                "query:user",
                "GET /?a=b&user={key} HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            ("path", "GET /{key} HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("url", "GET /?{key} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ] {
            let gateway = Gateway::new(CONFIG)
                .fill("a", a.address())
                .fill("b", b.address())
                .fill("c", c.address())
                .fill("balance", balance)
                .fill("by", by)
                .start();
            let mut backends_seen = std::collections::BTreeSet::new();
            for key in 0..40 {
                // Connections of their own, so that both workers are asked.
                let request = request.replace("{key}", &format!("user-{key}"));
                let homes: Vec<String> =
                    (0..3).map(|_| gateway.exchange(&request).text()).collect();
                assert!(
                    homes.iter().all(|home| *home == homes[0]),
                    "{balance} {by}: {homes:?}"
                );
                backends_seen.insert(homes[0].clone());
            }
            assert_eq!(backends_seen.len(), 3, "{balance} {by}");
        }
    }
}

#[test]
fn a_client_stays_with_its_backend_and_moves_while_that_is_down() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let gateway = Gateway::new(CONFIG)
        .fill("a", a.address())
        .fill("b", b.address())
        .fill("c", c.address())
        .fill("balance", "hash-ring")
        .fill("by", "client")
        .start();
    let home = gateway.get("x", "/").text();
    let all = shares(&gateway, 20, |_| crate::get("/"));
    assert_eq!(all.keys().collect::<Vec<_>>(), [&home]);
    let mut backends = [("a", Some(a)), ("b", Some(b)), ("c", Some(c))];
    let own = backends.iter_mut().find(|(name, _)| *name == home).unwrap();
    let refuser = own.1.take().unwrap().kill();
    let elsewhere = shares(&gateway, 20, |_| crate::get("/"));
    assert_eq!(elsewhere.len(), 1, "one other takes it over: {elsewhere:?}");
    assert!(!elsewhere.contains_key(&home));
    drop(refuser);
}

#[test]
fn an_explanation_names_the_key_and_the_same_backend() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let gateway = Gateway::new(CONFIG)
        .fill("a", a.address())
        .fill("b", b.address())
        .fill("c", c.address())
        .fill("balance", "hash-maglev")
        .fill("by", "header:X-User")
        .start();
    for user in ["anna", "bert", "carl"] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n");
        let served = gateway.exchange(request).text();
        let header = format!("X-User: {user}");
        let said = explained(&gateway, &["-H", &header, "GET", "http://a/"]);
        assert!(said.contains("hash-maglev by header:x-user"), "{said}");
        let backend = [("a", &a), ("b", &b), ("c", &c)]
            .into_iter()
            .find(|(name, _)| *name == served);
        let chosen = said.lines().find(|line| line.contains("<-")).unwrap();
        assert!(
            chosen.contains(&backend.unwrap().1.address().to_string()),
            "{said}"
        );
        assert!(chosen.ends_with("(hash)"), "{said}");
    }
    let said = explained(&gateway, &["GET", "http://a/"]);
    assert!(said.contains("(no-key)"), "{said}");
}

//! Which route of a site answers for which path.

use foregate_testkit::Gateway;
use foregate_tests::assert_outcome;

/// Routes as (name, condition); each answers with its name.
fn site(routes: &[(&str, &str)]) -> String {
    let mut text = "[sites.\"*\"]\n".to_owned();
    for (name, condition) in routes {
        text.push_str(&format!(
            "[[sites.\"*\".routes]]\nname = \"{name}\"\n{condition}\nrespond = {{ status = 200, body = \"{name}\" }}\n"
        ));
    }
    text
}

fn check(gateway: &Gateway, target: &str, expected: &str) {
    let response = gateway.get("any.example", target);
    let seen = if response.status == 200 {
        response.text()
    } else {
        response.status.to_string()
    };
    assert_eq!(seen, expected, "target {target}");
}

#[test]
fn each_kind_of_path_matches_its_own() {
    let gateway = Gateway::new(&site(&[
        ("exact", r#"path = { exact = "/exact" }"#),
        ("prefix", r#"path = { prefix = "/prefix" }"#),
        ("plain", r#"path = "/plain""#),
        ("glob", r#"path = { glob = "/glob/*.png" }"#),
        ("regex", r#"path = { regex = "^/regex/[0-9]+$" }"#),
    ]))
    .start();
    for (target, expected) in [
        ("/exact", "exact"),
        ("/exact?query", "exact"),
        ("/exact/", "404"),
        ("/exac%74", "exact"),
        ("/prefix", "prefix"),
        ("/prefix/", "prefix"),
        ("/prefix/below", "prefix"),
        ("/prefixed", "404"),
        ("/plain/below", "plain"),
        ("/plainer", "404"),
        ("/glob/a.png", "glob"),
        ("/glob/a.jpg", "404"),
        ("/regex/42", "regex"),
        ("/regex/x", "404"),
        ("/other/../exact", "exact"),
    ] {
        check(&gateway, target, expected);
    }
    gateway.assert_no_leaks();
}

#[test]
fn the_most_specific_path_wins_wherever_it_stands() {
    let mut routes = vec![
        ("everything", r#"path = "/""#),
        ("a", r#"path = "/a""#),
        ("a-b", r#"path = "/a/b""#),
        ("a-b-exact", r#"path = { exact = "/a/b" }"#),
        ("a-posted", "path = \"/a\"\nmethods = [\"POST\"]"),
    ];
    for _ in 0..routes.len() {
        let gateway = Gateway::new(&site(&routes)).start();
        check(&gateway, "/", "everything");
        check(&gateway, "/ab", "everything");
        check(&gateway, "/a", "a");
        check(&gateway, "/a/x", "a");
        check(&gateway, "/a/b", "a-b-exact");
        check(&gateway, "/a/b/c", "a-b");
        let posted = gateway.exchange(
            "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(
            posted.text(),
            "a-posted",
            "with the routes in the order {routes:?}"
        );
        routes.rotate_left(1);
    }
}

#[test]
fn a_priority_overrides_specificity() {
    let gateway = Gateway::new(&site(&[
        ("specific", r#"path = { exact = "/a" }"#),
        ("urgent", "path = \"/\"\npriority = 10"),
    ]))
    .start();
    check(&gateway, "/a", "urgent");
}

#[test]
fn no_matching_route_is_not_found() {
    let gateway = Gateway::new(&site(&[("a", r#"path = "/a""#)])).start();
    check(&gateway, "/b", "404");
    assert_outcome(&gateway, 404, "no-route");
}

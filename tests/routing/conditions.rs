//! Routes chosen by method, header fields, query and client address.

use foregate_testkit::Gateway;

fn check(gateway: &Gateway, request_line: &str, fields: &str, expected: &str) {
    let request = format!(
        "{request_line} HTTP/1.1\r\nHost: any.example\r\n{fields}Connection: close\r\n\r\n"
    );
    assert_eq!(
        gateway.exchange(request).text(),
        expected,
        "{request_line} {fields:?}"
    );
}

/// A site with the route `special` under a condition, and the route `plain` for the rest.
fn conditional(condition: &str) -> Gateway {
    Gateway::new(&format!(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        name = "plain"
        respond = {{ status = 200, body = "plain" }}
        [[sites."*".routes]]
        name = "special"
        {condition}
        respond = {{ status = 200, body = "special" }}
        "#
    ))
    .start()
}

#[test]
fn by_method() {
    let gateway = conditional(r#"methods = ["GET", "PURGE"]"#);
    check(&gateway, "GET /", "", "special");
    check(&gateway, "PURGE /", "", "special");
    check(&gateway, "get /", "", "plain");
    check(&gateway, "DELETE /", "", "plain");
}

#[test]
fn by_a_header_fields_exact_value() {
    let gateway = conditional(r#"headers = { "X-Beta" = "1" }"#);
    check(&gateway, "GET /", "x-beta: 1\r\n", "special");
    check(&gateway, "GET /", "X-Beta: 2\r\n", "plain");
    check(&gateway, "GET /", "X-Beta: 11\r\n", "plain");
    check(&gateway, "GET /", "", "plain");
}

#[test]
fn by_a_header_fields_presence_or_absence() {
    let gateway = conditional(r#"headers = { "X-Any" = "*", "X-None" = "!" }"#);
    check(&gateway, "GET /", "X-Any: whatever\r\n", "special");
    check(
        &gateway,
        "GET /",
        "X-Any: whatever\r\nX-None: x\r\n",
        "plain",
    );
    check(&gateway, "GET /", "", "plain");
}

#[test]
fn by_a_header_fields_pattern() {
    let gateway = conditional(r#"headers = { "User-Agent" = "~^curl/[78]" }"#);
    check(&gateway, "GET /", "User-Agent: curl/8.1\r\n", "special");
    check(&gateway, "GET /", "User-Agent: not curl/8.1\r\n", "plain");
}

/// Both routes took a request with both values, and their places in the file decided which got it.
#[test]
fn of_several_values_the_first_counts_wherever_the_routes_stand() {
    let by = |condition: &str, answer: &str| {
        format!(
            "[[sites.\"*\".routes]]\n{condition}\nrespond = {{ status = 200, body = \"{answer}\" }}\n"
        )
    };
    let routes = [
        by("query = { v = \"1\" }", "one"),
        by("query = { v = \"2\" }", "two"),
        by("headers = { X-V = \"1\" }", "one"),
        by("headers = { X-V = \"2\" }", "two"),
    ];
    for order in [[0, 1, 2, 3], [1, 0, 3, 2]] {
        let text = order.map(|at| routes[at].as_str()).concat();
        let gateway = Gateway::new(&format!("[sites.\"*\"]\n{text}")).start();
        check(&gateway, "GET /?v=1&v=2", "", "one");
        check(&gateway, "GET /?%76=2&v=1", "", "two");
        check(&gateway, "GET /", "X-V: 1\r\nx-v: 2\r\n", "one");
        check(&gateway, "GET /", "X-V: 2\r\nX-V: 1\r\n", "two");
    }
}

#[test]
fn by_query() {
    let gateway = conditional(r#"query = { "v" = "2", "debug" = "*" }"#);
    check(&gateway, "GET /?v=2&debug", "", "special");
    check(&gateway, "GET /?debug=1&v=2", "", "special");
    check(&gateway, "GET /?v=2", "", "plain");
    check(&gateway, "GET /?v=22&debug", "", "plain");
    check(&gateway, "GET /", "", "plain");
}

#[test]
fn by_client_address() {
    let gateway = conditional(r#"clients = ["127.0.0.8/29"]"#);
    let ask = |from: &str| {
        gateway
            .connect_from(from)
            .exchange("GET / HTTP/1.1\r\nHost: any.example\r\n\r\n")
            .text()
    };
    assert_eq!(ask("127.0.0.9"), "special");
    assert_eq!(ask("127.0.0.15"), "special");
    assert_eq!(ask("127.0.0.16"), "plain");
    assert_eq!(ask("127.0.0.1"), "plain");
    gateway.assert_no_leaks();
}

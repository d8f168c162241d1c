//! The PROXY protocol, from trusted proxies in front and to backends that ask for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foregate_testkit::{Answer, Backend, Echo, Gateway, RawClient, Visit, eventually};
use foregate_tests::metric;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n";

/// The version 2 header for 192.0.2.7:5555 → 198.51.100.1:443.
fn v2() -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    bytes.extend_from_slice(&[192, 0, 2, 7, 198, 51, 100, 1, 0x15, 0xb3, 0x01, 0xbb]);
    bytes
}

fn accepting(backend: &Backend) -> Gateway {
    accepting_with(backend, "")
}

fn accepting_with(backend: &Backend, client: &str) -> Gateway {
    Gateway::new(
        r#"
        [client]
        {client}
        [forwarding]
        trusted_proxies = ["127.0.0.2/32"]
        [listeners.public]
        address = "127.0.0.1:0"
        proxy_protocol = "accept"
        connections_per_client_max = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("client", client)
    .fill("backend", backend.address())
    .start()
}

#[test]
fn clients_are_counted_and_not_the_proxy_that_all_come_through() {
    let backend = Backend::start(Echo);
    let gateway = accepting(&backend);
    let come = |client: &str| {
        let mut connection = gateway.connect_from("127.0.0.2");
        connection.send(format!("PROXY TCP4 {client} 198.51.100.1 5555 443\r\n"));
        connection.send_if_taken(GET);
        let status = connection
            .try_response(false)
            .map(|response| response.status);
        (connection, status)
    };
    let (first, status) = come("192.0.2.7");
    assert_eq!(status, Ok(200));
    let (_second, status) = come("192.0.2.8");
    assert_eq!(status, Ok(200));
    let (mut third, status) = come("192.0.2.7");
    assert!(status.is_err(), "{status:?}");
    third.assert_closed();
    drop(first);
    eventually("there is room for it again", || {
        come("192.0.2.7").1.ok().filter(|status| *status == 200)
    });
}

#[test]
fn who_is_named_is_believed_only_if_it_is_trusted_itself() {
    let claim = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    for (header, told, client) in [
        (V1, "192.0.2.7", "192.0.2.7"),
        (
            "PROXY TCP4 127.0.0.2 198.51.100.1 5555 443\r\n",
            "203.0.113.9, 127.0.0.2",
            "203.0.113.9",
        ),
        // It speaks for somebody whom it does not know.
        ("PROXY UNKNOWN\r\n", "127.0.0.2", "127.0.0.2"),
    ] {
        let backend = Backend::start(Echo);
        let gateway = accepting(&backend);
        let mut connection = gateway.connect_from("127.0.0.2");
        connection.send(header);
        assert_eq!(connection.exchange(claim).status, 200);
        assert_eq!(backend.only_request().field("x-forwarded-for"), Some(told));
        assert_eq!(gateway.only_log_line().text("client"), client);
    }
}

/// Whom the header names is looked at again after a reload; nobody knows for whom one without a name speaks.
#[test]
fn who_is_named_is_believed_as_soon_as_it_is_trusted() {
    let claim = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    let backend = Backend::start(Echo);
    let mut gateway = accepting(&backend);
    let told = |client: &mut RawClient| {
        assert_eq!(client.exchange(claim).status, 200);
        let last = backend.last_request();
        last.fields.all("x-forwarded-for").join(", ")
    };
    let mut named = gateway.connect_from("127.0.0.2");
    named.send(V1);
    let mut unnamed = gateway.connect_from("127.0.0.2");
    unnamed.send("PROXY UNKNOWN\r\n");
    assert_eq!(told(&mut named), "192.0.2.7");
    assert_eq!(told(&mut unnamed), "127.0.0.2");
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let both = text.replace("127.0.0.2/32\"", "127.0.0.2/32\", \"192.0.2.7/32\"");
    gateway.rewrite_config(&both, &[]);
    assert_eq!(gateway.admin_send("POST", "/reload", "").status, 200);
    eventually("the one that is named is believed", || {
        (told(&mut named) == "203.0.113.9, 192.0.2.7").then_some(())
    });
    for _ in 0..3 {
        assert_eq!(told(&mut unnamed), "127.0.0.2");
    }
}

#[test]
fn a_beginning_that_comes_with_the_header_is_no_reason_to_wait_for_ever() {
    let backend = Backend::start(Echo);
    let gateway = accepting_with(&backend, "head_timeout = \"400ms\"");
    let mut client = gateway.connect_from("127.0.0.2");
    // What HTTP/2 could begin with as well.
    client.send(format!("{V1}P"));
    client.assert_silent_for(Duration::from_millis(100));
    client.send("OST / HT");
    assert_eq!(client.response().status, 408);
    client.assert_closed();
}

#[test]
fn both_versions_are_accepted_from_a_trusted_proxy() {
    for header in [V1.as_bytes().to_vec(), v2()] {
        let backend = Backend::start(Echo);
        let gateway = accepting(&backend);
        let mut client = gateway.connect_from("127.0.0.2");
        client.send(&header);
        assert_eq!(client.exchange(GET).status, 200);
        assert_eq!(
            client.exchange(GET).status,
            200,
            "the header stands for the whole connection"
        );
        assert_eq!(
            backend.last_request().field("x-forwarded-for"),
            Some("192.0.2.7")
        );
        assert_eq!(gateway.log_lines(2)[1].text("client"), "192.0.2.7");
        drop(client);
        gateway.assert_no_leaks();
    }
}

/// A version 2 header with this command and family, and what stands behind its fixed part.
fn v2_with(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\x00\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// A typed value of version 2.
fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// The header of [`v2`] with what load balancers add: the protocol, the name that was asked for, a version of TLS within
/// a value, a cloud's own mark, and padding.
fn v2_with_values(checksums: &[[u8; 4]]) -> Vec<u8> {
    let mut rest = v2()[16..].to_vec();
    let tls = [&[1, 0, 0, 0, 0][..], &value(0x21, b"TLSv1.3")].concat();
    for (kind, bytes) in [
        (0x01, &b"h2"[..]),
        (0x02, b"a.example"),
        (0x20, &tls),
        (0xea, b"\x01vpce"),
        (0x04, b"\0\0"),
    ] {
        rest.extend(value(kind, bytes));
    }
    for checksum in checksums {
        rest.extend(value(0x03, checksum));
    }
    v2_with(0x21, 0x11, &rest)
}

/// CRC-32C of `v2_with_values(&[[0; 4]])`, as another program has computed it.
const CHECKSUM: [u8; 4] = [0xfa, 0xf8, 0x58, 0x94];

/// By the header, what backends are told and what the log says, where the request claims another client.
#[test]
fn version_2_names_the_client_whatever_else_it_tells() {
    let ours: &[u8] = &v2()[16..];
    let sixteen = |last: u8| [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[last]].concat();
    let v6 = [sixteen(7), sixteen(1), vec![0x15, 0xb3, 0x01, 0xbb]].concat();
    let believed = ("203.0.113.9, 127.0.0.2", "203.0.113.9");
    for (header, told, client) in [
        (v2_with_values(&[]), "192.0.2.7", "192.0.2.7"),
        (v2_with_values(&[CHECKSUM]), "192.0.2.7", "192.0.2.7"),
        (v2_with(0x21, 0x21, &v6), "2001:db8::7", "2001:db8::7"),
        // LOCAL: the proxy speaks for itself, and is trusted. Addresses say nothing there.
        (v2_with(0x20, 0x00, b""), believed.0, believed.1),
        (v2_with(0x20, 0x11, ours), believed.0, believed.1),
        // UNSPEC, and a local socket: it speaks for somebody whom it does not know.
        (v2_with(0x21, 0x00, b""), "127.0.0.2", "127.0.0.2"),
        (v2_with(0x21, 0x00, ours), "127.0.0.2", "127.0.0.2"),
        (v2_with(0x21, 0x31, &[b'x'; 216]), "127.0.0.2", "127.0.0.2"),
    ] {
        let backend = Backend::start(Echo);
        let gateway = accepting(&backend);
        let mut connection = gateway.connect_from("127.0.0.2");
        // In one piece with the request behind it, no byte of which belongs to the header.
        let claim = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
        let response = connection.exchange([&header[..], claim.as_bytes()].concat());
        assert_eq!(response.status, 200, "{header:x?}");
        let request = backend.only_request();
        assert_eq!(request.field("x-forwarded-for"), Some(told), "{header:x?}");
        assert_eq!(gateway.only_log_line().text("client"), client);
    }
}

#[test]
fn a_version_2_header_that_contradicts_itself_is_refused() {
    let wrong = [0xfa, 0xf8, 0x58, 0x95];
    let ours = &v2()[16..];
    let backend = Backend::start(Echo);
    let gateway = accepting(&backend);
    let mut refused = 0.0;
    for (header, fault) in [
        (v2_with_values(&[wrong]), "a wrong checksum"),
        (v2_with_values(&[CHECKSUM, CHECKSUM]), "two checksums"),
        (
            v2_with(0x21, 0x11, &[ours, &[1, 0, 9, b'h']].concat()),
            "a value that is cut off",
        ),
        (
            v2_with(0x21, 0x11, &ours[..8]),
            "addresses that are cut off",
        ),
        (v2_with(0x22, 0x11, ours), "a command that there is none of"),
        (v2_with(0x11, 0x11, ours), "another version"),
        (v2_with(0x21, 0x41, ours), "a family that there is none of"),
    ] {
        let mut connection = gateway.connect_from("127.0.0.2");
        connection.send_if_taken([&header[..], GET.as_bytes()].concat());
        connection.assert_closed();
        refused += 1.0;
        let labels = [("reason", "proxy-header-bad")];
        gateway.wait_metric(metric::CONNECTIONS_REFUSED, &labels, refused);
        assert_eq!(backend.requests_total(), 0, "{fault}");
    }
    gateway.assert_no_leaks();
}

#[test]
fn a_header_arriving_in_pieces_is_accepted() {
    let backend = Backend::start(Echo);
    let gateway = accepting(&backend);
    let mut client = gateway.connect_from("127.0.0.2");
    for byte in V1.bytes().chain(GET.bytes()) {
        client.send([byte]);
    }
    assert_eq!(client.response().status, 200);
    assert_eq!(
        backend.only_request().field("x-forwarded-for"),
        Some("192.0.2.7")
    );
}

#[test]
fn a_trusted_proxy_that_sends_none_or_a_bad_one_is_turned_away() {
    let backend = Backend::start(Echo);
    let gateway = accepting(&backend);
    for bytes in [
        GET,
        "PROXY TCP4 192.0.2.300 198.51.100.1 5555 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = gateway.connect_from("127.0.0.2");
        client.send(bytes);
        if let Ok(response) = client.try_response(false) {
            assert_eq!(response.status, 400);
        }
        client.assert_closed();
    }
    assert_eq!(backend.requests_total(), 0);
    gateway.assert_no_leaks();
}

#[test]
fn an_untrusted_client_that_sends_one_is_turned_away() {
    let backend = Backend::start(Echo);
    let gateway = accepting(&backend);
    let mut client = gateway.connect_from("127.0.0.9");
    client.send(V1);
    client.send_if_taken(GET);
    if let Ok(response) = client.try_response(false) {
        assert_eq!(response.status, 400);
    }
    client.assert_closed();
    assert_eq!(backend.requests_total(), 0);
    gateway.assert_no_leaks();
}

/// A load balancer that is missing in `trusted_proxies` must not be a riddle.
#[test]
fn the_operator_is_told_why_a_connection_is_refused() {
    let untrusted = "is not in trusted_proxies client=127.0.0.9:";
    for (from, bytes, reason, told) in [
        ("127.0.0.9", V1, "proxy-untrusted", untrusted),
        (
            "127.0.0.2",
            "PROXY TCP9 x\r\n",
            "proxy-header-bad",
            "missing or malformed client=127.0.0.2:",
        ),
        (
            "127.0.0.2",
            GET,
            "proxy-header-bad",
            "missing or malformed client=127.0.0.2:",
        ),
        (
            "127.0.0.2",
            "PROXY TCP4 192.",
            "proxy-header-truncated",
            "ended within its PROXY protocol header client=127.0.0.2:",
        ),
    ] {
        let backend = Backend::start(Echo);
        let gateway = accepting_with(&backend, "[log]\nlevel = \"debug\"");
        let mut client = gateway.connect_from(from);
        client.send_if_taken(bytes);
        client.connection().finish_sending();
        client.assert_closed();
        gateway.wait_metric(metric::CONNECTIONS_REFUSED, &[("reason", reason)], 1.0);
        let refused = gateway.metric(metric::CONNECTIONS_REFUSED, &[]);
        assert_eq!(refused, 1.0, "{reason}");
        gateway.wait_stderr(told);
    }
}

#[test]
fn a_header_that_does_not_come_is_told_too_and_a_flood_is_told_once() {
    let backend = Backend::start(Echo);
    let gateway = accepting_with(&backend, "head_timeout = \"200ms\"");
    let began = std::time::Instant::now();
    for _ in 0..20 {
        gateway.connect_from("127.0.0.9").assert_closed();
    }
    let refused = [("reason", "proxy-untrusted")];
    gateway.wait_metric(metric::CONNECTIONS_REFUSED, &refused, 20.0);
    gateway.wait_stderr("trusted_proxies client=127.0.0.9:");
    let lines = gateway.stderr().matches("trusted_proxies client").count();
    let seconds = began.elapsed().as_secs() as usize;
    assert!((1..=seconds + 1).contains(&lines), "{lines} in {seconds} s");
    // Strangers hide nothing of what befalls those who are trusted.
    let mut client = gateway.connect_from("127.0.0.2");
    client.assert_closed();
    gateway.wait_stderr("did not come in time client=127.0.0.2:");
}

#[test]
fn where_it_is_off_the_header_is_a_bad_request() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send(V1);
    client.send_if_taken(GET);
    assert_eq!(client.response().status, 400);
    client.assert_closed();
    assert_eq!(backend.requests_total(), 0);
}

/// A backend that reads `header_bytes` (or a line, when `None`) before the first request of each connection.
fn expecting(header_bytes: Option<usize>, headers: &Arc<Mutex<Vec<Vec<u8>>>>) -> Backend {
    let headers = Arc::clone(headers);
    Backend::start(move |visit: &mut Visit| {
        let header = match header_bytes {
            Some(count) => visit.connection.take(count)?,
            None => visit.connection.line()?,
        };
        headers.lock().expect("no panics").push(header);
        while let Some(request) = visit.next_request()? {
            visit.answer(&request, &Answer::ok("told"))?;
        }
        Ok(())
    })
}

fn sending(version: &str, backend: &Backend) -> Gateway {
    Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        proxy_protocol = "{version}"
        servers = ["{backend}"]
        "#,
    )
    .fill("version", version)
    .fill("backend", backend.address())
    .start()
}

#[test]
fn version_1_tells_a_backend_who_connects() {
    let headers = Arc::default();
    let backend = expecting(None, &headers);
    let gateway = sending("v1", &backend);
    let mut client = gateway.connect_from("127.0.0.5");
    let port = client.local_address().port();
    assert_eq!(client.exchange(GET).text(), "told");
    let header = String::from_utf8(headers.lock().expect("no panics")[0].clone()).expect("text");
    assert_eq!(
        header,
        format!(
            "PROXY TCP4 127.0.0.5 127.0.0.1 {port} {}",
            gateway.address().port()
        )
    );
}

#[test]
fn version_2_tells_a_backend_who_connects() {
    let headers = Arc::default();
    let backend = expecting(Some(28), &headers);
    let gateway = sending("v2", &backend);
    let mut client = gateway.connect_from("127.0.0.5");
    let port = client.local_address().port();
    assert_eq!(client.exchange(GET).text(), "told");
    let header = headers.lock().expect("no panics")[0].clone();
    assert_eq!(&header[..16], b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c");
    assert_eq!(header[16..24], [127, 0, 0, 5, 127, 0, 0, 1]);
    assert_eq!(header[24..26], port.to_be_bytes());
    assert_eq!(header[26..28], gateway.address().port().to_be_bytes());
}

#[test]
fn such_a_connection_is_never_shared_between_clients() {
    let headers = Arc::default();
    let backend = expecting(None, &headers);
    let gateway = sending("v1", &backend);
    for client in ["127.0.0.5", "127.0.0.6", "127.0.0.5"] {
        assert_eq!(gateway.connect_from(client).exchange(GET).text(), "told");
    }
    let headers = headers.lock().expect("no panics").clone();
    assert_eq!(headers.len(), 3, "{headers:?}");
    assert!(String::from_utf8_lossy(&headers[1]).contains("127.0.0.6"));
}

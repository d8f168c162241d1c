//! Browsers' gRPC-Web, to backends that speak gRPC.

use foregate_testkit::{Answer, Backend, Gateway, Http2Client, Request, Visit};

/// A frame of gRPC with this message.
fn message(text: &str) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&(text.len() as u32).to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A backend that answers each call with what it was sent, and says so in its trailers.
fn answer(request: &Request) -> Answer {
    let asked = |name| request.field(name).unwrap_or_default().to_owned();
    Answer::status(200)
        .field("Content-Type", "application/grpc+proto")
        .field(
            "X-Asked",
            &format!("{} {}", asked("content-type"), asked("te")),
        )
        .chunks([request.body.clone(), message("second")])
        .trailer("Grpc-Status", "0")
        .trailer("Grpc-Message", "fine")
}

fn gateway(backend: &Backend) -> Gateway {
    Gateway::new(&format!(
        "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\ngrpc_web = true\n",
        backend.address()
    ))
    .start()
}

fn call(content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /pets.Shop/Buy HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

const TRAILERS: &[u8] = b"\x80\0\0\0\x24grpc-status: 0\r\ngrpc-message: fine\r\n";

#[test]
fn binary_calls_get_their_trailers_as_the_last_frame() {
    let backend = Backend::answering(answer);
    let gateway = gateway(&backend);
    let response = gateway.exchange(call("application/grpc-web+proto", &message("first")));
    assert_eq!(response.status, 200);
    assert_eq!(
        response.field("content-type"),
        Some("application/grpc-web+proto")
    );
    assert_eq!(
        response.field("x-asked"),
        Some("application/grpc+proto trailers")
    );
    let expected = [message("first"), message("second"), TRAILERS.to_vec()].concat();
    assert_eq!(response.body, expected);
    assert_eq!(gateway.only_log_line().reason(), "proxied");
}

#[test]
fn text_calls_are_base64_both_ways() {
    let backend = Backend::answering(answer);
    let gateway = gateway(&backend);
    // Each message padded by itself.
    let response = gateway.exchange(call("application/grpc-web-text", b"AAAAAAJoaQ=="));
    assert_eq!(
        response.field("content-type"),
        Some("application/grpc-web-text+proto")
    );
    let encoded = response.text();
    let decoded: Vec<u8> = decode(&encoded);
    let expected = [message("hi"), message("second"), TRAILERS.to_vec()].concat();
    assert_eq!(decoded, expected);
}

#[test]
fn text_that_is_no_base64_is_the_clients_fault() {
    let backend = Backend::answering(answer);
    let gateway = gateway(&backend);
    let response = gateway.exchange(call("application/grpc-web-text", b"!!!!"));
    assert_eq!(
        (response.status, response.field("grpc-status")),
        (200, Some("13"))
    );
    assert_eq!(gateway.only_log_line().reason(), "request-bad-encoding");
}

#[test]
fn nothing_is_translated_unasked() {
    let backend = Backend::answering(answer);
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway.exchange(call("application/grpc-web", &message("first")));
    assert_eq!(
        response.field("content-type"),
        Some("application/grpc+proto")
    );
    assert_eq!(response.field("x-asked"), Some("application/grpc-web"));
    assert_eq!(
        response.body,
        [message("first"), message("second")].concat()
    );
}

/// A backend that begins an answer of this type, and breaks it off.
fn breaks_off(content_type: &'static str) -> Backend {
    Backend::start(move |visit: &mut Visit| {
        visit.next_request()?;
        visit.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\0\0\0\0\0\r\n"
        ))
    })
}

/// Whoever gets a page instead of an answer of gRPC has no status to look at: its end must not look like one.
#[test]
fn an_answer_that_is_no_grpc_and_breaks_off_does_not_look_whole() {
    let backend = breaks_off("text/html");
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    client.send(call("application/grpc-web", &message("first")));
    assert!(client.try_response(false).is_err());
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("POST", "/", &[("content-type", "application/grpc")], true);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.ended), (200, false));
    assert!(answer.reset.is_some() && answer.trailers.get("grpc-status").is_none());
    for line in gateway.log_lines(2) {
        assert_eq!(line.reason(), "upstream-truncated");
    }
}

#[test]
fn an_answer_of_grpc_that_breaks_off_ends_with_a_status() {
    let backend = breaks_off("application/grpc");
    let gateway = gateway(&backend);
    let response = gateway.exchange(call("application/grpc-web", &message("first")));
    assert!(response.text().contains("grpc-status: 14"));
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("POST", "/", &[("content-type", "application/grpc")], true);
    let answer = client.answer(stream);
    assert_eq!(answer.trailers.get("grpc-status"), Some("14"));
}

/// Base64, where groups may be padded anywhere.
fn decode(text: &str) -> Vec<u8> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let digits = group.iter().map(|&letter| LETTERS.find(letter as char));
        let padded = digits.clone().filter(Option::is_none).count();
        let number = digits.fold(0, |number, digit| number << 6 | digit.unwrap_or(0) as u32);
        out.extend_from_slice(&number.to_be_bytes()[1..4 - padded]);
    }
    out
}

//! Single steps of the road, over and over, for counting their instructions (`bench/micro`).
//!
//! `micro --list yes` names the cases; `micro --case parse-browser --count 10000` runs one. `micro --clock 200` times the
//! choice of a route instead, with one route and with 10,000, over so many walks; `micro --picks 50` times picks of an
//! endpoint among 10, 32 and 1,000, over so many rounds.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use foregate_bench::options::Options;
use foregate_message::forwarded::{ForwardingPolicy, claims, describe};
use foregate_message::path::{PathPolicy, normalize};
use foregate_message::{
    BodyLength, FieldId, FieldName, Fields, Method, Peer, RequestHead, ResponseHead, Scheme,
    Version, hop,
};
use foregate_route::{Question, Router};
use foregate_wire::h1::{
    HeadLimits, RequestOut, ResponseOut, parse_request, parse_response, request_framing,
    response_framing, write_request, write_response,
};
use foregate_wire::h2::heads;
use foregate_wire::h2::hpack::{Decoder, Encoder, TABLE_BYTES_DEFAULT};

use walk::{Walk, sites};

mod picks;
mod walk;

const CURL: &[u8] =
    b"GET /1k HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

/// What a load balancer makes of it.
const BALANCED: &[u8] = b"GET /1k HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\r\n";

const BROWSER: &[u8] = b"GET /articles/2026/a-long-title?page=2&sort=new HTTP/1.1\r\n\
Host: www.bench.example\r\n\
Connection: keep-alive\r\n\
Cache-Control: max-age=0\r\n\
sec-ch-ua: \"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://www.bench.example/articles\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: bench\r\n\
Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 1024\r\n\
ETag: \"5f-1a2b3c\"\r\n\
Last-Modified: Wed, 31 Dec 2025 00:00:00 GMT\r\n\
Cache-Control: public, max-age=60\r\n\
Vary: Accept-Encoding\r\n\
Connection: keep-alive\r\n\r\n";

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 32 << 10,
    fields_max: 100,
    target_bytes_max: 8 << 10,
};

/// A case and what it does once; what must not be counted is made before.
type Case = (&'static str, fn(u64));

const CASES: &[Case] = &[
    ("parse-curl", |count| parse_requests(CURL, count)),
    ("parse-browser", |count| parse_requests(BROWSER, count)),
    ("parse-response", parse_responses),
    ("normalize-path", normalize_path),
    ("fields-known", fields_known),
    ("fields-named", fields_named),
    ("route-1", |count| route(1, 1, count)),
    ("route-10000", |count| route(1000, 10, count)),
    ("walk-1", |count| Walk::new(false, request(CURL)).run(count)),
    ("walk-10000", |count| {
        Walk::new(true, request(CURL)).run(count)
    }),
    ("forward-curl", |count| forward_request(CURL, count)),
    ("forward-browser", |count| forward_request(BROWSER, count)),
    ("forward-balanced", forward_balanced),
    ("forward-response", forward_response),
    ("h2-read-curl", |count| h2_read(CURL, count)),
    ("h2-read-browser", |count| h2_read(BROWSER, count)),
    ("h2-write-response", h2_write),
];

fn request(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    let end = parse_request(bytes, &LIMITS, &mut head);
    assert_eq!(end, Ok(Some(bytes.len())), "the sample is a whole head");
    head
}

fn response() -> ResponseHead {
    let mut head = ResponseHead::default();
    let end = parse_response(RESPONSE, &LIMITS, &mut head);
    assert_eq!(end, Ok(Some(RESPONSE.len())), "the sample is a whole head");
    head
}

/// Lines, law and framing of a request's head.
fn parse_requests(bytes: &[u8], count: u64) {
    let mut head = request(bytes);
    for _ in 0..count {
        let end = parse_request(black_box(bytes), &LIMITS, &mut head);
        let framing = request_framing(&head);
        black_box((end.is_ok(), framing.is_ok()));
    }
}

/// Lines, law and framing of a response's head.
fn parse_responses(count: u64) {
    let mut head = response();
    for _ in 0..count {
        let end = parse_response(black_box(RESPONSE), &LIMITS, &mut head);
        let framing = response_framing(&head, &Method::Get);
        black_box((end.is_ok(), framing.is_ok()));
    }
}

fn normalize_path(count: u64) {
    let policy = PathPolicy::default();
    let mut scratch = Vec::new();
    for _ in 0..count {
        let normal = normalize(
            black_box(b"/articles/2026/a-long-title"),
            &policy,
            &mut scratch,
        );
        black_box(normal.is_ok());
    }
}

/// Four well-known fields of a browser's request, two of them absent.
fn fields_known(count: u64) {
    let head = request(BROWSER);
    for _ in 0..count {
        let fields = &black_box(&head).fields;
        black_box((
            fields.get(FieldId::Host),
            fields.get(FieldId::ContentLength),
            fields.has_token(FieldId::Connection, b"close"),
            fields.get(FieldId::Forwarded),
        ));
    }
}

/// Two fields by a configured name, one of them absent.
fn fields_named(count: u64) {
    let head = request(BROWSER);
    let present = FieldName::new("Sec-Fetch-Dest").expect("a field name");
    let absent = FieldName::new("X-Beta").expect("a field name");
    for _ in 0..count {
        let fields = &black_box(&head).fields;
        black_box((
            fields.all_named(&present).next(),
            fields.all_named(&absent).next(),
        ));
    }
}

/// Blocks of a request as a client sends them that has sent it before: most lines are numbers.
fn h2_read(bytes: &[u8], count: u64) {
    let sent = {
        let mut head = request(bytes);
        hop::strip(&mut head.fields);
        head
    };
    let out = heads::RequestOut {
        scheme: Scheme::Https,
        length: BodyLength::Empty,
        protocol: None,
    };
    let mut encoder = Encoder::new(TABLE_BYTES_DEFAULT);
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    let mut head = RequestHead::new();
    let mut block = Vec::new();
    for turn in 0..count + 3 {
        // The first three fill the tables; from then on the block is the same.
        if turn < 3 {
            block.clear();
            heads::write_request(&mut encoder, &sent, sent.target(), out, &mut block);
        }
        let block = black_box(&block);
        let read = heads::read_request(&mut decoder, block, true, &LIMITS, false, &mut head);
        assert!(read.is_ok(), "the sample is a request");
        black_box(&head);
    }
}

/// Blocks of a response that was sent before.
fn h2_write(count: u64) {
    let mut head = response();
    hop::strip(&mut head.fields);
    let mut encoder = Encoder::new(TABLE_BYTES_DEFAULT);
    let mut out = Vec::new();
    for _ in 0..count {
        out.clear();
        let length = BodyLength::Known(1024);
        heads::write_response(&mut encoder, black_box(&head), length, false, &mut out);
        black_box(&out);
    }
}

/// Finds routes, each time another one.
fn route(hosts: usize, routes_each: usize, count: u64) {
    let router = Router::compile(&sites(hosts, routes_each)).expect("the sample routes compile");
    let head = request(CURL);
    let asked: Vec<(String, String)> = (0..hosts * routes_each)
        .map(|number| {
            // A stride without a common divisor visits all of them, far apart.
            let number = number * 7919 % (hosts * routes_each);
            let (host, route) = (number / routes_each, number % routes_each);
            (
                format!("h{host}.bench.example"),
                format!("/service-{route}/1k"),
            )
        })
        .collect();
    for (host, path) in asked.iter().cycle().take(count as usize) {
        let question = Question {
            listener: 0,
            host: host.as_bytes(),
            path: path.as_bytes(),
            query: None,
            head: &head,
            client: IpAddr::from([127, 0, 0, 1]),
        };
        let found = router.find(black_box(&question), None);
        assert!(found.is_ok(), "{host}{path} has a route");
    }
}

/// From a request's bytes to the bytes for the backend: parsed, judged, hop-by-hop law, Forwarded, X-Forwarded, Via.
fn forward_request(bytes: &[u8], count: u64) {
    let peer = Peer::new(
        SocketAddr::from(([192, 0, 2, 7], 54321)),
        SocketAddr::from(([192, 0, 2, 1], 80)),
        0,
    );
    forward_from(&peer, bytes, count, |_| {});
}

/// The same behind a load balancer that is trusted; before it, what it says of the client is asked for.
fn forward_balanced(count: u64) {
    let peer = Peer::new(
        SocketAddr::from(([10, 0, 0, 2], 54321)),
        SocketAddr::from(([192, 0, 2, 1], 80)),
        0,
    );
    peer.judge(is_balancer);
    forward_from(&peer, BALANCED, count, |fields| {
        black_box(claims(fields, is_balancer));
    });
}

fn is_balancer(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

fn forward_from(peer: &Peer, bytes: &[u8], count: u64, ask: impl Fn(&Fields)) {
    let policy = ForwardingPolicy {
        x_forwarded: true,
        forwarded: true,
        via: Some("foregate".into()),
    };
    let mut head = request(bytes);
    let target = head.target().to_vec();
    let mut out = Vec::new();
    for _ in 0..count {
        let end = parse_request(black_box(bytes), &LIMITS, &mut head);
        let framing = request_framing(&head);
        black_box((end.is_ok(), framing.is_ok()));
        ask(&head.fields);
        let host = head.fields.place(FieldId::Host);
        hop::strip(&mut head.fields);
        describe(
            &mut head.fields,
            &policy,
            peer,
            &host,
            head.version,
            is_balancer,
        );
        let framing = RequestOut {
            length: BodyLength::Empty,
            upgrade: None,
            keep_alive: true,
        };
        out.clear();
        black_box(write_request(&head, &target, framing, &mut out));
        black_box(&out);
    }
}

/// From a response's bytes to the bytes for the client.
fn forward_response(count: u64) {
    let mut head = response();
    let mut out = Vec::new();
    for _ in 0..count {
        let end = parse_response(black_box(RESPONSE), &LIMITS, &mut head);
        let framing = response_framing(&head, &Method::Get);
        black_box((end.is_ok(), framing.is_ok()));
        hop::strip(&mut head.fields);
        head.fields.remove(FieldId::Server);
        let client = ResponseOut {
            version: Version::Http11,
            request_method_is_head: false,
            keep_alive: true,
            upgrade: None,
        };
        out.clear();
        black_box(write_response(
            &head,
            BodyLength::Known(1024),
            client,
            &mut out,
        ));
        black_box(&out);
    }
}

fn main() -> Result<(), String> {
    let mut options = Options::parse(std::env::args().skip(1))?;
    let list: Option<String> = options.optional("list")?;
    let case: Option<String> = options.optional("case")?;
    let clock: Option<usize> = options.optional("clock")?;
    let picks: Option<usize> = options.optional("picks")?;
    let count = options.or("count", 10_000)?;
    options.finish()?;
    if let Some(rounds) = clock {
        walk::clock(&request(CURL), rounds, 2000);
        return Ok(());
    }
    if let Some(rounds) = picks {
        picks::clock(rounds);
        return Ok(());
    }
    if list.is_some() {
        for (name, _) in CASES {
            println!("{name}");
        }
        for scene in picks::SCENES {
            for size in picks::SIZES {
                println!("pick-{}-{size}", scene.name);
            }
        }
        return Ok(());
    }
    let case = case.ok_or("--case name: needed (or --list yes)")?;
    if let Some((scene, size)) = picks::find(&case) {
        picks::run(scene, size, count);
        return Ok(());
    }
    let (_, run) = CASES
        .iter()
        .find(|(name, _)| *name == case)
        .ok_or_else(|| format!("{case}: no such case"))?;
    run(count);
    Ok(())
}

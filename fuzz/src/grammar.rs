//! Likely inputs: mostly well-formed, built from choices, so that mutations start near the rules.

use crate::Dice;

const METHODS: &[&str] = &[
    "GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PURGE", "CONNECT",
];
const PATHS: &[&str] = &[
    "/",
    "/a/b?c=d",
    "/%2e%2E/x",
    "/a//b",
    "//a",
    "/a%2Fb",
    "/.well-known/x",
    "/a/../b",
    "/a;b=c/..;d",
    "/\\x",
    "/%",
    "/a?b?#",
    "/%61%00",
    "/?",
    "/a/.",
    "/a/./",
    "/..",
];
const NAMES: &[&str] = &[
    "Accept",
    "x-a",
    "Cookie",
    "Via",
    "TE",
    "Trailer",
    "Connection",
    "Keep-Alive",
    "X-Forwarded-For",
    "Upgrade",
    "User-Agent",
];
const VALUES: &[&str] = &[
    "",
    "a",
    "text/html, */*;q=0.8",
    "close",
    "keep-alive",
    "trailers",
    "x-a",
    "a\tb",
    "\"quo\\\"ted\"",
    "1.1 b",
    "websocket",
    "\u{e9}",
];

fn word(dice: &mut Dice, choices: &[&'static str]) -> &'static str {
    dice.pick(choices)
}

fn fields(dice: &mut Dice, out: &mut String) {
    for _ in 0..dice.below(5) {
        let gap = word(dice, &[" ", " ", " ", "", "\t ", "  "]);
        let tail = word(dice, &["", "", "", " ", "\t"]);
        out.push_str(&format!(
            "{}:{gap}{}{tail}\r\n",
            word(dice, NAMES),
            word(dice, VALUES)
        ));
    }
}

/// Framing that contradicts, repeats or hides the one that the body has.
const CONTRADICTIONS: &[&str] = &[
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "transfer-encoding:\tChunked \r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding:\r\n",
    "Content-Length: 3\r\n",
    "content-length:3\r\n",
    "Content-Length: 3, 3\r\n",
    "Content-Length: 0x3\r\n",
    "Content-Length:\r\n",
    "Connection: Content-Length\r\n",
    "Connection: Transfer-Encoding, Host\r\n",
];

/// The body's framing fields and the body.
fn body(dice: &mut Dice) -> (String, Vec<u8>) {
    let (mut framing, body) = match dice.below(5) {
        0 | 1 => (String::new(), Vec::new()),
        2 => {
            let length = dice.below(20);
            (format!("Content-Length: {length}\r\n"), vec![b'x'; length])
        }
        _ => ("Transfer-Encoding: chunked\r\n".into(), chunked(dice)),
    };
    if dice.one_in(8) {
        framing.push_str(word(dice, CONTRADICTIONS));
    }
    (framing, body)
}

fn chunked(dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    let extension =
        |dice: &mut Dice| word(dice, &["", "", "", ";a", ";a=b", ";a=\"b;\\\"\"", ";a;b=c"]);
    for _ in 0..dice.below(5) {
        let length = 1 + dice.below(40);
        let size = match dice.below(3) {
            0 => format!("{length:X}"),
            1 => format!("0{length:x}"),
            _ => format!("{length:x}"),
        };
        out.extend_from_slice(format!("{size}{}\r\n", extension(dice)).as_bytes());
        out.extend((0..length).map(|at| b'a' + (at % 26) as u8));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("0{}\r\n", extension(dice)).as_bytes());
    for _ in 0..dice.below(3) {
        let name = word(
            dice,
            &["X-T", "Server-Timing", "ETag", "Content-Length", "Host"],
        );
        out.extend_from_slice(format!("{name}: {}\r\n", word(dice, VALUES)).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A request with its body.
pub(crate) fn request(dice: &mut Dice) -> Vec<u8> {
    let mut text = String::new();
    if dice.one_in(8) {
        text.push_str("\r\n");
    }
    let method = word(dice, METHODS);
    let target = match (method, dice.below(6)) {
        ("CONNECT", _) => "a:443".to_owned(),
        ("OPTIONS", 0) => "*".to_owned(),
        (_, 0) => format!("http://a{}", word(dice, PATHS)),
        _ => word(dice, PATHS).to_owned(),
    };
    let version = word(dice, &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    text.push_str(&format!("{method} {target} {version}\r\n"));
    if !dice.one_in(10) {
        text.push_str(word(dice, &["Host: a\r\n", "hOST:a\r\n", "Host: a:80\r\n"]));
    }
    fields(dice, &mut text);
    let (framing, body) = body(dice);
    text.push_str(&framing);
    fields(dice, &mut text);
    text.push_str("\r\n");
    [text.as_bytes(), &body].concat()
}

/// A response with its body, maybe after an interim one.
pub(crate) fn response(dice: &mut Dice) -> Vec<u8> {
    let mut text = String::new();
    if dice.one_in(5) {
        text.push_str("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    }
    let version = word(dice, &["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let status = word(
        dice,
        &[
            "200 OK",
            "200",
            "204 No Content",
            "304 x",
            "404 ",
            "500 \u{e4}",
            "101 Switching",
            "999 a b",
        ],
    );
    text.push_str(&format!("{version} {status}\r\n"));
    fields(dice, &mut text);
    let (framing, body) = body(dice);
    text.push_str(&framing);
    text.push_str("\r\n");
    [text.as_bytes(), &body].concat()
}

/// For the `chunked_body` target: how it is cut, then the body.
pub(crate) fn chunked_input(dice: &mut Dice) -> Vec<u8> {
    let mut out = vec![dice.below(12) as u8];
    out.extend(chunked(dice));
    out
}

/// For the `forwarding` target: options, then requests in a row or a response.
pub(crate) fn exchange(dice: &mut Dice) -> Vec<u8> {
    if dice.one_in(2) {
        let mut out = vec![b'p'];
        for _ in 0..=dice.below(3) {
            out.extend(request(dice));
        }
        return out;
    }
    let mut out = vec![b'q' + 2 * dice.below(4) as u8];
    out.extend(response(dice));
    out
}

/// A PROXY protocol header of either version.
pub(crate) fn proxy_header(dice: &mut Dice) -> Vec<u8> {
    if dice.one_in(2) {
        let addresses = word(
            dice,
            &[
                "TCP4 1.2.3.4 5.6.7.8",
                "TCP6 ::1 2001:db8::2",
                "UNKNOWN",
                "TCP4 1.2.3 ::1",
            ],
        );
        return format!(
            "PROXY {addresses} {} {}\r\nGET",
            dice.below(70_000),
            dice.below(70_000)
        )
        .into_bytes();
    }
    let mut rest: Vec<u8> = (0..dice.below(60)).map(|_| dice.roll() as u8).collect();
    let family = [0x11, 0x21, 0x00, 0x12, 0x31][dice.below(5)];
    for _ in 0..dice.below(3) {
        let length = dice.below(8);
        rest.extend([dice.below(6) as u8, 0, length as u8]);
        rest.extend((0..length).map(|at| at as u8));
    }
    let mut out = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    out.extend([0x20 + dice.below(2) as u8, family]);
    out.extend((rest.len() as u16).to_be_bytes());
    out.extend(rest);
    out
}

/// A DNS answer: a question and a few records, some with compressed names, some with wrong counts.
pub(crate) fn dns_answer(dice: &mut Dice) -> Vec<u8> {
    let records = dice.below(5) as u8;
    let claimed = if dice.one_in(8) {
        dice.below(9) as u8
    } else {
        records
    };
    let mut out = vec![0, 7, 0x80 | dice.below(128) as u8, dice.below(256) as u8];
    out.extend([0, 1, 0, claimed, 0, 0, 0, 0]);
    out.extend(b"\x0f_acme-challenge\x01a\x07example\0\0\x10\0\x01");
    for _ in 0..records {
        match dice.below(4) {
            0 => out.extend(b"\x02ns\x01a\0"),
            1 => out.push(0),
            _ => out.extend([0xc0, dice.below(40) as u8]),
        }
        let kind = [1, 2, 5, 6, 16, 250][dice.below(6)];
        out.extend([0, kind, 0, 1, 0, 0, 0, 30]);
        let mut data: Vec<u8> = (0..dice.below(20)).map(|_| dice.below(16) as u8).collect();
        if dice.one_in(3) {
            data = vec![0xc0, dice.below(60) as u8];
        }
        out.extend([0, data.len() as u8]);
        out.extend(data);
    }
    out
}

/// A request target.
pub(crate) fn target(dice: &mut Dice) -> Vec<u8> {
    let mut text = word(
        dice,
        &["", "", "", "http://a", "https://[::1]:80", "a:443", "*"],
    )
    .to_owned();
    for _ in 0..=dice.below(3) {
        text.push_str(word(dice, PATHS));
    }
    text.into_bytes()
}

/// A configuration.
pub(crate) fn config(dice: &mut Dice) -> Vec<u8> {
    const TABLES: &[&str] = &[
        "[listeners.a]",
        "[admin]",
        "[access_log]",
        "[client]",
        "[paths]",
        "[forwarding]",
        "[sites.\"a.example\"]",
        "[upstreams.app]",
        "[[sites.\"a.example\".routes]]",
    ];
    const LINES: &[&str] = &[
        "address = \"127.0.0.1:80\"",
        "upstream = \"app\"",
        "servers = [\"10.0.0.1:80\"]",
        "to = \"stdout\"",
        "head_bytes_max = \"8KiB\"",
        "idle_timeout = \"75s\"",
        "backslash = \"keep\"",
        "trusted_proxies = [\"10.0.0.0/8\"]",
        "path = \"/a/*\"",
        "unknown = 1",
        "hosts = [\"*.b.example\"]",
        "x = \"${ENV:HOME}\"",
        "workers = 2",
    ];
    let mut text = String::new();
    for _ in 0..dice.below(4) {
        text.push_str(&format!("{}\n", word(dice, LINES)));
    }
    for _ in 0..dice.below(6) {
        text.push_str(&format!("{}\n", word(dice, TABLES)));
        for _ in 0..dice.below(4) {
            text.push_str(&format!("{}\n", word(dice, LINES)));
        }
    }
    text.into_bytes()
}

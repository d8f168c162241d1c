//! The examples of the standard, what breaks a block, and another implementation as the judge of ours.

use super::*;
use foregate_message::{FieldId, Status};
use proptest::prelude::*;

type Pairs = Vec<(String, String)>;

/// What a block says.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Pairs, Undecodable> {
    let mut block = decoder.block(block);
    let mut out = Vec::new();
    let mut lines = Vec::new();
    while let Some(found) = block.next(true, &mut out)? {
        let text =
            |start: usize, len: usize| String::from_utf8(out[start..start + len].to_vec()).unwrap();
        let value = found.start + found.name_len + 2;
        assert_eq!(&out[value + found.value_len..], b"\r\n");
        let name = match found.kind {
            Kind::AUTHORITY => ":authority".into(),
            _ => text(found.start, found.name_len),
        };
        assert_eq!(found.bytes(), name.len() + found.value_len + 32);
        lines.push((name, text(value, found.value_len)));
    }
    Ok(lines)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

#[track_caller]
fn check(decoder: &mut Decoder, block: &str, expected: &str) {
    let lines = decode(decoder, &hex(block)).unwrap();
    let lines: Vec<String> = lines.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(lines, expected);
}

/// RFC 7541 Appendix C.2.
#[test]
fn each_representation() {
    let new = || Decoder::new(TABLE_BYTES_DEFAULT);
    let decoder = &mut new();
    check(
        decoder,
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        "custom-key: custom-header",
    );
    check(decoder, "be", "custom-key: custom-header");
    let decoder = &mut new();
    check(
        decoder,
        "040c 2f73 616d 706c 652f 7061 7468",
        ":path: /sample/path",
    );
    assert_eq!(decode(decoder, &[0xbe]), Err(Undecodable));
    check(
        decoder,
        "1008 7061 7373 776f 7264 0673 6563 7265 74",
        "password: secret",
    );
    assert_eq!(decode(decoder, &[0xbe]), Err(Undecodable));
    check(&mut new(), "82", ":method: GET");
}

const FIRST: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com";
const SECOND: &str =
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache";
const THIRD: &str = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n\
     custom-key: custom-value";

/// RFC 7541 Appendix C.3 and C.4.
#[test]
fn requests() {
    let decoder = &mut Decoder::new(TABLE_BYTES_DEFAULT);
    check(
        decoder,
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        FIRST,
    );
    check(decoder, "8286 84be 5808 6e6f 2d63 6163 6865", SECOND);
    check(
        decoder,
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        THIRD,
    );
    let decoder = &mut Decoder::new(TABLE_BYTES_DEFAULT);
    check(decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST);
    check(decoder, "8286 84be 5886 a8eb 1064 9cbf", SECOND);
    check(
        decoder,
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        THIRD,
    );
}

const FOUND: &str = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
     location: https://www.example.com";
const REPEATED: &str = ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
     location: https://www.example.com";
const FULL: &str = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
     location: https://www.example.com\ncontent-encoding: gzip\n\
     set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

/// RFC 7541 Appendix C.5 and C.6: a table of 256 bytes, from which lines go.
#[test]
fn responses() {
    // A size update to 256.
    let small = "3fe1 01";
    let decoder = &mut Decoder::new(TABLE_BYTES_DEFAULT);
    check(
        decoder,
        &format!(
            "{small} 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032
             303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d"
        ),
        FOUND,
    );
    check(decoder, "4803 3330 37c1 c0bf", REPEATED);
    check(
        decoder,
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        FULL,
    );
    let decoder = &mut Decoder::new(TABLE_BYTES_DEFAULT);
    check(
        decoder,
        &format!(
            "{small} 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b
             ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3"
        ),
        FOUND,
    );
    check(decoder, "4883 640e ffc1 c0bf", REPEATED);
    check(
        decoder,
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
         4ee5 b106 3d50 07",
        FULL,
    );
}

#[test]
fn what_breaks_a_block() {
    #[track_caller]
    fn check(block: &[u8]) {
        let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
        assert_eq!(decode(&mut decoder, block), Err(Undecodable), "{block:x?}");
    }
    // Numbers of no line.
    check(&[0x80]);
    check(&[0xbe]);
    check(&[0x7e, 0x00]);
    check(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
    check(&[0xff, 0xff, 0xff, 0xff, 0xff]);
    // Strings that end too late.
    check(&[0x40]);
    check(&[0x40, 0x01]);
    check(&[0x40, 0x01, b'a']);
    check(&[0x40, 0x01, b'a', 0x02, b'b']);
    check(&[0x40, 0x7f, 0xff, 0xff, 0xff, 0x7f]);
    // Sizes: too large, behind a line, too often.
    check(&[0x3f, 0xe2, 0x1f]);
    check(&[0x82, 0x20]);
    check(&[0x20, 0x20, 0x20]);
    // The Huffman code spells out the end.
    check(&[0x40, 0x01, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]);
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    assert_eq!(
        decode(&mut decoder, &[0x20, 0x3f, 0xe1, 0x1f]),
        Ok(Vec::new())
    );
}

#[test]
fn a_larger_table_must_be_allowed() {
    let size = [0x3f, 0xe1, 0x3f];
    assert_eq!(decode(&mut Decoder::new(4096), &size), Err(Undecodable));
    assert_eq!(decode(&mut Decoder::new(8192), &size), Ok(Vec::new()));
}

fn encode(encoder: &mut Encoder, lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = encoder.begin(&mut out);
    for (name, value) in lines {
        match *name {
            ":status" => block.status(Status::new(value.parse().unwrap()).unwrap()),
            ":path" => block.pseudo(Pseudo::Path, value.as_bytes()),
            ":authority" => block.pseudo(Pseudo::Authority, value.as_bytes()),
            ":method" => block.pseudo(Pseudo::Method, value.as_bytes()),
            name => block.field(
                FieldId::of(name.as_bytes()),
                name.as_bytes(),
                value.as_bytes(),
                false,
            ),
        }
    }
    out
}

#[test]
fn what_repeats_becomes_a_number() {
    let encoder = &mut Encoder::new(TABLE_BYTES_DEFAULT);
    let answer = [
        (":status", "200"),
        ("Server", "backend/1.0"),
        ("Content-Type", "text/html"),
        ("ETag", "\"abc\""),
        ("X-Own", "a"),
    ];
    let first = encode(encoder, &answer).len();
    let second = encode(encoder, &answer).len();
    assert!(second < first);
    assert_eq!(encode(encoder, &answer).len(), answer.len());
    // What changes each time takes nobody's place.
    for number in 0..1000 {
        encode(encoder, &[("X-Request-Id", &number.to_string())]);
    }
    assert_eq!(encode(encoder, &answer).len(), answer.len());
}

#[test]
fn credentials_are_never_indexed() {
    let encoder = &mut Encoder::new(TABLE_BYTES_DEFAULT);
    for _ in 0..3 {
        for name in [
            "Cookie",
            "Set-Cookie",
            "Authorization",
            "Proxy-Authorization",
        ] {
            let block = encode(encoder, &[(name, "secret")]);
            assert_eq!(block[0] & 0xf0, 0x10, "{name}");
            assert!(block.ends_with(b"secret"));
        }
    }
    let mut out = Vec::new();
    for _ in 0..3 {
        out.clear();
        encoder
            .begin(&mut out)
            .field(FieldId::Server, b"Server", b"a", true);
        assert_eq!(out[0], 0x1f);
    }
}

#[test]
fn the_other_side_sets_the_size() {
    let encoder = &mut Encoder::new(TABLE_BYTES_DEFAULT);
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    let lines = [("Server", "a"), ("Via", "b")];
    let pairs = || vec![("server".into(), "a".into()), ("via".into(), "b".into())];
    assert_eq!(decode(&mut decoder, &encode(encoder, &lines)), Ok(pairs()));
    encoder.set_peer_table_bytes(0);
    let block = encode(encoder, &lines);
    assert_eq!(block[0], 0x20);
    assert_eq!(decode(&mut decoder, &block), Ok(pairs()));
    assert_eq!(encode(encoder, &lines), block[1..]);
    // Down and up again between two blocks: both are said (RFC 7541 §4.2).
    encoder.set_peer_table_bytes(4096);
    assert_eq!(decode(&mut decoder, &encode(encoder, &lines)), Ok(pairs()));
    encoder.set_peer_table_bytes(40);
    encoder.set_peer_table_bytes(1 << 30);
    let block = encode(encoder, &lines);
    assert_eq!(block[..5], [0x3f, 9, 0x3f, 0xe1, 0x1f]);
    assert_eq!(decode(&mut decoder, &block), Ok(pairs()));
    assert_eq!(encode(encoder, &lines).len(), 2);
    // Nothing is said about what does not change.
    encoder.set_peer_table_bytes(4096);
    assert_eq!(encode(encoder, &lines).len(), 2);
}

#[test]
fn a_smaller_table_of_ours_is_announced() {
    let encoder = &mut Encoder::new(100);
    assert_eq!(encode(encoder, &[(":status", "200")]), [0x3f, 69, 0x88]);
    assert_eq!(encode(encoder, &[(":status", "200")]), [0x88]);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("server"),
        Just("cookie"),
        Just("content-type"),
        Just("date"),
        Just("x-own"),
        Just("X-Own"),
        Just("via"),
        Just("allow"),
        Just("etag"),
        Just(":path"),
        Just(":authority"),
        Just(":method"),
    ]
    .prop_map(String::from)
}

fn blocks() -> impl Strategy<Value = Vec<Pairs>> {
    let value = prop_oneof!["[a-c]{0,2}", "[ -~]{0,60}", "[a-z]{80,300}"];
    let line = (name(), value);
    proptest::collection::vec(proptest::collection::vec(line, 1..12), 0..20)
}

fn lowered(block: &Pairs) -> Pairs {
    block
        .iter()
        .map(|(n, v)| (n.to_lowercase(), v.clone()))
        .collect()
}

proptest! {
    /// What we encode, we and the other implementation decode, whatever sizes are set in between.
    #[test]
    fn our_blocks_are_read(blocks in blocks(), sizes in proptest::collection::vec(0_u32..5000, 20)) {
        let mut encoder = Encoder::new(TABLE_BYTES_DEFAULT);
        let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
        let mut judge = fluke_hpack::Decoder::new();
        for (block, size) in blocks.iter().zip(sizes) {
            if size % 5 == 0 {
                encoder.rest();
                decoder.rest();
            }
            if size < 2000 {
                encoder.set_peer_table_bytes(size);
            }
            if size % 7 == 0 {
                encoder.set_peer_table_bytes(4096);
            }
            let lines: Vec<(&str, &str)> = block.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let code = encode(&mut encoder, &lines);
            prop_assert_eq!(decode(&mut decoder, &code), Ok(lowered(block)));
            let judged = judge.decode(&code).unwrap().into_iter();
            let judged: Pairs = judged
                .map(|(n, v)| (String::from_utf8(n).unwrap(), String::from_utf8(v).unwrap()))
                .collect();
            prop_assert_eq!(judged, lowered(block));
        }
    }

    /// What the other implementation encodes, we decode.
    #[test]
    fn their_blocks_are_read(blocks in blocks()) {
        let mut theirs = fluke_hpack::Encoder::new();
        let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
        for block in blocks {
            let block = lowered(&block);
            let code = theirs.encode(block.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
            prop_assert_eq!(decode(&mut decoder, &code), Ok(block));
        }
    }

    /// Cut anywhere, a block is a shorter one or none at all.
    #[test]
    fn a_cut_block_says_no_more(block in blocks()) {
        let mut encoder = Encoder::new(TABLE_BYTES_DEFAULT);
        let block: Pairs = block.into_iter().flatten().take(6).collect();
        let lines: Vec<(&str, &str)> = block.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let code = encode(&mut encoder, &lines);
        for end in 0..code.len() {
            if let Ok(found) = decode(&mut Decoder::new(TABLE_BYTES_DEFAULT), &code[..end]) {
                prop_assert!(lowered(&block).starts_with(&found));
            }
        }
    }
}

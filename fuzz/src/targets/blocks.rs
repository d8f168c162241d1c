//! Field blocks of HTTP/2: tables stay in step whatever happens, and one law holds for all versions.

use super::{HEAD_LIMITS, pairs};
use crate::reference::{self, Reading, Style};
use foregate_message::{BodyLength, FieldId, Fields, Method, RequestHead, Scheme};
use foregate_wire::h1::{self, TrailersOf};
use foregate_wire::h2::heads::{
    HeadFault, RequestOut, read_request, read_trailers, skip, write_request, write_trailers,
};
use foregate_wire::h2::hpack::{Decoder, Encoder, TABLE_BYTES_DEFAULT};

const OF: TrailersOf = TrailersOf::Answer;

/// Two blocks, one behind the other: whether the first one's lines are wanted makes no difference for the second, and
/// what was read is written so that it is read again.
pub fn hpack_block(input: &[u8]) {
    let (first, second) = input.split_at(input.len() / 2);
    let mut skipping = Decoder::new(TABLE_BYTES_DEFAULT);
    let mut reading = Decoder::new(TABLE_BYTES_DEFAULT);
    let mut fields = Fields::new();
    let skipped = skip(&mut skipping, first);
    let read = read_trailers(&mut reading, first, &HEAD_LIMITS, OF, &mut fields);
    let is_broken = read == Err(HeadFault::Compression);
    assert_eq!(skipped.is_err(), is_broken);
    if is_broken {
        return;
    }
    if read.is_ok() {
        written_again(&fields);
    }
    let mut others = Fields::new();
    let read = read_trailers(&mut reading, second, &HEAD_LIMITS, OF, &mut fields);
    let other = read_trailers(&mut skipping, second, &HEAD_LIMITS, OF, &mut others);
    assert_eq!(read, other);
    if read.is_ok() {
        assert_eq!(pairs(&fields), pairs(&others));
        written_again(&fields);
    }
}

fn written_again(fields: &Fields) {
    let mut encoder = Encoder::new(TABLE_BYTES_DEFAULT);
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    for _ in 0..3 {
        let mut block = Vec::new();
        write_trailers(&mut encoder, fields, &mut block);
        let mut again = Fields::new();
        let read = read_trailers(&mut decoder, &block, &HEAD_LIMITS, OF, &mut again);
        assert_eq!(read, Ok(()));
        assert_eq!(pairs(&again), pairs(fields));
    }
}

/// A request's block: what is accepted is a request that a strict HTTP/1 parser reads the same, and so does HTTP/2.
pub fn h2_request_head(input: &[u8]) {
    for ends in [true, false] {
        let mut head = RequestHead::new();
        let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
        let read = read_request(&mut decoder, input, ends, &HEAD_LIMITS, true, &mut head);
        let Ok(facts) = read else {
            continue;
        };
        let out = h1::RequestOut {
            length: BodyLength::Empty,
            upgrade: None,
            keep_alive: true,
        };
        let mut text = Vec::new();
        let target = head.target().to_vec();
        h1::write_request(&head, &target, out, &mut text);
        match reference::request_head(&text, Style::Canonical) {
            Reading::Whole(read, end) => {
                assert_eq!(end, text.len());
                assert_eq!(read.start[0], head.method_name());
                assert_eq!(read.start[1], target);
            }
            other => panic!("{other:?} of {}", text.escape_ascii()),
        }
        // Nobody forwards a CONNECT, and an upgrade does not go out as it came.
        if facts.upgrade || head.method == Method::Connect {
            continue;
        }
        let framing = RequestOut {
            scheme: Scheme::Http,
            length: facts.length,
            protocol: None,
        };
        let mut block = Vec::new();
        let mut encoder = Encoder::new(TABLE_BYTES_DEFAULT);
        write_request(&mut encoder, &head, &target, framing, &mut block);
        let mut again = RequestHead::new();
        let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
        let facts_again = read_request(&mut decoder, &block, ends, &HEAD_LIMITS, true, &mut again);
        assert_eq!(facts_again.map(|facts| facts.length), Ok(facts.length));
        assert_eq!(again.method_name(), head.method_name());
        assert_eq!(again.target(), head.target());
        // However often it was said that trailers are welcome, it is passed on once.
        let said = |fields: &Fields| fields.len() - fields.all(FieldId::Te).count();
        assert_eq!(said(&again.fields), said(&head.fields));
    }
}

//! Tests of the translation.

use super::*;
use proptest::prelude::*;

fn typed(value: &str) -> Fields {
    let mut fields = Fields::new();
    fields.append(FieldId::ContentType, value.as_bytes());
    fields.append(FieldId::ContentLength, b"7");
    fields
}

fn content_type(fields: &Fields) -> &str {
    std::str::from_utf8(fields.get(FieldId::ContentType).unwrap()).unwrap()
}

#[test]
fn the_content_type_tells_the_form() {
    for (value, expected) in [
        ("application/grpc-web", Some(Form::Binary)),
        ("application/grpc-web+proto", Some(Form::Binary)),
        ("Application/gRPC-Web; x=y", Some(Form::Binary)),
        ("application/grpc-web-text", Some(Form::Text)),
        ("application/grpc-web-text+proto", Some(Form::Text)),
        ("application/grpc", None),
        ("application/grpc+proto", None),
        ("application/grpc-webx", None),
        ("application/grpc-web-textx", None),
        ("text/plain", None),
    ] {
        assert_eq!(Form::of(&typed(value)), expected, "{value}");
    }
    assert_eq!(Form::of(&Fields::new()), None);
}

#[test]
fn fields_are_turned_both_ways() {
    let mut request = typed("application/grpc-web-text+proto");
    Form::Text.request(&mut request);
    assert_eq!(content_type(&request), "application/grpc+proto");
    assert_eq!(request.get(FieldId::Te), Some(&b"trailers"[..]));
    assert!(
        !request.has(FieldId::ContentLength),
        "the decoded body is shorter"
    );
    let mut request = typed("application/grpc-web");
    Form::Binary.request(&mut request);
    assert_eq!(content_type(&request), "application/grpc");
    assert!(request.has(FieldId::ContentLength));
    let mut answer = typed("application/grpc+json");
    assert!(Form::Text.response(&mut answer));
    assert_eq!(content_type(&answer), "application/grpc-web-text+json");
    assert!(!answer.has(FieldId::ContentLength));
    let mut page = typed("text/html");
    assert!(!Form::Binary.response(&mut page), "an error page stays one");
    assert_eq!(content_type(&page), "text/html");
}

#[test]
fn trailers_are_the_last_frame() {
    let mut trailers = Fields::new();
    trailers.append_line(b"Grpc-Status", b"0");
    trailers.append_line(b"grpc-message", b"fine");
    let frame = b"\x80\0\0\0\x24grpc-status: 0\r\ngrpc-message: fine\r\n";
    let body = ResponseBody::new(Form::Binary);
    assert_eq!(body.trailers(&trailers), frame);
    assert_eq!(body.trailers(&Fields::new()), b"");
    let text = ResponseBody::new(Form::Text).trailers(&trailers);
    let mut decoded = Vec::new();
    RequestBody::new(Form::Text)
        .decode(&text, &mut decoded)
        .unwrap();
    assert_eq!(decoded, frame);
}

#[test]
fn messages_that_are_padded_by_themselves_are_understood() {
    let mut body = RequestBody::new(Form::Text);
    let mut out = Vec::new();
    body.decode(b"YQ==Ym", &mut out).unwrap();
    body.decode(b"M=", &mut out).unwrap();
    assert_eq!(out, b"abc");
    assert_eq!(body.end(), Ok(()));
}

#[test]
fn what_is_no_base64_is_refused() {
    for wrong in [&b"!AAA"[..], b"A===", b"=AAA", b"AA=A", b"AAAA\r\nAA"] {
        let mut body = RequestBody::new(Form::Text);
        assert_eq!(
            body.decode(wrong, &mut Vec::new()),
            Err(Fault::Encoding),
            "{wrong:?}"
        );
    }
    let mut short = RequestBody::new(Form::Text);
    assert_eq!(short.decode(b"YWJjZ", &mut Vec::new()), Ok(()));
    assert_eq!(short.end(), Err(Fault::Encoding));
}

#[test]
fn where_messages_end_is_known_however_they_are_cut() {
    let body = [
        &[0, 0, 0, 0, 3][..],
        b"abc",
        &[1, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0],
        &[7; 256],
    ]
    .concat();
    let whole = [0, 8, 13, body.len()];
    for cut in 1..=body.len() {
        let mut messages = Messages::default();
        let mut bytes = 0;
        for piece in body.chunks(cut) {
            messages.follow(piece);
            bytes += piece.len();
            assert_eq!(
                messages.are_whole(),
                whole.contains(&bytes),
                "{cut} {bytes}"
            );
        }
    }
}

proptest! {
    #[test]
    fn what_was_encoded_in_pieces_decodes_in_other_pieces(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
        cut in 1..17_usize,
    ) {
        let (body, mut text) = (ResponseBody::new(Form::Text), Vec::new());
        for piece in &pieces {
            body.encode(piece, &mut text);
        }
        let (mut back, mut decoded) = (RequestBody::new(Form::Text), Vec::new());
        for piece in text.chunks(cut) {
            prop_assert_eq!(back.decode(piece, &mut decoded), Ok(()));
        }
        prop_assert_eq!(back.end(), Ok(()));
        prop_assert_eq!(decoded, pieces.concat());
    }

    #[test]
    fn any_bytes_have_one_verdict_however_they_come(input in prop::collection::vec(prop::sample::select(&b"AZaz09+/=!"[..]), 0..24), cut in 1..9_usize) {
        let verdict = |step: usize| {
            let (mut body, mut out) = (RequestBody::new(Form::Text), Vec::new());
            let fed = input.chunks(step).try_for_each(|piece| body.decode(piece, &mut out));
            fed.and_then(|()| body.end()).map(|()| out)
        };
        prop_assert_eq!(verdict(cut), verdict(input.len().max(1)));
    }
}

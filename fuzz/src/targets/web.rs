//! gRPC-Web in text form: what comes out depends on the text alone, and what is written can be read.

use crate::Dice;
use foregate_message::{Fault, Fields};
use foregate_policy::grpc_web::{Form, RequestBody, ResponseBody};

/// The first byte says how long the pieces are that the rest comes in.
pub fn grpc_web(input: &[u8]) {
    let Some((&first, text)) = input.split_first() else {
        return;
    };
    let size = usize::from(first % 16) + 1;
    let whole = decoded(text, text.len().max(1));
    assert_eq!(decoded(text, size), whole);
    if let Ok(bytes) = whole {
        // A text may have paddings where another one has none, but never more letters than it needs for its bytes.
        assert!(bytes.len() <= text.len() / 4 * 3);
    }
    let written = encoded(text, size);
    assert_eq!(decoded(&written, size), Ok(text.to_vec()));
    let mut trailers = Fields::new();
    trailers.append_line(b"grpc-message", text);
    let frame = ResponseBody::new(Form::Text).trailers(&trailers);
    let binary = ResponseBody::new(Form::Binary).trailers(&trailers);
    assert_eq!(decoded(&frame, size), Ok(binary));
}

fn decoded(text: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    let mut body = RequestBody::new(Form::Text);
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        body.decode(piece, &mut out)?;
    }
    body.end().map(|()| out)
}

fn encoded(bytes: &[u8], size: usize) -> Vec<u8> {
    let body = ResponseBody::new(Form::Text);
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        body.encode(piece, &mut out);
    }
    out
}

/// Texts, some behind one another, seldom broken.
pub(crate) fn generate(dice: &mut Dice) -> Vec<u8> {
    let mut input = vec![dice.below(16) as u8];
    for _ in 0..dice.below(4) {
        let bytes: Vec<u8> = (0..dice.below(20)).map(|_| dice.below(256) as u8).collect();
        input.extend(encoded(&bytes, 64));
    }
    if dice.below(4) == 0 {
        input.extend(
            dice.pick(&["=", "A", "A===", "AA=A", " ", "-_", "Zh=="])
                .bytes(),
        );
    }
    input
}

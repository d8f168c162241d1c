//! Heads: `wire` accepts exactly what the reference accepts, reads the same, and at every cut.

use super::{HEAD_LIMITS, pairs};
use crate::reference::{self, Head, Reading, Style};
use foregate_message::{Fault, RequestHead, ResponseHead};
use foregate_wire::h1::{
    HeadProgress, parse_request, parse_response, request_framing, response_framing,
};
use std::fmt::Debug;

/// Request heads.
pub fn request_head(input: &[u8]) {
    let mut head = RequestHead::new();
    let found = parse_request(input, &HEAD_LIMITS, &mut head);
    let read = found.map(|end| {
        end.map(|end| {
            let start = [
                head.method_name(),
                head.target(),
                head.version.as_str().as_bytes(),
            ];
            (
                Head {
                    start: start.map(<[u8]>::to_vec),
                    fields: pairs(&head.fields),
                },
                end,
            )
        })
    });
    compare(&read, &reference::request_head(input, Style::Received));
    if matches!(found, Ok(Some(_))) {
        let _ = request_framing(&head);
    }
    let mut progress = HeadProgress::default();
    let mut cut = |part: &[u8]| progress.parse_request(part, &HEAD_LIMITS, &mut head);
    check_cuts(input, found, &mut cut);
    let mut cut = |part: &[u8]| parse_request(part, &HEAD_LIMITS, &mut RequestHead::new());
    check_prefixes(input, found, &mut cut);
}

/// Response heads.
pub fn response_head(input: &[u8]) {
    let mut head = ResponseHead::default();
    let found = parse_response(input, &HEAD_LIMITS, &mut head);
    let read = found.map(|end| {
        end.map(|end| {
            let status = head.status.code().to_string();
            let registered = head.status.phrase().as_bytes();
            let start = [
                head.version.as_str().as_bytes(),
                status.as_bytes(),
                head.phrase(),
            ];
            let mut start = start.map(<[u8]>::to_vec);
            // An empty phrase is read as the registered one.
            if start[2] == registered && !input[12..end].starts_with(&[b" ", registered].concat()) {
                start[2].clear();
            }
            (
                Head {
                    start,
                    fields: pairs(&head.fields),
                },
                end,
            )
        })
    });
    compare(&read, &reference::response_head(input, Style::Received));
    if matches!(found, Ok(Some(_))) {
        let _ = response_framing(&head, &foregate_message::Method::Get);
    }
    let mut progress = HeadProgress::default();
    let mut cut = |part: &[u8]| progress.parse_response(part, &HEAD_LIMITS, &mut head);
    check_cuts(input, found, &mut cut);
    let mut cut = |part: &[u8]| parse_response(part, &HEAD_LIMITS, &mut ResponseHead::default());
    check_prefixes(input, found, &mut cut);
}

/// The verdicts agree. While a head is incomplete, `wire` may not have noticed yet that it is hopeless, and a refusal
/// may come before the line that breaks the rule is complete.
fn compare<T: Debug + PartialEq>(
    found: &Result<Option<(T, usize)>, Fault>,
    reference: &Reading<T>,
) {
    match (found, reference) {
        (Ok(Some((head, end))), Reading::Whole(expected, expected_end)) => {
            assert_eq!((head, end), (expected, expected_end));
        }
        (Ok(None), Reading::Incomplete | Reading::Refused(_)) => {}
        (Err(_), Reading::Refused(_) | Reading::Incomplete) => {}
        (found, reference) => panic!("wire says {found:?}, the reference {reference:?}"),
    }
}

type Parse<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Option<usize>, Fault>;

/// However the bytes come, the verdict is one; a refusal may wait for more bytes, a success may not.
fn check_cuts(input: &[u8], whole: Result<Option<usize>, Fault>, parse: Parse<'_>) {
    let step = 1 + input.len() / 97;
    let first = (0..input.len())
        .step_by(step)
        .chain([input.len()])
        .map(|end| parse(&input[..end]))
        .find(|found| *found != Ok(None))
        .unwrap_or(Ok(None));
    match (first, whole) {
        (Ok(None), Err(_)) => {}
        (first, whole) => assert_eq!(first, whole),
    }
}

fn check_prefixes(input: &[u8], whole: Result<Option<usize>, Fault>, parse: Parse<'_>) {
    let step = 1 + input.len() / 97;
    for end in (0..input.len()).step_by(step) {
        match parse(&input[..end]) {
            Ok(None) => {}
            found => return assert_eq!(found, whole, "at {end}"),
        }
    }
}

//! A second HTTP/1 parser: small, slow, strict, and written without looking at `wire`'s, to compare with it.
//!
//! It reads a whole message out of a byte string and refuses whatever the grammar of RFC 9112 does not have. `wire`
//! must never accept what this refuses, and this must read what `wire` wrote exactly as it was meant.

use std::fmt::Debug;

/// How freely optional parts of the grammar may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// As a peer may send: optional white space, chunk extensions, one empty line before a request.
    Received,
    /// As the gateway itself sends: one spelling for everything.
    Canonical,
}

/// What came of reading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading<T> {
    /// It stood in the first bytes, so many.
    Whole(T, usize),
    /// The input is a beginning of it.
    Incomplete,
    /// It can't become one.
    Refused(&'static str),
}

/// A name and a value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// A start line and fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Method, target, version; or version, status, phrase.
    pub start: [Vec<u8>; 3],
    /// Fields in order.
    pub fields: Vec<Pair>,
}

/// A body and its trailers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Body {
    /// The data.
    pub data: Vec<u8>,
    /// The trailers.
    pub trailers: Vec<Pair>,
}

/// Takes a start line apart.
type StartLine = fn(&[u8], Style) -> Option<[&[u8]; 3]>;

/// What stops reading.
enum Stop {
    Incomplete,
    Refused(&'static str),
}

type Step<T> = Result<T, Stop>;

fn refuse<T>(why: &'static str) -> Step<T> {
    Err(Stop::Refused(why))
}

fn reading<T>(step: Step<(T, usize)>) -> Reading<T> {
    match step {
        Ok((value, used)) => Reading::Whole(value, used),
        Err(Stop::Incomplete) => Reading::Incomplete,
        Err(Stop::Refused(why)) => Reading::Refused(why),
    }
}

/// Reads a request's head.
pub fn request_head(input: &[u8], style: Style) -> Reading<Head> {
    let at = if style == Style::Received && input.starts_with(b"\r\n") {
        2
    } else {
        0
    };
    reading(head(input, at, style, request_line))
}

/// Reads a response's head.
pub fn response_head(input: &[u8], style: Style) -> Reading<Head> {
    reading(head(input, 0, style, status_line))
}

/// Reads the body that follows a request's head.
pub fn request_body(head: &Head, input: &[u8], style: Style) -> Reading<Body> {
    reading(framed_body(head, &head.start[2], input, style).map(|found| found.unwrap_or_default()))
}

/// Reads the body that follows a response's head; `closed`: the input is all there will be.
pub fn response_body(
    head: &Head,
    to_head: bool,
    input: &[u8],
    closed: bool,
    style: Style,
) -> Reading<Body> {
    let status = head.start[1].as_slice();
    if to_head || matches!(status, b"204" | b"304") || status[0] == b'1' {
        return Reading::Whole(Body::default(), 0);
    }
    let step = framed_body(head, &head.start[0], input, style).and_then(|found| match found {
        Some(found) => Ok(found),
        None if closed => Ok((
            Body {
                data: input.to_vec(),
                trailers: Vec::new(),
            },
            input.len(),
        )),
        None => Err(Stop::Incomplete),
    });
    reading(step)
}

/// One line without its CRLF, and where the next begins.
fn line(input: &[u8], at: usize) -> Step<(&[u8], usize)> {
    for (offset, &byte) in input[at..].iter().enumerate() {
        match byte {
            b'\n' => return refuse("LF without CR"),
            b'\r' => {
                return match input.get(at + offset + 1) {
                    None => Err(Stop::Incomplete),
                    Some(b'\n') => Ok((&input[at..at + offset], at + offset + 2)),
                    Some(_) => refuse("CR without LF"),
                };
            }
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return refuse("control character"),
        }
    }
    Err(Stop::Incomplete)
}

fn is_token(text: &[u8]) -> bool {
    let in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(in_token)
}

fn head(input: &[u8], at: usize, style: Style, start_line: StartLine) -> Step<(Head, usize)> {
    let (text, at) = line(input, at)?;
    let Some(start) = start_line(text, style) else {
        return refuse("start line");
    };
    let (fields, at) = fields(input, at, style)?;
    Ok((
        Head {
            start: start.map(<[u8]>::to_vec),
            fields,
        },
        at,
    ))
}

fn is_version(text: &[u8]) -> bool {
    text == b"HTTP/1.1" || text == b"HTTP/1.0"
}

fn request_line(text: &[u8], style: Style) -> Option<[&[u8]; 3]> {
    let parts: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
    let &[method, target, version] = parts.as_slice() else {
        return None;
    };
    let canonical = style == Style::Received || (version == b"HTTP/1.1" && target.is_ascii());
    let good = is_token(method)
        && !target.is_empty()
        && !target.contains(&b'\t')
        && std::str::from_utf8(target).is_ok()
        && is_version(version)
        && canonical;
    good.then_some([method, target, version])
}

fn status_line(text: &[u8], style: Style) -> Option<[&[u8]; 3]> {
    let (version, rest) = text.split_at_checked(8)?;
    let (status, phrase) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let phrase = match (style, phrase) {
        (Style::Received, b"") => phrase,
        _ => phrase.strip_prefix(b" ")?,
    };
    let canonical = style == Style::Received || version == b"HTTP/1.1";
    let good = is_version(version)
        && status.iter().all(u8::is_ascii_digit)
        && status[0] != b'0'
        && canonical;
    good.then_some([version, status, phrase])
}

/// Field lines up to and with the empty line.
fn fields(input: &[u8], mut at: usize, style: Style) -> Step<(Vec<Pair>, usize)> {
    let mut pairs = Vec::new();
    loop {
        let (text, next) = line(input, at)?;
        at = next;
        if text.is_empty() {
            return Ok((pairs, at));
        }
        let Some(colon) = text.iter().position(|&byte| byte == b':') else {
            return refuse("no colon");
        };
        let (name, value) = (&text[..colon], &text[colon + 1..]);
        let trimmed = trim(value);
        if !is_token(name) {
            return refuse("field name");
        }
        if style == Style::Canonical && value != [b" ", trimmed].concat() {
            return refuse("white space around a value");
        }
        pairs.push((name.to_vec(), trimmed.to_vec()));
    }
}

fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |at| at + 1);
    &value[start..end]
}

/// The values of all lines of one name.
pub fn values<'a>(fields: &'a [Pair], name: &str) -> Vec<&'a [u8]> {
    fields
        .iter()
        .filter(|(each, _)| each.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value.as_slice())
        .collect()
}

/// The body that Content-Length or Transfer-Encoding announce; `None` if neither does.
fn framed_body(
    head: &Head,
    version: &[u8],
    input: &[u8],
    style: Style,
) -> Step<Option<(Body, usize)>> {
    let lengths = values(&head.fields, "content-length");
    let codings = values(&head.fields, "transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(None),
        ([length], []) => {
            if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                return refuse("content-length");
            }
            let length: u128 = length.iter().fold(0u128, |sum, digit| {
                sum.saturating_mul(10)
                    .saturating_add(u128::from(digit - b'0'))
            });
            let Ok(length) = i64::try_from(length) else {
                return refuse("content-length overflows");
            };
            match usize::try_from(length)
                .ok()
                .and_then(|length| input.get(..length))
            {
                Some(data) => Ok(Some((
                    Body {
                        data: data.to_vec(),
                        trailers: Vec::new(),
                    },
                    data.len(),
                ))),
                None => Err(Stop::Incomplete),
            }
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && version == b"HTTP/1.1" => {
            chunked(input, style).map(Some)
        }
        _ => refuse("framing"),
    }
}

/// Reads a chunked body.
pub fn chunked_body(input: &[u8], style: Style) -> Reading<Body> {
    reading(chunked(input, style))
}

fn chunked(input: &[u8], style: Style) -> Step<(Body, usize)> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let (text, next) = line(input, at)?;
        at = next;
        let digits = text
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (size, extension) = text.split_at(digits);
        let zeros = size.iter().take_while(|&&digit| digit == b'0').count();
        let is_size = (1..=64).contains(&digits) && digits - zeros <= 16;
        if !is_size || !is_extension(extension) {
            return refuse("size line");
        }
        if style == Style::Canonical && (!extension.is_empty() || (size[0] == b'0' && digits > 1)) {
            return refuse("size spelling");
        }
        let size = size.iter().fold(0u128, |sum, digit| {
            sum * 16 + u128::from((*digit as char).to_digit(16).unwrap_or(0))
        });
        if size == 0 {
            let (trailers, at) = fields(input, at, style)?;
            return Ok((Body { data, trailers }, at));
        }
        if size + data.len() as u128 > i64::MAX as u128 {
            return refuse("size overflows");
        }
        let end = usize::try_from(size)
            .ok()
            .and_then(|size| at.checked_add(size));
        let Some(piece) = end.and_then(|end| input.get(at..end)) else {
            return Err(Stop::Incomplete);
        };
        data.extend_from_slice(piece);
        at += piece.len();
        match &input[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Err(Stop::Incomplete),
            _ => return refuse("chunk end"),
        }
    }
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )`, without white space outside of quotes and without HTAB.
fn is_extension(text: &[u8]) -> bool {
    if text.is_empty() {
        return true;
    }
    let Some(rest) = text.strip_prefix(b";") else {
        return false;
    };
    let name_end = rest
        .iter()
        .position(|byte| b";=".contains(byte))
        .unwrap_or(rest.len());
    if !is_token(&rest[..name_end]) {
        return false;
    }
    let rest = &rest[name_end..];
    let Some(value) = rest.strip_prefix(b"=") else {
        return is_extension(rest);
    };
    if value.first() != Some(&b'"') {
        let end = value
            .iter()
            .position(|&byte| byte == b';')
            .unwrap_or(value.len());
        return is_token(&value[..end]) && is_extension(&value[end..]);
    }
    let mut at = 1;
    while let Some(&byte) = value.get(at) {
        match byte {
            b'"' => return is_extension(&value[at + 1..]),
            b'\t' => return false,
            b'\\' if value.get(at + 1).is_none_or(|&next| next == b'\t') => return false,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    false
}

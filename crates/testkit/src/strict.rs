//! A second, deliberately unforgiving HTTP/1.1 reader (RFC 9110, RFC 9112): no leniency at all, whoever speaks.

use crate::{Connection, Fields, Trouble};

/// How a message said where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// `Content-Length` bytes.
    Length(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the connection closes (responses only).
    UntilClose,
}

/// A body read to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The content.
    pub bytes: Vec<u8>,
    /// The trailer fields of a chunked body.
    pub trailers: Fields,
    /// The extensions of every chunk that had some, without the leading semicolon.
    pub chunk_extensions: Vec<String>,
}

fn malformed<T>(why: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Malformed(why.into()))
}

/// Whether `byte` may stand in a token (RFC 9110 section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads a start line split at its first two spaces; `None` when the stream ends before its first byte.
///
/// # Errors
/// When the line is not three parts of visible characters.
pub fn start_line(connection: &mut Connection) -> Result<Option<[String; 3]>, Trouble> {
    if !connection.wait_readable()? {
        return Ok(None);
    }
    let line = connection.line()?;
    let Ok(line) = String::from_utf8(line) else {
        return malformed("start line is not text");
    };
    if line.bytes().any(|byte| byte.is_ascii_control()) {
        return malformed(format!("control character in start line {line:?}"));
    }
    let mut parts = line.splitn(3, ' ').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(first), Some(second), Some(third)) if !first.is_empty() && !second.is_empty() => {
            Ok(Some([first, second, third]))
        }
        _ => malformed(format!("start line {line:?}")),
    }
}

/// Reads field lines up to and with the empty line.
///
/// # Errors
/// On anything but `token ":" OWS value OWS CRLF`.
pub fn fields(connection: &mut Connection) -> Result<Fields, Trouble> {
    let mut fields = Fields::new();
    loop {
        let line = connection.line()?;
        if line.is_empty() {
            return Ok(fields);
        }
        let shown = String::from_utf8_lossy(&line).into_owned();
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return malformed(format!("field line without colon {shown:?}"));
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return malformed(format!("field name in {shown:?}"));
        }
        if value
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return malformed(format!("control character in {shown:?}"));
        }
        let value = String::from_utf8_lossy(value.trim_ascii()).into_owned();
        fields.push(String::from_utf8_lossy(name), value);
    }
}

/// What the fields of a message say about its body; `None` when neither length nor coding is there.
///
/// # Errors
/// Both, several, or malformed ones.
pub fn declared_framing(fields: &Fields) -> Result<Option<Framing>, Trouble> {
    let codings = fields.all("transfer-encoding");
    let lengths = fields.all("content-length");
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(None),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        ([], [length])
            if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            length
                .parse()
                .map(|length| Some(Framing::Length(length)))
                .or_else(|_| malformed("length overflow"))
        }
        _ => malformed(format!(
            "framing: transfer-encoding {codings:?}, content-length {lengths:?}"
        )),
    }
}

/// Reads a body of the given framing to its end.
///
/// # Errors
/// When it ends early or its chunks are malformed.
pub fn body(connection: &mut Connection, framing: Framing) -> Result<Body, Trouble> {
    match framing {
        Framing::Empty => Ok(Body::default()),
        Framing::Length(length) => Ok(Body {
            bytes: connection.take(length)?,
            ..Body::default()
        }),
        Framing::UntilClose => Ok(Body {
            bytes: connection.take_rest()?,
            ..Body::default()
        }),
        Framing::Chunked => chunked(connection),
    }
}

fn chunked(connection: &mut Connection) -> Result<Body, Trouble> {
    let mut body = Body::default();
    loop {
        let (size, extension) = chunk_size(connection)?;
        if let Some(extension) = extension {
            body.chunk_extensions.push(extension);
        }
        if size == 0 {
            body.trailers = fields(connection)?;
            return Ok(body);
        }
        body.bytes.extend_from_slice(&connection.take(size)?);
        if connection.take(2)? != b"\r\n" {
            return malformed("chunk data is not followed by CRLF");
        }
    }
}

/// Reads a chunk-size line: the size, and the extensions if any.
///
/// # Errors
/// When the size is not plain hexadecimal.
pub fn chunk_size(connection: &mut Connection) -> Result<(usize, Option<String>), Trouble> {
    let line = connection.line()?;
    let Ok(line) = String::from_utf8(line) else {
        return malformed("chunk size line is not text");
    };
    let (size, extension) = match line.split_once(';') {
        Some((size, extension)) => (size, Some(extension.to_owned())),
        None => (line.as_str(), None),
    };
    if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return malformed(format!("chunk size {line:?}"));
    }
    match usize::from_str_radix(size, 16) {
        Ok(size) => Ok((size, extension)),
        Err(_) => malformed("chunk size overflow"),
    }
}

/// A short fingerprint (FNV-1a, 64 bits, hexadecimal) to compare bodies without showing them.
pub fn fingerprint(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

//! Paths and globs as they are written, brought into the form that requests are matched in.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::words;

/// A path that requests are matched with, in normalised form.
pub(crate) fn path(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    let no_query = "conditions on the query go into `query`";
    read(text, no_query, origin, report)
}

/// A path that is sent to a backend, or cut off before, in normalised form.
pub(crate) fn rewritten(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    if let Some(at) = text.find('\\') {
        report.push(words::odd_character(
            Code::BadPath,
            '\\',
            "the path",
            origin,
            text,
            at,
        ));
        return None;
    }
    read(text, QUERY_STAYS, origin, report)
}

/// What replaces a part of a path: `$1` and the like, and characters that stand for themselves.
pub(crate) fn replacement(text: &str, origin: Origin, report: &mut Report) {
    let is_odd = |c: char| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '"' | '<' | '>' | '\\');
    let Some((at, odd)) = text.char_indices().find(|(_, c)| is_odd(*c)) else {
        return;
    };
    report.push(match odd {
        '?' | '#' => no_part(text, at, QUERY_STAYS, origin),
        odd => words::odd_character(Code::BadPath, odd, "the new path", origin, text, at),
    });
}

const QUERY_STAYS: &str = "only the path is changed; the query stays as the client sent it";

fn read(text: &str, no_query: &str, origin: Origin, report: &mut Report) -> Option<String> {
    if let Some(at) = text.find(['?', '#']) {
        report.push(no_part(text, at, no_query, origin));
        return None;
    }
    normal_form(text)
        .map_err(|problem| report.push(problem.diagnostic(Code::BadPath, text, origin)))
        .ok()
}

/// Text with a `?` or `#` at a byte of it, where a path belongs.
fn no_part(text: &str, at: usize, no_query: &str, origin: Origin) -> Diagnostic {
    let (what, help) = if text.as_bytes()[at] == b'?' {
        ("query", no_query)
    } else {
        ("fragment", "clients never send fragments")
    };
    let message = format!("{} has a {what}, which is no part of a path", quoted(text));
    let place = words::within(origin, text, at, text.len());
    Diagnostic::new(Code::BadPath, place, message).help(help)
}

/// A glob, its literal parts in normalised form.
pub(crate) fn glob(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    let bad = |message: String| Diagnostic::new(Code::BadGlob, origin, message);
    if text.contains("***") {
        report.push(
            bad(format!("{} has three stars in a row", quoted(text)))
                .help("`*` for a part of a segment, `**` for anything"),
        );
        return None;
    }
    if text.contains(['[', ']', '{', '}', '#']) {
        report.push(
            bad(format!("{} is not a glob", quoted(text)))
                .cause("globs know `*`, `**` and `?` only")
                .help(
                    "for classes and alternatives: path = { regex = \"...\" }, or several routes",
                ),
        );
        return None;
    }
    normal_form(text)
        .map_err(|problem| report.push(problem.diagnostic(Code::BadGlob, text, origin)))
        .ok()
}

/// The longest path or glob of a route: as long as a request's target may be by default.
const PATH_BYTES_MAX: usize = 8192;

/// Why no request can have a path.
#[derive(Debug, PartialEq, Eq)]
enum PathProblem {
    NoSlash,
    TooLong,
    Control,
    BadEncoding,
    DotSegment,
}

impl PathProblem {
    fn diagnostic(&self, code: Code, text: &str, origin: Origin) -> Diagnostic {
        let text = quoted(text);
        match self {
            Self::NoSlash => {
                Diagnostic::new(code, origin, format!("{text} does not begin with `/`"))
                    .help("for example \"/api\"")
            }
            Self::TooLong => Diagnostic::new(code, origin, format!("{text} is too long"))
                .cause(format!("a path may have {PATH_BYTES_MAX} bytes")),
            Self::Control => {
                Diagnostic::new(code, origin, format!("{text} has control characters")).cause(
                    "requests with control characters in their path are refused, encoded or not",
                )
            }
            Self::BadEncoding => Diagnostic::new(
                code,
                origin,
                format!("{text} has a `%` without two hexadecimal digits"),
            )
            .help("a percent sign itself is written %25"),
            Self::DotSegment => {
                Diagnostic::new(code, origin, format!("{text} has a `.` or `..` segment")).cause(
                    "such segments are resolved before a path is matched, so no path has them",
                )
            }
        }
    }
}

/// The form that paths are matched in: unreserved characters decoded, what browsers encode (WHATWG URL, path
/// percent-encode set) encoded, digits in upper case (RFC 3986 section 6.2.2).
fn normal_form(text: &str) -> Result<String, PathProblem> {
    if !text.starts_with('/') {
        return Err(PathProblem::NoSlash);
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(PathProblem::TooLong);
    }
    let mut normal = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let (code, is_encoded) = match byte {
            b'%' => {
                let (high, low) = (bytes.next().and_then(hex), bytes.next().and_then(hex));
                (
                    high.zip(low)
                        .map(|(high, low)| high * 16 + low)
                        .ok_or(PathProblem::BadEncoding)?,
                    true,
                )
            }
            byte => (byte, false),
        };
        if code.is_ascii_control() {
            return Err(PathProblem::Control);
        }
        let is_unreserved = code.is_ascii_alphanumeric() || b"-._~".contains(&code);
        let needs_encoding = !code.is_ascii() || b" \"<>^`{}".contains(&code);
        if is_unreserved || (!is_encoded && !needs_encoding) {
            normal.push(char::from(code));
        } else {
            normal.push('%');
            for digit in [code >> 4, code & 15] {
                normal.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    if normal
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(PathProblem::DotSegment);
    }
    Ok(normal)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{PathProblem, normal_form};

    #[test]
    fn normal_forms() {
        for (text, expected) in [
            ("/api", Ok("/api")),
            ("/%61pi", Ok("/api")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/café", Ok("/caf%C3%A9")),
            ("/a b", Ok("/a%20b")),
            ("/a%2fb", Ok("/a%2Fb")),
            ("/a!b;c=1,2", Ok("/a!b;c=1,2")),
            ("/a%21b", Ok("/a%21b")),
            ("/*/x?", Ok("/*/x?")),
            ("//a", Ok("//a")),
            ("api", Err(PathProblem::NoSlash)),
            ("", Err(PathProblem::NoSlash)),
            ("/a\u{0}", Err(PathProblem::Control)),
            ("/a%0a", Err(PathProblem::Control)),
            ("/100%", Err(PathProblem::BadEncoding)),
            ("/%zz", Err(PathProblem::BadEncoding)),
            ("/a/../b", Err(PathProblem::DotSegment)),
            ("/a/%2e", Err(PathProblem::DotSegment)),
        ] {
            assert_eq!(
                normal_form(text).as_deref().map_err(|e| format!("{e:?}")),
                expected.map_err(|e| format!("{e:?}")),
                "{text}"
            );
        }
    }
}

//! Path normalisation: the one reading of a path that routes are matched against and backends are sent.
//!
//! A path is read once (RFC 3986 §6.2.2): percent-encodings of unreserved characters are decoded and dot segments
//! resolved; encoded slashes, backslashes, empty segments and parameters go by [`PathPolicy`]. Nothing is ever decoded twice.
//! When that changes the path, the backend is sent the changed one, so that it can't read another path than the one
//! that was matched; otherwise the path is forwarded byte for byte.

/// What is done about one odd form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Treatment {
    /// Refuse the request.
    Reject,
    /// Turn it into the plain form, for matching and for the backend.
    Normalize,
    /// Leave it as it is, for matching and for the backend.
    Keep,
}

/// What is done about each odd form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathPolicy {
    /// `%2F`: `Normalize` makes it a slash.
    pub encoded_slash: Treatment,
    /// `\` and `%5C`: `Normalize` makes it a slash.
    pub backslash: Treatment,
    /// `//`: `Normalize` makes it one slash.
    pub duplicate_slashes: Treatment,
    /// `.` and `..` segments: `Keep` is treated as `Reject`.
    pub dot_segments: Treatment,
    /// `;` and what follows it in its segment: `Normalize` takes both away, and refuses `%3B`, which is a parameter to some
    /// backends and a part of the name to others.
    pub parameters: Treatment,
}

impl Default for PathPolicy {
    fn default() -> PathPolicy {
        PathPolicy {
            encoded_slash: Treatment::Keep,
            backslash: Treatment::Reject,
            duplicate_slashes: Treatment::Keep,
            dot_segments: Treatment::Normalize,
            parameters: Treatment::Keep,
        }
    }
}

/// Why a path was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathFault {
    /// `%` without two hexadecimal digits behind it.
    BadEncoding,
    /// An encoded control character or NUL.
    Control,
    /// An encoded slash, where the policy refuses it.
    EncodedSlash,
    /// A backslash, where the policy refuses it.
    Backslash,
    /// An empty segment, where the policy refuses it.
    DuplicateSlashes,
    /// A dot segment, where the policy refuses it.
    DotSegment,
    /// A `..` that climbs out of the root.
    AboveRoot,
    /// `..;x`: a segment that some servers read as `..` and others as a name.
    DotParameters,
    /// `..%2F`: dots that are a segment of their own to whoever decodes the slash.
    HiddenDots,
    /// A parameter, where the policy refuses it.
    Parameters,
}

impl PathFault {
    /// The stable name, for logs and explanations.
    pub const fn name(self) -> &'static str {
        match self {
            PathFault::BadEncoding => "bad-encoding",
            PathFault::Control => "control-character",
            PathFault::EncodedSlash => "encoded-slash",
            PathFault::Backslash => "backslash",
            PathFault::DuplicateSlashes => "duplicate-slashes",
            PathFault::DotSegment => "dot-segment",
            PathFault::AboveRoot => "above-root",
            PathFault::DotParameters => "dot-segment-parameters",
            PathFault::HiddenDots => "dot-segment-hidden",
            PathFault::Parameters => "parameters",
        }
    }
}

/// How the normal form relates to what was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Normal {
    /// The path was in normal form; the scratch buffer was not touched.
    Verbatim,
    /// The scratch buffer has the form to match; a backend can't read the received form differently.
    Equivalent,
    /// The scratch buffer has the form to match and to forward.
    Changed,
}

/// Bytes that the quick look stops at.
const fn is_odd(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\')
}

/// Brings `path`, which starts with a slash, into normal form.
///
/// # Errors
/// The form that the policy refuses.
#[inline]
pub fn normalize(
    path: &[u8],
    policy: &PathPolicy,
    scratch: &mut Vec<u8>,
) -> Result<Normal, PathFault> {
    let mut previous = 0;
    let mut plain = true;
    for &byte in path {
        plain &= !(is_odd(byte) || previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
    }
    // Most keep parameters, so that most need not look for any.
    if plain && (policy.parameters == Treatment::Keep || !path.contains(&b';')) {
        return Ok(Normal::Verbatim);
    }
    scratch.clear();
    let decoded = decode(path, policy, scratch)?;
    let resolved = resolve(policy, scratch)?;
    Ok(if decoded == Normal::Changed || resolved {
        Normal::Changed
    } else {
        decoded
    })
}

/// Undoes encodings into `out`; says whether a backend could have read the received form differently.
fn decode(path: &[u8], policy: &PathPolicy, out: &mut Vec<u8>) -> Result<Normal, PathFault> {
    let mut normal = Normal::Verbatim;
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match *byte {
            b'%' => {
                let (code, tail) = encoded(rest)?;
                let raw = [b'%', rest[0], rest[1]];
                rest = tail;
                let change = decode_one(code, raw, policy, out)?;
                if normal != Normal::Changed && change != Normal::Verbatim {
                    normal = change;
                }
            }
            b'\\' => match policy.backslash {
                Treatment::Reject => return Err(PathFault::Backslash),
                Treatment::Normalize => {
                    out.push(b'/');
                    normal = Normal::Changed;
                }
                Treatment::Keep => out.push(b'\\'),
            },
            b';' if policy.parameters == Treatment::Reject => return Err(PathFault::Parameters),
            plain => out.push(plain),
        }
    }
    Ok(normal)
}

fn decode_one(
    code: u8,
    raw: [u8; 3],
    policy: &PathPolicy,
    out: &mut Vec<u8>,
) -> Result<Normal, PathFault> {
    let odd = match code {
        0..=0x1f | 0x7f => return Err(PathFault::Control),
        b'/' => Some((policy.encoded_slash, PathFault::EncodedSlash)),
        b'\\' => Some((policy.backslash, PathFault::Backslash)),
        b';' if policy.parameters != Treatment::Keep => return Err(PathFault::Parameters),
        _ => None,
    };
    match odd {
        Some((Treatment::Reject, fault)) => return Err(fault),
        Some((Treatment::Normalize, _)) => {
            out.push(b'/');
            return Ok(Normal::Changed);
        }
        _ => {}
    }
    if code.is_ascii_alphanumeric() || matches!(code, b'-' | b'.' | b'_' | b'~') {
        out.push(code);
        return Ok(Normal::Changed);
    }
    // Reserved characters stay encoded; only the digits' case is made one (RFC 3986 §6.2.2.1).
    let upper = raw.map(|byte| byte.to_ascii_uppercase());
    out.extend_from_slice(&upper);
    Ok(if upper == raw {
        Normal::Verbatim
    } else {
        Normal::Equivalent
    })
}

fn encoded(rest: &[u8]) -> Result<(u8, &[u8]), PathFault> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|value| value as u8);
    match rest {
        [high, low, tail @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Ok((high << 4 | low, tail)),
            _ => Err(PathFault::BadEncoding),
        },
        _ => Err(PathFault::BadEncoding),
    }
}

/// Resolves dot segments, empty segments and parameters in place (RFC 3986 §5.2.4); says whether anything changed.
fn resolve(policy: &PathPolicy, path: &mut Vec<u8>) -> Result<bool, PathFault> {
    let length = path.len();
    let mut read = 0;
    let mut write = 0;
    while read < length {
        let start = read + 1;
        let end = path[start..]
            .iter()
            .position(|&byte| byte == b'/')
            .map_or(length, |at| start + at);
        let last = end == length;
        if has_dot_parameters(&path[start..end]) {
            return Err(PathFault::DotParameters);
        }
        if has_hidden_dots(&path[start..end]) {
            return Err(PathFault::HiddenDots);
        }
        let kept = match policy.parameters {
            Treatment::Normalize => start + name_len(&path[start..end]),
            Treatment::Keep | Treatment::Reject => end,
        };
        match segment(&path[start..kept]) {
            Segment::Dot | Segment::DotDot if policy.dot_segments != Treatment::Normalize => {
                return Err(PathFault::DotSegment);
            }
            Segment::Dot => {
                if last {
                    path[write] = b'/';
                    write += 1;
                }
            }
            Segment::DotDot => {
                if write == 0 {
                    return Err(PathFault::AboveRoot);
                }
                while write > 0 {
                    write -= 1;
                    if path[write] == b'/' {
                        break;
                    }
                }
                if last {
                    path[write] = b'/';
                    write += 1;
                }
            }
            Segment::Empty if !last && policy.duplicate_slashes == Treatment::Reject => {
                return Err(PathFault::DuplicateSlashes);
            }
            Segment::Empty if !last && policy.duplicate_slashes == Treatment::Normalize => {}
            Segment::Empty | Segment::Name => {
                path.copy_within(read..kept, write);
                write += kept - read;
            }
        }
        read = end;
    }
    path.truncate(write);
    Ok(write != length)
}

enum Segment {
    Name,
    Empty,
    Dot,
    DotDot,
}

fn segment(text: &[u8]) -> Segment {
    match text {
        b"" => Segment::Empty,
        b"." => Segment::Dot,
        b".." => Segment::DotDot,
        _ => Segment::Name,
    }
}

fn has_dot_parameters(segment: &[u8]) -> bool {
    matches!(segment, [b'.', b';', ..] | [b'.', b'.', b';', ..])
}

/// Whether a segment has dots beside a slash or backslash that is kept encoded: a dot segment to whoever decodes that.
fn has_hidden_dots(segment: &[u8]) -> bool {
    let is_slash = |three: &[u8]| matches!(three, b"%2F" | b"%5C");
    if !segment.windows(3).any(is_slash) {
        return false;
    }
    let mut rest = segment;
    loop {
        let at = rest.windows(3).position(is_slash);
        let piece = &rest[..at.unwrap_or(rest.len())];
        if matches!(&piece[..name_len(piece)], b"." | b"..") {
            return true;
        }
        match at {
            Some(at) => rest = &rest[at + 3..],
            None => return false,
        }
    }
}

/// How much of a segment is before its parameters.
fn name_len(segment: &[u8]) -> usize {
    let semicolon = segment.iter().position(|&byte| byte == b';');
    semicolon.unwrap_or(segment.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(path: &str, policy: &PathPolicy) -> Result<(Normal, String), PathFault> {
        let mut scratch = Vec::new();
        let normal = normalize(path.as_bytes(), policy, &mut scratch)?;
        let text = match normal {
            Normal::Verbatim => path.to_owned(),
            _ => String::from_utf8(scratch).unwrap(),
        };
        Ok((normal, text))
    }

    fn check(path: &str, expected: Result<(Normal, &str), PathFault>) {
        let expected = expected.map(|(normal, text)| (normal, text.to_owned()));
        assert_eq!(run(path, &PathPolicy::default()), expected, "{path}");
    }

    #[test]
    fn the_default_policy() {
        use Normal::*;
        check("/", Ok((Verbatim, "/")));
        check("/a/b.c", Ok((Verbatim, "/a/b.c")));
        check("/a//b", Ok((Verbatim, "/a//b")));
        check("/%61dmin", Ok((Changed, "/admin")));
        check("/a%2fb", Ok((Equivalent, "/a%2Fb")));
        check("/a%2Fb", Ok((Verbatim, "/a%2Fb")));
        check("/a%252e", Ok((Verbatim, "/a%252e")));
        check("/a/./b/../c", Ok((Changed, "/a/c")));
        check("/a/..", Ok((Changed, "/")));
        check("/a/.", Ok((Changed, "/a/")));
        check("/a/b/..", Ok((Changed, "/a/")));
        check("/a//..", Ok((Changed, "/a/")));
        check("/a/%2e%2E/b", Ok((Changed, "/b")));
        check("/.well-known", Ok((Verbatim, "/.well-known")));
        check("/..", Err(PathFault::AboveRoot));
        check("/a/../../b", Err(PathFault::AboveRoot));
        check("/%00", Err(PathFault::Control));
        check("/%0d%0a", Err(PathFault::Control));
        check("/%7f", Err(PathFault::Control));
        check("/%", Err(PathFault::BadEncoding));
        check("/%4", Err(PathFault::BadEncoding));
        check("/%g0", Err(PathFault::BadEncoding));
        check("/a\\b", Err(PathFault::Backslash));
        check("/a%5cb", Err(PathFault::Backslash));
        check("/a/..;/b", Err(PathFault::DotParameters));
        check("/a/..;x", Err(PathFault::DotParameters));
    }

    #[test]
    fn other_policies() {
        let all = |treatment| PathPolicy {
            encoded_slash: treatment,
            backslash: treatment,
            duplicate_slashes: treatment,
            dot_segments: treatment,
            parameters: treatment,
        };
        let normal = all(Treatment::Normalize);
        assert_eq!(
            run("/a%2f..%5c/b", &normal),
            Ok((Normal::Changed, "/b".into()))
        );
        assert_eq!(
            run("/a//b///", &normal),
            Ok((Normal::Changed, "/a/b/".into()))
        );
        let reject = all(Treatment::Reject);
        assert_eq!(run("/a%2fb", &reject), Err(PathFault::EncodedSlash));
        assert_eq!(run("/a//b", &reject), Err(PathFault::DuplicateSlashes));
        assert_eq!(run("/a/./b", &reject), Err(PathFault::DotSegment));
        let keep = all(Treatment::Keep);
        assert_eq!(
            run("/a\\b%5C", &keep),
            Ok((Normal::Verbatim, "/a\\b%5C".into()))
        );
    }

    #[test]
    fn parameters() {
        use Normal::{Changed, Verbatim};
        let check = |parameters, path, expected: Result<(Normal, &str), PathFault>| {
            let policy = PathPolicy {
                parameters,
                ..PathPolicy::default()
            };
            let expected = expected.map(|(normal, text)| (normal, text.to_owned()));
            assert_eq!(run(path, &policy), expected, "{parameters:?} {path}");
        };
        let refused = Err(PathFault::Parameters);
        for (path, stripped) in [
            ("/admin;x/y", "/admin/y"),
            ("/admin;x=1;y/", "/admin/"),
            ("/a;b", "/a"),
            ("/a;/b;", "/a/b"),
            ("/;x/a", "//a"),
            ("/a/;x", "/a/"),
            ("/b/x;y/../a", "/b/a"),
        ] {
            check(Treatment::Normalize, path, Ok((Changed, stripped)));
            check(Treatment::Reject, path, refused);
        }
        check(
            Treatment::Keep,
            "/admin;x/y%3B",
            Ok((Verbatim, "/admin;x/y%3B")),
        );
        for treatment in [Treatment::Normalize, Treatment::Reject] {
            check(treatment, "/admin%3bx", refused);
            check(treatment, "/admin/y,z=1", Ok((Verbatim, "/admin/y,z=1")));
        }
        let dots = Err(PathFault::DotParameters);
        check(Treatment::Normalize, "/a/..;x/b", dots);
        check(Treatment::Normalize, "/a/%2e;x/b", dots);
        let hidden = Err(PathFault::HiddenDots);
        for path in [
            "/x/%2e%2e%2fadmin",
            "/x%2f..%2fadmin",
            "/.%2Fadmin",
            "/x%2F..",
        ] {
            check(Treatment::Keep, path, hidden);
        }
        let names = Ok((Verbatim, "/x%2F..y/%2F.z"));
        check(Treatment::Keep, "/x%2F..y/%2F.z", names);
        let backslash = PathPolicy {
            backslash: Treatment::Keep,
            ..PathPolicy::default()
        };
        assert_eq!(run("/..%5cadmin", &backslash), Err(PathFault::HiddenDots));
    }

    proptest! {
        /// Normalising what was normalised changes nothing, and no dot segment survives.
        #[test]
        fn is_idempotent(path in "/([a.;/%\\\\]|%2[eEfF]|%5c|%61|%25|%3b){0,12}", merge: bool, strip: bool) {
            let policy = PathPolicy {
                duplicate_slashes: if merge { Treatment::Normalize } else { Treatment::Keep },
                backslash: Treatment::Keep,
                parameters: if strip { Treatment::Normalize } else { Treatment::Keep },
                ..PathPolicy::default()
            };
            if let Ok((_, once)) = run(&path, &policy) {
                prop_assert!(once.starts_with('/'));
                prop_assert!(!once.split('/').any(|s| s == "." || s == ".."));
                prop_assert!(!strip || !once.contains(';') && !once.contains("%3B"));
                prop_assert_eq!(run(&once, &policy), Ok((Normal::Verbatim, once.clone())));
            }
        }
    }
}

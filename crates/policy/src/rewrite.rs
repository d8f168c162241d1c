//! What a backend sees as the path.

use crate::Problem;
use foregate_message::Reason;
use foregate_message::path::{Normal, PathPolicy, Treatment, normalize};
use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern larger than this is refused.
const PATTERN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What happens to the path; the query always stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RewriteSpec {
    /// It stays.
    Keep,
    /// This prefix is removed where it ends with a segment.
    StripPrefix(String),
    /// It becomes this path.
    Replace(String),
    /// The first match of `regex` becomes `with`.
    ReplaceRegex {
        /// A regular expression, searched for in the normalised path.
        regex: String,
        /// The replacement: `$1`, `${1}` and `$name` are groups, `$$` is a dollar sign.
        with: String,
    },
}

/// A compiled rewrite.
#[derive(Clone, Debug)]
pub struct Rewrite(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Keep,
    Strip(Box<[u8]>),
    Replace(Box<[u8]>),
    Regex { regex: Regex, with: Box<[u8]> },
}

/// Whether a rewrite changed anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rewritten {
    /// The path stays, and with it the bytes that the client sent.
    Unchanged,
    /// The new path stands in the buffer.
    Changed,
}

/// The law that a rewritten path must keep: what a pattern put together must not mean anything else once it is read
/// again. The other odd forms were judged before.
const RESULT_POLICY: PathPolicy = PathPolicy {
    encoded_slash: Treatment::Keep,
    backslash: Treatment::Keep,
    duplicate_slashes: Treatment::Keep,
    dot_segments: Treatment::Reject,
    parameters: Treatment::Keep,
};

impl Rewrite {
    /// Checks and compiles the rewrite.
    ///
    /// # Errors
    /// A path that is not absolute or has a character that no path may have; an invalid or too large expression; a
    /// replacement with a group that the expression lacks.
    pub fn compile(spec: &RewriteSpec) -> Result<Rewrite, Problem> {
        Ok(Rewrite(match spec {
            RewriteSpec::Keep => Kind::Keep,
            RewriteSpec::StripPrefix(prefix) => {
                check_path(prefix)?;
                Kind::Strip(prefix.strip_suffix('/').unwrap_or(prefix).as_bytes().into())
            }
            RewriteSpec::Replace(path) => {
                check_path(path)?;
                Kind::Replace(path.as_bytes().into())
            }
            RewriteSpec::ReplaceRegex { regex, with } => {
                let regex = RegexBuilder::new(regex)
                    .size_limit(PATTERN_BYTES_MAX)
                    .build()
                    .map_err(|error| Problem::Pattern(error.to_string()))?;
                check_characters(with)?;
                check_groups(with, &regex)?;
                Kind::Regex {
                    regex,
                    with: with.as_bytes().into(),
                }
            }
        }))
    }

    /// Whether the path always stays.
    #[inline]
    pub fn is_keep(&self) -> bool {
        matches!(self.0, Kind::Keep)
    }

    /// Rewrites the normalised `path` into `out`.
    ///
    /// # Errors
    /// [`Reason::PathRefused`] when an expression put a path together that has dot segments or encodings that neither
    /// the client nor the operator wrote.
    #[inline]
    pub fn apply(&self, path: &[u8], out: &mut Vec<u8>) -> Result<Rewritten, Reason> {
        match &self.0 {
            Kind::Keep => Ok(Rewritten::Unchanged),
            Kind::Strip(prefix) => Ok(strip(prefix, path, out)),
            Kind::Replace(fixed) => {
                out.clear();
                out.extend_from_slice(fixed);
                Ok(Rewritten::Changed)
            }
            Kind::Regex { regex, with } => replace(regex, with, path, out),
        }
    }
}

/// Removes `prefix`, which has no slash at its end. A path that does not begin with it stays.
fn strip(prefix: &[u8], path: &[u8], out: &mut Vec<u8>) -> Rewritten {
    match path.strip_prefix(prefix) {
        Some(rest) if !prefix.is_empty() && matches!(rest.first(), None | Some(b'/')) => {
            push_rooted(rest, out);
            Rewritten::Changed
        }
        _ => Rewritten::Unchanged,
    }
}

fn replace(
    regex: &Regex,
    with: &[u8],
    path: &[u8],
    out: &mut Vec<u8>,
) -> Result<Rewritten, Reason> {
    let Some(captures) = regex.captures(path) else {
        return Ok(Rewritten::Unchanged);
    };
    let Some(whole) = captures.get(0) else {
        return Ok(Rewritten::Unchanged);
    };
    let mut joined = Vec::with_capacity(path.len() + with.len());
    joined.extend_from_slice(&path[..whole.start()]);
    captures.expand(with, &mut joined);
    joined.extend_from_slice(&path[whole.end()..]);
    push_rooted(&joined, out);
    match normalize(out, &RESULT_POLICY, &mut joined) {
        Ok(Normal::Verbatim | Normal::Equivalent) => Ok(Rewritten::Changed),
        Ok(Normal::Changed) | Err(_) => Err(Reason::PathRefused),
    }
}

/// Writes `rest` with exactly one slash in front: two would begin a host where a backend takes the path for a
/// reference (RFC 3986 §4.2).
fn push_rooted(rest: &[u8], out: &mut Vec<u8>) {
    let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
    out.clear();
    out.push(b'/');
    out.extend_from_slice(&rest[slashes..]);
}

fn check_path(path: &str) -> Result<(), Problem> {
    if !path.starts_with('/') {
        return Err(Problem::PathNotAbsolute);
    }
    check_characters(path)
}

/// Visible ASCII without what ends a path or may not stand in one (RFC 3986 §3.3).
fn check_characters(text: &str) -> Result<(), Problem> {
    let fits = |byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'<' | b'>' | b'\\')
    };
    if text.bytes().all(fits) {
        Ok(())
    } else {
        Err(Problem::PathCharacter)
    }
}

/// Every group that `with` names must be there: a missing one would silently stand for nothing. The longest run of
/// letters, digits and underscores is the name, as the expansion reads it.
fn check_groups(with: &str, regex: &Regex) -> Result<(), Problem> {
    let mut rest = with;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let name = match rest
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
        {
            Some((name, _)) => name,
            None => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                &rest[..end.unwrap_or(rest.len())]
            }
        };
        let known = match name.parse::<usize>() {
            Ok(number) => number < regex.captures_len(),
            Err(_) => regex.capture_names().flatten().any(|each| each == name),
        };
        if !known && !name.is_empty() {
            return Err(Problem::UnknownGroup(name.into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewrite(spec: &RewriteSpec, path: &str) -> Result<String, Reason> {
        let mut out = b"old".to_vec();
        let done = Rewrite::compile(spec)
            .unwrap()
            .apply(path.as_bytes(), &mut out)?;
        Ok(match done {
            Rewritten::Unchanged => path.into(),
            Rewritten::Changed => String::from_utf8(out).unwrap(),
        })
    }

    fn check(spec: &RewriteSpec, cases: &[(&str, &str)]) {
        for (path, expected) in cases {
            assert_eq!(rewrite(spec, path).as_deref(), Ok(*expected), "{path}");
        }
    }

    fn regex(regex: &str, with: &str) -> RewriteSpec {
        RewriteSpec::ReplaceRegex {
            regex: regex.into(),
            with: with.into(),
        }
    }

    #[test]
    fn a_prefix_is_stripped_by_segments() {
        let cases = [
            ("/api", "/"),
            ("/api/", "/"),
            ("/api/x", "/x"),
            ("/apix", "/apix"),
            ("/b/api", "/b/api"),
            ("/api//evil.example/x", "/evil.example/x"),
        ];
        check(&RewriteSpec::StripPrefix("/api".into()), &cases);
        check(&RewriteSpec::StripPrefix("/api/".into()), &cases);
        check(
            &RewriteSpec::StripPrefix("/".into()),
            &[("/a", "/a"), ("//a", "//a")],
        );
    }

    #[test]
    fn a_path_is_replaced() {
        check(
            &RewriteSpec::Replace("/fixed".into()),
            &[("/a", "/fixed"), ("/", "/fixed")],
        );
        check(
            &regex("^/v1/(?<rest>.*)$", "/$rest"),
            &[
                ("/v1/a/b", "/a/b"),
                ("/v1/", "/"),
                ("/v2/a", "/v2/a"),
                ("/v1//a", "/a"),
            ],
        );
        check(
            &regex("old", "n$$"),
            &[("/old/old", "/n$/old"), ("/a%2Fold", "/a%2Fn$")],
        );
        check(&regex("^/(a)", "${1}x"), &[("/a", "/ax")]);
        check(&RewriteSpec::Keep, &[("/a", "/a")]);
    }

    #[test]
    fn a_path_that_reads_differently_is_refused() {
        let joins = regex("^/a/(.*)b(.*)$", "/$1$2");
        assert_eq!(rewrite(&joins, "/a/.b./secret"), Err(Reason::PathRefused));
        let splits = regex("%2F", "%2");
        assert_eq!(rewrite(&splits, "/%2Fe/"), Err(Reason::PathRefused));
        assert_eq!(rewrite(&splits, "/%2F"), Err(Reason::PathRefused));
    }

    #[test]
    fn what_can_not_be_a_path_is_refused() {
        let refusal = |spec: &RewriteSpec| Rewrite::compile(spec).unwrap_err();
        assert_eq!(
            refusal(&RewriteSpec::Replace("a".into())),
            Problem::PathNotAbsolute
        );
        for bad in ["/a b", "/a\r\n", "/a?b", "/a#b", "/ä"] {
            assert_eq!(
                refusal(&RewriteSpec::Replace(bad.into())),
                Problem::PathCharacter
            );
            assert_eq!(
                refusal(&RewriteSpec::StripPrefix(bad.into())),
                Problem::PathCharacter
            );
            assert_eq!(refusal(&regex("a", bad)), Problem::PathCharacter);
        }
        assert_eq!(
            refusal(&regex("(a)", "/$2")),
            Problem::UnknownGroup("2".into())
        );
        assert_eq!(
            refusal(&regex("(a)", "/$1x")),
            Problem::UnknownGroup("1x".into())
        );
        assert!(matches!(refusal(&regex("(", "/")), Problem::Pattern(_)));
    }

    proptest! {
        #[test]
        fn the_result_is_one_absolute_path(path in "/[a./%2Fe]{0,12}", with in "[a./$1]{0,6}") {
            let policy = PathPolicy::default();
            let mut scratch = Vec::new();
            prop_assume!(normalize(path.as_bytes(), &policy, &mut scratch) == Ok(Normal::Verbatim));
            let Ok(rewrite) = Rewrite::compile(&regex("a(.?)", &with)) else { return Ok(()) };
            let mut out = Vec::new();
            if rewrite.apply(path.as_bytes(), &mut out) == Ok(Rewritten::Changed) {
                prop_assert!(out.starts_with(b"/") && !out.starts_with(b"//"));
                prop_assert!(normalize(&out, &RESULT_POLICY, &mut scratch) != Ok(Normal::Changed));
            }
        }
    }
}

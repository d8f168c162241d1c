//! Globs and regular expressions, with a bound on what one may cost.

use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern larger than this is refused.
const PATTERN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What one thread may keep of a pattern's lazily built automaton.
const AUTOMATON_BYTES_MAX: usize = 1024 * 1024;

/// Compiles a regular expression; searching takes time linear in the haystack.
///
/// # Errors
/// The expression is invalid or too large.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(AUTOMATON_BYTES_MAX)
        .build()
        .map_err(|error| error.to_string())
}

/// A pattern for whole paths.
#[derive(Debug)]
pub(crate) struct PathPattern {
    /// What every matching path begins with: a comparison that spares most searches. May be empty.
    head: Box<[u8]>,
    regex: Regex,
}

impl PathPattern {
    pub(crate) fn regex(pattern: &str) -> Result<PathPattern, String> {
        Ok(PathPattern {
            head: regex_head(pattern).as_bytes().into(),
            regex: compile(pattern)?,
        })
    }

    pub(crate) fn glob(pattern: &str) -> Result<PathPattern, String> {
        let head = pattern.split(['*', '?']).next().unwrap_or_default();
        Ok(PathPattern {
            head: head.as_bytes().into(),
            regex: compile(&glob_as_regex(pattern))?,
        })
    }

    #[inline]
    pub(crate) fn takes(&self, path: &[u8]) -> bool {
        path.starts_with(&self.head) && self.regex.is_match(path)
    }
}

/// The plain text after `^` that every match begins with. A quantifier may make the last character optional, and an
/// alternative may make everything so.
fn regex_head(pattern: &str) -> &str {
    let Some(rest) = pattern.strip_prefix('^').filter(|rest| !rest.contains('|')) else {
        return "";
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '%');
    let end = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
    match rest.as_bytes().get(end) {
        Some(b'?' | b'*' | b'+' | b'{') => &rest[..end.saturating_sub(1)],
        _ => &rest[..end],
    }
}

/// The glob as an anchored expression over bytes.
fn glob_as_regex(pattern: &str) -> String {
    let mut regex = String::from("(?s-u)^");
    let mut rest = pattern;
    while let Some(at) = rest.find(['*', '?']) {
        regex.push_str(&regex::escape(&rest[..at]));
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("**") {
            regex.push_str(".*");
            // A run of more than two stars means no more than two do.
            rest = after.trim_start_matches('*');
        } else if let Some(after) = rest.strip_prefix('*') {
            regex.push_str("[^/]*");
            rest = after;
        } else {
            regex.push_str("(?:%[0-9A-F][0-9A-F]|[^/%])");
            rest = &rest[1..];
        }
    }
    regex.push_str(&regex::escape(rest));
    regex.push('$');
    regex
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(glob: &str, yes: &[&str], no: &[&str]) {
        let pattern = PathPattern::glob(glob).unwrap();
        for path in yes {
            assert!(pattern.takes(path.as_bytes()), "{glob} takes {path}");
        }
        for path in no {
            assert!(!pattern.takes(path.as_bytes()), "{glob} refuses {path}");
        }
    }

    #[test]
    fn globs() {
        check("/a/*", &["/a/", "/a/b"], &["/a", "/a/b/c", "/b/a/x"]);
        check(
            "/**/*.js",
            &["/x/y.js", "/x/y/z.js"],
            &["/y.js", "/x/y.jsx"],
        );
        check("/a?c", &["/abc", "/a%20c"], &["/a/c", "/ac", "/abbc"]);
        check("/a.b+(c)", &["/a.b+(c)"], &["/axb+(c)", "/a.bb(c)"]);
        check("**", &["", "*", "/a/b"], &[]);
        check("/***", &["/a/b"], &["a"]);
    }

    #[test]
    fn huge_patterns_are_refused() {
        assert!(compile(r"\w{1000}{1000}").is_err());
        assert!(compile("(").is_err());
    }

    /// The plainest model: try every way.
    fn model(glob: &[u8], path: &[u8]) -> bool {
        match glob {
            [] => path.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=path.len()).any(|at| model(rest, &path[at..])),
            [b'*', rest @ ..] => (0..=path.len())
                .take_while(|&at| !path[..at].contains(&b'/'))
                .any(|at| model(rest, &path[at..])),
            [b'?', rest @ ..] => !path.is_empty() && path[0] != b'/' && model(rest, &path[1..]),
            [byte, rest @ ..] => path.first() == Some(byte) && model(rest, &path[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_head_never_hides_a_match(pattern in "\\^?/[ab/?*+|.(){}2\\[\\]\\\\^-]{0,8}", path in "/[ab/]{0,6}") {
            if let Ok(plain) = compile(&pattern) {
                let with_head = PathPattern::regex(&pattern).unwrap();
                prop_assert_eq!(with_head.takes(path.as_bytes()), plain.is_match(path.as_bytes()));
            }
        }

        #[test]
        fn globs_match_like_the_model(glob in "/[ab/*?]{0,7}", path in "/[ab/]{0,9}") {
            let pattern = PathPattern::glob(&glob).unwrap();
            prop_assert_eq!(pattern.takes(path.as_bytes()), model(glob.as_bytes(), path.as_bytes()));
        }
    }
}

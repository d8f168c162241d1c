//! Whether a regular expression is too large to be compiled.
//!
//! Compiling one tells, but costs far more than reading it; so only those are tried that could be too large at all.

use regex_syntax::hir::{Class, Hir, HirKind};

/// What a compiled expression may take. Routes and rewrites refuse more; elsewhere there is no limit below it.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// Expressions of less weight are certain to take less.
const WEIGHT_TRIED_MIN: usize = 20_000;

/// Whether an expression takes more than it may once it is compiled.
pub(crate) fn is_too_large(text: &str, hir: &Hir) -> bool {
    weight(hir) >= WEIGHT_TRIED_MIN
        && regex::bytes::RegexBuilder::new(text)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .is_err()
}

/// About how many states it has. The parser bounds the depth of nesting.
fn weight(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges().iter();
            // One that spans several lengths of UTF-8 becomes up to nine sequences of bytes.
            ranges.fold(0, |sum, range| {
                sum + 3 + 9 * (range.end().len_utf8() - range.start().len_utf8())
            })
        }
        HirKind::Class(Class::Bytes(class)) => class.ranges().len(),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            let times = usize::try_from(times).unwrap_or(usize::MAX);
            weight(&repetition.sub)
                .saturating_add(1)
                .saturating_mul(times)
        }
        HirKind::Capture(capture) => weight(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            let weights = parts.iter().map(weight);
            weights.fold(parts.len(), usize::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPILED_BYTES_MAX, WEIGHT_TRIED_MIN, is_too_large, weight};

    #[test]
    fn what_is_not_tried_is_small() {
        for text in [
            "a{9900}",
            "\\w{7}",
            "[a-z]{4900}",
            "(a|b|c){2000}",
            "(?:(?:a?){80}){80}",
            "\\pL{8}",
            "(?s).{600}",
            "[^a]{500}",
        ] {
            let hir = regex_syntax::parse(text).unwrap();
            assert!(weight(&hir) < WEIGHT_TRIED_MIN, "{text} {}", weight(&hir));
            // Half of it leaves room for what the estimate does not know.
            let built = regex::bytes::RegexBuilder::new(text)
                .size_limit(COMPILED_BYTES_MAX / 2)
                .build();
            assert!(built.is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_too_large_is_found() {
        for (text, expected) in [
            ("^/api/v[0-9]+/.*$", false),
            ("a{30000}", false),
            ("\\w{1000}", true),
            ("(a{1000}){1000}", true),
        ] {
            let hir = regex_syntax::parse(text).unwrap();
            assert_eq!(is_too_large(text, &hir), expected, "{text}");
        }
    }
}

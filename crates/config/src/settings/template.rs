//! Texts with placeholders.

use std::ops::Range;

/// A text with placeholders, `{name}`. A brace itself is written twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<P> {
    /// The text as written, known to be valid.
    pub text: String,
    /// What the text consists of, in order; literals are never empty and never adjacent.
    pub pieces: Vec<Piece<P>>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<P> {
    /// Text that stands for itself.
    Literal(String),
    /// Something of the request.
    Placeholder(P),
}

/// What the target of a redirect may name, as `{name}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UrlPlaceholder {
    /// `{scheme}`: `http` or `https`.
    Scheme,
    /// `{host}`: the host asked for, without port.
    Host,
    /// `{path}`: the path as the client sent it (normalised where the policy of `[paths]` says so).
    Path,
    /// `{query}`: `?` and the query, or nothing if there is none.
    Query,
}

impl Placeholder for UrlPlaceholder {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("scheme", Self::Scheme),
        ("host", Self::Host),
        ("path", Self::Path),
        ("query", Self::Query),
    ];
}

/// A set of placeholders and their names.
pub trait Placeholder: Copy + 'static {
    /// Every placeholder by its name without braces.
    const NAMES: &'static [(&'static str, Self)];
}

/// What is wrong with a template, and at which bytes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// What is wrong.
    pub kind: TemplateFaultKind,
    /// The offending bytes.
    pub place: Range<usize>,
}

/// What may be wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateFaultKind {
    /// A placeholder that does not exist: its name without braces.
    Unknown(String),
    /// `{}`.
    Empty,
    /// A name after a brace, and no brace after it.
    Unclosed(String),
    /// A brace that belongs to no placeholder.
    Stray,
}

/// Longer names are taken for text.
const NAME_BYTES_MAX: usize = 64;

impl<P: Placeholder> Template<P> {
    /// Splits a text into its pieces.
    ///
    /// # Errors
    /// Every brace and name that makes no sense, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<TemplateFault>> {
        let mut pieces = Vec::new();
        let mut faults = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '}']) {
            let brace = at + found;
            literal.push_str(&text[at..brace]);
            let rest = &text[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push_str(&rest[..1]);
                at = brace + 2;
                continue;
            }
            match braced::<P>(rest) {
                Ok((placeholder, length)) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Placeholder(placeholder));
                    at = brace + length;
                }
                Err((kind, length)) => {
                    at = brace + length;
                    faults.push(TemplateFault {
                        kind,
                        place: brace..at,
                    });
                }
            }
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        if faults.is_empty() {
            Ok(Self {
                text: text.to_owned(),
                pieces,
            })
        } else {
            Err(faults)
        }
    }
}

/// What a brace begins, and how many bytes that takes. `rest` begins with a brace that does not stand twice.
fn braced<P: Placeholder>(rest: &str) -> Result<(P, usize), (TemplateFaultKind, usize)> {
    let Some(after) = rest.strip_prefix('{') else {
        return Err((TemplateFaultKind::Stray, 1));
    };
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let end = after.find(|c| !is_of_names(c)).unwrap_or(after.len());
    let name = &after[..end];
    if end > NAME_BYTES_MAX {
        return Err((TemplateFaultKind::Stray, 1));
    }
    if !after[end..].starts_with('}') {
        return Err(match end {
            0 => (TemplateFaultKind::Stray, 1),
            _ => (TemplateFaultKind::Unclosed(name.to_owned()), end + 1),
        });
    }
    if end == 0 {
        return Err((TemplateFaultKind::Empty, 2));
    }
    match P::NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, placeholder)) => Ok((*placeholder, end + 2)),
        None => Err((TemplateFaultKind::Unknown(name.to_owned()), end + 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, Template, TemplateFaultKind, UrlPlaceholder};
    use proptest::prelude::*;

    /// Pieces as `text` and `<Placeholder>`; faults as their kinds with the offending bytes.
    fn check(text: &str, expected: Result<&str, &[(TemplateFaultKind, &str)]>) {
        let found = Template::<UrlPlaceholder>::parse(text).map(|template| {
            let piece = |piece: &Piece<UrlPlaceholder>| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Placeholder(what) => format!("<{what:?}>"),
            };
            template.pieces.iter().map(piece).collect::<String>()
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(found), Err(expected)) => {
                let found: Vec<_> = found
                    .into_iter()
                    .map(|fault| (fault.kind, &text[fault.place]))
                    .collect();
                assert_eq!(found, expected, "{text}");
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn braces_stand_for_themselves_when_they_stand_twice() {
        use TemplateFaultKind::{Empty, Stray, Unclosed, Unknown};
        check("/a{path}{query}", Ok("/a<Path><Query>"));
        check("{{{path}}}", Ok("{<Path>}"));
        check("{{\"a\":1}}", Ok("{\"a\":1}"));
        check("", Ok(""));
        check("a{{}}b", Ok("a{}b"));
        check("/x{path", Err(&[(Unclosed("path".into()), "{path")]));
        check("{path {query}", Err(&[(Unclosed("path".into()), "{path")]));
        check("{}", Err(&[(Empty, "{}")]));
        check("{", Err(&[(Stray, "{")]));
        check("a}b", Err(&[(Stray, "}")]));
        check("{Path}", Err(&[(Unknown("Path".into()), "{Path}")]));
        check(
            "{http.host}",
            Err(&[(Unknown("http.host".into()), "{http.host}")]),
        );
        check("{\"a\":1}", Err(&[(Stray, "{"), (Stray, "}")]));
    }

    proptest! {
        #[test]
        fn what_is_written_twice_is_any_text(text in "[{}a-z\" é]{0,20}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let template = Template::<UrlPlaceholder>::parse(&doubled).unwrap();
            let literal = match &*template.pieces {
                [] => String::new(),
                [Piece::Literal(literal)] => literal.clone(),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(literal, text);
        }

        #[test]
        fn faults_are_parts_of_the_text(text in "[{}a-z\" é]{0,20}") {
            for fault in Template::<UrlPlaceholder>::parse(&text).err().into_iter().flatten() {
                prop_assert!(text.get(fault.place).is_some());
            }
        }
    }
}

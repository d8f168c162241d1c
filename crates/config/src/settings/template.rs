//! Texts with placeholders.

/// A text with placeholders. A brace that does not begin a `{lower_case_name}` stands for itself.
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

impl<P: Placeholder> Template<P> {
    /// Splits a text into its pieces.
    ///
    /// # Errors
    /// The names of all unknown placeholders, without braces.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut pieces = Vec::new();
        let mut unknown = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let after = &rest[open + 1..];
            let name_end = after
                .find(|c: char| !(c.is_ascii_lowercase() || c == '_'))
                .unwrap_or(after.len());
            if name_end == 0 || !after[name_end..].starts_with('}') {
                literal.push_str(&rest[..=open]);
                rest = after;
                continue;
            }
            literal.push_str(&rest[..open]);
            let name = &after[..name_end];
            match P::NAMES.iter().find(|(known, _)| *known == name) {
                Some((_, placeholder)) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Placeholder(*placeholder));
                }
                None => unknown.push(name.to_owned()),
            }
            rest = &after[name_end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        if unknown.is_empty() {
            Ok(Self {
                text: text.to_owned(),
                pieces,
            })
        } else {
            Err(unknown)
        }
    }
}

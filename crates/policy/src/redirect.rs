//! Answers that send the client elsewhere.

use crate::template::{Piece, Template};
use crate::{Answer, Facts, Problem, Verdict};
use foregate_message::{
    Chunk, Fault, FieldId, Method, Reason, ResponseHead, Status, Target, TargetForm,
};

/// What a redirect's target may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placeholder {
    /// `http` or `https`.
    Scheme,
    /// The requested host without port.
    Host,
    /// The path as it was matched.
    Path,
    /// `?` and the query, or nothing.
    Query,
}

/// A compiled redirect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    to: Template<Placeholder>,
    status: Status,
    /// The operator wrote `//host`: a target that keeps the scheme.
    keeps_scheme: bool,
    names_host: bool,
}

impl Redirect {
    /// Checks and compiles a redirect with status 301, 302, 303, 307 or 308.
    ///
    /// # Errors
    /// Another status; a target that is neither an absolute path nor a URL, or whose host a client's path or query
    /// could change.
    pub fn compile(to: Template<Placeholder>, status: u16) -> Result<Redirect, Problem> {
        let code = match status {
            301 | 302 | 303 | 307 | 308 => Status::new(status),
            _ => None,
        };
        let redirect = Redirect {
            status: code.ok_or(Problem::Status(status))?,
            keeps_scheme: matches!(to.pieces().first(), Some(Piece::Text(text)) if text.starts_with("//")),
            names_host: to.pieces().contains(&Piece::Of(Placeholder::Host)),
            to,
        };
        if redirect.to.has_control() || !redirect.has_own_authority() {
            return Err(Problem::RedirectTarget);
        }
        Ok(redirect)
    }

    /// Whether the target has a form that it may have, and its scheme and host stay whatever path and query come. `config`
    /// tells the same with its place; a test of `snapshot` holds the two together.
    fn has_own_authority(&self) -> bool {
        let probe = |path: &'static [u8], query: Option<&'static [u8]>| {
            let facts = Facts {
                client: b"",
                host: b"host.invalid",
                request_id: b"",
                scheme: foregate_message::Scheme::Http,
                path,
                query,
            };
            authority(&self.location(&facts))
        };
        let plain = probe(b"/", None);
        plain.is_some()
            && [
                probe(b"/x.invalid", None),
                probe(b"/", Some(b"x")),
                probe(b"/x:1/@y", Some(b"@z")),
            ]
            .iter()
            .all(|other| *other == plain)
    }

    /// The answer for this request.
    pub fn apply(&self, facts: &Facts<'_>) -> Verdict {
        // Without a host, what follows `//` would become one.
        if self.names_host && facts.host.is_empty() {
            return Verdict::Refuse(Reason::Request(Fault::HostMissing));
        }
        let mut head = ResponseHead::new(self.status);
        head.fields.append(FieldId::Location, &self.location(facts));
        Verdict::Respond(Box::new(Answer {
            reason: Reason::Redirected,
            head,
            body: Chunk::default(),
        }))
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Where this request is sent.
    pub fn location(&self, facts: &Facts<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.to.expand(&mut out, |what, out| match what {
            Placeholder::Scheme => out.extend_from_slice(facts.scheme.as_str().as_bytes()),
            Placeholder::Host => push_safely(facts.host, out),
            // The `*` of `OPTIONS *` is not a path that a client could go to.
            Placeholder::Path if facts.path.first() != Some(&b'/') => out.push(b'/'),
            Placeholder::Path => push_safely(facts.path, out),
            Placeholder::Query => {
                if let Some(query) = facts.query {
                    out.push(b'?');
                    push_safely(query, out);
                }
            }
        });
        if !self.keeps_scheme {
            // `//x` would be a host (RFC 3986 §4.2): a client's path must not choose it.
            let slashes = out.iter().take_while(|&&byte| byte == b'/').count();
            out.drain(..slashes.saturating_sub(1));
        }
        out
    }
}

/// The scheme and authority of a target without its fragment, empty for an absolute path; `None` for anything else.
fn authority(location: &[u8]) -> Option<Vec<u8>> {
    let end = location
        .iter()
        .position(|&byte| byte == b'#')
        .unwrap_or(location.len());
    let location = &location[..end];
    let with_scheme = if location.starts_with(b"//") {
        [b"http:", location].concat()
    } else {
        location.to_vec()
    };
    let target = Target::parse(&Method::Get, &with_scheme).ok()?;
    match (target.form, target.authority) {
        (TargetForm::Origin, _) => Some(Vec::new()),
        (TargetForm::Absolute, Some(authority)) => {
            let scheme_end = with_scheme.iter().position(|&byte| byte == b':')?;
            Some([&with_scheme[..scheme_end], b"://", authority].concat())
        }
        _ => None,
    }
}

/// Appends text from the client: whatever may not stand in a URI goes percent-encoded, and so does the backslash,
/// which browsers read as a slash.
fn push_safely(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'"' | b'<' | b'>' | b'#' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
            )
        {
            out.push(byte);
        } else {
            out.extend_from_slice(&[
                b'%',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Placeholder::*;
    use foregate_message::Scheme;
    use proptest::prelude::*;

    /// `{s}`, `{h}`, `{p}`, `{q}` are the placeholders.
    fn template(text: &str) -> Template<Placeholder> {
        let mut pieces = Vec::new();
        for part in text.split_inclusive('}') {
            let (literal, what) = match part.split_once('{') {
                Some((literal, "s}")) => (literal, Some(Scheme)),
                Some((literal, "h}")) => (literal, Some(Host)),
                Some((literal, "p}")) => (literal, Some(Path)),
                Some((literal, "q}")) => (literal, Some(Query)),
                _ => (part, None),
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(literal.into()));
            }
            pieces.extend(what.map(Piece::Of));
        }
        Template::new(pieces)
    }

    fn facts<'a>(host: &'a [u8], path: &'a [u8], query: Option<&'a [u8]>) -> Facts<'a> {
        Facts {
            client: b"",
            host,
            request_id: b"",
            scheme: Scheme::Http,
            path,
            query,
        }
    }

    fn check(to: &str, path: &str, query: Option<&str>, expected: &str) {
        let redirect = Redirect::compile(template(to), 308).unwrap();
        let facts = facts(b"example.com", path.as_bytes(), query.map(str::as_bytes));
        let Verdict::Respond(answer) = redirect.apply(&facts) else {
            panic!("no answer")
        };
        assert_eq!(answer.head.status.code(), 308);
        let location = answer.head.fields.get(FieldId::Location).unwrap();
        assert_eq!(String::from_utf8_lossy(location), expected);
    }

    #[test]
    fn targets() {
        check(
            "https://{h}{p}{q}",
            "/a",
            Some("b=c"),
            "https://example.com/a?b=c",
        );
        check(
            "{s}://www.{h}{p}{q}",
            "/a",
            None,
            "http://www.example.com/a",
        );
        check(
            "https://example.org{q}",
            "/a",
            Some(""),
            "https://example.org?",
        );
        check("/new{p}#top", "/a", None, "/new/a#top");
        check("//other.example{p}", "//a", None, "//other.example//a");
    }

    #[test]
    fn a_path_can_not_become_a_host() {
        check("{p}{q}", "//evil.example/x", None, "/evil.example/x");
        check("/{p}", "//evil.example", None, "/evil.example");
        check("{p}", "/\\evil.example", None, "/%5Cevil.example");
        check("https://{h}{p}", "*", None, "https://example.com/");
        for bad in [
            "https:/{p}",
            "https://{p}",
            "{s}:{p}",
            "https://a{q}.b",
            "{q}",
            "ftp://a",
            "a",
            "",
        ] {
            assert_eq!(
                Redirect::compile(template(bad), 301),
                Err(Problem::RedirectTarget),
                "{bad}"
            );
        }
        let redirect = Redirect::compile(template("https://{h}{p}"), 301).unwrap();
        let verdict = redirect.apply(&facts(b"", b"/evil.example", None));
        assert!(matches!(
            verdict,
            Verdict::Refuse(Reason::Request(Fault::HostMissing))
        ));
    }

    #[test]
    fn only_redirections() {
        assert_eq!(
            Redirect::compile(template("/"), 304),
            Err(Problem::Status(304))
        );
    }

    proptest! {
        #[test]
        fn nothing_from_the_client_splits_the_head_or_moves_the_host(
            path in proptest::collection::vec(any::<u8>(), 0..20),
            query in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
            to in prop_oneof![Just("{p}{q}"), Just("https://{h}{p}{q}"), Just("/x{p}"), Just("https://a.example/{q}")],
        ) {
            let redirect = Redirect::compile(template(to), 302).unwrap();
            let rooted = [b"/", &path[..]].concat();
            let location = redirect.location(&facts(b"example.com", &rooted, query.as_deref()));
            let expected = redirect.location(&facts(b"example.com", b"/", None));
            prop_assert!(location.iter().all(u8::is_ascii_graphic));
            prop_assert!(!location.starts_with(b"//"));
            prop_assert_eq!(authority(&location), authority(&expected));
        }
    }
}

//! Rules for the fields of a message: remove, then set, then add.

use crate::template::{Template, is_control};
use crate::{Facts, Problem};
use foregate_message::{FieldId, FieldName, Fields, reads_alike};

/// What a field's value may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placeholder {
    /// The client's address.
    Client,
    /// The requested host without port.
    Host,
    /// The request id.
    RequestId,
    /// `http` or `https`.
    Scheme,
    /// The path as it was matched.
    Path,
}

/// The rules as they are meant, before they are checked.
#[derive(Clone, Default, Debug)]
pub struct RulesSpec {
    /// Names of fields to remove.
    pub remove: Vec<String>,
    /// Fields that replace all of their name.
    pub set: Vec<(String, Template<Placeholder>)>,
    /// Fields that are added to what is there.
    pub add: Vec<(String, Template<Placeholder>)>,
}

/// Compiled rules for the fields of a request or a response.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct HeaderRules {
    remove: Box<[FieldName]>,
    set: Values,
    add: Values,
}

type Values = Box<[(FieldName, Template<Placeholder>)]>;

/// Fields that no rule may touch: a rule on them would change where a message ends or what a connection does, and
/// with that open the door to smuggling.
pub(crate) const fn is_reserved(id: FieldId) -> bool {
    matches!(
        id,
        FieldId::Connection
            | FieldId::ContentLength
            | FieldId::TransferEncoding
            | FieldId::Te
            | FieldId::Trailer
            | FieldId::Upgrade
            | FieldId::Expect
            | FieldId::KeepAlive
            | FieldId::ProxyConnection
            | FieldId::Http2Settings
            | FieldId::Host
    )
}

pub(crate) fn field_name(text: &str) -> Result<FieldName, Problem> {
    let name = FieldName::new(text).ok_or_else(|| Problem::FieldName(text.into()))?;
    if is_reserved(name.id()) {
        return Err(Problem::ReservedField(text.into()));
    }
    Ok(name)
}

fn compile_values(values: Vec<(String, Template<Placeholder>)>) -> Result<Values, Problem> {
    values
        .into_iter()
        .map(|(name, value)| match field_name(&name)? {
            _ if value.has_control() => Err(Problem::FieldValue(name)),
            name => Ok((name, value)),
        })
        .collect()
}

/// Whether a field's name is not this one, and is read as this one by many backends.
pub fn is_misspelled(name: &[u8], meant: &FieldName) -> bool {
    let meant = meant.as_str().as_bytes();
    reads_alike(name, meant) && !name.eq_ignore_ascii_case(meant)
}

impl HeaderRules {
    /// Checks and compiles the rules.
    ///
    /// # Errors
    /// A name that is not one or is reserved, or a value with a control character.
    pub fn compile(spec: RulesSpec) -> Result<HeaderRules, Problem> {
        Ok(HeaderRules {
            remove: spec
                .remove
                .iter()
                .map(|name| field_name(name))
                .collect::<Result<_, _>>()?,
            set: compile_values(spec.set)?,
            add: compile_values(spec.add)?,
        })
    }

    /// Whether there is nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Changes `fields`; `scratch` is used for values with placeholders.
    #[inline]
    pub fn apply(&self, fields: &mut Fields, facts: &Facts<'_>, scratch: &mut Vec<u8>) {
        if !self.is_empty() {
            self.apply_all(fields, facts, scratch);
        }
    }

    fn apply_all(&self, fields: &mut Fields, facts: &Facts<'_>, scratch: &mut Vec<u8>) {
        for name in &self.remove {
            fields.remove_named(name.as_str().as_bytes());
        }
        for (name, value) in &self.set {
            fields.set_named(name, text(value, facts, scratch));
        }
        for (name, value) in &self.add {
            fields.append_named(name, text(value, facts, scratch));
        }
    }

    /// Whether a field is another spelling of one that the rules remove or set: many backends read `_` and `-` in a name as
    /// the same.
    pub fn is_evaded_by(&self, name: &[u8]) -> bool {
        let replaced = self.set.iter().map(|(name, _)| name);
        let mut names = self.remove.iter().chain(replaced);
        names.any(|ruled| is_misspelled(name, ruled))
    }

    /// Removes what does not outlive the rules, from fields that they add nothing to: trailers.
    pub fn take_out(&self, fields: &mut Fields) {
        let replaced = self.set.iter().map(|(name, _)| name);
        for name in self.remove.iter().chain(replaced) {
            fields.remove_named(name.as_str().as_bytes());
        }
    }

    /// What is done, in order, in words for people: `remove Cookie`, `set X-A: 1`.
    pub fn describe(&self, facts: &Facts<'_>) -> Vec<String> {
        let mut scratch = Vec::new();
        let mut value_of = |value: &Template<Placeholder>| {
            String::from_utf8_lossy(text(value, facts, &mut scratch)).into_owned()
        };
        let mut lines: Vec<String> = self
            .remove
            .iter()
            .map(|name| format!("remove {}", name.as_str()))
            .collect();
        for (verb, values) in [("set", &self.set), ("add", &self.add)] {
            for (name, value) in values {
                lines.push(format!("{verb} {}: {}", name.as_str(), value_of(value)));
            }
        }
        lines
    }
}

/// The value for this request, without white space around it.
fn text<'a>(
    value: &'a Template<Placeholder>,
    facts: &Facts<'_>,
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    if let Some(fixed) = value.fixed() {
        return fixed.as_bytes().trim_ascii();
    }
    scratch.clear();
    value.expand(scratch, |what, out| {
        let raw = match what {
            Placeholder::Client => facts.client,
            Placeholder::Host => facts.host,
            Placeholder::RequestId => facts.request_id,
            Placeholder::Scheme => facts.scheme.as_str().as_bytes(),
            Placeholder::Path => facts.path,
        };
        out.extend(raw.iter().copied().filter(|&byte| !is_control(byte)));
    });
    scratch.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Piece;
    use foregate_message::Scheme;
    use proptest::prelude::*;

    const FACTS: Facts<'_> = Facts {
        client: b"192.0.2.1",
        host: b"example.com",
        request_id: b"id1",
        scheme: Scheme::Https,
        path: b"/a",
        query: None,
    };

    fn fixed(text: &str) -> Template<Placeholder> {
        Template::new(vec![Piece::Text(text.into())])
    }

    fn check(spec: RulesSpec, before: &[(&str, &str)], after: &str) {
        let rules = HeaderRules::compile(spec).unwrap();
        let mut fields = Fields::new();
        for (name, value) in before {
            fields.append_line(name.as_bytes(), value.as_bytes());
        }
        rules.apply(&mut fields, &FACTS, &mut Vec::new());
        let mut out = Vec::new();
        fields.write_http1(&mut out);
        assert_eq!(String::from_utf8(out).unwrap().replace("\r\n", "\n"), after);
    }

    #[test]
    fn remove_then_set_then_add() {
        check(
            RulesSpec {
                remove: vec!["cookie".into(), "X-A".into()],
                set: vec![
                    ("X-A".into(), fixed(" 1 ")),
                    ("Accept".into(), fixed("*/*")),
                ],
                add: vec![(
                    "X-Who".into(),
                    Template::new(vec![
                        Piece::Of(Placeholder::Client),
                        Piece::Text(" ".into()),
                        Piece::Of(Placeholder::Scheme),
                        Piece::Text("://".into()),
                        Piece::Of(Placeholder::Host),
                        Piece::Of(Placeholder::Path),
                        Piece::Text(" ".into()),
                        Piece::Of(Placeholder::RequestId),
                    ]),
                )],
            },
            &[
                ("Accept", "a"),
                ("Cookie", "c"),
                ("x-a", "0"),
                ("Accept", "b"),
            ],
            "Accept: */*\nX-A: 1\nX-Who: 192.0.2.1 https://example.com/a id1\n",
        );
        check(RulesSpec::default(), &[("Cookie", "c")], "Cookie: c\n");
    }

    #[test]
    fn what_is_removed_or_replaced_is_taken_out() {
        let rules = HeaderRules::compile(RulesSpec {
            remove: vec!["Cookie".into()],
            set: vec![("X-A".into(), fixed("1"))],
            add: vec![("X-B".into(), fixed("2"))],
        });
        let mut fields = Fields::new();
        for name in ["x-a", "COOKIE", "X-B", "X-C"] {
            fields.append_line(name.as_bytes(), b"0");
        }
        rules.unwrap().take_out(&mut fields);
        let left: Vec<&[u8]> = fields.iter().map(|line| line.name).collect();
        assert_eq!(left, [b"X-B", b"X-C"]);
    }

    #[test]
    fn what_is_done_is_described() {
        let rules = HeaderRules::compile(RulesSpec {
            remove: vec!["Cookie".into()],
            set: vec![(
                "X-A".into(),
                Template::new(vec![Piece::Of(Placeholder::Host)]),
            )],
            add: vec![("X-B".into(), fixed("2"))],
        });
        let lines = rules.unwrap().describe(&FACTS);
        assert_eq!(
            lines,
            ["remove Cookie", "set X-A: example.com", "add X-B: 2"]
        );
    }

    #[test]
    fn what_would_break_a_message_is_refused() {
        let set = |name: &str, value: &str| RulesSpec {
            set: vec![(name.into(), fixed(value))],
            ..RulesSpec::default()
        };
        for (spec, expected) in [
            (set("X-A", "1\r\nX-B: 2"), Problem::FieldValue("X-A".into())),
            (set("X-A", "1\0"), Problem::FieldValue("X-A".into())),
            (set("X A", "1"), Problem::FieldName("X A".into())),
            (
                set("transfer-encoding", "chunked"),
                Problem::ReservedField("transfer-encoding".into()),
            ),
            (
                RulesSpec {
                    remove: vec!["Content-Length".into()],
                    ..RulesSpec::default()
                },
                Problem::ReservedField("Content-Length".into()),
            ),
        ] {
            assert_eq!(HeaderRules::compile(spec), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn no_fact_can_add_a_line(
            client in proptest::collection::vec(any::<u8>(), 0..20),
            host in proptest::collection::vec(any::<u8>(), 0..20),
            path in "[/a\r\n\t\0 :]{0,20}",
        ) {
            let facts = Facts { client: &client, host: &host, path: path.as_bytes(), ..FACTS };
            let value = Template::new(vec![
                Piece::Of(Placeholder::Client),
                Piece::Text(": ".into()),
                Piece::Of(Placeholder::Host),
                Piece::Of(Placeholder::Path),
            ]);
            let rules = HeaderRules::compile(RulesSpec {
                set: vec![("X-A".into(), value)],
                ..RulesSpec::default()
            }).unwrap();
            let mut fields = Fields::new();
            rules.apply(&mut fields, &facts, &mut Vec::new());
            let mut out = Vec::new();
            fields.write_http1(&mut out);
            prop_assert_eq!(fields.len(), 1);
            prop_assert!(out.ends_with(b"\r\n"));
            prop_assert!(!out[..out.len() - 2].iter().any(|&byte| is_control(byte)));
        }
    }
}

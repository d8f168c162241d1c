//! What clients learn about the software behind the gateway. Other tell-tale fields are for header rules.

use crate::Problem;
use crate::template::is_control;
use foregate_message::{FieldId, Fields};

/// What clients see in Server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerHeader {
    /// Nothing: the backend's is removed.
    Remove,
    /// The backend's.
    Pass,
    /// This text, whatever the backend says.
    Fixed(Box<str>),
}

impl ServerHeader {
    /// A text of the operator's.
    ///
    /// # Errors
    /// It has a control character.
    pub fn fixed(text: &str) -> Result<ServerHeader, Problem> {
        if text.bytes().any(is_control) {
            return Err(Problem::FieldValue("Server".into()));
        }
        Ok(ServerHeader::Fixed(text.trim_ascii().into()))
    }

    /// Changes the fields of a backend's response.
    #[inline]
    pub fn apply(&self, fields: &mut Fields) {
        match self {
            ServerHeader::Remove => fields.remove(FieldId::Server),
            ServerHeader::Pass => {}
            ServerHeader::Fixed(text) => fields.set(FieldId::Server, text.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &ServerHeader, expected: &[&str]) {
        let mut fields = Fields::new();
        fields.append(FieldId::Server, b"nginx");
        fields.append(FieldId::Server, b"again");
        rule.apply(&mut fields);
        let found: Vec<_> = fields
            .all(FieldId::Server)
            .map(|value| std::str::from_utf8(value).unwrap())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_backends_name_is_removed_passed_or_replaced() {
        check(&ServerHeader::Remove, &[]);
        check(&ServerHeader::Pass, &["nginx", "again"]);
        check(&ServerHeader::fixed(" web ").unwrap(), &["web"]);
        assert!(ServerHeader::fixed("a\r\nb: c").is_err());
    }
}

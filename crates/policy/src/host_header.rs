//! The Host that a backend sees.

use foregate_message::{FieldId, Fields};

/// What becomes of Host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum HostRule {
    /// The client's is passed on; a request that came without one names the endpoint.
    Pass,
    /// The endpoint's address as the operator wrote it.
    Upstream,
    /// This host, with or without a port.
    Fixed(Box<str>),
}

impl HostRule {
    /// Changes the fields of a request to the endpoint that is known as `endpoint`. `has_host` when it had a Host before it
    /// was sent anywhere: the one that is there now may be that of an endpoint that has failed it.
    #[inline]
    pub fn apply(&self, fields: &mut Fields, endpoint: &str, has_host: bool) {
        match self {
            HostRule::Pass if has_host => {}
            HostRule::Pass | HostRule::Upstream => fields.set(FieldId::Host, endpoint.as_bytes()),
            HostRule::Fixed(host) => fields.set(FieldId::Host, host.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &HostRule, before: Option<&str>, expected: &str) {
        let mut fields = Fields::new();
        if let Some(host) = before {
            fields.append(FieldId::Host, host.as_bytes());
        }
        rule.apply(&mut fields, "other:80", before.is_some());
        // Once more, at another one.
        rule.apply(&mut fields, "backend:80", before.is_some());
        assert_eq!(fields.get(FieldId::Host), Some(expected.as_bytes()));
    }

    #[test]
    fn hosts() {
        check(&HostRule::Pass, Some("a"), "a");
        check(&HostRule::Pass, None, "backend:80");
        check(&HostRule::Upstream, Some("a"), "backend:80");
        check(&HostRule::Fixed("b:1".into()), Some("a"), "b:1");
    }
}

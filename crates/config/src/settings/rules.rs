//! Rules for header fields.

use super::template::{Placeholder, Template};
use crate::Origin;

/// Rules for the fields of a message, applied in the order remove, set, add.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FieldRules {
    /// Names of fields to remove, as written.
    pub remove: Vec<String>,
    /// Fields that replace all of their name.
    pub set: Vec<FieldValue>,
    /// Fields that are added, whatever is there.
    pub add: Vec<FieldValue>,
    /// Where they were written.
    pub origin: Origin,
}

impl FieldRules {
    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// A field to write.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldValue {
    /// The field's name, as written.
    pub name: String,
    /// Its value.
    pub value: Template<ValuePlaceholder>,
}

/// What a field's value may name, as `{name}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValuePlaceholder {
    /// `{client}`: the client's address without port.
    Client,
    /// `{host}`: the host asked for, without port.
    Host,
    /// `{request_id}`: the request id.
    RequestId,
    /// `{scheme}`: `http` or `https`.
    Scheme,
    /// `{path}`: the path as it was matched, before rewriting.
    Path,
}

impl Placeholder for ValuePlaceholder {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("client", Self::Client),
        ("host", Self::Host),
        ("request_id", Self::RequestId),
        ("scheme", Self::Scheme),
        ("path", Self::Path),
    ];
}

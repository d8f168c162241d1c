//! A request as a backend read it.

use serde_json::{Value, json};

use crate::{Fields, Framing, fingerprint};

/// A request as a backend read it, strictly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The header fields in order.
    pub fields: Fields,
    /// How the end of the body was told.
    pub framing: Framing,
    /// The content; empty while only the head was read.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Fields,
    /// The extensions of the body's chunks.
    pub chunk_extensions: Vec<String>,
    /// The connection it came on, counted from 1.
    pub connection: usize,
}

impl Request {
    /// The value of the first field called `name`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// The request as JSON, what [`crate::Echo`] answers with.
    pub fn to_json(&self) -> Value {
        let pairs = |fields: &Fields| {
            fields
                .iter()
                .map(|(name, value)| json!([name, value]))
                .collect::<Vec<_>>()
        };
        json!({
            "method": self.method,
            "target": self.target,
            "version": self.version,
            "fields": pairs(&self.fields),
            "body_bytes": self.body.len(),
            "body_fingerprint": fingerprint(&self.body),
            "trailers": pairs(&self.trailers),
            "connection": self.connection,
        })
    }
}

//! Heads: a start line and the fields behind it, in one buffer.

use crate::field::is_token_byte;
use crate::{Fields, Method, Status};
use std::ops::Range;

/// The protocol version that a head came in, or goes out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
    /// None that was understood: the request line was none. It is answered like HTTP/1.1.
    Unknown,
}

impl Version {
    /// As logs and start lines write it; empty for one that was not understood.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
            Version::Http3 => "HTTP/3",
            Version::Unknown => "",
        }
    }

    /// As `Via` writes it (RFC 9110 §7.6.3).
    pub const fn via(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
            Version::Http3 => "3",
            Version::Unknown => "",
        }
    }
}

/// The head of a request.
#[derive(Clone, Default, Debug)]
pub struct RequestHead {
    /// The method; an extension method's name is [`RequestHead::method_name`].
    pub method: Method,
    /// The version it came in.
    pub version: Version,
    /// The request target's place in the buffer of `fields`.
    target: Range<u32>,
    /// Its field lines.
    pub fields: Fields,
}

impl RequestHead {
    /// An empty `GET` with room for a usual head.
    pub fn new() -> RequestHead {
        RequestHead {
            fields: Fields::new(),
            ..RequestHead::default()
        }
    }

    /// A head from its parts: for tests and for requests that the gateway makes itself.
    pub fn with(method: &str, target: &[u8]) -> RequestHead {
        let mut head = RequestHead::new();
        head.method = match Method::known(method.as_bytes()) {
            Some(known) => known,
            None => Method::Extension(head.fields.keep(method.as_bytes())),
        };
        head.set_target(target);
        head
    }

    /// Forgets everything and keeps the buffers.
    pub fn clear(&mut self) {
        self.method = Method::Get;
        self.version = Version::Http11;
        self.target = 0..0;
        self.fields.clear();
    }

    /// The target as it was received or last set.
    #[inline]
    pub fn target(&self) -> &[u8] {
        self.fields.slice(&self.target)
    }

    /// Names the range of the section given to [`Fields::start`] that holds the target.
    pub fn set_target_range(&mut self, range: Range<usize>) {
        self.target = range.start as u32..range.end as u32;
    }

    /// Names the range of the buffer of `fields` that holds the method; `None` when that is no token.
    #[inline]
    pub fn set_method_range(&mut self, range: Range<usize>) -> Option<()> {
        let range = range.start as u32..range.end as u32;
        let name = self.fields.slice(&range);
        self.method = match Method::known(name) {
            Some(known) => known,
            None if name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte)) => {
                return None;
            }
            None => Method::Extension(range),
        };
        Some(())
    }

    /// Replaces the target.
    pub fn set_target(&mut self, target: &[u8]) {
        self.target = self.fields.keep(target);
    }

    /// The method's name.
    #[inline]
    pub fn method_name(&self) -> &[u8] {
        match &self.method {
            Method::Extension(range) => self.fields.slice(range),
            known => known.known_name().as_bytes(),
        }
    }
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status code.
    pub status: Status,
    /// The version it came in.
    pub version: Version,
    /// The reason phrase's place in the buffer of `fields`.
    phrase: Range<u32>,
    /// Its field lines.
    pub fields: Fields,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: Status) -> ResponseHead {
        ResponseHead {
            status,
            version: Version::Http11,
            phrase: 0..0,
            fields: Fields::new(),
        }
    }

    /// Forgets everything and keeps the buffers.
    pub fn clear(&mut self, status: Status) {
        self.status = status;
        self.version = Version::Http11;
        self.phrase = 0..0;
        self.fields.clear();
    }

    /// The reason phrase that came with it, else the registered one.
    pub fn phrase(&self) -> &[u8] {
        let own = self.fields.slice(&self.phrase);
        if own.is_empty() {
            self.status.phrase().as_bytes()
        } else {
            own
        }
    }

    /// Names the range of the section given to [`Fields::start`] that holds the reason phrase.
    pub fn set_phrase_range(&mut self, range: Range<usize>) {
        self.phrase = range.start as u32..range.end as u32;
    }
}

impl Default for ResponseHead {
    fn default() -> ResponseHead {
        ResponseHead::new(Status::OK)
    }
}

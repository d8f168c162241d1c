//! A well-formed answer, built piece by piece.

use crate::Fields;

/// An answer for a well-behaved backend to give.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    fields: Fields,
    body: Body,
    trailers: Fields,
}

#[derive(Clone, Debug)]
enum Body {
    /// Neither body nor length.
    None,
    Whole(Vec<u8>),
    Chunks(Vec<Vec<u8>>),
}

impl Answer {
    /// 200 with a body and its length.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// An answer without a body and without a length.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            fields: Fields::new(),
            body: Body::None,
            trailers: Fields::new(),
        }
    }

    /// Adds a header field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push(name, value);
        self
    }

    /// Sets a body told by its length.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    /// Sets a chunked body.
    pub fn chunks<C: Into<Vec<u8>>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.body = Body::Chunks(chunks.into_iter().map(Into::into).collect());
        self
    }

    /// Adds a trailer field (of a chunked body).
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push(name, value);
        self
    }

    /// The answer's bytes; `to_head` leaves the body away but not its length.
    pub fn bytes(&self, to_head: bool) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} Scripted\r\n", self.status).into_bytes();
        for (name, value) in self.fields.iter() {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        match &self.body {
            Body::None if self.status >= 200 && self.status != 204 && self.status != 304 => {
                bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
            }
            Body::None => bytes.extend_from_slice(b"\r\n"),
            Body::Whole(body) => {
                bytes.extend_from_slice(
                    format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(),
                );
                if !to_head {
                    bytes.extend_from_slice(body);
                }
            }
            Body::Chunks(chunks) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                if !to_head {
                    self.write_chunks(chunks, &mut bytes);
                }
            }
        }
        bytes
    }

    fn write_chunks(&self, chunks: &[Vec<u8>], bytes: &mut Vec<u8>) {
        for chunk in chunks {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in self.trailers.iter() {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    }
}

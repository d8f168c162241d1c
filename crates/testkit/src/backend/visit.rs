//! One connection a backend attends.

use std::sync::Arc;

use super::{Answer, Record, Request};
use crate::strict::{self, Framing};
use crate::{Connection, Fields, Trouble};

/// One connection a backend attends.
#[derive(Debug)]
pub struct Visit {
    /// The connection.
    pub connection: Connection,
    /// Which connection of the backend it is, counted from 1.
    pub number: usize,
    record: Arc<Record>,
}

impl Visit {
    pub(crate) fn new(connection: Connection, number: usize, record: Arc<Record>) -> Self {
        // A pooled connection may be idle for long; the backend's stop ends it.
        let mut connection = connection;
        connection.set_patience(std::time::Duration::from_secs(3600));
        Self {
            connection,
            number,
            record,
        }
    }

    /// Reads the next request with its body, as a well-behaved server: `100 Continue` is sent when it is expected.
    /// `None` when the gateway closed the connection between requests.
    ///
    /// # Errors
    /// When the connection breaks, or the request is not strictly well-formed.
    pub fn next_request(&mut self) -> Result<Option<Request>, Trouble> {
        let Some(mut request) = self.read_head()? else {
            return Ok(None);
        };
        if request
            .field("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            self.connection.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = strict::body(&mut self.connection, request.framing)?;
        request.body = body.bytes;
        request.trailers = body.trailers;
        request.chunk_extensions = body.chunk_extensions;
        self.record.note(&request);
        Ok(Some(request))
    }

    /// Reads the head of the next request and leaves its body where it is. It counts as read.
    ///
    /// # Errors
    /// As [`Self::next_request`].
    pub fn next_head(&mut self) -> Result<Option<Request>, Trouble> {
        let request = self.read_head()?;
        if let Some(request) = &request {
            self.record.note(request);
        }
        Ok(request)
    }

    fn read_head(&mut self) -> Result<Option<Request>, Trouble> {
        let Some([method, target, version]) = strict::start_line(&mut self.connection)? else {
            return Ok(None);
        };
        if version != "HTTP/1.1" && version != "HTTP/1.0" {
            return Err(Trouble::Malformed(format!("version {version:?}")));
        }
        let fields = strict::fields(&mut self.connection)?;
        let framing = strict::declared_framing(&fields)?.unwrap_or(Framing::Empty);
        Ok(Some(Request {
            method,
            target,
            version,
            fields,
            framing,
            body: Vec::new(),
            trailers: Fields::new(),
            chunk_extensions: Vec::new(),
            connection: self.number,
        }))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the gateway is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Trouble> {
        self.connection.send(bytes)
    }

    /// Sends a well-formed answer to `request`.
    ///
    /// # Errors
    /// When the gateway is gone.
    pub fn answer(&mut self, request: &Request, answer: &Answer) -> Result<(), Trouble> {
        self.connection.send(answer.bytes(request.method == "HEAD"))
    }

    /// Reads and throws away until the gateway closes.
    pub fn drain(&mut self) {
        self.connection.drain();
    }

    /// Does nothing at all, not even read, until the backend is stopped.
    pub fn hold(&mut self) {
        self.record.wait_stopped();
    }
}

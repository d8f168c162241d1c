//! A client that writes bytes as told and reads answers strictly.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::strict::{self, Framing};
use crate::{Connection, Fields, PATIENCE, Target, Trouble};

/// One answer, read strictly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub phrase: String,
    /// The header fields.
    pub fields: Fields,
    /// How the end of the body was told.
    pub framing: Framing,
    /// The content.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Fields,
    /// The extensions of the body's chunks.
    pub chunk_extensions: Vec<String>,
    /// The 1xx answers that came before.
    pub informational: Vec<(u16, Fields)>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The value of the first field called `name`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// Whether the answer says that the connection will be closed.
    pub fn says_close(&self) -> bool {
        self.fields
            .all("connection")
            .iter()
            .any(|value| value.to_ascii_lowercase().contains("close"))
    }
}

/// A client on one connection.
#[derive(Debug)]
pub struct RawClient {
    connection: Connection,
}

impl RawClient {
    /// Connects to a target.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn connect(target: impl Into<Target>) -> Self {
        let target = target.into();
        Self {
            connection: target.begin(target.connect(None)),
        }
    }

    /// Connects to a target from the local address `from`; on Linux every `127.x.y.z` is one's own.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn connect_from(from: &str, target: impl Into<Target>) -> Self {
        let target = target.into();
        let address = target.address;
        let from: IpAddr = from.parse().expect("a literal address");
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket can be made");
        socket
            .bind(&SocketAddr::new(from, 0).into())
            .expect("a loopback address can be bound");
        socket
            .connect_timeout(&address.into(), PATIENCE)
            .unwrap_or_else(|error| panic!("cannot connect to {address} from {from}: {error}"));
        Self {
            connection: target.begin(socket.into()),
        }
    }

    /// Connects with a receive buffer of about `bytes`, so that an unread answer soon stops the sender.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn connect_narrow(target: impl Into<Target>, bytes: usize) -> Self {
        let target = target.into();
        Self {
            connection: target.begin(target.connect(Some(bytes))),
        }
    }

    /// The connection under it.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Gives the connection up to the caller.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// This client's address and port.
    pub fn local_address(&self) -> SocketAddr {
        self.connection.local_address()
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the gateway does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(trouble) = self.connection.send(bytes) {
            panic!("the gateway did not take what the client sent: {trouble:?}");
        }
    }

    /// Sends bytes; the gateway may have answered and closed before it read them all.
    pub fn send_if_taken(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.connection.send(bytes);
    }

    /// Reads the answer to anything but a HEAD.
    ///
    /// # Panics
    /// When none comes, or not a strict one.
    pub fn response(&mut self) -> Response {
        self.try_response(false)
            .unwrap_or_else(|trouble| panic!("no good answer: {trouble:?}"))
    }

    /// Reads the answer to a HEAD request.
    ///
    /// # Panics
    /// When none comes, or not a strict one.
    pub fn response_to_head(&mut self) -> Response {
        self.try_response(true)
            .unwrap_or_else(|trouble| panic!("no good answer to HEAD: {trouble:?}"))
    }

    /// Sends a request and reads its answer.
    ///
    /// # Panics
    /// When none comes, or not a strict one.
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Response {
        let request = request.as_ref();
        self.send(request);
        if request.starts_with(b"HEAD ") {
            self.response_to_head()
        } else {
            self.response()
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// Whatever kept it from being complete.
    pub fn try_response(&mut self, to_head: bool) -> Result<Response, Trouble> {
        let mut informational = Vec::new();
        loop {
            let mut response = self.try_head(to_head)?;
            if (100..200).contains(&response.status) && response.status != 101 {
                informational.push((response.status, response.fields));
                continue;
            }
            response.informational = informational;
            let body = strict::body(&mut self.connection, response.framing)?;
            response.body = body.bytes;
            response.trailers = body.trailers;
            response.chunk_extensions = body.chunk_extensions;
            return Ok(response);
        }
    }

    /// Reads the next head only, informational or final; the body is left on the connection.
    ///
    /// # Errors
    /// Whatever kept it from being complete.
    pub fn try_head(&mut self, to_head: bool) -> Result<Response, Trouble> {
        let Some([version, status, phrase]) = strict::start_line(&mut self.connection)? else {
            return Err(Trouble::Closed);
        };
        if version != "HTTP/1.1" && version != "HTTP/1.0" {
            return Err(Trouble::Malformed(format!("version {version:?}")));
        }
        let status: u16 = match status.parse() {
            Ok(code) if status.len() == 3 && code >= 100 => code,
            _ => return Err(Trouble::Malformed(format!("status {status:?}"))),
        };
        let fields = strict::fields(&mut self.connection)?;
        let declared = strict::declared_framing(&fields)?;
        let bodiless = to_head || status < 200 || status == 204 || status == 304;
        if (status < 200 || status == 204) && declared.is_some() {
            return Err(Trouble::Malformed(format!("{status} with a declared body")));
        }
        let framing = if bodiless {
            Framing::Empty
        } else {
            declared.unwrap_or(Framing::UntilClose)
        };
        Ok(Response {
            version,
            status,
            phrase,
            fields,
            framing,
            body: Vec::new(),
            trailers: Fields::new(),
            chunk_extensions: Vec::new(),
            informational: Vec::new(),
        })
    }

    /// Checks that the gateway closed the connection (in order or by reset) and sent nothing more.
    ///
    /// # Panics
    /// When it is still open, or something more came.
    pub fn assert_closed(&mut self) {
        match self.connection.take_rest() {
            Ok(rest) if rest.is_empty() => {}
            Err(Trouble::Reset) => {}
            Ok(rest) => panic!(
                "more bytes before the close: {:?}",
                String::from_utf8_lossy(&rest)
            ),
            Err(trouble) => panic!("the gateway did not close the connection: {trouble:?}"),
        }
    }

    /// Checks that nothing comes for `time`, neither bytes nor a close.
    ///
    /// # Panics
    /// When something does.
    pub fn assert_silent_for(&mut self, time: Duration) {
        self.connection.set_patience(time);
        let seen = self.connection.wait_readable();
        self.connection.set_patience(PATIENCE);
        if seen != Err(Trouble::Late) {
            panic!(
                "expected silence, got {seen:?} {:?}",
                String::from_utf8_lossy(self.connection.buffered())
            );
        }
    }
}

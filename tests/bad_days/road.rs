//! The roads that a story is told on: the same peers and the same end, whatever the bytes travel in.

use std::time::Duration;

use foregate_testkit::http2::code::INTERNAL_ERROR;
use foregate_testkit::{
    Backend, Fields, Gateway, GatewayConfig, Http2Client, Http2Response, RawClient, Script,
    Transport, Trouble,
};

/// The request that stories send when it does not matter which.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Tells each story once a road, in a module with the road's name.
macro_rules! on_roads {
    ([$($road:ident),*] $stories:tt) => {
        $(on_roads!(@ $road $stories);)*
    };
    (@ $road:ident [$($story:ident),* $(,)?]) => {
        mod $road {
            $(
                #[test]
                fn $story() {
                    super::$story(&crate::road::$road());
                }
            )*
        }
    };
}

/// What clients speak, and what the connections on both sides of the gateway run over.
pub(crate) struct Road {
    pub(crate) transport: Transport,
    http2: bool,
}

/// HTTP/1.1 as it is.
pub(crate) fn cleartext() -> Road {
    Road {
        transport: Transport::Cleartext,
        http2: false,
    }
}

/// HTTP/1.1 over TLS.
pub(crate) fn tls() -> Road {
    Road {
        transport: Transport::tls(),
        http2: false,
    }
}

/// HTTP/2 with prior knowledge, to backends of HTTP/1.1.
pub(crate) fn http2() -> Road {
    Road {
        transport: Transport::Cleartext,
        http2: true,
    }
}

/// HTTP/2 over TLS, to backends of HTTP/1.1 over TLS.
pub(crate) fn http2_tls() -> Road {
    Road {
        transport: Transport::tls(),
        http2: true,
    }
}

impl Road {
    /// A gateway on this road; `{tls}` is for its upstream.
    pub(crate) fn gateway(&self, text: &str) -> GatewayConfig {
        let gateway = Gateway::new(text).over(&self.transport);
        gateway.upstream_over(&self.transport)
    }

    /// A backend at its end.
    pub(crate) fn backend(&self, script: impl Script) -> Backend {
        Backend::start_over(&self.transport, script)
    }

    /// A client at its beginning.
    pub(crate) fn connect(&self, gateway: &Gateway) -> Client {
        if self.http2 {
            Client::Http2(Http2Client::connect(gateway.target()))
        } else {
            Client::Http1(gateway.connect())
        }
    }

    /// What one request on a connection of its own is answered.
    pub(crate) fn get(&self, gateway: &Gateway) -> Seen {
        self.connect(gateway).get("/")
    }
}

/// What a client saw of a whole answer.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    body: Vec<u8>,
}

impl Seen {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client of either version.
pub(crate) enum Client {
    Http1(RawClient),
    Http2(Http2Client),
}

impl Client {
    /// A request and its answer, which has to be whole.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Seen {
        self.try_get(path)
            .unwrap_or_else(|trouble| panic!("no good answer: {trouble:?}"))
    }

    /// A request and its answer; an end that can't be taken for a good one is a close or a reset.
    pub(crate) fn try_get(&mut self, path: &str) -> Result<Seen, Trouble> {
        let stream = self.begin(path);
        self.finish(stream)
    }

    /// Sends a request; its stream.
    pub(crate) fn begin(&mut self, path: &str) -> u32 {
        match self {
            Client::Http1(client) => {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                0
            }
            Client::Http2(client) => client.request("GET", path, &[], true),
        }
    }

    /// Reads the answer of a stream.
    pub(crate) fn finish(&mut self, stream: u32) -> Result<Seen, Trouble> {
        match self {
            Client::Http1(client) => Self::seen_http1(client),
            Client::Http2(client) => Self::seen_http2(client.answer(stream)),
        }
    }

    /// A POST that promises a megabyte and sends as much of `body` as is taken.
    pub(crate) fn post_partly(&mut self, body: &[u8]) -> Result<Seen, Trouble> {
        let stream = match self {
            Client::Http1(client) => {
                client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
                let patience = Duration::from_millis(500);
                client.connection().send_some(body, patience);
                0
            }
            Client::Http2(client) => {
                let length = [("content-length", "1000000")];
                let stream = client.request("POST", "/", &length, false);
                // No more than the windows of the beginning have room for.
                client.data(stream, &body[..body.len().min(65_535)], false);
                stream
            }
        };
        self.finish(stream)
    }

    fn seen_http1(client: &mut RawClient) -> Result<Seen, Trouble> {
        let response = client.try_response(false)?;
        Ok(Seen {
            status: response.status,
            fields: response.fields,
            body: response.body,
        })
    }

    fn seen_http2(answer: Http2Response) -> Result<Seen, Trouble> {
        match answer.reset {
            _ if answer.ended => Ok(Seen {
                status: answer.status,
                fields: answer.fields,
                body: answer.body,
            }),
            Some(INTERNAL_ERROR) => Err(Trouble::Reset),
            _ => Err(Trouble::Malformed(format!("{answer:?}"))),
        }
    }

    /// Whether the connection is still there for the next request.
    pub(crate) fn goes_on(&mut self) -> bool {
        match self {
            Client::Http1(client) => {
                client.assert_silent_for(Duration::from_millis(1));
                true
            }
            Client::Http2(client) => client.is_quiet(),
        }
    }
}

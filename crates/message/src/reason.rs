//! Why an exchange ended as it did: one stable name each, shared by logs, metrics, error pages and tests.

use crate::Status;

/// Who is to blame for an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// Nobody: it went as it should.
    Nobody,
    /// The client.
    Client,
    /// The backend.
    Upstream,
    /// The gateway, its configuration, or its limits.
    Gateway,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident $name:literal $status:literal,)*) => {
        /// What is wrong with received bytes. The same law holds for requests and responses; a request's fault is
        /// answered with its own status, a response's becomes 502.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Fault { $($(#[$doc])* $variant,)* }

        impl Fault {
            /// Every fault, in the order of its number.
            pub const ALL: &[Fault] = &[$(Fault::$variant,)*];

            /// The stable name without the side it came from.
            pub const fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)* }
            }

            const fn request_name(self) -> &'static str {
                match self { $(Fault::$variant => concat!("request-", $name),)* }
            }

            const fn response_name(self) -> &'static str {
                match self { $(Fault::$variant => concat!("response-", $name),)* }
            }

            /// The status that answers a request with this fault.
            pub const fn status(self) -> Status {
                match self { $(Fault::$variant => status($status),)* }
            }
        }
    };
}

const fn status(code: u16) -> Status {
    match Status::new(code) {
        Some(status) => status,
        None => panic!("a status in the reason table is out of range"),
    }
}

faults! {
    /// The request line or status line is not one (RFC 9112 §3, §4).
    StartLine "bad-start-line" 400,
    /// The method is not a token.
    Method "bad-method" 400,
    /// The request target has a form or a character that it may not have (RFC 9112 §3.2).
    Target "bad-target" 400,
    /// The version is malformed.
    Version "bad-version" 400,
    /// The version is well formed and not spoken here.
    VersionUnsupported "version-unsupported" 505,
    /// The status code is malformed or out of range.
    StatusCode "bad-status" 400,
    /// A CR without LF behind it.
    BareCr "bare-cr" 400,
    /// An LF without CR before it.
    BareLf "bare-lf" 400,
    /// A NUL or another control character.
    Control "control-character" 400,
    /// A line that continues the one before (RFC 9112 §5.2).
    ObsFold "obs-fold" 400,
    /// White space between a field name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon "space-before-colon" 400,
    /// A field name that is empty or not a token.
    FieldName "bad-field-name" 400,
    /// A field value with a character that it may not have.
    FieldValue "bad-field-value" 400,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    HostMissing "host-missing" 400,
    /// More than one Host.
    HostSeveral "host-several" 400,
    /// A Host that is not a host and an optional port.
    Host "bad-host" 400,
    /// Host and the target's authority differ.
    HostMismatch "host-mismatch" 400,
    /// A pseudo-header field that is unknown, missing, repeated, out of place, or says what it may not (RFC 9113 §8.3).
    PseudoHeader "bad-pseudo-header" 400,
    /// A field that belongs to an HTTP/1 connection, in HTTP/2 (RFC 9113 §8.2.2).
    ConnectionField "connection-field" 400,
    /// A body that does not have the encoding that its content type promises.
    Encoding "bad-encoding" 400,
    /// A field block that could not be decoded (RFC 7541).
    FieldBlock "bad-field-block" 400,
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.1).
    LengthAndCoding "length-and-coding" 400,
    /// A Content-Length that is not one plain decimal number.
    Length "bad-length" 400,
    /// Content-Length lines that differ.
    LengthsDiffer "lengths-differ" 400,
    /// A Transfer-Encoding that does not end in one single `chunked`.
    CodingNotLast "chunked-not-last" 400,
    /// A transfer coding other than chunked.
    CodingUnknown "coding-unknown" 501,
    /// An extended CONNECT to a version of HTTP, which would pass by all that is asked of requests (RFC 8441).
    ProtocolUnsupported "protocol-unsupported" 501,
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 §6.1).
    CodingInHttp10 "coding-in-http10" 400,
    /// A chunk size that is not hexadecimal digits, or does not fit.
    ChunkSize "bad-chunk-size" 400,
    /// A chunk extension that is not `;name[=value]` (RFC 9112 §7.1.1).
    ChunkExtension "bad-chunk-extension" 400,
    /// No CRLF where a chunk or its size line ends.
    ChunkEnd "bad-chunk-end" 400,
    /// A trailer field that may not be one (RFC 9110 §6.5.1).
    Trailer "bad-trailer" 400,
    /// The target is longer than its limit.
    TargetTooLong "target-too-long" 414,
    /// The head is larger than its limit.
    HeadTooLarge "head-too-large" 431,
    /// There are more fields than the limit.
    TooManyFields "too-many-fields" 431,
    /// The body is larger than its limit.
    BodyTooLarge "body-too-large" 413,
    /// The chunk extensions of a body are larger than their limit.
    ChunkExtensionsTooLarge "chunk-extensions-too-large" 400,
    /// The trailer section is larger than its limit.
    TrailersTooLarge "trailers-too-large" 431,
    /// The sender closed before the message was complete.
    Truncated "truncated" 400,
    /// An expectation other than 100-continue (RFC 9110 §10.1.1).
    Expectation "bad-expectation" 417,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal $status:literal $blame:ident,)*) => {
        /// The outcome of an exchange.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
            /// The request was malformed or over a limit.
            Request(Fault),
            /// The backend's response was malformed or over a limit.
            Response(Fault),
        }

        const PLAIN: &[Reason] = &[$(Reason::$variant,)*];

        impl Reason {
            /// How many reasons there are.
            pub const COUNT: usize = PLAIN.len() + 2 * Fault::ALL.len();

            /// A number below [`Reason::COUNT`], for tables of counters.
            #[inline]
            pub fn index(self) -> usize {
                match self {
                    Reason::Request(fault) => PLAIN.len() + fault as usize,
                    Reason::Response(fault) => PLAIN.len() + Fault::ALL.len() + fault as usize,
                    $(Reason::$variant => Plain::$variant as usize,)*
                }
            }

            /// The stable kebab-case name.
            pub const fn name(self) -> &'static str {
                match self {
                    Reason::Request(fault) => fault.request_name(),
                    Reason::Response(fault) => fault.response_name(),
                    $(Reason::$variant => $name,)*
                }
            }

            /// Who is to blame.
            pub const fn blame(self) -> Blame {
                match self {
                    Reason::Request(_) => Blame::Client,
                    Reason::Response(_) => Blame::Upstream,
                    $(Reason::$variant => Blame::$blame,)*
                }
            }

            /// The one table from outcomes to the status that the gateway answers with. For outcomes that leave
            /// nothing to answer (the client has gone) it is what the log shows.
            pub const fn status(self) -> Status {
                match self {
                    Reason::Request(fault) => fault.status(),
                    Reason::Response(_) => status(502),
                    $(Reason::$variant => status($status),)*
                }
            }
        }

        #[allow(dead_code, reason = "only the numbers of the variants are used")]
        enum Plain { $($variant,)* }
    };
}

reasons! {
    /// A backend answered, and its answer was passed on whole.
    Proxied "proxied" 200 Nobody,
    /// The route answered with a redirect.
    Redirected "redirected" 308 Nobody,
    /// The client came in cleartext and was sent to HTTPS.
    RedirectedToHttps "redirected-to-https" 308 Nobody,
    /// The challenge of a certificate authority was answered.
    ChallengeAnswered "challenge-answered" 200 Nobody,
    /// The route answered with its fixed response.
    Responded "responded" 200 Nobody,
    /// The connection was handed over to another protocol and that ended in order.
    Upgraded "upgraded" 101 Nobody,
    /// The bytes of a connection were passed on until both sides had finished.
    Relayed "relayed" 200 Nobody,
    /// The client closed or reset the connection before its answer was complete.
    ClientGone "client-gone" 499 Client,
    /// The client did not complete its head in time.
    HeadTimeout "head-timeout" 408 Client,
    /// The client sent its body slower than the minimum rate.
    BodyTooSlow "body-too-slow" 408 Client,
    /// The client did not read its answer in time.
    WriteTimeout "write-timeout" 499 Client,
    /// The client broke a rule of HTTP/2 (RFC 9113).
    Http2Protocol "http2-protocol-error" 400 Client,
    /// The client's field block could not be decoded (RFC 7541).
    Http2Compression "http2-compression-error" 400 Client,
    /// The client sent more than the flow-control window allowed, or made ours overflow (RFC 9113 §5.2).
    Http2FlowControl "http2-flow-control-error" 400 Client,
    /// The client sent an HTTP/2 frame of a wrong size (RFC 9113 §4.2).
    Http2FrameSize "http2-frame-size-error" 400 Client,
    /// The client did not acknowledge HTTP/2 settings in time.
    SettingsTimeout "settings-timeout" 408 Client,
    /// The client did not answer an HTTP/2 PING in time.
    PingTimeout "ping-timeout" 408 Client,
    /// The client did not open its HTTP/2 flow-control window for the answer in time.
    WindowStalled "window-stalled" 499 Client,
    /// The client opened more HTTP/2 streams at a time than it was allowed.
    StreamRefused "stream-refused" 503 Client,
    /// The client kept cancelling HTTP/2 requests right after sending them.
    RapidReset "rapid-reset" 429 Client,
    /// The client kept making the gateway reset HTTP/2 streams.
    ProvokedResets "provoked-resets" 429 Client,
    /// The client kept opening more HTTP/2 streams than it was allowed.
    StreamFlood "stream-flood" 429 Client,
    /// The client sent too many HTTP/2 SETTINGS.
    SettingsFlood "settings-flood" 429 Client,
    /// The client sent too many HTTP/2 PINGs.
    PingFlood "ping-flood" 429 Client,
    /// The client sent too much in pieces with nothing or hardly anything in them: HTTP/2 DATA frames, chunks of HTTP/1,
    /// reads of an HTTP/1 head.
    TinyDataFlood "tiny-data-flood" 429 Client,
    /// The client changed HTTP/2 priorities too often.
    PriorityFlood "priority-flood" 429 Client,
    /// The client sent too many HTTP/2 WINDOW_UPDATEs.
    WindowUpdateFlood "window-update-flood" 429 Client,
    /// The client sent too many HTTP/2 CONTINUATION frames.
    ContinuationFlood "continuation-flood" 429 Client,
    /// The client sent too many HTTP/2 frames that have no effect.
    IdleFrameFlood "idle-frame-flood" 429 Client,
    /// CONNECT, which is not a gateway's to serve.
    ConnectRefused "connect-refused" 405 Client,
    /// TRACE, which would show a client its own credentials' way.
    TraceRefused "trace-refused" 405 Client,
    /// The path has a form that the path policy refuses.
    PathRefused "path-refused" 400 Client,
    /// The host asks for other client certificates than the name of the handshake did, or for one at all in cleartext; or the
    /// target names HTTPS in cleartext.
    MisdirectedRequest "misdirected-request" 421 Client,
    /// An unsafe request came in early data, which anyone can replay (RFC 8470).
    TooEarly "too-early" 425 Client,
    /// The name that the client's TLS asks for is passed on to nobody.
    UnknownServerName "unknown-server-name" 421 Client,
    /// What the client sent on a connection that is passed on by name is no TLS, or did not come in time.
    NotTls "not-tls" 400 Client,
    /// No site has the requested host.
    NoSite "no-site" 404 Client,
    /// The site has no route for the request.
    NoRoute "no-route" 404 Client,
    /// No endpoint of the upstream can be used.
    NoEndpoint "no-endpoint" 503 Upstream,
    /// The gateway has too much to do, and other requests matter more.
    Overloaded "overloaded" 503 Gateway,
    /// The gateway serves as many requests at once as it may.
    RequestsFull "requests-full" 503 Gateway,
    /// Every endpoint works on as many requests as it may, and as many as may be wait already.
    QueueFull "queue-full" 503 Gateway,
    /// Every endpoint worked on as many requests as it may for longer than a request may wait.
    QueueTimeout "queue-timeout" 503 Gateway,
    /// Too much of what was sent came to nothing: for a while nothing is sent.
    CircuitOpen "circuit-open" 503 Upstream,
    /// Too many requests wait for a connection to the upstream.
    PendingFull "pending-full" 503 Gateway,
    /// A wait for a free connection to the upstream took too long.
    PendingTimeout "pending-timeout" 504 Gateway,
    /// The backend refused the connection or could not be reached.
    ConnectFailed "connect-failed" 502 Upstream,
    /// The backend's certificate comes from nobody who is trusted.
    UpstreamUntrusted "upstream-untrusted" 502 Upstream,
    /// The backend's certificate is for another name.
    UpstreamWrongName "upstream-wrong-name" 502 Upstream,
    /// The backend's certificate is over, not valid yet, or wrong otherwise.
    UpstreamCertificateInvalid "upstream-certificate-invalid" 502 Upstream,
    /// The TLS handshake with the backend came to nothing for another reason.
    UpstreamTlsFailed "upstream-tls-failed" 502 Upstream,
    /// The backend did not accept the connection in time.
    ConnectTimeout "connect-timeout" 504 Upstream,
    /// The backend closed or reset before it had answered at all.
    UpstreamClosed "upstream-closed" 502 Upstream,
    /// The backend closed or reset in the middle of its answer.
    UpstreamTruncated "upstream-truncated" 502 Upstream,
    /// The first byte of the answer did not come in time.
    FirstByteTimeout "first-byte-timeout" 504 Upstream,
    /// One try took too long, and there was no other.
    TryTimeout "try-timeout" 504 Upstream,
    /// The answer stopped for longer than allowed between two reads.
    BetweenBytesTimeout "between-bytes-timeout" 504 Upstream,
    /// The backend did not take the request in time.
    UpstreamWriteTimeout "upstream-write-timeout" 504 Upstream,
    /// The whole exchange took longer than the route allows.
    RequestTimeout "request-timeout" 504 Upstream,
    /// The backend switched protocols without being asked to, to another one than was asked for, or before it had the
    /// whole request.
    UpgradeUnasked "upgrade-unasked" 502 Upstream,
    /// The backend broke a rule of HTTP/2 (RFC 9113), or flooded the gateway with frames.
    UpstreamProtocol "upstream-protocol-error" 502 Upstream,
    /// The backend reset the HTTP/2 stream of the request.
    UpstreamReset "upstream-reset" 502 Upstream,
    /// The backend refused the HTTP/2 stream, or was going away, before it had looked at the request.
    UpstreamRefused "upstream-refused" 502 Upstream,
    /// The backend wants the request by HTTP/1.1 (`HTTP_1_1_REQUIRED`, RFC 9113 §7), and is to be spoken to over HTTP/2.
    UpstreamHttp1Required "upstream-http1-required" 502 Upstream,
    /// The backend did not answer an HTTP/2 PING or acknowledge settings in time.
    UpstreamSilent "upstream-silent" 504 Upstream,
    /// The request asks for a protocol upgrade, and the backend's HTTP/2 does not offer extended CONNECT (RFC 8441).
    UpgradeUnsupported "upgrade-unsupported" 502 Upstream,
    /// The client asked for a tunnel by extended CONNECT (RFC 8441), and the answer was a success that opens none: the
    /// backend or the route does not know the protocol. Or a backend of HTTP/1.1 opened a WebSocket with a wrong
    /// `Sec-WebSocket-Accept`.
    UpgradeIgnored "upgrade-ignored" 502 Upstream,
    /// The tunnel carried nothing for its idle timeout.
    TunnelIdle "tunnel-idle" 101 Nobody,
    /// The gateway was told to end and could not wait for the exchange any longer.
    Draining "draining" 503 Gateway,
    /// An operator had the connection cut.
    ClosedByOperator "closed-by-operator" 503 Gateway,
    /// A defect in the gateway, caught at the connection.
    Panicked "internal-error" 500 Gateway,
}

impl Reason {
    /// Every reason, in the order of [`Reason::index`].
    pub fn all() -> impl Iterator<Item = Reason> {
        let requests = Fault::ALL.iter().map(|&fault| Reason::Request(fault));
        let responses = Fault::ALL.iter().map(|&fault| Reason::Response(fault));
        PLAIN.iter().copied().chain(requests).chain(responses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn indexes_count_up_and_names_are_unique_kebab_case() {
        let mut names = HashSet::new();
        for (at, reason) in Reason::all().enumerate() {
            assert_eq!(reason.index(), at);
            let name = reason.name();
            assert!(names.insert(name), "{name} twice");
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
        assert_eq!(names.len(), Reason::COUNT);
    }

    #[test]
    fn a_backends_fault_is_a_bad_gateway() {
        assert_eq!(Reason::Response(Fault::BareLf).status().code(), 502);
        assert_eq!(Reason::Request(Fault::CodingUnknown).status().code(), 501);
    }
}

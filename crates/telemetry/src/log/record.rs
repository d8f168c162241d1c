//! What an access log line is made of.

use std::net::{IpAddr, Ipv4Addr};

use crate::clock::UnixTime;

/// One request for the access log. Bytes come as they were received; escaping is the format's business. An empty
/// text reads as absent.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the line is written, which is when the request ended.
    pub time: UnixTime,
    /// The client's address, as believed (a trusted proxy's word counts).
    pub client: IpAddr,
    /// The method.
    pub method: &'a [u8],
    /// The request target as received.
    pub target: &'a [u8],
    /// The target's path as received.
    pub path: &'a [u8],
    /// The target's query as received, without its question mark.
    pub query: &'a [u8],
    /// The host asked for.
    pub host: &'a [u8],
    /// The protocol: `HTTP/1.1`.
    pub protocol: &'a str,
    /// The status sent, 0 when none was.
    pub status: u16,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// From the request's complete head to its end, in µs.
    pub duration_micros: u64,
    /// From sending the last attempt to the head of its answer, in µs.
    pub upstream_micros: Option<u64>,
    /// The site that matched.
    pub site: &'a str,
    /// The route that matched.
    pub route: &'a str,
    /// The upstream asked.
    pub upstream: &'a str,
    /// The endpoint that answered or failed last.
    pub endpoint: &'a str,
    /// Endpoints tried.
    pub tries: u32,
    /// What failed before the last try or was outrun: endpoint and reason of each.
    pub retries: &'a str,
    /// How long it waited for a place at an endpoint, in µs.
    pub queued_micros: u64,
    /// Why the endpoint was picked.
    pub pick: &'a str,
    /// What became of the request's session.
    pub session: &'a str,
    /// Why the request was not tried again, when it could have been.
    pub retry_refused: &'a str,
    /// What became of the request's hedge, or why it has none.
    pub hedge: &'a str,
    /// The outcome's stable name.
    pub reason: &'a str,
    /// The request's id.
    pub request_id: &'a [u8],
    /// The Referer field.
    pub referer: &'a [u8],
    /// The User-Agent field.
    pub user_agent: &'a [u8],
}

impl Default for Record<'_> {
    fn default() -> Self {
        Record {
            time: UnixTime::default(),
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            method: b"",
            target: b"",
            path: b"",
            query: b"",
            host: b"",
            protocol: "",
            status: 0,
            bytes_out: 0,
            bytes_in: 0,
            duration_micros: 0,
            upstream_micros: None,
            site: "",
            route: "",
            upstream: "",
            endpoint: "",
            tries: 0,
            retries: "",
            queued_micros: 0,
            pick: "",
            session: "",
            retry_refused: "",
            hedge: "",
            reason: "",
            request_id: b"",
            referer: b"",
            user_agent: b"",
        }
    }
}

//! What rules may say about a request.

use foregate_message::Scheme;

/// The facts of one request that templates name.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The client's address without port.
    pub client: &'a [u8],
    /// The requested host without port; empty when an HTTP/1.0 client named none.
    pub host: &'a [u8],
    /// The request id.
    pub request_id: &'a [u8],
    /// How the client came.
    pub scheme: Scheme,
    /// The normalised path that was matched, before any rewriting.
    pub path: &'a [u8],
    /// The query without its `?`.
    pub query: Option<&'a [u8]>,
}

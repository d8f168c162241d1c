//! Bodies of requests: bounded in bytes and time, and told in JSON when they are not what they should be.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::DeserializeOwned;

use crate::routes::problem;

/// Bytes of a body that says something about one thing.
pub(crate) const SMALL_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The whole body.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Vec<u8>, Response> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => {
            let detail = format!("the body is cut off, or longer than {bytes_max} bytes");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Err(problem(status, "body-too-large", &detail))
        }
        Err(_) => {
            let detail = "the body did not come in time";
            Err(problem(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail))
        }
    }
}

/// A body of JSON.
pub(crate) async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Response> {
    parse(&read(body, SMALL_BYTES_MAX).await?).map_err(unexpected)
}

/// JSON that has come.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// What comes of a body that is not what it should be.
pub(crate) fn unexpected(error: serde_json::Error) -> Response {
    let detail = format!("the body is not what is expected: {error}");
    problem(StatusCode::BAD_REQUEST, "invalid-body", &detail)
}

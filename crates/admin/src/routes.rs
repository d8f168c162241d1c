//! What is asked and answered.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use foregate_telemetry::metrics::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{Control, View, body, caller, configuration, connections, endpoints, lists};

/// Renewals that are waited for at once.
const RENEWALS_MAX: usize = 4;

/// Changes of endpoints that are waited for at once.
const CHANGES_MAX: usize = 16;

/// Looks at connections that workers are asked for at once.
const LOOKS_MAX: usize = 4;

#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) view: Arc<dyn View>,
    pub(crate) control: Arc<dyn Control>,
    /// One change of the configuration at a time.
    pub(crate) reloading: Arc<Semaphore>,
    /// One configuration at a time that comes.
    pub(crate) receiving: Arc<Semaphore>,
    /// A few renewals at a time: each holds a thread while it waits.
    renewing: Arc<Semaphore>,
    /// The same for changes of endpoints.
    pub(crate) changing: Arc<Semaphore>,
    /// The same for whoever looks at connections.
    pub(crate) looking: Arc<Semaphore>,
}

/// What requests have in common, whichever way they come.
pub(crate) fn desk(view: Arc<dyn View>, control: Arc<dyn Control>) -> Desk {
    Desk {
        view,
        control,
        reloading: Arc::new(Semaphore::new(1)),
        receiving: Arc::new(Semaphore::new(1)),
        renewing: Arc::new(Semaphore::new(RENEWALS_MAX)),
        changing: Arc::new(Semaphore::new(CHANGES_MAX)),
        looking: Arc::new(Semaphore::new(LOOKS_MAX)),
    }
}

/// The routes of the admin listener, which shows what it is by a certificate if it is `certified`.
pub(crate) fn router(desk: Desk, token: Option<&str>, certified: bool) -> Router {
    // A name that is turned to this machine has neither the certificate nor, in a browser, the token.
    let by_any_name = certified && token.is_some();
    let token: Option<Arc<str>> = token.map(Into::into);
    let guarded = Router::new()
        .route("/status", get(status))
        .route("/reload", post(configuration::reload))
        .route(
            "/config",
            get(configuration::show).put(configuration::apply),
        )
        .route("/config/confirm", post(configuration::confirm))
        .route("/config/rollback", post(configuration::rollback))
        .route("/config/values", get(lists::values))
        .route("/routes", get(lists::routes))
        .route("/endpoints", get(lists::endpoints))
        .route("/connections", get(connections::list))
        .route("/connections/{id}", delete(connections::close))
        .route("/openapi.json", get(openapi))
        .route("/config/history", get(configuration::history))
        .route("/config/history/{id}", get(configuration::version))
        .route("/upgrade", post(upgrade))
        .route("/certificates", get(certificates))
        .route("/certificates/{name}/renew", post(renew))
        .route("/upstreams", get(endpoints::list))
        .route("/upstreams/{upstream}", get(endpoints::show))
        .route("/upstreams/{upstream}/endpoints", post(endpoints::add))
        .route(
            "/upstreams/{upstream}/endpoints/{endpoint}",
            patch(endpoints::set).delete(endpoints::remove),
        )
        .route_layer(middleware::from_fn_with_state(by_any_name, guard));
    let shown = Router::new()
        .route("/metrics", get(metrics))
        .merge(guarded)
        .route_layer(middleware::from_fn_with_state(token, demand));
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .merge(shown)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(refuse_bodies))
        .layer(middleware::map_response(set_safe_fields))
        .with_state(desk)
}

pub(crate) fn problem(status: StatusCode, error: &str, detail: &str) -> Response {
    (status, Json(json!({ "error": error, "detail": detail }))).into_response()
}

/// Runs what may block, locks and files of `/proc`, on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| {
        problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "panicked",
            "answering this failed; the process log may say more",
        )
    })
}

async fn metrics(State(desk): State<Desk>) -> Result<Response, Response> {
    let text = blocking(move || desk.view.metrics()).await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

async fn openapi() -> Response {
    Json(crate::document()).into_response()
}

async fn health() -> Response {
    Json(json!({ "alive": true })).into_response()
}

async fn readiness(State(desk): State<Desk>) -> Response {
    let is_ready = desk.view.ready();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!({ "ready": is_ready }))).into_response()
}

async fn status(State(desk): State<Desk>) -> Result<Response, Response> {
    let status = blocking(move || desk.view.status()).await?;
    Ok(Json(status).into_response())
}

async fn upgrade(State(desk): State<Desk>) -> Result<Response, Response> {
    // Control itself takes one at a time.
    let Ok(turn) = desk.changing.clone().try_acquire_owned() else {
        let detail = "several changes are under way";
        return Ok(problem(StatusCode::CONFLICT, "changing", detail));
    };
    let result = blocking(move || {
        let _turn = turn;
        desk.control.upgrade()
    })
    .await?;
    Ok(match result {
        Ok(pid) => Json(json!({ "upgraded": true, "pid": pid })).into_response(),
        Err(detail) => problem(StatusCode::SERVICE_UNAVAILABLE, "upgrade-failed", &detail),
    })
}

async fn certificates(State(desk): State<Desk>) -> Result<Response, Response> {
    let certificates = blocking(move || desk.view.certificates()).await?;
    Ok(Json(certificates).into_response())
}

async fn renew(State(desk): State<Desk>, Path(name): Path<String>) -> Result<Response, Response> {
    let Ok(turn) = desk.renewing.try_acquire_owned() else {
        let detail = "several renewals are under way";
        return Ok(problem(StatusCode::CONFLICT, "renewing", detail));
    };
    let result = blocking(move || {
        let _turn = turn;
        desk.control.renew(&name)
    })
    .await?;
    Ok(match result {
        Ok(detail) => Json(json!({ "renewed": true, "detail": detail })).into_response(),
        Err(detail) => problem(StatusCode::UNPROCESSABLE_ENTITY, "not-renewed", &detail),
    })
}

/// Refuses whoever does not show the token, where there is one.
async fn demand(State(token): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if token.is_none_or(|token| caller::shows(headers, &token)) {
        return next.run(request).await;
    }
    let detail = "show the admin token as `Authorization: Bearer …`";
    let mut refusal = problem(StatusCode::UNAUTHORIZED, "unauthorized", detail);
    let challenge = axum::http::HeaderValue::from_static("Bearer");
    refusal
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    refusal
}

/// Refuses what a browser could be tricked into.
async fn guard(State(by_any_name): State<bool>, request: Request, next: Next) -> Response {
    if !by_any_name && !caller::addresses_us(request.headers()) {
        let detail = "address the admin listener by localhost or an IP address";
        return problem(StatusCode::FORBIDDEN, "wrong-host", detail);
    }
    if !request.method().is_safe() && caller::is_cross_site(request.headers()) {
        let detail = "a page of another origin asked a browser for this";
        return problem(StatusCode::FORBIDDEN, "cross-site", detail);
    }
    next.run(request).await
}

async fn not_found() -> Response {
    let detail = "there are /metrics, /healthz, /readyz, /status, /config, /routes, /endpoints, /connections, /certificates, /upstreams and /reload; /openapi.json tells all";
    problem(StatusCode::NOT_FOUND, "not-found", detail)
}

async fn method_not_allowed() -> Response {
    let detail = "the Allow field says which methods this takes";
    problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

/// Large bodies are refused before they are sent; where none is expected small ones are ignored.
async fn refuse_bodies(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
    let bytes_max = match request.uri().path() {
        "/config" => configuration::CONFIG_BYTES_MAX,
        _ => body::SMALL_BYTES_MAX,
    };
    if length.is_some_and(|bytes| bytes > bytes_max as u64) {
        let detail = "no body of that size is expected";
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail);
    }
    next.run(request).await
}

/// Answers are of the moment, and are not to be shown or guessed at by browsers.
async fn set_safe_fields(mut response: Response) -> Response {
    let fields = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        fields.insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}

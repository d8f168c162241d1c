//! `/upstreams`: endpoints, shown and changed.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::routes::{Desk, blocking, problem};
use crate::{AddEndpoint, EndpointChange, Refusal, RefusalKind, SetEndpoint, UpstreamView, body};

/// What a request asks for, or the answer that says why it gets nothing.
type Outcome = Result<Response, Response>;

pub(crate) async fn list(State(desk): State<Desk>) -> Outcome {
    let upstreams = blocking(move || desk.view.upstreams()).await?;
    Ok(Json(json!({ "upstreams": upstreams })).into_response())
}

pub(crate) async fn show(State(desk): State<Desk>, Path(name): Path<String>) -> Outcome {
    let found = blocking(move || desk.view.upstream(&name).ok_or(name)).await?;
    match found {
        Ok(upstream) => Ok(Json(upstream).into_response()),
        Err(name) => Err(refused(&Refusal::new(
            RefusalKind::NotFound,
            format!("there is no upstream `{name}`"),
        ))),
    }
}

pub(crate) async fn add(
    State(desk): State<Desk>,
    Path(upstream): Path<String>,
    request: Request,
) -> Outcome {
    let AddEndpoint { address, weight } = body::json(request.into_body()).await?;
    let change = EndpointChange::Add { weight };
    let changed = change_one(desk, upstream, address, change).await?;
    Ok(shown(StatusCode::CREATED, changed))
}

pub(crate) async fn set(
    State(desk): State<Desk>,
    Path((upstream, endpoint)): Path<(String, String)>,
    request: Request,
) -> Outcome {
    let SetEndpoint { weight, state } = body::json(request.into_body()).await?;
    if weight.is_none() && state.is_none() {
        let detail = "neither `weight` nor `state` is said";
        return Err(problem(StatusCode::BAD_REQUEST, "invalid-body", detail));
    }
    let change = EndpointChange::Set { weight, state };
    let changed = change_one(desk, upstream, endpoint, change).await?;
    Ok(shown(StatusCode::OK, changed))
}

pub(crate) async fn remove(
    State(desk): State<Desk>,
    Path((upstream, endpoint)): Path<(String, String)>,
) -> Outcome {
    change_one(desk, upstream, endpoint, EndpointChange::Remove).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An upstream that was changed as an answer.
fn shown(status: StatusCode, changed: Option<UpstreamView>) -> Response {
    match changed {
        Some(upstream) => (status, Json(upstream)).into_response(),
        None => {
            let detail = "another configuration came into force meanwhile, without this upstream: the change waits for it";
            refused(&Refusal::new(RefusalKind::NotFound, detail.to_owned()))
        }
    }
}

/// Changes an endpoint; its upstream, unless that went meanwhile.
async fn change_one(
    desk: Desk,
    upstream: String,
    endpoint: String,
    change: EndpointChange,
) -> Result<Option<UpstreamView>, Response> {
    let Ok(turn) = std::sync::Arc::clone(&desk.changing).try_acquire_owned() else {
        let detail = "too many changes are under way";
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "busy", detail));
    };
    let done = blocking(move || {
        let _turn = turn;
        let changed = desk.control.change_endpoint(&upstream, &endpoint, change);
        changed.map(|()| desk.view.upstream(&upstream))
    })
    .await?;
    done.map_err(|refusal| refused(&refusal))
}

/// A refusal as an answer.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    problem(
        status_of(refusal.kind),
        refusal.kind.name(),
        &refusal.detail,
    )
}

/// The status of answers that refuse for a kind of reason.
pub(crate) fn status_of(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Conflict | RefusalKind::Upgrading => StatusCode::CONFLICT,
        RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::Pending => StatusCode::GATEWAY_TIMEOUT,
        RefusalKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

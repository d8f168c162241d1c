//! `/config`: the configuration in force, those before it, and new ones.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

use crate::endpoints::status_of;
use crate::routes::{Desk, blocking, problem};
use crate::{Apply, ConfigRefusal, Rollback, body, query};

/// Bytes of a configuration that is sent, as many as a file may have.
pub(crate) const CONFIG_BYTES_MAX: usize = 16 << 20;

/// Bytes of what is said of a configuration, and of its name.
const NOTE_BYTES_MAX: usize = 1024;

/// How long a configuration may go unconfirmed. Less is too little to be heard in.
const CONFIRM_MIN: Duration = Duration::from_millis(500);
const CONFIRM_MAX: Duration = Duration::from_secs(24 * 60 * 60);

type Outcome = Result<Response, Response>;

pub(crate) async fn show(State(desk): State<Desk>) -> Outcome {
    let config = blocking(move || desk.view.config()).await?;
    Ok(Json(config).into_response())
}

pub(crate) async fn history(State(desk): State<Desk>) -> Outcome {
    let versions = blocking(move || desk.view.history()).await?;
    Ok(Json(json!({ "versions": versions })).into_response())
}

pub(crate) async fn version(State(desk): State<Desk>, Path(id): Path<String>) -> Outcome {
    let number = id.parse::<u64>().ok();
    let found = blocking(move || desk.view.version(number?)).await?;
    match found {
        Some(version) => Ok(Json(version).into_response()),
        None => {
            let detail = format!("the history has no configuration {id:?}");
            Err(problem(StatusCode::NOT_FOUND, "not-found", &detail))
        }
    }
}

pub(crate) async fn apply(State(desk): State<Desk>, request: Request) -> Outcome {
    let mut apply = asked(&request)
        .map_err(|detail| problem(StatusCode::BAD_REQUEST, "invalid-query", &detail))?;
    // One is held at a time. While it comes others may change the configuration: those who send slowly stop nobody.
    let receiving = Arc::clone(&desk.receiving).try_acquire_owned();
    let _receiving = receiving.map_err(|_| busy())?;
    let bytes = body::read(request.into_body(), CONFIG_BYTES_MAX).await?;
    apply.text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let detail = format!("the configuration is not UTF-8 (at byte {at})");
        problem(StatusCode::BAD_REQUEST, "invalid-body", &detail)
    })?;
    let turn = turn(&desk).ok_or_else(busy)?;
    change(turn, move || desk.control.apply(apply)).await
}

pub(crate) async fn confirm(State(desk): State<Desk>) -> Outcome {
    change(word(&desk).ok_or_else(crowded)?, move || {
        desk.control.confirm()
    })
    .await
}

pub(crate) async fn rollback(State(desk): State<Desk>, request: Request) -> Outcome {
    let bytes = body::read(request.into_body(), body::SMALL_BYTES_MAX).await?;
    let rollback = match bytes.is_empty() {
        true => Rollback::default(),
        false => body::parse(&bytes).map_err(body::unexpected)?,
    };
    check_text("note", rollback.note.as_deref())
        .map_err(|detail| problem(StatusCode::BAD_REQUEST, "invalid-body", &detail))?;
    change(word(&desk).ok_or_else(crowded)?, move || {
        desk.control.rollback(rollback)
    })
    .await
}

pub(crate) async fn reload(State(desk): State<Desk>) -> Outcome {
    let turn = turn(&desk).ok_or_else(busy)?;
    let reload = move || {
        desk.control.reload().map(|done| {
            json!({ "reloaded": true, "detail": done.from, "id": done.id, "summary": done.summary })
        })
    };
    change(turn, reload).await
}

/// One change of the configuration at a time.
fn turn(desk: &Desk) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&desk.reloading).try_acquire_owned().ok()
}

/// Who has a word on what waits for confirmation is heard while another change is under way: the time runs.
fn word(desk: &Desk) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&desk.changing).try_acquire_owned().ok()
}

fn crowded() -> Response {
    let detail = "too many changes are under way";
    problem(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
}

fn busy() -> Response {
    let detail = "another change of the configuration is under way";
    problem(StatusCode::CONFLICT, "reloading", detail)
}

/// The turn goes with the work: a client that leaves does not end the change it began.
async fn change<T: Serialize + Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, ConfigRefusal> + Send + 'static,
) -> Outcome {
    let done = blocking(move || {
        let _turn = turn;
        work()
    });
    match done.await? {
        Ok(done) => Ok(Json(done).into_response()),
        Err(refusal) => Err(refused(&refusal)),
    }
}

fn refused(refusal: &ConfigRefusal) -> Response {
    let told = json!({
        "error": refusal.error,
        "detail": refusal.detail,
        "diagnostics": refusal.diagnostics,
    });
    (status_of(refusal.kind), Json(told)).into_response()
}

/// What the query and the fields of a request say of the configuration in its body.
fn asked(request: &Request) -> Result<Apply, String> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let mut apply = Apply {
        text: String::new(),
        is_json: content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")),
        name: None,
        note: None,
        confirm: None,
    };
    for (name, value) in query::pairs(request.uri().query().unwrap_or_default())? {
        match &*name {
            "name" => apply.name = Some(value),
            "note" => apply.note = Some(value),
            "confirm" => apply.confirm = Some(query::duration(&value, CONFIRM_MIN..=CONFIRM_MAX)?),
            _ => {
                return Err(format!(
                    "there is no parameter `{name}`: name, note, confirm"
                ));
            }
        }
    }
    check_text("name", apply.name.as_deref())?;
    check_text("note", apply.note.as_deref())?;
    Ok(apply)
}

fn check_text(what: &str, text: Option<&str>) -> Result<(), String> {
    match text {
        Some(text) if text.len() > NOTE_BYTES_MAX || text.chars().any(char::is_control) => Err(
            format!("the {what} is longer than {NOTE_BYTES_MAX} bytes, or has odd characters"),
        ),
        _ => Ok(()),
    }
}

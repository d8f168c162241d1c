//! Long lists, page by page: routes, endpoints, values of the configuration.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::routes::{Desk, blocking, problem};
use crate::{EndpointView, RouteView, ValueView, query};

/// Things of a page, where nothing is said.
pub(crate) const LIMIT_DEFAULT: usize = 1000;

/// Things of a page at most.
const LIMIT_MAX: usize = 10_000;

type Outcome = Result<Response, Response>;

/// A part of a list.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Page<T> {
    /// How many there are that are meant, on all pages.
    pub total: u64,
    /// How many of them stand before this page.
    pub offset: u64,
    /// Those of this page.
    pub items: Vec<T>,
}

/// An endpoint and whose it is.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct EndpointOfView {
    /// The upstream's name.
    pub upstream: String,
    /// The endpoint.
    #[serde(flatten)]
    pub endpoint: EndpointView,
}

/// Which part of a list is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    offset: usize,
    limit: usize,
    /// The value of the one parameter that chooses.
    only: Option<String>,
}

fn asked(request: &Request, chooses: &str) -> Result<Asked, String> {
    read(request.uri().query().unwrap_or_default(), chooses)
}

fn read(text: &str, chooses: &str) -> Result<Asked, String> {
    let mut asked = Asked {
        offset: 0,
        limit: LIMIT_DEFAULT,
        only: None,
    };
    for (name, value) in query::pairs(text)? {
        match &*name {
            "offset" => asked.offset = number(&name, &value)?,
            "limit" => asked.limit = limit(&name, &value)?,
            name if name == chooses => asked.only = Some(value),
            _ => {
                return Err(format!(
                    "there is no parameter `{name}`: {chooses}, offset, limit"
                ));
            }
        }
    }
    Ok(asked)
}

/// The value of a parameter that is a number.
pub(crate) fn number(name: &str, value: &str) -> Result<usize, String> {
    let number = value.parse();
    number.map_err(|_| format!("`{name}={value}` is no number"))
}

/// How many things a page is to have.
pub(crate) fn limit(name: &str, value: &str) -> Result<usize, String> {
    Ok(number(name, value)?.clamp(1, LIMIT_MAX))
}

fn page<T>(all: Vec<T>, asked: &Asked) -> Page<T> {
    Page {
        total: all.len() as u64,
        offset: asked.offset as u64,
        items: all
            .into_iter()
            .skip(asked.offset)
            .take(asked.limit)
            .collect(),
    }
}

/// Answers with the part of a list that is asked for.
async fn answer<T: Serialize + Send + 'static>(
    asked: Result<Asked, String>,
    list: impl FnOnce(Option<&str>) -> Vec<T> + Send + 'static,
) -> Outcome {
    let asked =
        asked.map_err(|detail| problem(StatusCode::BAD_REQUEST, "invalid-query", &detail))?;
    let page = blocking(move || page(list(asked.only.as_deref()), &asked)).await?;
    Ok(Json(page).into_response())
}

pub(crate) async fn routes(State(desk): State<Desk>, request: Request) -> Outcome {
    answer(asked(&request, "site"), move |site| {
        let meant = |route: &RouteView| site.is_none_or(|site| route.site == site);
        desk.view.routes().into_iter().filter(meant).collect()
    })
    .await
}

pub(crate) async fn endpoints(State(desk): State<Desk>, request: Request) -> Outcome {
    answer(asked(&request, "upstream"), move |upstream| {
        let all = match upstream {
            Some(name) => desk.view.upstream(name).into_iter().collect(),
            None => desk.view.upstreams(),
        };
        let of = |one: crate::UpstreamView| {
            let upstream = one.name;
            let endpoints = one.endpoints.into_iter();
            endpoints.map(move |endpoint| EndpointOfView {
                upstream: upstream.clone(),
                endpoint,
            })
        };
        all.into_iter().flat_map(of).collect()
    })
    .await
}

pub(crate) async fn values(State(desk): State<Desk>, request: Request) -> Outcome {
    answer(asked(&request, "under"), move |under| {
        let meant = |value: &ValueView| under.is_none_or(|under| is_under(&value.path, under));
        desk.view.values().into_iter().filter(meant).collect()
    })
    .await
}

/// Whether keys begin with these keys.
fn is_under(path: &str, under: &str) -> bool {
    let rest = path.strip_prefix(under);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']) || under.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for() {
        let asked = read("limit=2&site=a&offset=1", "site").unwrap();
        assert_eq!(asked.only.as_deref(), Some("a"));
        let page = page(vec![1, 2, 3, 4], &asked);
        assert_eq!((page.total, page.offset, page.items), (4, 1, vec![2, 3]));
        assert_eq!(read("limit=99999999", "site").unwrap().limit, LIMIT_MAX);
        assert!(read("limit=x", "site").is_err());
        assert!(
            read("sight=a", "site")
                .unwrap_err()
                .contains("site, offset, limit")
        );
    }

    #[test]
    fn keys_are_below_others() {
        assert!(is_under("upstreams.app.balance", "upstreams.app"));
        assert!(is_under("sites.a.routes[0].path", "sites.a.routes"));
        assert!(!is_under("upstreams.app2.balance", "upstreams.app"));
        assert!(is_under("workers", "workers") && is_under("workers", ""));
    }
}

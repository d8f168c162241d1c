//! **Purpose:** the admin listener: metrics, health, status and reload for operators and their tools.
//! **Never knows:** what it shows and what it sets in motion; both are behind [`View`] and [`Control`].
//! **Next on the road:** nothing; requests of clients never come this way.
//!
//! | route | answers |
//! |---|---|
//! | `GET /metrics` | [`View::metrics`], in the Prometheus text format |
//! | `GET /healthz` | 200 for as long as the process lives |
//! | `GET /readyz` | 200, or 503 while it drains |
//! | `GET /status` | [`View::status`], as JSON |
//! | `GET /certificates` | [`View::certificates`], as JSON |
//! | `POST /certificates/NAME/renew` | [`Control::renew`]: 200, or 422 when it failed |
//! | `GET /upstreams`, `/upstreams/NAME` | [`View::upstreams`], [`View::upstream`]: endpoints and their states |
//! | `POST /upstreams/NAME/endpoints` | an endpoint more ([`Control::change_endpoint`]): 201 |
//! | `PATCH /upstreams/NAME/endpoints/ADDRESS` | its weight, or whether it takes requests: 200 |
//! | `DELETE /upstreams/NAME/endpoints/ADDRESS` | an endpoint less: 204 |
//! | `POST /upgrade` | [`Control::upgrade`]: 200 with the new `pid`, 503 when this process goes on |
//! | `GET /config` | [`View::config`]: the one in force, and how the file compares |
//! | `GET /config/values`, `/routes`, `/endpoints` | lists, page by page ([`Page`]) |
//! | `GET /connections` | [`View::connections`], page by page: those of clients |
//! | `DELETE /connections/ID` | [`Control::close_connection`]: in order, or at once with `?now=true` |
//! | `GET /openapi.json` | [`document()`]: all of this for programs |
//! | `PUT /config` | [`Control::apply`]: 200, 422 with diagnostics, 409 while another is unconfirmed |
//! | `POST /config/confirm`, `/config/rollback` | [`Control::confirm`], [`Control::rollback`] |
//! | `GET /config/history`, `/config/history/ID` | [`View::history`], [`View::version`] |
//! | `POST /reload` | [`Control::reload`]: 200, 422 when the configuration was refused, 409 when one is under way |
//!
//! Everything else is 404 or 405. Answers but `/metrics` are JSON; errors have the members `error`, a stable name, and
//! `detail`, a text for people.
//!
//! Where there is a token, all but health is for those who show it. Without one the listener belongs on loopback. What a browser on such a
//! machine could be tricked into is refused by [`caller`]; what a broken peer could hold is bounded by [`serve()`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod body;
pub mod caller;
mod change;
mod configuration;
mod connections;
mod endpoints;
mod lists;
mod openapi;
mod query;
mod routes;
mod serve;
mod stall;
mod status;
mod versions;
mod views;

#[cfg(test)]
mod tests;

pub use change::{AddEndpoint, EndpointChange, EndpointState, Refusal, RefusalKind, SetEndpoint};
pub use connections::{
    ConnectionClosing, ConnectionProtocol, ConnectionState, ConnectionTlsView, ConnectionView,
    ConnectionsAsked, ConnectionsPage, ExchangeView,
};
pub use lists::{EndpointOfView, Page};
pub use openapi::document;
pub use serve::{CONNECTIONS_MAX, Doors, LocalDoor, serve};
pub use status::{
    CertificateErrorView, CertificateView, CertificatesView, ConfigurationNote, EndpointSummary,
    ListenerView, OverloadView, RouteSummary, StatusView, UpstreamSummary,
};
pub use versions::{
    Applied, Apply, ConfigRefusal, ConfigView, DiagnosticView, DriftView, FileView, PlaceView,
    Rollback, UnconfirmedView, VersionDetail, VersionView,
};
pub use views::{
    DiscoveryView, EndpointView, ProbeResultView, ProbeView, RetryBudgetView, RouteView,
    TargetView, UpstreamView, ValueView,
};

/// What operators are shown. Called on threads that may block.
pub trait View: Send + Sync + 'static {
    /// All metrics in the Prometheus text format ([`foregate_telemetry::metrics::CONTENT_TYPE`]).
    fn metrics(&self) -> String;

    /// Version, uptime, configuration, listeners, sites and their routes, upstreams and the states of their endpoints.
    fn status(&self) -> StatusView;

    /// Every certificate: names, issuer, life, source, state, next renewal, last error, who serves it.
    fn certificates(&self) -> CertificatesView;

    /// Every upstream with its endpoints, in the order of their names.
    fn upstreams(&self) -> Vec<UpstreamView>;

    /// One upstream, if it is there.
    fn upstream(&self, name: &str) -> Option<UpstreamView>;

    /// The configuration in force.
    fn config(&self) -> ConfigView;

    /// The configurations that are remembered, oldest first.
    fn history(&self) -> Vec<VersionView>;

    /// One of them.
    fn version(&self, id: u64) -> Option<VersionDetail>;

    /// Every value of the configuration in force.
    fn values(&self) -> Vec<ValueView>;

    /// Every route, site by site, in the order in which they are looked at.
    fn routes(&self) -> Vec<RouteView>;

    /// The open connections of clients that are asked for, worker by worker, each worker's oldest first.
    fn connections(&self, asked: &ConnectionsAsked) -> ConnectionsPage;

    /// Whether new work is welcome; false while the process drains. Must not block.
    fn ready(&self) -> bool;
}

/// What operators set in motion. Called on threads that may block.
pub trait Control: Send + Sync + 'static {
    /// Reads the configuration again and takes it over, and says what changed.
    ///
    /// # Errors
    /// Why the old configuration stays.
    fn reload(&self) -> Result<Applied, ConfigRefusal>;

    /// Puts a configuration in force.
    ///
    /// # Errors
    /// Why the old configuration stays.
    fn apply(&self, apply: Apply) -> Result<Applied, ConfigRefusal>;

    /// Has the configuration in force stay that waits for it.
    ///
    /// # Errors
    /// There is none.
    fn confirm(&self) -> Result<Applied, ConfigRefusal>;

    /// Puts an older configuration in force again.
    ///
    /// # Errors
    /// Why the present configuration stays.
    fn rollback(&self, rollback: Rollback) -> Result<Applied, ConfigRefusal>;

    /// Has a new process of the program take over; its process id.
    ///
    /// # Errors
    /// Why this process goes on, for people.
    fn upgrade(&self) -> Result<u32, String>;

    /// Changes an endpoint of an upstream; it is in force when this returns.
    ///
    /// # Errors
    /// Why nothing has changed, or ([`RefusalKind::Pending`]) that it is not in force everywhere yet.
    fn change_endpoint(
        &self,
        upstream: &str,
        endpoint: &str,
        change: EndpointChange,
    ) -> Result<(), Refusal>;

    /// Has a connection end: after what runs on it, or at once. How it was until then.
    ///
    /// # Errors
    /// It is not there.
    fn close_connection(&self, id: &str, at_once: bool) -> Result<ConnectionView, Refusal>;

    /// Has the certificate of a name issued anew, and says what came of it; may take most of a minute.
    ///
    /// # Errors
    /// Why the old certificate stays, for people.
    fn renew(&self, name: &str) -> Result<String, String>;
}

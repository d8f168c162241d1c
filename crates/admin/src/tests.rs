//! The admin listener over real sockets.
#![expect(
    clippy::disallowed_methods,
    reason = "these are clients on threads of their own"
)]

mod bounds;
mod configurations;
mod endpoints;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    Applied, Apply, CONNECTIONS_MAX, ConfigRefusal, ConfigView, Control, Doors, EndpointChange,
    EndpointState, EndpointView, Refusal, RefusalKind, Rollback, UpstreamView, VersionDetail,
    VersionView, View, serve,
};

/// A gateway of which the test says what it is.
#[derive(Default)]
struct Gateway {
    draining: AtomicBool,
    refuses: AtomicBool,
    reloads: AtomicUsize,
    /// While true, a reload does not end.
    held: Mutex<bool>,
    released: Condvar,
    changes: Mutex<Vec<String>>,
}

fn app() -> UpstreamView {
    UpstreamView {
        name: "app".into(),
        balance: "round-robin".into(),
        endpoints: vec![EndpointView {
            circuit: None,
            requests_max: None,
            slow_start_percent: None,
            endpoint: "10.0.0.1:80".into(),
            address: Some("10.0.0.1:80".into()),
            origin: "config".into(),
            state: EndpointState::Enabled,
            available: true,
            weight: 1,
            zone: None,
            backup: false,
            labels: BTreeMap::default(),
            in_flight: 0,
            connections: 0,
            consecutive_failures: 0,
            ejected_for_ms: None,
            health: "unknown".to_owned(),
            probe: None,
        }],
        requests: 0,
        requests_max: None,
        connections: 0,
        connections_max: None,
        retries: None,
        retries_max: None,
        retry_budget: crate::RetryBudgetView {
            tries_left: 0,
            percent: 20,
            per_second: 10,
        },
        retries_refused: BTreeMap::default(),
        queue_length_max: None,
        discovery: None,
        panic: false,
        circuit: None,
        queued: 0,
    }
}

fn status() -> crate::StatusView {
    crate::StatusView {
        version: "test".to_owned(),
        state: "serving".to_owned(),
        overload: crate::OverloadView {
            rung: "calm".to_owned(),
            cause: None,
            since_seconds: 0,
            changes: 0,
            memory_bytes: None,
            memory_max_bytes: None,
            requests: 0,
            requests_max: None,
            delay_ms: 0,
            pressure_percent: std::collections::BTreeMap::new(),
        },
        uptime_seconds: 0,
        configuration: crate::ConfigurationNote {
            id: Some(1),
            cause: Some("start".to_owned()),
            sha256: None,
            drift: "none".to_owned(),
            unconfirmed_returns_in_ms: None,
            from: "a.toml".to_owned(),
            loaded_unix: 1,
        },
        listeners: Vec::new(),
        routes_total: 0,
        routes: Vec::new(),
        endpoints: Vec::new(),
        upstreams: Vec::new(),
    }
}

impl View for Gateway {
    fn metrics(&self) -> String {
        "foregate_up 1\n".into()
    }

    fn status(&self) -> crate::StatusView {
        status()
    }

    fn certificates(&self) -> crate::CertificatesView {
        crate::CertificatesView {
            certificates: Vec::new(),
            internal_root: None,
        }
    }

    fn upstreams(&self) -> Vec<UpstreamView> {
        vec![app()]
    }

    fn upstream(&self, name: &str) -> Option<UpstreamView> {
        (name == "app").then(app)
    }

    fn config(&self) -> ConfigView {
        ConfigView {
            version: self.version(1).unwrap(),
            drift: crate::DriftView {
                state: "none".into(),
                detail: String::new(),
                diff: String::new(),
            },
            unconfirmed_apply: None,
        }
    }

    fn history(&self) -> Vec<VersionView> {
        vec![self.version(1).unwrap().version]
    }

    fn version(&self, id: u64) -> Option<VersionDetail> {
        let version = VersionView {
            id,
            unix: 1,
            cause: "start".into(),
            note: None,
            from: "a.toml".into(),
            sha256: String::new(),
            bytes: 0,
            summary: String::new(),
            in_force: true,
            unconfirmed: false,
            taken_back: false,
        };
        (id == 1).then_some(VersionDetail {
            version,
            changes: Vec::new(),
            diff: String::new(),
            files: Vec::new(),
        })
    }

    fn values(&self) -> Vec<crate::ValueView> {
        Vec::new()
    }

    fn routes(&self) -> Vec<crate::RouteView> {
        Vec::new()
    }

    fn connections(&self, asked: &crate::ConnectionsAsked) -> crate::ConnectionsPage {
        crate::ConnectionsPage {
            total: 0,
            offset: asked.offset as u64,
            items: Vec::new(),
            silent_workers: 0,
        }
    }

    fn ready(&self) -> bool {
        !self.draining.load(Ordering::SeqCst)
    }
}

impl Control for Gateway {
    fn change_endpoint(
        &self,
        upstream: &str,
        endpoint: &str,
        change: EndpointChange,
    ) -> Result<(), Refusal> {
        if upstream == "slow" {
            let detail = "later".to_owned();
            return Err(Refusal::new(RefusalKind::Pending, detail));
        }
        // One that goes as soon as it is changed is never shown.
        if upstream != "app" && upstream != "fleeting" {
            let detail = format!("there is no upstream `{upstream}`");
            return Err(Refusal::new(RefusalKind::NotFound, detail));
        }
        let text = format!("{endpoint} {change}");
        self.changes.lock().unwrap().push(text);
        Ok(())
    }

    fn close_connection(&self, id: &str, _: bool) -> Result<crate::ConnectionView, Refusal> {
        Err(Refusal::new(RefusalKind::NotFound, id.to_owned()))
    }

    fn renew(&self, name: &str) -> Result<String, String> {
        match name {
            "shop.example" | "*.shop.example" => Ok(format!("{name} was issued")),
            _ => Err(format!("no certificate for {name}")),
        }
    }

    fn upgrade(&self) -> Result<u32, String> {
        match *self.held.lock().unwrap() {
            true => Err("the new process ended".to_owned()),
            false => Ok(7),
        }
    }

    fn reload(&self) -> Result<Applied, ConfigRefusal> {
        self.reloads.fetch_add(1, Ordering::SeqCst);
        let mut held = self.held.lock().unwrap();
        while *held {
            held = self.released.wait(held).unwrap();
        }
        match self.refuses.load(Ordering::SeqCst) {
            true => Err(ConfigRefusal::new(
                RefusalKind::Invalid,
                "config-refused",
                "line 3: no",
            )),
            false => Ok(applied("2 routes changed")),
        }
    }

    fn apply(&self, apply: Apply) -> Result<Applied, ConfigRefusal> {
        self.changes.lock().unwrap().push(format!("{apply:?}"));
        Ok(applied("applied"))
    }

    fn confirm(&self) -> Result<Applied, ConfigRefusal> {
        let detail = "nothing waits";
        Err(ConfigRefusal::new(
            RefusalKind::Conflict,
            "nothing-to-confirm",
            detail,
        ))
    }

    fn rollback(&self, rollback: Rollback) -> Result<Applied, ConfigRefusal> {
        self.changes.lock().unwrap().push(format!("{rollback:?}"));
        Ok(applied("rolled back"))
    }
}

fn applied(from: &str) -> Applied {
    Applied {
        id: 2,
        from: from.into(),
        summary: "nothing".into(),
        changes: Vec::new(),
        warnings: Vec::new(),
        confirm_within_ms: None,
    }
}

struct Admin {
    gateway: Arc<Gateway>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    fn start() -> Self {
        Self::start_with(None)
    }

    fn start_with(token: Option<&'static str>) -> Self {
        let gateway = Arc::new(Gateway::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (view, control) = (Arc::clone(&gateway), Arc::clone(&gateway));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let stop = async { stopped.await.unwrap_or(()) };
            runtime
                .block_on(serve(
                    Doors {
                        tcp: listener,
                        tls: None,
                        local: None,
                    },
                    view,
                    control,
                    token,
                    stop,
                    || {},
                ))
                .unwrap();
        });
        Self {
            gateway,
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    }

    /// Sends a request on a connection of its own; status, head in lower case, body.
    fn ask(&self, request: &str) -> (u16, String, String) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head[9..12].parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        ))
    }

    fn post(&self, path: &str, fields: &str) -> (u16, Value) {
        let (status, _, body) = self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"
        ));
        (status, serde_json::from_str(&body).unwrap())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server panicked");
        }
    }
}

#[test]
fn metrics_are_served_as_text() {
    let (status, head, body) = Admin::start().get("/metrics");
    assert_eq!((status, body.as_str()), (200, "foregate_up 1\n"));
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(head.contains("cache-control: no-store"), "{head}");
}

#[test]
fn metrics_are_for_scrapers_under_any_name() {
    let request =
        "GET /metrics HTTP/1.1\r\nHost: gateway.internal:9180\r\nConnection: close\r\n\r\n";
    assert_eq!(Admin::start().ask(request).0, 200);
}

#[test]
fn health_stays_while_readiness_goes() {
    let admin = Admin::start();
    assert_eq!(
        (admin.get("/healthz").0, admin.get("/readyz").0),
        (200, 200)
    );
    admin.gateway.draining.store(true, Ordering::SeqCst);
    assert_eq!(
        (admin.get("/healthz").0, admin.get("/readyz").0),
        (200, 503)
    );
}

#[test]
fn status_is_json_and_only_for_own_names() {
    let admin = Admin::start();
    let (status, head, body) = admin.get("/status");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &told["version"]), (200, &json!("test")));
    assert!(head.contains("content-type: application/json"), "{head}");
    let (status, _, body) =
        admin.ask("GET /status HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n");
    assert_eq!(status, 403);
    assert!(body.contains("wrong-host"), "{body}");
}

#[test]
fn a_reload_tells_its_result() {
    let admin = Admin::start();
    assert_eq!(
        admin.post("/reload", ""),
        (
            200,
            json!({ "reloaded": true, "detail": "2 routes changed", "id": 2, "summary": "nothing" })
        )
    );
    admin.gateway.refuses.store(true, Ordering::SeqCst);
    assert_eq!(
        admin.post("/reload", "Content-Length: 0\r\n"),
        (
            422,
            json!({ "error": "config-refused", "detail": "line 3: no", "diagnostics": [] })
        )
    );
}

#[test]
fn a_foreign_page_reloads_nothing() {
    let admin = Admin::start();
    for fields in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let (status, body) = admin.post("/reload", fields);
        assert_eq!(
            (status, &body["error"]),
            (403, &json!("cross-site")),
            "{fields}"
        );
    }
    for host in [
        "Host: evil.example\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "",
    ] {
        let request = format!("POST /reload HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        assert_eq!(admin.ask(&request).0, 403, "{host}");
    }
    assert_eq!(admin.gateway.reloads.load(Ordering::SeqCst), 0);
}

#[test]
fn certificates_are_told_and_renewed() {
    let admin = Admin::start();
    let (status, _, body) = admin.get("/certificates");
    let told: Value = serde_json::from_str(&body).unwrap();
    let none = json!({ "certificates": [], "internal_root": null });
    assert_eq!((status, told), (200, none));
    for name in ["shop.example", "*.shop.example", "%2A.shop.example"] {
        let (status, body) = admin.post(&format!("/certificates/{name}/renew"), "");
        assert_eq!((status, &body["renewed"]), (200, &json!(true)), "{name}");
    }
    let (status, body) = admin.post("/certificates/other.example/renew", "");
    assert_eq!(
        (status, &body["detail"]),
        (422, &json!("no certificate for other.example"))
    );
    let (status, _) = admin.post(
        "/certificates/shop.example/renew",
        "Origin: http://evil.example\r\n",
    );
    assert_eq!(status, 403);
    assert_eq!(admin.get("/certificates/shop.example/renew").0, 405);
}

#[test]
fn with_a_token_only_health_is_for_everybody() {
    let admin = Admin::start_with(Some("0123456789abcdef"));
    let ask = |target: &str, field: &str| {
        admin.ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{field}\r\n"
        ))
    };
    assert_eq!(ask("/healthz", "").0, 200);
    assert_eq!(ask("/readyz", "").0, 200);
    for target in ["/metrics", "/status", "/upstreams", "/certificates"] {
        for field in [
            "",
            "Authorization: 0123456789abcdef\r\n",
            "Authorization: Bearer 0123456789abcde\r\n",
            "Authorization: Bearer 0123456789abcdeF\r\n",
            "Authorization: Bearer 0123456789abcdef\r\nAuthorization: Bearer 0123456789abcdef\r\n",
        ] {
            let (status, head, body) = ask(target, field);
            assert_eq!(status, 401, "{target} {field}");
            assert!(head.contains("www-authenticate: bearer"), "{head}");
            assert!(
                body.contains("unauthorized") && !body.contains("0123"),
                "{body}"
            );
        }
        let right = "Authorization: bearer 0123456789abcdef\r\n";
        assert_eq!(ask(target, right).0, 200, "{target}");
    }
    assert_eq!(admin.post("/reload", "").0, 401);
    assert_eq!(admin.gateway.reloads.load(Ordering::SeqCst), 0);
}

#[test]
fn one_reload_at_a_time() {
    let admin = Admin::start();
    *admin.gateway.held.lock().unwrap() = true;
    let mut first = admin.connect();
    first
        .write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    while admin.gateway.reloads.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let (status, body) = admin.post("/reload", "");
    assert_eq!((status, &body["error"]), (409, &json!("reloading")));
    *admin.gateway.held.lock().unwrap() = false;
    admin.gateway.released.notify_all();
    let mut answer = String::new();
    first.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(admin.post("/reload", "").0, 200);
}

#[test]
fn wrong_paths_and_methods_are_told_in_json() {
    let admin = Admin::start();
    let (status, _, body) = admin.get("/");
    assert_eq!(status, 404);
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap()["error"],
        "not-found"
    );
    let (status, head, body) = admin.get("/reload");
    assert_eq!(status, 405);
    assert!(head.contains("allow: post"), "{head}");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap()["error"],
        "method-not-allowed"
    );
    assert_eq!(admin.post("/metrics", "").0, 405);
    let (status, _, body) =
        admin.ask("HEAD /status HTTP/1.1\r\nHost: [::1]:1\r\nConnection: close\r\n\r\n");
    assert_eq!((status, body.as_str()), (200, ""));
}

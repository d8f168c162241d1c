//! What tries whether a backend is well again, and what a limit that is found out goes by: the backend's doing, not its
//! clients'.

use foregate_testkit::{Answer, Backend, Gateway, RawClient, Visit, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// How long a client keeps the end of its upload back.
const PAUSE: Duration = Duration::from_millis(400);

/// How long a backend works on a request for `/work`.
const WORK: Duration = Duration::from_millis(30);

/// A backend that answers 503 while it is ill; to `/long` it begins an answer without end, and to `/black-hole` none.
fn moody(ill: &Arc<AtomicBool>) -> Backend {
    let ill = Arc::clone(ill);
    Backend::start(move |visit: &mut Visit| {
        while let Some(request) = visit.next_request()? {
            match &*request.target {
                _ if ill.load(Ordering::SeqCst) => {
                    visit.answer(&request, &Answer::status(503))?;
                }
                "/long" => {
                    visit.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegins")?;
                    visit.hold();
                }
                "/black-hole" => visit.hold(),
                "/work" => {
                    // Nothing comes meanwhile: the connection has one request at a time.
                    visit.connection.set_patience(WORK);
                    let _ = visit.connection.wait_readable();
                    visit.connection.set_patience(Duration::from_secs(3600));
                    visit.answer(&request, &Answer::ok("done"))?;
                }
                _ => visit.answer(&request, &Answer::ok("well"))?,
            }
        }
        Ok(())
    })
}

fn before(backend: &Backend, more: &str) -> Gateway {
    Gateway::new(
        r#"
        workers = 2
        [client]
        body_rate_min = "off"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        {more}
        "#,
    )
    .fill("backend", backend.address())
    .fill("more", more)
    .start()
}

/// A gateway whose circuit has opened; from now on the backend is well.
fn opened(kind: &str, backend: &Backend, ill: &AtomicBool) -> Gateway {
    let more = format!("{kind} = {{ requests_min = 5, open = \"200ms\", trials = 1 }}");
    let gateway = before(backend, &more);
    ill.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(gateway.exchange(GET).status, 503);
    }
    gateway.wait_stderr("circuit opened");
    ill.store(false, Ordering::SeqCst);
    gateway
}

/// A long download says with its head that all is well. Nobody waits for its end.
#[test]
fn a_trial_is_over_when_its_answer_begins() {
    let ill = Arc::default();
    let backend = moody(&ill);
    for kind in ["circuit", "upstream_circuit"] {
        let gateway = opened(kind, &backend, &ill);
        let _download = eventually("a trial is sent", || {
            let mut client = gateway.connect();
            client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = client.try_head(false).expect("an answer begins");
            (head.status == 200).then_some(client)
        });
        gateway.wait_stderr("circuit closed");
        assert_eq!(gateway.exchange(GET).status, 200);
    }
}

/// A client that draws its upload out can't keep a backend from being tried.
#[test]
fn an_upload_that_comes_to_no_end_is_no_trial_for_ever() {
    let ill = Arc::default();
    let backend = moody(&ill);
    for kind in ["circuit", "upstream_circuit"] {
        let gateway = opened(kind, &backend, &ill);
        let _upload = eventually("it is admitted as a trial", || {
            let mut client = gateway.connect();
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nh");
            client.connection().set_patience(Duration::from_millis(50));
            // Who is refused is told at once.
            client.try_response(false).is_err().then_some(client)
        });
        assert_eq!(gateway.exchange(GET).status, 503, "the trial is under way");
        eventually("another one tries", || {
            (gateway.exchange(GET).status == 200).then_some(())
        });
        gateway.wait_stderr("circuit closed");
    }
}

fn upload(gateway: &Gateway) -> RawClient {
    let mut client = gateway.connect();
    client.send("POST /work HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nh");
    client
}

/// The limit that is found out does not shrink since clients are slow.
#[test]
fn slow_uploads_are_not_the_backends_slowness() {
    let backend = moody(&Arc::default());
    let more = "adaptive_concurrency = { initial = 16, min = 1, max = 16, tolerance = 300 }";
    let gateway = before(&backend, more);
    // More than half of the limit is made use of.
    let mut busy: Vec<RawClient> = Vec::new();
    for count in 1..=8 {
        let mut client = gateway.connect();
        client.send("GET /black-hole HTTP/1.1\r\nHost: a\r\n\r\n");
        busy.push(client);
        backend.wait_requests(count);
    }
    let mut quick = gateway.connect();
    for _ in 0..20 {
        let work = "GET /work HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(quick.exchange(work).status, 200);
    }
    for _ in 0..4 {
        let mut uploads: Vec<RawClient> = (0..5).map(|_| upload(&gateway)).collect();
        uploads[0].assert_silent_for(PAUSE);
        for client in &mut uploads {
            client.send("ello");
            assert_eq!(client.response().status, 200);
        }
    }
    let limit = [("upstream", "app")];
    assert_eq!(
        gateway.metric("foregate_endpoint_requests_limit", &limit),
        16.0
    );
}

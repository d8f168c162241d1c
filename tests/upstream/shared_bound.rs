//! `connections_max` bounds the connections of all workers to a backend, and nobody starves under it.

use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use foregate_testkit::{
    Answer, Backend, Gateway, Http2Backend, Http2Reply, RawClient, Visit, eventually, has_ended,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The connections of a backend, counted as its system has them.
#[derive(Default)]
struct Counted {
    live: Vec<TcpStream>,
    most: usize,
    accepted: usize,
}

impl Counted {
    /// One more. Those whose end has come already are none any more, whether or not their threads have seen it.
    fn enter(&mut self, stream: TcpStream) {
        self.live.retain(|one| !has_ended(one));
        self.live.push(stream);
        self.most = self.most.max(self.live.len());
        self.accepted += 1;
    }
}

/// Takes each request a moment, so that requests meet.
fn counting(pause: Duration) -> (Backend, Arc<Mutex<Counted>>) {
    let counted: Arc<Mutex<Counted>> = Arc::default();
    let seen = Arc::clone(&counted);
    let backend = Backend::start(move |visit: &mut Visit| {
        let stream = visit.connection.stream().try_clone().expect("a clone");
        seen.lock().expect("no panics").enter(stream);
        while let Some(request) = visit.next_request()? {
            thread::sleep(pause);
            visit.answer(&request, &Answer::ok("done"))?;
        }
        Ok(())
    });
    (backend, counted)
}

fn gateway(backend: &str, most: usize, more: &str) -> Gateway {
    Gateway::new(
        r#"
        workers = 2
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        connections_max = {most}
        requests_pending_max = 100
        tries_max = 1
        {more}
        "#,
    )
    .fill("backend", backend)
    .fill("most", most)
    .fill("more", more)
    .start()
}

/// Clients on both workers, at least two on each.
fn on_both_workers(gateway: &Gateway) -> Vec<RawClient> {
    let mut clients: Vec<RawClient> = Vec::new();
    eventually("both workers have clients", || {
        clients.push(gateway.connect());
        let told = gateway.admin_send("GET", "/connections", "").json();
        let all = told["items"].as_array()?;
        let of = |worker: &str| {
            let ids = all.iter().filter_map(|one| one["id"].as_str());
            ids.filter(|id| id.starts_with(worker)).count()
        };
        (of("0-") >= 2 && of("1-") >= 2).then_some(())
    });
    clients
}

#[test]
fn a_backend_never_sees_more_connections_than_it_may() {
    for most in [1, 3, 4] {
        let (backend, counted) = counting(Duration::from_millis(2));
        let gateway = gateway(&backend.address().to_string(), most, "");
        let clients = on_both_workers(&gateway);
        let began = Instant::now();
        let running: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                thread::spawn(move || {
                    for _ in 0..20 {
                        let answer = client.exchange(GET);
                        assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
                    }
                })
            })
            .collect();
        let requests = running.len() * 20;
        for one in running {
            one.join().expect("each client is served to its end");
        }
        assert!(began.elapsed() < Duration::from_secs(9), "nobody timed out");
        let counted = counted.lock().expect("no panics");
        assert!(counted.most <= most, "{} of {most}", counted.most);
        if most >= 2 {
            // Each worker keeps its fair share: connections do not change hands for every request.
            assert!(counted.accepted * 4 <= requests, "{}", counted.accepted);
        }
        drop(counted);
        gateway.assert_no_leaks();
    }
}

#[test]
fn connections_that_are_idle_elsewhere_are_given_up_at_once() {
    let (backend, counted) = counting(Duration::ZERO);
    let gateway = gateway(&backend.address().to_string(), 1, "");
    let mut clients = on_both_workers(&gateway);
    let began = Instant::now();
    for _ in 0..5 {
        for client in &mut clients {
            assert_eq!(client.exchange(GET).status, 200);
        }
    }
    // Far below `idle_timeout`, after which the other worker would have closed it anyway.
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(counted.lock().expect("no panics").most, 1);
}

#[test]
fn a_worker_that_is_short_gets_the_next_connection_that_comes_free() {
    let (backend, counted) = counting(Duration::from_millis(50));
    let gateway = gateway(&backend.address().to_string(), 2, "");
    let mut clients = on_both_workers(&gateway);
    // All of one worker first, whichever that is, and then one of each.
    for _ in 0..3 {
        for client in &mut clients {
            client.send(GET);
        }
        for client in &mut clients {
            assert_eq!(client.response().status, 200);
        }
    }
    assert!(counted.lock().expect("no panics").most <= 2);
}

#[test]
fn shared_connections_are_given_up_too() {
    let backend = Http2Backend::answering(|_| Http2Reply::ok("done"));
    let gateway = gateway(&backend.address().to_string(), 1, "protocol = \"h2\"");
    let mut clients = on_both_workers(&gateway);
    for _ in 0..5 {
        for client in &mut clients {
            assert_eq!(client.exchange(GET).status, 200);
        }
    }
    assert!(backend.connections_open() <= 1);
}

/// Clients on each of both workers, so many at least.
fn by_worker(gateway: &Gateway, count: usize) -> [Vec<RawClient>; 2] {
    let mut both: [Vec<RawClient>; 2] = Default::default();
    eventually("both workers have clients", || {
        let client = gateway.connect();
        let own = client.local_address().to_string();
        let id = eventually("it is shown", || {
            let told = gateway.admin_send("GET", "/connections", "").json();
            let all = told["items"].as_array()?;
            let found = all.iter().find(|one| one["client"] == *own)?;
            found["id"].as_str().map(str::to_owned)
        });
        both[usize::from(id.starts_with("1-"))].push(client);
        both.iter().all(|one| one.len() >= count).then_some(())
    });
    both
}

/// Answers `/hold` once it is let go of, and all else at once.
fn holding() -> (Backend, Sender<()>) {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let backend = Backend::answering(move |request| {
        if request.target == "/hold" {
            // Once the story is over nobody reads the answer.
            let _ = wait.lock().expect("nobody panics with it").recv();
        }
        Answer::ok("done")
    });
    (backend, go)
}

#[test]
fn what_is_idle_beyond_a_fair_share_is_there_for_others() {
    let (backend, go) = holding();
    let gateway = gateway(&backend.address().to_string(), 3, "");
    let [mut one, mut other] = by_worker(&gateway, 3);
    let hold = |client: &mut RawClient, asked: usize| {
        client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        backend.wait_requests(asked);
    };
    hold(&mut other[0], 1);
    hold(&mut other[1], 2);
    (0..2).for_each(|_| go.send(()).expect("the backend waits"));
    for client in &mut other[..2] {
        assert_eq!(client.response().status, 200);
    }
    // The worker has two idle ones, and of three one is its fair share.
    let began = Instant::now();
    hold(&mut one[0], 3);
    assert_eq!(one[1].exchange(GET).status, 200);
    // What comes to be idle while somebody waits is theirs, too.
    hold(&mut one[1], 5);
    hold(&mut other[0], 6);
    other[1].send(GET);
    gateway.wait_metric("foregate_endpoint_in_flight", &[("upstream", "app")], 4.0);
    go.send(()).expect("the backend waits");
    assert_eq!(other[1].response().status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "nobody timed out");
}

#[test]
fn nobody_is_hedged_to_a_backend_whose_connections_other_workers_have() {
    let (taken, _go) = holding();
    let slow = Backend::answering(|_| {
        thread::sleep(Duration::from_millis(100));
        Answer::ok("slow")
    });
    let gateway = Gateway::new(
        r#"
        workers = 2
        [sites."*"]
        [[sites."*".routes]]
        path = "/hold"
        upstream = "app"
        subset = { is = "taken" }
        [[sites."*".routes]]
        upstream = "app"
        [upstreams.app]
        servers = [
            { address = "{slow}", weight = 1000, labels = { is = "slow" } },
            { address = "{taken}", labels = { is = "taken" } },
        ]
        balance = "round-robin"
        connections_max = 1
        hedge = { after = "10ms" }
        "#,
    )
    .fill("slow", slow.address())
    .fill("taken", taken.address())
    .start();
    let [mut one, mut other] = by_worker(&gateway, 1);
    one[0].send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    taken.wait_requests(1);
    assert_eq!(other[0].exchange(GET).text(), "slow");
    let app = ("upstream", "app");
    let sent = gateway.metric("foregate_upstream_hedges_total", &[app]);
    let labels = [app, ("reason", "no-other-endpoint")];
    let refused = gateway.metric("foregate_upstream_hedges_refused_total", &labels);
    assert_eq!((sent, refused), (0.0, 1.0));
}

/// A worker that is short takes nothing from under a request that is about to be sent.
#[test]
fn shared_connections_that_go_round_fail_no_request() {
    let backend = Http2Backend::answering(|_| {
        thread::sleep(Duration::from_millis(1));
        Http2Reply::ok("done")
    });
    let gateway = gateway(&backend.address().to_string(), 1, "protocol = \"h2\"");
    let running: Vec<_> = on_both_workers(&gateway)
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                for _ in 0..20 {
                    let answer = client.exchange(GET);
                    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
                }
            })
        })
        .collect();
    for one in running {
        one.join().expect("each request is answered");
    }
    gateway.assert_no_leaks();
}

#[test]
fn a_new_bound_holds_from_its_reload_on() {
    let (backend, counted) = counting(Duration::from_millis(20));
    let address = backend.address().to_string();
    let mut gateway = gateway(&address, 100, "");
    let mut clients = on_both_workers(&gateway);
    let burst = |clients: &mut Vec<RawClient>| {
        for client in clients.iter_mut() {
            client.send(GET);
        }
        for client in clients {
            assert_eq!(client.response().status, 200);
        }
    };
    burst(&mut clients);
    assert!(counted.lock().expect("no panics").most >= 3);
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let narrow = text.replace(
        "connections_max = 100",
        "connections_max = 2\nconnections_idle_max = 0",
    );
    gateway.rewrite_config(&narrow, &[]);
    assert_eq!(gateway.admin_send("POST", "/reload", "").status, 200);
    // What was open ends with its next request; then the bound is what counts.
    burst(&mut clients);
    counted.lock().expect("no panics").most = 0;
    burst(&mut clients);
    let most = counted.lock().expect("no panics").most;
    assert!(most <= 2, "{most}");
}

//! One of three backends has a bad day under steady load, and clients notice nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use foregate_testkit::{
    Answer, Backend, Gateway, Network, ProcessBackend, Signal, Trouble, Visit, eventually,
};

use crate::endpoint;

/// How a backend is.
const WELL: u8 = 0;
/// It reads requests and answers nothing, as a process that was stopped does.
const FROZEN: u8 = 1;
/// It closes connections instead of answering.
const RESETTING: u8 = 2;
/// It answers, but later than a try may take.
const SLOW: u8 = 3;
/// It accepts, and answers that it is unable.
const HALF_DEAD: u8 = 4;

fn moody(mood: &Arc<AtomicU8>) -> impl Fn(&mut Visit) -> Result<(), Trouble> + use<> {
    let mood = Arc::clone(mood);
    move |visit: &mut Visit| {
        while let Some(request) = visit.next_request()? {
            match mood.load(Ordering::SeqCst) {
                FROZEN => {
                    visit.drain();
                    return Ok(());
                }
                RESETTING => return Ok(()),
                SLOW => thread::sleep(Duration::from_millis(600)),
                HALF_DEAD => {
                    visit.answer(&request, &Answer::status(503).body("busy"))?;
                    continue;
                }
                _ => {}
            }
            visit.answer(&request, &Answer::ok("served"))?;
        }
        Ok(())
    }
}

fn before(backends: &[Backend]) -> Gateway {
    let addresses: Vec<SocketAddr> = backends.iter().map(Backend::address).collect();
    before_all(&addresses)
}

fn before_all(addresses: &[SocketAddr]) -> Gateway {
    let servers: Vec<String> = addresses.iter().map(|one| format!("\"{one}\"")).collect();
    Gateway::new(&format!(
        r#"
        workers = 2
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = [{}]
        timeouts = {{ connect = "1s", try = "300ms" }}
        retry = {{ statuses = [503] }}
        probe = {{ interval = "50ms", failing_interval = "20ms", timeout = "200ms", fall = 2 }}
        "#,
        servers.join(", ")
    ))
    .start()
}

/// Clients that ask one request after the other until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<Vec<u16>>>,
}

impl Load {
    fn start(gateway: &Gateway) -> Load {
        let (stop, good) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let address = gateway.address();
        let client = |_| {
            let (stop, good) = (Arc::clone(&stop), Arc::clone(&good));
            thread::spawn(move || {
                let mut client = foregate_testkit::RawClient::connect(address);
                let mut failed = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    match client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status {
                        200 => drop(good.fetch_add(1, Ordering::SeqCst)),
                        other => failed.push(other),
                    }
                }
                failed
            })
        };
        let clients = (0..4).map(client).collect();
        Load {
            stop,
            good,
            clients,
        }
    }

    /// Waits until so many more requests have been served.
    fn serves(&self, more: usize) {
        let before = self.good.load(Ordering::SeqCst);
        eventually("requests are served", || {
            (self.good.load(Ordering::SeqCst) >= before + more).then_some(())
        });
    }

    /// What was not served.
    fn end(self) -> Vec<u16> {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self
            .clients
            .into_iter()
            .map(|one| one.join().expect("no client panics"));
        ended.flatten().collect()
    }
}

fn wait_health(gateway: &Gateway, address: std::net::SocketAddr, health: &str) {
    eventually(&format!("{address} is {health}"), || {
        (endpoint(gateway, address)["health"] == health).then_some(())
    });
}

/// One of three falls ill and gets well again; nobody notices.
fn survives(illness: u8) {
    let moods: Vec<_> = (0..3).map(|_| Arc::new(AtomicU8::new(WELL))).collect();
    let backends: Vec<_> = moods
        .iter()
        .map(|mood| Backend::start(moody(mood)))
        .collect();
    let gateway = before(&backends);
    let turn = |mood| moods[0].store(mood, Ordering::SeqCst);
    notices_nothing(
        &gateway,
        backends[0].address(),
        || turn(illness),
        || turn(WELL),
    );
}

/// Something befalls one of three and goes away again, and no request fails.
fn notices_nothing(gateway: &Gateway, ill: SocketAddr, begin: impl FnOnce(), end: impl FnOnce()) {
    let load = Load::start(gateway);
    wait_health(gateway, ill, "healthy");
    load.serves(50);
    begin();
    wait_health(gateway, ill, "unhealthy");
    load.serves(100);
    end();
    wait_health(gateway, ill, "healthy");
    load.serves(50);
    assert_eq!(load.end(), Vec::<u16>::new(), "not one request failed");
}

#[test]
fn one_that_freezes() {
    survives(FROZEN);
}

#[test]
fn one_that_resets_connections() {
    survives(RESETTING);
}

#[test]
fn one_that_becomes_slow() {
    survives(SLOW);
}

#[test]
fn one_that_accepts_and_is_unable() {
    survives(HALF_DEAD);
}

/// Two backends of this process and one of its own.
fn with_a_process(third: &ProcessBackend) -> (Vec<Backend>, Gateway) {
    let well = Arc::new(AtomicU8::new(WELL));
    let two: Vec<_> = (0..2).map(|_| Backend::start(moody(&well))).collect();
    let gateway = before_all(&[two[0].address(), two[1].address(), third.address()]);
    (two, gateway)
}

#[test]
fn a_process_that_is_stopped() {
    let third = ProcessBackend::start();
    let (_two, gateway) = with_a_process(&third);
    let (stop, go_on) = (|| third.signal(Signal::Stop), || third.signal(Signal::Cont));
    notices_nothing(&gateway, third.address(), stop, go_on);
}

#[test]
fn a_process_that_is_killed_and_started_again() {
    let mut third = ProcessBackend::start();
    let (_two, gateway) = with_a_process(&third);
    let ill = third.address();
    let load = Load::start(&gateway);
    wait_health(&gateway, ill, "healthy");
    load.serves(50);
    third.kill();
    wait_health(&gateway, ill, "unhealthy");
    load.serves(100);
    third.revive();
    wait_health(&gateway, ill, "healthy");
    // And at once, before anybody has found out.
    third.kill();
    third.revive();
    load.serves(100);
    assert_eq!(load.end(), Vec::<u16>::new(), "not one request failed");
}

#[test]
fn a_machine_whose_packets_vanish() {
    let network = match Network::make() {
        Ok(network) => network,
        Err(reason) => return eprintln!("SKIPPED, there can be no network of our own: {reason}"),
    };
    let third = ProcessBackend::start_within(&network.within(), network.address());
    let (_two, gateway) = with_a_process(&third);
    let (swallow, pass_on) = (|| network.swallow(), || network.pass_on());
    notices_nothing(&gateway, third.address(), swallow, pass_on);
}

#[test]
fn one_that_is_killed_and_restarted() {
    let mood = Arc::new(AtomicU8::new(WELL));
    let mut backends: Vec<_> = (0..3).map(|_| Backend::start(moody(&mood))).collect();
    let gateway = before(&backends);
    let load = Load::start(&gateway);
    let ill = backends[2].address();
    wait_health(&gateway, ill, "healthy");
    for _ in 0..2 {
        load.serves(50);
        let refuser = backends.remove(2).kill();
        wait_health(&gateway, ill, "unhealthy");
        load.serves(50);
        backends.push(refuser.revive(moody(&mood)));
        wait_health(&gateway, ill, "healthy");
    }
    assert_eq!(load.end(), Vec::<u16>::new(), "not one request failed");
}

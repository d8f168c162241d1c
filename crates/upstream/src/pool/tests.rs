//! Pools with real connections, of which nobody reads what is sent.

use super::*;
use foregate_eventloop::{block_on, yield_now};
use foregate_telemetry::metrics::Registry;
use std::net::{IpAddr, Ipv4Addr, TcpListener};

/// Any port of this machine.
pub(super) const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Limits that bound next to nothing.
pub(super) fn wide() -> PoolLimits {
    PoolLimits {
        idle_max: 8,
        is_bounded: false,
        pending_max: 8,
        idle_timeout: Duration::from_secs(60),
        keep_alive: None,
        congestion: Congestion::Auto,
        requests_max: None,
        proxy_protocol: None,
        protocol: Protocol::Http1,
        http2: Http2Limits::default(),
    }
}

/// A pool before a listener.
pub(super) fn before(listener: &TcpListener, seats: &Arc<Seats>, limits: PoolLimits) -> Rc<Pool> {
    let endpoint = Arc::new(Endpoint::new("a:1", 1));
    let address = Some(listener.local_addr().unwrap());
    let shard = Registry::new(&["fine"]).shard();
    let (id, seats) = (EndpointId::OTHER, Arc::clone(seats));
    Pool::new(endpoint, address, id, shard, seats, limits)
}

/// Runs a story as a worker runs its tasks.
pub(super) fn within<F: Future<Output = ()>>(story: impl FnOnce() -> F) {
    block_on(story()).unwrap();
}

/// It was dialled when a reload had overtaken it, so that it is nobody else's; then its request could not be sent on it.
#[test]
fn a_shared_connection_that_nobody_will_use_is_closed() {
    within(|| async {
        let listener = TcpListener::bind(NOBODY).unwrap();
        let limits = PoolLimits {
            protocol: Protocol::Http2,
            ..wide()
        };
        let pool = before(&listener, &Arc::default(), limits);
        let Checkout::Connect(ticket) = pool.checkout(Use::Requests, false) else {
            panic!("there is none yet");
        };
        pool.retire();
        let connecting = Pool::connect(ticket, Use::Requests, NOBODY, NOBODY);
        let connection = connecting.await.unwrap();
        assert_eq!(pool.open.get(), 1);
        drop(connection);
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(pool.open.get(), 0);
    });
}

/// The dialler's time is over and nothing has come: others need not wait for SETTINGS that may never come.
#[test]
fn a_connection_that_nobody_is_heard_on_is_waited_for_no_more() {
    within(|| async {
        let listener = TcpListener::bind(NOBODY).unwrap();
        let limits = PoolLimits {
            protocol: Protocol::Http2,
            ..wide()
        };
        let pool = before(&listener, &Arc::default(), limits);
        let Checkout::Connect(ticket) = pool.checkout(Use::Requests, false) else {
            panic!("there is none yet");
        };
        let connecting = Pool::connect(ticket, Use::Requests, NOBODY, NOBODY);
        let Connection(Carrier::Http2(lease)) = connecting.await.unwrap() else {
            panic!("it speaks HTTP/2");
        };
        let waits = matches!(pool.checkout(Use::Requests, false), Checkout::Full);
        assert!(waits, "it may have room for all");
        lease.shared().forsake();
        lease.shared().forsake();
        let dials = matches!(pool.checkout(Use::Requests, false), Checkout::Connect(_));
        assert!(dials);
        assert_eq!(pool.dialling.get(), 0);
    });
}

/// A reload turned the PROXY protocol on or off: what was opened the other way speaks for the wrong client, or for none, and
/// carries no new request.
#[test]
fn connections_from_before_the_proxy_protocol_changed_are_not_used() {
    within(|| async {
        for (protocol, before_version, version) in [
            (Protocol::Http1, None, Some(1)),
            (Protocol::Http1, Some(2), None),
            (Protocol::Http2, None, Some(2)),
        ] {
            let listener = TcpListener::bind(NOBODY).unwrap();
            let limits = |proxy_protocol| PoolLimits {
                protocol,
                proxy_protocol,
                ..wide()
            };
            let pool = before(&listener, &Arc::default(), limits(before_version));
            let mut busy = Vec::new();
            for _ in 0..2 {
                let Checkout::Connect(ticket) = pool.checkout(Use::Requests, false) else {
                    break;
                };
                let connecting = Pool::connect(ticket, Use::Requests, NOBODY, NOBODY);
                busy.push(connecting.await.unwrap());
            }
            // One is idle when the change comes, the other is given back after it.
            give_back(busy.pop());
            pool.set_limits(limits(version));
            give_back(busy.pop());
            let is_new = matches!(pool.checkout(Use::Requests, false), Checkout::Connect(_));
            assert!(is_new, "{protocol:?}, {before_version:?} to {version:?}");
        }
    });
}

fn give_back(connection: Option<Connection>) {
    match connection {
        Some(Connection(Carrier::Http1(one))) => Pool::check_in(one),
        other => drop(other),
    }
}

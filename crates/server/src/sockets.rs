//! Listening sockets: all bound before anything is started or changed.

use crate::inherit::{Inherited, Passed};
use foregate_downstream::{Admission, AdmissionLimits, bind, is_free};
use foregate_message::Congestion;
use foregate_snapshot::{ListenerPlan, Snapshot};
use foregate_telemetry::metrics::{ListenerId, Registry};
use foregate_tls::{control_congestion, keep_alive, probe_congestion};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// A listener with what outlives configurations.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) plan: ListenerPlan,
    pub(crate) admission: Arc<Admission>,
    pub(crate) id: ListenerId,
    /// The addresses really bound: with the port that the system chose where 0 was asked for.
    pub(crate) bound: Vec<SocketAddr>,
    /// The workers' sockets once more, to pass them on to a successor. Let go of when no more connections are taken.
    pub(crate) held: Arc<[Passed]>,
}

/// An address could not be listened on.
#[derive(Debug)]
pub struct BindError {
    listener: Box<str>,
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError {
            listener,
            address,
            error,
        } = self;
        write!(
            f,
            "listener `{listener}` can't listen on {address}: {error}"
        )?;
        match error.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "\n  another process listens there: stop it, or give this listener another address"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "\n  ports below 1024 need the capability CAP_NET_BIND_SERVICE, or an address with a higher port"
            ),
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "\n  no interface of this machine has that address")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {}

/// Binds every address of a listener once per worker, as far as its sockets were not inherited; the result holds each
/// worker's sockets.
pub(crate) fn open(
    plan: &ListenerPlan,
    workers: usize,
    registry: &Registry,
    inherited: &mut Inherited,
) -> Result<(Listening, Vec<Vec<TcpListener>>), BindError> {
    let mut sockets: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    let mut held = Vec::new();
    for &address in &plan.addresses {
        match bind_shared(
            address,
            plan,
            &mut sockets,
            inherited.take(&plan.name, address),
        ) {
            Ok((real, copies)) => {
                bound.push(real);
                held.extend(copies);
            }
            // A default that this machine has no family for is not missed.
            Err(error) if plan.implied && is_family_missing(&error) && plan.addresses.len() > 1 => {
            }
            Err(error) => {
                return Err(BindError {
                    listener: plan.name.clone(),
                    address,
                    error,
                });
            }
        }
    }
    let listening = Listening {
        admission: Admission::new(limits(plan)),
        id: registry.listener(&plan.name),
        plan: plan.clone(),
        bound,
        held: held.into(),
    };
    Ok((listening, sockets))
}

/// Looks whether somebody else listens where listeners are to, before any of them is bound: sockets that share an address are
/// no fault to the system. Ports that `is_ours` knows are passed over.
///
/// # Errors
/// The first address that is taken. Whatever else is wrong with one shows when it is bound.
pub(crate) fn must_be_free<'p>(
    plans: impl Iterator<Item = &'p ListenerPlan>,
    is_ours: impl Fn(u16) -> bool,
) -> Result<(), BindError> {
    for plan in plans {
        for &address in &plan.addresses {
            if address.port() == 0 || is_ours(address.port()) {
                continue;
            }
            match is_free(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(BindError {
                        listener: plan.name.clone(),
                        address,
                        error,
                    });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Looks whether the kernel gives what a configuration asks to be sent by, before anything is changed.
///
/// # Errors
/// Who asks for what it doesn't give, and what it would give.
pub(crate) fn congestion_must_be_known(snapshot: &Snapshot) -> Result<(), String> {
    let of_listeners = snapshot
        .listeners
        .iter()
        .map(|plan| ("listener", &*plan.name, plan.congestion));
    let of_upstreams = snapshot
        .upstreams
        .iter()
        .map(|plan| ("upstream", &*plan.name, plan.congestion));
    for (what, name, congestion) in of_listeners.chain(of_upstreams) {
        let Congestion::Named(algorithm) = congestion else {
            continue;
        };
        let algorithm = algorithm.as_str();
        if let Err(error) = probe_congestion(algorithm) {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "the kernel has none of that name".to_owned(),
                io::ErrorKind::PermissionDenied => "the kernel keeps it for root".to_owned(),
                _ => error.to_string(),
            };
            return Err(format!(
                "{what} `{name}` can't have the congestion control `{algorithm}`: {why}\n  {}",
                choice_of_congestion()
            ));
        }
    }
    Ok(())
}

/// What may be had instead, and how others come to be had.
#[expect(
    clippy::disallowed_methods,
    reason = "read at the start and by the control thread, and /proc is memory"
)]
fn choice_of_congestion() -> String {
    let allowed = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_allowed_congestion_control");
    match allowed {
        Ok(names) => format!(
            "everyone may have {}; others may be a module to load, or to be allowed in \
             net.ipv4.tcp_allowed_congestion_control",
            names.split_whitespace().collect::<Vec<_>>().join(", ")
        ),
        Err(_) => "`auto` and `system` can always be had".to_owned(),
    }
}

/// The first address of each listener, with the port that the system chose, by the listener's number.
pub(crate) fn ports(listening: &[Listening]) -> HashMap<u32, SocketAddr> {
    let first = |one: &Listening| Some((one.plan.number, *one.bound.first()?));
    listening.iter().filter_map(first).collect()
}

/// The connection limits of a listener.
fn limits(plan: &ListenerPlan) -> AdmissionLimits {
    AdmissionLimits {
        connections_max: plan.connections_max,
        connections_per_client_max: plan.connections_per_client_max,
    }
}

/// Has a listening socket's future connections probed and sent to as its plan says.
fn set_options(socket: &TcpListener, address: SocketAddr, plan: &ListenerPlan) {
    // Clients that can't be probed are served all the same.
    let _ = keep_alive(socket, plan.keep_alive);
    // What a plan names was looked for before; and a socket that is kept may have had another one.
    let _ = control_congestion(socket, plan.congestion.of(address.ip()));
}

impl Listening {
    /// Takes up the limits of its plan, which may be newer than it is; open connections are probed as before.
    pub(crate) fn follow_plan(&self) {
        self.admission.set_limits(limits(&self.plan));
        for passed in self.held.iter() {
            set_options(&passed.socket, passed.asked, &self.plan);
        }
    }
}

/// Each worker's sockets of one address: the address really bound, and the sockets once more.
fn bind_shared(
    address: SocketAddr,
    plan: &ListenerPlan,
    sockets: &mut [Vec<TcpListener>],
    inherited: Vec<TcpListener>,
) -> io::Result<(SocketAddr, Vec<Passed>)> {
    let backlog = i32::try_from(plan.backlog).unwrap_or(i32::MAX);
    let mut real = address;
    let mut held = Vec::new();
    let mut hold = |socket: &TcpListener| {
        set_options(socket, address, plan);
        socket.try_clone().map(|socket| {
            held.push(Passed {
                listener: Some(plan.name.clone()),
                asked: address,
                socket,
            })
        })
    };
    let mut first = None;
    let count = inherited.len();
    // All of them are served, however many workers there are: somebody may wait at each.
    for (at, socket) in inherited.into_iter().enumerate() {
        real = socket.local_addr()?;
        hold(&socket)?;
        if first.is_none() {
            first = Some(socket.try_clone()?);
        }
        sockets[at % sockets.len()].push(socket);
    }
    for of_worker in sockets.iter_mut().skip(count) {
        let socket = match (bind(real, backlog), &first) {
            (Ok(socket), _) => socket,
            // A socket of somebody else's making may be the only one that its address can have: workers share it.
            (Err(_), Some(first)) => first.try_clone()?,
            (Err(error), None) => return Err(error),
        };
        real = socket.local_addr()?;
        hold(&socket)?;
        of_worker.push(socket);
    }
    Ok((real, held))
}

fn is_family_missing(error: &io::Error) -> bool {
    // EAFNOSUPPORT and EADDRNOTAVAIL.
    matches!(error.raw_os_error(), Some(97 | 99))
}

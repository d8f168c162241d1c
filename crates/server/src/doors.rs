//! Doors: where the admin API is asked, over TCP and in the file system.

use crate::inherit::{ADMIN, Inherited, process_behind};
use crate::start::StartError;
use foregate_admin::{Doors, LocalDoor};
use foregate_snapshot::{AdminSocketPlan, Snapshot};
use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// What is still to be done until this process is the one that is found. Until it serves, whoever was there before is.
#[derive(Debug)]
pub(crate) struct Placing {
    tcp: Option<Beside>,
    local: Option<LocalPlacing>,
}

/// A socket that is bound and does not listen yet: at a part of the address where the sockets of before do.
#[derive(Debug)]
struct Beside {
    address: SocketAddr,
    socket: TcpListener,
    before: Vec<TcpListener>,
}

/// What is to be done at the path of the socket in the file system.
#[derive(Debug)]
struct LocalPlacing {
    plan: AdminSocketPlan,
    /// Where the socket is until then; nowhere else where it was inherited.
    beside: Option<PathBuf>,
}

/// Opens what a configuration asks for, if it does.
///
/// # Errors
/// It can't be had.
pub(crate) fn open(
    snapshot: &Snapshot,
    inherited: &mut Inherited,
) -> Result<(Option<Doors>, Option<Placing>), StartError> {
    let Some(plan) = &snapshot.admin else {
        return Ok((None, None));
    };
    let (tcp, beside) = open_tcp(plan.address, inherited)
        .map_err(|error| StartError::Admin(plan.address, error))?;
    let local = plan
        .socket
        .as_ref()
        .map(|plan| open_local(plan, inherited).map_err(|problem| refuse_local(plan, &problem)));
    let (local, local_placing) = local.transpose()?.unzip();
    let doors = Doors {
        tcp,
        // Is there once certificates are.
        tls: None,
        local,
    };
    let placing = Placing {
        tcp: beside,
        local: local_placing,
    };
    Ok((Some(doors), Some(placing)))
}

fn refuse_local(plan: &AdminSocketPlan, problem: &dyn std::fmt::Display) -> StartError {
    let shown = plan.path.display();
    StartError::AdminSocket(format!("the admin API can't listen on {shown}: {problem}"))
}

/// The socket that was inherited for the address, or another one. What one is called by who passes it on is believed
/// only if it listens there: the API may be for those alone who reach that address.
fn open_tcp(
    address: SocketAddr,
    inherited: &mut Inherited,
) -> io::Result<(TcpListener, Option<Beside>)> {
    let mut found = inherited.take(ADMIN, address);
    found.extend(inherited.take_rest(ADMIN));
    if let Some(at) = found.iter().position(|socket| listens_at(socket, address)) {
        return Ok((found.swap_remove(at), None));
    }
    match bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // Perhaps it is the predecessor, who listens at an address that comprises this one.
            let is_near = |socket: &TcpListener| {
                (socket.local_addr()).is_ok_and(|at| at.port() == address.port())
            };
            found.retain(is_near);
            match found.is_empty() {
                true => Err(error),
                false => bind_beside(address, found).map_err(|_| error),
            }
        }
        bound => Ok((bound?, None)),
    }
}

fn listens_at(socket: &TcpListener, address: SocketAddr) -> bool {
    let is_it = |at: SocketAddr| {
        at.ip() == address.ip() && (address.port() == 0 || at.port() == address.port())
    };
    socket.local_addr().is_ok_and(is_it)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Binds where the admin API's own socket of before is in the way. It goes on to take all who knock, until
/// [`Beside::listen`].
fn bind_beside(
    address: SocketAddr,
    before: Vec<TcpListener>,
) -> io::Result<(TcpListener, Option<Beside>)> {
    let socket = with_consent(&before, || {
        let socket = bind_sharing(address)?;
        set_socket_reuseport(&socket, false)?;
        Ok(socket)
    })?;
    let beside = Beside {
        address,
        socket: socket.try_clone()?,
        before,
    };
    Ok((socket, Some(beside)))
}

/// Does something that needs the consent of those who listen to share their port. It is taken back at once: a process of
/// the same user must not come upon the port by accident.
fn with_consent<T>(before: &[TcpListener], done: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let consent = |is_given: bool| {
        let mut each = before.iter();
        each.try_for_each(|socket| set_socket_reuseport(socket, is_given))
    };
    consent(true)?;
    let outcome = done();
    consent(false)?;
    outcome
}

impl Beside {
    /// Takes who knocks at its address from now on.
    fn listen(&self) -> io::Result<()> {
        with_consent(&self.before, || {
            set_socket_reuseport(&self.socket, true)?;
            rustix::net::listen(&self.socket, BACKLOG)?;
            Ok(set_socket_reuseport(&self.socket, false)?)
        })
    }
}

fn bind_sharing(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address.is_ipv4() {
        true => AddressFamily::INET,
        false => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}

/// The socket that was inherited for the path, or another one, made beside it.
fn open_local(
    plan: &AdminSocketPlan,
    inherited: &mut Inherited,
) -> Result<(LocalDoor, LocalPlacing), String> {
    let told = |error: io::Error| error.to_string();
    let mut listener = None;
    match fs::symlink_metadata(&plan.path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err("there is a file that is no socket".to_owned());
        }
        Ok(_) => listener = UnixStream::connect(&plan.path).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(told(error)),
    }
    // One whose file has been taken away is of no use any more.
    let taken_over = (inherited.take_local(&plan.path)).filter(|_| listener.is_some());
    let is_same = |listener: &UnixStream| {
        let own = taken_over.as_ref().and_then(process_behind);
        own.is_some() && own == process_behind(listener)
    };
    if let Some(listener) = &listener
        && !is_same(listener)
        && !inherited.is_from_whom(listener)
    {
        return Err("another process listens there".to_owned());
    }
    let owner = (!plan.is_for_group).then(|| rustix::process::geteuid().as_raw());
    let (socket, beside) = match taken_over {
        Some(socket) => (socket, None),
        None => {
            let (socket, beside) = make_local(plan).map_err(told)?;
            (socket, Some(beside))
        }
    };
    let plan = plan.clone();
    Ok((LocalDoor { socket, owner }, LocalPlacing { plan, beside }))
}

fn make_local(plan: &AdminSocketPlan) -> io::Result<(UnixListener, PathBuf)> {
    let mut beside = plan.path.clone().into_os_string();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, mode(plan))?;
    Ok((socket, beside))
}

fn mode(plan: &AdminSocketPlan) -> Permissions {
    Permissions::from_mode(if plan.is_for_group { 0o660 } else { 0o600 })
}

/// Its owner may be another by now who is fine with its mode.
fn set_mode(plan: &AdminSocketPlan) -> io::Result<()> {
    let is = fs::metadata(&plan.path)?.permissions().mode() & 0o777;
    match is == mode(plan).mode() & 0o777 {
        true => Ok(()),
        false => fs::set_permissions(&plan.path, mode(plan)),
    }
}

impl Placing {
    /// Has this process be the one that is found, without a moment in which nobody is.
    ///
    /// # Errors
    /// It can't be.
    pub(crate) fn place(self) -> Result<(), StartError> {
        if let Some(LocalPlacing { plan, beside }) = self.local {
            let done = match &beside {
                Some(beside) => fs::rename(beside, &plan.path),
                None => set_mode(&plan),
            };
            done.map_err(|error| refuse_local(&plan, &error))?;
        }
        self.tcp.map_or(Ok(()), |beside| {
            let address = beside.address;
            (beside.listen()).map_err(|error| StartError::Admin(address, error))
        })
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a client on the thread of a test"
)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_socket_that_listens_elsewhere_is_not_taken_for_what_it_is_called() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = everywhere.local_addr().unwrap().port();
        assert!(listens_at(&everywhere, at("0.0.0.0:0")));
        assert!(listens_at(
            &everywhere,
            SocketAddr::new([0, 0, 0, 0].into(), port)
        ));
        assert!(!listens_at(
            &everywhere,
            SocketAddr::new([127, 0, 0, 1].into(), port)
        ));
        assert!(!listens_at(&everywhere, at("127.0.0.1:0")));
        assert!(!listens_at(&everywhere, at("0.0.0.0:1")));
    }

    #[test]
    fn a_part_of_the_predecessors_address_can_be_had_while_it_listens() {
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = everywhere.local_addr().unwrap().port();
        let loopback = SocketAddr::new([127, 0, 0, 1].into(), port);
        assert!(bind(loopback).is_err());
        assert!(open_tcp(loopback, &mut Inherited::default()).is_err());
        let mut inherited = Inherited::of_admin(everywhere.try_clone().unwrap(), loopback);
        // It is called by another address than its own.
        let (opened, beside) = open_tcp(loopback, &mut inherited).unwrap();
        assert_eq!(opened.local_addr().unwrap(), loopback);
        assert!(bind(loopback).is_err(), "nobody else is let in unasked");
        everywhere.set_nonblocking(true).unwrap();
        let _early = TcpStream::connect(loopback).unwrap();
        assert!(
            everywhere.accept().is_ok(),
            "until the new one serves, the one before answers"
        );
        beside.unwrap().listen().unwrap();
        let _client = TcpStream::connect(loopback).unwrap();
        assert!(
            everywhere.accept().is_err(),
            "it goes to the one that is meant"
        );
        assert!(bind(loopback).is_err(), "nobody else is let in unasked");
    }
}

//! Doors: where the admin API is asked, over TCP and in the file system.

use crate::inherit::{ADMIN, Inherited};
use crate::start::StartError;
use foregate_admin::{Doors, LocalDoor};
use foregate_snapshot::{AdminSocketPlan, Snapshot};
use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

/// Opens what a configuration asks for, if it does.
///
/// # Errors
/// It can't be had.
pub(crate) fn open(
    snapshot: &Snapshot,
    inherited: &mut Inherited,
) -> Result<Option<Doors>, StartError> {
    let Some(plan) = &snapshot.admin else {
        return Ok(None);
    };
    let tcp = match inherited.take(ADMIN, plan.address).pop() {
        Some(socket) => socket,
        None => bind(plan.address).map_err(|error| StartError::Admin(plan.address, error))?,
    };
    let is_successor = inherited.is_successor();
    let local = plan.socket.as_ref().map(|plan| {
        open_local(plan, is_successor).map_err(|problem| {
            let shown = plan.path.display();
            StartError::AdminSocket(format!("the admin API can't listen on {shown}: {problem}"))
        })
    });
    Ok(Some(Doors {
        tcp,
        // Is there once certificates are.
        tls: None,
        local: local.transpose()?,
    }))
}

fn bind(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Makes the socket beside its path and moves it there, so that a successor takes over without a moment in which nobody
/// listens.
fn open_local(plan: &AdminSocketPlan, is_successor: bool) -> Result<LocalDoor, String> {
    let told = |error: io::Error| error.to_string();
    match fs::symlink_metadata(&plan.path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err("there is a file that is no socket".to_owned());
        }
        Ok(_) if !is_successor && UnixStream::connect(&plan.path).is_ok() => {
            return Err("another process listens there".to_owned());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(told(error)),
    }
    let mut beside = plan.path.clone().into_os_string();
    beside.push(".new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error)),
        _ => {}
    }
    let socket = UnixListener::bind(&beside).map_err(told)?;
    let mode = if plan.is_for_group { 0o660 } else { 0o600 };
    fs::set_permissions(&beside, Permissions::from_mode(mode)).map_err(told)?;
    fs::rename(&beside, &plan.path).map_err(told)?;
    let owner = (!plan.is_for_group).then(|| rustix::process::geteuid().as_raw());
    Ok(LocalDoor { socket, owner })
}

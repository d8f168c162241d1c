//! What a process finds when it starts: the listening sockets of the one that it replaces, or of systemd.
//!
//! ```text
//! old process ── socket pair, as standard input ──► new process
//!       sockets (SCM_RIGHTS) and what no file keeps ──►
//!                                           ◄── "ready", once it serves
//! ```
//!
//! A socket that is passed on stays one and the same queue in the kernel: whoever knocks is let in by either process,
//! and nobody is turned away in between.

#![expect(
    clippy::disallowed_methods,
    reason = "read and written at the start, before anything is served, and by a thread of an upgrade's own"
)]

use crate::estate::{Estate, Secrets};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::Pid;
use serde_json::{Value, json};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Set for a process that finds the old one's sockets at its standard input.
pub(crate) const VARIABLE: &str = "FOREGATE_UPGRADE";

/// What a new process says once it serves.
pub(crate) const READY: &[u8] = b"ready\n";

/// What it says when it ends as it was told to, or once another one serves in its place: it is not to be missed.
pub(crate) const DONE: &[u8] = b"done\n";

/// The form of what is passed on; processes of other forms don't take over from each other.
const VERSION: u64 = 2;

/// Sockets in one message: fewer than the kernel's limit, 253.
const SOCKETS_PER_MESSAGE: usize = 64;

/// Sockets that are taken over: more than any machine has workers times listeners.
const SOCKETS_MAX: usize = 64 * 1024;

/// Bytes of what is passed on beside the sockets.
const STATE_BYTES_MAX: usize = 256 << 20;

/// Bytes of secrets that are passed on.
const SECRET_BYTES_MAX: usize = 4096;

/// How long the old process may take to pass everything on.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The name under which the admin API's socket is passed on, which no listener can have.
pub(crate) const ADMIN: &str = "";

/// A socket that listens, and what the configuration has it for.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The listener's name; `None` where only the address is known.
    pub(crate) listener: Option<Box<str>>,
    /// The address as the configuration has it.
    pub(crate) asked: SocketAddr,
    pub(crate) socket: TcpListener,
}

impl Passed {
    /// The socket once more.
    pub(crate) fn try_clone(&self) -> io::Result<Passed> {
        Ok(Passed {
            listener: self.listener.clone(),
            asked: self.asked,
            socket: self.socket.try_clone()?,
        })
    }
}

/// A socket in the file system that listens.
#[derive(Debug)]
pub(crate) struct PassedLocal {
    /// Where it is.
    pub(crate) path: PathBuf,
    pub(crate) socket: UnixListener,
}

impl PassedLocal {
    /// The socket once more.
    pub(crate) fn try_clone(&self) -> io::Result<PassedLocal> {
        Ok(PassedLocal {
            path: self.path.clone(),
            socket: self.socket.try_clone()?,
        })
    }
}

/// All that is passed on of sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) tcp: Vec<Passed>,
    /// The admin API's in the file system.
    pub(crate) local: Option<PassedLocal>,
}

/// What there is to take over.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Sockets,
    /// What was changed through the admin API.
    pub(crate) wishes: Option<Value>,
    /// The configurations that were in force.
    pub(crate) history: Option<Value>,
    /// What was known of endpoints.
    pub(crate) learnt: Value,
    /// What no file keeps.
    pub(crate) secrets: Option<Secrets>,
    /// Who waits to hear that this process serves.
    predecessor: Option<UnixStream>,
}

impl Inherited {
    /// What this process finds.
    ///
    /// # Errors
    /// There is something, and it can't be taken over.
    pub(crate) fn find() -> io::Result<Inherited> {
        if std::env::var_os(VARIABLE).is_some() {
            let stdin = io::stdin().as_fd().try_clone_to_owned()?;
            return receive(UnixStream::from(stdin));
        }
        let mut found = Inherited::default();
        let mut given = listenfd::ListenFd::from_env();
        for at in 0..given.len() {
            // Sockets of other kinds are of no use here.
            if let Ok(Some(socket)) = given.take_tcp_listener(at) {
                socket.set_nonblocking(true)?;
                let asked = socket.local_addr()?;
                found.sockets.tcp.push(Passed {
                    listener: None,
                    asked,
                    socket,
                });
            }
        }
        Ok(found)
    }

    /// Whether the process at the other end of a socket is the one that waits to hear that this one serves.
    pub(crate) fn is_from_whom(&self, other: &UnixStream) -> bool {
        // Of a pair of sockets it is told who made it.
        let from = self.predecessor.as_ref().and_then(process_behind);
        from.is_some() && from == process_behind(other)
    }

    /// Whether a socket listens at a port, whatever its address and whoseever it is.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.sockets.tcp.iter().any(|one| one.asked.port() == port)
    }

    /// Takes the sockets of an address of a listener.
    pub(crate) fn take(&mut self, listener: &str, address: SocketAddr) -> Vec<TcpListener> {
        let (found, left) = std::mem::take(&mut self.sockets.tcp)
            .into_iter()
            .partition(|one| {
                one.asked == address && one.listener.as_deref().is_none_or(|name| name == listener)
            });
        self.sockets.tcp = left;
        found.into_iter().map(|one: Passed| one.socket).collect()
    }

    /// Takes the sockets that are left of a listener, whatever their addresses.
    pub(crate) fn take_rest(&mut self, listener: &str) -> Vec<TcpListener> {
        let of_it = |one: &mut Passed| one.listener.as_deref() == Some(listener);
        let found = self.sockets.tcp.extract_if(.., of_it);
        found.map(|one| one.socket).collect()
    }

    /// Takes the socket that listens at a path.
    pub(crate) fn take_local(&mut self, path: &Path) -> Option<UnixListener> {
        let found = self.sockets.local.take_if(|local| local.path == path);
        found.map(|local| local.socket)
    }

    /// One that finds a socket of the admin API.
    #[cfg(test)]
    pub(crate) fn of_admin(socket: TcpListener, asked: SocketAddr) -> Inherited {
        let mut inherited = Inherited::default();
        inherited.sockets.tcp.push(Passed {
            listener: Some(ADMIN.into()),
            asked,
            socket,
        });
        inherited
    }

    /// Tells the old process that this one serves. Sockets that nobody took are closed.
    pub(crate) fn serve(mut self) -> io::Result<()> {
        match &mut self.predecessor {
            Some(stream) => stream.write_all(READY),
            None => Ok(()),
        }
    }

    /// The old process, for as long as it is to hear of this one.
    pub(crate) fn predecessor(&self) -> io::Result<Predecessor> {
        let stream = self.predecessor.as_ref().map(UnixStream::try_clone);
        Ok(Predecessor(stream.transpose()?))
    }
}

/// The process that has made a pair of sockets, or was the first to listen at the one that this is connected to, or is.
pub(crate) fn process_behind(socket: &impl AsFd) -> Option<Pid> {
    let credentials = rustix::net::sockopt::socket_peercred(socket);
    credentials.ok().map(|credentials| credentials.pid)
}

/// Who is told that this process need not be missed, if anybody is.
#[derive(Debug)]
pub(crate) struct Predecessor(Option<UnixStream>);

impl Predecessor {
    /// Tells it.
    pub(crate) fn be_done(&mut self) {
        if let Some(mut stream) = self.0.take() {
            // It may have ended long since.
            let _ = stream.write_all(DONE);
        }
    }
}

/// Passes sockets on, and what no file keeps.
pub(crate) fn pass(stream: &UnixStream, sockets: &Sockets, estate: &Estate) -> io::Result<()> {
    let path = |local: &PassedLocal| Some(local.path.to_str()?.to_owned());
    let local = sockets
        .local
        .as_ref()
        .and_then(|one| Some((path(one)?, one)));
    let asked: Vec<Value> = (sockets.tcp)
        .iter()
        .map(|one| json!([one.listener, one.asked.to_string()]))
        .collect();
    let state = json!({
        "version": VERSION,
        "sockets": asked,
        "local": local.as_ref().map(|(path, _)| path),
        "endpoints": estate.wishes,
        "history": estate.history,
        "learnt": estate.learnt,
        "secret_bytes": estate.secrets.len(),
    });
    let state = state.to_string();
    let length = (state.len() as u64).to_be_bytes();
    let mut writer = stream;
    writer.write_all(&length)?;
    writer.write_all(state.as_bytes())?;
    // Beside the text, whose copies nobody wipes.
    writer.write_all(&estate.secrets)?;
    for some in sockets.tcp.chunks(SOCKETS_PER_MESSAGE) {
        let fds: Vec<BorrowedFd<'_>> = some.iter().map(|one| one.socket.as_fd()).collect();
        send(stream, &fds)?;
    }
    // The last one: an older program does not know of it, and leaves it where it is.
    match local {
        Some((_, local)) => send(stream, &[local.socket.as_fd()]),
        None => Ok(()),
    }
}

pub(crate) fn send(stream: &UnixStream, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_MESSAGE))];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    if !buffer.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many sockets for one message"));
    }
    // One byte goes with them, since nothing alone can't be sent.
    let sent = sendmsg(
        stream,
        &[IoSlice::new(b".")],
        &mut buffer,
        SendFlags::NOSIGNAL,
    )?;
    match sent {
        1 => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

fn receive(stream: UnixStream) -> io::Result<Inherited> {
    stream.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
    let mut length = [0; 8];
    (&stream).read_exact(&mut length)?;
    let length = usize::try_from(u64::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > STATE_BYTES_MAX {
        return Err(invalid("more is passed on than can be taken over"));
    }
    let mut state = vec![0; length];
    (&stream).read_exact(&mut state)?;
    let mut state: Value = serde_json::from_slice(&state)?;
    if state["version"] != VERSION {
        return Err(invalid(
            "the old process passes its sockets on in another form",
        ));
    }
    let secret_bytes = state["secret_bytes"].as_u64();
    let secret_bytes = secret_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let secret_bytes = secret_bytes
        .filter(|&bytes| bytes <= SECRET_BYTES_MAX)
        .ok_or_else(|| invalid("it is not said how long the secrets are"))?;
    let mut secrets = Zeroizing::new(vec![0; secret_bytes]);
    (&stream).read_exact(&mut secrets)?;
    let asked = addresses(&state["sockets"])?;
    let mut found = Vec::new();
    while found.len() < asked.len() {
        let before = found.len();
        receive_some(&stream, &mut found)?;
        if found.len() == before || found.len() > asked.len() {
            return Err(invalid("other sockets came than were announced"));
        }
    }
    let local = match state["local"].as_str() {
        Some(path) => Some(receive_local(&stream, path)?),
        None => None,
    };
    let mut sockets = Vec::new();
    for ((listener, asked), fd) in asked.into_iter().zip(found) {
        let socket = TcpListener::from(fd);
        socket.set_nonblocking(true)?;
        sockets.push(Passed {
            listener,
            asked,
            socket,
        });
    }
    Ok(Inherited {
        sockets: Sockets {
            tcp: sockets,
            local,
        },
        wishes: Some(state["endpoints"].take()),
        // Processes of older programs have none.
        history: Some(state["history"].take()).filter(|history| !history.is_null()),
        learnt: state["learnt"].take(),
        secrets: Secrets::from_bytes(&secrets),
        predecessor: Some(stream),
    })
}

fn receive_local(stream: &UnixStream, path: &str) -> io::Result<PassedLocal> {
    let mut found = Vec::new();
    receive_some(stream, &mut found)?;
    match (found.pop(), found.is_empty()) {
        (Some(fd), true) => Ok(PassedLocal {
            path: path.into(),
            socket: UnixListener::from(fd),
        }),
        _ => Err(invalid("other sockets came than were announced")),
    }
}

fn addresses(listed: &Value) -> io::Result<Vec<(Option<Box<str>>, SocketAddr)>> {
    let listed = listed.as_array().filter(|list| list.len() <= SOCKETS_MAX);
    let listed = listed.ok_or_else(|| invalid("no list of sockets came"))?;
    let parsed = listed.iter().map(|one| {
        let address = one[1].as_str()?.parse().ok()?;
        Some((one[0].as_str().map(Box::from), address))
    });
    parsed
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| invalid("a socket's address can't be read"))
}

pub(crate) fn receive_some(stream: &UnixStream, found: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_MESSAGE))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let parts = &mut [IoSliceMut::new(&mut byte)];
    let got = recvmsg(stream, parts, &mut buffer, RecvFlags::CMSG_CLOEXEC)?;
    if got.bytes == 0 || got.flags.contains(ReturnFlags::CTRUNC) {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    for message in buffer.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            found.extend(fds);
        }
    }
    Ok(())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn listener() -> Passed {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = "127.0.0.1:0".parse().unwrap();
        Passed {
            listener: Some("public".into()),
            asked,
            socket,
        }
    }

    #[test]
    fn sockets_arrive_with_those_who_wait_at_them() {
        let (old, new) = UnixStream::pair().unwrap();
        // More than fit into one message.
        let sockets: Vec<Passed> = (0..SOCKETS_PER_MESSAGE + 3).map(|_| listener()).collect();
        let addresses: Vec<_> = sockets
            .iter()
            .map(|one| one.socket.local_addr().unwrap())
            .collect();
        let early: Vec<TcpStream> = addresses
            .iter()
            .map(|at| TcpStream::connect(at).unwrap())
            .collect();
        let wishes = json!({ "app": [] });
        let history = json!({ "versions": [] });
        let secrets = Secrets {
            tickets: Zeroizing::new(vec![7; 40]),
            ..Secrets::default()
        };
        let estate = Estate {
            wishes: wishes.clone(),
            history: history.clone(),
            learnt: json!({ "app": [] }),
            secrets: secrets.to_bytes(),
        };
        let folder = std::env::temp_dir().join(format!("foregate-inherit-{}", std::process::id()));
        let _ = std::fs::remove_file(&folder);
        let sockets = Sockets {
            tcp: sockets,
            local: Some(PassedLocal {
                path: folder.clone(),
                socket: UnixListener::bind(&folder).unwrap(),
            }),
        };
        pass(&old, &sockets, &estate).unwrap();
        drop(sockets);
        let mut inherited = receive(new).unwrap();
        assert!(inherited.take_local(Path::new("/another")).is_none());
        let local = inherited.take_local(&folder).unwrap();
        let _client = UnixStream::connect(&folder).unwrap();
        local.accept().unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(inherited.wishes, Some(wishes));
        assert_eq!(inherited.history, Some(history));
        assert_eq!(inherited.learnt, json!({ "app": [] }));
        let secrets = inherited.secrets.take().unwrap();
        assert_eq!(&secrets.tickets[..], &[7; 40]);
        let asked = "127.0.0.1:0".parse().unwrap();
        assert!(inherited.take(ADMIN, asked).is_empty(), "another's");
        let taken = inherited.take("public", asked);
        assert_eq!(taken.len(), addresses.len());
        assert!(inherited.take("public", asked).is_empty());
        assert!(inherited.take_rest("public").is_empty());
        for ((socket, at), early) in taken.iter().zip(&addresses).zip(&early) {
            assert_eq!(socket.local_addr().unwrap(), *at);
            let (_, from) = socket.accept().unwrap();
            assert_eq!(from, early.local_addr().unwrap());
        }
        inherited.serve().unwrap();
        let mut told = [0; READY.len()];
        (&old).read_exact(&mut told).unwrap();
        assert_eq!(told, READY);
    }

    #[test]
    fn another_form_and_a_broken_one_are_refused() {
        for (state, sockets) in [
            (json!({ "version": 1, "sockets": [], "secret_bytes": 0 }), 0),
            (json!({ "version": 2, "secret_bytes": 0 }), 0),
            (json!({ "version": 2, "sockets": [] }), 0),
            (
                json!({ "version": 2, "sockets": [], "secret_bytes": 4097 }),
                0,
            ),
            (
                json!({ "version": 2, "sockets": [["a", "x"]], "secret_bytes": 0 }),
                1,
            ),
            (
                json!({ "version": 2, "sockets": [["a", "127.0.0.1:1"]], "secret_bytes": 0 }),
                2,
            ),
        ] {
            let (old, new) = UnixStream::pair().unwrap();
            let text = state.to_string();
            (&old)
                .write_all(&(text.len() as u64).to_be_bytes())
                .unwrap();
            (&old).write_all(text.as_bytes()).unwrap();
            let held: Vec<Passed> = (0..sockets).map(|_| listener()).collect();
            let fds: Vec<_> = held.iter().map(|one| one.socket.as_fd()).collect();
            if !fds.is_empty() {
                send(&old, &fds).unwrap();
            }
            assert_eq!(
                receive(new).unwrap_err().kind(),
                ErrorKind::InvalidData,
                "{state}"
            );
        }
        let (old, new) = UnixStream::pair().unwrap();
        (&old).write_all(&u64::MAX.to_be_bytes()).unwrap();
        assert_eq!(receive(new).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

//! Scripted backends: a listener whose every connection is attended by a [`Script`] on a thread of its own.

mod answer;
mod request;
mod scripts;
mod visit;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::{self, JoinHandle};

pub use answer::Answer;
pub use request::Request;
pub use scripts::{Answers, Echo, Raw, RawThenCloses};
pub use visit::Visit;

use crate::peers::ports::Refuser;
use crate::{Connection, Tls, Transport, Trouble, eventually};

/// How many requests a backend remembers; older ones are forgotten, their number is not.
const REMEMBERED_MAX: usize = 1000;

/// What a backend does with a connection.
pub trait Script: Send + Sync + 'static {
    /// Attends one connection until it ends.
    ///
    /// # Errors
    /// Whatever ended the connection early; a backend only notes it.
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble>;

    /// The receive buffer its connections shall have, in bytes; `None` for the system's choice.
    fn receive_buffer_bytes(&self) -> Option<usize> {
        None
    }
}

impl<F> Script for F
where
    F: Fn(&mut Visit) -> Result<(), Trouble> + Send + Sync + 'static,
{
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        self(visit)
    }
}

/// What the threads of one backend share.
#[derive(Debug, Default)]
pub(crate) struct Record {
    stopped: AtomicBool,
    stop_lock: Mutex<()>,
    stop_signal: Condvar,
    requests: Mutex<Vec<Request>>,
    requests_total: AtomicUsize,
    accepted: AtomicUsize,
    open: AtomicUsize,
    received_bytes: Arc<AtomicU64>,
    troubles: Mutex<Vec<Trouble>>,
    streams: Mutex<Vec<Weak<TcpStream>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("no thread of a backend panics with a lock held")
}

impl Record {
    pub(crate) fn note(&self, request: &Request) {
        let mut requests = locked(&self.requests);
        if requests.len() == REMEMBERED_MAX {
            requests.remove(0);
        }
        requests.push(request.clone());
        self.requests_total.fetch_add(1, Ordering::SeqCst);
    }

    /// Blocks until the backend is stopped.
    pub(crate) fn wait_stopped(&self) {
        let mut guard = locked(&self.stop_lock);
        while !self.stopped.load(Ordering::SeqCst) {
            guard = self
                .stop_signal
                .wait(guard)
                .expect("no thread of a backend panics with a lock held");
        }
    }

    fn stop(&self) {
        let guard = locked(&self.stop_lock);
        self.stopped.store(true, Ordering::SeqCst);
        self.stop_signal.notify_all();
        drop(guard);
        for stream in locked(&self.streams).drain(..) {
            if let Some(stream) = stream.upgrade() {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

/// A running backend; stops when dropped.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    record: Arc<Record>,
    acceptor: Option<JoinHandle<()>>,
}

impl Backend {
    /// Starts a backend on a port of the system's choice.
    pub fn start(script: impl Script) -> Self {
        Self::start_over(&Transport::Cleartext, script)
    }

    /// Starts a backend that is spoken to over some transport; what it does it does behind the handshake.
    pub fn start_over(transport: &Transport, script: impl Script) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::launch(address, transport.secrets().cloned(), script)
    }

    /// Starts a well-behaved backend that answers what `answer` makes of each request.
    pub fn answering(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(Answers(answer))
    }

    /// Starts a backend on a known address, for one that comes back.
    pub fn start_at(address: SocketAddr, script: impl Script) -> Self {
        Self::launch(address, None, script)
    }

    fn launch(address: SocketAddr, tls: Option<Arc<Tls>>, script: impl Script) -> Self {
        let listener = eventually("the backend's address is free", || {
            listen(address, script.receive_buffer_bytes())
        });
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        let acceptor =
            thread::spawn(move || accept_all(&listener, tls, &Arc::new(script), &shared));
        Self {
            address,
            record,
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests whose heads it read, oldest first (the last thousand).
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.record.requests).clone()
    }

    /// How many requests it read in all.
    pub fn requests_total(&self) -> usize {
        self.record.requests_total.load(Ordering::SeqCst)
    }

    /// Waits until it has read `count` requests and returns them.
    ///
    /// # Panics
    /// When they do not come in time.
    pub fn wait_requests(&self, count: usize) -> Vec<Request> {
        eventually(&format!("{count} requests at the backend"), || {
            (self.requests_total() >= count).then(|| self.requests())
        })
    }

    /// The one request it read.
    ///
    /// # Panics
    /// When there was none, or more than one.
    pub fn only_request(&self) -> Request {
        let mut requests = self.wait_requests(1);
        assert_eq!(requests.len(), 1, "the backend read {requests:#?}");
        requests.remove(0)
    }

    /// The newest request it read.
    ///
    /// # Panics
    /// When there was none.
    pub fn last_request(&self) -> Request {
        self.requests().pop().expect("the backend read no request")
    }

    /// How many connections it accepted so far.
    pub fn connections_accepted(&self) -> usize {
        self.record.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub fn connections_open(&self) -> usize {
        self.record.open.load(Ordering::SeqCst)
    }

    /// Waits until exactly `count` connections are open.
    ///
    /// # Panics
    /// When that does not happen in time.
    pub fn wait_connections_open(&self, count: usize) {
        eventually(&format!("{count} connections open at the backend"), || {
            (self.connections_open() == count).then_some(())
        });
    }

    /// How many bytes it received in all.
    pub fn bytes_received(&self) -> u64 {
        self.record.received_bytes.load(Ordering::SeqCst)
    }

    /// What ended connections before their script was done.
    pub fn troubles(&self) -> Vec<Trouble> {
        locked(&self.record.troubles).clone()
    }

    /// Stops it at once, all connections included; its address then refuses connections until it is revived.
    pub fn kill(mut self) -> Refuser {
        self.halt();
        Refuser::at(self.address)
    }

    fn halt(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        self.record.stop();
        // The acceptor sits in accept(2); one more connection makes it look at the stop mark.
        let _ = TcpStream::connect(self.address);
        let _ = acceptor.join();
        self.record.stop();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.halt();
    }
}

fn listen(address: SocketAddr, receive_buffer_bytes: Option<usize>) -> Option<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    socket.set_reuse_address(true).ok()?;
    if let Some(bytes) = receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes).ok()?;
    }
    socket.bind(&address.into()).ok()?;
    socket.listen(1024).ok()?;
    Some(socket.into())
}

fn accept_all(
    listener: &TcpListener,
    tls: Option<Arc<Tls>>,
    script: &Arc<impl Script>,
    record: &Arc<Record>,
) {
    while let Ok((stream, _)) = listener.accept() {
        if record.stopped.load(Ordering::SeqCst) {
            return;
        }
        let number = record.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        record.open.fetch_add(1, Ordering::SeqCst);
        let connection = Connection::new(stream).counting(Arc::clone(&record.received_bytes));
        {
            let mut streams = locked(&record.streams);
            streams.retain(|stream| stream.strong_count() > 0);
            streams.push(connection.handle());
        }
        let (script, record) = (Arc::clone(script), Arc::clone(record));
        let tls = tls.clone();
        thread::spawn(move || {
            let begun = match &tls {
                None => Ok(connection),
                Some(tls) => tls.accept(connection),
            };
            let attended = begun.and_then(|connection| {
                let mut visit = Visit::new(connection, number, Arc::clone(&record));
                script.attend(&mut visit)
            });
            if let Err(trouble) = attended {
                locked(&record.troubles).push(trouble);
            }
            record.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

//! A thin, safe epoll: level-triggered, one owner, tokens of the caller's choice.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What to wait for on a socket. Errors and hang-ups are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes, or the end of the stream.
    Read,
    /// Room to write.
    Write,
    /// Both.
    ReadWrite,
    /// Neither (back-pressure).
    Nothing,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Interest::Read => EventFlags::IN,
            Interest::Write => EventFlags::OUT,
            Interest::ReadWrite => EventFlags::IN | EventFlags::OUT,
            Interest::Nothing => EventFlags::empty(),
        }
    }
}

/// One reported readiness.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The token given to [`Poll::add`].
    pub token: u64,
    /// Reading makes progress, if only to learn of an error.
    pub readable: bool,
    /// Writing makes progress.
    pub writable: bool,
}

/// An epoll instance with its event buffer.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    /// An empty set that reports at most `events_max` sockets a wait.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(events_max: usize) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(events_max),
        })
    }

    /// Watches a socket. Closing it ends the watching.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add(&self, socket: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(token),
            interest.flags(),
        )?)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// The kernel's.
    pub fn change(&self, socket: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            socket,
            EventData::new_u64(token),
            interest.flags(),
        )?)
    }

    /// Waits until something is ready or the time is over; returns how many sockets are ready.
    ///
    /// # Errors
    /// The kernel's; interruption by a signal counts as nothing ready.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|wait| Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) => Ok(self.events.len()),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The `index`th socket of the last wait.
    #[must_use]
    pub fn ready(&self, index: usize) -> Ready {
        let event = self.events[index];
        let (flags, data) = (event.flags, event.data);
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        Ready {
            token: data.u64(),
            readable: broken || flags.contains(EventFlags::IN),
            writable: broken || flags.contains(EventFlags::OUT),
        }
    }
}

/// Raises the soft limit of open files to the hard one, so that a run of 10,000 connections fits.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the soft limit, and a run that does not fit then fails with its own error.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

/// Whether an error only says "try again later".
#[must_use]
pub fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

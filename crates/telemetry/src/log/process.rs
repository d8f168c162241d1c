//! The process' own log: one line an event on standard error, `time level message key=value …`.
//!
//! For what an operator should know about the process (a reload, an ejected endpoint), never for single requests:
//! writing to standard error may block. A flood is cut at [`LINES_PER_SECOND_MAX`] lines and the rest counted.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::{escape, stamp::Stamps};
use crate::clock::{self, UnixTime};

/// Lines written in one second before the rest of that second is suppressed.
pub const LINES_PER_SECOND_MAX: u64 = 200;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something does not work and will not by itself.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Something happened.
    Info,
    /// For finding out why.
    Debug,
}

impl Level {
    /// Every level, the gravest first.
    pub const ALL: [Level; 4] = [Level::Error, Level::Warn, Level::Info, Level::Debug];

    /// The name in lines and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    /// The level of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// The least grave level that is written.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
/// The second since 1970 in which lines are being counted.
static SECOND: AtomicU64 = AtomicU64::new(0);
/// Lines of that second, written or suppressed.
static LINES: AtomicU64 = AtomicU64::new(0);

/// A value of an event, under its key.
pub type Value<'a> = (&'a str, &'a dyn Display);

/// Sets the least grave level that is written; [`Level::Info`] at first.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether events of a level are written.
#[must_use]
#[inline]
pub fn is_on(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes text of several lines as it is, such as the diagnostics of a configuration that is refused, below the line that
/// says so.
pub fn append(text: &str) {
    // Nobody is left to be told of a failure.
    let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}

/// Logs an error.
pub fn error(message: &str, values: &[Value<'_>]) {
    log(Level::Error, message, values);
}

/// Logs a warning.
pub fn warn(message: &str, values: &[Value<'_>]) {
    log(Level::Warn, message, values);
}

/// Logs a piece of information.
pub fn info(message: &str, values: &[Value<'_>]) {
    log(Level::Info, message, values);
}

/// Logs a detail.
pub fn debug(message: &str, values: &[Value<'_>]) {
    log(Level::Debug, message, values);
}

/// Logs an event if its level is written.
pub fn log(level: Level, message: &str, values: &[Value<'_>]) {
    if !is_on(level) {
        return;
    }
    let time = clock::unix_now();
    let mut out = Vec::with_capacity(160);
    match admit(&SECOND, &LINES, time) {
        Admission::Suppressed => return,
        Admission::Written => {}
        Admission::AfterSuppressed(count) => {
            let values: [Value<'_>; 1] = [("lines", &count)];
            line(&mut out, time, Level::Warn, "log lines suppressed", &values);
        }
    }
    line(&mut out, time, level, message, values);
    // Nobody is left to tell when standard error is gone.
    let _ = std::io::stderr().lock().write_all(&out);
}

#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Written,
    Suppressed,
    /// Written, the first after so many that were not.
    AfterSuppressed(u64),
}

/// Counts a line of now. Two threads that meet at a second's turn may let a few lines more or less through.
fn admit(second: &AtomicU64, lines: &AtomicU64, time: UnixTime) -> Admission {
    if second.swap(time.seconds(), Ordering::Relaxed) == time.seconds() {
        return if lines.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND_MAX {
            Admission::Written
        } else {
            Admission::Suppressed
        };
    }
    match lines.swap(1, Ordering::Relaxed) {
        before if before > LINES_PER_SECOND_MAX => {
            Admission::AfterSuppressed(before - LINES_PER_SECOND_MAX)
        }
        _ => Admission::Written,
    }
}

fn line(out: &mut Vec<u8>, time: UnixTime, level: Level, message: &str, values: &[Value<'_>]) {
    out.extend_from_slice(&Stamps::default().iso(time));
    out.push(b' ');
    out.extend_from_slice(level.name().as_bytes());
    out.push(b' ');
    escape::json(out, message.as_bytes());
    let mut text = String::new();
    for (key, value) in values {
        out.push(b' ');
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        text.clear();
        if write!(text, "{value}").is_err() {
            text.push_str("unprintable");
        }
        let bare = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'='));
        if bare {
            escape::json(out, text.as_bytes());
        } else {
            out.push(b'"');
            escape::json(out, text.as_bytes());
            out.push(b'"');
        }
    }
    out.push(b'\n');
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_event_whatever_is_in_it() {
        let mut out = Vec::new();
        line(
            &mut out,
            UnixTime::from_micros(971_186_136_789_000),
            Level::Warn,
            "endpoint ejected\n",
            &[
                ("upstream", &"app"),
                ("failures", &5),
                ("error", &"connection refused \"by\" \r\n peer"),
                ("none", &""),
                ("path", &"/grün"),
            ],
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                "2000-10-10T13:55:36.789Z warn endpoint ejected\\n upstream=app failures=5 ",
                "error=\"connection refused \\\"by\\\" \\r\\n peer\" none=\"\" path=\"/grün\"\n"
            )
        );
    }

    #[test]
    fn floods_are_cut_and_counted() {
        let (second, lines) = (AtomicU64::new(0), AtomicU64::new(0));
        let at = UnixTime::from_seconds;
        for _ in 0..LINES_PER_SECOND_MAX {
            assert_eq!(admit(&second, &lines, at(10)), Admission::Written);
        }
        for _ in 0..7 {
            assert_eq!(admit(&second, &lines, at(10)), Admission::Suppressed);
        }
        assert_eq!(
            admit(&second, &lines, at(11)),
            Admission::AfterSuppressed(7)
        );
        assert_eq!(admit(&second, &lines, at(11)), Admission::Written);
        assert_eq!(admit(&second, &lines, at(15)), Admission::Written);
    }

    #[test]
    fn levels_have_names() {
        for level in Level::ALL {
            assert_eq!(Level::parse(level.name()), Some(level));
        }
        assert_eq!(Level::parse("trace"), None);
        assert!(Level::Error < Level::Debug);
    }
}

//! The date as `Date` carries it (IMF-fixdate, RFC 9110 §5.6.7), written anew once a second.

use super::unix_now;
use super::{Moment, calendar::UnixTime};
use std::cell::Cell;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A date's text.
#[derive(Clone, Copy, Debug)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// The date of `time`, to the second.
    #[must_use]
    pub fn of(time: UnixTime) -> HttpDate {
        let date = time.calendar();
        let text = format!(
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            DAYS[date.weekday as usize % 7],
            date.day,
            MONTHS[(date.month as usize + 11) % 12],
            date.year % 10_000,
            date.hour,
            date.minute,
            date.second
        );
        let mut bytes = [b' '; 29];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        HttpDate(bytes)
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

thread_local! {
    static LAST: Cell<Option<(u64, HttpDate)>> = const { Cell::new(None) };
}

/// The present date.
#[must_use]
pub fn http_date() -> HttpDate {
    http_date_at(unix_now())
}

/// The date of `time`; cheap when it is of the same second as this thread's last one.
#[must_use]
pub fn http_date_at(time: UnixTime) -> HttpDate {
    let second = time.seconds();
    match LAST.get() {
        Some((last, date)) if last == second => date,
        _ => {
            let date = HttpDate::of(time);
            LAST.set(Some((second, date)));
            date
        }
    }
}

/// The calendar date of a moment of the last second or so.
#[must_use]
pub fn http_date_of(moment: Moment) -> HttpDate {
    http_date_at(super::unix_at(moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_the_rfc() {
        let date = HttpDate::of(UnixTime::from_seconds(784_111_777));
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        let again = http_date_at(UnixTime::from_seconds(784_111_777));
        assert_eq!(
            again.as_bytes(),
            http_date_at(UnixTime::from_seconds(784_111_777)).as_bytes()
        );
        let next = http_date_at(UnixTime::from_seconds(784_111_778));
        assert_eq!(next.as_bytes(), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }
}

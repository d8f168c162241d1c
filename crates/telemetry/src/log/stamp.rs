//! Times as text, put together once a second.

use super::number::{three_digits, two_digits};
use crate::clock::UnixTime;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The texts of the second they were last asked for.
#[derive(Debug)]
pub(super) struct Stamps {
    second: u64,
    /// `10/Oct/2000:13:55:36 +0000`
    common: [u8; 26],
    /// `2000-10-10T13:55:36`
    iso: [u8; 19],
}

impl Default for Stamps {
    fn default() -> Stamps {
        Stamps {
            second: u64::MAX,
            common: [0; 26],
            iso: [0; 19],
        }
    }
}

impl Stamps {
    /// The time as the Common Log Format has it: `10/Oct/2000:13:55:36 +0000`.
    #[inline]
    pub(super) fn common(&mut self, time: UnixTime) -> &[u8; 26] {
        self.refresh(time);
        &self.common
    }

    /// The time as RFC 3339 has it, in milliseconds and UTC: `2000-10-10T13:55:36.789Z`.
    #[inline]
    pub(super) fn iso(&mut self, time: UnixTime) -> [u8; 24] {
        self.refresh(time);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        text[..19].copy_from_slice(&self.iso);
        text[20..23].copy_from_slice(&three_digits((time.millis() % 1_000) as u32));
        text
    }

    #[inline]
    fn refresh(&mut self, time: UnixTime) {
        if self.second != time.seconds() {
            self.format(time);
        }
    }

    #[cold]
    fn format(&mut self, time: UnixTime) {
        self.second = time.seconds();
        let at = time.calendar();
        let year = [two_digits(at.year / 100), two_digits(at.year % 100)];
        let clock = [at.hour, at.minute, at.second].map(two_digits);
        self.common = *b"00/Jan/0000:00:00:00 +0000";
        self.common[..2].copy_from_slice(&two_digits(at.day));
        self.common[3..6].copy_from_slice(MONTHS[at.month as usize - 1]);
        self.common[7..11].copy_from_slice(year.as_flattened());
        self.iso = *b"0000-00-00T00:00:00";
        self.iso[..4].copy_from_slice(year.as_flattened());
        self.iso[5..7].copy_from_slice(&two_digits(at.month));
        self.iso[8..10].copy_from_slice(&two_digits(at.day));
        for (number, digits) in clock.iter().enumerate() {
            self.common[12 + 3 * number..14 + 3 * number].copy_from_slice(digits);
            self.iso[11 + 3 * number..13 + 3 * number].copy_from_slice(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_follow_the_second() {
        let mut stamps = Stamps::default();
        for (micros, common, iso) in [
            (0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00.000Z"),
            (
                971_186_136_789_000,
                "10/Oct/2000:13:55:36 +0000",
                "2000-10-10T13:55:36.789Z",
            ),
            (
                971_186_136_999_999,
                "10/Oct/2000:13:55:36 +0000",
                "2000-10-10T13:55:36.999Z",
            ),
            (
                1_767_225_599_001_000,
                "31/Dec/2025:23:59:59 +0000",
                "2025-12-31T23:59:59.001Z",
            ),
        ] {
            let time = UnixTime::from_micros(micros);
            assert_eq!(stamps.common(time), common.as_bytes());
            assert_eq!(stamps.iso(time), iso.as_bytes());
        }
    }
}

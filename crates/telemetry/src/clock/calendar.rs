//! Unix time as a date and a time of day, in UTC (the proleptic Gregorian calendar, no leap seconds).

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

/// A date and time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The year, four digits until 9999.
    pub year: u32,
    /// The month, 1 to 12.
    pub month: u32,
    /// The day of the month, 1 to 31.
    pub day: u32,
    /// The hour, 0 to 23.
    pub hour: u32,
    /// The minute, 0 to 59.
    pub minute: u32,
    /// The second, 0 to 59.
    pub second: u32,
    /// The day of the week, 0 = Sunday.
    pub weekday: u32,
}

impl UnixTime {
    /// A time from microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: u64) -> UnixTime {
        UnixTime(micros)
    }

    /// A time from whole seconds since 1970.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> UnixTime {
        UnixTime(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The date and time of day in UTC.
    #[must_use]
    pub const fn calendar(self) -> Calendar {
        let seconds = self.seconds();
        let days = seconds / 86_400;
        let rest = (seconds % 86_400) as u32;
        // Days are counted from 0000-03-01, so that the leap day is the last of its year and eras of 400 years
        // (146,097 days) repeat.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = if month_from_march < 10 {
            month_from_march as u32 + 3
        } else {
            month_from_march as u32 - 9
        };
        let year = (era * 400 + year_of_era) as u32 + (month <= 2) as u32;
        Calendar {
            year,
            month,
            day,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            // 1970-01-01 was a Thursday.
            weekday: ((days + 4) % 7) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: u64, expected: (u32, u32, u32, u32, u32, u32, u32)) {
        let at = UnixTime::from_seconds(seconds).calendar();
        let found = (
            at.year, at.month, at.day, at.hour, at.minute, at.second, at.weekday,
        );
        assert_eq!(found, expected, "{seconds}");
    }

    #[test]
    fn known_dates() {
        check(0, (1970, 1, 1, 0, 0, 0, 4));
        check(951_782_400, (2000, 2, 29, 0, 0, 0, 2));
        check(951_868_799, (2000, 2, 29, 23, 59, 59, 2));
        check(1_709_210_096, (2024, 2, 29, 12, 34, 56, 4));
        check(4_107_542_400, (2100, 3, 1, 0, 0, 0, 1));
        check(253_402_300_799, (9999, 12, 31, 23, 59, 59, 5));
    }

    #[test]
    fn days_follow_each_other() {
        let lengths = |year: u32| {
            let leap =
                (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
            [
                31,
                28 + u32::from(leap),
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ]
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..200_000_u64 {
            let at = UnixTime::from_seconds(number * 86_400).calendar();
            assert_eq!((at.year, at.month, at.day), (year, month, day));
            assert_eq!(u64::from(at.weekday), (number + 4) % 7);
            day += 1;
            if day > lengths(year)[month as usize - 1] {
                day = 1;
                month += 1;
            }
            if month > 12 {
                month = 1;
                year += 1;
            }
        }
    }
}

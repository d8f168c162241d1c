//! `[upstreams.<name>.hedge]`

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Default, Key, Kind, Section, key};
use crate::scalar;
use crate::settings::Hedge;
use crate::tree::Entry;

const AFTER_MS_MIN: u64 = 1;
const PERCENTILE_MIN: i64 = 50;
const PERCENTILE_MAX: i64 = 99;
const PERCENTILE_DEFAULT: u8 = 95;

pub(super) const HEDGE: Key = key(
    "hedge",
    Kind::Table(&SECTION),
    Default::Absent("no request is sent to two backends"),
    "When a request that has no answer yet is sent to a second backend as well. `{}` takes all defaults.",
);

pub(super) static SECTION: Section = Section {
    heading: "[upstreams.<name>.hedge]",
    doc: "When the head of an answer is late, the request is sent to another backend too, once; the first good answer is \
          taken, and the other try is broken off. Only requests that can be repeated are, as with `retry`, and each costs a \
          try of its budget.",
    keys: &[
        key(
            "after",
            Kind::Duration {
                min_ms: AFTER_MS_MIN,
                off: false,
            },
            Default::Absent("`after_percentile` alone decides"),
            "How long an answer is waited for; beside `after_percentile`, at least so long.",
        ),
        key(
            "after_percentile",
            Kind::Integer {
                min: PERCENTILE_MIN,
                max: PERCENTILE_MAX,
            },
            Default::Absent("95, or none where `after` is written"),
            "As long as so many percent of the upstream's answers of late took to begin, over all workers. Nothing is sent twice \
             before 100 answers are known.",
        ),
        key(
            "requests_max",
            Kind::Count {
                min: 1,
                max: 1_000_000,
                off: false,
            },
            Default::Integer(100),
            "Requests of the upstream that may be at two backends at once, over all workers.",
        ),
    ],
};

pub(super) fn read(entry: &Entry, upstream: &Fields<'_>, report: &mut Report) -> Hedge {
    let fields = upstream.table("hedge", report);
    let (after, percentile) = (fields.entry("after"), fields.entry("after_percentile"));
    let hedge = Hedge {
        after: after.and_then(|after| scalar::duration(&after.node, AFTER_MS_MIN, false, report)?),
        after_percentile: match (after, percentile) {
            (None, None) => Some(PERCENTILE_DEFAULT),
            (_, None) => None,
            (_, Some(percentile)) => {
                let (min, max) = (PERCENTILE_MIN, PERCENTILE_MAX);
                let read = scalar::integer(&percentile.node, min, max, false, report);
                read.and_then(|percent| u8::try_from(percent).ok())
            }
        },
        requests_max: fields.count("requests_max", report),
    };
    fields.finish();
    if upstream.count("tries_max", report) == 1 {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                entry.node.origin,
                "`hedge` does nothing while `tries_max` is 1: the second backend is a second try",
            )
            .label("has no effect")
            .help("remove it, or write tries_max = 2"),
        );
    }
    hedge
}

#[cfg(test)]
mod tests {
    use crate::sections::tests::load_upstream as load;
    use std::time::Duration;

    #[test]
    fn what_is_written_is_read() {
        let hedge = |text: &str| load(text).settings.unwrap().upstreams[0].hedge;
        assert_eq!(hedge(""), None);
        let usual = hedge("hedge = {}").unwrap();
        assert_eq!((usual.after, usual.after_percentile), (None, Some(95)));
        let both = hedge("hedge = { after = '1s', after_percentile = 50 }").unwrap();
        assert!(both.after.is_some() && both.after_percentile == Some(50));
        let fixed = hedge("hedge = { after = '80ms' }").unwrap();
        assert_eq!(fixed.after, Some(Duration::from_millis(80)));
        assert_eq!((fixed.after_percentile, fixed.requests_max), (None, 100));
        let measured = hedge("hedge = { after_percentile = 95, requests_max = 7 }").unwrap();
        assert_eq!(
            (measured.after, measured.after_percentile),
            (None, Some(95))
        );
        assert_eq!(measured.requests_max, 7);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, code) in [
            ("hedge = { requests_max = 0 }", "bad-value"),
            ("hedge = { after = 'off' }", "bad-duration"),
            ("hedge = { after = '0ms' }", "bad-duration"),
            ("hedge = { after_percentile = 100 }", "bad-value"),
            ("hedge = { afer = '1s' }", "unknown-key"),
            ("hedge = true", "wrong-type"),
            (
                "tries_max = 1\nhedge = { after = '1s' }",
                "conflicting-keys",
            ),
        ] {
            let outcome = load(text);
            let found: Vec<&str> = outcome
                .diagnostics
                .iter()
                .map(|one| one.code.name())
                .collect();
            assert_eq!(found, [code], "{text}");
        }
    }
}
